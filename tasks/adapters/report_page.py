"""The day's report as one HTML page that needs nothing but itself.

In the order of the questions a portfolio manager asks: is something wrong, what happened to NAV, what is held and
why, what was traded and what was not, what it cost, what the broker says, what comes next.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.report import DayReport
from tasks.adapters.report_charts import plotly_script
from tasks.adapters.report_halts import halt_section
from tasks.adapters.report_html import Html, element, join
from tasks.adapters.report_sections import (
    cost_section,
    exposure_section,
    job_section,
    note_section,
    order_section,
    reconciliation_section,
    risk_section,
)
from tasks.adapters.report_style import SCRIPT, STYLE
from tasks.adapters.report_tables import bridge_section, history_section, position_section, trade_section
from tasks.adapters.report_text import day_text, is_open, minute_text
from tasks.adapters.report_tiles import summary_tiles

# The browser itself refuses whatever the page might ask of another place.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"

_PLACES = (
    ("nav", "NAV"),
    ("exposure", "Exposure"),
    ("risk", "Risk"),
    ("positions", "Positions"),
    ("trades", "Trades"),
    ("costs", "Costs"),
    ("reconciliation", "Reconciliation"),
    ("jobs", "Jobs"),
    ("notes", "Notes"),
)


def render_page(report: DayReport) -> str:
    """The page of one day; raises `NonFiniteValue` when a number of the report is NaN or infinite."""
    body = element(
        "body",
        _header(report),
        _contents(),
        element("main", summary_tiles(report), _sections(report)),
        _footer(report),
        Html(f'<script type="application/octet-stream" id="plotly">{plotly_script()}</script>'),
        Html(f"<script>{SCRIPT}</script>"),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{_head(report)}{body}</html>\n'


def _head(report: DayReport) -> Html:
    title = f"{report.trade_date} {report.status} {report.account}"
    return join(
        Html('<head><meta charset="utf-8">'),
        Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("title", title),
        Html(f"<style>{STYLE}</style></head>"),
    )


def _header(report: DayReport) -> Html:
    tone = "good" if report.status == "COMPLETED" else "bad" if report.status in _BAD else None
    facts = (
        f"Account {report.account}",
        f"Profile {report.profile}",
        f"Mode {report.mode}",
        f"Decided at {minute_text(report.as_of)}",
        f"Attempt {report.attempt}",
        f"Run {report.run_id}",
    )
    return element(
        "header",
        element("p", "abstractfinance · report of the day", class_="brand"),
        element(
            "div",
            element("h1", day_text(report.trade_date)),
            element("span", report.status, class_=f"badge {tone}" if tone else "badge", data_field="status"),
            class_="title",
        ),
        element("ul", (element("li", fact) for fact in facts), class_="facts"),
        _market(report),
    )


_BAD = ("HALTED", "EMERGENCY", "FAILED")


def _market(report: DayReport) -> Html:
    if report.generated:
        text = (
            f"Generated market, seed {report.seed}: every price on this page is simulated, not one is real."
        )
        return element("p", element("strong", text), class_="banner", role="note")
    return element("p", f"Market: {report.market}.", class_="soft")


def _contents() -> Html:
    links = (element("a", title, href=f"#{name}") for name, title in _PLACES)
    return element("nav", links, aria_label="Parts of the report")


def _sections(report: DayReport) -> Iterator[Html]:
    stopped = any(is_open(halt.status) for halt in report.halts)
    if stopped:
        yield halt_section(report)
    yield bridge_section(report)
    yield history_section(report)
    yield exposure_section(report)
    yield risk_section(report)
    yield position_section(report)
    yield trade_section(report)
    yield order_section(report)
    yield cost_section(report)
    yield reconciliation_section(report)
    if report.halts and not stopped:
        yield halt_section(report)
    yield job_section(report)
    yield note_section(report)


def _footer(report: DayReport) -> Html:
    return element(
        "footer",
        element(
            "p",
            f"Amounts are in USD unless the heading names another unit; times are UTC. Account {report.account},"
            f" seed {report.seed}. The page needs no network.",
        ),
    )
