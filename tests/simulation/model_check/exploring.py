"""Every state that can be reached, each looked at once, the nearest first: the first violation is a shortest one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from engine.model.orders import ChildStatus
from tests.simulation.model_check.outside import broker_steps, clock_steps, operator_steps
from tests.simulation.model_check.policies import SHIPPED, Policy
from tests.simulation.model_check.states import Halt, Order, Stage, Step, World, Writer
from tests.simulation.model_check.writers import writer_steps

NOBODY = Order(status=ChildStatus.PLANNED, quantity=0)
"""The row of a child that nobody planned yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large a world is explored. Deaths, cuts of the line and lost messages have no bound: any number of them.

    ``ordered`` is the quantity of the parent, ``halts`` whether trading may be halted. Writers that are ``alike`` are
    interchangeable: worlds that differ only in which of them is which count once.
    """

    children: int = 2
    writers: int = 2
    ordered: int = 1
    halts: bool = True
    alike: bool = True

    @property
    def start(self) -> World:
        """The world before anybody started."""
        return World(
            orders=(NOBODY,) * self.children,
            writers=(Writer(),) * self.writers,
            ordered=self.ordered,
            halt=Halt.NONE if self.halts else Halt.RESOLVED,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Explored:
    """What an exploration found. ``trace`` tells the shortest way to the ``violation``; both empty for a good one."""

    policy: Policy
    bounds: Bounds
    states: int
    steps: int
    depth: int
    stuck: int
    violation: str
    trace: tuple[str, ...]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Whether nothing broke and nothing got stuck."""
        return not self.violation and not self.stuck


def possible(world: World, policy: Policy) -> Iterator[Step]:
    """Every step that may be next."""
    yield from broker_steps(world)
    for who in range(len(world.writers)):
        yield from writer_steps(world, who, policy)
    yield from clock_steps(world, policy)
    yield from operator_steps(world, policy)


def broken_in(world: World) -> Iterator[str]:
    """The invariants that a state breaks."""
    in_book = sum(_committed(order) for order in world.orders)
    if in_book > world.ordered:
        yield f"I2: {in_book} of {world.ordered} are filled or reserved in the book"
    at_broker = sum(_tradeable(order) for order in world.orders)
    if at_broker > world.ordered:
        yield f"I2: {at_broker} of {world.ordered} are filled or may fill at the broker"
    for number, order in enumerate(world.orders):
        if order.booked.bit_count() > order.executed:
            yield f"I11: order {number + 1} has executions in the book that never happened"
        if order.status.is_terminal and (order.stage.is_live or order.filled != order.executed):
            yield f"I5: order {number + 1} ended as {order.status.value} in the book and not at the broker"


def _committed(order: Order) -> int:
    return order.quantity if order.status.holds_reservation else order.filled


def _tradeable(order: Order) -> int:
    """What traded, and what may still trade of it: alive at the broker, or under way to it."""
    if order.stage.is_live or order.wire + order.gateway:
        return order.quantity
    return order.executed


def is_terminal(world: World) -> bool:
    """Whether everything ended: nothing under way or alive, book and broker agree, and nothing is left to order."""
    for order in world.orders:
        if order.is_under_way or order.stage is Stage.OPEN or order.filled != order.executed:
            return False
        if order.quantity and not order.status.is_terminal:
            return False
    is_whole = sum(order.filled for order in world.orders) >= world.ordered
    return is_whole or all(order.quantity for order in world.orders)


def explore(policy: Policy = SHIPPED, bounds: Bounds | None = None, sought: str = "") -> Explored:
    """Look at every state; stop at the first violation. Then ask of each whether it can end without faults.

    With an invariant ``sought`` only a violation of that one counts.
    """
    bounds = Bounds() if bounds is None else bounds
    begun = time.process_time()
    graph = Graph(bounds.start)
    violation, at, steps = "", 0, 0
    while at < len(graph.worlds) and not violation:
        for step in possible(graph.worlds[at], policy):
            steps += 1
            after = _one_of_alike(step.after) if bounds.alike else step.after
            is_new = graph.add(after, at, step)
            broken = (step.breaks, *(broken_in(after) if is_new else ()))
            violation = next((text for text in broken if text and text.startswith(sought)), "")
            if violation:
                graph.origin.append((at, step.text))
                break
        at += 1
    return Explored(
        policy=policy,
        bounds=bounds,
        states=len(graph.worlds),
        steps=steps,
        depth=max(graph.depth),
        stuck=0 if violation else graph.stuck(),
        violation=violation,
        trace=graph.trace() if violation else (),
        seconds=time.process_time() - begun,
    )


def _one_of_alike(world: World) -> World:
    ordered = tuple(sorted(world.writers))
    return world if ordered == world.writers else world._replace(writers=ordered)


class Graph:
    """Worlds in the order in which they were reached, how each was reached first, and what leads to it without a fault."""

    def __init__(self, start: World) -> None:
        self.worlds = [start]
        self.origin = [(-1, "")]
        self.depth = [0]
        self._index = {start: 0}
        self._before: list[list[int]] = [[]]

    def add(self, world: World, came_from: int, step: Step) -> bool:
        """Keep a step; whether the world that it leads to is new."""
        index = self._index.setdefault(world, len(self.worlds))
        is_new = index == len(self.worlds)
        if is_new:
            self.worlds.append(world)
            self.origin.append((came_from, step.text))
            self.depth.append(self.depth[came_from] + 1)
            self._before.append([])
        if not step.is_fault:
            self._before[index].append(came_from)
        return is_new

    def stuck(self) -> int:
        """How many worlds can not come to their end without a fault."""
        ending = [index for index, world in enumerate(self.worlds) if is_terminal(world)]
        ends = set(ending)
        while ending:
            for earlier in self._before[ending.pop()]:
                if earlier not in ends:
                    ends.add(earlier)
                    ending.append(earlier)
        return len(self.worlds) - len(ends)

    def trace(self) -> tuple[str, ...]:
        """The way to the step that was noted last."""
        last, told = len(self.origin) - 1, list[str]()
        while last > 0:
            last, text = self.origin[last]
            told.append(text)
        return tuple(reversed(told))
