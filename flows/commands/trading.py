"""``fund run``, ``fund resume`` and ``fund replay``: days of the fund from the command line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import ConfigurationError
from flows.server import begin_slow_starts

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

Profile = Annotated[str, typer.Option(help="profile of config/profiles: fund, history, paper, live")]
Store = Annotated[
    Path | None, typer.Option(help="folder of a market data store; without it the market is generated")
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="seed of the generated market and of the simulated exchange; default: that of the simulated gateway, else 1",
    ),
]
Override = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override one setting, repeatable")
]
Debug = Annotated[bool, typer.Option("--debug", help="show a traceback when something fails", hidden=True)]


@application.command()
def run(  # noqa: PLR0913, PLR0917  one parameter an option: that is how the command line is declared
    day: Annotated[
        str | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="first trade date; default: the latest session"),
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="number of trading days")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="last trade date")] = None,
    profile: Profile = "fund",
    mode: Annotated[
        str | None, typer.Option(help="simulated, dry-run, paper, live; must agree with the profile")
    ] = None,
    store: Store = None,
    seed: Seed = None,
    fault: Annotated[
        str | None,
        typer.Option(help="put a fault into the simulated broker or its data, on the first of the days"),
    ] = None,
    override: Override = None,
    report: Annotated[str | None, typer.Option(help="write pages for: last, all, none")] = None,
    without_prefect: Annotated[
        bool, typer.Option("--without-prefect", help="the same bytes without a flow engine")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the result as JSON; - for stdout")
    ] = None,
) -> int:
    """Value the fund, decide, trade and report one or more days."""
    first, last = parse_day(day, "--date"), parse_day(to, "--to")
    begin_slow_starts(with_prefect=not without_prefect)
    from flows.planning import RunRequest
    from flows.trading_days import run_days

    request = RunRequest(
        profile=_profile(profile, mode),
        mode=mode,
        first=first,
        last=last,
        days=days,
        store=None if store is None else str(store.resolve()),
        seed=seed,
        fault=fault,
        overrides=tuple(override or ()),
        report=report,
        with_prefect=not without_prefect,
    )
    return run_days(request, json_file)


@application.command()
def resume(
    without_prefect: Annotated[
        bool, typer.Option("--without-prefect", help="the same bytes without a flow engine")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the result as JSON; - for stdout")
    ] = None,
) -> int:
    """Go on with the last unfinished day: after a HALT was resolved, or after an interruption."""
    from flows.book import require_book

    require_book()  # nothing is started for a fund that never ran
    begin_slow_starts(with_prefect=not without_prefect)
    from flows.trading_days import resume_days

    return resume_days(not without_prefect, json_file)


@application.command()
def replay(
    run_id: Annotated[str, typer.Argument(help="id of a finished run, as `fund status` lists it")],
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> int:
    """Decide a finished run again from its recorded inputs and compare every byte."""
    from flows.replaying import replay_run

    return replay_run(run_id, as_json=as_json)


def parse_day(text: str | None, option: str) -> date | None:
    """A date of the command line; raises `ConfigurationError` naming the option."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise ConfigurationError(
            f"expected {option} as a date YYYY-MM-DD, for example 2026-11-20, found {text!r}; write it that way"
        ) from error


def _profile(profile: str, mode: str | None) -> str:
    """Without a chosen profile, ``--mode paper`` or ``live`` selects the profile of that name, ``dry-run`` paper's."""
    if profile != "fund" or mode not in ("paper", "live", "dry-run"):
        return profile
    return "paper" if mode == "dry-run" else mode
