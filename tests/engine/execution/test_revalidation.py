"""What is left of a wish when the market has moved since the decision."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.executor import execute
from engine.execution.netting import PriceBook
from engine.execution.outcome import ExecutionWorld, ParentResult
from engine.execution.revalidation import (
    UNCHANGED,
    IndexFutures,
    Wanted,
    WindowVerdict,
    index_futures,
    retarget,
    wish_of,
)
from engine.execution.ticket import FinishReason
from engine.model.market import Quote
from engine.model.orders import ChildStatus, OrderIntent, Reason, Side
from engine.model.universe import ContractBook, Universe
from tests import fakes
from tests.engine.execution.market import (
    CONTRACTS,
    ES_SEP,
    INSTRUMENTS,
    NOON,
    PRICES,
    intent,
    job,
    quote,
    world,
)
from tests.fakes import MemoryOrderBook, ScriptedTransport

DECIDED = PRICES.prices["CSPX"]  # 734
BLOCKED = WindowVerdict(blocked="a crisis began, nothing is entered")


def left(order: OrderIntent, wanted: Wanted | None, price: D, verdict: WindowVerdict = UNCHANGED) -> D:
    wish = wish_of(order, wanted, verdict, D("0.02"))
    found = None if wish is None else retarget(order, wish, price, D(1))
    return order.quantity if found is None else found.quantity


@pytest.mark.parametrize(
    ("side", "quantity", "held", "change", "price", "expected"),
    [
        # 100 · 734 = 73,400 USD were wanted: 73,400 / 756.02 = 97.08
        (Side.BUY, 100, 0, 100, "756.02", 97),
        # 1.9 % is no move
        (Side.BUY, 100, 0, 100, "747.946", 100),
        # 73,400 / 711.98 = 103.09, but 100 were committed
        (Side.BUY, 100, 0, 100, "711.98", 100),
        # 1,020 · 734 / 756.02 = 990.29 of 1,000 held: a sale would be wanted now
        (Side.BUY, 20, 1000, 20, "756.02", 0),
        # of 100 wished the caps left 50: 1,100 / 1.03 = 1,067.96, so 67 are still wanted
        (Side.BUY, 50, 1000, 100, "756.02", 50),
        # 1,060 / 1.03 = 1,029.13, so 29 of the 50
        (Side.BUY, 50, 1000, 60, "756.02", 29),
        # short 1,100 / 1.03 = 1,067.96 of 1,000: 67 more
        (Side.SELL, 100, -1000, -100, "756.02", 67),
        # short 1,100 / 0.97 = 1,134.02: more than was committed
        (Side.SELL, 100, -1000, -100, "711.98", 100),
    ],
)
def test_quantity_follows_the_value_that_was_wanted(
    side: Side, quantity: int, held: int, change: int, price: str, expected: int
) -> None:
    assert left(intent(quantity, side), Wanted(D(held), D(change)), D(price)) == expected


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (intent(100, Side.SELL, reduce_only=True), "a reduction is never held back"),
        (intent(100, reason=Reason.ROLL), "a roll has its quantity from a holding"),
        (intent(100, reason=Reason.HEDGE_FX), "a currency hedge has its quantity from an exposure"),
        (intent(100, reason=Reason.LIMIT_BREACH), "a limit is obeyed whatever it costs"),
    ],
)
def test_trade_that_is_not_sized_by_value_stays_whole(order: OrderIntent, why: str) -> None:
    assert left(order, Wanted(D(0), D(100)), D(900), BLOCKED) == 100, why


def test_protection_buys_for_the_premium_that_was_planned_whatever_is_held() -> None:
    """10 options at 10 are 100: at 12.50 that is 8, though 20 are held."""
    order = intent(10, contract_id="SPX_OPT", reason=Reason.HEDGE_TAIL)
    assert left(order, Wanted(D(20), D(10)), D("12.5"), BLOCKED) == 8


def test_lower_scale_shrinks_the_position_that_is_wanted_and_a_block_ends_it() -> None:
    """600 wanted of 500 held: at nine tenths 540, so 40 of the 100."""
    order, wanted = intent(100), Wanted(D(500), D(100))
    assert left(order, wanted, DECIDED, WindowVerdict(scale=D("0.9"), text="risk rose")) == 40
    assert left(order, wanted, DECIDED, BLOCKED) == 0


@given(
    st.integers(-500, 500),
    st.integers(1, 300),
    st.sampled_from(Side),
    st.decimals("300", "1500", places=2),
    st.decimals("0.1", "1", places=2),
)
def test_no_price_or_verdict_raises_the_committed_quantity(
    held: int, quantity: int, side: Side, price: D, scale: D
) -> None:
    verdict = WindowVerdict(scale=scale, text="risk rose")
    found = left(intent(quantity, side), Wanted(D(held), D(2 * quantity * side.sign)), price, verdict)
    assert 0 <= found <= quantity
    assert found == found // 1


def test_what_one_look_took_away_the_next_one_does_not_give_back() -> None:
    halved, milder = WindowVerdict(scale=D("0.5"), text="first"), WindowVerdict(scale=D("0.8"), text="later")
    both = halved.with_later(milder).with_later(BLOCKED).with_later(UNCHANGED)
    assert (both.scale, both.text, both.blocked) == (D("0.5"), "first", BLOCKED.blocked)


# ---------------------------------------------------------------- through the executor


def at_move(move: str) -> Callable[[str, datetime], Quote]:
    """CSPX moved by a fraction since the decision, 0.30 wide."""
    mid = DECIDED * (1 + D(move))
    return lambda name, at: quote(name, str(mid - D("0.15")), str(mid + D("0.15")), at)


def worked(
    made: ExecutionWorld, broker: ScriptedTransport, *orders: OrderIntent
) -> tuple[list[D], ParentResult, tuple[str, ...]]:
    broker.on_send = fakes.fill_all
    report = execute([job(*orders, minutes=5)], made)
    return [child.quantity for child in broker.sent], report.parents[0], report.alarms


def test_price_three_percent_higher_buys_three_percent_less_and_says_why() -> None:
    made, broker, _ = world(intent())
    broker.quote_at = at_move("0.03")
    sent, parent, alarms = worked(made, broker, intent())
    assert sent == [D(97)]
    assert (parent.unfilled, parent.reason) == (D(3), FinishReason.NOTHING_LEFT)
    assert parent.text == "the price moved by +3.0% since the decision: 97 of 100 still wanted"
    assert alarms == ()


def test_wish_that_turned_is_not_worked_and_a_person_hears_of_it() -> None:
    made, broker, _ = world(intent(20))
    broker.quote_at = at_move("0.03")
    made = replace(made, wanted=lambda _: Wanted(D(1000), D(20)))
    sent, parent, alarms = worked(made, broker, intent(20))
    assert sent == []
    assert parent.text == "the price moved by +3.0% since the decision: nothing is wanted"
    assert alarms == (f"CSPX: {parent.text}",)


def test_restart_keeps_what_the_first_arrival_left_of_the_wish() -> None:
    """97 at +3 % on arrival; 40 of them traded before the restart, when the price is +4 %: 57 are left, not 56."""
    made, broker, book = world(intent())
    broker.quote_at = at_move("0.03")

    def part(b: ScriptedTransport, child: fakes.ChildOrder) -> None:
        fakes.acknowledge(b, child)
        b.execute(child, D(40))
        b.report(fakes.TransportEventKind.EXPIRED, child.order_ref, after=1, filled=D(40))

    broker.on_send = part
    broker.at_times = [(NOON + timedelta(seconds=2), lambda: setattr(book, "superseded", True))]
    execute([job(intent(), minutes=5)], made)
    book.superseded = False
    broker.sent.clear()
    sent, parent, _ = worked(made, broker, intent())
    assert sent == [D(57)]
    assert parent.filled == 97


def test_order_found_alive_is_cancelled_when_nothing_may_be_entered_any_more() -> None:
    made, broker, book = world(intent())
    broker.at_times = [(NOON + timedelta(seconds=7), lambda: setattr(book, "superseded", True))]
    execute([job(intent(), minutes=5)], made)
    (alive,) = book.records
    assert book.records[alive].status is ChildStatus.WORKING
    book.superseded = False
    made = replace(made, before_window=lambda _: BLOCKED)
    report = execute([job(intent(), minutes=5)], made)
    assert broker.cancelled == [alive]
    assert report.parents[0].text == BLOCKED.blocked


def test_stricter_risk_stops_what_enters_and_nothing_else() -> None:
    orders = (
        intent(name="enters"),
        intent(name="reduces", side=Side.SELL, reduce_only=True),
        intent(name="rolls", reason=Reason.ROLL),
        intent(name="hedges", reason=Reason.HEDGE_FX),
    )
    made, broker, _ = world(*orders)
    worked(replace(made, before_window=lambda _: BLOCKED), broker, *orders)
    assert sorted(child.intent_id for child in broker.sent) == ["hedges", "reduces", "rolls"]


# ---------------------------------------------------------------- is a price to be believed?

EQUITIES = Universe(
    instruments=tuple(
        replace(line, category="equity_index") if line.instrument_id in ("CSPX", "ES") else line
        for line in INSTRUMENTS
    )
)
FUTURES: IndexFutures = {"USD": (ES_SEP,)}


def market(cspx: str, es: str | None) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook]:
    """CSPX and ES at their moves since the decision; ES without quotes where ``None``."""
    made, broker, book = world(intent())
    contracts = ContractBook(universe=EQUITIES, contracts=CONTRACTS.contracts)
    prices = PriceBook(contracts=contracts, prices=PRICES.prices, fx=PRICES.fx)

    def quotes(name: str, at: datetime) -> Quote | None:
        if name == "CSPX":
            return at_move(cspx)(name, at)
        mid = PRICES.prices[name] * (1 + D(es or "0"))
        return None if es is None else quote(name, str(mid), str(mid + D("0.25")), at)

    broker.quote_at = quotes
    return replace(made, prices=prices, futures=FUTURES), broker, book


@pytest.mark.parametrize(
    ("cspx", "es", "is_sent"),
    [
        ("-0.06", "-0.05", True),  # 734 · 0.95 = 697.30 is implied, 689.96 is 1.1 % away
        ("-0.25", "-0.05", False),  # the fund fell through its market
        ("0.00", "-0.07", False),  # the fund did not follow: its quote is the old world's
        ("-0.04", None, True),  # no future is quoted: within 5 % of the decision
        ("-0.06", None, False),
    ],
)
def test_first_price_must_be_near_what_the_index_future_implies(
    cspx: str, es: str | None, is_sent: bool
) -> None:
    made, broker, _ = market(cspx, es)
    sent, parent, _ = worked(made, broker, intent())
    assert bool(sent) is is_sent
    assert ("expected a price within 5.0% of" in parent.text) is not is_sent


def test_market_that_shows_next_to_nothing_is_not_believed_at_a_mid_far_away() -> None:
    made, broker, _ = world(intent())
    broker.quote_at = lambda name, at: quote(
        name, "0.01", "10000", at
    )  # two-sided and positive, 5,000.005 in between
    sent, parent, _ = worked(made, broker, intent())
    assert sent == []
    assert "expected a price within 5.0% of" in parent.text


def test_market_that_shows_next_to_nothing_is_never_paid_beyond_the_collar() -> None:
    made, broker, _ = world(intent())
    broker.quote_at = lambda name, at: quote(
        name, "0.01", "1467.99", at
    )  # 734 in between, where the market was
    worked(made, broker, intent())
    # An ETF's collar is 10 bps of the mid on arrival: 734 · 1.001 = 734.734, on the tick below it 734.730.
    assert broker.sent
    assert max(child.limit_price for child in broker.sent) <= D("734.734")


def test_price_that_comes_back_is_worked_in_the_same_window() -> None:
    made, broker, _ = market("-0.25", "-0.01")
    wild = broker.quote_at
    broker.quote_at = lambda name, at: (
        wild(name, at) if at < NOON + timedelta(seconds=40) else at_move("-0.01")(name, at) if name == "CSPX" else wild(name, at)
    )  # fmt: skip
    sent, parent, _ = worked(made, broker, intent())
    assert sent == [D(100)]
    assert parent.unfilled == 0


def test_index_futures_are_the_first_priced_contract_of_each_line_by_currency() -> None:
    assert index_futures(EQUITIES, {"ES": (ES_SEP, "later"), "CSPX": ("CSPX",), "VX": ("VX",)}) == FUTURES
    assert index_futures(EQUITIES, {"ES": ()}) == {}
