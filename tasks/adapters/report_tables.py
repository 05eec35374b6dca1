"""What happened to NAV, what is held against what is wanted, what was traded and what was not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby

from engine.model.money import ZERO
from engine.report import BridgeView, DayReport, PositionRow, RollRow, TradeRow
from tasks.adapters.report_charts import bridge_figure, chart, history_figure
from tasks.adapters.report_html import (
    Column,
    Html,
    Row,
    element,
    figures,
    framed,
    group_row,
    join,
    table,
    table_row,
    words,
)
from tasks.adapters.report_text import (
    amount,
    bridge_rows,
    component_name,
    counted,
    opened,
    percent,
    plain,
    price_text,
    purpose_name,
    reason_text,
    residual_text,
    signed_quantity,
    sleeve_name,
    sleeve_rank,
    target_text,
    target_weight_text,
    usd,
)

_OPEN_ROWS = 80
_MOVERS = 12
_DECISIONS = {"done": "done", "partly done": "part", "not done": "notdone"}
_DECISION_ORDER = ("done", "partly done", "planned", "not done")


def section(name: str, title: str, lead: str, *content: str | Iterable[str], tone: str | None = None) -> Html:
    """A part of the page with its heading and the one sentence that sums it up."""
    return element(
        "section",
        element("h2", title, id=f"{name}-title"),
        element("p", lead, class_="lead"),
        *content,
        id=name,
        class_=tone,
        aria_labelledby=f"{name}-title",
    )


def bridge_section(report: DayReport) -> Html:
    """Change of NAV by cause, as a waterfall and to the cent."""
    bridge = report.bridge
    if bridge is None:
        known = (
            "not yet valued"
            if report.nav is None
            else f"{usd(report.nav)}; there is no earlier valuation to compare with"
        )
        return section("nav", "What happened to NAV", f"NAV is {known}.", _cash(report))
    change = bridge.closing_nav - bridge.opening_nav
    lead = (
        f"NAV went from {usd(bridge.opening_nav)} on {bridge.opening_date} to {usd(bridge.closing_nav)}:"
        f" {usd(change, signed=True)}."
        f" What no posting explains: {residual_text(bridge.residual)}\u00a0USD."
    )
    drawn = chart(
        "bridge",
        bridge_figure(bridge),
        "Change of NAV by cause, USD. Each bar starts where the one before ended.",
    )
    return section(
        "nav",
        "What happened to NAV",
        lead,
        element("div", element("div", drawn), element("div", _bridge_table(bridge)), class_="pair"),
        _sleeve_table(bridge),
        element(
            "div",
            element("div", _split("Change of NAV by currency", "Currency", bridge.by_currency, str)),
            element("div", _cash(report)),
            class_="pair",
        ),
        _movers(bridge),
    )


def _movers(bridge: BridgeView) -> Html:
    """The instruments that moved NAV most, and the sum of all others."""
    ranked = sorted(bridge.by_instrument.items(), key=lambda part: (-abs(part[1]), part[0]))
    shown, others = ranked[:_MOVERS], ranked[_MOVERS:]
    rows = [(name, amount(value, signed=True)) for name, value in shown]
    if others:
        rest = sum((value for _, value in others), ZERO)
        rows.append((counted(len(others), "other"), amount(rest, signed=True)))
    columns = words("Instrument"), figures("USD")
    return table("Change of NAV by instrument, the largest first", columns, rows) if rows else Html()


def _bridge_table(bridge: BridgeView) -> Html:
    rows: list[Row] = [("NAV at the last valuation", amount(bridge.opening_nav))]
    rows += [
        (component_name(row.component), amount(row.amount_usd, signed=True)) for row in bridge_rows(bridge)
    ]
    rows.append(("Unexplained", residual_text(bridge.residual, signed=True)))
    columns = words("Cause"), figures("USD")
    return table(
        "NAV bridge, to the cent", columns, rows, total=("NAV at this valuation", amount(bridge.closing_nav))
    )


def _sleeve_table(bridge: BridgeView) -> Html:
    """Result of each sleeve, and of which causes; the last row is the bridge's own."""
    causes = [row.component for row in bridge_rows(bridge)]
    titles = [*(component_name(cause) for cause in causes), "All"]
    columns = words("Sleeve"), *(figures(f"{title} (USD)") for title in titles)
    rows = [
        (
            sleeve_name(sleeve),
            *(amount(parts.get(cause, ZERO), signed=True) for cause in causes),
            amount(bridge.by_sleeve[sleeve], signed=True),
        )
        for sleeve, parts in sorted(bridge.sleeve_causes.items(), key=lambda part: sleeve_rank(part[0]))
    ]
    if not rows:
        return Html()
    sums = [amount(row.amount_usd, signed=True) for row in bridge_rows(bridge)]
    whole = amount(sum(bridge.by_sleeve.values(), ZERO), signed=True)
    return table("Change of NAV by sleeve and cause", columns, rows, total=("Fund", *sums, whole), stack=True)


