"""``fund status`` as a value and on the terminal: what ran, what is halted, what is held, what comes next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.model.context import ControlState, RunKind, RunStatus
from engine.report import ComparisonRow
from flows.book import Book
from flows.commands.effect import money, number
from flows.planning import trading_days
from state.control import ControlRecord
from state.halts import HaltRecord, HaltSeverity
from state.records import Record
from state.runs import RunRecord
from tasks.adapters.report_text import halt_name, paragraph, resolve_command
from tasks.reporting_views import comparison_rows

SHOWN_DAYS = 5
SHOWN_POSITIONS = 20
WIDTH = 100
_NEXT_SEARCHED = timedelta(days=15)
_BAD = (RunStatus.HALTED, RunStatus.EMERGENCY, RunStatus.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run as status lists it."""

    run_id: str
    trade_date: date
    kind: str
    status: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltLine:
    """One open halt and its answers."""

    halt_id: str
    run_id: str
    kind: str
    severity: str
    message: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldingLine:
    """One contract of the book; its exposure is that of the last valuation, ``None`` when it was not in it."""

    contract_id: str
    quantity: Decimal
    exposure_usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One account now. NAV in USD as of ``nav_date``; ``next_step`` says what to do or to wait for.

    ``in_effect`` says since when nothing but what ``control`` allows leaves, or who still may send; empty where
    everything may. ``comparisons`` are those of book and broker on the latest trade date.
    """

    account: str
    control: str
    kill_switch: bool
    control_reason: str
    in_effect: str
    nav: Decimal | None
    nav_date: date | None
    cash: dict[str, Decimal]
    holdings: tuple[HoldingLine, ...]
    runs: tuple[RunLine, ...]
    comparisons: tuple[ComparisonRow, ...]
    halts: tuple[HaltLine, ...]
    next_step: str


def situation(book: Book, account: str) -> Situation:
    """Read the situation of an account from the book."""
    runs = book.runs.runs(account)
    halts = book.halts.open_halts(account)
    control = book.control.control(account)
    worth = next(iter(book.records.latest("nav_history", "trade_date", account=account)), None)
    entries = book.ledger.entries(account)
    now = max((entry.booked_at for entry in entries), default=datetime.now(UTC))
    portfolio = book.ledger.portfolio(account, now)
    exposures = {} if worth is None else _exposures(book.records.rows("positions", run_id=worth["run_id"]))
    return Situation(
        account=account,
        control=control.state.value,
        kill_switch=control.kill_switch,
        control_reason=control.reason if control.kill_switch else "",
        in_effect="" if control.state is ControlState.ACTIVE else in_effect(book, control),
        nav=None if worth is None else Decimal(str(worth["nav"])),
        nav_date=None if worth is None else date.fromisoformat(str(worth["trade_date"])),
        cash=dict(sorted(portfolio.cash.items())),
        holdings=tuple(
            HoldingLine(contract_id=name, quantity=held.quantity, exposure_usd=exposures.get(name))
            for name, held in sorted(portfolio.positions.items())
            if held.quantity != 0
        ),
        runs=_run_lines(runs),
        comparisons=comparison_rows(book.records, _of_the_latest_date(runs)),
        halts=tuple(map(_halt_line, halts)),
        next_step=_next_step(runs, halts, kill_switch=control.kill_switch),
    )


def in_effect(book: Book, control: ControlRecord) -> str:
    """When the last change of what may leave was requested, and since when it holds or who may still be sending."""
    if control.requested_at is None:
        return ""
    asked = f"requested at {control.requested_at:%Y-%m-%d %H:%M:%S}Z"
    if control.is_effective:
        return f"{asked}, effective at {control.effective_at:%H:%M:%S}Z"
    holders = "; ".join(book.control.may_be_sending(control.account)) or "a process that is not recorded"
    return f"{asked}, not effective yet: an order claimed before may still leave, held by {holders}"


def print_situation(found: Situation, console: Console) -> None:
    """One account on the terminal."""
    say = _Printer(console)
    switch = ", kill switch SET" if found.kill_switch else ""
    because = f": {found.control_reason}" if found.control_reason else ""
    say.line(f"{found.account}: {found.control}{switch}{because}", style="bold")
    if found.in_effect:
        say.line(found.in_effect)
    nav = "not yet valued" if found.nav is None else f"{money(found.nav)} USD on {found.nav_date}"
    say.line(f"NAV {nav}")
    say.line("cash " + (", ".join(f"{money(v)} {name}" for name, v in found.cash.items()) or "none"))
    for halt in found.halts:
        say.line(
            f"\n{halt.severity} {halt.halt_id} of {halt.run_id}: {halt_name(halt.kind)}", style="bold red"
        )
        say.line(f"  {paragraph(halt.message)}")
        command = resolve_command(
            halt.halt_id, halt.choices[0], is_emergency=halt.severity == HaltSeverity.EMERGENCY.value
        )
        say.line(f"  choices: {', '.join(halt.choices)}; {command}")
    say.table(
        ("date", "run", "status", ">attempt", "id"),
        [(str(run.trade_date), run.kind, run.status, str(run.attempt), run.run_id) for run in found.runs],
    )
    say.table(
        ("compared with the broker", "run", "verdict", ">judged", ">NAV − NLV, USD"),
        [
            (
                f"{row.at:%Y-%m-%d %H:%M}Z",
                row.run,
                row.status,
                "not known" if row.difference_fraction is None else f"{row.difference_fraction:.4%}",
                "not known" if row.difference_usd is None else money(row.difference_usd),
            )
            for row in found.comparisons
        ],
    )
    say.table(
        ("contract", ">quantity", ">exposure, USD"),
        [
            (
                line.contract_id,
                number(line.quantity),
                "not yet valued" if line.exposure_usd is None else money(line.exposure_usd),
            )
            for line in _largest(found.holdings)
        ],
    )
    if len(found.holdings) > SHOWN_POSITIONS:
        say.line(f"and {len(found.holdings) - SHOWN_POSITIONS} more positions; --json lists them all")
    say.line(f"next: {found.next_step}")


class _Printer:
    """Lines and tables within a hundred columns, without colours or marks of their own."""

    def __init__(self, console: Console) -> None:
        self._console, self._width = console, min(console.width, WIDTH)

    def line(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style=style), width=self._width, highlight=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if not rows:
            return
        drawn = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1))
        for title in columns:
            drawn.add_column(title.removeprefix(">"), justify="right" if title.startswith(">") else "left")
        for row in rows:
            drawn.add_row(*(Text(cell) for cell in row))
        self._console.print(drawn, width=self._width)


def _largest(holdings: Sequence[HoldingLine]) -> Sequence[HoldingLine]:
    ranked = sorted(holdings, key=lambda line: abs(line.exposure_usd or Decimal(0)), reverse=True)
    return ranked[:SHOWN_POSITIONS]


def _exposures(rows: Iterable[Record]) -> dict[str, Decimal]:
    """Exposure by contract of a run's latest attempt; the rows of a contract's sleeves repeat it."""
    found: dict[str, tuple[datetime, Decimal]] = {}
    for row in rows:
        exposure, at = row["position_exposure_usd"], row["at"]
        if exposure is None or not isinstance(at, datetime):
            continue
        name = str(row["contract_id"])
        if name not in found or found[name][0] <= at:
            found[name] = (at, Decimal(str(exposure)))
    return {name: exposure for name, (_, exposure) in found.items()}


def _of_the_latest_date(runs: Sequence[RunRecord]) -> tuple[RunRecord, ...]:
    return tuple(run for run in runs if run.key.trade_date == runs[-1].key.trade_date)


def _run_lines(runs: Sequence[RunRecord]) -> tuple[RunLine, ...]:
    dates = sorted({run.key.trade_date for run in runs})[-SHOWN_DAYS:]
    return tuple(
        RunLine(
            run_id=run.run_id,
            trade_date=run.key.trade_date,
            kind=run.key.kind.value,
            status=run.status.value,
            attempt=run.attempt,
        )
        for run in runs
        if run.key.trade_date in dates
    )


def _halt_line(halt: HaltRecord) -> HaltLine:
    return HaltLine(
        halt_id=halt.halt_id,
        run_id=halt.run_id,
        kind=halt.kind,
        severity=halt.severity.value,
        message=halt.message,
        choices=tuple(choice.value for choice in halt.choices),
    )


def _next_step(runs: Sequence[RunRecord], halts: Sequence[HaltRecord], *, kill_switch: bool) -> str:
    if kill_switch:
        return "nothing is sent until ./fund kill --release --operator NAME --reason WHY"
    if halts:
        return f"resolve {halts[0].halt_id}, then ./fund resume"
    if not runs:
        return "./fund run"
    last = runs[-1].key.trade_date
    today = [run for run in runs if run.key.trade_date == last]
    closed = any(run.key.kind is RunKind.CLOSE and run.status is RunStatus.COMPLETED for run in today)
    if not closed:
        stands = "stopped" if any(run.status in _BAD for run in today) else "is not finished"
        return f"{last} {stands}; ./fund resume goes on"
    following = trading_days(last + timedelta(days=1), last + _NEXT_SEARCHED)
    return f"decision of {following[0]}, 06:00 UTC" if following else "no trading day is known after this one"
