"""The list over many days on the terminal: each doubtful contract in one row, each kind of answer with its dates."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path

from rich.console import Console

from engine.report import OperatorAct, RunList
from flows.commands.run_list import print_run_list
from tests.factories_report_parts import flagged

FIRST = date(2018, 9, 3)


def told(listed: RunList) -> str:
    page = StringIO()
    print_run_list(listed, Path("reports/list.json"), Console(file=page, width=110, color_system=None))
    return " ".join(page.getvalue().split())


def run(**parts: object) -> RunList:
    found: dict[str, object] = {"flagged": (), "acts": (), **parts}
    return RunList(
        account="SIM-history-1",
        first=FIRST,
        last=FIRST + timedelta(days=299),
        days=212,
        largest_residual_usd=Decimal("0.000011"),
        **found,  # type: ignore[arg-type]
    )


def test_calm_run_says_so() -> None:
    text = told(run())
    assert "2018-09-03 to 2019-06-29, 212 days" in text
    assert "Every price was trusted." in text
    assert "No halt was answered." in text
    assert text.endswith("reports/list.json")


def test_doubtful_prices_stand_by_contract_with_their_days_and_greatest_age() -> None:
    ages = {0: 1, 1: 2, 5: 1}
    rows = tuple(
        (FIRST + timedelta(days=ahead), flagged("ES", "2900", "870000", age=age))
        for ahead, age in ages.items()
    )
    text = told(run(flagged=(*rows, (FIRST, flagged("VX", "14", "42000")))))
    assert "4 doubtful prices on 3 days" in text
    assert "ES old 3 2018-09-03 2018-09-08 2" in text
    assert "VX jumped 1 2018-09-03 2018-09-03 0" in text


def test_answers_stand_by_operator_and_kind_with_every_date() -> None:
    acts = tuple(
        OperatorAct(
            trade_date=FIRST + timedelta(days=ahead),
            halt_id=f"H-{ahead}",
            kind="stale-mark",
            choice="abandon-day",
            operator="scripted",
            reason="by rule",
        )
        for ahead in (0, 4)
    )
    text = told(run(acts=acts))
    assert "Answers to halts: 2" in text
    assert "scripted answered stale-mark with abandon-day, 2 times: 2018-09-03, 2018-09-07" in text
