"""Everything that may explain a difference of money, gathered once for those who name its cause."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.corporate_actions import DIVIDEND_ACCOUNT
from engine.accounting.differences import CashDifference, QuantityDifference
from engine.accounting.ledger import EntryKind
from engine.accounting.sides import Evidence, KnownOrders, Sides
from engine.model.money import ZERO, round_money


@dataclass(frozen=True, slots=True, kw_only=True)
class CashScene:
    """Both sides, what differs in money and in quantity, and what else is known."""

    sides: Sides
    cash: tuple[CashDifference, ...]
    quantities: tuple[QuantityDifference, ...]
    known: KnownOrders
    evidence: Evidence


def held_dividends(scene: CashScene, currency: str) -> Iterator[tuple[str, Decimal]]:
    """Dividends of what is held, in words and money: known to the market, or booked lately."""
    for row in scene.evidence.dividends:
        instrument = scene.sides.instrument(row.instrument_id)
        quantity = scene.sides.portfolio.quantity(row.instrument_id)
        if instrument is not None and instrument.currency == currency and quantity != 0:
            yield f"the dividend of {row.instrument_id} ex {row.ex_date}", round_money(quantity * row.amount)
    for entry in scene.evidence.recent:
        if entry.kind is EntryKind.DIVIDEND:
            owed = sum(
                (x.amount for x in entry.lines if x.account == DIVIDEND_ACCOUNT and x.unit == currency), ZERO
            )
            if owed != 0:
                yield (
                    f"the dividend {entry.entry_id}",
                    abs(owed) if entry.cash.get(currency, ZERO) > 0 else owed,
                )
