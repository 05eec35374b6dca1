"""Questions over one connection: one at a time, and an answer in time or the end of the connection.

A question that was not answered in time ends its connection, for a late answer could be taken for that of the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.errors import BrokerUnavailable
from tasks.adapters.ibkr.listening import Ears, PacedClient
from tasks.adapters.ibkr.questions import FIRST_READS, QUESTIONS, Barrier, ask_account
from tasks.adapters.ibkr.records import Shown


class Asking:
    """Asks on the session's thread. ``require`` raises without a connection, ``cut`` ends one that did not answer."""

    def __init__(
        self,
        client: PacedClient,
        ears: Ears,
        account: str,
        require: Callable[[], None],
        cut: Callable[[str], None],
    ) -> None:
        self._client, self._ears, self._account = client, ears, account
        self._require, self._cut = require, cut
        self._one_at_a_time = asyncio.Lock()
        self._times_asked = 0

    def begin(self) -> None:
        """A new connection counts its questions for the time anew."""
        self._times_asked = 0

    async def ask(self, name: str, timeout: float) -> list[Shown]:
        """The answer to a question; raises `BrokerUnavailable` when there is none in time."""
        async with self._one_at_a_time:
            self._require()
            question = self._ears.ask(name)
            self._pose(name)
            try:
                await asyncio.wait_for(question.answered, timeout)
            except TimeoutError as error:
                text = f"{name} was not answered in {timeout:g} seconds"
                self._cut(text)
                raise BrokerUnavailable(text) from error
            return question.rows

    async def ask_everything(self, timeout: float) -> None:
        """Positions, orders, executions and the account, each really answered; raises naming what did not."""
        for name in (*FIRST_READS, "account"):
            await self.ask(name, timeout)

    async def begin_barrier(self) -> Barrier:
        """Ask for the time without waiting for the answer."""
        self._require()
        question = self._ears.ask("time")
        self._pose("time")
        return Barrier(self._times_asked, question)

    def _pose(self, name: str) -> None:
        if name == "time":
            self._times_asked += 1
        ask = ask_account(self._account) if name == "account" else QUESTIONS[name]
        ask(self._client)
