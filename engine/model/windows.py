"""When inside a session a job trades: its style, and the stretch of time in which its orders are worked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from engine.errors import InvariantError


class ExecutionStyle(Enum):
    """When inside a session a job trades (R-95)."""

    MIDDAY = "MIDDAY"
    OPEN_AUCTION = "OPEN_AUCTION"
    CLOSE_AUCTION = "CLOSE_AUCTION"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidityWindow:
    """Time in UTC in which a venue's orders may be worked: start inclusive, end exclusive.

    An auction has a ``cutoff``: from then on nothing is sent or cancelled; ``end`` is when its outcome is known.
    """

    venue: str
    style: ExecutionStyle
    start: datetime
    end: datetime
    cutoff: datetime | None = None

    def __post_init__(self) -> None:
        if self.cutoff is not None and not self.start < self.cutoff <= self.end:
            raise InvariantError(
                f"{self.venue}: the cut-off {self.cutoff} must lie in its window, {self.start} to {self.end}"
            )
        if self.start >= self.end:
            raise InvariantError(
                f"{self.venue}: a window must end after it starts, found {self.start} to {self.end}"
            )

    def contains(self, at: datetime) -> bool:
        """Whether orders may be worked at this time."""
        return self.start <= at < self.end

    @property
    def last_send(self) -> datetime:
        """From when on nothing new may leave."""
        return self.end if self.cutoff is None else self.cutoff