def _split(caption: str, title: str, parts: Mapping[str, Decimal], name: Callable[[str], str]) -> Html:
    rows = [(name(key), amount(value, signed=True)) for key, value in parts.items()]
    return table(caption, (words(title), figures("USD")), rows) if rows else Html()


def _cash(report: DayReport) -> Html:
    rows = [(currency, amount(value)) for currency, value in report.cash_by_currency.items()]
    columns = words("Currency"), figures("Amount (own currency)")
    return table("Cash, each in its own currency", columns, rows) if rows else Html()


def history_section(report: DayReport) -> Html:
    """NAV and exposure of the days before."""
    points = report.history
    if len(points) < 2:
        return section("history", "The days before", "There are too few earlier closes for a chart.")
    change = points[-1].unit_price / points[0].unit_price - 1 if points[0].unit_price else None
    grown = "" if change is None else f" The unit price moved by {percent(change, signed=True)}."
    stressed = sum(point.regime != "NORMAL" for point in points)
    lead = f"{len(points)} closes from {points[0].trade_date} to {points[-1].trade_date}.{grown}"
    shading = f" Shaded: {stressed} days in another regime than NORMAL." if stressed else ""
    text = f"NAV, gross and net exposure in USD at each close; gross is grey, net is orange.{shading}"
    return section("history", "The days before", lead, chart("history", history_figure(report), text))


_POSITION_COLUMNS = (
    words("Instrument"),
    figures("Held (shares or contracts)"),
    figures("Target (shares or contracts)"),
    figures("Price"),
    figures("Exposure (USD)"),
    figures("Weight (% of NAV)"),
    figures("Target (% of NAV)"),
    words("Note"),
)


def position_section(report: DayReport) -> Html:
    """Holdings against targets, by sleeve."""
    rows = sorted(report.positions, key=lambda row: sleeve_rank(row.sleeve))
    sleeves = [(name, tuple(group)) for name, group in groupby(rows, key=lambda row: row.sleeve)]
    if not rows:
        return section("positions", "Positions and targets", "Nothing is held and nothing is wanted.")
    lead = f"{counted(len(rows), 'line')} in {counted(len(sleeves), 'sleeve')}."
    content = _one_table(sleeves) if len(rows) <= _OPEN_ROWS else _folded_tables(sleeves)
    return section("positions", "Positions and targets", lead, content, tone="long")


def _one_table(sleeves: Sequence[tuple[str, Sequence[PositionRow]]]) -> Html:
    parts = [element("tbody", _group(name, rows), role="rowgroup") for name, rows in sleeves]
    return framed("Held and wanted, by sleeve", _POSITION_COLUMNS, parts, stack=True)


def _group(name: str, rows: Sequence[PositionRow]) -> Iterator[Html]:
    yield group_row(_POSITION_COLUMNS, sleeve_name(name), _sum(rows))
    yield from (table_row(_POSITION_COLUMNS, _position(row)) for row in rows)


def _folded_tables(sleeves: Sequence[tuple[str, Sequence[PositionRow]]]) -> Iterator[Html]:
    for name, rows in sleeves:
        heading = element("summary", f"{sleeve_name(name)}: {counted(len(rows), 'line')}, {_sum(rows)}")
        title = f"Held and wanted, {sleeve_name(name)}"
        yield element("details", heading, table(title, _POSITION_COLUMNS, map(_position, rows), stack=True))


