"""How the simulated broker remembers: typed records, committed before anything they say becomes visible.

One state-changing call is one commit. A record holds the newest body of one key of one kind; a record that is no
longer needed to go on (a filled order of last week, a paid dividend) stays in the journal with ``live`` false, so the
history is complete while a reload reads little. Commits are numbered without gaps: two processes that drive one
account can not both win the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from engine.errors import SupersededError


class RecordKind(Enum):
    """What a record describes."""

    HEAD = "head"
    CASH = "cash"
    POSITION = "position"
    ORDER = "order"
    EXECUTION = "execution"
    EVENT = "event"
    RECEIVABLE = "receivable"
    DEPTH = "depth"
    FAULT = "fault"
    POSTING = "posting"
    UNSETTLED = "unsettled"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerRecord:
    """Newest canonical body of one key; ``live`` says whether a reload needs it."""

    kind: RecordKind
    key: str
    body: str
    live: bool


class BrokerJournal(Protocol):
    """Durable memory of one simulated account."""

    def append(self, commit: int, records: Sequence[BrokerRecord]) -> None:
        """Store all records or none; raises `SupersededError` unless ``commit`` follows the last one."""

    def load(self) -> tuple[BrokerRecord, ...]:
        """Live records, ordered by kind and key; empty for a new account."""

    def history(self, kind: RecordKind) -> tuple[BrokerRecord, ...]:
        """Every record of a kind that was ever stored, live or not, ordered by key."""

    def close(self) -> None:
        """Let go of what holds the records; nothing may be appended after it."""


def require_next_commit(last: int, commit: int) -> None:
    """Raise `SupersededError` when a commit does not follow the last one: somebody else has the line now.

    So a broker refuses a session whose client number another one has taken.
    """
    if commit != last + 1:
        raise SupersededError(
            f"expected commit {last + 1} of the simulated account, found {commit}; another process drives this "
            "account: end one of them, then run again"
        )


class MemoryJournal:
    """A journal in memory; a copy is what would have survived a crash at that moment."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], BrokerRecord] = {}
        self.commits = 0

    def append(self, commit: int, records: Sequence[BrokerRecord]) -> None:
        """Store all records; the last one of a key wins."""
        require_next_commit(self.commits, commit)
        self._rows.update({(record.kind.value, record.key): record for record in records})
        self.commits = commit

    def load(self) -> tuple[BrokerRecord, ...]:
        """Live records, ordered by kind and key."""
        return tuple(self._rows[row] for row in sorted(self._rows) if self._rows[row].live)

    def history(self, kind: RecordKind) -> tuple[BrokerRecord, ...]:
        """Every record of a kind, ordered by key."""
        return tuple(self._rows[row] for row in sorted(self._rows) if row[0] == kind.value)

    def close(self) -> None:
        """Nothing to let go of: the records live as long as the object."""

    def copy(self) -> MemoryJournal:
        """An independent journal with the same contents."""
        twin = MemoryJournal()
        twin._rows, twin.commits = dict(self._rows), self.commits
        return twin
