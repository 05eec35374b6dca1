"""The simulated broker's own accounting: every figure against arithmetic that stands in the test."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigurationError
from engine.model.encoding import decode
from engine.model.market import Dividend, Split, SymbolChange
from engine.model.orders import ChildStatus, OrderType, Side
from engine.simulation.account import Posting, PostingKind
from engine.simulation.broker import SimulatedBroker
from engine.simulation.journal import MemoryJournal, RecordKind
from engine.simulation.loans import daily_interest
from tests.engine.simulation.exchange_world import (
    FUTURE,
    MONDAY,
    NO_CARRY,
    OPTION,
    UNIVERSE,
    World,
    broker_terms,
    new_broker,
    order,
    utc,
)

TUESDAY, WEDNESDAY = date(2024, 3, 5), date(2024, 3, 6)


def _holding(
    world: World, contract_id: str, quantity: int, limit: str, *, carry: object = NO_CARRY
) -> SimulatedBroker:
    """A broker that traded on Monday at 15:00 and now stands at 16:00."""
    broker = new_broker(world, carry=carry)  # type: ignore[arg-type]
    side = Side.BUY if quantity > 0 else Side.SELL
    broker.submit(order(contract_id, str(abs(quantity)), limit, side=side))
    broker.advance(utc(MONDAY, 16))
    assert broker.state.quantity(contract_id) == quantity
    return broker


def _postings(journal: MemoryJournal, kind: PostingKind) -> list[Decimal]:
    rows = [decode(Posting, record.body) for record in journal.history(RecordKind.POSTING)]
    return [posting.amount for posting in rows if posting.kind is kind]


def test_share_bought_and_sold_leaves_price_difference_less_commissions() -> None:
    broker = _holding(World(), "AAA", 1000, "100.05")
    broker.submit(order(quantity="1000", limit="99.9", side=Side.SELL, ref="AF1.B.0"))
    broker.advance(utc(MONDAY, 17))

    # bought at the ask 100.01, sold at the bid 99.99, 2 × 1000 × 0.005 commission
    assert broker.state.balance("USD") == Decimal(10_000_000) - 20 - 10
    assert broker.is_flat


def test_share_quoted_in_pence_costs_pounds() -> None:
    broker = _holding(World(), "PEN", 1000, "250.1")

    # 1000 × 250.1 pence = 2501 GBP; commission max(3, 5 bps × 2501 = 1.2505) = 3 GBP
    assert broker.state.balance("GBP") == Decimal(-2504)


def test_currency_pair_exchanges_cash_and_leaves_no_position() -> None:
    broker = new_broker(World(depth=Decimal(1_000_000)))
    broker.submit(order("EUR.USD", "100000", "1.1001"))
    broker.advance(utc(MONDAY, 16))

    # ask 1.10005; commission max(2, 0.2 bps × 110005 = 2.2001)
    assert broker.state.balance("EUR") == 100_000
    assert broker.state.balance("USD") == Decimal("10000000") - Decimal("110005") - Decimal("2.2001")
    assert len(broker.state.positions) == 0


def test_pair_quoted_against_the_dollar_buys_dollars_with_francs() -> None:
    broker = new_broker(World(depth=Decimal(1_000_000)))
    broker.submit(order("USD.CHF", "100000", "0.79", side=Side.SELL))
    broker.advance(utc(MONDAY, 16))

    # sold 100,000 USD at the bid 0.79995; commission max(2, 0.2 bps × 79,995) = 2 CHF
    assert broker.state.balance("USD") == 9_900_000
    assert broker.state.balance("CHF") == 79_995 - 2


def test_future_moves_no_cash_at_the_trade_and_settles_at_each_close() -> None:
    world = World()
    world.dated_closes = {(FUTURE, MONDAY): Decimal(5010), (FUTURE, TUESDAY): Decimal(4990)}
    journal = MemoryJournal()
    broker = new_broker(world, carry=NO_CARRY, journal=journal)
    broker.submit(order(FUTURE, "2", "5001"))
    broker.advance(utc(MONDAY, 16))
    assert broker.state.balance("USD") == Decimal(10_000_000) - Decimal("4.5")

    broker.advance(utc(WEDNESDAY, 6))

    # bought 2 at 5000.25: (5010 − 5000.25) × 2 × 50 = 975, then (4990 − 5010) × 2 × 50 = −2000
    assert _postings(journal, PostingKind.VARIATION) == [Decimal(975), Decimal(-2000)]
    position = broker.state.positions.get(FUTURE)
    assert position is not None
    assert (position.futures_cost, position.last_settlement) == (Decimal(499_000), Decimal(4990))


def test_future_closed_within_the_day_settles_its_result() -> None:
    broker = _holding(World(), FUTURE, 2, "5001", carry=NO_CARRY)
    broker.submit(order(FUTURE, "2", "4999", side=Side.SELL, ref="AF1.B.0"))
    broker.advance(utc(MONDAY, 17))
    assert broker.snapshot(utc(MONDAY, 17)).cash["USD"] == Decimal("10000000") - 50 - 9

    broker.advance(utc(TUESDAY, 0))

    # in at 5000.25, out at 4999.75: −0.5 × 2 × 50 = −50; four contracts at 2.25
    assert broker.state.balance("USD") == Decimal(10_000_000) - 50 - 9
    assert len(broker.state.positions) == 0


def test_session_without_a_close_settles_nothing_until_the_next() -> None:
    world = World()
    world.dated_closes = {(FUTURE, MONDAY): None, (FUTURE, TUESDAY): Decimal(5010)}
    broker = _holding(world, FUTURE, 2, "5001")

    broker.advance(utc(TUESDAY, 0))
    assert broker.state.balance("USD") == Decimal(10_000_000) - Decimal("4.5")
    broker.advance(utc(WEDNESDAY, 0))

    assert broker.state.balance("USD") == Decimal(10_000_000) - Decimal("4.5") + 975


def test_future_is_settled_for_the_last_time_and_removed_on_its_last_trade_date() -> None:
    world = World()
    world.dated_closes = {(FUTURE, date(2024, 3, 15)): Decimal(5100)}
    broker = _holding(world, FUTURE, 2, "5001")

    broker.advance(utc(date(2024, 3, 16), 0))

    assert broker.is_flat
    # (5100 − 5000.25) × 2 × 50 = 9975
    assert broker.state.balance("USD") == Decimal(10_000_000) - Decimal("4.5") + 9975


@pytest.mark.parametrize(
    ("final", "payoff"),
    [(Decimal(7), Decimal(7000)), (Decimal(0), Decimal(0))],
    ids=["in the money", "worthless"],
)
def test_option_pays_its_intrinsic_value_and_is_removed(final: Decimal, payoff: Decimal) -> None:
    world = World()
    world.dated_closes = {(OPTION, date(2024, 3, 8)): final}
    broker = _holding(world, OPTION, 10, "12.01")
    assert broker.state.balance("USD") == Decimal(10_000_000) - 12_010 - Decimal("6.5")

    broker.advance(utc(date(2024, 3, 9), 0))

    assert broker.is_flat
    assert broker.state.balance("USD") == Decimal(10_000_000) - 12_010 - Decimal("6.5") + payoff


@pytest.mark.parametrize(
    ("currency", "balance", "interest"),
    [
        ("USD", "10000000", "1250"),  # 10,000,000 × 0.045 / 360
        ("EUR", "-360000", "-45"),  # 360,000 × (0.03 + 0.015) / 360
        ("GBP", "365000", "45"),  # 365,000 × 0.045 / 365
        ("USD", "0", "0"),
        ("USD", "1", "0.000125"),
    ],
)
def test_interest_of_one_day(currency: str, balance: str, interest: str) -> None:
    assert daily_interest(broker_terms(), currency, Decimal(balance), Decimal(0)) == [Decimal(interest), 0]


def test_interest_without_terms_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="SEK"):
        daily_interest(broker_terms(), "SEK", Decimal(5), Decimal(0))


def test_interest_is_posted_on_each_calendar_day_and_bears_interest() -> None:
    journal = MemoryJournal()
    broker = new_broker(at=utc(date(2024, 3, 8), 15), journal=journal)  # Friday
    broker.advance(utc(date(2024, 3, 11), 6))

    # Friday 1250; Saturday 10,001,250 × 0.045 / 360 = 1250.15625; Sunday on 10,002,500.15625
    assert _postings(journal, PostingKind.INTEREST) == [
        Decimal("1250"),
        Decimal("1250.15625"),
        Decimal("1250.312520"),
    ]


def test_short_pays_borrow_on_its_collateral() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    broker.submit(order(quantity="1000", limit="99.99", side=Side.SELL))
    broker.advance(utc(TUESDAY, 0))

    # 1000 × 100.00 × 1.02 × 150 bps / 360 = 4.25
    assert _postings(journal, PostingKind.BORROW_FEE) == [Decimal("-4.25")]


@pytest.mark.parametrize(("quantity", "limit", "paid"), [(1000, "100.05", 500), (-1000, "99.95", -500)])
def test_dividend_is_accrued_on_the_ex_date_and_paid_later(quantity: int, limit: str, paid: int) -> None:
    dividend = Dividend(
        instrument_id="AAA", ex_date=TUESDAY, pay_date=date(2024, 3, 8), amount=Decimal("0.5")
    )
    broker = _holding(World(dividend_list=(dividend,)), "AAA", quantity, limit)
    before = broker.state.balance("USD")

    assert broker.snapshot(utc(TUESDAY, 6)).accrued == {"USD": Decimal(paid)}
    assert broker.state.balance("USD") == before

    broker.advance(utc(date(2024, 3, 8), 6))
    assert broker.state.balance("USD") == before + paid
    assert broker.snapshot(utc(date(2024, 3, 8), 6)).accrued == {}


def test_shares_bought_on_the_ex_date_earn_no_dividend() -> None:
    dividend = Dividend(instrument_id="AAA", ex_date=MONDAY, pay_date=TUESDAY, amount=Decimal("0.5"))
    broker = new_broker(World(dividend_list=(dividend,)), at=utc(MONDAY, 0), carry=NO_CARRY)
    broker.advance(utc(MONDAY, 15))
    broker.submit(order())

    broker.advance(utc(WEDNESDAY, 0))

    assert broker.state.balance("USD") == Decimal(10_000_000) - 10_001 - 1


def test_split_changes_quantity_at_midnight_and_leaves_the_value() -> None:
    split = Split(instrument_id="AAA", ex_date=TUESDAY, new_shares=4, old_shares=1)
    broker = _holding(World(split_list=(split,)), "AAA", 100, "100.05")
    before, value = broker.state.positions.get("AAA"), broker.snapshot(utc(MONDAY, 23)).net_liquidation
    broker.submit(order(order_type=OrderType.LIMIT_ON_OPEN, ref="AF1.B.0", good_till=utc(TUESDAY, 20)))

    snapshot = broker.snapshot(utc(TUESDAY, 6))

    after = broker.state.positions.get("AAA")
    assert before is not None
    assert after is not None
    assert (after.quantity, after.average_cost) == (Decimal(400), before.average_cost / 4)
    assert snapshot.positions["AAA"].mark == 25  # Monday's 100 for what are four shares now
    assert snapshot.net_liquidation == value
    assert broker.orders()[-1].status is ChildStatus.CANCELLED
    assert (
        broker.snapshot(utc(TUESDAY, 22)).positions["AAA"].mark == 100
    )  # Tuesday's own close is of new shares


@pytest.mark.parametrize(("quantity", "kept", "cash"), [(10, 3, "99.9999"), (-10, -3, "-99.9999")])
def test_split_pays_the_fraction_of_a_share_in_cash(quantity: int, kept: int, cash: str) -> None:
    # 10 / 3 = 3.333333; 0.333333 at Monday's 100, which is 300 a new share
    split = Split(instrument_id="AAA", ex_date=TUESDAY, new_shares=1, old_shares=3)
    limit = "100.05" if quantity > 0 else "99"
    broker = _holding(World(split_list=(split,)), "AAA", quantity, limit)
    broker.advance(utc(MONDAY, 23))
    before = broker.state.balance("USD")

    broker.advance(utc(TUESDAY, 6))

    assert broker.state.quantity("AAA") == kept
    assert broker.state.balance("USD") - before == Decimal(cash)


def test_holding_goes_on_under_its_new_symbol_and_its_orders_end() -> None:
    change = SymbolChange(instrument_id="AAA", new_instrument_id="PEN", effective=TUESDAY)
    broker = _holding(World(symbol_list=(change,)), "AAA", 100, "100.05")
    broker.submit(order(order_type=OrderType.LIMIT_ON_OPEN, ref="AF1.B.0", good_till=utc(TUESDAY, 20)))

    broker.advance(utc(TUESDAY, 6))

    held = {name: line.quantity for name, line in broker.state.positions.items()}
    assert held == {"PEN": Decimal(100)}
    assert broker.orders()[-1].status is ChildStatus.CANCELLED


@pytest.mark.parametrize(
    ("trades", "average"),
    [
        ([(100, "100.05")], "100.02"),  # 100.01 + 1.00 / 100
        ([(100, "100.05"), (300, "100.05")], "100.01625"),  # (10002 + 30003 + 1.5) / 400
        ([(100, "100.05"), (-50, "99")], "100.02"),  # a sale leaves the rest's cost
        ([(-200, "99")], "99.985"),  # 99.99 less 1.00 / 200
        ([(100, "100.05"), (-300, "99")], "99.985"),  # turned: 99.99 − 1.5 / 300
    ],
)
def test_average_cost_holds_commission_as_the_broker_reports_it(
    trades: list[tuple[int, str]], average: str
) -> None:
    broker = new_broker()
    for number, (quantity, limit) in enumerate(trades):
        side = Side.BUY if quantity > 0 else Side.SELL
        broker.submit(order("AAA", str(abs(quantity)), limit, side=side, ref=f"AF1.{number}.0"))
        broker.advance(broker.now + timedelta(minutes=1))

    position = broker.state.positions.get("AAA")
    assert position is not None
    assert position.average_cost == Decimal(average)


def test_snapshot_marks_live_lines_at_the_mid_and_closed_ones_at_their_close() -> None:
    world = World(drift=1, dated_closes={(FUTURE, MONDAY): Decimal(5000)})
    broker = new_broker(world, carry=NO_CARRY)
    broker.submit(order("AAA", "100", "101"))
    broker.submit(order(FUTURE, "2", "5010", ref="AF1.B.0"))
    broker.advance(utc(TUESDAY, 5))
    world.closes[FUTURE] = Decimal(4950)  # the night brought a fall of 50 points

    snapshot = broker.snapshot(utc(TUESDAY, 6))

    # 06:00:00 is step 4320 = 1 (mod 7): the future's mid is 4950 + one tick
    future, share = snapshot.positions[FUTURE], snapshot.positions["AAA"]
    assert (future.mark, future.in_session) == (Decimal("4950.25"), True)
    assert (share.mark, share.in_session) == (Decimal(100), False)
    settled = broker.state.balance("USD")
    assert snapshot.cash["USD"] == settled + (Decimal("4950.25") - 5000) * 2 * 50
    assert snapshot.net_liquidation == snapshot.cash["USD"] + 10_000
    # margin at the closes: 0.25 × 10,000 and 0.08 × 2 × 50 × 5000
    assert snapshot.excess_liquidity == snapshot.net_liquidation - 2_500 - 40_000
    assert snapshot.fx["GBP"] == Decimal("1.25")
    assert snapshot.answered >= {
        "positions",
        "cash",
        "open_orders",
        "completed_orders",
        "executions",
        "account",
    }


_TRADES = st.lists(
    st.tuples(st.sampled_from(["AAA", "PEN", FUTURE, OPTION, "EUR.USD"]), st.integers(-30, 30)),
    min_size=1,
    max_size=12,
)
_MOVES = st.lists(st.integers(-40, 40), min_size=4, max_size=4)


@given(trades=_TRADES, moves=_MOVES)
@settings(max_examples=40, deadline=None)
def test_value_changes_by_price_moves_less_costs_and_every_cent_has_a_posting(
    trades: list[tuple[str, int]], moves: list[int]
) -> None:
    lines = ["AAA", "PEN", FUTURE, OPTION]
    tick = {"AAA": "0.01", "PEN": "0.1", FUTURE: "0.25", OPTION: "0.01"}
    world, journal = World(), MemoryJournal()
    final = {
        line: world.closes[line] + Decimal(tick[line]) * move for line, move in zip(lines, moves, strict=True)
    }
    world.dated_closes = {(line, TUESDAY): price for line, price in final.items()}
    broker = new_broker(world, carry=NO_CARRY, journal=journal)
    for number, (contract_id, quantity) in enumerate(t for t in trades if t[1] != 0):
        side = Side.BUY if quantity > 0 else Side.SELL
        limit = (
            world.closes[contract_id]
            + {"EUR.USD": Decimal("0.0001")}.get(contract_id, Decimal(1)) * side.sign
        )
        broker.submit(order(contract_id, str(abs(quantity)), str(limit), side=side, ref=f"AF1.{number}.0"))
        broker.advance(broker.now + timedelta(minutes=1))

    snapshot = broker.snapshot(utc(TUESDAY, 23))

    expected = Decimal(10_000_000)
    final["EUR.USD"] = world.closes["EUR.USD"]
    to_usd = {"USD": Decimal(1), "GBP": Decimal("1.25")}
    for fill in snapshot.executions:
        instrument = UNIVERSE["ES" if fill.contract_id == FUTURE else fill.contract_id.split("_")[0]]
        gain = fill.signed_quantity * (final[fill.contract_id] - fill.price) * instrument.effective_multiplier
        assert fill.commission is not None
        expected += (gain - fill.commission) * to_usd[instrument.currency]
    assert snapshot.net_liquidation == expected
    booked: dict[str, Decimal] = {}
    for record in journal.history(RecordKind.POSTING):
        posting = decode(Posting, record.body)
        booked[posting.currency] = booked.get(posting.currency, Decimal(0)) + posting.amount
    assert booked == dict(broker.state.cash.items())
