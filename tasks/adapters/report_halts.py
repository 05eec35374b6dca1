"""What stopped the day: the halts, the facts behind them, and the exact lines that answer them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.report import NOT_COMPARED, BreakRow, DayReport, HaltView, PriceFact
from tasks.adapters.report_html import Html, Row, element, figures, join, table, words
from tasks.adapters.report_tables import section
from tasks.adapters.report_text import (
    age_text,
    amount,
    choice_meaning,
    halt_command,
    halt_name,
    is_open,
    last_good_text,
    paragraph,
)

_BREAK_COLUMNS = (
    words("Subject"),
    words("Kind"),
    words("Our book"),
    words("Broker"),
    figures("Difference (USD)"),
    words("Most likely explanation"),
    words("Proposed"),
)
_PRICE_COLUMNS = (
    words("Price of"),
    words("Found"),
    words("Limit"),
    words("Last good price"),
    figures("Exposure (USD)"),
    figures("Of NAV (%)"),
    words("Why"),
    words("Proposed"),
)
_FACT_COLUMNS = (words("Subject"), words("Found"), words("Why"), words("Proposed"))


def halt_section(report: DayReport) -> Html:
    """What stopped the day, its evidence, and the exact lines that clear it."""
    open_halts = [halt for halt in report.halts if is_open(halt.status)]
    if open_halts:
        lead = "Nothing but cancels leaves until this is answered; then ./fund resume goes on from here."
    else:
        lead = "Every halt of the day was answered."
    return section(
        "halts",
        "What stopped the day",
        lead,
        [_halt(halt) for halt in sorted(report.halts, key=lambda halt: not is_open(halt.status))],
        tone="alarm" if open_halts else None,
    )


def _halt(halt: HaltView) -> Html:
    tone = "badge bad" if is_open(halt.status) else "badge"
    return element(
        "article",
        element("h3", element("span", halt.severity, class_=tone), " ", halt_name(halt.kind)),
        element("p", paragraph(halt.message)),
        list(_evidence(halt.evidence)),
        _way_out(halt) if is_open(halt.status) else _answer(halt),
    )


def _evidence(rows: Sequence[BreakRow]) -> Iterator[Html]:
    """Differences from the broker, and prices that can not be trusted, each in a table of its own."""
    prices = [(row, row.price) for row in rows if row.price is not None]
    others = [row for row in rows if row.price is None]
    if prices:
        written = [_doubted(row, fact) for row, fact in prices]
        yield table("Evidence: prices that can not be trusted", _PRICE_COLUMNS, written, stack=True)
    if any(row.broker != NOT_COMPARED for row in others):
        yield breaks_table("Evidence", others)
    elif others:
        facts = [(row.subject, row.ours, row.explanation, row.proposed_choice) for row in others]
        yield table("Evidence", _FACT_COLUMNS, facts, stack=True)


def _doubted(row: BreakRow, fact: PriceFact) -> Row:
    return (
        row.subject,
        row.ours if fact.age is None else f"{age_text(fact)} old",
        fact.limit,
        last_good_text(fact),
        "not valued" if fact.exposure_usd is None else amount(fact.exposure_usd),
        "not valued" if fact.nav_fraction is None else amount(fact.nav_fraction * 100),
        row.explanation,
        row.proposed_choice,
    )


def _way_out(halt: HaltView) -> Html:
    lines = [
        element(
            "div", _command(halt_command(halt, choice)), element("p", choice_meaning(choice), class_="soft")
        )
        for choice in halt.choices
    ]
    return element(
        "div",
        element("p", f"Halt {halt.halt_id} is open. Answer it with one of these; the first is proposed:"),
        lines,
        element("p", "then go on with"),
        _command("./fund resume"),
    )


def _command(line: str) -> Html:
    """A line to copy; on a narrow screen it breaks before an option, never inside one."""
    first, *options = line.split(" --")
    parts = element("span", first), *((" ", element("span", f"--{option}")) for option in options)
    return element(
        "code", *(join(*part) if isinstance(part, tuple) else part for part in parts), class_="command"
    )


def _answer(halt: HaltView) -> Html:
    choice, operator = halt.choice or "no choice on record", halt.operator or "no operator on record"
    return element(
        "p",
        f"Halt {halt.halt_id} was answered with {choice} by {operator}. Reason: {halt.reason or 'not given'}.",
        class_="soft",
    )


def breaks_table(caption: str, rows: Sequence[BreakRow]) -> Html:
    """Differences between our book and the broker's account, each with its most likely explanation."""
    return table(caption, _BREAK_COLUMNS, map(_break, rows), stack=True)


def _break(row: BreakRow) -> Row:
    difference = "not valued" if row.difference_usd is None else amount(row.difference_usd, signed=True)
    return (
        row.subject,
        halt_name(row.kind),
        row.ours,
        row.broker,
        difference,
        row.explanation,
        row.proposed_choice,
    )
