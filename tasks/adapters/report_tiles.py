"""The summary of the day: one tile a figure, each with its unit and the exact value of the JSON result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from engine.accounting.uncharged import NavEstimate
from engine.model.encoding import Json
from engine.report import DayReport, ReconciliationView
from tasks.adapters.report_html import Html, element, join
from tasks.adapters.report_json import figure, to_result_json
from tasks.adapters.report_text import amount, bps, minute_text, percent, share


def summary_tiles(report: DayReport) -> Html:
    """Tiles in the order of the questions; ``data-field`` is the figure's path in the JSON result."""
    return element("dl", _tiles(report, to_result_json(report, None)), class_="tiles", aria_label="Summary")


def _tiles(report: DayReport, result: Mapping[str, Json]) -> Iterator[Html]:
    nav, change = report.nav, _change(report)
    yield _nav_tile(report, result)
    tone = None if change is None else "gain" if change > 0 else "loss" if change < 0 else None
    yield _tile(
        "Change of NAV",
        _money(
            result,
            "change.usd",
            change,
            "not yet valued" if nav is None else "no earlier valuation",
            signed=True,
            tone=tone,
        ),
        "the run stopped before" if nav is None else _change_fraction(result),
    )
    yield _tile(
        "Gross exposure",
        _money(
            result, "exposure.gross_usd", None if nav is None else report.gross_exposure, "not yet valued"
        ),
        "the run stopped before" if nav is None else share(report.gross_exposure, nav),
    )
    yield _tile(
        "Net exposure",
        _money(result, "exposure.net_usd", None if nav is None else report.net_exposure, "not yet valued"),
        "the run stopped before" if nav is None else share(report.net_exposure, nav),
    )
    yield _regime_tile(report, result)
    yield _scale_tile(report, result)
    costs = report.costs
    yield _tile(
        "Traded",
        _money(result, "costs.traded_usd", costs.traded_usd),
        f"{percent(costs.turnover_fraction)} of NAV",
    )
    yield _tile(
        "Costs",
        _money(result, "total_cost_usd", costs.total_usd, cents=True),
        _cost_share(report),
    )
    yield _reconciliation_tile(result, report.reconciliation)
    yield _next_tile(report, result)


def _tile(title: str, value: Html, under: Html | str) -> Html:
    content = element("dd", value, class_="value"), element("dd", under, class_="under")
    return element("div", element("dt", title), *content, class_="tile")


def _money(result: Mapping[str, Json], path: str, value: Decimal | None, missing: str = "", *, signed: bool = False, tone: str | None = None, cents: bool = False) -> Html:  # fmt: skip
    if value is None:
        return _fact(result, path, missing)
    # Cents are noise beside millions, and all there is beside a few dollars; the exact value is in data-value.
    decimals = 2 if cents or abs(value) < 10_000 or path in ("nav", "closing_nav", "change.usd") else 0
    return _fact(result, path, amount(value, decimals, signed=signed), "USD", tone)


def _fact(result: Mapping[str, Json], path: str, text: str, unit: str = "", tone: str | None = None) -> Html:
    exact = figure(result, path)
    number = element(
        "span",
        text,
        class_=tone,
        data_field=path,
        data_value=None if exact is None else exact if isinstance(exact, str) else repr(exact),
    )
    return join(number, " ", element("span", unit, class_="unit")) if unit else number


def _change(report: DayReport) -> Decimal | None:
    return None if report.bridge is None else report.bridge.closing_nav - report.bridge.opening_nav


def _nav_tile(report: DayReport, result: Mapping[str, Json]) -> Html:
    """The latest NAV of the day, which is the one that the change beside it leads to."""
    if report.closing_nav is None:
        value = _money(result, "nav", report.nav, "not yet valued")
        return _tile(
            f"NAV at the decision{_estimated(report.estimate)}", value, "not yet valued at the close"
        )
    decided = join("at the decision ", _money(result, "nav", report.nav, "not valued"))
    title = f"NAV at the close{_estimated(report.closing_estimate)}"
    return _tile(title, _money(result, "closing_nav", report.closing_nav), decided)


def _estimated(estimate: NavEstimate | None) -> str:
    """A mark on a NAV that is an estimate; the notes say why."""
    return "" if estimate is None else ", an estimate"


def _change_fraction(result: Mapping[str, Json]) -> Html | str:
    fraction = figure(result, "change.fraction")
    if not isinstance(fraction, float):
        return "nothing to compare with"
    return join(
        _fact(result, "change.fraction", amount(fraction * 100, signed=True), "%"),
        " since the last valuation",
    )


def _regime_tile(report: DayReport, result: Mapping[str, Json]) -> Html:
    risk = report.risk
    if risk is None:
        return _tile("Regime", _fact(result, "risk.regime", "not yet judged"), "the run stopped before")
    tone = "loss" if risk.regime == "CRISIS" else None
    vix = "no VIX" if risk.vix is None else f"VIX {amount(risk.vix)} points"
    return _tile(
        "Regime",
        _fact(result, "risk.regime", risk.regime, tone=tone),
        f"{vix}, drawdown {percent(risk.drawdown)}",
    )


def _scale_tile(report: DayReport, result: Mapping[str, Json]) -> Html:
    risk = report.risk
    if risk is None:
        return _tile("Risk scale", _fact(result, "risk.scale", "not yet decided"), "the run stopped before")
    volatility = "unknown" if risk.volatility is None else percent(risk.volatility, 1)
    return _tile(
        "Risk scale",
        _fact(result, "risk.scale", amount(risk.scale), "× targets"),
        "the day was abandoned: only reductions" if risk.abandoned else f"volatility {volatility} a year",
    )


def _cost_share(report: DayReport) -> str:
    costs = report.costs
    if not costs.traded_usd:
        return "nothing was traded"
    return f"{bps(float(costs.total_usd / costs.traded_usd) * 1e4)} of what was traded"


def _reconciliation_tile(result: Mapping[str, Json], view: ReconciliationView | None) -> Html:
    title = "Reconciliation"
    if view is None:
        return _tile(
            title, _fact(result, "reconciliation.status", "not yet compared"), "the run stopped before"
        )
    tone = "gain" if view.status == "PASS" else "loss"
    if view.difference_usd is None:
        under: str = "difference not known"
    else:
        under = join(
            _fact(result, "reconciliation.difference_usd", amount(view.difference_usd, signed=True), "USD"),
            "" if view.difference_bps is None else f", {bps(view.difference_bps, signed=True)} of NAV",
        )
    return _tile(title, _fact(result, "reconciliation.status", view.status, tone=tone), under)


def _next_tile(report: DayReport, result: Mapping[str, Json]) -> Html:
    if report.next_run is None:
        return _tile("Next run", _fact(result, "next_run", "not scheduled"), "resolve what is open first")
    return _tile(
        "Next run",
        _fact(result, "next_run", f"{report.next_run}"),
        f"{report.next_run:%A}, {minute_text(report.as_of)}",
    )
