"""A gateway that does not read any more: what was written for it and still waits never leaves once the line has ended."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from engine.errors import BrokerUnavailable
from tasks.adapters.ibkr.policy import SessionState
from tests.tasks.adapters.ibkr.conftest import ACCOUNT, Connect
from tests.tasks.adapters.ibkr.tiny_gateway import TinyGateway

BUFFER, MOST_WRITTEN, MESSAGE = 65_536, 64, "x" * 65_536
"""Bytes of either side's socket, as asked for, and the messages of 64 KiB that fill both for sure."""
LAST = "LAST.ORDER"


class FrozenGateway(TinyGateway):
    """Reads nothing from ``freeze`` to ``thaw``, and then all that still comes until the line ends."""

    def __init__(self) -> None:
        self.is_frozen, self.came = False, bytearray()
        self.thaw, self.ended = threading.Event(), threading.Event()
        super().__init__(ACCOUNT)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)

    def _recv(self, line: socket.socket) -> bytes:
        data = line.recv(BUFFER)
        if not self.is_frozen:
            return data
        self.thaw.wait(20)
        with suppress(OSError):
            while data:
                self.came += data
                data = line.recv(BUFFER)
        self.ended.set()
        return b""


@pytest.fixture
def gateway() -> Iterator[FrozenGateway]:
    made = FrozenGateway()
    yield made
    made.thaw.set()
    made.close()


def test_what_waits_for_a_gateway_that_does_not_read_never_leaves_after_the_end(
    gateway: FrozenGateway, session: Connect
) -> None:
    one = session(request_timeout=0.3, reconnect_delays=())

    def waiting() -> int:
        """Bytes that the socket did not take."""
        return one.call(lambda ib: int(ib.client.conn.transport.get_write_buffer_size()))

    def narrow(sending: socket.socket) -> None:
        sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)

    one.call(lambda ib: narrow(ib.client.conn.transport.get_extra_info("socket")))
    gateway.is_frozen = True
    written = 0
    while waiting() == 0:
        one.write_order(lambda ib, number: ib.client.send(3, number, MESSAGE))
        written += 1
        assert written < MOST_WRITTEN, "both sockets should be full"
    one.write_order(lambda ib, number: ib.client.send(3, number, LAST))
    with pytest.raises(BrokerUnavailable, match="was not answered"):
        one.positions()
    assert one.state is SessionState.FAILED
    gateway.thaw.set()
    assert gateway.ended.wait(10)
    assert gateway.came  # what the sockets had taken
    assert len(gateway.came) < written * len(MESSAGE)
    assert LAST.encode() not in gateway.came
