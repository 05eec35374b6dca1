"""The book's benchmark writes what it says, once, and folds what it says."""

from __future__ import annotations

from pathlib import Path

from benchmarks.book import FILLS, ORDERS, POSITIONS, _count, _day, _entries, _parents, _write
from engine.accounting.book import fold
from state.database import open_database


def test_day_that_is_written_twice_leaves_its_rows_once(tmp_path: Path) -> None:
    database = open_database(None, tmp_path)
    for day in range(2):
        _parents(database, day)
        for _ in range(2):
            _write(database, _day(day))
            assert _count(database) == (day + 1) * (ORDERS + FILLS + POSITIONS) == (day + 1) * 7_500
    database.close()


def test_entries_of_the_fold_hold_their_number_of_postings() -> None:
    entries = list(_entries(600))
    assert sum(len(entry.lines) for entry in entries) == 604
    assert len(fold(entries, entries[-1].booked_at).positions) == 100
