"""HTML that can not be written wrongly: every text is escaped, only `Html` passes as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Content = str | Iterable[str]


def element(tag: str, *children: Content, **attributes: str | None) -> Html:
    """An element; ``class_`` is written ``class``, ``data_field`` is ``data-field``, ``None`` leaves one out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{written}>{join(*children)}</{tag}>")


def join(*children: Content) -> Html:
    """Children one after the other; plain texts are escaped."""
    return Html("".join(_flat(child) for child in children))


def _flat(child: Content) -> str:
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return escape(child)
    return "".join(_flat(item) for item in child)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: its heading says the unit; ``numeric`` aligns right."""

    title: str
    numeric: bool = False


def words(title: str) -> Column:
    """A column of texts."""
    return Column(title=title)


def figures(title: str) -> Column:
    """A column of numbers whose heading names the unit."""
    return Column(title=title, numeric=True)


Row = Sequence[str]


def table(
    caption: str,
    columns: Sequence[Column],
    rows: Iterable[Row],
    *,
    total: Row | None = None,
    stack: bool = False,
) -> Html:
    """A table with caption, column scopes and a row heading in the first cell.

    ``stack`` turns each row into a small card on a narrow screen. The roles keep the table a table for a
    screen reader when its display changes.
    """
    body = element("tbody", [table_row(columns, row) for row in rows], role="rowgroup")
    foot = element("tfoot", table_row(columns, total), role="rowgroup") if total else Html()
    return framed(caption, columns, [body, foot], stack=stack)


def framed(caption: str, columns: Sequence[Column], parts: Content, *, stack: bool = False) -> Html:
    """A table around bodies that are written already, in a frame that scrolls by itself if it must."""
    heads = [
        element("th", column.title, scope="col", role="columnheader", class_=_alignment(column))
        for column in columns
    ]
    head = element("thead", element("tr", heads, role="row"), role="rowgroup")
    whole = element(
        "table", element("caption", caption), head, parts, role="table", class_="stack" if stack else None
    )
    return element("div", whole, class_="frame")


def table_row(columns: Sequence[Column], row: Row) -> Html:
    """One row; its first cell is the heading of the row."""
    first = element("th", row[0], scope="row", role="rowheader")
    cells = [
        element("td", text, role="cell", class_=_alignment(column), data_label=column.title)
        for column, text in zip(columns[1:], row[1:], strict=True)
    ]
    return element("tr", first, cells, role="row")


def group_row(columns: Sequence[Column], title: str, note: str) -> Html:
    """A heading over the rows of one group."""
    return element(
        "tr",
        element(
            "th",
            title,
            " ",
            element("span", note, class_="soft"),
            scope="rowgroup",
            colspan=str(len(columns)),
        ),
        class_="group",
        role="row",
    )


def bullets(items: Iterable[str], empty: str) -> Html:
    """A list of sentences, or the sentence that there is none."""
    written = [element("li", item) for item in items]
    return element("ul", written) if written else element("p", empty, class_="soft")


def _alignment(column: Column) -> str:
    return "number" if column.numeric else "text"
