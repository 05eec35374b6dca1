from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from engine.composition.pairs import even_openings, lone_legs
from engine.model.orders import Trade
from engine.model.portfolio import Portfolio, Position, Sleeve
from tests.engine.execution.market import PRICES, trade

CORE = Sleeve.CORE.value
D = Decimal


def portfolio(**held: int) -> Portfolio:
    positions = {
        name: Position(
            contract_id=name,
            quantity=D(count),
            sleeves={Sleeve.CORE: D(count)},
            cost=D(0),
            average_price=D(1),
        )
        for name, count in held.items()
    }
    return Portfolio(
        as_of=datetime(2026, 11, 4, 6, tzinfo=UTC),
        cash={},
        positions=positions,
        accruals={},
        units=D(1),
    )


def closing(
    held: Portfolio, kept: set[str], closed: set[str], rolled: dict[str, str] | None = None
) -> dict[str, tuple[Decimal, bool]]:
    found = lone_legs(held, kept, closed, rolled or {})
    return {item.contract_id: (item.quantity, item.reduce_only) for item in found}


PAIR = portfolio(ES_Z6=12, FESX_Z6=-40)


def test_leg_is_closed_with_the_one_that_ends() -> None:
    assert closing(PAIR, {CORE}, {"FESX_Z6"}) == {"ES_Z6": (D(-12), True)}


def test_short_leg_is_bought_back_with_the_long_one_that_ends() -> None:
    assert closing(PAIR, {CORE}, {"ES_Z6"}) == {"FESX_Z6": (D(40), True)}


def test_pair_that_only_lacks_a_price_is_kept_whole() -> None:
    assert closing(PAIR, {CORE}, set()) == {}


def test_leg_left_alone_on_an_earlier_day_is_closed() -> None:
    assert closing(portfolio(ES_Z6=12), {CORE}, set()) == {"ES_Z6": (D(-12), True)}


def test_sleeve_that_can_be_built_is_left_to_its_targets() -> None:
    assert closing(PAIR, set(), {"FESX_Z6"}) == {}


def test_lone_leg_that_rolls_today_is_sold_and_not_moved() -> None:
    # the roll sells 12 ES_U6 and buys 12 ES_Z6; this takes the purchase away
    held = portfolio(ES_U6=12, FESX_U6=-40)
    assert closing(held, {CORE}, {"FESX_U6"}, {"ES_U6": "ES_Z6"}) == {"ES_Z6": (D(-12), False)}


def test_other_sleeve_of_the_same_contract_is_left_alone() -> None:
    both = Position(
        contract_id="ES_Z6",
        quantity=D(15),
        sleeves={Sleeve.CORE: D(12), Sleeve.UNASSIGNED: D(3)},
        cost=D(0),
        average_price=D(1),
    )
    held = portfolio(FESX_Z6=-40)
    held = Portfolio(
        as_of=held.as_of, cash={}, positions={**held.positions, "ES_Z6": both}, accruals={}, units=D(1)
    )
    assert closing(held, {CORE}, {"FESX_Z6"}) == {"ES_Z6": (D(-12), True)}


def single(contract_id: str, quantity: int, *, reduce_only: bool = False) -> Trade:
    return replace(
        trade(contract_id, quantity, reduce_only=reduce_only), sleeves={Sleeve.SINGLE_NAME.value: D(quantity)}
    )


LOTS = {"MSFT": D(1), "CSPX": D(1), "CS51": D(1)}


def test_longs_open_only_as_far_as_the_shorts_whose_venue_is_open() -> None:
    # Longs: 1,000 MSFT at 400 = 400,000 USD. Shorts: 100 CSPX at 734 can trade, 300 wait: a quarter of their side.
    kept, dropped = even_openings(
        [single("MSFT", 1000), single("CSPX", -100)], [single("CSPX", -300)], PRICES, LOTS
    )
    assert {t.contract_id: t.quantity for t in kept} == {"MSFT": D(250), "CSPX": D(-100)}
    assert kept[0].sleeves == {Sleeve.SINGLE_NAME.value: D(250)}
    assert [(d.contract_id, d.quantity) for d in dropped] == [("MSFT", D(750))]


def test_side_without_any_open_venue_leaves_the_other_unopened() -> None:
    kept, dropped = even_openings([single("MSFT", 1000)], [single("CSPX", -100)], PRICES, LOTS)
    assert kept == ()
    assert [d.quantity for d in dropped] == [D(1000)]


def test_reductions_and_other_sleeves_do_not_wait_for_a_closed_venue() -> None:
    others = [single("MSFT", -50, reduce_only=True), trade("CS51", 100)]
    kept, dropped = even_openings(others, [single("CSPX", -100)], PRICES, LOTS)
    assert (kept, dropped) == (tuple(others), ())


def test_day_with_every_venue_open_is_left_alone() -> None:
    wanted = [single("MSFT", 1000), single("CSPX", -100)]
    assert even_openings(wanted, [], PRICES, LOTS) == (tuple(wanted), ())
