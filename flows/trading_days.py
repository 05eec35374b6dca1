"""Days from the command line: decision, execution and close of each, with or without Prefect, and the way back in.

``run`` and ``resume`` drive the same three flows that the deployments run. A run of many days uses the scripted
operator where a person would decide; a single day waits for the person.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from engine.errors import ConfigurationError, RefusedError, StoreError
from engine.model.context import Mode, RunKind, RunStatus
from engine.model.encoding import decode, encode
from engine.report import DayReport
from flows.commands.errors import EXIT_DONE, EXIT_EMERGENCY, EXIT_HALTED, EXIT_REFUSED
from flows.commands.progress import DayProgress
from flows.commands.terminal import print_report
from flows.engine import FlowEngine
from flows.outcome import Outcome
from flows.watching import Watcher
from tasks.adapters.calendars import session_table
from tasks.adapters.report_json import to_result_json
from tasks.adapters.store import store_summary
from tasks.operator import scripted_answer
from tasks.reporting import build_report, report_paths, save_report
from tasks.runtime import World, WorldOptions, fund_home, share

MOST_DAYS = 6_000
SEARCHED_DAYS = 10
REPORTS = ("last", "all", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What ``fund run`` was asked; ``resume`` reads it back from the book."""

    profile: str
    mode: str | None
    first: date | None
    last: date | None
    days: int | None
    store: str | None
    seed: int
    fault: str | None
    overrides: tuple[str, ...]
    report: str | None
    with_prefect: bool


def run_days(request: RunRequest, json_file: Path | None) -> int:
    """Run every wanted trade date in order; answers the exit status of the last one."""
    with day_progress(json_file) as progress:
        plan = planned_days(request)
        with opened(request, plan) as world:
            return drive(world, replace(request, first=plan[0], last=plan[-1]), plan, json_file, progress)


def resume_days(with_prefect: bool, json_file: Path | None) -> int:
    """Go on with the latest unfinished day of this FUND_HOME, then with the days that were left to do."""
    request = last_request()
    with day_progress(json_file) as progress:
        plan = planned_days(request)
        request = replace(request, with_prefect=with_prefect, fault=None)
        with opened(request, plan) as world:
            left = tuple(day for day in plan if not is_closed(world, day))
            if not left:
                print(f"every day up to {plan[-1]} is finished; nothing changed")
                return EXIT_DONE
            return drive(world, request, left, json_file, progress)


def drive(
    world: World, request: RunRequest, plan: tuple[date, ...], json_file: Path | None, progress: DayProgress
) -> int:
    """Run the dates of a plan until one of them stops."""
    engine = FlowEngine(with_prefect=request.with_prefect)
    many, status = len(plan) > 1, EXIT_DONE
    reports: list[DayReport] = []
    outcome = Outcome(run_id="", status=RunStatus.COMPLETED, text="")
    pages = request.report or ("last" if many else "all")
    watcher = Watcher(progress, brief=many)
    with share(world), engine:
        world.observer = watcher.observe
        for day in plan:
            world.runs.record_memory(world.account, "request", day, encode(request))
            watcher.begin_day(day)
            outcome = run_day(world, engine, day, watcher, scripted=many)
            status = exit_status(outcome)
            report = build_report(world, day)
            reports.append(report)
            watcher.end_day(day, outcome.text, halted=outcome.is_halted)
            last = day == plan[-1] or status != EXIT_DONE
            if pages == "all" or (pages == "last" and last):
                save_report(world, report)
            if status != EXIT_DONE:
                break
    tell(world, reports, json_file, outcome)
    return status


def run_day(world: World, engine: FlowEngine, day: date, watcher: Watcher, *, scripted: bool) -> Outcome:
    """Decision, execution, close; with a scripted operator a halt that he may answer is answered."""
    outcome = Outcome(run_id="", status=RunStatus.COMPLETED, text="")
    for kind in (RunKind.DECISION, RunKind.EXECUTION, RunKind.CLOSE):
        outcome = engine.run(kind, world, day)
        while scripted and outcome.is_halted and scripted_answer(world, day):
            outcome = engine.run(kind, world, day)
        if outcome.is_halted or outcome.held:
            return outcome
        watcher.flow_done(kind.value, outcome.text)
    return outcome


def exit_status(outcome: Outcome) -> int:
    """Exit status of the command line for the end of a run."""
    if outcome.held:
        return EXIT_REFUSED
    if outcome.status is RunStatus.EMERGENCY:
        return EXIT_EMERGENCY
    return EXIT_HALTED if outcome.status is RunStatus.HALTED else EXIT_DONE


def is_closed(world: World, day: date) -> bool:
    """Whether the close of a date is finished."""
    return any(
        run.key.trade_date == day and run.status is RunStatus.COMPLETED
        for run in world.runs.runs(world.account, RunKind.CLOSE)
    )


# ---------------------------------------------------------------- which days


