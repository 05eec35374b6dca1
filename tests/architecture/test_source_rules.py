"""Rules of the whole source: no naive time (ARCH-08), no float where money is stored."""

import ast
import importlib.util
from pathlib import Path

import pytest
from sqlalchemy import Column, Double, Float, MetaData, Numeric, Table, Text
from sqlalchemy.dialects import sqlite

from tests.architecture.source_tree import LAYERS, calls, dotted_name, modules

TIME_CLASSES = {"datetime", "Timestamp", "dt"}
MONEY_WORDS = {
    "amount", "balance", "cash", "commission", "cost", "costs", "fee", "fees", "interest", "margin", "micros",
    "multiplier", "nav", "notional", "pnl", "premium", "price", "proceeds", "quantity", "rate", "value",
}  # fmt: skip

RATIO_WORDS = {"annual", "bps", "fraction", "ratio", "volatility"}


def naive_time_calls(tree: ast.AST) -> list[str]:
    """Return the calls that make a time without a zone."""
    found = []
    for name, call in calls(tree):
        receiver, _, method = name.rpartition(".")
        if receiver.split(".")[-1] not in TIME_CLASSES:
            continue
        zone_given = bool(call.keywords) or len(call.args) > (1 if method == "fromtimestamp" else 0)
        if method in {"utcnow", "utcfromtimestamp"} or (
            method in {"now", "fromtimestamp"} and not zone_given
        ):
            found.append(f"line {call.lineno}: {name}()")
    return found


def inexact_money_columns(metadata: MetaData) -> list[str]:
    """Return the columns that hold money as a float on SQLite, whatever type they are declared with."""
    return [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if _is_inexact(column.type.compile(dialect=sqlite.dialect()), set(column.name.split("_")))
    ]


def _is_inexact(stored_as: str, words: set[str]) -> bool:
    if stored_as.startswith(("NUMERIC", "DECIMAL")):
        return True
    is_float = stored_as.startswith(("FLOAT", "REAL", "DOUBLE"))
    return is_float and bool(words & MONEY_WORDS) and not words & RATIO_WORDS


@pytest.mark.parametrize("path", modules(*LAYERS, "tests"), ids=dotted_name)
def test_module_makes_no_time_without_a_zone(path: Path) -> None:
    assert naive_time_calls(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("datetime.now()", 1),
        ("datetime.datetime.utcnow()", 1),
        ("datetime.fromtimestamp(3)", 1),
        ("pd.Timestamp.now()", 1),
        ("datetime.now(UTC); datetime.now(tz=UTC); datetime.fromtimestamp(3, UTC); clock.now()", 0),
    ],
)
def test_zone_check_tells_naive_from_aware(source: str, count: int) -> None:
    assert len(naive_time_calls(ast.parse(source))) == count


def test_money_columns_are_never_numeric_or_float() -> None:
    if importlib.util.find_spec("state.tables") is None:
        pytest.skip("state.tables is not built yet")
    metadata = importlib.import_module("state.tables").metadata
    assert metadata.tables
    assert inexact_money_columns(metadata) == []


def test_money_check_refuses_floats_for_money_and_allows_them_for_statistics() -> None:
    metadata = MetaData()
    Table(
        "made_up",
        metadata,
        Column("nav", Float),
        Column("fee_eur", Numeric(28, 12)),
        Column("cash_total", Double),
        Column("volatility_annual", Float),
        Column("fee_annual", Float),
        Column("price", Text),
    )
    assert inexact_money_columns(metadata) == ["made_up.nav", "made_up.fee_eur", "made_up.cash_total"]
