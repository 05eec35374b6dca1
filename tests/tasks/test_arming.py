"""Leave to trade real money: every term has to agree, the signature over all of them, and the time."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from engine.errors import ConfigurationError, RefusedError
from engine.ports import OrderTransport
from flows.commands.__main__ import main
from tasks.adapters.guarded_transport import GuardedTransport
from tasks.adapters.ibkr.errors import NotWritten
from tasks.arming import Wanted, arm, arm_path, require_armed
from tasks.broker_place import BrokerPlace
from tasks.leave import Leave

NOW = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=20)
KEY = "a secret that nobody guesses"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUND_ARM_KEY", KEY)


@pytest.fixture
def wanted(tmp_path: Path) -> Wanted:
    place = BrokerPlace(account="U7654321", host="127.0.0.1", port=4001, control_port=None)
    return Wanted(home=tmp_path, place=place, code_version="0123456789abcdef")


def refusal(wanted: Wanted, now: datetime = NOW) -> str:
    with pytest.raises(RefusedError) as refused:
        require_armed(wanted, now)
    assert refused.value.exit_status == 5
    assert KEY not in str(refused.value)
    return str(refused.value)


def test_leave_holds_from_when_it_was_given_to_before_its_end(wanted: Wanted) -> None:
    assert "no leave in" in refusal(wanted)
    path = arm(wanted, UNTIL, NOW)
    assert require_armed(wanted, NOW).until == UNTIL
    assert require_armed(wanted, UNTIL - timedelta(microseconds=1)).account == "U7654321"
    assert "and it is 2026-11-21 01:00" in refusal(wanted, UNTIL)
    assert "and it is 2026-11-20 04:59" in refusal(wanted, NOW - timedelta(minutes=1))
    assert path.stat().st_mode & 0o077 == 0
    assert KEY not in path.read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"port": 4002}, "port 4001 instead of 4002"),
        ({"account": "U1111111"}, "account U7654321 instead of U1111111"),
    ],
)
def test_leave_for_another_account_or_port_is_none(
    wanted: Wanted, change: dict[str, object], told: str
) -> None:
    path = arm(wanted, UNTIL, NOW)
    other = replace(wanted, place=replace(wanted.place, **change))  # type: ignore[arg-type]
    path.rename(arm_path(wanted.home, other.place.account))
    assert told in refusal(other)


def test_leave_for_other_code_is_none(wanted: Wanted) -> None:
    arm(wanted, UNTIL, NOW)
    told = refusal(replace(wanted, code_version="fedcba9876543210"))
    assert "code_version 0123456789abcdef instead of fedcba9876543210" in told


@pytest.mark.parametrize(
    ("term", "value"),
    [
        ("account", "U7654322"),
        ("mode", "paper"),
        ("port", 4002),
        ("code_version", "fedcba9876543210"),
        ("made_at", "2026-11-19T05:00:00+00:00"),
        ("until", "2027-11-20T05:00:00+00:00"),
    ],
)
def test_changed_term_breaks_the_signature(wanted: Wanted, term: str, value: object) -> None:
    path = arm(wanted, UNTIL, NOW)
    path.write_text(json.dumps({**json.loads(path.read_text()), term: value}))
    assert "did not make over what stands there" in refusal(wanted)


def test_leave_of_another_secret_or_without_one_is_none(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm(wanted, UNTIL, NOW)
    monkeypatch.setenv("FUND_ARM_KEY", "another secret of somebody")
    assert "did not make over what stands there" in refusal(wanted)
    monkeypatch.setenv("FUND_ARM_KEY", "short")
    assert "at least 16 characters in FUND_ARM_KEY, found a shorter one" in refusal(wanted)
    monkeypatch.delenv("FUND_ARM_KEY")
    assert "in FUND_ARM_KEY, found none; set it" in refusal(wanted)


TERMS = {
    "account": "U7654321", "mode": "live", "port": 4001, "code_version": "0123456789abcdef",
    "made_at": NOW.isoformat(), "until": UNTIL.isoformat(), "signature": "0" * 64,
}  # fmt: skip


def with_terms(**changes: object) -> str:
    return json.dumps({**TERMS, **changes})


ODD_FILES: dict[str, bytes] = {
    "nothing": b"",
    "a list": b"[]",
    "no terms": b"{}",
    "half a file": b'{"account": 3',
    "no text": b"\xff\xfe\x00",
    "zeros": bytes(300),
    "another byte order": with_terms().encode("utf-16"),
    "no signature": json.dumps({k: v for k, v in TERMS.items() if k != "signature"}).encode(),
    "half a character in the signature": with_terms(signature="\ud800").encode(),
    "endless port": with_terms().replace("4001", "1e999").encode(),
    "port that is no number": with_terms().replace("4001", "NaN").encode(),
    "port of five thousand digits": with_terms().replace("4001", "9" * 5_000).encode(),
    "no port": with_terms(port=None).encode(),
    "deep nesting": b"[" * 9_000,
    "deep nesting of a term": with_terms().replace('"live"', "[" * 4_000 + "]" * 4_000).encode(),
    "time before all times": with_terms(made_at="0001-01-01T00:00:00+14:00").encode(),
    "time after all times": with_terms(until="9999-12-31T23:59:59-14:00").encode(),
    "time without a zone": with_terms(until="2026-11-21T01:00:00").encode(),
    "a number as time": with_terms(until=5).encode(),
    "far too long": with_terms().encode() + b" " * 10_000,
}


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=ODD_FILES.keys())
def test_file_that_can_not_be_read_gives_no_leave(wanted: Wanted, content: bytes) -> None:
    arm(wanted, UNTIL, NOW).write_bytes(content)
    assert "that can not be read" in refusal(wanted)


def test_signature_of_other_characters_is_none(wanted: Wanted) -> None:
    arm(wanted, UNTIL, NOW).write_text(with_terms(signature="é" * 64), encoding="utf-8")
    assert "did not make over what stands there" in refusal(wanted)


def test_folder_or_pipe_in_the_place_of_the_file_gives_no_leave(wanted: Wanted) -> None:
    path = arm(wanted, UNTIL, NOW)
    path.unlink()
    path.mkdir()
    assert "that can not be read" in refusal(wanted)
    path.rmdir()
    os.mkfifo(path)  # whoever opened it to read would wait for a writer for ever
    assert "that can not be read" in refusal(wanted)
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("no folder")
    assert "that can not be read" in refusal(wanted)


def test_secret_of_bytes_that_are_no_text_signs_and_is_checked(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUND_ARM_KEY", os.fsdecode(b"\xff" * 20))
    arm(wanted, UNTIL, NOW)
    assert require_armed(wanted, NOW).until == UNTIL


@pytest.mark.parametrize("content", ODD_FILES.values(), ids=ODD_FILES.keys())
def test_order_does_not_leave_by_a_file_that_can_not_be_read(wanted: Wanted, content: bytes) -> None:
    arm(wanted, UNTIL, NOW).write_bytes(content)
    line = Mock(spec=OrderTransport)
    with pytest.raises(NotWritten, match=r"order-1 was not written: .*that can not be read"):
        GuardedTransport(line, lambda: require_armed(wanted, NOW)).send(Mock(order_ref="order-1"))
    line.send.assert_not_called()


@pytest.mark.parametrize(
    "problem",
    [TypeError(KEY), OverflowError(KEY), RecursionError(KEY), OSError(KEY), MemoryError(), KeyError(KEY)],
    ids=lambda problem: type(problem).__name__,
)
def test_order_does_not_leave_where_leave_can_not_be_asked_for(problem: Exception) -> None:
    line = Mock(spec=OrderTransport)
    guarded = GuardedTransport(line, Mock(side_effect=problem))
    with pytest.raises(NotWritten, match=type(problem).__name__) as refused:
        guarded.send(Mock(order_ref="order-1"))
    assert KEY not in str(refused.value)
    line.send.assert_not_called()


def test_leave_is_given_for_real_money_and_a_month_at_most(wanted: Wanted) -> None:
    with pytest.raises(ConfigurationError, match="31 days ahead"):
        arm(wanted, NOW + timedelta(days=31, seconds=1), NOW)
    with pytest.raises(ConfigurationError, match="after 2026-11-20 05:00"):
        arm(wanted, NOW, NOW)
    paper = replace(wanted, place=replace(wanted.place, account="DU1234567"))
    with pytest.raises(ConfigurationError, match="the paper account DU1234567"):
        arm(paper, UNTIL, NOW)
    assert not (wanted.home / "arm").exists()


def test_end_of_leave_is_told_once_each_time_that_it_ends(wanted: Wanted) -> None:
    now, told = [NOW], list[str]()
    arm(wanted, UNTIL, NOW)
    leave = Leave(lambda: require_armed(wanted, now[0]), told.append)
    assert (leave(), told) == (True, [])
    now[0] = UNTIL
    assert [leave(), leave()] == [False, False]
    assert len(told) == 1
    assert "what works is taken back: expected leave to trade U7654321 live on port 4001" in told[0]
    arm(wanted, UNTIL + timedelta(hours=1), UNTIL)
    assert leave()
    arm_path(wanted.home, "U7654321").unlink()
    assert not leave()
    assert len(told) == 2


@pytest.mark.parametrize("account", ["", "../U7654321", "U7/654321", "U7654321.json", "U" * 40, " U7654321"])
@pytest.mark.parametrize("more", [("--until", "2026-11-27T22:00"), ("--end",), ()], ids=" ".join)
def test_account_that_is_no_name_of_a_file_is_refused_and_no_file_is_touched(
    account: str,
    more: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FUND_HOME", str(tmp_path / "fund"))
    other = tmp_path / "fund" / "U7654321.json"
    other.parent.mkdir()
    other.write_text("of somebody else")
    assert main(["arm", "--account", account, "--port", "4001", *more]) == 2
    assert "expected an account of letters and digits like U1234567" in " ".join(
        capsys.readouterr().err.split()
    )
    assert [path.name for path in other.parent.iterdir()] == ["U7654321.json"]


def test_leave_is_either_given_or_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FUND_HOME", str(tmp_path))
    asked = ["arm", "--account", "U7654321", "--port", "4001", "--end", "--until", "2026-11-27T22:00"]
    assert main(asked) == 2
    assert "found both; give one of them" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
