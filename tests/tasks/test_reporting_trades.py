"""What the report says became of a trade."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal as D

import pytest

from engine.composition.trading import TradeDecision
from engine.model.instruments import VenueGroup
from engine.model.orders import ExecutionJob, JobStatus
from engine.model.windows import ExecutionStyle, LiquidityWindow
from state.jobs import JobRecord
from tasks.reporting_trades import trade_outcome

WANTED = TradeDecision(
    contract_id="CSPX", quantity=D(100), notional_usd=D(73_400), done=True, stage="trade", reason="rebalance"
)
WINDOW = LiquidityWindow(
    venue="LSE",
    style=ExecutionStyle.MIDDAY,
    start=datetime(2026, 6, 15, 13, 45, tzinfo=UTC),
    end=datetime(2026, 6, 15, 15, 20, tzinfo=UTC),
)


def job(status: JobStatus, note: str = "") -> JobRecord:
    return JobRecord(
        job=ExecutionJob(
            job_id="job",
            trade_date=WINDOW.start.date(),
            venue="LSE",
            venue_group=VenueGroup.EU,
            style=ExecutionStyle.MIDDAY,
            window=WINDOW,
            group="strategy/core",
            after=(),
            intents=(),
            content_digest="",
        ),
        version=1,
        run_id="run",
        status=status,
        note=note,
    )


@pytest.mark.parametrize(
    ("filled", "record", "closed", "expected", "why"),
    [
        (100, job(JobStatus.DONE), True, ("done", "rebalance"), "all of it"),
        (0, job(JobStatus.PENDING), False, ("planned", "rebalance"), "its window is to come"),
        (0, None, False, ("planned", "rebalance"), "its job is to come"),
        (
            0,
            job(JobStatus.DONE, "CNDX: no quote | CSPX: the market is outside the collar"),
            True,
            ("not done", "rebalance; the market is outside the collar"),
            "the job's note names it",
        ),
        (
            40,
            job(JobStatus.DONE, "CSPX: window closed"),
            True,
            ("partly done", "rebalance; 60 left unfilled: window closed"),
            "a part of it",
        ),
        (40, job(JobStatus.RUNNING), False, ("partly done", "rebalance; 60 left unfilled so far"), "at work"),
        (
            0,
            job(JobStatus.SKIPPED),
            True,
            ("not done", "rebalance; its window until 15:20Z passed before it was worked"),
            "nobody came",
        ),
        (
            0,
            job(JobStatus.PENDING),
            True,
            ("not done", "rebalance; its window until 15:20Z passed before it was worked"),
            "a day that is over plans nothing",
        ),
        (0, None, True, ("not done", "rebalance; the day ended before it had a job"), "no job was made"),
    ],
)
def test_trade_ends_with_its_reason(
    filled: int, record: JobRecord | None, closed: bool, expected: tuple[str, str], why: str
) -> None:
    assert trade_outcome(WANTED, D(filled), None, record, closed) == expected, why


def test_trade_that_was_refused_before_its_job_says_by_whom() -> None:
    why = "the safety check let nothing be sent: trading is disabled"
    assert trade_outcome(WANTED, D(0), why, None, closed=False) == ("not done", f"rebalance; {why}")


def test_trade_that_was_not_wanted_says_at_which_stage() -> None:
    dropped = replace(
        WANTED, done=False, stage="venue", reason="venue closed: LSE does not trade on 2026-08-31"
    )
    assert trade_outcome(dropped, D(0), None, None, closed=True) == (
        "not done",
        "venue: venue closed: LSE does not trade on 2026-08-31",
    )
