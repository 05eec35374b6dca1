"""The record of one run: what a rerun takes away, what stays, and rows that no ordinary day makes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from engine.composition.stages import CrisisStep
from engine.hedging.crisis import CrisisMemory, CrisisPlan, CrisisRecord
from state.database import Database
from state.record_values import RunRows, Value
from state.recording_risk import episode_rows
from state.records import RecordStore
from state.runs import RunStore
from tests.state.builders import ACCOUNT, DAY, NOW, make_key

D = Decimal


@pytest.fixture
def run_id(database: Database) -> str:
    return RunStore(database).claim(make_key(), NOW, "code", "config").run_id


def target(run_id: str, contract_id: str, quantity: int = 1) -> dict[str, Value]:
    return {
        "run_id": run_id,
        "contract_id": contract_id,
        "sleeve": "core_index_rv",
        "instrument_id": contract_id,
        "weight": 0.1,
        "notional_usd": D(100),
        "quantity": D(quantity),
        "trade_group": None,
    }


def price(run_id: str | None, close: str) -> dict[str, Value]:
    return {
        "run_id": run_id,
        "account": ACCOUNT,
        "at": NOW,
        "contract_id": "AAPL",
        "source": "SIMULATED",
        "bar": "1d",
        "close": D(close),
    }


def figure(run_id: str | None, metric: str, day: date = DAY) -> dict[str, Value]:
    return {"run_id": run_id, "account": ACCOUNT, "trade_date": day, "metric": metric, "figure": 1.0}


def test_second_attempt_replaces_its_rows_and_leaves_none_of_the_first(
    database: Database, run_id: str
) -> None:
    store = RecordStore(database)
    store.record_run(
        run_id,
        1,
        RunRows(
            decided={
                "targets": [target(run_id, "AAPL"), target(run_id, "MSFT")],
                "analytics_daily": [figure(run_id, "cost")],
            }
        ),
    )
    store.record_run(
        run_id, 2, RunRows(decided={"targets": [target(run_id, "AAPL", 2)], "analytics_daily": []})
    )
    assert [(row["contract_id"], row["quantity"]) for row in store.rows("targets")] == [("AAPL", 2)]
    assert store.rows("analytics_daily") == ()


def test_rows_of_other_runs_stay(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    store.save("analytics_daily", [figure(None, "other")])
    store.record_run(run_id, 2, RunRows(decided={"analytics_daily": [figure(run_id, "cost")]}))
    assert [row["metric"] for row in store.rows("analytics_daily")] == ["cost", "other"]


def test_fact_of_the_world_stays_with_the_run_that_saw_it_first(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    store.save("market_data", [price(None, "100")])
    for attempt in (1, 2):
        store.record_run(run_id, attempt, RunRows(decided={}, facts={"market_data": [price(run_id, "101")]}))
    (row,) = store.rows("market_data")
    assert (row["run_id"], row["close"]) == (None, 100)


def test_fact_that_an_attempt_saw_itself_is_read_anew(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    for attempt, close in ((1, "100"), (2, "101")):
        store.record_run(run_id, attempt, RunRows(decided={}, facts={"market_data": [price(run_id, close)]}))
    assert [row["close"] for row in store.rows("market_data")] == [101]


def test_latest_rows_come_newest_first_and_before_a_date(database: Database) -> None:
    store = RecordStore(database)
    days = [date(2025, 12, day) for day in (1, 2, 3, 4)]
    store.save("analytics_daily", [figure(None, "cost", day) for day in days])
    store.save("analytics_daily", [figure(None, "other", date(2025, 12, 31))])

    def found(**options: object) -> list[Value]:
        rows = store.latest("analytics_daily", "trade_date", account=ACCOUNT, metric="cost", **options)  # type: ignore[arg-type]
        return [row["trade_date"] for row in rows]

    assert found() == [days[3]]
    assert found(before=days[2]) == [days[1]]
    assert found(before=days[2], count=5) == [days[1], days[0]]
    assert found(before=days[0]) == []


def test_rows_between_two_dates_include_both(database: Database) -> None:
    store = RecordStore(database)
    days = [date(2025, 12, day) for day in (1, 2, 3, 4)]
    store.save("analytics_daily", [figure(None, "cost", day) for day in days])
    rows = store.between("analytics_daily", "trade_date", days[1], days[2], account=ACCOUNT)
    assert [row["trade_date"] for row in rows] == days[1:3]
    assert store.rows("analytics_daily", trade_date=(days[0], days[3])) == (
        *store.between("analytics_daily", "trade_date", days[0], days[0]),
        *store.between("analytics_daily", "trade_date", days[3], days[3]),
    )


# ---------------------------------------------------------------- a crisis

FIRST, SECOND, THIRD = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 4)
EPISODE = "crisis-2026-03-02"


def crisis(day: date, before: str | None, after: str | None, triggers: tuple[str, ...] = ()) -> CrisisStep:
    plan = CrisisPlan(
        episode_id=after,
        starts=before is None and after is not None,
        triggers=triggers,
        cancel_risk_adding=after is not None,
        proposals=(),
        kill=False,
        needs_review=False,
        alert=None,
    )
    memory = CrisisMemory(
        trade_date=day, opening=CrisisRecord(episode_id=before), closing=CrisisRecord(episode_id=after)
    )
    return CrisisStep(plan=plan, memory=memory)


def test_calm_day_leaves_no_episode() -> None:
    assert episode_rows("r", ACCOUNT, crisis(FIRST, None, None), ()) == {"crisis_episodes": []}


def test_episode_keeps_its_start_and_trigger_and_gets_its_end(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    steps = (
        crisis(FIRST, None, EPISODE, ("VIX 41.00 is at or above 40",)),
        crisis(SECOND, EPISODE, EPISODE),
        crisis(THIRD, EPISODE, None),
    )
    found = []
    for step in steps:
        known = store.rows("crisis_episodes", account=ACCOUNT, episode_id=EPISODE)
        store.record_run(run_id, 1, RunRows(decided=episode_rows(run_id, ACCOUNT, step, known)))
        (row,) = store.rows("crisis_episodes")
        assert (row["started_on"], row["trigger"]) == (FIRST, "VIX 41.00 is at or above 40")
        found.append(row["ended_on"])
    assert found == [None, None, THIRD]


def test_episode_that_goes_on_after_all_has_no_end() -> None:
    (start,) = episode_rows("r", ACCOUNT, crisis(FIRST, None, EPISODE, ("VIX",)), ())["crisis_episodes"]
    (ended,) = episode_rows("s", ACCOUNT, crisis(SECOND, EPISODE, None), [start])["crisis_episodes"]
    (again,) = episode_rows("s", ACCOUNT, crisis(SECOND, EPISODE, EPISODE), [ended])["crisis_episodes"]
    assert (ended["ended_on"], again["ended_on"]) == (SECOND, None)
    assert again["run_id"] == "r"
