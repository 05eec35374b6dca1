"""The other end of the control interface: a blocking line to a gateway, for clock ports, tools and tests."""

from __future__ import annotations

import json
import socket
import threading
from datetime import UTC, datetime, timedelta

from engine.errors import BrokerUnavailable, ConfigurationError
from tasks.adapters.simulated_gateway.control import microseconds
from tasks.adapters.simulated_gateway.served import ServedMarket

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REMARK = 2108
"""A code that changes nothing for who hears it: a farm sleeps until it is asked."""


class ControlLine:
    """One connection to the control port; every call waits for its answer, at most ``timeout`` seconds.

    Several threads may ask: one moves the time while another makes a lost connection anew.
    """

    def __init__(self, port: int, *, host: str = "127.0.0.1", timeout: float = 10.0) -> None:
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise BrokerUnavailable(
                f"expected the gateway's control interface on {host}:{port}, found {error}; start it with `fund gateway "
                f"--control-port {port}`, or correct FUND_IB_CONTROL_PORT; without it another gateway is meant"
            ) from error
        self.timeout, self._lines = timeout, self._socket.makefile("rb")
        self._one_at_a_time = threading.Lock()

    def ask(self, command: str, **fields: object) -> dict[str, object]:
        """The answer to a command.

        Raises `ConfigurationError` when it is refused, `BrokerUnavailable` when there is none in time.
        """
        try:
            with self._one_at_a_time:
                self._socket.sendall(json.dumps({"command": command, **fields}).encode() + b"\n")
                line = self._lines.readline()
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"expected the gateway's control interface to answer {command} in {self.timeout:g} seconds, found nothing: "
                "the gateway is frozen, does not read what its client sends, or FUND_IB_CONTROL_PORT is another program's"
            ) from error
        except OSError as error:
            raise BrokerUnavailable(f"expected an answer to {command}, found {error}") from error
        if not line.endswith(b"\n"):
            raise BrokerUnavailable(f"expected an answer to {command}, found the end of the connection")
        told = _told(line)
        if told.pop("ok", False) is not True:
            raise ConfigurationError(f"{command}: {told.get('error')}")
        return told

    def advance(
        self, until: datetime, client_id: int | None = None, barrier: int | None = None
    ) -> tuple[datetime, bool]:
        """Move virtual time to the next event up to ``until``: the time then, and whether there was an event."""
        told = self.ask("advance", until=microseconds(until), client_id=client_id, barrier=barrier)
        now = told["now"]
        assert isinstance(now, int)
        return _EPOCH + timedelta(microseconds=now), told["event"] is True

    def started(self) -> datetime:
        """The gateway's time now; raises `ConfigurationError` unless it is virtual."""
        told = self.ask("status")
        if told["virtual"] is not True:
            raise ConfigurationError(
                "expected a gateway in virtual time behind the control interface, found one on the real clock; start it "
                "with --clock virtual, or leave FUND_IB_CONTROL_PORT out"
            )
        return datetime.fromisoformat(str(told["now"]))

    def served(self) -> ServedMarket:
        """The market behind the gateway; raises `ConfigurationError` for one that does not tell it."""
        return ServedMarket.parse(self.ask("status")["market"])

    def hold_barriers(self, client_id: int) -> None:
        """Take a client's questions for the time as barriers, each answered by an `advance` that names it."""
        self.ask("hold_barriers", client_id=client_id)

    def say(self, client_id: int, text: str) -> None:
        """Tell a client something; raises `ConfigurationError` when the gateway has no such client."""
        clients = self.ask("status")["clients"]
        if not isinstance(clients, list) or client_id not in clients:
            raise ConfigurationError(
                f"expected client {client_id} at the gateway behind the control interface, found {clients}: the control "
                "port is of another gateway than the one that orders would go to; nothing was sent"
            )
        self.ask("error", client_id=client_id, code=_REMARK, text=text)

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()


def _told(line: bytes) -> dict[str, object]:
    """An answer; raises `ConfigurationError` for what no control interface says."""
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise ConfigurationError(
            f"expected an answer of the gateway's control interface, found {line[:40]!r}; FUND_IB_CONTROL_PORT is the port "
            "of another program: correct it"
        )
    return told
