import shutil
from pathlib import Path

import pytest

from engine.model.context import RunKind
from state.copying import copy_book
from state.database import open_database
from state.runs import RunClaim, RunStore
from tests.state.builders import NOW, make_key


def claim(home: Path, kind: RunKind) -> RunClaim:
    book = open_database(None, home)
    try:
        return RunStore(book).claim(make_key(kind), NOW, "code", "config")
    finally:
        book.close()


def test_copy_that_is_made_anew_is_no_older_copy_of_the_last_one(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    claim(home, RunKind.DECISION)
    for _ in range(2):
        copy_book(None, home, copy)
        assert [claim(copy, kind).behind for kind in (RunKind.EXECUTION, RunKind.CLOSE)] == [0, 0]
    assert claim(home, RunKind.EXECUTION).behind == 0


def test_copy_of_an_older_book_is_as_far_behind_as_that(tmp_path: Path) -> None:
    home, copy, kept = tmp_path / "home", tmp_path / "copy", tmp_path / "kept"
    claim(home, RunKind.DECISION)
    copy_book(None, home, kept)
    claim(home, RunKind.EXECUTION)
    for path in home.glob("fund.sqlite*"):
        path.unlink()
    (kept / "fund.sqlite").rename(home / "fund.sqlite")
    copy_book(None, home, copy)
    assert claim(copy, RunKind.CLOSE).behind == 1


def test_claim_in_the_midst_of_copying_makes_no_older_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy"
    claim(home, RunKind.DECISION)
    right = shutil.copytree

    def slowly(*places: Path) -> Path:
        copied = right(*places)
        claim(home, RunKind.EXECUTION)
        return copied

    monkeypatch.setattr(shutil, "copytree", slowly)
    copy_book(None, home, copy)
    assert claim(copy, RunKind.CLOSE).behind == 0
