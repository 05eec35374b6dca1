from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import allocate, apply, fold
from engine.accounting.ledger import (
    EntryKind,
    LedgerEntry,
    LedgerLine,
    book_execution,
    commission,
    expiry,
    reverse,
    trade,
    transfer,
    variation,
    write_down,
)
from engine.errors import InvariantError
from engine.model.encoding import decode, encode
from engine.model.portfolio import Portfolio, Sleeve
from tests.engine.accounting.builders import BOOK, DAY, NOW, D, at, bought, capital, make_fill


def portfolio_of(*entries: LedgerEntry) -> Portfolio:
    return fold(entries, at(31))


def settle(portfolio: Portfolio, contract_id: str, price: str, day: int) -> LedgerEntry:
    return variation(
        portfolio.positions[contract_id],
        BOOK.instrument(contract_id),
        date(2025, 12, day),
        D(price),
        at(day, 22),
    )


def test_entry_whose_lines_do_not_sum_to_zero_is_refused() -> None:
    with pytest.raises(InvariantError, match="sum to zero"):
        LedgerEntry(
            entry_id="x",
            kind=EntryKind.INTEREST,
            booked_at=NOW,
            value_date=DAY,
            contract_id=None,
            reference="",
            price=None,
            quantity=None,
            lines=(LedgerLine(account="cash", unit="USD", amount=D(1)),),
        )


def test_line_with_seven_decimals_is_refused() -> None:
    with pytest.raises(InvariantError, match="six decimals"):
        LedgerLine(account="cash", unit="USD", amount=D("0.0000001"))


def test_entry_survives_its_encoding() -> None:
    entry = bought("AAPL", "3", "101.5")
    assert decode(LedgerEntry, encode(entry)) == entry


def test_deposit_gives_cash_and_units() -> None:
    portfolio = portfolio_of(capital("10000000"))
    assert portfolio.cash == {"USD": D(10_000_000)}
    assert portfolio.units == D(100_000)


def test_share_purchase_is_paid_in_cash_and_held_at_cost() -> None:
    portfolio = portfolio_of(capital(), bought("CSPX", "932", "738.48"))
    # 932 × 738.48 = 688,263.36
    assert portfolio.cash["USD"] == D("9311736.64")
    held = portfolio.positions["CSPX"]
    assert (held.quantity, held.cost, held.average_price) == (D(932), D("688263.36"), D("738.48"))


def test_pence_line_is_paid_in_pounds() -> None:
    portfolio = portfolio_of(bought("IUKD", "1000", "895"))
    assert portfolio.cash["GBP"] == D(-8950)


def test_short_sale_brings_cash_and_negative_cost() -> None:
    portfolio = portfolio_of(bought("CS51", "-100", "50"))
    assert portfolio.cash["EUR"] == D(5000)
    assert portfolio.positions["CS51"].cost == D(-5000)


def test_partial_sale_takes_out_its_share_of_the_cost() -> None:
    portfolio = portfolio_of(bought("AAPL", "10", "100"), bought("AAPL", "-4", "120", "e2.01"))
    held = portfolio.positions["AAPL"]
    # 1,000 × 6/10
    assert (held.quantity, held.cost, held.average_price) == (D(6), D(600), D(100))


def test_sale_through_zero_opens_at_its_own_price() -> None:
    portfolio = portfolio_of(bought("AAPL", "10", "100"), bought("AAPL", "-15", "120", "e2.01"))
    held = portfolio.positions["AAPL"]
    assert (held.quantity, held.cost, held.average_price) == (D(-5), D(-600), D(120))


def test_flat_share_leaves_no_position() -> None:
    portfolio = portfolio_of(bought("AAPL", "10", "100"), bought("AAPL", "-10", "120", "e2.01"))
    assert portfolio.positions == {}
    assert portfolio.cash == {"USD": D(200)}


def test_future_purchase_moves_no_cash_until_it_is_settled() -> None:
    opened = portfolio_of(bought("FESX_20251219", "10", "5000"))
    assert opened.cash == {}
    assert opened.positions["FESX_20251219"].cost == D(500_000)
    settled = apply(opened, settle(opened, "FESX_20251219", "5050", 1))
    # 10 × 50 × 10
    assert settled.cash == {"EUR": D(5000)}
    assert settled.positions["FESX_20251219"].cost == D(505_000)


def test_future_closed_before_settlement_keeps_its_unsettled_result() -> None:
    closed = portfolio_of(bought("ES_20251219", "1", "5000"), bought("ES_20251219", "-1", "5010", "e2.01"))
    assert closed.positions["ES_20251219"].quantity == 0
    assert closed.positions["ES_20251219"].cost == D(-500)
    settled = apply(closed, settle(closed, "ES_20251219", "4990", 1))
    # (5,010 − 5,000) × 50, whatever the settlement
    assert settled.cash == {"USD": D(500)}
    assert settled.positions == {}


