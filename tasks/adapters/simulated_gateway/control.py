"""The control interface: commands and answers as lines of JSON over a port of the loopback.

A command names itself under ``command``; ``{"command": "help"}`` lists all with what they do. An answer says
``{"ok": true, ...}`` or ``{"ok": false, "error": "..."}``. Times are whole microseconds since 1970, UTC.
"""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import datetime, timedelta

from engine.errors import BrokerUnavailable, FundError
from tasks.adapters.simulated_gateway.control_asked import EPOCH, Asked, Told
from tasks.adapters.simulated_gateway.control_commands import COMMANDS
from tasks.adapters.simulated_gateway.server import GatewayServer
from tasks.adapters.simulated_gateway.sessions import Moved
from tasks.adapters.simulated_gateway.world import Barrier

LOG = logging.getLogger("fund.gateway")


class Control:
    """Drives one gateway; every command takes effect before its answer is written."""

    def __init__(self, server: GatewayServer) -> None:
        self.server = server
        self._advance: asyncio.Future[Moved] | None = None
        self._one_at_a_time = asyncio.Lock()
        server.moved = self._moved

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the lines of one connection until it ends."""
        reading = asyncio.ensure_future(reader.readline())
        try:
            while line := await reading:
                reading = asyncio.ensure_future(reader.readline())
                answered = await self._answered(line, reading)
                if answered is None:
                    break
                writer.write(json.dumps(answered).encode() + b"\n")
                await writer.drain()
        except (ValueError, ConnectionError):
            pass  # a line without an end, or nobody there any more: this connection is over
        finally:
            reading.cancel()
            writer.close()
            await asyncio.gather(reading, return_exceptions=True)

    async def _answered(self, line: bytes, reading: asyncio.Future[bytes]) -> dict[str, object] | None:
        """An answer; ``None`` when it has to be waited for and nobody is there any more."""
        answering = asyncio.ensure_future(self.answer(line))
        try:
            await asyncio.wait((answering, reading), return_when=asyncio.FIRST_COMPLETED)
            return None if not answering.done() and _is_over(reading) else await answering
        finally:
            # What is done is told in the same turn: a gateway that gives up ends a few turns later.
            if not answering.done():
                answering.cancel()
                await asyncio.gather(answering, return_exceptions=True)

    async def answer(self, line: bytes) -> dict[str, object]:
        """What one line is answered with."""
        try:
            asked = Asked.parse(line)
            name = asked.text("command")
            if name == "help":
                known = {key: (call.__doc__ or "").strip() for key, call in COMMANDS.items()}
                return {"ok": True, "commands": known | {"advance": self._moving.__doc__ or ""}}
            if name == "advance":
                return {"ok": True, **await self._moving(asked)}
            if name not in COMMANDS:
                names = ", ".join(sorted([*COMMANDS, "advance", "help"]))
                return {"ok": False, "error": f"expected a command among {names}, found {name!r}"}
            with self.server.together():
                told = COMMANDS[name](self.server, asked)
        except FundError as error:
            self.server.note(error)
            return {"ok": False, "error": str(error)}
        except Exception as error:
            LOG.exception("the command %s failed", line[:200])
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}
        return {"ok": True, **told}

    async def _moving(self, asked: Asked) -> Told:
        """Move virtual time to the next event up to ``until``: ``now`` afterwards, and whether there was an ``event``."""
        until = asked.time("until")
        barrier = None
        if asked.has("client_id"):
            barrier = Barrier(client_id=asked.integer("client_id"), times_asked=asked.integer("barrier"))
        async with self._one_at_a_time:
            self._advance = asyncio.get_running_loop().create_future()
            try:
                with self.server.together():
                    self.server.dispatch(self.server.gateway.advance(until, barrier))
                moved = await self._advance
            finally:
                self._advance = None
                self.server.gateway.forget_barrier()
        if moved.at is None:
            raise BrokerUnavailable("expected the barrier of a client, found that it left; time did not move")
        return {"now": microseconds(moved.at), "event": moved.event}

    def _moved(self, moved: Moved) -> None:
        if self._advance is not None and not self._advance.done():
            self._advance.set_result(moved)


def _is_over(reading: asyncio.Future[bytes]) -> bool:
    """Whether a connection has ended, by what its next line was found to be."""
    return reading.done() and (reading.exception() is not None or not reading.result())


def microseconds(at: datetime) -> int:
    """A time as the control interface says it."""
    return (at - EPOCH) // timedelta(microseconds=1)
