"""A gateway of a few lines for tests of the session: it answers what it is told to, on a real socket."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from tasks.adapters.simulated_gateway.framing import FrameReader, frame, split
from tasks.adapters.simulated_gateway.messages import Request, answer, read_request

VERSION = 176
Reply = tuple[str, dict[str, object]]
ENDS: dict[str, list[Reply]] = {
    "positions": [("positions_end", {})],
    "open_orders": [("open_orders_end", {})],
    "all_open_orders": [("open_orders_end", {})],
    "completed_orders": [("completed_orders_end", {})],
    "current_time": [("current_time", {"seconds": "1795190400"})],
}


class TinyGateway:
    """One listening socket; each connection answers from ``rows`` by the name of the request.

    ``once`` is said before them, the first time. ``silent`` names requests that are never answered, ``asked`` counts what came. ``version`` is the one that it
    answers a greeting with, ``None`` answers none.
    """

    def __init__(self, account: str = "DU1234567") -> None:
        self.account, self.next_id = account, 1
        self.version: int | None = VERSION
        self.rows: dict[str, list[Reply]] = {}
        self.once: dict[str, list[Reply]] = {}
        self.silent: set[str] = set()
        self.asked: list[Request] = []
        self.connections: list[socket.socket] = []
        self.on_order: Callable[[Request], list[Reply]] = lambda request: []
        self.refuse: tuple[int, str] | None = None
        self._heard, self._closed = threading.Condition(), False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        with self._heard:
            self._closed = True
            for line in self.connections:
                with suppress(OSError):
                    line.close()

    def say(self, *replies: Reply) -> None:
        """Send messages over the newest connection."""
        self._write(self.connections[-1], replies)

    def raw(self, data: bytes) -> None:
        self.connections[-1].sendall(data)

    def drop(self, *, reset: bool = False) -> None:
        """End the newest connection, by FIN or by RST."""
        line = self.connections[-1]
        if reset:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):
            line.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)  # wakes who reads it
            line.close()

    def wait_for(self, name: str, times: int = 1, timeout: float = 5.0) -> list[Request]:
        """Requests of a name once so many came."""
        with self._heard:
            came = self._heard.wait_for(lambda: len(self.named(name)) >= times, timeout)
        assert came, f"{name} came {len(self.named(name))} times"
        return self.named(name)

    def named(self, name: str) -> list[Request]:
        return [request for request in self.asked if request.name == name]

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with self._heard:
                if self._closed:  # meanwhile: nobody else would end it
                    line.close()
                    return
                self.connections.append(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        reader, greeted = FrameReader(), False
        with suppress(OSError):
            while data := self._recv(line):
                if not greeted:
                    rest = reader.take_preamble(data)
                    if rest is None:
                        continue
                    data = rest
                for payload in reader.feed(data):
                    if not greeted:
                        greeted = True
                        if self.version is not None:
                            line.sendall(frame([str(self.version), "20261120 12:00:00 UTC"]))
                        continue
                    self._answer(line, read_request(split(payload), VERSION))

    def _recv(self, line: socket.socket) -> bytes:
        return line.recv(65536)

    def _answer(self, line: socket.socket, request: Request) -> None:
        with self._heard:
            self.asked.append(request)
            self._heard.notify_all()
        if request.name in self.silent:
            return
        if request.name == "start_api":
            if self.refuse is not None:
                code, text = self.refuse
                self._write(line, [("error", {"code": str(code), "text": text})])
                line.close()
                return
            self._write(
                line,
                [
                    ("managed_accounts", {"accounts": self.account}),
                    ("next_valid_id", {"order_id": str(self.next_id)}),
                ],
            )
        rows = self.rows.get(request.name, [])
        if request.name == "executions":
            number = request.record["request_id"]
            rows = [
                (name, {**row, "request_id": number} if name == "execution" else row) for name, row in rows
            ]
            rows = [*rows, ("executions_end", {"request_id": number})]
        if request.name == "account_updates" and request.record["subscribe"] == "1":
            rows = [*rows, ("account_end", {"account": self.account})]
        if request.name == "ids":
            rows = [("next_valid_id", {"order_id": str(self.next_id)})]
        if request.name in ("place_order", "cancel_order"):
            rows = self.on_order(request)
        rows = [*self.once.pop(request.name, []), *rows]
        self._write(line, [*rows, *ENDS.get(request.name, [])])

    def _write(self, line: socket.socket, replies: object) -> None:
        with suppress(OSError):
            for name, record in replies:  # type: ignore[attr-defined]
                line.sendall(frame(answer(name, record, VERSION)))
