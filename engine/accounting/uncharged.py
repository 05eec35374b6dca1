"""Executions whose commission the broker has not told: what it is expected to be, until it is told.

An order is expected to cost what the fund's own cost model says (`CostPolicy.commission`); its minimum is due once, so
that each execution is expected to cost what the order costs more by it. What is expected is booked as a commission
under an id of its own. It is taken back when the commission itself is booked: each cent counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.accounting.charges import charge
from engine.accounting.ledger import (
    CASH,
    EXPECTED_COMMISSION_PREFIX,
    EntryKind,
    LedgerEntry,
    pair,
)
from engine.model.market import FxRates
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill
from engine.model.policy import CostPolicy
from engine.model.universe import ContractBook


@dataclass(frozen=True, slots=True, kw_only=True)
class UnchargedExecution:
    """An execution without its commission: ``expected`` is booked for it, in ``currency``; ``notional_usd`` is unsigned."""

    execution_id: str
    order_ref: str
    contract_id: str
    notional_usd: Decimal
    expected: Decimal
    currency: str
    expected_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class NavEstimate:
    """Why a NAV is an estimate: the executions that stood without a commission when it was struck."""

    uncharged: tuple[UnchargedExecution, ...]


def expected_commissions(
    fills: Sequence[Fill], contracts: ContractBook, costs: CostPolicy, closed_until: datetime, now: datetime
) -> tuple[LedgerEntry, ...]:
    """Postings of what executions without a commission are expected to cost.

    Each is booked at its execution's time while the books of that time are open, else ``now``.

    ``fills`` are all valid executions of the orders concerned, in the order of their times. Nothing is booked for one
    that is expected to cost nothing.
    """
    done: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    entries = []
    for fill in fills:
        instrument = contracts.instrument(fill.contract_id)
        key, kind = (fill.order_ref or fill.execution_id, fill.contract_id), instrument.collar_class
        quantity, notional = done.get(key, (ZERO, ZERO))
        value = abs(instrument.notional(fill.quantity, fill.price))
        done[key] = quantity + fill.quantity, notional + value
        before, after = (costs.commission(kind, *upto) for upto in ((quantity, notional), done[key]))
        amount = round_money(after) - round_money(before)
        if fill.is_charged or amount == 0:
            continue
        booked_at = fill.executed_at if fill.executed_at > closed_until else now
        entries.append(_entry(fill, instrument.currency, amount, booked_at))
    return tuple(entries)


def _entry(fill: Fill, currency: str, amount: Decimal, booked_at: datetime) -> LedgerEntry:
    lines = pair("expense:commission", CASH, currency, amount)
    return charge(
        fill, EXPECTED_COMMISSION_PREFIX + fill.execution_id, EntryKind.COMMISSION, lines, booked_at
    )


def nav_estimate(
    fills: Sequence[Fill], booked: Mapping[str, LedgerEntry], contracts: ContractBook, fx: FxRates
) -> NavEstimate | None:
    """What makes a NAV an estimate, ``None`` where every execution has its commission.

    ``booked`` are the postings of what is expected, by execution.
    """
    rows = []
    for fill in fills:
        if fill.is_charged or fill.quantity == 0:
            continue
        instrument, entry = contracts.instrument(fill.contract_id), booked.get(fill.execution_id)
        expected = ZERO if entry is None else -entry.cash.get(instrument.currency, ZERO)
        notional = abs(instrument.notional(fill.quantity, fill.price))
        rows.append(
            UnchargedExecution(
                execution_id=fill.execution_id,
                order_ref=fill.order_ref or "",
                contract_id=fill.contract_id,
                notional_usd=round_money(fx.to_base(notional, instrument.currency)),
                expected=expected,
                currency=instrument.currency,
                expected_usd=round_money(fx.to_base(expected, instrument.currency)),
            )
        )
    return NavEstimate(uncharged=tuple(rows)) if rows else None