def _sum(rows: Sequence[PositionRow]) -> str:
    return f"net {usd(sum((row.exposure_usd for row in rows), ZERO), 0)}"


def _position(row: PositionRow) -> Row:
    price = "not priced" if row.price is None else price_text(row.price, row.price_unit)
    return (
        named(row.name, row.contract_id),
        plain(row.quantity),
        target_text(row),
        price,
        amount(row.exposure_usd, 0),
        amount(row.weight * 100),
        target_weight_text(row),
        _note(row),
    )


def _note(row: PositionRow) -> str:
    if not row.stale_sessions or row.note:
        return row.note
    return f"mark is {row.stale_sessions} session{'s' if row.stale_sessions > 1 else ''} old"


def named(name: str, identity: str) -> Html:
    """A name with its id, once when both are the same."""
    if name == identity:
        return join(name)
    return join(name, " ", element("span", identity, class_="id"))


_TRADE_COLUMNS: tuple[Column, ...] = (
    words("Contract"),
    words("Decision"),
    figures("Wanted (shares or contracts)"),
    figures("Filled (shares or contracts)"),
    figures("Notional (USD)"),
    words("Purpose"),
    words("Sleeves"),
    words("Reason"),
)


def trade_section(report: DayReport) -> Html:
    """Every trade that was considered, with the reason, and the hedges in words."""
    trades = report.trades
    counted = {name: sum(row.decision == name for row in trades) for name in _DECISION_ORDER}
    told = ", ".join(f"{count} {name}" for name, count in counted.items() if count)
    lead = f"{len(trades)} considered: {told}." if trades else "No trade was considered."
    hedges = [element("h3", "Hedges"), element("ul", (element("li", opened(text)) for text in report.hedges))]
    content = _trade_tables(trades) if trades else ()
    return section(
        "trades",
        "Trades done and not done",
        lead,
        content,
        _rolls(report.rolls),
        hedges if report.hedges else (),
        tone="long",
    )


def _rolls(rolls: Sequence[RollRow]) -> Iterator[Html]:
    """Each roll as one row of both its contracts."""
    if not rolls:
        return
    columns = words("Old contract"), words("New contract"), figures("Held (contracts)"), figures("Old filled (contracts)"), figures("New filled (contracts)"), figures("As spreads (contracts)"), figures("Sessions left")  # fmt: skip
    rows = [
        (
            row.old_contract,
            "only closed" if row.new_contract is None else row.new_contract,
            signed_quantity(row.held),
            signed_quantity(row.closed),
            signed_quantity(row.opened),
            amount(row.spreads, 0),
            str(row.days_left),
        )
        for row in rolls
    ]
    yield element("h3", "Rolls into the next contract")
    yield table("Rolls, old and new contract in one row", columns, rows, stack=True)


def _trade_tables(trades: Sequence[TradeRow]) -> Iterator[Html]:
    ordered = sorted(trades, key=lambda row: (_rank(row.decision), -abs(row.notional_usd), row.contract_id))
    if len(ordered) <= _OPEN_ROWS:
        yield table("Trades, with the reason of each", _TRADE_COLUMNS, map(_trade, ordered), stack=True)
        return
    for decision, group in groupby(ordered, key=lambda row: row.decision):
        rows = tuple(group)
        total = usd(sum((abs(row.notional_usd) for row in rows), ZERO), 0)
        heading = element("summary", f"{decision.capitalize()}: {counted(len(rows), 'trade')}, {total}")
        yield element(
            "details", heading, table(f"Trades {decision}", _TRADE_COLUMNS, map(_trade, rows), stack=True)
        )


def _rank(decision: str) -> int:
    return _DECISION_ORDER.index(decision) if decision in _DECISION_ORDER else len(_DECISION_ORDER)


def _trade(row: TradeRow) -> Row:
    sleeves = ", ".join(
        f"{sleeve_name(name)} {signed_quantity(value)}" for name, value in row.sleeves.items()
    )
    return (
        named(row.instrument_id, row.contract_id),
        element("span", row.decision, class_=_DECISIONS.get(row.decision)),
        signed_quantity(row.quantity),
        signed_quantity(row.filled),
        amount(row.notional_usd, 0),
        purpose_name(row.purpose),
        sleeves,
        reason_text(row.reason),
    )
