"""``fund investors`` and ``fund simulated transfer``: what is typed, what is refused, and what is listed."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from flows.commands.__main__ import main
from tests.factories import new_world
from tests.halted_days import DAY_BEFORE, HALTED_DAY, home_after_a_day

NEXT = HALTED_DAY.isoformat()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    shutil.copytree(home_after_a_day(), place)
    monkeypatch.setenv("FUND_HOME", str(place))
    return place


def order(command: str = "subscribe", amount: str = "1000000", day: str = NEXT, **changes: str) -> list[str]:
    options = {"investor": "Pension fund", "evidence": "form 7", "currency": "EUR", **changes}
    typed = ["investors", command, amount, "--value-date", day]
    return typed + [word for name, value in options.items() for word in (f"--{name}", value)]


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_order_is_entered_listed_and_withdrawn(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert answer(capsys, "investors", "list") == []
    given = answer(capsys, *order())
    assert isinstance(given, dict)
    assert given["state"] == "PENDING"
    (listed,) = answer(capsys, "investors", "list")  # type: ignore[misc]
    assert listed == {
        "order_id": given["order_id"],
        "kind": "SUBSCRIPTION",
        "investor": "Pension fund",
        "amount": "1000000",
        "currency": "EUR",
        "value_date": NEXT,
        "evidence": "form 7",
        "state": "PENDING",
        "units": None,
        "unit_price": None,
    }
    assert main(["investors", "withdraw", str(given["order_id"]), "--reason", "changed their mind"]) == 0
    (listed,) = answer(capsys, "investors", "list")  # type: ignore[misc]
    assert listed["state"] == "WITHDRAWN"


def test_list_tells_a_person_how_far_each_order_has_come(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(order("redeem", "250000.50", currency="USD")) == 0
    assert main(["investors", "list"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert f"redemption 250,000.50 USD {NEXT} Pension fund: waits for its money" in told


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (order(day=DAY_BEFORE.isoformat()), "whose NAV per unit is known"),
        (order(amount="0"), "positive amount"),
        (order(amount="0.001"), "at most two decimals"),
        (order(amount="much"), "positive amount"),
        (order(amount="1e400"), "positive amount"),
        (order(amount="1000000000000"), "below 1,000,000,000,000"),
        (order(currency="XXX"), "among CHF, EUR, GBP, SEK, USD, found XXX"),
        (order(evidence=" "), "expected evidence"),
        (order(investor=""), "expected an investor"),
        (order(day="20261117x"), "--value-date"),
        (["investors", "withdraw", "S-0", "--reason", "why"], "none of the id S-0"),
        (["simulated", "transfer", "0"], "--out lets it leave"),
        (["simulated", "transfer", "5", "--currency", "XXX"], "found XXX"),
    ],
)
def test_what_can_not_be_meant_is_refused_and_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], typed: list[str], words: str
) -> None:
    assert main(typed) != 0
    assert words in " ".join(capsys.readouterr().err.split())
    assert answer(capsys, "investors", "list") == []


def test_same_order_twice_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(order()) == 0
    assert main(order()) != 0
    assert "evidence of its own" in capsys.readouterr().err
    assert main(order(evidence="form 8")) == 0


def test_transfer_moves_the_money_of_the_simulated_account(home: Path) -> None:
    assert main(["simulated", "transfer", "1000.25", "--currency", "GBP"]) == 0
    assert main(["simulated", "transfer", "0.25", "--currency", "GBP", "--out"]) == 0
    world = new_world(home, HALTED_DAY)
    before = world.ledger.portfolio(world.account, world.broker.now).cash.get("GBP", Decimal(0))
    assert world.broker.state.balance("GBP") - before == Decimal(1000)
    world.close()
