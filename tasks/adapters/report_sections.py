"""The other parts of the page: exposure, risk, orders, costs, reconciliation, jobs and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from engine.model.money import ZERO
from engine.report import (
    CostView,
    DayReport,
    ReconciliationView,
    RiskView,
)
from tasks.adapters.report_charts import chart, currency_figure, sleeve_figure
from tasks.adapters.report_halts import breaks_table
from tasks.adapters.report_html import Html, Row, bullets, element, figures, table, words
from tasks.adapters.report_tables import section
from tasks.adapters.report_text import (
    NO_BREAK,
    amount,
    bps,
    control_text,
    counted,
    day_text,
    flagged_cells,
    gross_wanted_text,
    group_name,
    minute_text,
    opened,
    percent,
    plain,
    second_text,
    share,
    sleeve_name,
    unhedged_text,
    usd,
)


def exposure_section(report: DayReport) -> Html:
    """Long and short by sleeve; value, hedge and remainder by currency."""
    gross, net = report.gross_exposure, report.net_exposure
    lead = (
        f"Gross {usd(gross, 0)} ({share(gross, report.nav)}), net {usd(net, 0)} ({share(net, report.nav)})."
    )
    if report.nav is None:
        lead = "Not yet valued: the run stopped before NAV was known."
    if not report.exposures and not report.currencies:
        return section(
            "exposure", "Exposure", lead, element("p", "There is no exposure to show.", class_="soft")
        )
    pair = element(
        "div", element("div", _sleeves(report)), element("div", _currencies(report)), class_="pair"
    )
    return section("exposure", "Exposure by sleeve and by currency", lead, pair)


def _sleeves(report: DayReport) -> Iterator[Html]:
    rows = report.exposures
    if not rows:
        yield element("p", "No sleeve holds anything.", class_="soft")
        return
    told = "Long (blue) and short (orange) by sleeve, USD; the number is the net."
    yield chart("sleeves", sleeve_figure(rows), told)
    columns = words("Sleeve"), figures("Long (USD)"), figures("Short (USD)"), figures("Net (USD)"), figures("Gross wanted (USD)")  # fmt: skip
    written: list[Row] = [
        (
            sleeve_name(row.name),
            amount(row.long_usd, 0),
            amount(row.short_usd, 0),
            amount(row.long_usd - row.short_usd, 0),
            gross_wanted_text(row, report.positions),
        )
        for row in rows
    ]
    long, short = _total([row.long_usd for row in rows]), _total([row.short_usd for row in rows])
    total = "All", amount(long, 0), amount(short, 0), amount(long - short, 0), ""
    yield table("Exposure by sleeve", columns, written, total=total, stack=True)


def _currencies(report: DayReport) -> Iterator[Html]:
    foreign = [row for row in report.currencies if row.currency != "USD"]
    if foreign:
        told = "Other currencies than USD: net value (blue), hedge (orange), what remains (diamond and number), USD."
        yield chart("currencies", currency_figure(foreign), told)
    if not report.currencies:
        yield element("p", "No currency exposure.", class_="soft")
        return
    columns = words("Currency"), figures("Cash (own currency)"), figures("Net value (USD)"), figures("Hedge (USD)"), figures("Remaining (USD)")  # fmt: skip
    written = [
        (
            row.currency,
            amount(row.cash, 0),
            amount(row.net_value_usd, 0),
            amount(row.hedge_usd, 0),
            amount(row.remaining_usd, 0),
        )
        for row in report.currencies
    ]
    yield table("Exposure by currency", columns, written, stack=True)


def risk_section(report: DayReport) -> Html:
    """State of risk, in words first."""
    risk = report.risk
    if risk is None:
        return section("risk", "Risk", "Risk was not yet judged: the run stopped before.")
    lead = f"Regime {risk.regime}; targets are scaled by {amount(risk.scale)} ×; {control_text(risk)}."
    columns = words("Measure"), figures("Value")
    return section(
        "risk",
        "Risk state, and why",
        lead,
        element(
            "div",
            element("div", bullets(map(opened, risk.words), "No reason was recorded.")),
            element("div", table("Measures of risk", columns, _measures(risk))),
            class_="pair",
        ),
    )


def _measures(risk: RiskView) -> list[Row]:
    unknown = "history too short"
    return [
        ("Volatility, a year", unknown if risk.volatility is None else percent(risk.volatility)),
        ("Target volatility, a year", percent(risk.volatility_target)),
        ("Volatility is taken from", risk.estimator.replace("_", " ")),
        ("VIX", "no quote" if risk.vix is None else f"{amount(risk.vix)}{NO_BREAK}points"),
        (
            "Return of the day",
            unknown if risk.daily_return is None else percent(risk.daily_return, signed=True),
        ),
        ("Drawdown now", percent(risk.drawdown)),
        ("Deepest drawdown", percent(risk.max_drawdown)),
        ("Scale of the core sleeve", f"{amount(risk.core_scale)}{NO_BREAK}× targets"),
    ]


def order_section(report: DayReport) -> Html:
    """Every child order and every execution, folded away."""
    lead = (
        f"{counted(len(report.orders), 'child order')}, {counted(len(report.fills), 'execution')}. Legs that stood"
        f" without the others of their group, by value and time: {unhedged_text(report)}."
    )
    parts = [*_orders(report), *_fills(report)]
    return section("orders", "Orders and fills", lead, parts, tone="long")


def _orders(report: DayReport) -> Iterator[Html]:
    if not report.orders:
        return
    columns = words("Contract"), words("Side"), figures("Ordered (shares or contracts)"), figures("Filled (shares or contracts)"), figures("Limit (quote units)"), words("Status"), words("Order reference")  # fmt: skip
    rows = [
        (row.contract_id, row.side, plain(row.quantity), plain(row.filled), plain(row.limit_price), row.status, row.order_ref)
        for row in report.orders
    ]  # fmt: skip
    heading = element("summary", counted(len(rows), "order"))
    yield element("details", heading, table("Child orders as they ended", columns, rows, stack=True))


def _fills(report: DayReport) -> Iterator[Html]:
    if not report.fills:
        return
    columns = words("Contract"), words("Side"), figures("Quantity (shares or contracts)"), figures("Price (quote units)"), words("Time"), figures("Commission"), figures("Slippage"), figures("Cost (USD)"), words("Execution")  # fmt: skip
    rows = [
        (
            row.contract_id,
            row.side,
            plain(row.quantity),
            plain(row.price),
            second_text(row.executed_at),
            f"{amount(row.commission)}{NO_BREAK}{row.commission_currency}",
            "no arrival mid" if row.slippage_bps is None else bps(row.slippage_bps, signed=True),
            amount(row.cost_usd),
            row.execution_id,
        )
        for row in report.fills
    ]
    heading = element("summary", counted(len(rows), "execution"))
    yield element("details", heading, table("Executions", columns, rows, stack=True))


def cost_section(report: DayReport) -> Html:
    """What trading cost; a positive number is a cost."""
    costs = report.costs
    total = costs.total_usd
    lead = (
        f"{usd(costs.traded_usd)} were traded, at a cost of {usd(total)}."
        if costs.traded_usd
        else "Nothing was traded."
    )
    columns = words("Item"), figures("Amount")
    return section(
        "costs",
        "Costs",
        lead,
        table("Costs of the day; a positive number is a cost", columns, cost_rows(costs)),
    )


def cost_rows(costs: CostView) -> list[Row]:
    """Items of the costs with their units."""
    return [
        ("Commission", usd(costs.commission_usd)),
        ("Taxes on trades", usd(costs.tax_usd)),
        ("Slippage against the arrival mid", usd(costs.slippage_usd)),
        ("Saved by netting", usd(costs.netting_saved_usd)),
        ("Traded", usd(costs.traded_usd)),
        ("Turnover, of NAV", percent(costs.turnover_fraction)),
    ]


def reconciliation_section(report: DayReport) -> Html:
    """Our NAV against the broker's net liquidation, at the decision and at the close."""
    views = (("At the decision", report.reconciliation), ("At the close", report.closing_reconciliation))
    morning = report.reconciliation
    lead = (
        "The broker was not yet asked."
        if morning is None
        else f"Our book against the broker's account: {morning.status}."
    )
    parts = [element("div", _comparison(title, view)) for title, view in views]
    return section(
        "reconciliation",
        "Reconciliation with the broker",
        lead,
        element("div", parts, class_="pair"),
        *_every_comparison(report),
    )


