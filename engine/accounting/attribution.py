"""To which sleeve does an amount belong? Who holds a contract as entries go by, and exact splits by their shares.

Holdings follow the entries in their order, so that a dividend goes to those who held on its ex-date and not to those
who held in the morning. What an execution cost goes to the sleeves that it was for, by the size of their part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.ledger import (
    EXPECTED_COMMISSION_PREFIX,
    POSITION_PREFIX,
    REVERSAL_PREFIX,
    EntryKind,
    LedgerEntry,
)
from engine.model.money import ZERO, round_money
from engine.model.portfolio import Portfolio, Sleeve

_COSTS_OF_A_TRADE = ("commission:", EXPECTED_COMMISSION_PREFIX, "tax:")
CASH_ALONE: Mapping[Sleeve, Decimal] = {Sleeve.CASH: Decimal(1)}
"""What belongs to no holding belongs to the cash sleeve."""


def entry_sleeves(entry: LedgerEntry) -> dict[Sleeve, Decimal]:
    """Signed change of each sleeve's holding in the entry's contract."""
    changes: dict[Sleeve, Decimal] = {}
    for line in entry.lines:
        if line.account.startswith(POSITION_PREFIX):
            sleeve = Sleeve(line.account.removeprefix(POSITION_PREFIX))
            changes[sleeve] = changes.get(sleeve, ZERO) + line.amount
    return changes


def split_exactly(amount: Decimal, weights: Mapping[Sleeve, Decimal]) -> dict[Sleeve, Decimal]:
    """Parts of an amount by weight (signed, their sum not zero), in micro-units: they sum to the rounded amount."""
    total, reached, given = sum(weights.values(), ZERO), ZERO, ZERO
    parts = {}
    for sleeve, weight in weights.items():
        reached += weight
        upto = round_money(amount if reached == total else amount * reached / total)
        parts[sleeve] = upto - given
        given = upto
    return parts


def _trade_behind(entry: LedgerEntry) -> str:
    """Id of the trade whose commission or tax this is, reversals of the one from reversals of the other."""
    sign, name = (REVERSAL_PREFIX if entry.is_reversal else ""), entry.entry_id.removeprefix(REVERSAL_PREFIX)
    kind = next((kind for kind in _COSTS_OF_A_TRADE if name.startswith(kind)), None)
    return "" if kind is None else f"{sign}trade:{name.removeprefix(kind)}"


@dataclass(slots=True)
class Holders:
    """Signed holdings by contract and sleeve as entries are followed; it never leaves one bridge.

    ``former`` are the last holdings of what nobody holds any more, ``trades`` the parts of each trade by entry id.
    """

    held: dict[str, dict[Sleeve, Decimal]]
    former: dict[str, dict[Sleeve, Decimal]]
    trades: Mapping[str, dict[Sleeve, Decimal]]

    @classmethod
    def of(cls, opening: Portfolio, entries: Sequence[LedgerEntry]) -> Holders:
        """Holders before the first entry."""
        return cls(
            held={name: dict(position.sleeves) for name, position in opening.positions.items()},
            former={},
            trades={
                entry.entry_id: entry_sleeves(entry) for entry in entries if entry.kind is EntryKind.TRADE
            },
        )

    def follow(self, entry: LedgerEntry) -> None:
        """Take an entry's changes over."""
        changes = entry_sleeves(entry)
        if entry.contract_id is None or not changes:
            return
        before = self.held.get(entry.contract_id, {})
        after = dict(before)
        for sleeve, change in changes.items():
            after[sleeve] = after.get(sleeve, ZERO) + change
        self.held[entry.contract_id] = {sleeve: held for sleeve, held in after.items() if held != 0}
        if sum(after.values(), ZERO) == 0 and sum(before.values(), ZERO) != 0:
            self.former[entry.contract_id] = before

    def weights(self, entry: LedgerEntry) -> Mapping[Sleeve, Decimal]:
        """Whose the money of an entry is: of nobody known it is cash's."""
        if entry.contract_id is None:
            return CASH_ALONE
        parts = self.trades.get(_trade_behind(entry))
        if parts:
            return {sleeve: abs(quantity) for sleeve, quantity in parts.items()}
        held = self.held_weights(entry.contract_id)
        if entry.kind is EntryKind.BORROW_FEE:
            return {sleeve: quantity for sleeve, quantity in held.items() if quantity < 0} or held
        return held

    def held_weights(self, contract_id: str) -> Mapping[Sleeve, Decimal]:
        """Signed holdings, or the last ones of a contract that is gone; of nobody known it is cash's."""
        for holdings in (self.held.get(contract_id, {}), self.former.get(contract_id, {})):
            if sum(holdings.values(), ZERO) != 0:
                return holdings
        return CASH_ALONE
