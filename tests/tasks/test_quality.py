"""Corrupted inputs are caught by a named expectation; sound ones pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest

from engine.simulation.pointintime import market_inputs
from tasks.adapters.expectations import GateBeside, QualityGate
from tasks.tables import bars_table
from tests.engine.simulation import worlds

BARS = {
    "contract": ["ES_20261218", "CSPX"],
    "price": [6800.0, 738.8],
    "last_return": [0.01, -0.02],
    "days_ahead": [-1, -1],
}
FX = {"pair": ["EURUSD", "GBPUSD"], "rate": [1.16, 1.31]}
INSTRUMENTS = {"instrument": ["ES", "CSPX"], "multiplier": [50.0, 1.0], "tick": [0.25, 0.01]}
SCREENER = {"instrument": ["AAPL"], "days_since_filing": [30]}
TARGETS = {"contract": ["CSPX"], "quantity": [932.0], "weight": [0.07]}
SOUND = {"bars": BARS, "fx": FX, "instruments": INSTRUMENTS, "screener": SCREENER, "targets": TARGETS}


@pytest.fixture(scope="module")
def gate() -> QualityGate:
    return QualityGate()


@pytest.mark.parametrize("suite", SOUND)
def test_sound_table_has_no_finding(gate: QualityGate, suite: str) -> None:
    assert gate.check(suite, pd.DataFrame(SOUND[suite]).to_dict("records")) == ()


def test_process_beside_finds_what_this_process_finds(gate: QualityGate) -> None:
    rows = pd.DataFrame(FX).to_dict("records")
    rows[1]["rate"] = float("nan")
    beside = GateBeside()
    try:
        assert beside.check({"fx": rows[:1]}) == ()
        assert beside.check({"fx": rows}) == gate.check("fx", rows) != ()
    finally:
        beside.close()


def test_process_beside_that_ended_says_so() -> None:
    beside = GateBeside()
    beside.close()
    with pytest.raises((OSError, ValueError)):
        beside.check({"fx": [{"pair": "EURUSD", "rate": 1.1}]})


def test_process_beside_asked_in_advance_answers_the_question_that_is_checked(gate: QualityGate) -> None:
    sound = pd.DataFrame(FX).to_dict("records")
    broken = [{**sound[0], "rate": -1.0}]
    beside = GateBeside()
    try:
        beside.ask({"fx": broken})  # too early: the process still loads
        assert beside.check({"fx": sound}) == ()
        beside.ask({"fx": broken})
        assert beside.check({"fx": broken}) == gate.check("fx", broken) != ()
        beside.ask({"fx": broken})  # and then something else is checked
        assert beside.check({"fx": sound}) == ()
    finally:
        beside.close()


@pytest.mark.parametrize(
    ("suite", "column", "value", "expectation"),
    [
        ("bars", "price", float("nan"), "not_be_null"),
        ("bars", "price", -1.0, "be_between"),
        ("bars", "price", 0.0, "be_between"),
        ("bars", "last_return", 99.0, "be_between"),  # a price in pence read as pounds: ×100
        ("bars", "last_return", -0.99, "be_between"),  # and pounds read as pence
        ("bars", "days_ahead", 1, "be_between"),  # a bar of tomorrow
        ("bars", "contract", "ES_20261218", "be_unique"),
        ("fx", "rate", float("nan"), "not_be_null"),
        ("fx", "rate", 0.0, "be_between"),
        ("fx", "pair", "EURUSD", "be_unique"),
        ("instruments", "multiplier", 0.0, "be_between"),
        ("instruments", "tick", -0.25, "be_between"),
        ("screener", "days_since_filing", -1, "be_between"),  # an account not yet filed
        ("targets", "quantity", float("nan"), "not_be_null"),
        ("targets", "weight", 35.0, "be_between"),  # 35 where 0.35 was meant
    ],
)
def test_corrupted_value_is_named_by_its_expectation(
    gate: QualityGate, suite: str, column: str, value: object, expectation: str
) -> None:
    table = pd.DataFrame(SOUND[suite]).astype({column: object})
    table.loc[len(table) - 1, column] = value
    found = gate.check(suite, table.to_dict("records"))
    assert (suite, column, expectation) in {(f.suite, f.column, f.expectation) for f in found}


def test_empty_table_has_no_finding(gate: QualityGate) -> None:
    assert gate.check("fx", []) == ()


def test_option_that_is_worth_nothing_is_no_finding_and_a_share_that_is_is_one(gate: QualityGate) -> None:
    put = "SPX_OPT_20261218_P_1000"
    at = datetime(2026, 11, 4, 6, tzinfo=UTC)
    inputs = market_inputs(
        worlds.world(), worlds.universe(), worlds.sessions(), at.date(), at, (put,), worlds.option_ranges()
    )
    nothing = {name: replace(inputs.marks[name], price=Decimal(0)) for name in (put, "CSPX")}
    marks = {**inputs.marks, put: nothing[put]}
    assert gate.check("bars", bars_table(replace(inputs, marks=marks))) == ()
    (found,) = gate.check("bars", bars_table(replace(inputs, marks={**marks, "CSPX": nothing["CSPX"]})))
    assert (found.column, found.found) == ("price", ("CSPX: 0.0",))
