"""A calendar spread in the order book: one order of two parents, whose legs are filled, split and reserved apart."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

import pytest

from engine.errors import InvariantError
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderIntent, Reason, Side
from engine.model.portfolio import Sleeve
from engine.model.spreads import NearLeg, leg_parent
from engine.ports import GateOutcome
from state.database import Database
from state.executions import executed_parents, parents_of
from state.ledger import LedgerStore
from state.orders import OrderStore
from tests.state.builders import ACCOUNT, DAY, NOW, later, make_child, make_fill, make_intent, open_orders

OLD, NEW = "M6E_20251215", "M6E_20260316"
HEDGE, CORE = "fx_hedge", "core_index_rv"


def parents(closing: str = "5", opening: str = "7") -> tuple[OrderIntent, OrderIntent]:
    """Five are rolled, two more are wanted."""
    near = make_intent("near", closing, Side.SELL, OLD, sleeves={HEDGE: "-3", CORE: "-2"}, reduce_only=True)
    far = make_intent("far", opening, Side.BUY, NEW, sleeves={HEDGE: "5", CORE: "2"})
    return replace(near, reason=Reason.ROLL), replace(far, reason=Reason.ROLL, near_intent_id="near")


def spread(far: OrderIntent, attempt: int = 1, quantity: str = "5") -> ChildOrder:
    leg = NearLeg(intent_id="near", contract_id=OLD, arrival_mid=D("1.17"))
    return replace(make_child(far, attempt, quantity, "0.0052"), near=leg, arrival_mid=D("1.175"))


def planned(database: Database) -> tuple[OrderStore, ChildOrder]:
    store, (near, far) = open_orders(database), parents()
    store.save_intents(DAY, (near, far))
    child = spread(far)
    return store, child


def sent(database: Database) -> tuple[OrderStore, ChildOrder]:
    store, child = planned(database)
    assert store.claim(child, D(1000), NOW) is GateOutcome.CLAIMED
    return store, child


def leg_fill(child: ChildOrder, contract_id: str, quantity: str, number: int) -> Fill:
    made = make_fill(child, quantity, f"{number:04d}.01", "1.1751")
    side = child.side if contract_id == NEW else child.side.opposite
    return replace(made, contract_id=contract_id, side=side)


def test_each_leg_is_booked_under_its_own_parent_and_split_over_its_sleeves(database: Database) -> None:
    store, child = sent(database)
    assert store.record_fill(leg_fill(child, NEW, "5", 1))
    assert store.record_fill(leg_fill(child, OLD, "5", 2))
    assert not store.record_fill(leg_fill(child, OLD, "5", 2))
    book = LedgerStore(database).portfolio(ACCOUNT, later(4000))
    assert {name: position.sleeves for name, position in book.positions.items()} == {
        # 5 of 7 in proportion 5 : 2, in whole contracts; and all 5 of the old one, 3 : 2
        NEW: {Sleeve.FX_HEDGE: D(4), Sleeve.CORE: D(1)},
        OLD: {Sleeve.FX_HEDGE: D(-3), Sleeve.CORE: D(-2)},
    }
    assert {e.intent.intent_id: sum(f.quantity for f in e.fills) for e in executed_parents(database, ACCOUNT, DAY)} == {
        "near": D(5),
        "far": D(5),
    }  # fmt: skip


def test_spread_below_nought_is_booked_by_the_prices_of_its_legs(database: Database) -> None:
    store, (near, far) = open_orders(database), parents()
    store.save_intents(DAY, (near, far))
    leg = NearLeg(intent_id="near", contract_id=OLD, arrival_mid=D("1.18"))
    child = replace(make_child(far, 1, "5", "-0.0050"), near=leg, arrival_mid=D("1.175"))
    assert store.claim(child, D(1000), NOW) is GateOutcome.CLAIMED
    store.record_fill(replace(leg_fill(child, NEW, "5", 1), price=D("1.1751"), commission=None))
    store.record_fill(replace(leg_fill(child, OLD, "5", 2), price=D("1.1801"), commission=None))
    # Far 1.1751 less near 1.1801 is -0.0050, the limit; no execution has that price.
    assert [(fill.contract_id, fill.price) for fill in store.fills()] == [
        (NEW, D("1.1751")),
        (OLD, D("1.1801")),
    ]


def test_children_of_both_parents_show_the_spread_and_what_it_filled_of_each(database: Database) -> None:
    store, child = sent(database)
    store.record_fill(leg_fill(child, NEW, "5", 1))
    store.record_fill(leg_fill(child, OLD, "3", 2))
    (of_far,), (of_near,) = store.children("far"), store.children("near")
    assert of_far == of_near
    assert (of_far.filled_of("far"), of_far.filled_of("near"), of_far.whole) == (D(5), D(3), D(3))
    assert of_far.traded == ((NEW, D(5)), (OLD, D(-3)))


@pytest.mark.parametrize(
    ("filled", "quantity", "outcome", "why"),
    [
        ("0", "1", GateOutcome.OVER_RESERVED, "5 are reserved by the spread"),
        ("3", "1", GateOutcome.OVER_RESERVED, "3 are filled and 2 reserved"),
    ],
)
def test_order_of_the_old_contract_waits_for_the_spread(
    database: Database, filled: str, quantity: str, outcome: GateOutcome, why: str
) -> None:
    store, child = sent(database)
    if D(filled):
        store.record_fill(leg_fill(child, OLD, filled, 1))
    own = make_child(parents()[0], 1, quantity, "1.17")
    assert store.claim(own, D(1), NOW) is outcome, why


def test_what_a_cancelled_spread_left_is_free_for_both_legs(database: Database) -> None:
    store, child = sent(database)
    for number, name in enumerate((NEW, OLD), 1):
        store.record_fill(leg_fill(child, name, "3", number))
    store.record_status(child.order_ref, ChildStatus.WORKING, NOW, "")
    store.record_status(child.order_ref, ChildStatus.CANCEL_PENDING, NOW, "")
    store.record_status(child.order_ref, ChildStatus.CANCELLED, NOW, "")
    near, far = parents()
    for attempt, (parent, quantity, outcome) in enumerate(
        [
            (near, "3", GateOutcome.OVER_RESERVED),
            (near, "2", GateOutcome.CLAIMED),
            (far, "5", GateOutcome.OVER_RESERVED),
            (far, "4", GateOutcome.CLAIMED),
        ],
        2,
    ):
        own = make_child(parent, attempt, quantity, "1.17")
        assert store.claim(own, D(1), NOW) is outcome, (parent.intent_id, quantity)


def test_spread_must_fit_into_both_parents(database: Database) -> None:
    store, (near, far) = open_orders(database), parents()
    store.save_intents(DAY, (near, far))
    wide = spread(far, 1, "6")
    # Seven may be bought, but only five sold.
    assert store.claim(wide, D(1), NOW) is GateOutcome.OVER_RESERVED


def test_near_leg_of_another_trade_is_refused(database: Database) -> None:
    store, (near, far) = open_orders(database), parents()
    store.save_intents(DAY, (near, far))
    wrong = replace(spread(far), near=NearLeg(intent_id="far", contract_id=NEW, arrival_mid=D(1)))
    with pytest.raises(InvariantError, match="of the near leg is not"):
        store.claim(wrong, D(1), NOW)


def test_spread_of_unknown_fate_blocks_both_contracts(database: Database) -> None:
    store, child = sent(database)
    store.record_status(child.order_ref, ChildStatus.UNKNOWN, NOW, "")
    assert store.blocked_contracts() == {OLD, NEW}


def test_busted_leg_gives_back_its_own_part(database: Database) -> None:
    store, child = sent(database)
    for number, name in enumerate((NEW, OLD), 1):
        store.record_fill(leg_fill(child, name, "5", number))
    assert store.take_back_fill("0002.01", later(5000))
    (record,) = store.children("near")
    assert (record.filled, record.near_filled) == (D(5), D(0))


def test_parents_of_an_execution_follow_its_contract(database: Database) -> None:
    _, child = sent(database)
    found = parents_of(database, ACCOUNT, [child.order_ref])
    ids = {name: leg_parent(found, child.order_ref, name) for name in (OLD, NEW)}
    assert {name: parent and parent.intent_id for name, parent in ids.items()} == {OLD: "near", NEW: "far"}
