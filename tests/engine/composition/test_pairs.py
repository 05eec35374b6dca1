from datetime import UTC, datetime
from decimal import Decimal

from engine.composition.pairs import lone_legs
from engine.model.portfolio import Portfolio, Position, Sleeve

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
