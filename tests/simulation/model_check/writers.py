"""Steps of a process that may send: connect, recover, plan, claim, write, listen, cancel, prove; and its death."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.model.orders import ChildStatus
from engine.ports import GateOutcome
from tests.simulation.model_check.outside import with_order
from tests.simulation.model_check.policies import Policy, Proof, Resend
from tests.simulation.model_check.shipped import (
    concluded,
    gate_answer,
    is_absent,
    is_missing_executions,
    moved,
    path_to,
)
from tests.simulation.model_check.states import At, Halt, Order, Stage, Step, World, Writer

_S = ChildStatus
_ENDS = {Stage.CANCELLED: _S.CANCELLED, Stage.REJECTED: _S.REJECTED, Stage.EXPIRED: _S.EXPIRED}
_STOPPED = Writer()


def writer_steps(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """Everything that one writer may do next, and what may happen to it."""
    writer, name = world.writers[who], f"P{who}"
    if writer.at is At.OFF:
        yield _begin(world, who)
        return
    yield Step(f"{name} is killed", _put(world, who, _STOPPED), is_fault=True)
    if writer.linked:
        cut = _put(world, who, writer._replace(linked=False))
        yield Step(f"the line of {name} is cut", cut, is_fault=True)
    yield from _DOES[writer.at](world, who, policy)


def _put(world: World, who: int, writer: Writer) -> World:
    writers = world.writers
    return world._replace(writers=(*writers[:who], writer, *writers[who + 1 :]))


def _begin(world: World, who: int) -> Step:
    """A claim of the run: its epoch is the newest from now on. To take over from a living one is a fault."""
    others = [writer._replace(current=False) for writer in world.writers]
    others[who] = Writer(at=At.CONNECTING, current=True)
    alive = any(writer.at is not At.OFF for writer in world.writers)
    text = f"P{who} {'takes the run over' if alive else 'starts'}"
    return Step(text, world._replace(writers=tuple(others)), is_fault=alive)


def _connect(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """The broker refuses a second session of the same client while the first one stands."""
    if policy.has_fence and any(writer.linked for writer in world.writers):
        return
    linked = world.writers[who]._replace(at=At.READING, linked=True)
    yield Step(f"P{who} connects", _put(world, who, linked))


def _read(world: World, who: int, policy: Policy) -> Iterator[Step]:
    writer = world.writers[who]
    if not writer.linked:
        yield _reconnect(world, who)
        return
    answer = tuple(
        number for order in world.orders for number in (order.shown.value, order.executed, order.listed)
    )
    asked = writer._replace(at=At.APPLYING, answer=answer)
    yield Step(f"P{who} asks for orders and executions", _put(world, who, asked))


def _apply(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """Bring every unresolved child up to the broker's answer, as the shipped recovery concludes."""
    writer = world.writers[who]
    orders = list(world.orders)
    for number, order in enumerate(world.orders):
        shown, executed, listed = writer.answer[3 * number : 3 * number + 3]
        if not (order.status.holds_reservation or order.is_planned):
            continue
        if _is_resent(policy, order, Stage(shown), listed):
            again = writer._replace(at=At.WRITING, number=number, answer=())
            yield Step(f"P{who} sends order {number + 1} again", _put(world, who, again))
            return
        booked = order._replace(booked=order.booked | listed)
        orders[number] = booked
        if writer.current:
            status = concluded(order.status, order.quantity, order.booked, Stage(shown), executed, listed)
            orders[number] = booked._replace(status=status)
    after = world._replace(orders=tuple(orders))
    if not writer.current:
        yield _superseded(after, who)
        return
    yield Step(f"P{who} books what it found", _put(after, who, writer._replace(at=At.WORKING, answer=())))


def _is_resent(policy: Policy, order: Order, shown: Stage, listed: int) -> bool:
    if policy.resends is Resend.NEVER or order.status not in (_S.SENDING, _S.UNKNOWN):
        return False
    is_open, is_done = shown is Stage.OPEN, shown > Stage.OPEN
    seen = {
        Resend.ALWAYS: False,
        Resend.NOT_OPEN: is_open,
        Resend.NOT_EXECUTED: is_open or listed != 0,
        Resend.NOT_COMPLETED: is_open or listed != 0 or is_done,
    }
    return not seen[policy.resends]


def _superseded(world: World, who: int) -> Step:
    return Step(f"P{who} learns that it was superseded and stops", _put(world, who, _STOPPED))


def _reconnect(world: World, who: int) -> Step:
    again = world.writers[who]._replace(at=At.CONNECTING, number=0, quantity=0, answer=())
    return Step(f"P{who} notices that its line is cut", _put(world, who, again))


