"""``fund gateway`` as a person meets it: what it says, what it refuses, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tasks.gateway import PAPER_ACCOUNT, served_alone
from tests.flows.command_line import CommandLine, at_home
from tests.shared_data import REPOSITORY
from tests.tasks.adapters.gateways import library_loop

START = ("--port", "0", "--from", "2026-11-20")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("gateway")
    with at_home(folder):
        with served_alone(PAPER_ACCOUNT):
            pass  # the file that is locked is no result of a command
        yield folder


@pytest.fixture
def fund(home: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(home=home, capture=capsys)


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own, as a terminal starts it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.commands", "gateway", *START, *arguments],
        cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "FUND_HOME": str(home)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_running_gateway_says_where_it_is_and_keeps_its_account_and_port_to_itself(
    fund: CommandLine, home: Path
) -> None:
    from ib_insync import IB

    with started(home, "--json") as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert (told["account"], told["now"], told["host"]) == (
            "DU1234567",
            "2026-11-20 00:00:00Z",
            "127.0.0.1",
        )
        port = str(told["port"])

        same_account = fund.refuse("gateway", *START, status=5)
        assert f"found that process {process.pid} serves it" in same_account
        same_port = fund.refuse("gateway", "--port", port, "--account", "DU7654321")
        assert f"127.0.0.1:{port}, found that something listens there already" in same_port
        control = str(told["control_port"])
        taken = fund.refuse("gateway", "--port", "0", "--control-port", control, "--account", "DU7654321")
        assert "give another --control-port" in taken

        with library_loop():
            client = IB()
            client.connect("127.0.0.1", told["port"], clientId=3, timeout=10)
            assert client.managedAccounts() == ["DU1234567"]
            stray = socket.create_connection(("127.0.0.1", told["port"]))
            stray.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert stray.recv(10) == b""
            stray.close()

            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
            with suppress(ConnectionError):
                client.sleep(0.05)  # the library tells a lost connection to whoever waits
            assert not client.isConnected()
            client.disconnect()
    assert (process.returncode, out) == (0, "")
    lines = [line.partition(" ")[2].partition(" ")[2] for line in err.splitlines()]
    assert lines == [
        "INFO client 3 connected, protocol version 176",
        "WARNING closing a connection of client None: expected the greeting of a client, found b'GET / HTTP/1.1\\r\\n'",
        "INFO client 3 is gone",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--clock", "sundial"), "expected a clock among real, virtual, found 'sundial'; give another --clock"),
        (("--port", "99999"), "Invalid value for '--port': Input should be less than or equal to 65535"),
        (("--port", "45551", "--control-port", "45551"), "expected two ports, found 45551 for clients and for the control"),
        (("--control-port", "-1"), "Input should be greater than or equal to 0"),
        (("--seed", "-1"), "Invalid value for '--seed': Input should be greater than or equal to 0"),
        (("--seed", "seven"), "Invalid value for '--seed'"),
        (("--speed", "0"), "forward by at most 86400 seconds in one, found a speed of 0;"),
        (("--speed", "nan"), "found a speed of nan; give another --speed"),
        (("--speed", "1e300"), "found a speed of 1e+300; give another --speed"),
        (("--from", "2026-11-20", "--until", "2099-01-01"), "market of at most 731 days, found one from 2026-11-20"),
        (("--account", "../DU1"), "expected an account of letters and digits like DU1234567, found '../DU1'"),
        (("--from", "2026-13-01"), "expected --from as a date YYYY-MM-DD"),
        (("--from", "2026-11-20", "--until", "2026-11-19"), "found its end on 2026-11-19; give a later --until"),
        (("--profile", "nobody"), 'found "nobody"; valid names here: fund'),
        (("--store", "/nowhere"), "expected a market data store at /nowhere, found no folder there"),
        (("--host", "203.0.113.1"), "expected to listen on 203.0.113.1:0, found Cannot assign requested address"),
        (("--host", "no.such.host.invalid"), "expected to listen on no.such.host.invalid:0"),
        (("--bogus",), "No such option: --bogus"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_option_that_makes_no_sense_is_refused_in_one_line_and_leaves_nothing(
    fund: CommandLine, home: Path, arguments: tuple[str, ...], words: str
) -> None:
    given = arguments if "--port" in arguments else ("--port", "0", *arguments)
    assert words in fund.refuse("gateway", *given)


def test_help_names_every_option(fund: CommandLine) -> None:
    told = fund("gateway", "--help")
    assert told.status == 0
    for option in (
        "--host",
        "--port",
        "--control-port",
        "--account",
        "--clock",
        "--speed",
        "--from",
        "--json",
    ):
        assert option in told.out
