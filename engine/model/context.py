"""Who is deciding, when, under which configuration: carried by every decision of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum

from engine.errors import InvariantError


class Mode(Enum):
    """How the outside world is reached."""

    SIMULATED = "simulated"
    DRY_RUN = "dry-run"
    PAPER = "paper"
    LIVE = "live"
    BACKTEST = "backtest"


class RunKind(Enum):
    """The three flow runs of a day."""

    DECISION = "decision"
    EXECUTION = "execution"
    CLOSE = "close"


class RunStatus(Enum):
    """State of a run key (REL-5.3); its arrows are in `engine.model.run_states`."""

    NEW = "NEW"
    """No attempt has asked for it; never stored."""
    CLAIMED = "CLAIMED"
    """The first attempt has it and made no step yet."""
    RUNNING = "RUNNING"
    RECOVERING = "RECOVERING"
    """A later attempt has it and made no step yet."""
    COMPLETED = "COMPLETED"
    HALTED = "HALTED"
    EMERGENCY = "EMERGENCY"
    FAILED = "FAILED"
    ABANDONED = "ABANDONED"

    @property
    def is_held(self) -> bool:
        """Whether an attempt has the key, and may be at work."""
        return self in _HELD


_HELD = frozenset({RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.RECOVERING})


class ControlState(Enum):
    """What may leave the fund: everything, only reductions, only cancels."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKey:
    """Identity of a run: one per account, mode, trade date and kind."""

    account: str
    mode: Mode
    trade_date: date
    kind: RunKind

    @property
    def text(self) -> str:
        """``account|mode|date|kind``."""
        return f"{self.account}|{self.mode.value}|{self.trade_date.isoformat()}|{self.kind.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayContext:
    """Fixed facts of one decision. ``as_of`` is the decision time in UTC; ``seed`` feeds every generator."""

    run_id: str
    account: str
    mode: Mode
    trade_date: date
    as_of: datetime
    config_digest: str
    code_version: str
    seed: int

    def __post_init__(self) -> None:
        if self.as_of.tzinfo is None or self.as_of.utcoffset() != UTC.utcoffset(None):
            raise InvariantError(f"expected a decision time in UTC, found {self.as_of!r}")
