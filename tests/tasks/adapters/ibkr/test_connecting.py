"""How a connection begins, and how one that nobody waits for any more is given up."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from ib_insync import IB

from tasks.adapters.ibkr.connecting import shake_hands
from tasks.adapters.ibkr.listening import PacedClient
from tasks.adapters.ibkr.policy import SessionPolicy
from tests.tasks.adapters.ibkr.trading import ACCOUNT


def test_greeting_that_nobody_waits_for_any_more_lets_go_of_its_socket() -> None:
    """A socket that stayed open would hold the client id, and the next connection would be refused for it."""

    async def given_up() -> bytes:
        greeted, ended = asyncio.Event(), asyncio.get_running_loop().create_future()

        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"API\0")
            greeted.set()
            ended.set_result((await reader.read())[-1:])  # what came until its end
            writer.close()

        async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            policy = SessionPolicy(
                account=ACCOUNT, client_id=7, is_paper=True, port=port, connect_timeout=60.0
            )
            refused = asyncio.get_running_loop().create_future()
            shaking = asyncio.ensure_future(shake_hands(PacedClient(IB()), policy, refused))
            await greeted.wait()
            shaking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await shaking
            return await asyncio.wait_for(ended, 20.0)

    assert asyncio.run(given_up()) != b""


def test_refusal_while_greeting_is_raised_at_once_with_its_words() -> None:
    async def refuse() -> None:
        async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(hear, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            policy = SessionPolicy(
                account=ACCOUNT, client_id=7, is_paper=True, port=port, connect_timeout=60.0
            )
            refused = asyncio.get_running_loop().create_future()
            refused.set_exception(ConnectionError("client id 7 is in use"))
            await shake_hands(PacedClient(IB()), policy, refused)

    with pytest.raises(ConnectionError, match="client id 7 is in use"):
        asyncio.run(refuse())
