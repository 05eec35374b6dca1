"""Rolls worked as calendar spreads first, and as outright legs where the spread does not trade."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.executor import execute
from engine.execution.jobs import precompute_jobs
from engine.execution.outcome import ExecutionReport, ExecutionWorld
from engine.execution.recovery import recover
from engine.execution.ticket import FinishReason
from engine.execution.windows import WindowRules
from engine.model.market import Quote
from engine.model.orders import (
    ChildOrder,
    ChildStatus,
    ExecutionJob,
    Fill,
    JobStatus,
    OpenOrder,
    OrderIntent,
    Reason,
    Side,
    Trade,
    TransportEventKind,
)
from engine.model.spreads import NearLeg
from engine.ports import StatusChange
from tests import fakes
from tests.engine.execution.market import (
    ES_JUN,
    ES_SEP,
    M6E_SEP,
    NOON,
    PRICES,
    VX_JUL,
    context,
    intent,
    job,
    sessions,
    steady,
    trade,
    window_policies,
    world,
)
from tests.fakes import MemoryOrderBook, ScriptedTransport

ROLL = "roll:ES"
MINUTES = 30


def legs(closing: int = 5, opening: int = 5, old: Side = Side.SELL) -> tuple[OrderIntent, OrderIntent]:
    near = intent(closing, old, ES_JUN, name="near", reason=Reason.ROLL, reduce_only=True)
    far = intent(opening, old.opposite, ES_SEP, name="far", reason=Reason.ROLL)
    return replace(near, group=ROLL), replace(far, group=ROLL, near_intent_id="near")


def roll_job(*parents: OrderIntent) -> ExecutionJob:
    return job(*parents, minutes=MINUTES, group=f"strategy/{ROLL}")


def fill_spread(broker: ScriptedTransport, child: ChildOrder, quantity: int, number: int = 1) -> None:
    """Trade both legs at their touches: one contract's tick away from 5000 and 5050."""
    assert child.near is not None
    new = broker.execute(replace(child, limit_price=D("5050.25")), D(quantity), number=2 * number - 1)
    old = replace(
        child, contract_id=child.near.contract_id, side=child.side.opposite, limit_price=D("4999.75")
    )
    broker.execute(old, D(quantity), number=2 * number)
    assert new.contract_id == ES_SEP


OnChild = Callable[[ScriptedTransport, ChildOrder], None]


def market(spreads: OnChild, outright: OnChild = fakes.fill_all) -> OnChild:
    def on_send(broker: ScriptedTransport, child: ChildOrder) -> None:
        (spreads if child.near is not None else outright)(broker, child)

    return on_send


def trade_all(broker: ScriptedTransport, child: ChildOrder) -> None:
    fakes.acknowledge(broker, child)
    fill_spread(broker, child, int(child.quantity))


def refuse(broker: ScriptedTransport, child: ChildOrder) -> None:
    broker.report(TransportEventKind.REJECTED, child.order_ref, text="no spreads today")


def rolled(
    spreads: OnChild,
    *,
    parents: tuple[OrderIntent, OrderIntent] | None = None,
    outright: OnChild = fakes.fill_all,
) -> tuple[ExecutionReport, ScriptedTransport, MemoryOrderBook]:
    near, far = parents or legs()
    made, broker, book = world(near, far)
    broker.on_send = market(spreads, outright)
    return execute([roll_job(near, far)], made), broker, book


def sent(broker: ScriptedTransport) -> list[tuple[str, str, D, bool]]:
    return [(c.contract_id, c.side.value, c.quantity, c.near is not None) for c in broker.sent]


def filled(report: ExecutionReport) -> dict[str, D]:
    return {parent.intent_id: parent.filled for parent in report.parents}


def seconds(at: datetime) -> float:
    return (at - NOON).total_seconds()


# ---------------------------------------------------------------- the spread itself


def test_roll_goes_as_one_order_of_both_contracts() -> None:
    report, broker, book = rolled(trade_all)
    assert sent(broker) == [(ES_SEP, "BUY", D(5), True)]
    assert broker.sent[0].near == NearLeg(intent_id="near", contract_id=ES_JUN, arrival_mid=D(5000))
    assert [status for _, status in book.history] == [
        ChildStatus.SENDING,
        ChildStatus.WORKING,
        ChildStatus.FILLED,
    ]
    assert filled(report) == {"near": D(5), "far": D(5)}
    assert (report.jobs[0].status, report.alarms) == (JobStatus.DONE, ())