def _work(world: World, who: int, policy: Policy) -> Iterator[Step]:
    writer = world.writers[who]
    if not writer.linked:
        yield _reconnect(world, who)
        return
    for number, order in enumerate(world.orders):
        if order.status.holds_reservation:
            yield from _listen(world, who, number, order)
        if order.status is _S.WORKING:
            yield from _cancel(world, who, number, order)
        if order.status is _S.UNKNOWN and policy.proof is not Proof.NEVER:
            yield from _look(world, who, number, order, policy)
    yield from _plan(world, who, policy)


def _listen(world: World, who: int, number: int, order: Order) -> Iterator[Step]:
    """Messages of one order, each of which may come late or never; the end waits for its executions."""
    name = f"order {number + 1}"
    if order.status is _S.SENDING and order.stage >= Stage.OPEN and order.stage is not Stage.REJECTED:
        yield _told(world, who, number, order, _S.WORKING, f"{name} is acknowledged")
    missing = [bit for bit in range(order.executed) if not order.booked >> bit & 1]
    if missing:
        booked = order._replace(booked=order.booked | 1 << missing[0])
        status = _S.FILLED if booked.filled == order.quantity else _S.WORKING
        if status is _S.WORKING and order.status is not _S.SENDING:
            status = order.status
        yield _told(world, who, number, booked, status, f"an execution of {name} comes")
    if order.stage in _ENDS and not is_missing_executions(order.executed, order.filled):
        yield _told(world, who, number, order, _ENDS[order.stage], f"the end of {name} comes")
    if order.status is not _S.UNKNOWN:
        yield _told(world, who, number, order, _S.UNKNOWN, f"{name} gives no sign of life")


def _told(world: World, who: int, number: int, order: Order, target: ChildStatus, text: str) -> Step:
    """Write what was told. A superseded writer still books an execution, and may write no state."""
    if not world.writers[who].current:
        kept = order._replace(status=world.orders[number].status)
        return _superseded(with_order(world, number, kept), who)
    status = order.status if target is order.status else path_to(order.status, target)
    if status is None:
        broken = f"an arrow is missing: {order.status.value} to {target.value}"
        return Step(f"P{who}: {text}", world, breaks=broken)
    acknowledged = order.acknowledged or status in (_S.WORKING, _S.CANCEL_PENDING)
    after = order._replace(status=status, acknowledged=acknowledged)
    return Step(f"P{who}: {text}", with_order(world, number, after))


def _cancel(world: World, who: int, number: int, order: Order) -> Iterator[Step]:
    """The wish is committed first, then the cancel leaves."""
    if not world.writers[who].current:
        yield _superseded(world, who)
        return
    pending = order._replace(status=moved(order.status, _S.CANCEL_PENDING), cancelling=order.stage.is_live)
    yield Step(f"P{who} cancels order {number + 1}", with_order(world, number, pending))


# ---------------------------------------------------------------- a new child


