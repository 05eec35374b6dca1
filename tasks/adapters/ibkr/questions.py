"""The questions that a session asks: how each is written, and what its rows mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ib_insync.objects import ExecutionFilter

from tasks.adapters.ibkr.listening import PacedClient, Question
from tasks.adapters.ibkr.policy import AccountAnswer, OpenList
from tasks.adapters.ibkr.records import (
    AccountValueShown,
    OrderShown,
    PortfolioShown,
    PositionShown,
    Shown,
    StatusShown,
)

Ask = Callable[[PacedClient], None]


class Barrier(NamedTuple):
    """A question for the time that is under way: how many were asked over this connection, and its answer."""

    number: int
    question: Question

    async def reached(self) -> None:
        """Wait for the answer."""
        await self.question.answered


def ask_time(client: PacedClient) -> None:
    """Ask for the broker's time."""
    client.reqCurrentTime()


def ask_executions(client: PacedClient) -> None:
    """Ask for all executions of the day."""
    client.reqExecutions(client.getReqId(), ExecutionFilter())


def ask_account(account: str) -> Ask:
    """Subscribe anew: the account is shown whole at the beginning of a subscription."""

    def ask(client: PacedClient) -> None:
        client.reqAccountUpdates(False, account)
        client.reqAccountUpdates(True, account)

    return ask


QUESTIONS: dict[str, Ask] = {
    "positions": lambda client: client.reqPositions(),
    "open orders": lambda client: client.reqAllOpenOrders(),
    "completed orders": lambda client: client.reqCompletedOrders(False),
    "executions": ask_executions,
    "next number": lambda client: client.reqIds(1),
    "time": ask_time,
}
FIRST_READS = ("positions", "open orders", "completed orders", "executions", "next number")
"""What has to answer, with the account, before a connection is one."""


def open_list(rows: Sequence[Shown]) -> OpenList:
    """Open orders and their states."""
    return OpenList(
        orders=tuple(row for row in rows if isinstance(row, OrderShown)),
        statuses=tuple(row for row in rows if isinstance(row, StatusShown)),
    )


def account_answer(rows: Sequence[Shown], account: str) -> AccountAnswer:
    """Values and holdings of one account."""
    return AccountAnswer(
        values=tuple(row for row in rows if isinstance(row, AccountValueShown) and row.account == account),
        portfolio=tuple(row for row in rows if isinstance(row, PortfolioShown) and row.account == account),
    )


def held_in(rows: Sequence[Shown], account: str) -> tuple[PositionShown, ...]:
    """Holdings of one account."""
    return tuple(row for row in rows if isinstance(row, PositionShown) and row.account == account)
