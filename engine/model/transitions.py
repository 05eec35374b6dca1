"""State machines as data: a table says from which state which states may follow; anything else is illegal (REL-5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from engine.errors import IllegalTransition

Status = TypeVar("Status", bound=Enum)


def move(table: Mapping[Status, frozenset[Status]], current: Status, wanted: Status, subject: str) -> Status:
    """The wanted state of ``subject``; raises `IllegalTransition` when the table has no such arrow."""
    if wanted in table[current]:
        return wanted
    allowed = ", ".join(sorted(str(status.value) for status in table[current])) or "nothing, it is final"
    raise IllegalTransition(
        f"{subject}: no arrow leads from {current.value} to {wanted.value} (allowed: {allowed})",
        subject=subject,
        before=str(current.value),
        after=str(wanted.value),
    )
