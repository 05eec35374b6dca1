"""Rows of the day record as values: what the row functions make and `state.records` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = "str | int | float | bool | bytes | Decimal | date | datetime | None"
Record: TypeAlias = Mapping[str, Value]
Tables: TypeAlias = Mapping[str, Sequence[Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRows:
    """Rows that one run leaves, by table.

    ``decided`` are the run's own: a rerun replaces them, and a table that is named without rows is emptied of what
    an earlier attempt left. ``facts`` are of the world: the run that saw one first stays beside it.
    """

    decided: Tables
    facts: Tables = field(default_factory=dict)
