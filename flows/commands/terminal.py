"""The day's report on the terminal: the facts of the page, compact, within 100 columns, readable without colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.accounting.uncharged import NavEstimate
from engine.report import DayReport, HaltView, PositionRow, ReconciliationView
from flows.commands.drawing import MOST_ROWS, Cells, drawn_table, flagged_part, heading, indented, more, pairs
from flows.commands.progress import DayProgress, StepLine
from tasks.adapters.report_text import (
    amount,
    bps,
    bridge_rows,
    choice_meaning,
    component_name,
    control_text,
    day_text,
    evidence_text,
    gross_wanted_text,
    group_name,
    halt_command,
    halt_name,
    is_open,
    minute_text,
    opened,
    paragraph,
    percent,
    plain,
    price_text,
    reason_text,
    residual_text,
    share,
    signed_quantity,
    sleeve_name,
    sleeve_rank,
    target_text,
    unhedged_text,
    usd,
)

__all__ = ["DayProgress", "StepLine", "halt_lines", "print_day_line", "print_report"]

WIDTH = 100
_BAD = ("HALTED", "EMERGENCY", "FAILED")
_DECISION_ORDER = ("done", "partly done", "planned", "not done")


def print_report(report: DayReport, console: Console, page: str | None = None) -> None:
    """Print one day; ``page`` is where its HTML page was written.

    Raises `NonFiniteValue` when a number of the report is NaN or infinite.
    """
    # A narrow terminal wraps; a wide one is not filled; a file has no width of its own.
    narrow_file = not console.is_terminal and console.width < WIDTH
    target = Console(file=console.file, width=WIDTH, color_system=None) if narrow_file else console
    for part in _parts(report, page):
        target.print(part, width=min(target.width, WIDTH), highlight=False, markup=False)


def halt_lines(report: DayReport) -> tuple[str, ...]:
    """Each open halt of a day in one line, for a terminal that gets no report: id, kind, choices, the first answer."""
    return tuple(
        f"{halt.severity} {halt.halt_id}, {halt_name(halt.kind)} ({halt.kind}): choices {', '.join(halt.choices)}; "
        f"answer it with {halt_command(halt, halt.choices[0])}, then ./fund resume"
        for halt in report.halts
        if is_open(halt.status) and halt.choices
    )


def print_day_line(report: DayReport, console: Console) -> None:
    """Print one day as one line: for a run of many days."""
    risk, bridge = report.risk, report.bridge
    earned = None if bridge is None else bridge.unit_return
    change = "" if earned is None else percent(earned, signed=True)
    nav = "not yet valued" if report.nav is None else usd(report.nav, 0)
    state = "not judged" if risk is None else f"{risk.regime} × {amount(risk.scale)}"
    traded = f"traded {usd(report.costs.traded_usd, 0)}"
    line = Text(f"{report.trade_date}  {nav:>18} {change:>9}  {state:<16} {traded:<24} ")
    line.append(report.status, style=_status_style(report.status))
    console.print(line, soft_wrap=True, highlight=False)


def _parts(report: DayReport, page: str | None) -> Iterator[Text | Table | Padding]:
    yield from _header(report)
    yield from _halts(report)
    yield from _bridge(report)
    yield from _exposure(report)
    yield from _risk(report)
    yield from _positions(report)
    yield from _trades(report)
    yield from _costs(report)
    yield from _reconciliation(report)
    yield from _jobs(report)
    yield from flagged_part(report.flagged_prices)
    yield from _words("Notes on the data", report.notes)
    yield from _words("Acts of operators", report.operator_acts)
    yield from _end(report, page)


def _header(report: DayReport) -> Iterator[Text | Table]:
    title = Text(f"\n{day_text(report.trade_date)}  ", style="bold")
    title.append(report.status, style=_status_style(report.status))
    yield title
    yield Text(
        f"{report.account}, profile {report.profile}, mode {report.mode}, attempt {report.attempt}, run {report.run_id}",
        style="dim",
    )
    if report.generated:
        yield Text(
            f"Generated market, seed {report.seed}: every price is simulated, not one is real.",
            style="yellow",
        )
    else:
        yield Text(f"Market: {report.market}.", style="dim")
    yield pairs(_summary(report))


def _summary(report: DayReport) -> Iterator[tuple[str, str]]:
    nav, risk, costs, bridge = report.nav, report.risk, report.costs, report.bridge
    yield "NAV at the decision", _nav(nav, report.estimate)
    yield "NAV at the close", _nav(report.closing_nav, report.closing_estimate)
    change = None if bridge is None else bridge.closing_nav - bridge.opening_nav
    unchanged = "not yet valued" if nav is None else "no earlier valuation"
    yield "Change of NAV", unchanged if change is None else usd(change, signed=True)
    yield "Regime", "not yet judged" if risk is None else risk.regime
    for name, value in (("Gross exposure", report.gross_exposure), ("Net exposure", report.net_exposure)):
        yield name, "not yet valued" if nav is None else f"{usd(value, 0)}, {share(value, nav)}"
    yield "Risk scale", "not yet decided" if risk is None else f"{amount(risk.scale)} × targets"
    yield "Traded", usd(costs.traded_usd, 0)
    yield "Costs", usd(costs.total_usd)
    view = report.reconciliation
    yield "Reconciliation", "not yet compared" if view is None else _verdict(view)


def _nav(nav: Decimal | None, estimate: NavEstimate | None) -> str:
    if nav is None:
        return "not yet valued"
    return usd(nav) if estimate is None else f"{usd(nav)}, an estimate"


def _verdict(view: ReconciliationView) -> str:
    if view.difference_usd is None:
        return f"{view.status}, difference not known"
    return f"{view.status}, {usd(view.difference_usd, signed=True)}"


def _halts(report: DayReport) -> Iterator[Text | Table | Padding]:
    for halt in sorted(report.halts, key=lambda halt: not is_open(halt.status)):
        yield from _halt(halt)


def _halt(halt: HaltView) -> Iterator[Text | Table | Padding]:
    stopped = is_open(halt.status)
    yield Text(f"\n{halt.severity}: {halt_name(halt.kind)}", style="bold red" if stopped else "bold")
    yield indented(Text(paragraph(halt.message)))
    for row in halt.evidence:
        yield indented(Text(f"- {evidence_text(row)}"))
    if not stopped:
        answered = f"answered with {halt.choice or 'no choice on record'} by {halt.operator or 'no operator on record'}"
        yield indented(Text(f"{halt.halt_id}: {answered}; reason: {halt.reason or 'not given'}"))
        return
    yield indented(Text("Answer it with one of these; the first is proposed:"))
    for choice in halt.choices:
        yield indented(Text(halt_command(halt, choice), style="cyan", overflow="fold"))
        yield Padding(Text(choice_meaning(choice), style="dim"), (0, 0, 0, 4))
    yield indented(Text("then ./fund resume"))


def _bridge(report: DayReport) -> Iterator[Text | Table]:
    bridge = report.bridge
    if bridge is None:
        return
    yield heading("What happened to NAV")
    rows = [("NAV at the last valuation", amount(bridge.opening_nav))]
    rows += [
        (component_name(row.component), amount(row.amount_usd, signed=True)) for row in bridge_rows(bridge)
    ]
    rows += [
        ("Unexplained", residual_text(bridge.residual, signed=True)),
        ("NAV at this valuation", amount(bridge.closing_nav)),
    ]
    yield drawn_table(("Cause", ">USD"), rows)


def _exposure(report: DayReport) -> Iterator[Text | Table]:
    if report.exposures:
        yield heading("Exposure by sleeve")
        yield drawn_table(
            ("Sleeve", ">Long (USD)", ">Short (USD)", ">Net (USD)", ">Gross wanted (USD)"),
            (
                (
                    sleeve_name(row.name),
                    amount(row.long_usd, 0),
                    amount(row.short_usd, 0),
                    amount(row.long_usd - row.short_usd, 0),
                    gross_wanted_text(row, report.positions),
                )
                for row in report.exposures
            ),
        )
    if report.currencies:
        yield heading("Exposure by currency")
        yield drawn_table(
            ("Currency", ">Cash (own currency)", ">Net value (USD)", ">Hedge (USD)", ">Remaining (USD)"),
            (
                (
                    row.currency,
                    *(
                        amount(value, 0)
                        for value in (row.cash, row.net_value_usd, row.hedge_usd, row.remaining_usd)
                    ),
                )
                for row in report.currencies
            ),
        )


def _risk(report: DayReport) -> Iterator[Text | Padding]:
    risk = report.risk
    if risk is None:
        return
    yield heading("Risk state, and why")
    volatility = "unknown, history too short" if risk.volatility is None else percent(risk.volatility)
    vix = "no quote" if risk.vix is None else f"{amount(risk.vix)} points"
    yield indented(
        Text(
            f"Volatility {volatility} a year ({risk.estimator.replace('_', ' ')}), target {percent(risk.volatility_target)};"
            f" VIX {vix}; drawdown {percent(risk.drawdown)}, deepest {percent(risk.max_drawdown)};"
            f" {control_text(risk)}."
        )
    )
    for words in risk.words:
        yield indented(Text(f"- {opened(words)}"))


def _positions(report: DayReport) -> Iterator[Text | Table]:
    if not report.positions:
        return
    yield heading("Positions and targets, in shares or contracts")
    largest = sorted(report.positions, key=lambda row: -abs(row.exposure_usd))[:MOST_ROWS]
    shown = sorted(largest, key=lambda row: sleeve_rank(row.sleeve))
    yield drawn_table(
        ("Contract", ">Held", ">Target", ">Price", ">Exposure (USD)", ">% of NAV"), _position_rows(shown)
    )
    yield from more(len(report.positions), "positions with less exposure")


def _position_rows(rows: Sequence[PositionRow]) -> Iterator[Cells]:
    for sleeve, group in groupby(rows, key=lambda row: row.sleeve):
        yield sleeve_name(sleeve), "", "", "", "", ""
        for row in group:
            yield (
                f"  {row.contract_id}",
                plain(row.quantity),
                target_text(row),
                "not priced" if row.price is None else price_text(row.price, row.price_unit),
                amount(row.exposure_usd, 0),
                amount(row.weight * 100),
            )


def _trades(report: DayReport) -> Iterator[Text | Table | Padding]:
    if report.trades:
        yield heading("Trades done and not done, in shares or contracts")
        ordered = sorted(report.trades, key=lambda row: (_rank(row.decision), -abs(row.notional_usd)))
        yield drawn_table(
            ("Contract", "Decision", ">Wanted", ">Filled", ">Notional (USD)", "Reason"),
            (
                (
                    row.contract_id,
                    row.decision,
                    signed_quantity(row.quantity),
                    signed_quantity(row.filled),
                    amount(row.notional_usd, 0),
                    reason_text(row.reason),
                )
                for row in ordered[:MOST_ROWS]
            ),
        )
        yield from more(len(ordered), "trades")
    yield from _words("Hedges", report.hedges)


def _rank(decision: str) -> int:
    return _DECISION_ORDER.index(decision) if decision in _DECISION_ORDER else len(_DECISION_ORDER)


def _costs(report: DayReport) -> Iterator[Text | Table]:
    costs = report.costs
    if not costs.traded_usd:
        return
    yield heading("Costs")
    yield pairs(
        (
            ("Commission", usd(costs.commission_usd)),
            ("Taxes on trades", usd(costs.tax_usd)),
            ("Slippage", usd(costs.slippage_usd)),
            ("Saved by netting", usd(costs.netting_saved_usd)),
            ("Turnover", f"{percent(costs.turnover_fraction)} of NAV"),
            ("Orders and fills", f"{len(report.orders)} orders, {len(report.fills)} executions"),
            ("Legs without the others", unhedged_text(report)),
        )
    )


def _reconciliation(report: DayReport) -> Iterator[Text | Table]:
    views = (("At the decision", report.reconciliation), ("At the close", report.closing_reconciliation))
    rows = [(title, *_compared(view)) for title, view in views if view is not None]
    if rows:
        yield heading("Reconciliation with the broker")
        yield drawn_table(("When", "Verdict", ">Net liquidation (USD)", ">Difference (USD)", ">Of NAV"), rows)


def _compared(view: ReconciliationView) -> Cells:
    return (
        view.status,
        "not reported" if view.net_liquidation is None else amount(view.net_liquidation),
        "not known" if view.difference_usd is None else amount(view.difference_usd, signed=True),
        "not known" if view.difference_bps is None else bps(view.difference_bps, signed=True),
    )


def _jobs(report: DayReport) -> Iterator[Text | Table]:
    if not report.jobs:
        return
    yield heading("Jobs and windows")
    ordered = sorted(report.jobs, key=lambda job: (job.window_start, job.venue, job.group))
    yield drawn_table(
        ("Venue", "Group", "Window", ">Orders", "Status"),
        (
            (
                job.venue,
                group_name(job.group),
                f"{minute_text(job.window_start)} to {minute_text(job.window_end)}",
                str(job.orders),
                job.status,
            )
            for job in ordered
        ),
    )


def _words(title: str, sentences: Iterable[str]) -> Iterator[Text | Padding]:
    told = [indented(Text(f"- {opened(text)}")) for text in sentences]
    if told:
        yield heading(title)
        yield from told


def _end(report: DayReport, page: str | None) -> Iterator[Text]:
    following = (
        "not scheduled"
        if report.next_run is None
        else f"{day_text(report.next_run)}, {minute_text(report.as_of)}"
    )
    yield Text(f"\nNext run: {following}", style="bold")
    if page is not None:
        yield Text(f"Page: {page}", overflow="fold")


def _status_style(status: str) -> str:
    if status in _BAD:
        return "bold white on red"
    return "bold green" if status == "COMPLETED" else "bold yellow"
