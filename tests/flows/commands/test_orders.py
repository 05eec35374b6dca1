"""``fund orders`` and ``fund orders resolve``: what is shown, what decides a doubt, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.model.orders import ChildStatus
from engine.simulation.faults import ForeignTrade, add_trade
from flows.commands.__main__ import main
from state.doubts import order_views
from tasks.runtime import World
from tests.doubted_days import LOST, doubted, home_in_doubt
from tests.factories import DAYS, new_world, order_store
from tests.statements import statement_of

WORDS = "the desk says that it never came"
SAID = ["--evidence", WORDS, "--reason", "called the desk", "--operator", "Ada"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(home_in_doubt(), tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    monkeypatch.delenv("FUND_DATABASE_URL", raising=False)
    return tmp_path


@pytest.fixture
def world(home: Path) -> Iterator[World]:
    opened = new_world(home, DAYS[2])
    yield opened
    opened.close()


@pytest.fixture
def reference(world: World) -> str:
    return doubted(world).child.order_ref


def status(home: Path, reference: str) -> ChildStatus:
    world = new_world(home, DAYS[2])
    try:
        return order_store(world).child(reference).status
    finally:
        world.close()


def test_list_shows_the_doubt_first_with_what_its_proof_misses(
    home: Path, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SIM-fund-1: 1 in doubt, ")
    assert lines[1].startswith(f"{reference}  UNKNOWN")
    told = " ".join(" ".join(lines).split())
    assert "proof misses two complete answers of the broker" in told
    assert f"./fund orders resolve {reference} --evidence FILE --reason WHY" in told


def test_list_as_json_tells_age_and_state(
    home: Path, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orders", "--all", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    first, *others = found["orders"]
    assert (found["account"], first["order_ref"], first["status"]) == ("SIM-fund-1", reference, "UNKNOWN")
    assert first["age_seconds"] > 3600  # sent in its window, looked at after the close
    assert len(others) > 10
    assert {line["status"] for line in others} <= {"FILLED", "CANCELLED", "EXPIRED", "ABANDONED"}


def test_word_that_nothing_contradicts_ends_the_doubt_and_is_kept(
    home: Path, world: World, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orders", "resolve", reference, *SAID, "--yes"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "UNKNOWN becomes ABSENT: a person says that it never reached the market" in told
    assert f"{reference} is ABSENT now" in told
    (view,) = order_views(world.database, world.account, [ChildStatus.ABSENT])
    said = view.known[-1].evidence.attestation
    assert said is not None
    assert (said.text, said.operator, said.reason) == (WORDS, "Ada", "called the desk")
    assert order_store(world).blocked_contracts() == frozenset()
    assert main(["orders", "resolve", reference, *SAID, "--yes"]) == 5
    assert "found that it is ABSENT; nothing changed" in " ".join(capsys.readouterr().err.split())
    assert main(["orders", "--all"]) == 0
    assert "resolved by Ada: called the desk" in " ".join(capsys.readouterr().out.split())


def test_word_as_long_as_a_letter_is_no_name_of_a_file(home: Path, world: World, reference: str) -> None:
    letter = f"{WORDS}. " * 20  # 680 characters: no file system takes such a name
    said = ["--evidence", letter, "--reason", "wrote to the desk", "--operator", "Ada"]
    assert main(["orders", "resolve", reference, *said, "--yes"]) == 0
    (view,) = order_views(world.database, world.account, [ChildStatus.ABSENT])
    kept = view.known[-1].evidence.attestation
    assert kept is not None
    assert kept.text == letter.strip()


def test_without_terminal_and_without_yes_nothing_changes(
    home: Path, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orders", "resolve", reference, *SAID]) == 2
    assert "expected --yes to resolve" in " ".join(capsys.readouterr().err.split())
    assert status(home, reference) is ChildStatus.UNKNOWN


def test_position_that_moved_by_the_order_refuses_the_word(
    home: Path, world: World, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The broker's position moved by exactly the order's quantity, though it lists no execution of ours."""
    child = doubted(world).child
    moved = ForeignTrade(
        contract_id=LOST, quantity=child.quantity * child.side.sign, price=child.limit_price, order_ref=None
    )
    add_trade(world.broker, "moved", moved)
    world.broker.commit()
    world.close()
    assert main(["orders", "resolve", reference, *SAID, "--yes"]) == 5
    told = " ".join(capsys.readouterr().err.split())
    assert "may be its executions" in told
    assert "nothing changed, the order stays in doubt" in told
    assert status(home, reference) is ChildStatus.UNKNOWN


