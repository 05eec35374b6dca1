"""The list over a run of many days on the terminal: doubtful prices by contract, answers to halts by kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import groupby
from pathlib import Path

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from engine.report import FlaggedPrice, OperatorAct, RunList
from flows.commands.drawing import Cells, drawn_table, heading, indented
from tasks.adapters.report_text import counted, residual_text


def print_run_list(found: RunList, path: Path, console: Console) -> None:
    """Print what the days had to report; ``path`` holds every row."""
    for part in _parts(found, path):
        console.print(part, highlight=False, markup=False)


def _parts(found: RunList, path: Path) -> Iterator[RenderableType]:
    yield heading(f"The run from {found.first} to {found.last}, {counted(found.days, 'day')}")
    yield indented(
        Text(f"Largest change of NAV without a cause: {residual_text(found.largest_residual_usd)} USD.")
    )
    yield from _flagged(found)
    yield from _acts(found)
    yield Text(f"all of it: {path}", overflow="fold")


def _flagged(found: RunList) -> Iterator[RenderableType]:
    if not found.flagged:
        yield indented(Text("Every price was trusted."))
        return
    days = {day for day, _ in found.flagged}
    told = f"{counted(len(found.flagged), 'doubtful price')} on {counted(len(days), 'day')}"
    yield heading(f"Prices that were not trusted: {told}")
    yield drawn_table(
        ("Contract", "Why", ">Days", "First", "Last", ">Oldest (sessions)"), _by_contract(found)
    )


def _by_contract(found: RunList) -> Iterator[Cells]:
    ordered = sorted(found.flagged, key=_contract_and_flag)
    for (contract_id, flag), rows in groupby(ordered, key=_contract_and_flag):
        dated = list(rows)
        oldest = max(row.age_sessions for _, row in dated)
        yield contract_id, flag, str(len(dated)), str(dated[0][0]), str(dated[-1][0]), str(oldest)


def _contract_and_flag(dated: tuple[date, FlaggedPrice]) -> tuple[str, str]:
    return dated[1].contract_id, dated[1].flag.value


def _acts(found: RunList) -> Iterator[RenderableType]:
    if not found.acts:
        yield indented(Text("No halt was answered."))
        return
    yield heading(f"Answers to halts: {len(found.acts)}")
    for (operator, kind, choice), acts in groupby(sorted(found.acts, key=_answer), key=_answer):
        days = [str(act.trade_date) for act in acts]
        yield Padding(
            Text(f"{operator} answered {kind} with {choice}, {len(days)} times: {', '.join(days)}"),
            (0, 0, 0, 2),
        )


def _answer(act: OperatorAct) -> tuple[str, str, str]:
    return act.operator, act.kind, act.choice
