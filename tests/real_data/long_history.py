"""Long runs over recorded history, checked day by day: ``python -m tests.real_data.long_history --source DIR --docs DIR``.

Each day is driven as ``run --days N`` drives it, with the scripted operator where a person would decide. Afterwards
its recorded valuations are asked: does the bridge close, is NAV the same under each basis of cash, are book and broker
one. The command runs the whole spans and writes what they had to report.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from rich.console import Console

from engine.accounting.cash_bases import BasisNavs, basis_navs
from engine.accounting.nav import ValuationContext
from engine.composition.stages import DayInputs, ValuedFund, day_marks, fx_hedge_instruments
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.money import ZERO
from engine.model.portfolio import CashBasis
from engine.report import FlaggedPrice, OperatorAct, RunList
from flows.commands.progress import DayProgress
from flows.engine import FlowEngine
from flows.planning import trading_days
from flows.trading_days import run_day
from flows.watching import Watcher
from tasks.day import INPUTS
from tasks.options import WorldOptions
from tasks.run_list import run_list
from tasks.runtime import World
from tests.factories import book_at_close, run_id_of, step_outputs
from tests.real_data.build import build_store
from tests.shared_data import REPOSITORY


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Trading days from a date to another, both included."""

    name: str
    first: date
    last: date


WHOLE_SPANS = (
    Span(name="2015-2016", first=date(2015, 1, 5), last=date(2016, 12, 30)),
    Span(name="2018-2019", first=date(2018, 9, 3), last=date(2019, 6, 28)),
)
"""Two calm and two wild years with nearly every row, and ten months of which many futures lack a third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedDay:
    """What one date's records say. Money in USD.

    ``residual`` is the larger of those of its decision and its close; ``bases`` is NAV at the close under each basis.
    """

    trade_date: date
    status: RunStatus
    residual: Decimal
    closing_nav: Decimal
    bases: BasisNavs
    books_agree: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSpan:
    """All days of a span, and what the product itself lists over them."""

    span: Span
    days: tuple[CheckedDay, ...]
    listed: RunList

    @property
    def largest_residual(self) -> Decimal:
        """Largest change of NAV that no cause explains."""
        return max(day.residual for day in self.days)

    @property
    def largest_basis_difference(self) -> Decimal:
        """Largest difference of NAV between two bases of cash."""
        return max(day.bases.spread for day in self.days)

    @property
    def halts(self) -> Counter[str]:
        """Halts by kind; each was answered, or the span would not have gone on."""
        return Counter(act.kind for act in self.listed.acts)


@contextmanager
def history_world(store: Path, span: Span, home: Path) -> Iterator[World]:
    """The world of a span, on the days of a store."""
    world = World(WorldOptions(profile="history", store=store, first=span.first, last=span.last, home=home))
    try:
        yield world
    finally:
        world.close()


def run_span(world: World, span: Span, tell: Callable[[str], None] = lambda _: None) -> CheckedSpan:
    """Run every day of a span and check it; a day that no script may answer ends it."""
    engine = FlowEngine(with_prefect=False)
    watcher = Watcher(DayProgress(console=Console(), silent=True), brief=True)
    plan, days = trading_days(span.first, span.last), []
    for day in plan:
        outcome = run_day(world, engine, day, watcher, scripted=True)
        if outcome.status is not RunStatus.COMPLETED:
            raise AssertionError(f"expected {day} to complete, found {outcome.status.value}: {outcome.text}")
        days.append(checked(world, day, outcome.status))
        tell(f"{day} {days[-1].closing_nav:,.2f} USD, residual {days[-1].residual:f}")
    return CheckedSpan(span=span, days=tuple(days), listed=run_list(world, plan))


def checked(world: World, day: date, status: RunStatus) -> CheckedDay:
    """What the records of a finished date say."""
    funds = {
        kind: decode(ValuedFund, step_outputs(world, day, kind)["nav"])
        for kind in (RunKind.DECISION, RunKind.CLOSE)
    }
    residuals = [abs(fund.bridge.residual) for fund in funds.values() if fund.bridge is not None]
    books = book_at_close(world)
    return CheckedDay(
        trade_date=day,
        status=status,
        residual=max(residuals, default=ZERO),
        closing_nav=funds[RunKind.CLOSE].valuation.nav,
        bases=closing_bases(world, day),
        books_agree=books.ours == books.broker,
    )


def closing_bases(world: World, day: date) -> BasisNavs:
    """NAV at the close of a date under each basis, folded anew from the whole ledger."""
    recorded = world.runs.inputs(run_id_of(world, day, RunKind.CLOSE))[INPUTS]
    inputs = decode(DayInputs, recorded.payload)
    context = ValuationContext(
        trade_date=day,
        as_of=inputs.context.as_of,
        basis=CashBasis.SETTLED,
        fx_hedges=fx_hedge_instruments(world.policy(day)),
    )
    entries = world.ledger.entries(world.account, until=context.as_of)
    return basis_navs(entries, day_marks(inputs), inputs.market.fx, world.contracts, context)


# ---------------------------------------------------------------- the recorded result


def write_record(spans: Sequence[CheckedSpan], docs: Path, commit: str) -> None:
    """Write the table over the spans, and beside it every doubtful price and every act of the script."""
    folder = docs / "history-runs"
    folder.mkdir(parents=True, exist_ok=True)
    for found in spans:
        _write_csv(
            folder / f"{found.span.name}-flagged-prices.csv",
            ("date", "contract", "why", "price", "session", "age_sessions", "exposure_usd", "told"),
            (_flagged_row(day, row) for day, row in found.listed.flagged),
        )
        _write_csv(
            folder / f"{found.span.name}-scripted-acts.csv",
            ("date", "halt", "kind", "choice", "operator", "reason"),
            (_act_row(act) for act in found.listed.acts),
        )
    (docs / "history-runs.md").write_text(record_text(spans, commit), encoding="utf-8")


def record_text(spans: Sequence[CheckedSpan], commit: str) -> str:
    """The record as a page."""
    rows = "\n".join(_span_row(found) for found in spans)
    return f"""# Runs over recorded history