def test_statement_of_its_day_proves_the_absence(
    home: Path, world: World, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "statement.xml"
    file.write_bytes(statement_of(world, DAYS[0]))
    given = ["--evidence", str(file), "--reason", "statement of the day", "--yes", "--json"]
    assert main(["orders", "resolve", reference, *given]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["status"], told["executions"]) == ("ABSENT", [])
    (view,) = order_views(world.database, world.account, [ChildStatus.ABSENT])
    proof = view.known[-1].evidence.statement
    assert proof is not None
    assert proof.missing == ""


def test_imported_statement_keeps_its_proof_too(home: Path, world: World, reference: str) -> None:
    file = home / "statement.xml"
    file.write_bytes(statement_of(world, DAYS[0]))
    assert main(["statement", "import", str(file)]) == 0
    (view,) = order_views(world.database, world.account, [ChildStatus.ABSENT])
    assert [row.status for row in view.known][-1] is ChildStatus.ABSENT
    assert view.known[-1].evidence.statement is not None


def test_order_that_is_found_after_all_is_booked_whatever_a_person_says(
    home: Path, world: World, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order was only late: the broker has executed it on the next day."""
    child = doubted(world).child
    noon = world.broker.now.replace(hour=12, minute=0, second=0) + timedelta(days=1)
    world.broker.advance(noon)
    world.broker.submit(replace(child, limit_price=Decimal(900), good_till=noon + timedelta(hours=1)))
    world.broker.advance(noon + timedelta(minutes=30))
    executed = [fill for fill in world.broker.executions() if fill.order_ref == reference]
    assert sum(fill.quantity for fill in executed) == child.quantity
    world.close()
    assert main(["orders", "resolve", reference, *SAID, "--yes"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "UNKNOWN becomes FILLED" in told
    assert f"books {executed[0].execution_id}" in told
    again = new_world(home, DAYS[2])
    try:
        record = order_store(again).child(reference)
        assert (record.status, record.filled) == (ChildStatus.FILLED, child.quantity)
    finally:
        again.close()


@pytest.mark.parametrize(
    ("arguments", "exit_status", "told"),
    [
        (["AF1.NOBODY.1", *SAID, "--yes"], 2, "expected the reference of an order of SIM-fund-1"),
        (["REF", "--evidence", "cut.xml", "--reason", "x", "--yes"], 5, "truncated or damaged"),
        (["REF", "--evidence", "nothing.xml", "--reason", "x", "--yes"], 2, "No such file"),
        (["REF", "--evidence", " ", "--reason", "x", "--yes"], 2, "expected evidence, found none"),
        (["REF", "--evidence", "it is gone", "--reason", " ", "--yes"], 2, "expected a reason"),
    ],
)
def test_refusal_says_what_was_expected_and_changes_nothing(
    home: Path,
    reference: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_status: int,
    told: str,
) -> None:
    monkeypatch.chdir(home)
    (home / "cut.xml").write_text("<FlexQueryResponse><FlexStatements", encoding="utf-8")
    given = [reference if text == "REF" else text for text in arguments]
    assert main(["orders", "resolve", *given]) == exit_status
    assert told in " ".join(capsys.readouterr().err.split())
    assert status(home, reference) is ChildStatus.UNKNOWN


def test_statement_of_another_day_proves_nothing(
    home: Path, world: World, reference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world.broker.advance(world.broker.now + timedelta(days=1))
    file = home / "statement.xml"
    file.write_bytes(statement_of(world, DAYS[1]))
    world.close()
    assert main(["orders", "resolve", reference, "--evidence", str(file), "--reason", "x", "--yes"]) == 5
    assert "does not cover the time at which it was sent" in " ".join(capsys.readouterr().err.split())
    assert status(home, reference) is ChildStatus.UNKNOWN
