from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest

from engine.accounting.book import fold
from engine.errors import DataError
from engine.model.instruments import Contract
from engine.model.orders import Reason
from engine.model.policy import RollPolicy
from engine.roll import RollPlan, front_contracts, plan_roll
from engine.sessions import Session, SessionTable
from tests.engine.accounting.builders import BOOK, CONTRACTS, NOW, D, bought, make_marks
from tests.engine.accounting.policies import ROLL

FIRST, LAST = date(2025, 11, 3), date(2026, 6, 30)
HOLIDAYS = {date(2025, 11, 27), date(2025, 12, 25), date(2026, 1, 1)}


def make_sessions(venue: str, last: date = LAST) -> SessionTable:
    days = [FIRST + timedelta(days=row) for row in range((last - FIRST).days + 1)]
    rows = tuple(
        Session(
            venue=venue,
            session_date=day,
            open=datetime.combine(day, time(8), UTC),
            close=datetime.combine(day, time(21), UTC),
            early_close=False,
        )
        for day in days
        if day.weekday() < 5 and day not in HOLIDAYS
    )
    return SessionTable(first=FIRST, last=last, venues={venue: rows})


CHAINS = {"M6E": (CONTRACTS["M6E_20251215"], CONTRACTS["M6E_20260316"])}
MARKS = make_marks(M6E_20251215="1.17", M6E_20260316="1.175", ES_20251219="5000")


def plan(
    day: date,
    contract_id: str = "M6E_20251215",
    marks: tuple[str, ...] = tuple(MARKS),
    policy: RollPolicy = ROLL,
) -> RollPlan:
    portfolio = fold(
        [
            bought(contract_id, "-4", "1.1718", sleeve="fx_hedge"),
            bought(contract_id, "1", "1.1718", "e2.01", sleeve="unassigned"),
        ],
        NOW,
    )
    known = {name: MARKS[name] for name in marks}
    return plan_roll(portfolio, CHAINS, make_sessions("CME"), BOOK, day, policy, known)


@pytest.mark.parametrize(
    ("day", "rolls"),
    [
        (date(2025, 12, 9), False),  # sessions left: 10, 11, 12, 15
        (date(2025, 12, 10), True),  # 11, 12, 15
        (date(2025, 12, 15), True),  # none
    ],
)
def test_december_euro_rolls_from_the_tenth(day: date, rolls: bool) -> None:
    assert bool(plan(day).rolls) is rolls


def test_roll_keeps_the_quantity_of_every_sleeve() -> None:
    found = plan(date(2025, 12, 10))
    assert [(row.contract_id, row.sleeve, row.quantity) for row in found.proposals] == [
        ("M6E_20251215", "fx_hedge", D(4)),
        ("M6E_20251215", "unassigned", D(-1)),
        ("M6E_20260316", "fx_hedge", D(-4)),
        ("M6E_20260316", "unassigned", D(1)),
    ]
    assert {(row.reason, row.group) for row in found.proposals} == {(Reason.ROLL, "roll:M6E")}


@pytest.mark.parametrize(("day", "critical"), [(11, False), (12, True), (15, True)])
def test_future_one_session_from_its_end_is_critical(day: int, critical: bool) -> None:
    found = plan(date(2025, 12, day))
    assert found.critical == (("M6E_20251215",) if critical else ())
    assert found.rolls[0].is_critical is critical


def test_option_near_its_expiry_is_critical_and_left_to_its_owner() -> None:
    portfolio = fold([bought("SPX_20251219_P_4800", "1", "20")], NOW)
    sessions = make_sessions("XNYS")
    found = plan_roll(portfolio, {}, sessions, BOOK, date(2025, 12, 18), ROLL, {})
    assert (found.critical, found.proposals) == (("SPX_20251219_P_4800",), ())


