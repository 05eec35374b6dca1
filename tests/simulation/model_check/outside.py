"""Steps that no writer of ours makes: the wire, the broker, the market, midnight, a person."""

from __future__ import annotations

from collections.abc import Iterator

from engine.model.orders import ChildStatus
from tests.simulation.model_check.policies import Policy, Proof
from tests.simulation.model_check.shipped import is_absent_by_statement, moved, path_to
from tests.simulation.model_check.states import At, Halt, Order, Stage, Step, World

_ENDED = {
    Stage.FILLED: ChildStatus.FILLED,
    Stage.CANCELLED: ChildStatus.CANCELLED,
    Stage.REJECTED: ChildStatus.REJECTED,
    Stage.EXPIRED: ChildStatus.EXPIRED,
}


def with_order(world: World, number: int, order: Order) -> World:
    """The world with one of its orders changed."""
    orders = world.orders
    return world._replace(orders=(*orders[:number], order, *orders[number + 1 :]))


def broker_steps(world: World) -> Iterator[Step]:
    """What the wire, the gateway and the market may do with each order."""
    for number, order in enumerate(world.orders):
        name = f"order {number + 1}"
        if order.wire:
            left = order._replace(wire=order.wire - 1)
            arrived = left._replace(gateway=order.gateway + 1)
            yield Step(f"{name} reaches the gateway", with_order(world, number, arrived))
            yield Step(f"{name} is lost on the wire", with_order(world, number, left), is_fault=True)
        if order.gateway:
            yield from _gateway(world, number, order, name)
        if order.stage is Stage.INVISIBLE:
            seen = order._replace(stage=Stage.OPEN)
            yield Step(f"{name} becomes visible", with_order(world, number, seen))
        if order.stage is Stage.OPEN:
            yield from _market(world, number, order, name)


def _gateway(world: World, number: int, order: Order, name: str) -> Iterator[Step]:
    left = order._replace(gateway=order.gateway - 1)
    yield Step(f"{name} vanishes in the gateway", with_order(world, number, left), is_fault=True)
    accepted = left._replace(accepted=order.accepted + 1)
    if order.accepted:
        broken = f"I1: order {number + 1} is accepted twice"
        yield Step(f"{name} is accepted again", with_order(world, number, accepted), breaks=broken)
        return
    taken = accepted._replace(stage=Stage.INVISIBLE)
    yield Step(f"{name} is accepted, nobody sees it yet", with_order(world, number, taken))
    refused = left._replace(stage=Stage.REJECTED, completed=True)
    yield Step(f"{name} is rejected", with_order(world, number, refused))


def _market(world: World, number: int, order: Order, name: str) -> Iterator[Step]:
    bit = 1 << order.executed
    traded = order._replace(executed=order.executed + 1, listed=order.listed | bit)
    if traded.executed == order.quantity:
        traded = traded._replace(stage=Stage.FILLED, completed=True, cancelling=False)
    yield Step(f"1 of {name} trades", with_order(world, number, traded))
    ended = order._replace(completed=True, cancelling=False)
    refused = ended._replace(stage=Stage.REJECTED)
    yield Step(f"{name} is rejected while it works", with_order(world, number, refused))
    if order.cancelling:
        cancelled = ended._replace(stage=Stage.CANCELLED)
        yield Step(f"{name} is cancelled", with_order(world, number, cancelled))
        lost = order._replace(cancelling=False)
        yield Step(f"the cancel of {name} is lost", with_order(world, number, lost), is_fault=True)
    if world.is_next_day:
        expired = ended._replace(stage=Stage.EXPIRED)
        yield Step(f"{name} expires", with_order(world, number, expired))


def clock_steps(world: World, policy: Policy) -> Iterator[Step]:
    """Midnight empties the broker's lists; afterwards its statement of the day tells everything of what ended."""
    if not world.is_next_day:
        orders = tuple(order._replace(listed=0, completed=False) for order in world.orders)
        yield Step("midnight: the broker's lists begin anew", world._replace(orders=orders, is_next_day=True))
        return
    for number, order in enumerate(world.orders):
        if order.status is ChildStatus.UNKNOWN and not order.is_under_way and order.stage is not Stage.OPEN:
            told = _by_statement(order, policy)
            if told is not None:
                yield Step(f"a statement decides order {number + 1}", with_order(world, number, told))


def _by_statement(order: Order, policy: Policy) -> Order | None:
    if order.stage is Stage.NONE:
        if policy.proof is Proof.NEVER or not is_absent_by_statement(order):
            return None
        return order._replace(status=moved(order.status, ChildStatus.ABSENT))
    status = path_to(order.status, _ENDED[order.stage])
    booked = (1 << order.executed) - 1
    return None if status is None else order._replace(status=status, booked=booked)


def operator_steps(world: World, policy: Policy) -> Iterator[Step]:
    """A halt is requested, becomes effective once nothing claimed can still leave, and is resolved."""
    if world.halt is Halt.NONE:
        requested = world._replace(halt=Halt.REQUESTED)
        yield Step("a halt is requested", requested, is_fault=True)
    elif world.halt is Halt.REQUESTED:
        holds_latch = any(writer.at is At.WRITING for writer in world.writers)
        if not (holds_latch and policy.has_latch):
            yield Step("the halt is effective", world._replace(halt=Halt.EFFECTIVE))
    elif world.halt is Halt.EFFECTIVE:
        yield Step("the halt is resolved", world._replace(halt=Halt.RESOLVED))
