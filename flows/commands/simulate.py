"""``fund simulate``: execution days on the simulated exchange with faults drawn from seeds, judged by its own books."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import ConfigurationError
from tasks.options import ROOT, fund_home

application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_CAMPAIGN = "tests.simulation.order_days.campaign"
_MODEL = "tests.simulation.model_check"
_SEEDS = re.compile(r"(\d+)\.\.(\d+)")


@application.command()
def simulate(
    seeds: Annotated[
        str, typer.Option(metavar="A..B", help="seeds from A up to, not including, B")
    ] = "0..200",
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
    if model:
        return _in_a_process(_MODEL, "--broken")
    if campaign:
        parts = (fund_home() / "campaign" if folder is None else folder).absolute()
        return _live(
            "--campaign", str(parts), *(() if json_file is None else ("--result", str(json_file.absolute())))
        )
    found = _SEEDS.fullmatch(seeds)
    if found is None or int(found[1]) >= int(found[2]):
        raise ConfigurationError(f"expected seeds like 0..200, the first below the last, found {seeds!r}")
    arguments = ["--seeds", seeds, "--without", without, "--jobs", jobs]
    if json_file is not None:
        arguments += ["--json", str(json_file.absolute())]
    return _live(*arguments)


def _live(*arguments: str) -> int:
    return _in_a_process(_CAMPAIGN, *arguments)


def _in_a_process(module: str, *arguments: str) -> int:
    """A process of its own: the simulation replaces clocks and lines, and nothing of that belongs into this one."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode  # noqa: S603  this interpreter, our module