def _every_comparison(report: DayReport) -> Iterator[Html]:
    """Decision, windows and close in the order of time."""
    columns = words("Time"), words("Run"), words("Verdict"), figures("NAV − net liquidation"), figures("Judged difference")  # fmt: skip
    rows: list[Row] = [
        (
            minute_text(row.at),
            row.run,
            row.status,
            "not known" if row.difference_usd is None else usd(row.difference_usd, signed=True),
            "not known" if row.difference_fraction is None else bps(row.difference_fraction * 10_000),
        )
        for row in report.comparisons
    ]
    if rows:
        yield table("Every comparison of the day", columns, rows)


def _comparison(title: str, view: ReconciliationView | None) -> Iterator[Html]:
    yield element("h3", title)
    if view is None:
        yield element("p", "not yet compared", class_="soft")
        return
    difference = "not known" if view.difference_usd is None else usd(view.difference_usd, signed=True)
    rows: list[Row] = [
        ("Verdict", view.status),
        (
            "Net liquidation at the broker",
            "not reported" if view.net_liquidation is None else usd(view.net_liquidation),
        ),
        ("NAV − net liquidation", difference),
        (
            "The same, of NAV",
            "not known" if view.difference_bps is None else bps(view.difference_bps, signed=True),
        ),
    ]
    rows += [
        (f"of which {'FX' if name == 'fx' else name.replace('_', ' ')}", usd(value, signed=True))
        for name, value in view.buckets.items()
    ]
    yield table(f"Comparison {title[:1].lower()}{title[1:]}", (words("Item"), figures("Amount")), rows)
    if view.breaks:
        yield breaks_table(f"Differences {title[:1].lower()}{title[1:]}", view.breaks)
    else:
        yield element("p", "No position and no balance differs.", class_="soft")


