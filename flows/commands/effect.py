"""What a choice does, shown to the person who makes it: on the terminal, on Prefect's pages, as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from rich import box
from rich.console import Console
from rich.table import Table

from engine.model.encoding import Json, decode, to_json
from engine.report import BreakRow
from state.halts import HaltRecord
from tasks.adapters.report_text import choice_meaning, evidence_text, halt_name, paragraph
from tasks.resolution import ResolutionEffect
from tasks.what_if import PlannedOrder

Row = tuple[str, str, str, str]
WIDTH = 100


def print_halt(halt: HaltRecord, console: Console) -> None:
    """The halt and its evidence."""
    console.print(
        f"{halt.severity.value} {halt.halt_id} of {halt.run_id}: {halt_name(halt.kind)}",
        style="bold",
        highlight=False,
    )
    console.print(f"  {paragraph(halt.message)}", markup=False, highlight=False)
    for row in halt_evidence(halt):
        console.print(f"  - {evidence_text(row)}", markup=False, highlight=False)
    console.print("  choices:")
    for choice in halt.choices:
        console.print(f"    {choice.value}: {choice_meaning(choice.value)}", markup=False, highlight=False)


def print_effect(effect: ResolutionEffect, console: Console) -> None:
    """NAV, balances and orders, before and after."""
    console.print(f"\nEffect of {effect.choice.value}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1))
    for title in ("", "before", "after", "change"):
        table.add_column(title, justify="left" if not title else "right", overflow="fold")
    for row in balance_rows(effect):
        table.add_row(*row)
    console.print(table, width=min(console.width, WIDTH))
    for line in sentences(effect):
        console.print(f"  {line}", markup=False, highlight=False)


def effect_markdown(effect: ResolutionEffect) -> str:
    """The same as an artifact of Prefect."""
    lines = [
        f"# Effect of {effect.choice.value} on {effect.halt_id}",
        "",
        "| | before | after | change |",
        "|---|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in balance_rows(effect)),
        "",
        *(f"- {line}" for line in sentences(effect)),
        "",
        "Resume this run with `confirmed` to make the choice. Silence for 15 minutes changes nothing.",
    ]
    return "\n".join(lines)


def effect_json(effect: ResolutionEffect) -> dict[str, Json]:
    """The same as JSON; money as strings."""
    tree = to_json(effect)
    assert isinstance(tree, dict)
    return tree


def halt_evidence(halt: HaltRecord) -> tuple[BreakRow, ...]:
    """Differences that the halt found; none for a halt that is no difference."""
    return decode(tuple[BreakRow, ...], halt.evidence) if halt.evidence else ()


def balance_rows(effect: ResolutionEffect) -> Iterator[Row]:
    """NAV, then every balance that changes."""
    before, after = effect.nav_before, effect.nav_after
    change = "" if before is None or after is None else money(after - before, signed=True)
    yield (
        "NAV, USD",
        "not known" if before is None else money(before),
        "not known" if after is None else money(after),
        change,
    )
    for cash in effect.cash:
        yield (
            f"cash, {cash.name}",
            money(cash.before),
            money(cash.after),
            money(cash.after - cash.before, signed=True),
        )
    for held in effect.quantities:
        yield (
            f"{held.name}, {held.unit}",
            number(held.before),
            number(held.after),
            number(held.after - held.before, signed=True),
        )


def sentences(effect: ResolutionEffect) -> Iterator[str]:
    """Entries, orders and what remains to be said."""
    for entry in effect.entries:
        yield f"books {entry.kind.value} {entry.entry_id}"
    yield from _order_sentences(effect.orders_before, effect.orders_after)
    if effect.stops:
        yield f"the next attempt would halt again: {effect.stops}"
    yield from effect.notes


def _order_sentences(
    before: Sequence[PlannedOrder] | None, after: Sequence[PlannedOrder] | None
) -> Iterator[str]:
    if before is None and after is None:
        return
    shown_before = "not known" if before is None else f"{len(before)}"
    shown_after = "not known" if after is None else f"{len(after)}"
    yield f"orders of the decision: {shown_before} on the book as it is, {shown_after} after the choice"
    if before is None or after is None:
        return
    now, then = _signed(before), _signed(after)
    changed = [name for name in sorted({*now, *then}) if now.get(name) != then.get(name)]
    for name in changed:
        yield f"{name}: {_order_text(now.get(name))} becomes {_order_text(then.get(name))}"
    if not changed:
        yield "no order changes"


def _signed(orders: Iterable[PlannedOrder]) -> dict[str, PlannedOrder]:
    return {order.contract_id: order for order in orders}


def _order_text(order: PlannedOrder | None) -> str:
    return "no order" if order is None else f"{order.side.value} {number(order.quantity)} {order.unit}"


def money(value: Decimal, *, signed: bool = False) -> str:
    """An amount with cents."""
    return f"{value:+,.2f}" if signed else f"{value:,.2f}"


def number(value: Decimal, *, signed: bool = False) -> str:
    """A quantity without needless zeros."""
    text = f"{value:+,f}" if signed else f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