def _plan(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """The next child for what is left; none while one works or is in doubt, and none under a halt that is seen."""
    if world.halt.closes_gate or any(
        order.status.holds_reservation or order.is_planned for order in world.orders
    ):
        return
    number = next((n for n, order in enumerate(world.orders) if not order.quantity), None)
    left = world.ordered - sum(order.filled for order in world.orders)
    if number is None or left <= 0:
        return
    if not world.writers[who].current:
        yield _superseded(world, who)
        return
    planned = world.orders[number]._replace(status=_S.PLANNED, quantity=left)
    at = At.PLANNED if policy.writes_ahead else At.WRITING
    ready = world.writers[who]._replace(at=at, number=number)
    yield Step(
        f"P{who} plans order {number + 1} for {left}", _put(with_order(world, number, planned), who, ready)
    )


def _claim(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """The shipped gate, in the transaction that also sets SENDING; without compare-and-set these are two."""
    writer = world.writers[who]
    order = world.orders[writer.number]
    outcome = _gate(world, writer, order)
    if outcome is GateOutcome.CLAIMED:
        if policy.compares_and_sets:
            yield _claimed(world, who, writer, order)
        else:
            yield Step(
                f"P{who} may send order {writer.number + 1}", _put(world, who, writer._replace(at=At.JUDGED))
            )
        return
    idle = writer._replace(at=At.WORKING, number=0)
    text = f"the gate answers P{who} {outcome.value}"
    if outcome is GateOutcome.STALE_EPOCH or not writer.current:
        yield Step(text, _put(world, who, _STOPPED))
        return
    after = _put(world, who, idle)
    if order.status is _S.PLANNED:
        refused = order._replace(status=moved(order.status, _S.ABANDONED))
        after = with_order(after, writer.number, refused)
    yield Step(text, after)


def _gate(world: World, writer: Writer, order: Order) -> GateOutcome:
    filled = sum(row.filled for row in world.orders)
    reserved = sum(row.quantity - row.filled for row in world.orders if row.status.holds_reservation)
    return gate_answer(
        is_halted=world.halt.closes_gate,
        is_current=writer.current,
        status=order.status,
        quantity=order.quantity,
        committed=(filled, reserved, world.ordered),
    )


def _claimed(world: World, who: int, writer: Writer, order: Order) -> Step:
    sending = order._replace(status=moved(order.status, _S.SENDING))
    after = _put(with_order(world, writer.number, sending), who, writer._replace(at=At.WRITING))
    return Step(f"P{who} claims order {writer.number + 1}", after)


def _set(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """The mistake of setting SENDING without looking at what it was."""
    writer = world.writers[who]
    sending = world.orders[writer.number]._replace(status=_S.SENDING)
    after = _put(with_order(world, writer.number, sending), who, writer._replace(at=At.WRITING))
    yield Step(f"P{who} sets order {writer.number + 1} to SENDING", after)


def _write(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """One write of what was claimed; over a cut line it fails, and the outcome is not known."""
    writer = world.writers[who]
    order, name = world.orders[writer.number], f"order {writer.number + 1}"
    if not writer.linked:
        yield from _write_failed(world, who, writer, order)
        return
    broken = "I7: an order leaves after the halt was effective" if world.halt is Halt.EFFECTIVE else ""
    at = At.WORKING if policy.writes_ahead else At.COMMITTING
    sent = with_order(world, writer.number, order._replace(wire=order.wire + 1))
    number = 0 if policy.writes_ahead else writer.number
    yield Step(f"P{who} writes {name}", _put(sent, who, writer._replace(at=at, number=number)), breaks=broken)


def _write_failed(world: World, who: int, writer: Writer, order: Order) -> Iterator[Step]:
    if not writer.current:
        yield _superseded(world, who)
        return
    after = _reconnect(world, who).after
    if order.status is _S.SENDING:
        after = with_order(after, writer.number, order._replace(status=moved(order.status, _S.UNKNOWN)))
    yield Step(f"P{who} can not write order {writer.number + 1}", after)


def _commit(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """The mistake of committing after the write."""
    writer = world.writers[who]
    order = world.orders[writer.number]
    if not writer.current or order.status is not _S.PLANNED:
        yield Step(f"P{who} stops", _put(world, who, _STOPPED))
        return
    sending = order._replace(status=moved(order.status, _S.SENDING))
    idle = writer._replace(at=At.WORKING, number=0)
    yield Step(
        f"P{who} commits order {writer.number + 1}",
        _put(with_order(world, writer.number, sending), who, idle),
    )


# ---------------------------------------------------------------- proof of absence


def _look(world: World, who: int, number: int, order: Order, policy: Policy) -> Iterator[Step]:
    """The first look. It counts after the quiet time: by then nothing is under way any more, which is assumed."""
    if order.is_under_way and policy.proof is not Proof.IMPATIENT:
        return
    looked = world.writers[who]._replace(at=At.LOOKED, number=number, answer=_seen(world, order))
    yield Step(f"P{who} looks for order {number + 1}", _put(world, who, looked))


def _look_again(world: World, who: int, policy: Policy) -> Iterator[Step]:
    writer = world.writers[who]
    order = world.orders[writer.number]
    idle = writer._replace(at=At.WORKING, number=0, answer=())
    if not writer.linked:
        yield _reconnect(world, who)
        return
    held = sum(row.filled for row in world.orders)
    looks = (writer.answer, _seen(world, order))
    proved = order.status is _S.UNKNOWN and is_absent(order, looks, held, policy.proof, world.is_next_day)
    after = writer._replace(at=At.PROVED, answer=()) if proved else idle
    text = "and has its proof" if proved else "and has no proof"
    yield Step(f"P{who} looks for order {writer.number + 1} again {text}", _put(world, who, after))


def _seen(world: World, order: Order) -> tuple[int, ...]:
    position = sum(row.executed for row in world.orders)
    return (order.shown.value, order.executed, order.listed, position)


def _prove(world: World, who: int, policy: Policy) -> Iterator[Step]:
    """The proof is written while the child is still in doubt, by the run that holds the account."""
    writer = world.writers[who]
    order = world.orders[writer.number]
    if not writer.current:
        yield _superseded(world, who)
        return
    after = _put(world, who, writer._replace(at=At.WORKING, number=0))
    if order.status is _S.UNKNOWN:
        absent = order._replace(status=moved(order.status, _S.ABSENT))
        after = with_order(after, writer.number, absent)
    yield Step(f"P{who} writes that order {writer.number + 1} is absent", after)


_DOES: dict[At, Callable[[World, int, Policy], Iterator[Step]]] = {
    At.CONNECTING: _connect,
    At.READING: _read,
    At.APPLYING: _apply,
    At.WORKING: _work,
    At.PLANNED: _claim,
    At.JUDGED: _set,
    At.WRITING: _write,
    At.COMMITTING: _commit,
    At.LOOKED: _look_again,
    At.PROVED: _prove,
}
