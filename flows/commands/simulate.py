"""``fund simulate``: execution days on the simulated exchange with faults drawn from seeds, judged by its own books."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from engine.errors import ConfigurationError
from tasks.options import ROOT, fund_home

application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_CAMPAIGN = "tests.simulation.order_days.campaign"
_MODEL = "tests.simulation.model_check"
_USUAL = "0..200"
_SEEDS = re.compile(r"(\d+)\.\.(\d+)")
_JOBS = re.compile(r"\d+(,\d+)*")

Options: TypeAlias = Mapping[str, object]


@application.callback()
def _commands() -> None:
    """Commands that simulate; with one command and no callback its name would be read as its argument."""


@application.command()
def simulate(
    seeds: Annotated[
        str, typer.Option(metavar="A..B", help=f"seeds from A up to, not including, B [default: {_USUAL}]")
    ] = "",
    without: Annotated[str, typer.Option(metavar="FAULT,...", help="leave these faults out")] = "",
    jobs: Annotated[str, typer.Option(metavar="N,...", help="keep only these jobs of a day")] = "",
    campaign: Annotated[
        bool, typer.Option("--campaign", help="all seeds and all kills; killed at any time it goes on")
    ] = False,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="where the campaign keeps its parts")
    ] = None,
    model: Annotated[
        bool, typer.Option("--model", help="explore every state of the order protocol instead")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the findings as JSON")
    ] = None,
) -> int:
    """Live days under faults: deaths, broken lines, lost messages, bad quotes. 1 when an invariant broke.

    Every failure is printed with the one command that lives its day again. The whole campaign takes hours on two
    processes and writes docs/campaign.json, or the file of --json. --model prints how many states the protocol has,
    how deep they lie and what they break, and what each of some rules with a mistake does.
    """
    drawn: Options = {"--seeds": seeds, "--without": without, "--jobs": jobs}
    whole: Options = {"--folder": folder}
    if model:
        _refuse("--model", {"--campaign": campaign, "--json": json_file, **whole, **drawn})
        return _in_a_process(_MODEL, "--broken")
    result = () if json_file is None else (str(_writable(json_file)),)
    if campaign:
        _refuse("--campaign", drawn)
        parts = (fund_home() / "campaign" if folder is None else folder).absolute()
        return _in_a_process(_CAMPAIGN, "--campaign", str(parts), *("--result" for _ in result), *result)
    _refuse("seeds", whole)
    found = _SEEDS.fullmatch(seeds or _USUAL)
    if found is None or int(found[1]) >= int(found[2]):
        raise ConfigurationError(f"expected seeds like 0..200, the first below the last, found {seeds!r}")
    if jobs and not _JOBS.fullmatch(jobs):
        raise ConfigurationError(f"expected numbers of jobs like 0,2, found {jobs!r}")
    asked = ("--seeds", found[0], "--without", without, "--jobs", jobs)
    return _in_a_process(_CAMPAIGN, *asked, *("--json" for _ in result), *result)


def _refuse(subject: str, options: Options) -> None:
    """Raise for an option that would be overlooked."""
    if given := [name for name, value in options.items() if value]:
        raise ConfigurationError(f"expected {subject} without {', '.join(given)}")


def _writable(path: Path) -> Path:
    """A file's absolute path; refused before the work of minutes rather than after it."""
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"expected --json in a folder that is there; {path.parent} is no folder")
    return path.absolute()


def _in_a_process(module: str, *arguments: str) -> int:
    """A process of its own: the simulation replaces clocks and lines, and nothing of that belongs into this one."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603  this interpreter, our module
