from collections.abc import Mapping
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import apply, empty_portfolio
from engine.accounting.ledger import LedgerEntry
from engine.composition.crossing import crosses_of_the_day, internal_transfers
from engine.execution.netting import InternalCross, NettedTrades, net_trades
from engine.model.orders import Reason, TradeProposal
from engine.model.portfolio import Sleeve
from tests.engine.execution.market import NOON, PRICES, execution_policy, portfolio

CORE, SECTOR, CREDIT = Sleeve.CORE.value, Sleeve.SECTOR.value, Sleeve.CREDIT.value
RUN = "SIM-fund-1/simulated/2026-06-15/DECISION"


def netted(contract_id: str, **wishes: int) -> NettedTrades:
    proposals = [
        TradeProposal(
            sleeve=Sleeve[sleeve].value,
            contract_id=contract_id,
            quantity=D(quantity),
            reason=Reason.REBALANCE,
            group=None,
            reduce_only=False,
        )
        for sleeve, quantity in wishes.items()
    ]
    return net_trades(proposals, portfolio(), PRICES, execution_policy())


def crosses(
    found: NettedTrades, *, traded: bool = False, doubtful: tuple[str, ...] = ()
) -> tuple[InternalCross, ...]:
    return crosses_of_the_day(found, found.trades if traded else (), PRICES, doubtful)


def moves(entries: tuple[LedgerEntry, ...]) -> list[tuple[str, D, D | None]]:
    return [(entry.entry_id.removesuffix(f":{RUN}"), entry.lines[0].amount, entry.price) for entry in entries]


def test_opposite_wishes_are_booked_from_sleeve_to_sleeve_at_the_price_of_the_decision() -> None:
    entries = internal_transfers(crosses(netted("CSPX", CORE=40, SECTOR=-40)), RUN, NOON)
    assert moves(entries) == [(f"transfer:CSPX:{SECTOR}:{CORE}", D(40), D(734))]
    assert [(line.account, line.amount) for line in entries[0].lines] == [
        (f"position:{CORE}", D(40)),
        (f"position:{SECTOR}", D(-40)),
    ]


def test_one_buyer_takes_from_every_seller() -> None:
    entries = internal_transfers(crosses(netted("CSPX", CORE=10, SECTOR=-7, CREDIT=-3)), RUN, NOON)
    assert moves(entries) == [
        (f"transfer:CSPX:{CREDIT}:{CORE}", D(3), D(734)),
        (f"transfer:CSPX:{SECTOR}:{CORE}", D(7), D(734)),
    ]


def test_rest_below_the_minimum_size_still_lets_the_sleeves_meet() -> None:
    # +100 − 97 leaves 3 × 734 = 2,202 USD, below 2,500: 97 change hands inside, 3 are not bought
    found = netted("CSPX", CORE=100, SECTOR=-97)
    assert found.trades == ()
    assert [dropped.quantity for dropped in found.dropped] == [D(3)]
    assert crosses(found)[0].sleeves == {CORE: D(97), SECTOR: D(-97)}


def test_trade_that_stays_at_home_lets_the_sleeves_meet_by_their_shares() -> None:
    # 60 of the buyers' 100 can be had inside: 60 × 75 / 100 = 45 and 60 × 25 / 100 = 15
    found = crosses(netted("CSPX", CORE=75, CREDIT=25, SECTOR=-60))
    assert found[0].sleeves == {CORE: D(45), CREDIT: D(15), SECTOR: D(-60)}


def test_traded_contract_is_not_crossed_because_its_fills_are_split_over_both_sides() -> None:
    assert crosses(netted("CSPX", CORE=75, SECTOR=-60), traded=True) == ()


def test_contract_whose_price_is_in_doubt_is_not_crossed() -> None:
    assert crosses(netted("CSPX", CORE=40, SECTOR=-40), doubtful=("CSPX",)) == ()


def test_wishes_on_one_side_are_no_cross() -> None:
    assert crosses(netted("CSPX", CORE=1, SECTOR=2)) == ()


WISHES = st.dictionaries(
    st.sampled_from(["CORE", "SECTOR", "CREDIT", "SINGLE_NAME", "UNASSIGNED"]),
    st.integers(-500, 500),
    min_size=2,
)


@given(WISHES)
def test_transfers_move_between_sleeves_and_never_change_the_fund(wishes: Mapping[str, int]) -> None:
    found = crosses(netted("CSPX", **wishes))
    entries = internal_transfers(found, RUN, NOON)
    moved = {name: D(0) for name in wishes}
    for entry in entries:
        for line in entry.lines:
            moved[Sleeve(line.account.removeprefix("position:")).name] += line.amount
    assert sum(moved.values()) == 0
    smaller = min(sum(q for q in wishes.values() if q > 0), -sum(q for q in wishes.values() if q < 0))
    assert sum(abs(quantity) for quantity in moved.values()) == 2 * smaller
    assert all(0 <= moved[name] * D(wishes[name]) <= D(wishes[name]) ** 2 for name in wishes)
    book = apply(empty_portfolio(NOON), *entries)
    assert book.cash == {}
    assert all(position.quantity == 0 for position in book.positions.values())