def test_notice_before_last_trade_decides() -> None:
    early = replace(CONTRACTS["M6E_20251215"], first_notice_date=date(2025, 12, 8))
    book = replace(BOOK, contracts={**CONTRACTS, "M6E_20251215": early})
    portfolio = fold([bought("M6E_20251215", "1", "1.17")], NOW)
    found = plan_roll(portfolio, CHAINS, make_sessions("CME"), book, date(2025, 12, 3), ROLL, MARKS)
    assert found.rolls[0].days_left == 3


def test_override_of_the_policy_wins() -> None:
    policy = replace(ROLL, overrides={"M6E": 5})
    assert plan(date(2025, 12, 8), policy=policy).rolls[0].days_left == 5
    assert plan(date(2025, 12, 5), policy=policy).rolls == ()


def test_future_without_priced_successor_is_only_closed_and_named() -> None:
    found = plan(date(2025, 12, 12), marks=("M6E_20251215",))  # one session left: the 15th
    assert found.rolls[0].new_contract is None
    assert {row.contract_id for row in found.proposals} == {"M6E_20251215"}
    assert all(row.reduce_only for row in found.proposals)
    assert "M6E_20251215" in found.notes[0]


@pytest.mark.parametrize(("day", "left"), [(10, 3), (11, 2)])
def test_due_future_waits_for_the_first_price_of_its_successor(day: int, left: int) -> None:
    found = plan(date(2025, 12, day), marks=("M6E_20251215",))
    assert (found.rolls, found.proposals) == ((), ())
    assert found.notes == (
        f"M6E_20251215 has no priced successor yet: its roll waits, {left} sessions are left",
    )


@pytest.mark.parametrize(("day", "fronts"), [(11, {"M6E": "M6E_20251215"}), (12, {})])
def test_contract_of_a_waiting_roll_stays_the_front_until_its_end_is_near(
    day: int, fronts: dict[str, str]
) -> None:
    marks = {"M6E_20251215": MARKS["M6E_20251215"]}
    found = front_contracts(CHAINS, marks, make_sessions("CME"), BOOK, date(2025, 12, day), ROLL)
    assert found == fronts


@pytest.mark.parametrize(
    ("day", "front"), [(date(2025, 12, 9), "M6E_20251215"), (date(2025, 12, 10), "M6E_20260316")]
)
def test_front_is_the_first_contract_beyond_the_roll_horizon(day: date, front: str) -> None:
    assert front_contracts(CHAINS, MARKS, make_sessions("CME"), BOOK, day, ROLL) == {"M6E": front}


def test_front_passes_over_a_contract_without_price() -> None:
    marks = {"M6E_20260316": MARKS["M6E_20260316"]}
    fronts = front_contracts(CHAINS, marks, make_sessions("CME"), BOOK, date(2025, 11, 10), ROLL)
    assert fronts == {"M6E": "M6E_20260316"}


def test_future_without_any_price_has_no_front() -> None:
    assert front_contracts(CHAINS, {}, make_sessions("CME"), BOOK, date(2025, 11, 10), ROLL) == {}


def test_holiday_is_no_session_of_the_countdown() -> None:
    # from Tuesday 25 November: 26, 28, 1 (Thanksgiving is closed)
    contract = Contract(contract_id="M6E_20251215", instrument_id="M6E", last_trade_date=date(2025, 12, 1))
    book = replace(BOOK, contracts={**CONTRACTS, "M6E_20251215": contract})
    portfolio = fold([bought("M6E_20251215", "1", "1.17")], NOW)
    found = plan_roll(portfolio, CHAINS, make_sessions("CME"), book, date(2025, 11, 25), ROLL, MARKS)
    assert found.rolls[0].days_left == 3


def test_session_table_too_short_to_decide_is_refused() -> None:
    portfolio = fold([bought("M6E_20251215", "1", "1.17")], NOW)
    short = make_sessions("CME", date(2025, 12, 10))
    with pytest.raises(DataError, match="longer table"):
        plan_roll(portfolio, CHAINS, short, BOOK, date(2025, 12, 9), ROLL, MARKS)
