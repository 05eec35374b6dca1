"""A server of our own: on its port from the start, started again once, and gone when its command is gone."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import FundError
from flows.commands.errors import EXIT_UNEXPECTED, report_failure
from flows.server import OwnServer
from state.processes import ProcessToken, is_dead, this_process
from tests.flows.command_line import assert_one_paragraph
from tests.shared_data import REPOSITORY

GONE_SECONDS = 30.0

HEALTHY = """
import socket, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()
    def log_message(self, *rest):
        pass
server = HTTPServer(("127.0.0.1", 0), Healthy, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=int(sys.argv[-1]))
server.server_activate()
server.serve_forever()
"""
"""A server that is up at once."""

SECOND_TIME = (
    """
import pathlib, sys
if pathlib.Path(sys.argv[1]).exists():
    {healthy}
pathlib.Path(sys.argv[1]).touch()
sys.exit(3)
"""
).replace("{healthy}", HEALTHY.strip().replace("\n", "\n    "))
"""Ends the first time, as a server that finds its database locked."""


def program(source: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", source, *arguments)


@contextmanager
def started(log: Path, source: str, *arguments: str) -> Iterator[OwnServer]:
    server = OwnServer(log, program(source, *arguments))
    try:
        yield server
    finally:
        server.stop()
        server.process.wait()


def within(seconds: float, reached: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not reached():
        time.sleep(0.05)
    return reached()


def test_server_that_answers_is_ready_on_the_port_it_was_given(tmp_path: Path) -> None:
    with started(tmp_path / "log", HEALTHY) as server:
        server.await_ready(30)
        assert server.api == f"http://127.0.0.1:{server.port}/api"
        with socket.create_connection(("127.0.0.1", server.port), timeout=5):
            pass
    assert server.process.returncode == -signal.SIGTERM


def test_port_is_taken_before_the_server_is_up(tmp_path: Path) -> None:
    with (
        started(tmp_path / "log", "import time; time.sleep(60)") as server,
        socket.socket() as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(("127.0.0.1", server.port))


def test_server_that_ends_at_first_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    with started(tmp_path / "log", SECOND_TIME, str(tmp_path / "was here")) as server:
        port = server.port
        server.await_ready(30)
        assert server.port == port


def test_server_that_ends_twice_is_told_in_one_paragraph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    with (
        started(log, "import sys; print('the database is broken'); sys.exit(3)") as server,
        pytest.raises(FundError, match=r"ended with 3.*log says why.*--without-prefect") as caught,
    ):
        server.await_ready(30)
    assert log.read_text(encoding="utf-8").splitlines() == ["the database is broken"] * 2
    assert report_failure(caught.value, debug=False, as_json=False) == EXIT_UNEXPECTED
    assert_one_paragraph(capsys.readouterr().err)


def test_server_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    with started(tmp_path / "log", "import time; time.sleep(60)") as server:
        with pytest.raises(FundError, match="no answer within 0 s"):
            server.await_ready(0.2)
        assert server.process.wait(timeout=10) == -signal.SIGTERM


COMMAND = """
import signal
import sys
from pathlib import Path
from flows.server import OwnServer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes its background jobs deaf to it
server = OwnServer(Path(sys.argv[1]))
print(server.process.pid, flush=True)
if sys.argv[2] == "serving":
    server.await_ready()
    print("serving", flush=True)
sys.stdin.read()
"""
"""A command that waits while its server, the real one, comes up or serves."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_server_coming_up_ends_with_a_killed_command(tmp_path: Path, number: signal.Signals) -> None:
    assert_server_ends(tmp_path, number, "coming up")


@pytest.mark.prefect
@pytest.mark.slow
def test_server_that_serves_ends_with_a_killed_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    assert_server_ends(tmp_path, signal.SIGKILL, "serving")


def assert_server_ends(folder: Path, number: signal.Signals, stage: str) -> None:
    command = subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND, str(folder / "log"), stage],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with command:
        assert command.stdout is not None
        server = int(command.stdout.readline())
        token = ProcessToken(host=this_process().host, process=server, started="")
        if stage == "serving":
            assert command.stdout.readline() == "serving\n"
        assert not is_dead(token)
        command.send_signal(number)
        command.wait(timeout=GONE_SECONDS)
        assert within(GONE_SECONDS, lambda: is_dead(token)), "the server outlived its command"
