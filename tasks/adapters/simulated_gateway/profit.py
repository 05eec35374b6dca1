"""Profit and loss of the account and of one holding, as the broker works it out of its own list of executions.

A holding's day begins with its venue's latest session. What the broker's list no longer reaches is told as unset, and so
is what was realized: the simulated broker keeps no account of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from engine.model.instruments import Instrument
from engine.model.money import ZERO, round_money
from engine.model.portfolio import BrokerPosition, BrokerSnapshot
from engine.simulation.broker import SimulatedBroker
from tasks.adapters.simulated_gateway.forms import UNSET_NUMBER
from tasks.adapters.simulated_gateway.sessions import Answer, plain

_LISTED = timedelta(days=1)
"""How far back before today the broker lists executions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profit:
    """Of one holding, in its currency; ``None`` where it is not known."""

    currency: str
    quantity: Decimal
    value: Decimal
    daily: Decimal | None
    unrealized: Decimal | None


def profit_of(broker: SimulatedBroker, told: BrokerSnapshot, contract_id: str) -> Profit:
    """Profit of what is held of a contract, and of what was traded in it since its venue last opened."""
    line = broker.terms.instrument(contract_id)
    row = told.positions.get(contract_id)
    quantity, mark = (ZERO, None) if row is None else (row.quantity, row.mark)
    unrealized = None
    if row is not None and mark is not None:
        unrealized = line.notional(quantity, mark) - quantity * row.average_cost
    return Profit(
        currency=line.currency,
        quantity=quantity,
        value=ZERO if mark is None else line.notional(quantity, mark),
        daily=_daily(broker, told, line, contract_id, row),
        unrealized=unrealized if quantity else ZERO,
    )


def account_profit(broker: SimulatedBroker, told: BrokerSnapshot) -> tuple[Decimal | None, Decimal | None]:
    """Of the day and unrealized, in the base currency; ``None`` when that of one holding is not known."""
    traded = {fill.contract_id for fill in told.executions}
    profits = [profit_of(broker, told, name) for name in sorted(traded | told.positions.keys())]
    daily = [None if one.daily is None else one.daily * told.fx[one.currency] for one in profits]
    unrealized = [
        None if one.unrealized is None else one.unrealized * told.fx[one.currency] for one in profits
    ]
    return _sum(daily), _sum(unrealized)


def account_answer(broker: SimulatedBroker, at: datetime, request_id: int) -> Mapping[str, Answer]:
    """The account's profit."""
    daily, unrealized = account_profit(broker, broker.snapshot(at))
    said = {"daily": _text(daily), "unrealized": _text(unrealized), "realized": UNSET_NUMBER}
    return {"profit": Answer("profit_and_loss", {"request_id": str(request_id), **said})}


def single_answer(
    broker: SimulatedBroker, at: datetime, contract_id: str, request_id: int
) -> Mapping[str, Answer]:
    """The profit of one holding, in its own currency."""
    one = profit_of(broker, broker.snapshot(at), contract_id)
    said = {
        "position": plain(one.quantity), "daily": _text(one.daily), "unrealized": _text(one.unrealized),
        "realized": UNSET_NUMBER, "value": _text(one.value),
    }  # fmt: skip
    return {"profit": Answer("profit_and_loss_single", {"request_id": str(request_id), **said})}


def _daily(
    broker: SimulatedBroker,
    told: BrokerSnapshot,
    line: Instrument,
    contract_id: str,
    row: BrokerPosition | None,
) -> Decimal | None:
    """Value now, less that of the opening holding at the close before, less what was paid for trades since."""
    sessions = broker.terms.facts.sessions
    running = sessions.in_session(line.venue, told.as_of) or sessions.last_closed(line.venue, told.as_of)
    if running.open.date() < told.as_of.date() - _LISTED:
        return None
    fills = [f for f in told.executions if f.contract_id == contract_id and f.executed_at >= running.open]
    quantity = ZERO if row is None else row.quantity
    opening = quantity - sum((fill.signed_quantity for fill in fills), ZERO)
    paid = sum((line.notional(fill.signed_quantity, fill.price) for fill in fills), ZERO)
    closing = broker.terms.last_closing(contract_id, running.open)
    if (opening and closing is None) or (quantity and (row is None or row.mark is None)):
        return None
    now = ZERO if row is None or row.mark is None else line.notional(quantity, row.mark)
    before = ZERO if closing is None else line.notional(opening, closing.price)
    return now - before - paid


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, ZERO) if len(known) == len(amounts) else None


def _text(amount: Decimal | None) -> str:
    return UNSET_NUMBER if amount is None else plain(round_money(amount))