def test_share_is_never_settled_daily() -> None:
    portfolio = portfolio_of(bought("AAPL", "1", "100"))
    with pytest.raises(InvariantError, match="only futures"):
        settle(portfolio, "AAPL", "100", 1)


def test_expiring_future_is_settled_and_removed() -> None:
    opened = portfolio_of(bought("ES_20251219", "-2", "5000"))
    position = opened.positions["ES_20251219"]
    gone = apply(
        opened, expiry(position, BOOK.instrument("ES_20251219"), date(2025, 12, 19), D(4900), at(19))
    )
    # −2 × (4,900 − 5,000) × 50
    assert gone.cash == {"USD": D(10_000)}
    assert gone.positions == {}


def test_expiring_option_pays_its_intrinsic_value() -> None:
    name = "SPX_20251219_P_4800"
    opened = portfolio_of(bought(name, "3", "20"))
    gone = apply(
        opened, expiry(opened.positions[name], BOOK.instrument(name), date(2025, 12, 19), D(35), at(19))
    )
    # −3 × 20 × 100 + 3 × 35 × 100
    assert gone.cash == {"USD": D(4500)}
    assert gone.positions == {}


def test_spot_fx_fill_exchanges_cash_and_makes_no_position() -> None:
    portfolio = portfolio_of(bought("EUR.USD", "20000", "1.17"))
    assert portfolio.cash == {"EUR": D(20_000), "USD": D(-23_400)}
    assert portfolio.positions == {}


def test_commission_is_paid_in_its_currency() -> None:
    fill = make_fill("CS51", "10", "50", commission="1.25")
    assert portfolio_of(commission(fill, NOW)).cash == {"EUR": D("-1.25")}


def test_unreported_commission_is_not_booked() -> None:
    with pytest.raises(InvariantError, match="reported commission"):
        commission(make_fill("CS51", "10", "50"), NOW)


def test_trade_whose_sleeves_do_not_sum_is_refused() -> None:
    with pytest.raises(InvariantError, match="do not sum"):
        trade(make_fill("AAPL", "10", "100"), BOOK.instrument("AAPL"), {"core_index_rv": D(9)}, NOW)


def test_corrected_execution_leaves_the_book_as_if_only_the_correction_had_come() -> None:
    instrument = BOOK.instrument("AAPL")
    wrong = make_fill("AAPL", "10", "101", "e1.01", commission="1")
    right = make_fill("AAPL", "9", "100", "e1.02", commission="0.9")
    first = book_execution(wrong, instrument, {"single_name": D(10)}, NOW)
    second = book_execution(right, instrument, {"single_name": D(9)}, NOW, superseded=first)
    alone = book_execution(right, instrument, {"single_name": D(9)}, NOW)
    before = (bought("AAPL", "5", "90", "e0.01"),)
    assert portfolio_of(*before, *first, *second) == portfolio_of(*before, *alone)
    assert len({entry.entry_id for entry in (*first, *second)}) == 6


def test_transfer_changes_sleeves_only() -> None:
    opened = portfolio_of(bought("AAPL", "10", "100"))
    moved = apply(opened, transfer("AAPL", "core_index_rv", "single_name", D(4), D(100), NOW, "netting"))
    assert moved.positions["AAPL"].sleeves == {Sleeve.CORE: D(6), Sleeve.SINGLE_NAME: D(4)}
    assert (
        replace(moved.positions["AAPL"], sleeves=opened.positions["AAPL"].sleeves) == opened.positions["AAPL"]
    )
    assert moved.cash == opened.cash


def test_write_down_lowers_accruals() -> None:
    assert portfolio_of(write_down("AAPL", "USD", D(500), NOW, "halt-1")).accruals == {"USD": D(-500)}


def test_fold_as_of_leaves_out_what_was_booked_later() -> None:
    entries = (capital(booked_at=at(1)), bought("AAPL", "1", "100", booked_at=at(3)))
    assert fold(entries, at(2)).positions == {}
    assert fold(entries, at(3)).quantity("AAPL") == D(1)


TRADES = st.lists(
    st.tuples(
        st.sampled_from(["AAPL", "IUKD", "ES_20251219", "EUR.USD"]),
        st.integers(-50, 50).filter(bool),
        st.decimals(1, 9000, places=2),
        st.sampled_from(["core_index_rv", "single_name"]),
    ),
    max_size=12,
)


