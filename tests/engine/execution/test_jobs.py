from dataclasses import replace
from datetime import date
from decimal import Decimal as D

import pytest

from engine.errors import ConfigurationError
from engine.execution.jobs import (
    JobPlan,
    WindowRules,
    followed_fraction,
    generate_job_id,
    is_us_underlying,
    liquidity_window,
    precompute_jobs,
    unworkable,
)
from engine.model.context import Mode
from engine.model.orders import ExecutionStyle, Reason, Side, Trade, Urgency
from engine.sessions import SessionTable
from tests.engine.execution.market import (
    DAY,
    ES_SEP,
    M6E_SEP,
    PRICES,
    UNIVERSE,
    context,
    intent,
    session,
    sessions,
    trade,
    utc,
    window_policies,
)

MIDDAY, CLOSE = ExecutionStyle.MIDDAY, ExecutionStyle.CLOSE_AUCTION


def rules(table: SessionTable | None = None) -> WindowRules:
    return WindowRules(sessions=table or sessions(), policies=window_policies(), new_york="NYSE")


def clock(name: str, style: ExecutionStyle = MIDDAY, table: SessionTable | None = None) -> str | None:
    window = liquidity_window(UNIVERSE[name], DAY, style, rules(table))
    return None if window is None else f"{window.start:%H:%M}-{window.end:%H:%M}"


@pytest.mark.parametrize(
    ("name", "expected", "why"),
    [
        ("CS51", "07:15-15:20", "European line: open + 15, close − 10"),
        ("CSPX", "13:45-15:20", "US underlying: New York's open + 15"),
        ("MSFT", "13:45-19:50", "New York"),
        ("ES", "07:00-20:50", "future: the policy's clock inside the session"),
    ],
)
def test_liquidity_window_calculation(name: str, expected: str, why: str) -> None:
    assert clock(name) == expected, why


def test_window_of_us_underlying_in_the_weeks_when_summer_time_differs() -> None:
    # New York is on summer time (13:30 UTC), Europe is not yet (08:00-16:30 UTC): [13:45, 16:20]
    march = date(2026, 3, 16)
    table = SessionTable(
        first=march,
        last=march,
        venues={
            "LSE": (session("LSE", march, "08:00", "16:30"),),
            "NYSE": (session("NYSE", march, "13:30", "20:00"),),
        },
    )
    window = liquidity_window(UNIVERSE["CSPX"], march, MIDDAY, rules(table))
    assert window is not None
    assert (window.start, window.end) == (utc(march, "13:45"), utc(march, "16:20"))


def test_us_underlying_trades_all_day_when_new_york_is_closed() -> None:
    assert clock("CSPX", table=sessions(frozenset({"NYSE"}))) == "07:15-15:20"


@pytest.mark.parametrize(
    ("name", "expected"), [("CS51", "15:28-15:35"), ("MSFT", "19:25-19:45"), ("ES", None)]
)
def test_close_auction_window(name: str, expected: str | None) -> None:
    # 17:28-17:35 in Frankfurt; New York's limit-on-close leaves before 15:45; futures have no auction job
    assert clock(name, CLOSE) == expected


def test_closed_venue_has_no_window() -> None:
    assert clock("CS51", table=sessions(frozenset({"XETRA"}))) is None


def test_venue_without_policy_is_refused() -> None:
    bare = WindowRules(sessions=sessions(), policies={}, new_york="NYSE")
    with pytest.raises(ConfigurationError, match="LSE or EU"):
        liquidity_window(UNIVERSE["CSPX"], DAY, MIDDAY, bare)


def test_us_underlying_is_told_by_exposure() -> None:
    assert is_us_underlying(UNIVERSE["CSPX"])
    assert not is_us_underlying(UNIVERSE["CS51"])
    assert not is_us_underlying(UNIVERSE["MSFT"])


def plan(*trades: Trade, closed: str | None = None, **changes: object) -> JobPlan:
    table = sessions(frozenset() if closed is None else frozenset({closed}))
    return precompute_jobs(trades, PRICES, rules(table), context(**changes))


PAIR = (trade("CSPX", 60, group="core"), trade("CS51", -250, group="core"))


def test_pair_over_two_venues_is_worked_while_both_trade() -> None:
    jobs = plan(*PAIR).jobs
    assert [job.venue for job in jobs] == ["LSE", "XETRA"]
    assert {(job.window.start, job.window.end) for job in jobs} == {(utc(DAY, "13:45"), utc(DAY, "15:20"))}