def job_section(report: DayReport) -> Html:
    """Execution jobs and their windows."""
    jobs = sorted(report.jobs, key=lambda job: (job.window_start, job.venue, job.group))
    if not jobs:
        return section("jobs", "Jobs and windows", "No order was planned for any window.")
    columns = words("Venue"), words("Group"), words("Style"), words("Window"), figures("Orders (number)"), words("Status"), words("Job")  # fmt: skip
    rows = [
        (job.venue, group_name(job.group), job.style.replace("_", " ").lower(), f"{minute_text(job.window_start)} to {minute_text(job.window_end)}", str(job.orders), job.status, job.job_id)
        for job in jobs
    ]  # fmt: skip
    lead = f"{counted(len(jobs), 'job')} with {counted(sum(job.orders for job in jobs), 'order')}."
    return section(
        "jobs", "Jobs and windows", lead, table("Execution jobs by window", columns, rows, stack=True)
    )


def note_section(report: DayReport) -> Html:
    """Notes on the data, what operators did, and what comes next."""
    following = (
        "The next run is not scheduled."
        if report.next_run is None
        else f"The next run is on {day_text(report.next_run)}, {minute_text(report.as_of)}."
    )
    return section(
        "notes",
        "Doubtful prices, notes, acts of operators, next run",
        following,
        element("h3", "Prices that were not trusted"),
        _flagged_prices(report),
        element("h3", "Notes on the data"),
        bullets(map(opened, report.notes), "Nothing to note."),
        element("h3", "Acts of operators"),
        bullets(map(opened, report.operator_acts), "No operator acted."),
    )


def _flagged_prices(report: DayReport) -> Html:
    if not report.flagged_prices:
        return element("p", "Every price was of the last session and moved as its class may.", class_="soft")
    columns = words("Contract"), words("Why"), figures("Price (quote units)"), words("Of"), figures("Compared with (quote units)"), figures("Exposure (USD)"), figures("Effect on NAV (USD)"), words("In words")  # fmt: skip
    rows = [(*flagged_cells(row), opened(row.told)) for row in report.flagged_prices]
    return table("Prices that were not trusted", columns, rows, stack=True)


def _total(values: Sequence[Decimal]) -> Decimal:
    return sum(values, ZERO)
