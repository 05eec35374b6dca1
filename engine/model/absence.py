"""What is known of an order whose outcome is not known: the link, what the broker answered, and what stands for it.

Everything here is observed or configured; `engine.execution.absence` judges it (REL-5.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.errors import InvariantError
from engine.model.orders import Fill, OpenOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsencePolicy:
    """What a proof of absence asks for.

    ``broker_zone`` is where the broker's day begins and ends. An order, and an interruption of the link, have to be
    ``quiet_seconds`` old before a look counts: that is longer than anything accepted stays invisible, which is an
    assumption about the broker. Two looks that count are ``looks_apart_seconds`` apart. What is not decided
    ``decided_within_seconds`` after it became doubtful is told to a person.
    """

    broker_zone: str
    quiet_seconds: float = 60.0
    looks_apart_seconds: float = 30.0
    decided_within_seconds: float = 120.0

    def __post_init__(self) -> None:
        if min(self.quiet_seconds, self.looks_apart_seconds) <= 0:
            raise InvariantError(f"expected a proof that takes time, found {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """The connection that asks: who it is to the broker, since when it stands, and when it was last disturbed.

    Its times and those of looks are of a clock that nobody sets. ``next_order_id`` is the number that the broker expects next, ``last_sent_id`` the highest that we ever wrote.
    """

    client_id: int
    connected_at: datetime
    interrupted_at: datetime | None = None
    next_order_id: int | None = None
    last_sent_id: int | None = None

    @property
    def healthy_since(self) -> datetime:
        """When the link was made, or disturbed for the last time."""
        return max(self.connected_at, self.interrupted_at or self.connected_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One complete answer of the broker: orders open and completed, executions, signed positions.

    A transport that did not get every part raises `BrokerUnavailable`: an absent answer is never an absent order.
    """

    at: datetime
    orders: tuple[OpenOrder, ...]
    executions: tuple[Fill, ...]
    positions: Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTwice:
    """Signed quantity of a contract in our book and at the broker, at the same time."""

    contract_id: str
    ours: Decimal
    broker: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class LookFinding:
    """What one look says of one order: where it was found, in words, and the positions of its contracts."""

    at: datetime
    found: tuple[str, ...]
    positions: tuple[HeldTwice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementProof:
    """A statement of the broker for a stretch of time; ``missing`` says why it proves nothing, empty when it does."""

    file_digest: str
    begins: datetime
    ends: datetime
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What a person found out about an order, who and why."""

    text: str
    operator: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AbsenceEvidence:
    """All that is known of one order in doubt at ``now``; ``client_id`` is that of the connection that wrote it.

    ``order_id`` is the number under which it was written, ``None`` where the broker gives numbers itself; ``filled`` is
    what was booked of it, ``acknowledged`` says whether the broker ever told us of it, and ``asked_since`` when it was
    first looked for while no process was between a claim and the line, by the steady clock of the looks: other clocks
    may have been set since it was sent.
    """

    order_ref: str
    sent_at: datetime | None
    client_id: int | None
    order_id: int | None
    contract_ids: tuple[str, ...]
    now: datetime
    policy: AbsencePolicy
    filled: Decimal = Decimal(0)
    acknowledged: bool = False
    asked_since: datetime | None = None
    link: LinkState | None = None
    looks: tuple[LookFinding, ...] = ()
    statement: StatementProof | None = None
    attestation: Attestation | None = None