@given(rows=TRADES, cut=st.integers(0, 12))
def test_incremental_book_equals_the_fold_of_all_entries(
    rows: list[tuple[str, int, Decimal, str]], cut: int
) -> None:
    entries = [
        bought(contract, D(quantity), price, f"e{row}.01", sleeve, NOW)
        for row, (contract, quantity, price, sleeve) in enumerate(rows)
    ]
    assert apply(fold(entries[:cut], NOW), *entries[cut:]) == fold(entries, NOW)


@given(rows=TRADES)
def test_cash_plus_cost_of_futures_equals_what_was_traded(rows: list[tuple[str, int, Decimal, str]]) -> None:
    entries = [
        bought(contract, D(quantity), price, f"e{row}.01", sleeve)
        for row, (contract, quantity, price, sleeve) in enumerate(rows)
    ]
    portfolio = fold(entries, NOW)
    future_cost = sum((D(q) * p * 50 for c, q, p, _ in rows if c == "ES_20251219"), D(0))
    held = portfolio.positions.get("ES_20251219")
    assert (D(0) if held is None else held.cost) == future_cost
    share_cost = sum((D(q) * p for c, q, p, _ in rows if c in ("AAPL", "EUR.USD")), D(0))
    assert portfolio.cash.get("USD", D(0)) == -share_cost


SHARES = st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), st.integers(-500, 500), min_size=1).filter(
    lambda wanted: sum(wanted.values()) != 0
)


@given(wanted=SHARES, cuts=st.lists(st.floats(0, 1), max_size=5))
def test_fills_in_any_pieces_end_at_the_sleeves_of_the_order(
    wanted: dict[str, int], cuts: list[float]
) -> None:
    sleeves = {name: D(quantity) for name, quantity in wanted.items()}
    total = sum(sleeves.values(), D(0))
    stops = sorted({*(int(abs(total) * D(str(cut))) for cut in cuts), int(abs(total))})
    sign, filled, held = (1 if total > 0 else -1), D(0), dict.fromkeys(sleeves, D(0))
    for stop in stops:
        piece = sign * D(stop) - filled
        split = allocate(piece, sleeves, filled, total)
        assert sum(split.values(), D(0)) == piece
        assert all(quantity == quantity.to_integral_value() for quantity in split.values())
        held = {name: held[name] + split[name] for name in held}
        filled += piece
    assert held == sleeves


def test_allocation_gives_the_odd_share_to_the_largest_remainder() -> None:
    # 10 × 2/3 = 6.67, 10 × 1/3 = 3.33
    assert allocate(D(10), {"a": D(20), "b": D(10)}, D(0), D(30)) == {"a": D(7), "b": D(3)}


def test_allocation_of_sleeves_that_do_not_sum_is_refused() -> None:
    with pytest.raises(InvariantError, match="sum to an order"):
        allocate(D(1), {"a": D(1)}, D(0), D(2))


# ---------------------------------------------------------------- corrections


def test_busted_sale_leaves_the_cost_of_the_purchase() -> None:
    # 100 at 10 cost 1,000; a sale of 50 at 12 leaves 500; without the sale 1,000 again, and not 500 + 600.
    purchase, sale = bought("AAPL", "100", "10", "e1.01"), bought("AAPL", "-50", "12", "e2.01")
    busted = portfolio_of(purchase, sale, reverse(sale, at(3))).positions["AAPL"]
    assert (busted.quantity, busted.cost, busted.average_price) == (D(100), D(1000), D(10))
    assert fold((purchase, sale, reverse(sale, at(3))), at(2)).positions["AAPL"].cost == D(500)


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["AAPL", "IUKD", "ES_20251219"]),
            st.integers(-50, 50).filter(bool),
            st.decimals(1, 9000, places=2),
            st.booleans(),
        ),
        max_size=10,
    )
)
def test_busted_trades_leave_the_book_of_those_that_stand(
    rows: list[tuple[str, int, Decimal, bool]],
) -> None:
    trades = [
        bought(name, D(quantity), price, f"e{row}.01") for row, (name, quantity, price, _) in enumerate(rows)
    ]
    busts = [reverse(entry, at(3)) for entry, row in zip(trades, rows, strict=True) if row[3]]
    stand = [entry for entry, row in zip(trades, rows, strict=True) if not row[3]]
    whole, alone = portfolio_of(*trades, *busts), portfolio_of(*stand)
    assert whole.positions == alone.positions
    assert {unit: cash for unit, cash in whole.cash.items() if cash} == {
        unit: cash for unit, cash in alone.cash.items() if cash
    }
    assert fold([*trades, *busts], at(2)) == fold(trades, at(2))
