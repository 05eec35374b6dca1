from collections.abc import Mapping
from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.adoption import missed_splits
from engine.accounting.differences import MissedExecution
from engine.accounting.ledger import LedgerEntry, trade
from engine.model.orders import Fill, OrderIntent, Reason, Side, Urgency
from tests.engine.accounting.builders import BOOK, NOW, make_fill

FIRST, SECOND = "AF1.AAA.0", "AF1.AAA.1"


def parent(**sleeves: int) -> OrderIntent:
    total = sum(sleeves.values())
    return OrderIntent(
        intent_id="AAA",
        contract_id="CSPX",
        instrument_id="CSPX",
        side=Side.of(D(total)),
        quantity=D(abs(total)),
        reason=Reason.REBALANCE,
        urgency=Urgency.NORMAL,
        group=None,
        reduce_only=False,
        sleeves={name: D(quantity) for name, quantity in sleeves.items()},
        decision_price=D(730),
    )


def fill(quantity: int, execution_id: str, order_ref: str | None = FIRST) -> Fill:
    return make_fill("CSPX", D(quantity), "730", execution_id, order_ref)


def booked(execution: Fill, sleeves: Mapping[str, int]) -> LedgerEntry:
    exact = {name: D(quantity) for name, quantity in sleeves.items()}
    return trade(execution, BOOK.instrument("CSPX"), exact, NOW)


def missed(*fills: Fill, replaces: Fill | None = None) -> list[MissedExecution]:
    return [MissedExecution(fill=one, replaces=replaces) for one in fills]


def test_missed_fill_of_our_parent_goes_to_its_sleeves() -> None:
    parents = {FIRST: parent(core_index_rv=60, sector_rv=30)}
    # a third of the parent: 20 and 10
    assert missed_splits(missed(fill(30, "e1.01")), parents, ()) == {
        "e1.01": {"core_index_rv": D(20), "sector_rv": D(10)}
    }


def test_what_is_booked_under_an_earlier_child_counts_as_filled_before() -> None:
    wanted = parent(core_index_rv=2, sector_rv=1)
    before = booked(fill(1, "e1.01"), {"core_index_rv": 1, "sector_rv": 0})
    found = missed_splits(missed(fill(2, "e2.01", SECOND)), {FIRST: wanted, SECOND: wanted}, [before])
    assert found == {"e2.01": {"core_index_rv": D(1), "sector_rv": D(1)}}


def test_corrected_execution_is_split_without_the_version_that_it_replaces() -> None:
    wrong, right = fill(90, "e1.01"), fill(60, "e1.02")
    before = booked(wrong, {"core_index_rv": 60, "sector_rv": 30})
    found = missed_splits(
        missed(right, replaces=wrong), {FIRST: parent(core_index_rv=60, sector_rv=30)}, [before]
    )
    assert found == {"e1.02": {"core_index_rv": D(40), "sector_rv": D(20)}}


def test_execution_of_another_order_has_no_split() -> None:
    parents = {FIRST: parent(core_index_rv=60)}
    assert missed_splits(missed(fill(30, "e1.01", "AF1.ZZZ.0"), fill(1, "e2.01", None)), parents, ()) == {}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 40))
def test_missed_fills_in_any_pieces_end_at_the_split_of_the_whole(pieces: list[int], rest: int) -> None:
    total = sum(pieces) + rest
    wanted = parent(core_index_rv=total + 7, sector_rv=-7)
    rows = missed(*(fill(quantity, f"e{number}.01") for number, quantity in enumerate(pieces)))
    whole = missed(fill(sum(pieces), "whole.01"))
    splits = missed_splits(rows, {FIRST: wanted}, ())
    ends = {name: sum((split[name] for split in splits.values()), D(0)) for name in wanted.sleeves}
    assert ends == missed_splits(whole, {FIRST: wanted}, ())["whole.01"]
    assert sum(ends.values()) == sum(pieces)