Profile `history`, without Prefect, on the store of the shared market data, made from commit `{commit}` by

    python -m tests.real_data.long_history --source DIR --docs docs

where DIR is the folder of market data. Every day was driven as `./fund run --profile history --days N` drives it, with the scripted operator where a person would decide. The same checks run over parts of the spans with every test run, and over the whole with `FUND_CAMPAIGN=1 ./fund test tests/real_data/test_long_history.py`.

| span | trading days | largest residual of a bridge (USD, limit 0.01) | largest difference of NAV between bases of cash (USD) | days on which book and broker differ | doubtful prices | scripted acts | halts by kind | NAV at the end (USD) |
|---|---|---|---|---|---|---|---|---|
{rows}

The residual is the larger of the decision's and the close's. The bases are NAV by the settled ledger, by the trades alone (no settlement read), and by cash that holds every gain of a future up to its mark.
"""


def _span_row(found: CheckedSpan) -> str:
    name = found.span.name
    flagged = f"[{len(found.listed.flagged)}](history-runs/{name}-flagged-prices.csv)"
    acts = f"[{len(found.listed.acts)}](history-runs/{name}-scripted-acts.csv)"
    halts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.halts.items())) or "none"
    apart = sum(not day.books_agree for day in found.days)
    return (
        f"| {found.span.first} to {found.span.last} | {len(found.days)} | {found.largest_residual:f} | "
        f"{found.largest_basis_difference:f} | {apart} | {flagged} | {acts} | {halts} | {found.days[-1].closing_nav:,.2f} |"
    )


def _flagged_row(day: date, row: FlaggedPrice) -> tuple[object, ...]:
    session = "" if row.session_date is None else row.session_date
    return (
        day,
        row.contract_id,
        row.flag.value,
        row.price,
        session,
        row.age_sessions,
        row.exposure_usd,
        row.told,
    )


def _act_row(act: OperatorAct) -> tuple[object, ...]:
    return act.trade_date, act.halt_id, act.kind, act.choice, act.operator, act.reason


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def main() -> None:
    """Run the whole spans and write their record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of market data")
    parser.add_argument("--docs", type=Path, required=True, help="folder of the record")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="long-history-") as folder:
        store = Path(folder) / "store"
        build_store(options.source, store)
        found = []
        for span in WHOLE_SPANS:
            with history_world(store, span, Path(folder) / span.name) as world:
                found.append(run_span(world, span, print))
    write_record(found, options.docs, _commit())


def _commit() -> str:
    asked = ["git", "-C", str(REPOSITORY), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, check=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
