"""The control interface: commands and answers as lines of JSON over a port of the loopback.

A command names itself under ``command``; ``{"command": "help"}`` lists all with what they do. An answer says
``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``. Times are whole microseconds since 1970, UTC.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

from engine.errors import BrokerUnavailable, FundError
from tasks.adapters.simulated_gateway.control_asked import Asked, Told
from tasks.adapters.simulated_gateway.control_commands import COMMANDS
from tasks.adapters.simulated_gateway.server import GatewayServer
from tasks.adapters.simulated_gateway.sessions import Moved
from tasks.adapters.simulated_gateway.world import Barrier

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Control:
    """Drives one gateway; every command takes effect before its answer is written."""

    def __init__(self, server: GatewayServer) -> None:
        self.server = server
        self._advance: asyncio.Future[Moved] | None = None
        self._one_at_a_time = asyncio.Lock()
        server.moved = self._moved

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the lines of one connection until it ends."""
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self.answer(line)).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):
            pass  # a line without an end, or nobody there any more: this connection is over
        finally:
            writer.close()

    async def answer(self, line: bytes) -> dict[str, object]:
        """What one line is answered with."""
        try:
            asked = Asked.parse(line)
            name = asked.text("command")
            if name == "help":
                told = {key: (call.__doc__ or "").strip() for key, call in COMMANDS.items()}
                return {"ok": True, "commands": told | {"advance": self._moving.__doc__ or ""}}
            if name == "advance":
                return {"ok": True, **await self._moving(asked)}
            if name not in COMMANDS:
                known = ", ".join(sorted([*COMMANDS, "advance", "help"]))
                return {"ok": False, "error": f"expected a command among {known}, found {name!r}"}
            return {"ok": True, **COMMANDS[name](self.server, asked)}
        except FundError as error:
            self.server.note(error)
            return {"ok": False, "error": str(error)}

    async def _moving(self, asked: Asked) -> Told:
        """Move virtual time to the next event up to ``until``: ``now`` afterwards, and whether there was an ``event``."""
        until = _EPOCH + timedelta(microseconds=asked.integer("until"))
        barrier = None
        if asked.has("client_id"):
            barrier = Barrier(client_id=asked.integer("client_id"), times_asked=asked.integer("barrier"))
        async with self._one_at_a_time:
            self._advance = asyncio.get_running_loop().create_future()
            try:
                self.server.dispatch(self.server.gateway.advance(until, barrier))
                moved = await self._advance
            finally:
                self._advance = None
        if moved.at is None:
            raise BrokerUnavailable("expected the barrier of a client, found that it left; time did not move")
        return {"now": microseconds(moved.at), "event": moved.event}

    def _moved(self, moved: Moved) -> None:
        if self._advance is not None and not self._advance.done():
            self._advance.set_result(moved)


def microseconds(at: datetime) -> int:
    """A time as the control interface says it."""
    return (at - _EPOCH) // timedelta(microseconds=1)