@pytest.mark.parametrize(
    ("old", "limit", "why"),
    [
        (Side.SELL, D("50.75"), "bought: mid 50, half of 1.00, and a quarter of it beyond"),
        (Side.BUY, D("49.25"), "sold: 50 − 0.50 − 0.25"),
    ],
)
def test_limit_is_marketable_on_the_difference_of_the_prices(old: Side, limit: D, why: str) -> None:
    # 5049.75/5050.25 less 4999.75/5000.25: bid 49.50, ask 50.50
    _, broker, _ = rolled(trade_all, parents=legs(old=old))
    assert broker.sent[0].limit_price == limit, why


def test_spread_follows_the_market_inside_the_collar_of_one_leg() -> None:
    near, far = legs()
    made, broker, _ = world(near, far)

    def widening(contract_id: str, at: datetime) -> Quote:
        found = steady(contract_id, at)
        away = D(0) if contract_id == ES_JUN else D((at - NOON).seconds // 10)
        assert found.bid is not None
        assert found.ask is not None
        return replace(found, bid=found.bid + away, ask=found.ask + away)

    broker.quote_at, broker.on_send = widening, market(fakes.acknowledge, fakes.acknowledge)
    execute([roll_job(near, far)], made)
    # 3 bps of 5050 are 1.515: no spread is ever bought above 51.515, on the grid 51.50.
    spreads = [child.limit_price for child in broker.sent if child.near is not None]
    assert (spreads[0], max(spreads)) == (D("50.75"), D("51.50"))


@pytest.mark.parametrize("bid", ["0", "5000.5", None], ids=["zero", "crossed", "missing"])
def test_arrival_of_a_roll_is_never_read_from_a_broken_quote(bid: str | None) -> None:
    near, far = legs()
    made, broker, _ = world(near, far)
    broken_until = NOON + timedelta(seconds=20)

    def quote_at(contract_id: str, at: datetime) -> Quote:
        good = steady(contract_id, at)
        is_broken = contract_id == ES_JUN and at < broken_until
        return replace(good, bid=None if bid is None else D(bid)) if is_broken else good

    broker.quote_at = quote_at
    broker.on_send = market(fakes.acknowledge)
    execute([roll_job(near, far)], made)
    anchored = {(c.arrival_mid, None if c.near is None else c.near.arrival_mid) for c in broker.sent}
    # Outright orders of the old contract arrive at 5000, those of the new one at 5050: the mids of the whole quotes.
    assert anchored <= {(D(5050), D(5000)), (D(5050), None), (D(5000), None)}
    assert broker.sent


def test_turnover_counts_both_legs_of_a_spread() -> None:
    near, far = legs()
    made, broker, book = world(near, far)
    asked: list[D] = []
    claim = book.claim

    def counted(order_ref: str, usd: D, now: datetime) -> object:
        asked.append(usd)
        return claim(order_ref, usd, now)

    book.claim = counted  # type: ignore[assignment, method-assign]
    broker.on_send = market(trade_all)
    execute([roll_job(near, far)], made)
    # 5 × 50 USD a point × (5050 + 5000)
    assert asked == [D(2_512_500)]


# ---------------------------------------------------------------- merged with what the strategy wants


@pytest.mark.parametrize(
    ("closing", "opening", "then", "why"),
    [
        (5, 7, [(ES_SEP, "BUY", D(2), False)], "a sleeve wants two more: five spreads and two of the new"),
        (5, 3, [(ES_JUN, "SELL", D(2), False)], "a sleeve wants two less: three spreads and two of the old"),
        (5, 5, [], "nobody wants anything"),
    ],
)
def test_strategy_and_roll_take_the_fewest_crossings(
    closing: int, opening: int, then: list[tuple[str, str, D, bool]], why: str
) -> None:
    report, broker, _ = rolled(trade_all, parents=legs(closing, opening))
    assert sent(broker) == [(ES_SEP, "BUY", D(min(closing, opening)), True), *then], why
    assert filled(report) == {"near": D(closing), "far": D(opening)}


def pairs(*trades: Trade) -> dict[str, str | None]:
    rules = WindowRules(sessions=sessions(), policies=window_policies(), new_york="NYSE")
    planned = precompute_jobs(trades, PRICES, rules, context()).jobs
    names = {i.intent_id: i.contract_id for each in planned for i in each.intents}
    found = {}
    for each in planned:
        for parent in each.intents:
            partner = parent.near_intent_id
            found[parent.contract_id] = None if partner is None else names[partner]
            assert partner is None or partner in {i.intent_id for i in each.intents}
    return found


def moved(contract_id: str, quantity: int, reason: Reason = Reason.ROLL, group: str | None = ROLL) -> Trade:
    return trade(contract_id, quantity, reason=reason, group=group)


@pytest.mark.parametrize(
    ("trades", "partners", "why"),
    [
        ((moved(ES_JUN, -5), moved(ES_SEP, 5)), {ES_JUN: None, ES_SEP: ES_JUN}, "a plain roll"),
        (
            (moved(ES_JUN, -5), moved(ES_SEP, 25, group="pair")),
            {ES_JUN: None, ES_SEP: ES_JUN},
            "the pair's wish is larger: both are still one job",
        ),
        ((moved(ES_JUN, -5), moved(ES_SEP, -2)), {ES_JUN: None, ES_SEP: None}, "both are sold"),
        ((moved(ES_JUN, -5),), {ES_JUN: None}, "closed for good"),
        (
            (moved(ES_JUN, -5), moved(ES_SEP, 5, Reason.REBALANCE)),
            {ES_JUN: None, ES_SEP: None},
            "no roll of this contract",
        ),
        ((moved(VX_JUL, -5), moved(M6E_SEP, 5)), {VX_JUL: None, M6E_SEP: None}, "no listed spread"),
    ],
)
def test_only_opposite_legs_of_a_listed_spread_are_joined(
    trades: tuple[Trade, ...], partners: dict[str, str | None], why: str
) -> None:
    assert pairs(*trades) == partners, why


# ---------------------------------------------------------------- escalation to the legs


def test_spread_that_does_not_trade_gives_way_to_both_legs_after_its_time() -> None:
    near, far = legs()
    made, broker, _ = world(near, far)
    times: list[tuple[float, str]] = []

    def outright(b: ScriptedTransport, child: ChildOrder) -> None:
        times.append((seconds(b.clock), child.contract_id))
        fakes.fill_all(b, child)

    broker.on_send = market(fakes.acknowledge, outright)
    report = execute([roll_job(near, far)], made)
    # The time to live is 120 s, and the cancel of the last spread is confirmed 0.1 s later.
    assert times == [(pytest.approx(120.1), ES_SEP), (pytest.approx(120.1), ES_JUN)]
    assert filled(report) == {"near": D(5), "far": D(5)}
    assert report.alarms == ()


def test_legs_keep_the_arrival_of_the_roll() -> None:
    near, far = legs()
    made, broker, _ = world(near, far)

    def later(contract_id: str, at: datetime) -> Quote:
        found = steady(contract_id, at)
        assert found.bid is not None
        assert found.ask is not None
        away = D(10) if at > NOON else D(0)
        return replace(found, bid=found.bid + away, ask=found.ask + away)

    broker.quote_at, broker.on_send = later, market(fakes.acknowledge, fakes.acknowledge)
    execute([roll_job(near, far)], made)
    mids = {(c.contract_id, c.near is not None): c.arrival_mid for c in broker.sent}
    assert mids == {(ES_SEP, True): D(5050), (ES_SEP, False): D(5050), (ES_JUN, False): D(5000)}


def test_legs_take_only_what_spreads_left() -> None:
    def three(broker: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(broker, child)
        if child.attempt == 1:
            fill_spread(broker, child, 3)

    report, broker, _ = rolled(three)
    assert sent(broker)[0] == (ES_SEP, "BUY", D(5), True)
    assert {row[2] for row in sent(broker)[1:]} == {D(2)}
    assert [row for row in sent(broker) if not row[3]] == [
        (ES_SEP, "BUY", D(2), False),
        (ES_JUN, "SELL", D(2), False),
    ]
    assert filled(report) == {"near": D(5), "far": D(5)}


def test_refused_spread_gives_way_at_once_and_a_person_hears_of_it() -> None:
    report, broker, _ = rolled(refuse)
    assert sent(broker)[1:] == [(ES_SEP, "BUY", D(5), False), (ES_JUN, "SELL", D(5), False)]
    assert filled(report) == {"near": D(5), "far": D(5)}
    assert [alarm.split(" ", 1)[1] for alarm in report.alarms] == ["was rejected: no spreads today"]


def test_old_contract_is_closed_where_the_new_one_has_no_market() -> None:
    near, far = legs()
    made, broker, _ = world(near, far)
    broker.quote_at = lambda contract_id, at: None if contract_id == ES_SEP else steady(contract_id, at)
    broker.on_send = market(trade_all)
    report = execute([roll_job(near, far)], made)
    assert sent(broker) == [(ES_JUN, "SELL", D(5), False)]
    assert filled(report) == {"near": D(5), "far": D(0)}


def test_window_that_closes_on_a_spread_leaves_both_legs_as_they_are() -> None:
    near, far = legs()
    made, broker, book = world(near, far)
    broker.on_send = market(fakes.acknowledge)
    report = execute([job(near, far, minutes=1)], made)
    assert all(child.near is not None for child in broker.sent)
    assert {p.reason for p in report.parents} == {FinishReason.WINDOW_CLOSED}
    assert all(record.status is ChildStatus.CANCELLED for record in book.records.values())


def test_leg_whose_window_closed_while_its_spread_asked_for_quotes_is_not_started() -> None:
    near, far = legs()
    made, broker, _ = world(near, far)

    def step_ahead() -> None:
        # Due together: the next look at the quotes, the end of the spreads after 120 s and that of the window after 180 s.
        broker.clock = NOON + timedelta(seconds=181)

    broker.quote_at = lambda contract_id, at: None
    broker.at_times.append((NOON + timedelta(seconds=1), step_ahead))
    report = execute([job(near, far, minutes=3)], made)
    assert broker.sent == []
    assert {p.intent_id: p.reason for p in report.parents} == {
        "near": FinishReason.WINDOW_CLOSED,
        "far": FinishReason.WINDOW_CLOSED,
    }


# ---------------------------------------------------------------- what is not known, and what is found again


def test_spread_of_unknown_outcome_blocks_both_legs() -> None:
    report, broker, book = rolled(fakes.lose_connection)
    assert len(broker.sent) == 1
    assert [record.status for record in book.records.values()] == [ChildStatus.UNKNOWN]
    assert filled(report) == {"near": D(0), "far": D(0)}
    assert report.jobs[0].status is JobStatus.UNKNOWN
    assert book.committed("near") == book.committed("far") == D(5)


@pytest.mark.parametrize(
    ("second", "outright", "status", "why"),
    [
        (400.0, [], JobStatus.DONE, "it came in time: all is done, and nothing is sent twice"),
        (
            None,
            [],
            JobStatus.UNKNOWN,
            "it never came: the quantity stays reserved, the legs stay where they are",
        ),
    ],
)
def test_spread_that_ends_with_one_leg_told_waits_for_the_other(
    second: float | None, outright: list[ChildOrder], status: JobStatus, why: str
) -> None:
    def one_leg(broker: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(broker, child)
        broker.execute(child, D(5))
        broker.report(TransportEventKind.CANCELLED, child.order_ref, after=0.3)
        if second is not None:
            old = replace(child, contract_id=ES_JUN, side=Side.SELL, limit_price=D(5000))
            broker.execute(old, D(5), after=second, number=2)

    report, broker, book = rolled(one_leg)
    assert broker.sent[1:] == outright, why
    assert filled(report) == {"near": D(5) if second else D(0), "far": D(5)}
    assert report.jobs[0].status is status
    assert book.committed("near") == D(5)


def test_legs_take_what_is_left_only_when_every_execution_of_the_spread_was_told() -> None:
    def late(broker: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(broker, child)
        broker.report(TransportEventKind.CANCELLED, child.order_ref, after=0.3, filled=D(3))
        broker.clock += timedelta(seconds=5)
        fill_spread(broker, child, 3)

    report, broker, _ = rolled(late)
    assert sent(broker)[1:] == [(ES_SEP, "BUY", D(2), False), (ES_JUN, "SELL", D(2), False)]
    assert filled(report) == {"near": D(5), "far": D(5)}


class Killed(BaseException):
    """The process ended here."""


def restarted(made: ExecutionWorld, broker: ScriptedTransport, book: MemoryOrderBook) -> ExecutionReport:
    """A new attempt: reports that were not read are gone, orders and executions are asked for."""
    broker.queue.clear()
    child = broker.sent[0]
    done = min(
        sum(
            (f.quantity for f in broker.done if (f.order_ref, f.contract_id) == (child.order_ref, name)), D(0)
        )
        for name in child.contract_ids
    )
    broker.open[child.order_ref] = OpenOrder(
        order_ref=child.order_ref,
        broker_order_id="1",
        contract_id=child.contract_id,
        side=child.side,
        quantity=child.quantity,
        filled=done,
        limit_price=child.limit_price,
        status=ChildStatus.FILLED if done == child.quantity else ChildStatus.WORKING,
        near_contract_id=ES_JUN,
    )
    recover(book, broker)
    return execute([roll_job(*legs())], made)


@pytest.mark.parametrize("booked", [0, 1])
def test_kill_between_the_legs_of_a_fill_loses_none_and_repeats_none(booked: int) -> None:
    near, far = legs()
    made, broker, book = world(near, far)
    broker.on_send = market(trade_all)
    record = book.record

    def dying(fills: Sequence[Fill], changes: Sequence[StatusChange], now: datetime) -> None:
        if not fills:
            return record(fills, changes, now)
        # A book that an earlier version wrote may hold one leg alone.
        record(fills[:booked], [], now)
        raise Killed

    book.record = dying  # type: ignore[method-assign]
    with pytest.raises(Killed):
        execute([roll_job(near, far)], made)
    book.record = record  # type: ignore[method-assign]
    assert len(book.fills) == booked
    report = restarted(made, broker, book)
    assert len(broker.sent) == 1
    assert filled(report) == {"near": D(5), "far": D(5)}
    assert [r.status for r in book.records.values()] == [ChildStatus.FILLED]
    assert sorted((f.contract_id, f.signed_quantity) for f in book.fills.values()) == [
        (ES_JUN, D(-5)),
        (ES_SEP, D(5)),
    ]


def test_kill_after_the_send_goes_on_with_the_spread_that_works() -> None:
    near, far = legs()
    made, broker, book = world(near, far)

    def send_and_die(b: ScriptedTransport, child: ChildOrder) -> None:
        raise Killed

    broker.on_send = send_and_die
    with pytest.raises(Killed):
        execute([roll_job(near, far)], made)
    broker.on_send = market(trade_all)
    report = restarted(made, broker, book)
    first, second = broker.sent
    # Found working, repriced to the same limit it stays; its time runs out and the legs follow.
    assert first.near is not None
    assert first.order_ref != second.order_ref
    assert filled(report) == {"near": D(5), "far": D(5)}
    assert sum((c.quantity for c in broker.sent if c.contract_id == ES_SEP and c is not first), D(0)) == D(5)


def test_roll_that_went_on_with_its_legs_does_not_go_back_to_spreads() -> None:
    near, far = legs()
    made, broker, book = world(near, far)

    def die(b: ScriptedTransport, child: ChildOrder) -> None:
        raise Killed

    broker.on_send = market(refuse, die)
    with pytest.raises(Killed):
        execute([roll_job(near, far)], made)
    leg = broker.sent[-1]
    broker.queue.clear()
    recover(book, broker)
    broker.on_send = market(trade_all)
    report = execute([roll_job(near, far)], made)
    assert [c.near is not None for c in broker.sent] == [True, False, False]
    assert book.records[leg.order_ref].status is ChildStatus.UNKNOWN
    assert filled(report)[("near" if leg.contract_id == ES_SEP else "far")] == D(5)


@given(
    closing=st.integers(1, 9),
    opening=st.integers(1, 9),
    parts=st.lists(st.integers(1, 4), max_size=4),
    old=st.sampled_from(Side),
)
def test_any_fills_of_spreads_and_legs_end_in_exactly_what_was_ordered(
    closing: int, opening: int, parts: list[int], old: Side
) -> None:
    given_parts = iter(parts)

    def some(broker: ScriptedTransport, child: ChildOrder) -> None:
        fakes.acknowledge(broker, child)
        part = min(next(given_parts, 0), int(child.quantity))
        if part:
            fill_spread(broker, child, part)

    report, _, book = rolled(some, parents=legs(closing, opening, old))
    assert filled(report) == {"near": D(closing), "far": D(opening)}
    by_contract = {ES_JUN: D(0), ES_SEP: D(0)}
    for fill in book.fills.values():
        by_contract[fill.contract_id] += fill.signed_quantity
    assert by_contract == {ES_JUN: D(closing * old.sign), ES_SEP: D(-opening * old.sign)}
