"""Statements of the simulated broker for tests: written for a world, altered as text, imported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date
from zoneinfo import ZoneInfo

from tasks.adapters.flex_writing import write_flex
from tasks.adapters.simulated_account import account_path
from tasks.adapters.simulated_statement import simulated_statement
from tasks.runtime import World
from tasks.statement import StatementImport, import_statement

UTC_ZONE = ZoneInfo("UTC")


def statement_of(world: World, first: date, last: date | None = None) -> bytes:
    """What the broker states of one day, or of several, as it would send it."""
    path = account_path(world.options.home, world.account)
    found = simulated_statement(path, world.broker.terms, first, last or first)
    return write_flex(found, UTC_ZONE, world.contracts)


def imported(world: World, first: date, last: date | None = None) -> StatementImport:
    """The import of that statement."""
    return import_statement(world, statement_of(world, first, last))


def outcomes(result: StatementImport) -> Mapping[tuple[str, str], int]:
    """How many lines of each finding had each outcome, without those that agree."""
    found = Counter((line.line.finding.value, line.outcome) for line in result.lines)
    return {key: count for key, count in found.items() if key != ("matched", "MATCHED")}