def planned_days(request: RunRequest) -> tuple[date, ...]:
    """Trading days of a request; raises `ConfigurationError` naming what is wrong with a date."""
    today = datetime.now(UTC).date()
    if request.report is not None and request.report not in REPORTS:
        raise ConfigurationError(f"expected --report {', '.join(REPORTS)}, found {request.report!r}")
    if request.days is not None and request.last is not None and request.days > 1:
        raise ConfigurationError("expected --days or --to, found both; give one of them")
    newest = newest_date(request, today)
    first = request.first or newest
    if first > today:
        raise ConfigurationError(f"expected a trade date up to today, {today}, found {first} in the future")
    if first > newest:
        raise ConfigurationError(
            f"expected a trade date that the store covers, up to {newest}, found {first}"
        )
    open_days = trading_days(first, (request.last or newest) + timedelta(days=SEARCHED_DAYS))
    if request.first is None:
        open_days = trading_days(first - timedelta(days=SEARCHED_DAYS), first)[-1:]
    elif first not in open_days:
        raise ConfigurationError(not_a_trading_day(first))
    last = request.last or (newest if request.days else open_days[0])
    if last < first and request.first is not None:
        raise ConfigurationError(f"expected --to at or after {first}, found {last}")
    plan = tuple(day for day in open_days if day <= min(last, newest, today))
    wanted = plan[: request.days] if request.days else plan
    if request.days and len(wanted) < request.days:
        raise ConfigurationError(
            f"expected {request.days} trading days from {first}, found {len(wanted)} up to {min(newest, today)}"
        )
    if len(wanted) > MOST_DAYS:
        raise ConfigurationError(f"expected at most {MOST_DAYS} days in one run, found {len(wanted)}")
    return wanted


def newest_date(request: RunRequest, today: date) -> date:
    """Latest date that the market of a request knows."""
    if request.store is None:
        return today
    return min(today, store_summary(Path(request.store)).last_date)


def trading_days(first: date, last: date) -> tuple[date, ...]:
    """Dates on which at least one venue other than the currency market trades (R-24)."""
    table = session_table(first, last, fund_home() / "cache")
    days = [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]
    venues = [venue for venue in table.venues if venue != "FX"]
    return tuple(day for day in days if any(table.is_session(venue, day) for venue in venues))


def not_a_trading_day(day: date) -> str:
    """Why a date is refused, with its neighbours."""
    around = trading_days(day - timedelta(days=SEARCHED_DAYS), day + timedelta(days=SEARCHED_DAYS))
    before = max((d for d in around if d < day), default=None)
    after = min((d for d in around if d > day), default=None)
    return f"expected a trading day, found {day:%A} {day}, on which no venue trades; the nearest are {before} and {after}"


# ---------------------------------------------------------------- the world and what is told


@contextmanager
def opened(request: RunRequest, plan: tuple[date, ...]) -> Iterator[World]:
    """The world of a request, closed at the end."""
    store = None if request.store is None else Path(request.store).resolve()
    if store is not None and not store.exists():
        raise StoreError(
            f"expected a market data store in {store}, found no such folder; build one, or leave --store out"
        )
    world = World(
        WorldOptions(
            profile=request.profile,
            first=plan[0],
            last=plan[-1],
            mode=None if request.mode is None else _mode(request.mode),
            store=store,
            seed=request.seed,
            fault=request.fault,
            overrides=request.overrides,
        )
    )
    try:
        yield world
    finally:
        world.close()


def last_request() -> RunRequest:
    """The request behind the latest run of this FUND_HOME; raises `RefusedError` when there is none."""
    import os

    from state.database import open_database
    from state.runs import RunStore

    database = open_database(os.environ.get("FUND_DATABASE_URL"), fund_home())
    try:
        runs = RunStore(database)
        latest = runs.latest_run()
        payload = (
            None
            if latest is None
            else runs.memory(latest.key.account, "request", latest.key.trade_date + timedelta(days=1))
        )
    finally:
        database.close()
    if payload is None:
        raise RefusedError(
            f"expected a run to go on with in {fund_home()}, found none; start one with ./fund run"
        )
    return decode(RunRequest, payload)


def tell(world: World, reports: list[DayReport], json_file: Path | None, outcome: Outcome) -> None:
    """The last day on the terminal, and the result as JSON where it was asked for."""
    if not reports:
        return
    if json_file is not None:
        results = [to_result_json(report, page_path(world, report)) for report in reports]
        text = json.dumps(results[0] if len(results) == 1 else results, indent=2, ensure_ascii=False)
        if str(json_file) == "-":
            print(text)
            return
        json_file.write_text(text + "\n", encoding="utf-8")
        return
    from rich.console import Console

    print_report(reports[-1], Console())
    page = report_paths(world, reports[-1].trade_date).page
    if page.exists():
        print(f"report: {page}")
    if outcome.is_halted:
        print(f"HALTED: {outcome.text}", file=sys.stderr)


def page_path(world: World, report: DayReport) -> str | None:
    """Path of a day's page, ``None`` when none was written."""
    page = report_paths(world, report.trade_date).page
    return str(page) if page.exists() else None


@contextmanager
def day_progress(json_file: Path | None) -> Iterator[DayProgress]:
    """Live progress on the terminal; silent when the result goes to standard output."""
    from rich.console import Console

    silent = json_file is not None and str(json_file) == "-"
    with DayProgress(console=Console(), silent=silent) as progress:
        yield progress


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError as error:
        raise ConfigurationError(
            f"expected --mode {', '.join(mode.value for mode in Mode)}, found {text!r}"
        ) from error
