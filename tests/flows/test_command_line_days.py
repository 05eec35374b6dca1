"""Days from the command line: what a run writes, and that running it again changes nothing (architecture 8)."""

import json
import os
import subprocess
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.model.context import RunKind
from tasks.runtime import World
from tests.factories import book_at_close, row_counts
from tests.flows.command_line import (
    ACCOUNT,
    FIRST,
    PLAIN,
    SECOND,
    THIRD,
    CommandLine,
    at_home,
    open_world,
    result,
    results,
)
from tests.shared_data import REPOSITORY

KEYS = {
    "run_id", "trade_date", "mode", "status", "attempt", "nav", "cash_by_currency", "positions", "reconciliation",
    "risk", "targets", "hedges", "trades", "jobs", "orders", "fills", "costs", "halts", "report",
}  # fmt: skip
"""What the result of a day has at least."""


# ---------------------------------------------------------------- one day


def test_result_of_a_day_has_the_agreed_keys(finished_home: Path) -> None:
    told = result(finished_home / "result.json")

    assert set(told) >= KEYS
    assert (told["trade_date"], told["mode"], told["status"], told["attempt"]) == (
        FIRST,
        "simulated",
        "COMPLETED",
        1,
    )
    for trade in rows(told, "trades"):
        assert set(trade) >= {"instrument", "quantity", "decision", "reason"}
        assert trade["reason"]
    assert len(rows(told, "trades")) > 10
    assert len(rows(told, "orders")) == len({order["order_ref"] for order in rows(told, "orders")}) > 10


def test_money_of_a_result_is_text(finished_home: Path) -> None:
    told = result(finished_home / "result.json")
    cash, costs = told["cash_by_currency"], told["costs"]
    assert isinstance(cash, dict)
    assert isinstance(costs, dict)

    money = [told["nav"], *cash.values(), *(fill["price"] for fill in rows(told, "fills"))]
    money += [value for name, value in costs.items() if name.endswith("_usd")]

    assert len(money) > 10
    assert [figure for figure in money if not isinstance(figure, str)] == []
    assert Decimal(str(told["nav"])) > 9_000_000


def test_report_of_a_day_is_the_page_that_the_result_names(finished_home: Path) -> None:
    page = Path(str(result(finished_home / "result.json")["report"]))

    assert page == finished_home / "reports" / ACCOUNT / f"{FIRST}.html"
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def rows(told: dict[str, object], name: str) -> list[dict[str, object]]:
    """One of the lists of a result."""
    found = told[name]
    assert isinstance(found, list)
    return found


# ---------------------------------------------------------------- again


def test_second_run_of_a_finished_day_changes_nothing(after_a_day: CommandLine, finished_home: Path) -> None:
    with open_world(after_a_day.home) as world:
        counts = row_counts(world)
    before = moved(results(after_a_day.home), finished_home, after_a_day.home)

    again = after_a_day("run", "--date", FIRST, PLAIN)

    with open_world(after_a_day.home) as world:
        assert row_counts(world) == counts
        assert [run.attempt for run in world.runs.runs()] == [1, 1, 1]
    assert again.status == 0
    assert "was finished before; nothing changed" in " ".join(again.out.split())
    assert changed(before, results(after_a_day.home)) == []


def test_second_run_tells_the_same_result(after_a_day: CommandLine, tmp_path: Path) -> None:
    assert after_a_day("run", "--date", FIRST, PLAIN, "--json", str(tmp_path / "again.json")).status == 0

    first, again = result(after_a_day.home / "result.json"), result(tmp_path / "again.json")
    assert {name for name in first if name != "report" and first[name] != again[name]} == set()


def test_resume_of_a_finished_day_changes_nothing(after_a_day: CommandLine, finished_home: Path) -> None:
    before = moved(results(after_a_day.home), finished_home, after_a_day.home)

    resumed = after_a_day("resume", PLAIN)

    assert resumed.status == 0
    assert changed(before, results(after_a_day.home)) == []


