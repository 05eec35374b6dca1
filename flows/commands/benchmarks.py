"""``fund bench NAME``: run one benchmark of ``benchmarks/`` and print its figures beside their targets."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from pathlib import Path
from typing import Annotated, Protocol, cast

import typer

from engine.errors import ConfigurationError
from tasks.options import ROOT

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
FOLDER = ROOT / "benchmarks"

Figure = dict[str, str | float | bool | None]


class Benchmark(Protocol):
    """A module of ``benchmarks/``: `measure` answers its figures."""

    def measure(self) -> list[Figure]:
        """Figures with metric, value, unit, baseline, ratio, target and met."""


@application.callback()
def _commands() -> None:
    """Commands that measure; with one command and no callback its name would be read as its argument."""


@application.command()
def bench(
    name: Annotated[str, typer.Argument(help="which benchmark; without one, they are listed")] = "",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="write the figures as JSON")
    ] = None,
) -> int:
    """Measure where the time goes."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
    if name not in known:
        raise ConfigurationError(f"expected a benchmark among {', '.join(known)}, found {name!r}")
    figures = _load(name).measure()
    result = {
        "name": name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "figures": figures,
    }
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    _print(name, figures)
    return 0


def _load(name: str) -> Benchmark:
    specification = importlib.util.spec_from_file_location(f"benchmarks.{name}", FOLDER / f"{name}.py")
    if specification is None or specification.loader is None:
        raise ConfigurationError(f"expected a readable benchmark {name} in {FOLDER}")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return cast("Benchmark", module)


def _print(name: str, figures: list[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"bench {name}", title_justify="left")
    for column in ("metric", "value", "unit", "target", "met"):
        table.add_column(column, justify="right" if column in ("value", "target") else "left")
    for row in figures:
        target = row.get("target")
        met = row.get("met")
        table.add_row(
            str(row["metric"]),
            f"{float(cast('float', row['value'])):,.3f}",
            str(row["unit"]),
            "" if target is None else f"{float(cast('float', target)):,.3f}",
            "" if met is None else ("yes" if met else "NO"),
        )
    Console().print(table)
