"""When the broker is asked again, and about what: the policy alone, on reports of real comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.asking_again import PERHAPS_LATE, may_be_late, next_question
from engine.accounting.break_values import Break, because
from engine.accounting.reconciliation import ReconciliationReport
from engine.model.breaks import BreakKind
from engine.model.halts import HaltKind
from engine.model.portfolio import BrokerSnapshot
from tests.engine.accounting.test_reconciliation import OURS, broker_of, report_on

SIX = datetime(2026, 11, 13, 6, tzinfo=UTC)
AFTER = tuple(timedelta(seconds=seconds) for seconds in (5, 60, 120))


def at(*seconds: float) -> list[datetime]:
    return [SIX + timedelta(seconds=count) for count in seconds]


def without(query: str) -> BrokerSnapshot:
    whole = broker_of(OURS)
    return replace(whole, answered=whole.answered - {query})


def less_cash() -> BrokerSnapshot:
    whole = broker_of(OURS)
    return replace(whole, cash={**whole.cash, "USD": whole.cash["USD"] - 30_000})


def lagging_worth() -> BrokerSnapshot:
    whole = broker_of(OURS)
    return replace(whole, net_liquidation=(whole.net_liquidation or D(0)) * D("1.005"))


LATE = report_on(lagging_worth())


@pytest.mark.parametrize("broker", [without("positions"), without("cash"), less_cash(), lagging_worth()])
def test_figure_that_comes_after_the_fact_or_not_at_all_may_be_late(broker: BrokerSnapshot) -> None:
    assert may_be_late(report_on(broker))


def test_comparison_that_agrees_is_not_asked_about() -> None:
    agrees = report_on(broker_of(OURS))
    assert not may_be_late(agrees)
    assert next_question(agrees, at(0), AFTER) is None


def test_answer_of_another_account_is_no_late_one() -> None:
    report = report_on(broker_of(OURS))
    wrong = because(BreakKind.WRONG_ACCOUNT, "the answer is that of account U9", D(0))
    assert not may_be_late(with_breaks(report, HaltKind.UNANSWERED, wrong.cause))


def with_breaks(report: ReconciliationReport, kind: HaltKind, *causes: BreakKind) -> ReconciliationReport:
    found = Break(
        kind=kind,
        subject="CSPX",
        ours="100 shares",
        broker="60 shares",
        difference_usd=D(40),
        explanations=tuple(because(cause, "told", D(0)) for cause in causes),
    )
    return replace(report, status=LATE.status, breaks=(*report.breaks, found))


@pytest.mark.parametrize(
    ("kind", "causes", "is_late"),
    [
        (HaltKind.FOREIGN_POSITION, (BreakKind.UNLISTED_TRADE,), True),
        (
            HaltKind.FOREIGN_POSITION,
            (BreakKind.SPLIT, BreakKind.MANUAL_TRADE),
            False,
        ),  # its execution is listed
        (HaltKind.FOREIGN_POSITION, (BreakKind.BROKER_LIQUIDATION,), False),
        (HaltKind.FOREIGN_POSITION, (BreakKind.UNKNOWN_CONTRACT,), False),
        (HaltKind.MISSED_FILL, (BreakKind.MISSED_FILL,), False),
        (HaltKind.UNKNOWN_ORDER, (BreakKind.FOREIGN_ORDER,), False),
        (HaltKind.MARK_DIFFERENCE, (BreakKind.MARK_DIFFERENCE,), True),
        (HaltKind.FX_DIFFERENCE, (BreakKind.RATE_DIFFERENCE,), True),
    ],
)
def test_one_difference_that_no_delay_explains_makes_the_whole_stand(
    kind: HaltKind, causes: Sequence[BreakKind], is_late: bool
) -> None:
    """Beside a net liquidation value that may well be late."""
    assert may_be_late(with_breaks(LATE, kind, *causes)) is is_late


def test_only_comparisons_with_the_broker_are_asked_again() -> None:
    assert not PERHAPS_LATE & {HaltKind.STALE_MARK, HaltKind.PRICE_JUMP, HaltKind.STALE_FX, HaltKind.OVERFILL}


@pytest.mark.parametrize(
    ("asked", "following"),
    [
        (at(0), at(5)[0]),
        (at(0, 5), at(60)[0]),
        (at(0, 5, 60), at(120)[0]),
        (at(0, 5, 60, 120), None),
        (at(0, 12), at(60)[0]),  # an answer that took its time moves no later question
        (at(0, 70), at(70)[0]),  # one that is overdue is asked at once
    ],
)
def test_questions_follow_at_their_times_from_the_first(
    asked: list[datetime], following: datetime | None
) -> None:
    assert next_question(LATE, asked, AFTER) == following


def test_nothing_is_asked_at_the_end_of_the_wait_or_later() -> None:
    assert next_question(LATE, at(0, 5), AFTER, until=at(60)[0]) is None
    assert next_question(LATE, at(0, 5), AFTER, until=at(61)[0]) == at(60)[0]


def test_without_times_the_first_difference_stands() -> None:
    assert next_question(LATE, at(0), ()) is None


@given(st.lists(st.integers(1, 600), unique=True, max_size=10), st.lists(st.integers(0, 40), max_size=12))
def test_questions_end_after_their_number_and_never_go_back(seconds: list[int], answers: list[int]) -> None:
    after, asked = [timedelta(seconds=count) for count in sorted(seconds)], at(0)
    for delay in [*answers, *[0] * 12]:
        following = next_question(LATE, asked, after)
        if following is None:
            break
        assert following >= asked[-1]
        asked.append(following + timedelta(seconds=delay))
    assert len(asked) == len(after) + 1
