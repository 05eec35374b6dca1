"""What takes seconds to come up in a process of its own, begun before anything else: suites and Prefect's server."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from engine.errors import FundError
from flows.prefect_home import furnish
from flows.serving import GRACE_SECONDS
from tasks.adapters.expectations import start_beside
from tasks.options import ROOT, fund_home

STARTUP_SECONDS = 180.0
"""How long the server may take to answer on a busy machine."""

STARTS = 2
"""A server that ends before it answers, as when two commands make the same database, is started once more."""

LOOPBACK = "127.0.0.1"
LOG_FILE = "fund-server.log"
_PROGRAM = (sys.executable, "-P", "-m", "flows.serving")
_EPHEMERAL = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect itself tells a server that lives for one command only."""

_postponed: list[Callable[[], None]] = []
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 5.0


def begin_slow_starts(*, with_prefect: bool) -> None:
    """Start the processes that a run will need; the caller then imports and opens its world meanwhile.

    After a command that was killed there is an open day to go on with, most likely one that is decided: the suites, which
    load for seconds on the same cores, then wait until a day is found that is not.
    """
    if was_killed(fund_home()):
        _postponed.append(start_beside)
    else:
        start_beside()
    if with_prefect:
        own_server()


def begin_postponed_starts() -> None:
    """Start what was left out at the beginning, now that it is needed."""
    while _postponed:
        _postponed.pop()()


def was_killed(home: Path) -> bool:
    """Whether a database of SQLite still has its write-ahead file: whoever closes it last takes that away.

    A command that works beside leaves one too, and one over PostgreSQL may leave none: it only says what to start first.
    """
    return any(home.glob("*.sqlite-wal")) or any(home.glob("*/*.sqlite-wal"))


@cache
def own_server() -> OwnServer | None:
    """The server of this command, coming up; ``None`` when one is configured.

    Prefect learns of it by PREFECT_API_URL, which it reads when it is imported: this has to come before.
    """
    if os.environ.get("PREFECT_API_URL"):
        return None
    home = Path(os.environ.setdefault("PREFECT_HOME", str(fund_home() / "prefect")))
    furnish(home)
    server = OwnServer(home / LOG_FILE)
    atexit.register(server.stop)
    os.environ["PREFECT_API_URL"] = server.api
    return server


class OwnServer:
    """A server that ends with this process, on a port that nobody can take while it comes up: we hold it already.

    It has a session of its own, so that Control-C reaches the command alone, which then stops it.
    """

    def __init__(self, log: Path, program: Sequence[str] = _PROGRAM) -> None:
        self._log, self._program = log, tuple(program)
        self._socket = socket.socket()
        self._socket.bind((LOOPBACK, 0))
        self.port = int(self._socket.getsockname()[1])
        self._starts, self._is_ready = 0, False
        self.process = self._start()

    @property
    def api(self) -> str:
        """Address for programs."""
        return f"http://{LOOPBACK}:{self.port}/api"

    def await_ready(self, seconds: float = STARTUP_SECONDS) -> None:
        """Return when the server answers; raises `FundError` when it ends before, or takes longer."""
        until = time.monotonic() + seconds
        while not self._is_ready:
            ended = self.process.poll()
            if ended is not None and self._starts == STARTS:
                raise FundError(self._failure(f"that it ended with {ended}"))
            if ended is not None:
                self._release()
                self.process = self._start()
            elif self._answers():
                self._is_ready = True
                self._socket.close()  # the server has it; a dead one should refuse and not keep a caller waiting
            elif time.monotonic() > until:
                self.stop()
                raise FundError(self._failure(f"no answer within {seconds:.0f} s"))
            else:
                time.sleep(_POLL_SECONDS)

    def stop(self) -> None:
        """End the server, and wait for one that served: one that is still coming up ends by itself, soon."""
        self._socket.close()
        self.process.terminate()
        self._release()
        if self._is_ready:
            try:
                self.process.wait(timeout=GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        handed = self._socket.fileno()
        environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"} | _EPHEMERAL
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  this interpreter, our module
                [*self._program, str(handed)],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,  # its end tells the server that we are gone
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=(handed,),
                start_new_session=True,
            )

    def _release(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _answers(self) -> bool:
        connection = HTTPConnection(LOOPBACK, self.port, timeout=_ANSWER_SECONDS)  # past any proxy
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):  # nobody listens yet, or somebody who is still busy with himself
            return False
        finally:
            connection.close()

    def _failure(self, found: str) -> str:
        return (
            f"expected Prefect's server to come up, found {found}; {self._log} says why, and --without-prefect runs "
            "the same day without it"
        )
