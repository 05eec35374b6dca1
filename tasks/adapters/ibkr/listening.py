"""The client library's ears: every message about orders and the account becomes a record, before the library judges it.

The library keeps its own view of orders, and that view lies: it takes an error code for a cancel, mixes orders whose
permanent numbers it does not know, drops a commission that comes before its execution. It is not shown any order here.
Answers to questions are collected until their end; bars and contract details stay with the library.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from ib_insync import IB
from ib_insync.client import Client
from ib_insync.contract import Contract
from ib_insync.decoder import Decoder
from ib_insync.objects import CommissionReport, Execution
from ib_insync.order import Order, OrderState

from engine.errors import BrokerUnavailable
from tasks.adapters.ibkr.errors import CLIENT_ID_IN_USE
from tasks.adapters.ibkr.hearing_ticks import TickEars
from tasks.adapters.ibkr.judging import ImpossibleNews, Judge
from tasks.adapters.ibkr.lines import Lines
from tasks.adapters.ibkr.records import (
    AccountValueShown,
    CommissionShown,
    ErrorShown,
    News,
    OrderShown,
    PortfolioShown,
    PositionShown,
    Shown,
    StatusShown,
    exact,
    exact_if_set,
    is_unset,
)
from tasks.adapters.ibkr.translating import contract_shown, execution_shown, order_shown

_LENGTH_BYTES, _LARGEST_MESSAGE = 4, 0xFFFFFF
"""Bytes; what the broker's own client takes at most."""

Hear = Callable[[News], None]
Unreadable = Callable[[str], None]


@dataclass(slots=True)
class Question:
    """One question that waits for its end, and what was shown since it was asked."""

    answered: asyncio.Future[None]
    rows: list[Shown] = field(default_factory=list)


