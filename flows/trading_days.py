"""Days from the command line: decision, execution and close of each, with or without Prefect, and the way back in.

``run`` and ``resume`` drive the same three flows that the deployments run. A run of many days uses the scripted
operator where a person would decide; a single day waits for the person.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from engine.errors import ConfigurationError, RefusedError
from engine.model.context import Mode, RunKind, RunStatus
from engine.model.encoding import decode, encode
from engine.report import DayReport
from flows.book import open_book
from flows.commands.errors import EXIT_DONE, EXIT_EMERGENCY, EXIT_HALTED
from flows.commands.progress import DayProgress
from flows.commands.run_list import print_run_list
from flows.commands.terminal import halt_lines, print_report
from flows.engine import FlowEngine
from flows.outcome import Outcome
from flows.planning import RunRequest, planned_days
from flows.server import begin_postponed_starts
from flows.watching import Watcher
from state.runs import ClaimOutcome
from tasks.adapters.report_json import to_result_json
from tasks.day import run_key, wall_clock
from tasks.opening import require_claimable
from tasks.operator import scripted_answer
from tasks.options import WorldOptions, fund_home
from tasks.reporting import build_report, report_paths, save_report
from tasks.run_list import run_list, save_run_list
from tasks.runtime import World, share


def run_days(request: RunRequest, json_file: Path | None) -> int:
    """Run every wanted trade date in order; answers the exit status of the last one."""
    require_writable(json_file)
    with day_progress(json_file) as progress:
        plan = planned_days(request)
        request = replace(request, first=plan[0], last=plan[-1], days=None)
        with opened(request, plan) as world:
            request = replace(request, seed=world.seed)
            status = drive(world, request, plan, json_file, progress)
            tell_of_all(world, plan, json_file)
            return status


def resume_days(with_prefect: bool, json_file: Path | None) -> int:
    """Go on with the latest unfinished day of this FUND_HOME, then with the days that were left to do."""
    require_writable(json_file)
    request = last_request()
    with day_progress(json_file) as progress:
        plan = planned_days(request)
        request = replace(request, with_prefect=with_prefect, fault=None)
        with opened(request, plan) as world:
            left = tuple(day for day in plan if not is_closed(world, day)) or plan[-1:]
            status = drive(world, request, left, json_file, progress)
            tell_of_all(world, plan, json_file)
            return status


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
    with share(world):
        world.observer = watcher.observe
        world.require_leave()
        world.outside.check()  # a broken store is found before the first row of a run is written
        for day in plan:
            if day != plan[0]:  # the fault was of the first day; what it did lasts as long as it lasts
                world.options = replace(world.options, fault=None)
            require_claimable(world, day)
            require_unfinished(world, day)
            if not is_closed(world, day):
                world.runs.record_memory(world.account, "request", day, encode(request))
            if not _is_finished(world, day, RunKind.DECISION):
                begin_postponed_starts()
            watcher.begin_day(day)
            outcome = run_day(world, engine, day, watcher, scripted=many)
            if outcome.held:
                raise RefusedError(outcome.text)
            status = exit_status(outcome)
            watcher.end_day(day, outcome.text, halted=outcome.is_halted)
            last = day == plan[-1] or status != EXIT_DONE
            if last or pages == "all" or json_file is not None:  # nobody looks at the others
                reports.append(build_report(world, day))
            if pages == "all" or (pages == "last" and last):
                save_report(world, reports[-1])
            if status != EXIT_DONE:
                break
    tell(world, reports, json_file, outcome)
    return status


def run_day(world: World, engine: FlowEngine, day: date, watcher: Watcher, *, scripted: bool) -> Outcome:
    """Decision, execution, close; with a scripted operator a halt that he may answer is answered."""
    outcome = Outcome(run_id="", status=RunStatus.COMPLETED, text="")
    for kind in kinds_of(world.mode):
        outcome = engine.run(kind, world, day)
        while scripted and outcome.is_halted and scripted_answer(world, day):
            outcome = engine.run(kind, world, day)
        if outcome.is_halted or outcome.held:
            return outcome
        watcher.flow_done(kind.value, outcome.text)
    return outcome


def kinds_of(mode: Mode) -> tuple[RunKind, ...]:
    """The flows of a day in their order; a dry run decides, and then there is nothing to work or to close."""
    return (RunKind.DECISION,) if mode is Mode.DRY_RUN else tuple(RunKind)


def exit_status(outcome: Outcome) -> int:
    """Exit status of the command line for the end of a run that was ours."""
    if outcome.status is RunStatus.EMERGENCY:
        return EXIT_EMERGENCY
    return EXIT_HALTED if outcome.status is RunStatus.HALTED else EXIT_DONE


def is_closed(world: World, day: date) -> bool:
    """Whether the close of a date is finished."""
    return _is_finished(world, day, RunKind.CLOSE)


def _is_finished(world: World, day: date, kind: RunKind) -> bool:
    return world.runs.outlook(run_key(world, day, kind), wall_clock()) is ClaimOutcome.COMPLETED


def require_unfinished(world: World, day: date) -> None:
    """Refuse a fault that would come too late: it strikes before the decision, and this one is made."""
    if world.options.fault is not None and _is_finished(world, day, RunKind.DECISION):
        raise ConfigurationError(
            f"expected a date without a decision for --fault {world.options.fault}, found that {day} is decided and "
            "nothing can strike before it any more; take a later --date, start over with `./fund simulated reset`, "
            "or use another FUND_HOME"
        )


# ---------------------------------------------------------------- the world and what is told


@contextmanager
def opened(request: RunRequest, plan: tuple[date, ...]) -> Iterator[World]:
    """The world of a request, closed at the end."""
    store = None if request.store is None else Path(request.store).resolve()
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
    with open_book() as book:
        latest = book.runs.latest_run()
        payload = (
            None
            if latest is None
            else book.runs.memory(latest.key.account, "request", latest.key.trade_date + timedelta(days=1))
        )
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
        else:
            json_file.write_text(text + "\n", encoding="utf-8")
        for line in halt_lines(reports[-1]) if outcome.is_halted else ():
            print(line, file=sys.stderr)
        return
    from rich.console import Console

    print_report(reports[-1], Console())
    page = report_paths(world, reports[-1].trade_date).page
    if page.exists():
        print(f"report: {page}")
    if outcome.is_halted:
        print(f"HALTED: {outcome.text}", file=sys.stderr)


def tell_of_all(world: World, plan: tuple[date, ...], json_file: Path | None) -> None:
    """What a person may have to look at again of many days: kept beside the reports, and on the terminal."""
    if len(plan) == 1:
        return
    found = run_list(world, plan)
    path = save_run_list(world, found)
    if json_file is None:
        from rich.console import Console

        print_run_list(found, path, Console())


def require_writable(json_file: Path | None) -> None:
    """Raise `ConfigurationError` unless the result can be written where it was asked for."""
    if json_file is None or str(json_file) == "-":
        return
    if json_file.is_dir() or not json_file.absolute().parent.is_dir():
        raise ConfigurationError(
            f"expected --json to name a file in a folder that is there, found {json_file}; make the folder first"
        )


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
