"""Sockets around the gateway: frames in, frames out, and the failures of a line (drops, resets, freezes, delays).

A connection whose bytes are no messages is closed with a line in the log; the others and the gateway live on.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

from engine.errors import ConfigurationError, SupersededError
from tasks.adapters.simulated_gateway.framing import FrameReader, WireError, agreed_version, frame, split
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.messages import (
    HIGHEST_VERSION,
    LOWEST_VERSION,
    SPOKEN_VERSION,
    answer,
)
from tasks.adapters.simulated_gateway.sessions import Effect, Hangup, Moved, Say, Session

LOG = logging.getLogger("fund.gateway")
LOOPBACK = "127.0.0.1"
TICK_SECONDS = 0.25
"""How often streams of market data look at the time, on the real clock."""

SHORTEST_WAIT, LONGEST_WAIT = 0.001, 60.0
"""Seconds. The time is kept at least as often: that much of it a killed gateway loses."""

PAUSE_SECONDS = 1.0
"""How soon what was due and failed is tried again."""

READ_AT_ONCE = 1 << 14
"""Bytes: some eighty orders."""

_TURNS_OF_AN_ACCEPT = 3
"""Turns of the loop from the acceptance of a socket to its connection."""

_AT_ONCE = struct.pack("ii", 1, 0)
"""Linger of zero seconds: closing resets the connection."""


class Connection(asyncio.BufferedProtocol):
    """One client's socket, read a little at a time: who sends much is answered while the rest waits."""

    def __init__(self, server: GatewayServer) -> None:
        self._server, self._reader = server, FrameReader()
        self._read = bytearray(READ_AT_ONCE)
        self._greeted = False
        self._withheld: deque[bytes] = deque()
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.frozen = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client called."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)
        if self._server.frozen:
            self.freeze()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._server.connections.discard(self)
        if self.session is not None:
            self._server.dispatch(self._server.gateway.close_session(self.session))

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of a client; what is no message of the protocol ends the connection, and so does what can not be done."""
        try:
            self._take(bytes(self._read[:nbytes]))
        except WireError as error:
            LOG.warning("closing a connection of client %s: %s", self._client, error)
            self._give_up()
        except Exception as error:
            LOG.error("closing a connection of client %s: %s", self._client, _place_of(error))  # noqa: TRY400  one line
            self._give_up()
            self._server.note(error)

    def _give_up(self) -> None:
        """End the connection; who waits for its barrier learns it now, however slowly the line ends."""
        self.hang_up(reset=False)
        if self.session is not None:
            self._server.dispatch(self._server.gateway.forget_barrier(self.session))

    def _take(self, data: bytes) -> None:
        if not self._greeted:
            rest = self._reader.take_preamble(data)
            if rest is None:
                return
            self._greeted, data = True, rest
        failed: WireError | None = None
        gateway = self._server.gateway
        gateway.came_in()
        with self._server.together():
            try:
                for payload in self._reader.cut(data):
                    if self.session is None:
                        self._greet(payload)
                    else:
                        self._server.dispatch(gateway.receive(self.session, split(payload)))
            except WireError as error:
                failed = error  # the messages before it were good ones
        if failed is not None:
            raise failed

    def _greet(self, payload: bytes) -> None:
        version = agreed_version(payload, LOWEST_VERSION, self._server.version)
        self.session = self._server.gateway.open_session(version)
        self.write(frame([str(version), f"{datetime.now(UTC):%Y%m%d %H:%M:%S} UTC"]))

    @property
    def _client(self) -> int | None:
        return None if self.session is None else self.session.client_id

    def write(self, data: bytes) -> None:
        """Send bytes: later while the line is slow, and once it thaws while it is frozen."""
        if self._server.delay_seconds > 0:
            asyncio.get_running_loop().call_later(self._server.delay_seconds, self._write, data)
        else:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self.frozen:
            self._withheld.append(data)
        elif self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def freeze(self) -> None:
        """Neither read nor answer, with the connection open, as a process that was stopped."""
        self.frozen = True
        if self.transport is not None:
            self.transport.pause_reading()

    def thaw(self) -> None:
        """Go on with what came and what was to be said meanwhile."""
        self.frozen = False
        if self.transport is None or self.transport.is_closing():
            return
        while self._withheld:
            self.transport.write(self._withheld.popleft())
        self.transport.resume_reading()

    def hang_up(self, *, reset: bool) -> None:
        """End the connection; a reset loses what is on its way."""
        if self.transport is None:
            return
        if not reset:
            self.transport.close()
            return
        line: socket.socket | None = self.transport.get_extra_info("socket")
        if line is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()


class GatewayServer:
    """The gateway on a port of this machine. ``speed`` is how many seconds of the clock pass in one.

    Raises `ConfigurationError` for a protocol version that the catalogue of messages does not have.
    """

    def __init__(self, gateway: Gateway, *, version: int = SPOKEN_VERSION, speed: float = 1.0) -> None:
        if not LOWEST_VERSION <= version <= HIGHEST_VERSION:
            raise ConfigurationError(
                f"expected a protocol version from {LOWEST_VERSION} to {HIGHEST_VERSION}, found {version}"
            )
        self.gateway, self.version, self.speed = gateway, version, speed
        self.connections: set[Connection] = set()
        self.frozen = False
        self.delay_seconds = 0.0
        self.moved: Callable[[Moved], None] = lambda moved: None
        self.failure: SupersededError | None = None
        self.failed: Callable[[], None] = lambda: None
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._beside: set[asyncio.Future[None]] = set()
        self._due: asyncio.TimerHandle | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._held: list[Effect] | None = None

    async def start(self, host: str = LOOPBACK, port: int = 0) -> None:
        """Listen; port 0 takes one that is free."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), host, port)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]
        if not self.gateway.is_virtual:
            self._schedule()
            self._tick = loop.call_later(TICK_SECONDS, self._ticks)

    async def serve_beside(
        self,
        handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]],
        port: int = 0,
    ) -> int:
        """Listen on a second port of the loopback; the port that it got. Who is served there is hung up with the rest."""

        def called(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            serving = asyncio.ensure_future(handler(reader, writer))
            self._beside.add(serving)
            serving.add_done_callback(self._beside.discard)
            serving.add_done_callback(lambda _: writer.close())

        server = await asyncio.start_server(called, LOOPBACK, port)
        self._servers.append(server)
        found: int = server.sockets[0].getsockname()[1]
        return found

    async def stop(self) -> None:
        """Stop to listen, then close every connection.

        Who was accepted just now gets a connection first: asyncio drops a socket, open, whose listener is closed before.
        """
        for handle in (self._due, self._tick):
            if handle is not None:
                handle.cancel()
        self._due = None
        servers, self._servers = self._servers, []
        loop = asyncio.get_running_loop()
        for server in servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        for _ in range(_TURNS_OF_AN_ACCEPT):
            await asyncio.sleep(0)
        for server in servers:
            server.close()
        if self.failure is None:
            self._try(self.gateway.keep_time)
        await self._hang_up()
        for server in servers:
            await server.wait_closed()

    async def _hang_up(self) -> None:
        """End what is connected, on both ports."""
        for connection in list(self.connections):
            connection.hang_up(reset=True)
        served = list(self._beside)
        for serving in served:
            serving.cancel()
        await asyncio.gather(*served, return_exceptions=True)

    def note(self, error: Exception) -> None:
        """Something failed: when another process has the account now, this gateway ends."""
        if isinstance(error, SupersededError) and self.failure is None:
            self.failure = error
            self.failed()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What happens meanwhile is kept before any of it is told, and not told where it could not be kept."""
        held: list[Effect] = []
        self._held = held
        try:
            with self.gateway.together():
                yield
        finally:
            self._held = None
        self.dispatch(held)

    def dispatch(self, effects: Iterable[Effect]) -> None:
        """Write what is to be said, each connection once, then close what is to be closed."""
        if self._held is not None:
            self._held += effects
            return
        said: list[Say] = []
        ended: list[Hangup | Moved] = []
        for effect in effects:
            if isinstance(effect, Say):
                said.append(effect)
            else:
                ended.append(effect)
        try:
            self._say(said)
        finally:
            for effect in ended:
                self._end(effect)
            self._schedule()

    def _say(self, said: Iterable[Say]) -> None:
        lines: dict[int, list[bytes]] = defaultdict(list)
        for session, told in said:
            lines[session.number].append(frame(answer(told.name, told.record, session.version)))
        for number, frames in lines.items():
            connection = self._of_session(number)
            if connection is not None:
                connection.write(b"".join(frames))

    def chosen(self, client_id: int | None) -> list[Connection]:
        """Connections of a client, or all of them."""
        return [
            connection
            for connection in self.connections
            if client_id is None
            or (connection.session is not None and connection.session.client_id == client_id)
        ]

    def _end(self, effect: Effect) -> None:
        if isinstance(effect, Moved):
            self.moved(effect)
        elif isinstance(effect, Hangup):
            connection = self._of_session(effect.session.number)
            if connection is not None:
                connection.hang_up(reset=effect.reset)

    def _of_session(self, number: int) -> Connection | None:
        return next(
            (c for c in self.connections if c.session is not None and c.session.number == number), None
        )

    # ------------------------------------------------------------ the real clock

    def _schedule(self) -> None:
        """Wake when the broker has something to do next; what is due earlier stands, however much comes in meanwhile."""
        if self.gateway.is_virtual or not self._servers:
            return
        ahead = (self.gateway.next_due() - self.gateway.now).total_seconds() / self.speed
        loop = asyncio.get_running_loop()
        at = max(loop.time() + min(max(ahead, SHORTEST_WAIT), LONGEST_WAIT), self._not_before)
        if self._due is not None:
            if self._due.when() <= at:
                return
            self._due.cancel()
        self._due = loop.call_at(at, self._wake)

    def _wake(self) -> None:
        self._due = None
        self._try(lambda: self.dispatch(self.gateway.pump()))
        self._schedule()

    def _ticks(self) -> None:
        self._try(lambda: self.dispatch(self.gateway.ticks()))
        self._tick = asyncio.get_running_loop().call_later(TICK_SECONDS, self._ticks)

    def _try(self, due: Callable[[], None]) -> None:
        """Do what is due; what fails is tried again later, for nobody else would."""
        try:
            due()
        except Exception as error:
            LOG.error("what is due has failed: %s", _place_of(error))  # noqa: TRY400  one line
            self._not_before = asyncio.get_running_loop().time() + PAUSE_SECONDS
            self.note(error)


def _place_of(error: Exception) -> str:
    """An error on one line: its kind, what it says, and where it came up."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said} ({raised.filename.rpartition('/')[2]}:{raised.lineno})"
