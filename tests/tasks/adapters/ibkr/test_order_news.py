"""Messages about orders in every order that they may come: the same news for the engine, each once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from engine.model.orders import ChildOrder, Fill, OrderType, Side, TransportEvent, TransportEventKind
from tasks.adapters.ibkr.order_news import PATIENCE, OrderNews, side_of
from tasks.adapters.ibkr.records import (
    CommissionShown,
    ContractShown,
    ErrorShown,
    ExecutionShown,
    LinkChanged,
    News,
    OrderShown,
    StatusShown,
)

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
LATER = NOW + PATIENCE
REF, ORDER, PERMANENT, CLIENT = "AF1.A.1", 41, 9001, 7
Kind = TransportEventKind
CSPX = ContractShown(
    con_id=1, symbol="CSPX", security_type="STK", expiry="", strike=Decimal(0), right="", multiplier="", currency="USD",
    local_symbol="CSPX", trading_class="CSPX",
)  # fmt: skip


def child(ref: str = REF, quantity: int = 100) -> ChildOrder:
    return ChildOrder(
        order_ref=ref, intent_id=ref, attempt=1, contract_id="CSPX", side=Side.BUY, quantity=Decimal(quantity),
        order_type=OrderType.LIMIT, limit_price=Decimal(700), time_in_force="DAY", good_till=NOW,
    )  # fmt: skip


def to_fill(shown: ExecutionShown, ref: str | None) -> Fill:
    return Fill(
        execution_id=shown.execution_id, order_ref=ref, contract_id=shown.contract.symbol, side=side_of(shown.side),
        quantity=shown.quantity, price=shown.price, executed_at=shown.at, commission=None, commission_currency=None,
    )  # fmt: skip


def news(*sent: tuple[str, int]) -> OrderNews:
    made = OrderNews(CLIENT, to_fill)
    for ref, number in sent or ((REF, ORDER),):
        made.sent(child(ref), number)
    return made


def shown(
    status: str = "Submitted", ref: str = REF, order: int = ORDER, permanent: int = PERMANENT
) -> OrderShown:
    return OrderShown(
        order_id=order, client_id=CLIENT, perm_id=permanent, order_ref=ref, account="DU1", contract=CSPX, legs=(),
        action="BUY", quantity=Decimal(100), limit_price=Decimal(700), status=status, filled=None, is_completed=False,
    )  # fmt: skip


def state(status: str, filled: int = 0, order: int = ORDER, permanent: int = PERMANENT) -> StatusShown:
    return StatusShown(
        order_id=order,
        client_id=CLIENT,
        perm_id=permanent,
        status=status,
        filled=Decimal(filled),
        why_held="",
    )


def executed(
    name: str = "X.01", quantity: int = 100, ref: str = REF, permanent: int = PERMANENT
) -> ExecutionShown:
    return ExecutionShown(
        execution_id=name, order_id=ORDER, client_id=CLIENT, perm_id=permanent, order_ref=ref, account="DU1", contract=CSPX,
        side="BOT", quantity=Decimal(quantity), price=Decimal(699), at=NOW,
    )  # fmt: skip


def charged(name: str = "X.01") -> CommissionShown:
    return CommissionShown(execution_id=name, commission=Decimal("1.25"), currency="USD")


def failed(code: int, order: int = ORDER) -> ErrorShown:
    return ErrorShown(request_id=order, code=code, text="No")


def heard(made: OrderNews, *messages: News, at: datetime = LATER) -> list[TransportEvent]:
    made.take(messages, NOW)
    found = []
    while (event := made.pop(at)) is not None:
        found.append(event)
    return found


def kinds(events: list[TransportEvent]) -> list[TransportEventKind]:
    return [event.kind for event in events]


# ---------------------------------------------------------------- one end per order


def test_refusal_and_cancel_that_follow_each_other_are_one_end_in_either_order() -> None:
    for messages in ((failed(201), state("Cancelled")), (state("Cancelled"), failed(201))):
        ends = [event for event in heard(news(), *messages) if event.kind is not Kind.NOTICE]
        assert [(end.kind, end.text) for end in ends] == [(Kind.REJECTED, "201 No")]


def test_end_that_nobody_asked_for_waits_a_little_for_its_reason() -> None:
    made = news()
    assert heard(made, state("Cancelled"), at=NOW) == []
    assert kinds(heard(made, at=LATER)) == [Kind.CANCELLED]


def test_end_that_was_asked_for_waits_for_nothing() -> None:
    made = news()
    made.cancel_asked(REF)
    [end] = heard(made, state("Cancelled", filled=40), at=NOW)
    assert (end.kind, end.filled) == (Kind.CANCELLED, Decimal(40))
    assert heard(made, state("Cancelled", filled=40)) == []


def test_refusal_alone_ends_nothing_until_a_list_confirms_it() -> None:
    made = news()
    assert kinds(heard(made, failed(201))) == [Kind.NOTICE]
    assert set(made.refusals) == {REF}
    made.refused(REF, None, NOW)
    [end] = heard(made)
    assert (end.kind, end.text, end.filled) == (Kind.REJECTED, "201 No", Decimal(0))
    assert heard(made, state("Cancelled")) == []


def test_held_order_is_alive_and_may_fill() -> None:
    made = news()
    events = heard(made, failed(404), state("Inactive"), executed(), charged())
    assert kinds(events) == [Kind.NOTICE, Kind.ACKNOWLEDGED, Kind.FILL]


def test_fill_after_a_cancel_is_told_after_it() -> None:
    made = news()
    made.cancel_asked(REF)
    events = heard(made, state("Cancelled", filled=40), executed(quantity=40), charged())
    assert kinds(events) == [Kind.CANCELLED, Kind.FILL]


# ---------------------------------------------------------------- executions and commissions


def test_execution_waits_for_its_commission_and_goes_without_it_after_a_moment() -> None:
    made = news()
    assert heard(made, executed(), at=NOW) == []
    [fill] = heard(made, at=LATER)
    assert fill.fill is not None
    assert not fill.fill.is_charged
    [again] = heard(made, charged())
    assert again.fill is not None
    assert (again.fill.execution_id, again.fill.commission) == ("X.01", Decimal("1.25"))


def test_commission_of_nothing_in_no_currency_reports_nothing() -> None:
    made = news()
    first = CommissionShown(execution_id="X.01", commission=Decimal(0), currency="")
    [fill] = heard(made, first, executed())
    assert fill.fill is not None
    assert fill.fill.commission is None


def test_news_that_waits_holds_back_what_came_after_it() -> None:
    made = news((REF, ORDER), ("AF1.B.1", 42))
    later = shown(ref="AF1.B.1", order=42, permanent=9002)
    assert heard(made, executed(), later, at=NOW) == []
    events = heard(made, charged(), at=NOW)
    assert [(event.kind, event.order_ref) for event in events] == [
        (Kind.FILL, REF), (Kind.ACKNOWLEDGED, "AF1.B.1"),
    ]  # fmt: skip


def test_combination_itself_is_no_execution_only_its_legs_are() -> None:
    whole = ContractShown(**{
        **{name: getattr(CSPX, name) for name in ContractShown.__dataclass_fields__}, "security_type": "BAG",
    })  # fmt: skip
    bag = executed()
    bag = ExecutionShown(
        **{**{n: getattr(bag, n) for n in ExecutionShown.__dataclass_fields__}, "contract": whole}
    )
    assert heard(news(), bag) == []


# ---------------------------------------------------------------- whose it is


def test_state_before_its_order_waits_for_it() -> None:
    made = OrderNews(CLIENT, to_fill)
    made.take((state("Submitted"),), NOW)
    made.sent(child(), 99)
    assert kinds(heard(made, shown())) == [Kind.ACKNOWLEDGED]


def test_permanent_number_of_nought_mixes_no_orders() -> None:
    made = news((REF, ORDER), ("AF1.B.1", 42))
    events = heard(
        made, shown(permanent=0), shown(ref="AF1.B.1", order=42, permanent=0),
        executed("X.01", 30, "AF1.B.1", permanent=0), charged("X.01"), executed("Y.01", 20, REF, permanent=0), charged("Y.01"),
    )  # fmt: skip
    fills = [(event.order_ref, event.fill.quantity) for event in events if event.fill is not None]
    assert fills == [("AF1.B.1", Decimal(30)), (REF, Decimal(20))]


def test_number_that_was_given_again_after_a_lost_line_belongs_to_its_new_order() -> None:
    made = news()
    heard(made, shown())
    heard(made, LinkChanged(at=NOW, is_up=False, text="gone"))
    made.sent(child("AF1.B.1"), ORDER)
    made.cancel_asked("AF1.B.1")
    [end] = heard(made, state("Cancelled", permanent=9002))
    assert end.order_ref == "AF1.B.1"
    [old] = heard(made, state("Cancelled", permanent=PERMANENT))
    assert old.order_ref == REF


def test_lost_line_puts_only_living_orders_in_doubt() -> None:
    made = news((REF, ORDER), ("AF1.B.1", 42), ("AF1.C.1", 43))
    made.cancel_asked("AF1.B.1")
    heard(made, executed(quantity=100), charged(), state("Cancelled", order=42, permanent=9002))
    events = heard(made, LinkChanged(at=NOW, is_up=False, text="gone"))
    assert [(event.kind, event.order_ref) for event in events] == [(Kind.VISIBILITY_LOST, "AF1.C.1")]


def test_order_of_another_client_is_told_once() -> None:
    made, other = news(), shown(ref="", order=5, permanent=777)
    other = OrderShown(**{**{n: getattr(other, n) for n in OrderShown.__dataclass_fields__}, "client_id": 3})
    events = heard(made, other, other)
    assert [(event.kind, event.is_ours) for event in events] == [(Kind.ACKNOWLEDGED, False)]


def test_number_of_an_order_is_that_of_this_connection() -> None:
    made = news()
    assert made.number_of(REF) == ORDER
    heard(made, LinkChanged(at=NOW, is_up=False, text="gone"))
    assert made.number_of(REF) is None
    heard(made, shown(order=57))
    assert made.number_of(REF) == 57


# ---------------------------------------------------------------- any order of messages


@given(st.permutations([shown("PreSubmitted"), shown(), state("Submitted"), executed("X.01", 40), charged("X.01"),
                        executed("Y.01", 60), charged("Y.01"), state("Filled", 100), failed(10349)]))  # fmt: skip
def test_messages_in_any_order_make_the_same_book(messages: list[News]) -> None:
    made = news()
    events = heard(made, *messages)
    booked: dict[str, Fill] = {}
    for event in events:
        if event.fill is not None:
            booked[event.fill.execution_id] = event.fill
    assert sum(fill.quantity for fill in booked.values()) == 100
    assert all(fill.is_charged and fill.order_ref == REF for fill in booked.values())
    assert kinds(events).count(Kind.ACKNOWLEDGED) == 1
    assert not {Kind.CANCELLED, Kind.REJECTED, Kind.EXPIRED} & set(kinds(events))


@given(
    st.lists(
        st.sampled_from([executed("X.01", 40), charged("X.01"), executed("X.02", 30), charged("X.02")]),
        max_size=12,
    )
)
def test_repeated_messages_tell_each_execution_at_most_once_with_and_once_without_commission(
    messages: list[News],
) -> None:
    told = [(e.fill.execution_id, e.fill.is_charged) for e in heard(news(), *messages) if e.fill is not None]
    assert len(told) == len(set(told))


def test_patience_is_shorter_than_any_deadline_of_the_engine() -> None:
    assert timedelta(0) < PATIENCE < timedelta(seconds=1)
