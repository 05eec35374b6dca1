"""A statement that contradicts itself says so, each contradiction by its row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from engine.accounting.statement import (
    CashComponent,
    CashKind,
    CashReport,
    Statement,
    StatementPosition,
    contradictions,
)
from tests.engine.accounting.statement_rows import DAY, cash_row, executed, statement

D = Decimal
SOUND = statement(
    trades=(executed("AAPL", "10", "100", commission="1"),),
    cash=(cash_row("7", CashKind.DIVIDEND, "5"),),
    positions=(
        StatementPosition(
            contract_id="AAPL",
            quantity=D(10),
            currency="USD",
            multiplier=D(1),
            unit_mark=D("101"),
            value=D("1010"),
        ),
    ),
    reports=(
        CashReport(
            currency="USD",
            starting=D(5000),
            ending=D(4004),
            components={
                CashComponent.TRADES: D(-1000),
                CashComponent.COMMISSIONS: D(-1),
                CashComponent.DIVIDENDS: D(5),
            },
        ),
    ),
)


def test_sound_statement_has_no_contradiction() -> None:
    assert contradictions(SOUND) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: replace(s, trades=(replace(s.trades[0], proceeds=D(-1001)),)), "10 at 100 is -1000.00, found -1001"),
        (lambda s: replace(s, trades=(*s.trades, *s.trades)), "execution:e1.01 stands there twice"),
        (lambda s: replace(s, trades=()), "trades in USD: the rows sum to 0.00, the cash report says -1000"),
        (lambda s: replace(s, cash=()), "dividends in USD: the rows sum to 0.00, the cash report says 5"),
        (lambda s: replace(s, positions=(replace(s.positions[0], value=D(1000)),)), "10 at 101 is 1010.00, found 1000"),
        (lambda s: replace(s, reports=(replace(s.reports[0], ending=D(4005)),)), "adds up to 4004.00, found 4005"),
        (lambda s: replace(s, reports=()), "there are rows in USD and no cash report of it"),
        (lambda s: replace(s, first=date(2025, 12, 2)), "the period ends on 2025-12-01, before it begins"),
        (lambda s: replace(s, cash=(replace(s.cash[0], value_date=date(2025, 11, 30)),)), "outside 2025-12-01"),
        (lambda s: replace(s, generated_at=s.begins.replace(year=2024)), "before its period began"),
    ],
)  # fmt: skip
def test_altered_statement_names_its_contradiction(
    change: Callable[[Statement], Statement], told: str
) -> None:
    found = contradictions(change(SOUND))
    assert any(told in text for text in found), found


def test_figures_within_a_cent_are_the_brokers_rounding() -> None:
    rounded = replace(SOUND.trades[0], proceeds=D("-1000.009"))
    assert contradictions(replace(SOUND, trades=(rounded,))) == ()
    assert SOUND.covers(DAY)
