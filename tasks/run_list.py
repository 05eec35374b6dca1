"""What a run of many days did not trust and who answered: one list over all of its days, kept beside the reports.

Where nobody sits at the desk, the script answers by rule (R-118); a person who comes back reads here what it did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from engine.composition.stages import ValuedFund
from engine.model.context import RunKind
from engine.model.encoding import decode, to_json
from engine.model.money import ZERO
from engine.report import RunList
from state.runs import run_identifier
from tasks.day import run_key
from tasks.reporting import acts_on, report_paths, write_whole
from tasks.reporting_prices import flagged_prices
from tasks.runtime import World

NAV_STEP = "nav"


def run_list(world: World, days: Sequence[date]) -> RunList:
    """The list over some dates, from what their decisions and closes recorded; what was not run has no rows."""
    decided = [(day, fund) for day in days for fund in _valued(world, day, RunKind.DECISION)]
    closed = [fund for day in days for fund in _valued(world, day, RunKind.CLOSE)]
    residuals = [
        abs(fund.bridge.residual)
        for fund in (*(fund for _, fund in decided), *closed)
        if fund.bridge is not None
    ]
    return RunList(
        account=world.account,
        first=days[0],
        last=days[-1],
        days=len(closed),
        largest_residual_usd=max(residuals, default=ZERO),
        flagged=tuple((day, row) for day, fund in decided for row in flagged_prices(fund, world.contracts)),
        acts=acts_on(world.halts.halts(world.account), days),
    )


def save_run_list(world: World, found: RunList) -> Path:
    """Write the list as JSON beside the reports; answers where."""
    path = report_paths(world, found.last).page.with_name(f"{found.first}_to_{found.last}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(to_json(found), indent=1, ensure_ascii=False) + "\n")
    return path


def _valued(world: World, day: date, kind: RunKind) -> Iterator[ValuedFund]:
    recorded = world.runs.step(run_identifier(run_key(world, day, kind)), NAV_STEP)
    if recorded is not None:
        yield decode(ValuedFund, recorded.output)
