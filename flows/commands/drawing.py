"""Headings, tables and rows of facts on the terminal, readable without colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from engine.report import FlaggedPrice
from tasks.adapters.report_text import flagged_cells

MOST_ROWS = 30
Cells = Sequence[str]


def heading(text: str) -> Text:
    """A bold line after an empty one."""
    return Text(f"\n{text}", style="bold")


def indented(content: Text) -> Padding:
    """Two columns in."""
    return Padding(content, (0, 0, 0, 2))


def more(count: int, what: str) -> Iterator[Text]:
    """How many rows are left out."""
    if count > MOST_ROWS:
        yield Text(f"  and {count - MOST_ROWS} more {what}, on the page", style="dim")


def drawn_table(columns: Cells, rows: Iterable[Cells]) -> Table:
    """A table; a heading that starts with ``>`` aligns right and is never broken."""
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=True, padding=(0, 1), header_style="dim")
    for title in columns:
        right = title.startswith(">")
        drawn.add_column(title.removeprefix(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def pairs(facts: Iterable[tuple[str, str]]) -> Table:
    """Facts in two columns of name and figure."""
    cells = [
        Text(text, style=style) for name, figure in facts for text, style in ((name, "dim"), (figure, "bold"))
    ]
    drawn = Table(box=None, show_header=False, padding=(0, 1), pad_edge=True)
    for start in range(0, len(cells), 4):
        drawn.add_row(*cells[start : start + 4])
    return drawn


def flagged_part(rows: Sequence[FlaggedPrice]) -> Iterator[Text | Table]:
    """Prices that the decision did not trust."""
    if not rows:
        return
    yield heading("Prices that were not trusted")
    yield drawn_table(
        ("Contract", "Why", ">Price", "Of", ">Compared with", ">Exposure (USD)", ">NAV effect (USD)"),
        (flagged_cells(row) for row in rows[:MOST_ROWS]),
    )
    yield from more(len(rows), "doubtful prices")
