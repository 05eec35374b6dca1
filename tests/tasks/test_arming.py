"""Leave to trade real money: every term has to agree, the signature over all of them, and the time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, RefusedError
from tasks.arming import Wanted, arm, arm_path, require_armed
from tasks.broker_place import BrokerPlace

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
    assert "in FUND_ARM_KEY, found none" in refusal(wanted)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"account": 3'])
def test_file_that_can_not_be_read_gives_no_leave(wanted: Wanted, text: str) -> None:
    arm(wanted, UNTIL, NOW).write_text(text)
    assert "that can not be read" in refusal(wanted)


def test_leave_is_given_for_real_money_and_a_month_at_most(wanted: Wanted) -> None:
    with pytest.raises(ConfigurationError, match="31 days ahead"):
        arm(wanted, NOW + timedelta(days=31, seconds=1), NOW)
    with pytest.raises(ConfigurationError, match="after 2026-11-20 05:00"):
        arm(wanted, NOW, NOW)
    paper = replace(wanted, place=replace(wanted.place, account="DU1234567"))
    with pytest.raises(ConfigurationError, match="the paper account DU1234567"):
        arm(paper, UNTIL, NOW)
    assert not (wanted.home / "arm").exists()
