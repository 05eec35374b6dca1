"""Prefect's server, a process worker and our deployments on this machine, as one thing that starts and stops.

The server listens on the loopback only. Leaving the context stops both children with everything they started.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from engine.errors import ConfigurationError, FundError
from flows.prefect_home import furnish
from tasks.options import ROOT, fund_home

LOOPBACK = "127.0.0.1"
WORK_POOL = "fund"
START_SECONDS = 90.0
COMMAND_SECONDS = 120.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.25

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """A running interface: the page to open, the API for programs, and the worker's process."""

    page: str
    api: str
    environment: Mapping[str, str]
    server: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]

    def ended(self) -> str:
        """Name of the part that has ended, empty while both run."""
        parts = {"the server": self.server, "the worker": self.worker}
        return next((name for name, process in parts.items() if process.poll() is not None), "")


@contextmanager
def running_interface(port: int, say: Say) -> Iterator[Interface]:
    """Start everything, hand it over, and stop it; raises `ConfigurationError` when the port is taken."""
    _require_free(port)
    api = f"http://{LOOPBACK}:{port}/api"
    environment = _environment(api)
    logs = fund_home() / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        say(f"starting the server on {LOOPBACK}:{port}")
        address = ("--host", LOOPBACK, "--port", str(port))
        server = stack.enter_context(
            _child(("server", "start", *address), environment, logs / "prefect-server.log")
        )
        _await_health(api, server, logs / "prefect-server.log")
        say("deploying the flows of prefect.yaml")
        _command(("work-pool", "create", WORK_POOL, "--type", "process", "--overwrite"), environment)
        _command(("--no-prompt", "deploy", "--all"), environment)
        say("starting the worker")
        pool = ("--pool", WORK_POOL, "--type", "process", "--name", "fund-worker")
        worker = stack.enter_context(
            _child(("worker", "start", *pool), environment, logs / "prefect-worker.log")
        )
        yield Interface(
            page=f"http://{LOOPBACK}:{port}",
            api=api,
            environment=environment,
            server=server,
            worker=worker,
        )


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise ConfigurationError(
                f"expected port {port} of {LOOPBACK} to be free, found it in use ({error.strerror}); "
                "stop what listens there, or give another --port"
            ) from error


def _environment(api: str) -> dict[str, str]:
    """What the children run with: our API, no telemetry, and one home for all of them."""
    home = fund_home()
    prefect_home = Path(os.environ.get("PREFECT_HOME") or home / "prefect")
    furnish(prefect_home)
    return {
        **os.environ,
        "FUND_HOME": str(home),
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_API_URL": api,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_WORKER_QUERY_SECONDS": os.environ.get("PREFECT_WORKER_QUERY_SECONDS", "5"),
        "DO_NOT_TRACK": "1",
    }


def _await_health(api: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            raise FundError(f"expected Prefect's server to start, found that it ended; {log} says why")
        if _answers(f"{api}/health"):
            return
        time.sleep(_POLL_SECONDS)
    raise FundError(f"expected Prefect's server within {START_SECONDS:.0f} s, found no answer; see {log}")


def _answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=2) as answer:  # noqa: S310 (our own server on the loopback)
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _command(arguments: tuple[str, ...], environment: Mapping[str, str]) -> None:
    done = subprocess.run(  # noqa: S603 (our own program)
        _prefect(arguments),
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise FundError(
            f"prefect {' '.join(arguments)} ended with {done.returncode}: {done.stderr or done.stdout}"
        )


@contextmanager
def _child(
    arguments: tuple[str, ...], environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A child in its own process group, so that stopping it stops what it started, and nothing else."""
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 (our own program)
            _prefect(arguments),
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    _signal(process, signal.SIGTERM)
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()
    _signal(process, signal.SIGKILL)  # what the group may have left behind


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _prefect(arguments: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]