class Ears(TickEars):
    """What the library calls for each message."""

    def __init__(self, ib: IB, hear: Hear, unreadable: Unreadable, lines: Lines, judge: Judge) -> None:
        self.hear, self.judge, self._unreadable = hear, judge, unreadable
        self.is_deaf, self._condemned = False, Counter[str]()
        self.questions: dict[str, Question] = {}
        super().__init__(ib, lines)

    def ask(self, name: str) -> Question:
        """Begin to collect an answer; one question of a kind at a time."""
        if name in self.questions:
            raise BrokerUnavailable(f"expected one question for {name} at a time")
        question = Question(asyncio.get_running_loop().create_future())
        self.questions[name] = question
        return question

    def unreadable(self, text: str) -> None:
        """A message can not be used: nothing that comes after it over this connection is heard."""
        self.is_deaf = True
        self._condemned[text] += 1
        self._unreadable(text)

    def begin(self, client_id: int) -> None:
        """Listen to a new connection."""
        self.clientId, self.is_deaf = client_id, False
        self.judge.forget()

    def attempts_after(self, text: str, delays: tuple[float, ...]) -> tuple[float, ...]:
        """The delays to connect again after; none once more connections than that ended with the same message."""
        return () if self._condemned[text] > len(delays) else delays

    def drop_questions(self, text: str) -> None:
        """Fail every question: the line that they were asked over is gone."""
        for question in self.questions.values():
            if not question.answered.done():
                question.answered.set_exception(BrokerUnavailable(text))
        self.questions.clear()

    # ------------------------------------------------------------ orders

    def openOrder(self, orderId: int, contract: Contract, order: Order, orderState: OrderState) -> None:
        """An open order, or the margin that one would take."""
        if order.whatIf:
            # Brokers may answer in two steps; margins that are not set yet are no answer.
            if exact_if_set(orderState.initMarginChange or "nan") is not None:
                super().openOrder(orderId, contract, order, orderState)
            return
        shown = order_shown(order, contract, orderState, is_completed=False)
        self._show(self.judge.order(shown), "open orders")
        self.ib.client.updateReqId(orderId + 1)

    def completedOrder(self, contract: Contract, order: Order, orderState: OrderState) -> None:
        """An order that ended today."""
        shown = order_shown(order, contract, orderState, is_completed=True)
        self._show(self.judge.order(shown), "completed orders", is_news=False)

    def orderStatus(  # noqa: PLR0913, PLR0917 - the library's own signature
        self,
        orderId: int,
        status: str,
        filled: float,
        remaining: float,
        avgFillPrice: float,
        permId: int,
        parentId: int,
        lastFillPrice: float,
        clientId: int,
        whyHeld: str,
        mktCapPrice: float = 0.0,
    ) -> None:
        """The state of an order."""
        shown = StatusShown(
            order_id=orderId,
            client_id=clientId,
            perm_id=permId,
            status=status,
            filled=exact(filled),
            why_held=whyHeld,
        )
        self._show(self.judge.status(shown), "open orders")

    def execDetails(self, reqId: int, contract: Contract, execution: Execution) -> None:
        """An execution, as it happens or as it is listed."""
        self._show(self.judge.execution(execution_shown(contract, execution)), "executions")

    def commissionReport(self, commissionReport: CommissionReport) -> None:
        """What an execution cost; it may come before the execution."""
        if is_unset(commissionReport.commission):
            return
        shown = CommissionShown(
            execution_id=commissionReport.execId,
            commission=exact(commissionReport.commission),
            currency=commissionReport.currency,
        )
        self._show(self.judge.commission(shown), "executions")

    def error(self, reqId: int, errorCode: int, errorString: str, advancedOrderRejectJson: str) -> None:
        """A code: requests of the library fail by it, orders do not."""
        # Why there is no connection is told by who wanted one; the library would log it before.
        if errorCode != CLIENT_ID_IN_USE or self.ib.client.isReady():
            super().error(reqId, errorCode, errorString, advancedOrderRejectJson)
        self.lines.error(reqId, errorCode, errorString)
        self.hear(ErrorShown(request_id=reqId, code=errorCode, text=errorString))

    # ------------------------------------------------------------ account

    def position(self, account: str, contract: Contract, posSize: float, avgCost: float) -> None:
        """A holding."""
        shown = PositionShown(
            account=account,
            contract=contract_shown(contract),
            quantity=exact(posSize),
            average_cost=exact(avgCost),
        )
        self._show(shown, "positions", is_news=False)

    def updatePortfolio(  # noqa: PLR0913, PLR0917 - the library's own signature
        self,
        contract: Contract,
        posSize: float,
        marketPrice: float,
        marketValue: float,
        averageCost: float,
        unrealizedPNL: float,
        realizedPNL: float,
        account: str,
    ) -> None:
        """A holding with its mark."""
        price, value = exact_if_set(marketPrice), exact_if_set(marketValue)
        if price is None or value is None:
            return
        shown = PortfolioShown(
            account=account,
            contract=contract_shown(contract),
            quantity=exact(posSize),
            price=price,
            value=value,
        )
        self._show(shown, "account", is_news=False)

    def updateAccountValue(self, tag: str, val: str, currency: str, account: str) -> None:
        """One value of the account."""
        shown = AccountValueShown(account=account, key=tag, value=val, currency=currency)
        self._show(shown, "account", is_news=False)

    # ------------------------------------------------------------ ends of answers

    def openOrderEnd(self) -> None:
        """All open orders were shown."""
        self._end("open orders")

    def completedOrdersEnd(self) -> None:
        """All completed orders were shown."""
        self._end("completed orders")

    def execDetailsEnd(self, reqId: int) -> None:
        """All executions were shown."""
        self._end("executions")

    def positionEnd(self) -> None:
        """All positions were shown."""
        self._end("positions")

    def accountDownloadEnd(self, _account: str) -> None:
        """The account was shown whole."""
        self._end("account")

    def currentTime(self, time: int) -> None:
        """The broker's clock, which only proves that it is alive."""
        self._end("time")

    def nextValidId(self, reqId: int) -> None:
        """The number that the broker expects next."""
        self.ib.client.updateReqId(reqId)
        self.next_order_id = reqId
        self._end("next number")

    next_order_id: int | None = None

    def _show(self, shown: Shown, name: str, *, is_news: bool = True) -> None:
        question = self.questions.get(name)
        if question is not None:
            if isinstance(shown, OrderShown | StatusShown):
                shown = replace(shown, is_listed=True)
            question.rows.append(shown)
        if is_news and not isinstance(shown, PositionShown | PortfolioShown | AccountValueShown):
            self.hear(shown)

    def _end(self, name: str) -> None:
        question = self.questions.pop(name, None)
        if question is not None and not question.answered.done():
            question.answered.set_result(None)


