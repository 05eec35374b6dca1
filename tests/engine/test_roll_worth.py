"""What a roll costs the fund: its fees and half of each market's width, and nothing of what it holds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import fold
from engine.accounting.ledger import LedgerEntry, commission, trade
from engine.accounting.nav import ValuationContext, value_portfolio
from engine.model.portfolio import CashBasis, Portfolio, Sleeve
from tests.engine.accounting.builders import (
    BOOK,
    DAY,
    NOW,
    bought,
    capital,
    make_fill,
    make_marks,
    make_rates,
)

OLD, NEW = "M6E_20251215", "M6E_20260316"
TICK, POINT = D("0.0001"), D(12_500)
CONTEXT = ValuationContext(trade_date=DAY, as_of=NOW, basis=CashBasis.SETTLED, fx_hedges=frozenset())
ticks = st.integers(0, 20)
lots = st.dictionaries(st.sampled_from([Sleeve.FX_HEDGE, Sleeve.CORE]), st.integers(-9, 9), min_size=1)


def nav(book: Portfolio, old: D, new: D) -> D:
    marks = make_marks(**{OLD: str(old), NEW: str(new)})
    return value_portfolio(book, marks, make_rates(), BOOK, CONTEXT).nav


def legs(held: dict[Sleeve, D], old: D, new: D, fee: D) -> list[LedgerEntry]:
    """The two executions of a spread and their commissions."""
    found: list[LedgerEntry] = []
    total = sum(held.values(), D(0))
    for name, price, sign, number in ((NEW, new, 1, 1), (OLD, old, -1, 2)):
        fill = make_fill(name, total * sign, price, f"r{number}.01", commission=str(fee))
        split = {sleeve.value: quantity * sign for sleeve, quantity in held.items()}
        found += [trade(fill, BOOK.instrument(name), split, NOW), commission(fill, NOW)]
    return found


@given(
    held=lots,
    old=st.integers(10_000, 14_000),
    basis=st.integers(-80, 80),
    widths=st.tuples(ticks, ticks),
    fee=st.integers(0, 500),
)
def test_roll_moves_nav_by_fees_and_half_of_both_markets_and_no_sleeve(
    held: dict[Sleeve, int], old: int, basis: int, widths: tuple[int, int], fee: int
) -> None:
    owned = {sleeve: D(quantity) for sleeve, quantity in held.items()}
    total = sum(owned.values(), D(0))
    if total == 0:
        return
    mid_old, mid_new, charge = old * TICK, (old + basis) * TICK, D(fee) / 100
    side = 1 if total > 0 else -1
    # A long buys the new contract above its middle and sells the old one below; a short the other way round.
    paid_old, paid_new = mid_old - side * widths[0] * TICK, mid_new + side * widths[1] * TICK
    entries = [
        capital(),
        *(bought(OLD, quantity, mid_old, f"o{n}.01", sleeve.value) for n, (sleeve, quantity) in enumerate(owned.items()) if quantity),
    ]  # fmt: skip
    before = fold(entries, NOW)
    after = fold([*entries, *legs(owned, paid_old, paid_new, charge)], NOW)
    cost = abs(total) * POINT * TICK * (widths[0] + widths[1]) + 2 * charge
    assert nav(before, mid_old, mid_new) - nav(after, mid_old, mid_new) == cost
    assert after.quantity(OLD) == 0
    assert {s: q for s, q in after.positions[NEW].sleeves.items() if q} == {
        s: q for s, q in owned.items() if q
    }


def test_gain_of_the_old_contract_is_realised_and_the_new_one_begins_at_its_fill() -> None:
    # Four bought at 1.1700 and rolled at 1.1720 / 1.1775: 4 × 12,500 × 0.0020 = 100 USD are the old one's.
    entries = [capital(), bought(OLD, "4", "1.1700")]
    owned = {Sleeve.CORE: D(4)}
    after = fold([*entries, *legs(owned, D("1.1720"), D("1.1775"), D("1.25"))], NOW)
    position = after.positions[NEW]
    assert (position.quantity, position.average_price, position.cost) == (D(4), D("1.1775"), D(58_875))
    assert nav(after, D("1.1720"), D("1.1775")) == D(10_000_000) + 100 - D("2.50")
    assert replace(position, cost=D(0)).sleeves == {Sleeve.CORE: D(4)}