def test_pair_is_not_opened_when_one_venue_is_closed() -> None:
    result = plan(*PAIR, closed="XETRA")
    assert result.jobs == ()
    reasons = {s.contract_id: s.reason for s in result.skipped}
    assert "closed" in reasons["CS51"]
    assert "not traded without CS51" in reasons["CSPX"]


def test_reduction_waits_for_its_partner_s_venue_too() -> None:
    cut = (
        trade("CSPX", -60, group="core", reduce_only=True),
        trade("CS51", 250, group="core", reduce_only=True),
    )
    table = sessions(frozenset({"LSE"}))
    found = {item.contract_id: item.reason for item in unworkable(cut, PRICES, rules(table), context())}
    assert found.keys() == {"CSPX", "CS51"}
    assert found["CSPX"] == f"venue closed: LSE does not trade on {DAY}"
    assert found["CS51"].startswith("venue closed: not traded without CSPX")


def test_what_can_be_worked_is_what_gets_a_job() -> None:
    day = (*PAIR, trade("MSFT", 5), trade(ES_SEP, 1))
    for closed in ("LSE", "XETRA", "NYSE", "CME"):
        refused = unworkable(day, PRICES, rules(sessions(frozenset({closed}))), context())
        made = plan(*day, closed=closed)
        assert made.skipped == refused
        worked = {intent.contract_id for job in made.jobs for intent in job.intents}
        assert worked == {t.contract_id for t in day} - {item.contract_id for item in refused}
        assert refused


def test_leg_that_obeys_a_limit_goes_alone() -> None:
    breach = trade("CSPX", -60, group="core", reason=Reason.LIMIT_BREACH)
    assert [j.venue for j in plan(breach, PAIR[1], closed="XETRA").jobs] == ["LSE"]


def test_fx_hedge_comes_after_the_strategy() -> None:
    jobs = plan(trade(M6E_SEP, -4, reason=Reason.HEDGE_FX), *PAIR, trade(ES_SEP, 1)).jobs
    hedge = next(job for job in jobs if job.group.startswith("fx_hedge/"))
    assert set(hedge.after) == {job.job_id for job in jobs if job is not hedge}
    assert all(job.after == () for job in jobs if job is not hedge)


def test_window_that_ended_before_the_decision_is_skipped() -> None:
    result = plan(trade("CSPX", 1), as_of=utc(DAY, "16:00"))
    assert result.jobs == ()
    assert "ended at 15:20Z" in result.skipped[0].reason


def test_identities_ignore_quantities_and_tell_accounts_modes_and_purposes_apart() -> None:
    first, again = plan(*PAIR).jobs, plan(trade("CSPX", 9, group="core"), PAIR[1]).jobs
    assert [j.job_id for j in first] == [j.job_id for j in again]
    assert [i.intent_id for j in first for i in j.intents] == [i.intent_id for j in again for i in j.intents]
    assert first[0].content_digest != again[0].content_digest
    live = context(mode=Mode.LIVE)
    ids = {
        generate_job_id(c, venue, style, book, "g")
        for c in (context(), live, context(account="SIM-2"))
        for venue in ("LSE", "XETRA")
        for style in (MIDDAY, CLOSE)
        for book in ("strategy", "tail")
    }
    assert len(ids) == 3 * 2 * 2 * 2


def test_intent_carries_side_urgency_and_decision_price() -> None:
    job = plan(trade("CS51", -250, reason=Reason.CRISIS)).jobs[0]
    parent = job.intents[0]
    assert (parent.side, parent.quantity, parent.urgency) == (Side.SELL, D(250), Urgency.EMERGENCY)
    assert parent.decision_price == 50


@pytest.mark.parametrize(
    ("filled", "hedge", "expected"),
    [
        (5000, 20, "1"),
        (2500, 20, "0.5"),
        (0, 20, "0"),
        # 40 contracts are 550,000 USD, half of which answers to the leg of 275,000
        (0, 40, "0.5"),
        (2500, 40, "0.75"),
    ],
)
def test_hedge_shrinks_by_what_its_legs_left_unfilled(filled: int, hedge: int, expected: str) -> None:
    sold = intent(hedge, Side.SELL, M6E_SEP, reason=Reason.HEDGE_FX)
    leg = intent(5000, contract_id="CS51")
    assert followed_fraction(sold, [(leg, D(filled))], PRICES) == D(expected)


def test_hedge_that_does_not_answer_to_a_leg_is_kept_whole() -> None:
    bought = intent(20, Side.BUY, M6E_SEP, reason=Reason.HEDGE_FX)
    leg = intent(5000, contract_id="CS51")
    assert followed_fraction(bought, [(leg, D(0))], PRICES) == 1
    assert followed_fraction(replace(bought, reason=Reason.ROLL), [(leg, D(0))], PRICES) == 1
