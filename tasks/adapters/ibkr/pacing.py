"""When may history be asked for again? The broker ends who asks for small bars too often (BROKER-09, R-76)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple


class Asked(NamedTuple):
    """One request of history: the contract and kind of price, and everything that makes it the same request again."""

    contract: str
    whole: str


@dataclass(slots=True, kw_only=True)
class HistoryPacing:
    """Waits that keep within 60 requests in ten minutes, 5 of one contract in two seconds, and none twice in 15 s.

    Times are seconds of a clock that nobody sets.
    """

    requests: int = 60
    window_seconds: float = 600.0
    burst: int = 5
    burst_seconds: float = 2.0
    same_seconds: float = 15.0
    _asked: deque[tuple[float, Asked]] = field(default_factory=deque)

    def wait(self, asked: Asked, now: float) -> float:
        """Seconds to wait before a request may be written, which is counted as written then."""
        while self._asked and self._asked[0][0] <= now - self.window_seconds:
            self._asked.popleft()
        times = [at for at, _ in self._asked]
        of_contract = [at for at, other in self._asked if other.contract == asked.contract]
        same = [at for at, other in self._asked if other == asked]
        free = max(
            now,
            _free(times, self.requests, self.window_seconds),
            _free(of_contract, self.burst, self.burst_seconds),
            _free(same, 1, self.same_seconds),
            times[-1] if times else now,
        )
        self._asked.append((free, asked))
        return free - now


def _free(times: list[float], count: int, seconds: float) -> float:
    """When one more is allowed after these, of which ``count`` may lie within so many seconds."""
    return times[-count] + seconds if len(times) >= count else 0.0
