"""Find at the broker what became of orders that our book holds open, and say aloud what came late or stays in doubt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from engine.errors import BrokerUnavailable, HaltError
from engine.execution.inquiry import look_again, recover_all, undecided_text
from engine.execution.recovery import RecoveryReport, recall_what_is_left, recover
from engine.execution.strangers import refuse_recalled
from engine.model.context import Mode, RunKind
from engine.model.halts import HaltKind
from engine.ports import OrderTransport
from state.executions import overfilled_parents
from tasks.day import TradingDay

OVERFILLS_SINCE = timedelta(days=7)
"""How long ago a parent may have been worked of which an execution is told late."""


def find_orders(day: TradingDay) -> RecoveryReport:
    """Bring open orders up to what the broker knows; nothing new is sent. A late execution is booked with an alarm.

    In the morning what is known of orders in doubt is noted once more; while a run works, it decides its own.

    Raises
    ------
    HaltError
        When more of a parent is booked than it ordered, and no halt has named it: whoever booked it may have ended
        before it could stop the fund. When the book has lost an order that worked; an execution stops itself then, so
        that it takes back all else that works.
    """
    line = day.world.connect()
    report = _recover(day, line)
    note_numbers(day, line)
    for execution in report.late:
        day.alert("CRITICAL", f"late fill {execution}: it was booked after its order had ended")
    for execution in sorted(report.strangers):
        day.alert(
            "WARNING", f"execution {execution} is of an order that is not ours; what it moved is compared"
        )
    _stop_at_overfill(day)
    if day.key.kind is not RunKind.EXECUTION:
        refuse_recalled(report.recalled)
    if not report.blocked or day.key.kind is not RunKind.DECISION:
        return report
    settle_doubts(day)
    return replace(report, blocked=tuple(sorted(day.orders.blocked_contracts())))


@contextmanager
def taking_back(day: TradingDay, stops: tuple[type[Exception], ...]) -> Iterator[None]:
    """Before a run works anything: when it stops here, what an earlier attempt left at the broker is cancelled.

    What becomes of it the next recovery finds. A cancel that can not leave is told; the order's good-till time ends it.
    """
    try:
        yield
    except stops:
        try:
            recall_what_is_left(day.orders, day.world.connect())
        except BrokerUnavailable as error:
            day.alert("CRITICAL", f"what works at the broker could not be taken back: {error}")
        raise


def _recover(day: TradingDay, line: OrderTransport) -> RecoveryReport:
    """A simulated broker lists at once what it has, and its time is not moved beyond the run's own."""
    if day.key.mode is Mode.SIMULATED:
        return recover(day.orders, line)
    return recover_all(day.orders, line, day.world.absence)


def _stop_at_overfill(day: TradingDay) -> None:
    found = overfilled_parents(day.world.database, day.key.account, day.trade_date - OVERFILLS_SINCE)
    if not found:
        return
    known = [h.message for h in day.world.halts.halts(day.key.account) if h.kind == HaltKind.OVERFILL.value]
    told = "; ".join(
        f"{row.contract_id}, {row.intent_id}: filled {row.filled.normalize():f} of {row.quantity.normalize():f}"
        for row in found
        if not any(row.intent_id in message for message in known)
    )
    if told:
        raise HaltError(HaltKind.OVERFILL.value, f"more was filled than ordered: {told}")


def note_numbers(day: TradingDay, line: OrderTransport) -> None:
    """Keep what a broker calls our orders; the simulated one has no numbers that anybody else would know."""
    if day.world.place is None:
        return
    try:
        listed = {order.order_ref: order.broker_order_id for order in line.orders() if order.order_ref}
    except BrokerUnavailable as error:
        day.alert("WARNING", f"the broker's numbers of our orders could not be read: {error}")
        return
    for ref in sorted(day.world.order_refs(listed)):
        number = listed[ref]
        day.orders.attach_broker_ids(ref, number, number if number.isdigit() else None)


def settle_doubts(day: TradingDay) -> None:
    """Decide what can be decided of orders whose outcome is not known; a person is told of the others."""
    if not day.orders.blocked_contracts():
        return
    try:
        outcomes = look_again(day.orders, day.world.connect(), day.world.absence, _time_for_it(day))
    except BrokerUnavailable as error:
        day.alert("CRITICAL", f"orders in doubt could not be looked at: {error}")
        return
    for found in outcomes:
        if found.verdict.is_absent:
            day.alert("WARNING", f"{found.order_ref} never reached the broker: it is proved absent")
        else:
            day.alert("CRITICAL", undecided_text(found.order_ref, found.verdict))


def _time_for_it(day: TradingDay) -> datetime:
    """Until when it may be waited; the time of a simulated broker is not moved beyond the run's own."""
    if day.key.mode is Mode.SIMULATED:
        return day.context.as_of
    return day.world.now + timedelta(seconds=2 * day.world.absence.decided_within_seconds)