def moved(files: dict[str, bytes], old: Path, new: Path) -> dict[str, bytes]:
    """The files as a copied FUND_HOME would have written them: a stored result names its page by its path."""
    return {
        name: content.replace(str(old).encode(), str(new).encode())
        if name.startswith("reports/")
        else content
        for name, content in files.items()
    }


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Files that are new, gone or other than before."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


# ---------------------------------------------------------------- several days


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a FUND_HOME in which three days were run at once, with the result beside it."""
    from flows.commands.__main__ import main

    home = tmp_path_factory.mktemp("three")
    with at_home(home):
        arguments = ["run", "--date", FIRST, "--days", "3", PLAIN, "--json", str(home / "result.json")]
        assert main(arguments) == 0
    return home


def test_result_of_several_days_is_a_list_in_order(three_days: Path) -> None:
    told = json.loads((three_days / "result.json").read_text(encoding="utf-8"))

    assert [day["trade_date"] for day in told] == [FIRST, SECOND, THIRD]
    assert [day["status"] for day in told] == ["COMPLETED"] * 3
    assert all(set(day) >= KEYS for day in told)


def test_several_days_write_the_page_of_the_last_one(three_days: Path) -> None:
    told = json.loads((three_days / "result.json").read_text(encoding="utf-8"))

    assert pages(three_days) == [f"{THIRD}.html"]
    assert [day["report"] is None for day in told] == [True, True, False]


def test_days_one_by_one_are_the_days_at_once(three_days: Path, after_a_day: CommandLine) -> None:
    assert after_a_day("run", "--date", SECOND, PLAIN).status == 0

    with open_world(after_a_day.home) as alone, open_world(three_days) as together:
        day = date.fromisoformat(SECOND)
        outputs = [
            {
                f"{run.run_id} {row.step}": row.output
                for run in world.runs.runs(ACCOUNT)
                if run.key.trade_date == day
                for row in world.runs.steps(run.run_id)
            }
            for world in (alone, together)
        ]
    assert len(outputs[0]) > 10
    assert outputs[0] == outputs[1]


def test_fault_of_several_days_strikes_on_the_first_one_only(fund: CommandLine) -> None:
    answer = fund("run", "--date", FIRST, "--to", SECOND, PLAIN, "--fault", "cash-break", "--report", "none")

    assert answer.status == 0
    with open_world(fund.home) as world:
        struck = [fault.injected_at.date() for _, fault in world.broker.state.faults.items()]
        answered = [(halt.run_id[:10], halt.kind) for halt in world.halts.halts(world.account)]
    assert struck == [date.fromisoformat(FIRST)]
    assert answered == [(FIRST, "cash-break")]
    assert f"scripted answered cash-break with adopt-broker, 1 times: {FIRST}" in " ".join(answer.out.split())


def test_several_days_leave_one_list_of_what_was_doubted_and_answered(three_days: Path) -> None:
    path = three_days / "reports" / ACCOUNT / f"{FIRST}_to_{THIRD}.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    told = json.loads((three_days / "result.json").read_text(encoding="utf-8"))

    assert (listed["first"], listed["last"], listed["days"]) == (FIRST, THIRD, 3)
    assert Decimal(listed["largest_residual_usd"]) <= Decimal("0.01")
    assert listed["flagged"] == [[day["trade_date"], row] for day in told for row in day["flagged_prices"]]
    assert listed["acts"] == []


def test_fault_on_a_decided_day_is_refused(after_a_day: CommandLine) -> None:
    told = after_a_day.refuse("run", "--date", FIRST, PLAIN, "--fault", "cash-break")

    assert f"{FIRST} is decided" in told
    assert "another FUND_HOME" in told


def test_finished_days_of_a_list_are_not_run_again(three_days: Path, after_a_day: CommandLine) -> None:
    answer = after_a_day("run", "--date", FIRST, "--to", SECOND, PLAIN, "--report", "none")

    assert answer.status == 0
    with open_world(after_a_day.home) as world:
        assert {(run.key.trade_date.isoformat(), run.attempt) for run in world.runs.runs()} == {
            (FIRST, 1),
            (SECOND, 1),
        }
        assert [run.key.kind for run in world.runs.runs()].count(RunKind.CLOSE) == 2


@pytest.mark.parametrize(
    ("wanted", "written"),
    [("none", []), ("last", [f"{SECOND}.html"]), ("all", [f"{FIRST}.html", f"{SECOND}.html"])],
)
def test_report_option_says_which_pages_are_written(
    after_a_day: CommandLine, wanted: str, written: list[str]
) -> None:
    for page in (after_a_day.home / "reports").rglob("*.html"):
        page.unlink()

    assert after_a_day("run", "--date", FIRST, "--to", SECOND, PLAIN, "--report", wanted).status == 0

    assert pages(after_a_day.home) == written


def test_result_on_standard_output_is_nothing_but_json(after_a_day: CommandLine) -> None:
    answer = after_a_day("run", "--date", FIRST, "--to", SECOND, PLAIN, "--report", "none", "--json", "-")

    assert [day["trade_date"] for day in json.loads(answer.out)] == [FIRST, SECOND]
    assert answer.err == ""


def pages(home: Path) -> list[str]:
    """Names of the report pages in a FUND_HOME."""
    return sorted(page.name for page in (home / "reports").rglob("*.html"))


# ---------------------------------------------------------------- interrupted, and two at once


def test_interrupted_days_are_resumed_to_the_last_one(
    fund: CommandLine, three_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = World.inputs

    def fail_on_the_second_day(world: World, day: date, *rest: Any) -> object:
        if day.isoformat() == SECOND:
            raise OSError("the market's file is gone")
        return read(world, day, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(World, "inputs", fail_on_the_second_day)
        stopped = fund("run", "--date", FIRST, "--days", "3", PLAIN, "--report", "none")
    resumed = fund("resume", PLAIN, "--json", str(fund.home / "result.json"))

    assert (stopped.status, resumed.status) == (1, 0), (stopped, resumed)
    told = json.loads((fund.home / "result.json").read_text(encoding="utf-8"))
    undisturbed = json.loads((three_days / "result.json").read_text(encoding="utf-8"))
    assert [(day["trade_date"], day["attempt"]) for day in told] == [(SECOND, 2), (THIRD, 1)]
    assert [day["nav"] for day in told] == [day["nav"] for day in undisturbed[1:]]
    assert [day["orders"] for day in told] == [day["orders"] for day in undisturbed[1:]]


@pytest.mark.slow
def test_two_runs_started_at_once_make_one_day(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "flows.commands",
        "run",
        "--date",
        FIRST,
        PLAIN,
        "--report",
        "none",
    ]
    environment = {**os.environ, "FUND_HOME": str(tmp_path)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}

    both = [subprocess.Popen(command, cwd=REPOSITORY, env=environment, **quiet) for _ in range(2)]
    told = [process.communicate()[1] for process in both]

    statuses = sorted(process.returncode for process in both)
    assert statuses in ([0, 5], [0, 0]), told  # the later one is refused, or finds the day finished
    with open_world(tmp_path) as world:
        assert [(run.status.value, run.attempt) for run in world.runs.runs()] == [("COMPLETED", 1)] * 3
        assert book_at_close(world).ours == book_at_close(world).broker


# ---------------------------------------------------------------- with Prefect


@pytest.mark.prefect
@pytest.mark.slow
def test_day_with_prefect_is_the_day_without(finished_home: Path, tmp_path: Path) -> None:
    written = tmp_path / "prefect.json"
    command = [sys.executable, "-P", "-m", "flows.commands", "run", "--date", FIRST, "--json", str(written)]
    homes = {"FUND_HOME": str(tmp_path / "home"), "PREFECT_HOME": str(tmp_path / "prefect")}

    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **homes}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    plain, prefect = result(finished_home / "result.json"), result(written)
    assert {name for name in plain if name != "report" and plain[name] != prefect[name]} == set()
    assert plain.keys() == prefect.keys()
