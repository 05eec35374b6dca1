"""What an execution run is given and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from engine.errors import HaltError
from engine.execution.liquidity import LiquidityEstimator
from engine.execution.netting import PriceBook
from engine.execution.revalidation import UNCHANGED, IndexFutures, Wanted, WindowVerdict
from engine.execution.slippage import SlippageModel
from engine.execution.ticket import FinishReason, OrderTicket
from engine.model.absence import AbsencePolicy
from engine.model.orders import ExecutionJob, JobStatus
from engine.model.policy import ExecutionPolicy, SafetyPolicy
from engine.ports import OrderBook, OrderTransport

_NOTES, _NAMED = " | ", ": "
"""Between the notes of a job, and between a contract and what its note says."""


class ProgressKind(Enum):
    """What an observer of the run may want to show or store."""

    JOB_STARTED = "job_started"
    JOB_FINISHED = "job_finished"
    ORDER_SENT = "order_sent"
    ORDER_FILLED = "order_filled"
    PARENT_FINISHED = "parent_finished"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Progress:
    """One fact of the run, told as it happens; ``subject`` is a job id, intent id or order reference."""

    kind: ProgressKind
    at: datetime
    subject: str
    text: str
    status: JobStatus | None = None


Observer = Callable[[Progress], None]


def unobserved(_: Progress) -> None:
    """Observer of a run that nobody watches."""


class AskAgain(NamedTuple):
    """Book and broker do not agree yet, and the broker may only be late: ask at this time, or ``otherwise`` stands."""

    at: datetime
    otherwise: HaltError


WindowCheck = Callable[[datetime], WindowVerdict | AskAgain]
"""Asked before each window, until it says what that leaves of the decision; raises `HaltError` where nothing may be sent."""

WantedBy = Callable[[str], Wanted | None]
"""What the decision wanted of a contract, ``None`` where only the trade itself is known."""


def unchecked(_: datetime) -> WindowVerdict:
    """Window check of a run without an account to compare with."""
    return UNCHANGED


def not_known(_: str) -> Wanted | None:
    """Wishes of a run whose trades stand for themselves."""
    return None


def never() -> bool:
    """For a run whose process nobody asks to end."""
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionWorld:
    """Everything the executor talks to. ``prices`` are the decision's, for notionals in USD.

    ``control_poll_seconds`` bounds how late a halt is noticed while orders work; ``drain_seconds`` is how long
    after its window a job waits for confirmations before the outcome counts as not known. Every ``reread_seconds`` the
    broker's executions are read again while orders work, and ``message_patience_seconds`` after an end that misses
    some. ``is_ending`` says that the process was asked to end: cancels have ``ending_seconds`` to be confirmed then.
    ``before_window`` is asked before the first order of each window, and again when it says so, ``wanted`` once of each contract; ``futures`` are
    those that say what an equity should cost by now. ``outages`` are the errors of a book that does not answer: they
    end the attempt and leave the rest to the next, while any other failure that nobody foresaw stops the fund. ``finished`` are the date's jobs that are over, by id: a hedge follows what they filled.
    ``strangers`` are executions of somebody else's orders that were there before this run: the first window's check judges
    them, and any other stops the run. ``recalled`` are orders of ours that worked and that the book has lost: they stop
    the run before its first order.
    ``absence`` is what a proof asks for that an order never reached the broker; without it an order in doubt stays so.
    """

    transport: OrderTransport
    book: OrderBook
    prices: PriceBook
    execution: ExecutionPolicy
    safety: SafetyPolicy
    liquidity: LiquidityEstimator
    slippage: SlippageModel = field(default_factory=SlippageModel)
    observer: Observer = unobserved
    before_window: WindowCheck = unchecked
    wanted: WantedBy = not_known
    futures: IndexFutures = field(default_factory=dict)
    finished: Mapping[str, ExecutionJob] = field(default_factory=dict)
    strangers: frozenset[str] = frozenset()
    recalled: frozenset[str] = frozenset()
    absence: AbsencePolicy | None = None
    control_poll_seconds: float = 5.0
    drain_seconds: float = 60.0
    reread_seconds: float = 30.0
    message_patience_seconds: float = 5.0
    is_ending: Callable[[], bool] = never
    ending_seconds: float = 20.0
    outages: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentResult:
    """How one parent order ended; ``unfilled`` counts against the intent, also where less was to be worked."""

    intent_id: str
    contract_id: str
    ordered: Decimal
    filled: Decimal
    unfilled: Decimal
    arrival_mid: Decimal | None
    reason: FinishReason
    text: str

    @classmethod
    def of(cls, ticket: OrderTicket) -> ParentResult:
        """Result of a parent that ended."""
        intent, state = ticket.core.intent, ticket.state
        return cls(
            intent_id=intent.intent_id,
            contract_id=intent.contract_id,
            ordered=intent.quantity,
            filled=state.filled,
            unfilled=intent.quantity - state.filled,
            arrival_mid=None if state.plan is None else state.plan.arrival_mid,
            reason=state.finish if state.finish is not None else FinishReason.UNKNOWN,
            text=state.text,
        )


def job_note(parents: Sequence[ParentResult]) -> str:
    """Why each parent of a job was not filled in full, for its record; empty when all were."""
    return _NOTES.join(
        f"{parent.contract_id}{_NAMED}{parent.text or parent.reason.value.replace('_', ' ')}"
        for parent in parents
        if parent.unfilled > 0
    )


def why_unfilled(note: str, contract_id: str) -> str:
    """What a job's note says of one contract; empty when it says nothing."""
    notes = dict(part.split(_NAMED, 1) for part in note.split(_NOTES) if _NAMED in part)
    return notes.get(contract_id, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """How one job ended; ``text`` says what it left undone (see `job_note`)."""

    job_id: str
    status: JobStatus
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionReport:
    """Results of all jobs and parents, and what a person should know.

    ``fenced``: another run took over. ``interrupted``: the process was asked to end, the next attempt goes on.
    """

    jobs: tuple[JobResult, ...]
    parents: tuple[ParentResult, ...]
    alarms: tuple[str, ...]
    fenced: bool
    interrupted: bool = False