class StrictDecoder(Decoder):
    """The library's decoder, which drops what it can not read; here somebody is told: it may have been an order."""

    def __init__(self, ears: Ears) -> None:
        self._ears = ears
        super().__init__(ears, 0)

    def wrap(self, methodName: str, types: list[type], skip: int = 2) -> Callable[[list[str]], None]:
        """A handler that reads plain fields and fails loudly."""

        def handler(fields: list[str]) -> None:
            method = getattr(self.wrapper, methodName, None)
            if method is not None:
                given = zip(types, fields[skip:], strict=False)
                method(*(_plain(kind, field) for kind, field in given))

        return handler

    def interpret(self, fields: list[str]) -> None:
        """Decode one message and call its method."""
        if self._ears.is_deaf:
            return  # everything is told again over the next connection
        try:
            self.handlers[int(fields[0])](fields)
        except ImpossibleNews as error:
            self._ears.unreadable(f"a message that can not be true: {error}")
        except (
            Exception
        ) as error:  # whatever it was, one message went by unread: a line of bars that ends early is one
            text = f"a message that can not be read ({type(error).__name__}: {error}): {fields[:4]}"
            self._ears.unreadable(text)


def _plain(kind: type, field: str) -> str | int | float | bool:
    if kind is str:
        return field
    if kind is bool:
        return bool(int(field or 0))
    return int(field or 0) if kind is int else float(field or 0)


_TOLD_WITH_THE_CONNECTION = (
    "API connection failed: ",
    "Make sure API port on TWS/IBG is open",
    "Peer closed connection. clientId ",
)
"""How the library's lines begin about a connection that was not made: who wanted it is told why, in our own words."""


def _is_told_by_nobody_else(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_TOLD_WITH_THE_CONNECTION)


class PacedClient(Client):
    """The library's client. Reads may wait in its queue; an order is only written when nothing waits before it."""

    def __init__(self, wrapper: Ears) -> None:
        super().__init__(wrapper)
        self._logger = logging.getLogger("ib_insync.client.fund")
        self._logger.addFilter(_is_told_by_nobody_else)
        self.decoder = StrictDecoder(wrapper)

    def _onSocketHasData(self, data: bytes) -> None:
        super()._onSocketHasData(data)
        length = int.from_bytes(self._data[:_LENGTH_BYTES], "big")
        if len(self._data) >= _LENGTH_BYTES and length > _LARGEST_MESSAGE:
            self._data = (
                b""  # the library would wait for the rest for ever, and read nothing that comes after it
            )
            self.wrapper.unreadable(f"a message that can not be read: {length} bytes are more than any has")

    async def room(self) -> None:
        """Wait until the next message is written at once."""
        loop = asyncio.get_running_loop()
        while self.MaxRequests:
            now = loop.time()
            sent = [at for at in self._timeQ if now - at <= self.RequestsInterval]
            if not self._msgQ and len(sent) < self.MaxRequests:
                return
            await asyncio.sleep(max(0.001, (sent[0] if sent else now) + self.RequestsInterval - now + 0.001))


def listening_ib(
    hear: Hear, unreadable: Unreadable, now: Callable[[], datetime], account: str
) -> tuple[IB, Ears, PacedClient]:
    """The library's object with our ears and our client; made in the thread that owns the loop."""
    ib = IB()
    ears = Ears(ib, hear, unreadable, Lines(now), Judge(account, now))
    client = PacedClient(ears)
    ib.wrapper, ib.client = ears, client
    ib.client.apiEnd += ib.disconnectedEvent
    ib.errorEvent -= ib._onError  # it would ask for a summary that nobody reads
    ib.RaiseRequestErrors = True
    return ib, ears, client
