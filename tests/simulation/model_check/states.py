"""What the model remembers: the book's children, the broker's orders, the writers, and what the operator did."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from engine.model.orders import ChildStatus


class Stage(IntEnum):
    """Where an order is at the broker."""

    NONE = 0
    INVISIBLE = 1
    OPEN = 2
    FILLED = 3
    CANCELLED = 4
    REJECTED = 5
    EXPIRED = 6

    @property
    def is_live(self) -> bool:
        """Whether it may still trade."""
        return self in (Stage.INVISIBLE, Stage.OPEN)


class At(IntEnum):
    """Where a writer is; between any two of its steps anything else may happen, its death included."""

    OFF = 0
    CONNECTING = 1
    READING = 2
    APPLYING = 3
    WORKING = 4
    PLANNED = 5
    JUDGED = 6
    WRITING = 7
    COMMITTING = 8
    LOOKED = 9
    PROVED = 10


class Halt(IntEnum):
    """How far a halt is."""

    NONE = 0
    REQUESTED = 1
    EFFECTIVE = 2
    RESOLVED = 3

    @property
    def closes_gate(self) -> bool:
        """Whether the control row says HALTED."""
        return self in (Halt.REQUESTED, Halt.EFFECTIVE)


class Order(NamedTuple):
    """One child: its row in the book, its messages under way, and what the broker made of it.

    ``booked`` and ``listed`` are sets of executions as bits, ``executed`` counts them; ``completed`` says whether the
    broker still lists the order after its end; ``accepted`` counts acceptances under this reference.
    """

    status: ChildStatus
    quantity: int
    booked: int = 0
    acknowledged: bool = False
    wire: int = 0
    gateway: int = 0
    stage: Stage = Stage.NONE
    executed: int = 0
    listed: int = 0
    completed: bool = False
    cancelling: bool = False
    accepted: int = 0

    @property
    def filled(self) -> int:
        """Quantity that the book knows to be filled."""
        return self.booked.bit_count()

    @property
    def is_planned(self) -> bool:
        """Whether it waits for the gate; a child that nobody planned yet has no quantity."""
        return self.quantity > 0 and self.status is ChildStatus.PLANNED

    @property
    def is_under_way(self) -> bool:
        """Whether the broker may come to know more of it than it shows: the oracle that the quiet time stands for."""
        return self.wire + self.gateway > 0 or self.stage is Stage.INVISIBLE

    @property
    def shown(self) -> Stage:
        """What the broker's lists of open and completed orders say."""
        if self.stage is Stage.OPEN or (self.completed and self.stage > Stage.OPEN):
            return self.stage
        return Stage.NONE


class Writer(NamedTuple):
    """A process that may send. ``current`` says whether its epoch is the newest; ``answer`` is what it read last."""

    at: At = At.OFF
    number: int = 0
    quantity: int = 0
    current: bool = False
    linked: bool = False
    answer: tuple[int, ...] = ()


class World(NamedTuple):
    """Everything at one moment; ``ordered`` is the quantity of the one parent whose children these are."""

    orders: tuple[Order, ...]
    writers: tuple[Writer, ...]
    ordered: int
    halt: Halt = Halt.NONE
    is_next_day: bool = False


class Step(NamedTuple):
    """One step that is possible: who does what, whether it is a fault, which rule it breaks, and what comes of it."""

    text: str
    after: World
    is_fault: bool = False
    breaks: str = ""
