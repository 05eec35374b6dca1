from dataclasses import replace
from datetime import date
from decimal import Decimal as D

import pytest

from engine.errors import ConfigurationError
from engine.execution.jobs import (
    JobPlan,
    followed_fraction,
    generate_intent_id,
    generate_job_id,
    precompute_jobs,
    unworkable,
)
from engine.execution.windows import WindowRules, is_us_underlying, liquidity_window
from engine.model.context import Mode
from engine.model.instruments import CollarClass
from engine.model.orders import Reason, Side, Trade, Urgency
from engine.model.venues import MaintenanceWindow, StyleRule, guarded_start
from engine.model.windows import ExecutionStyle
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
    ("name", "expected", "cutoff"),
    [
        ("CS51", "15:20-15:45", "15:29"),
        ("CSPX", None, None),
        ("MSFT", "19:25-20:15", "19:45"),
        ("ES", None, None),
        ("SPX_OPT", None, None),
    ],
)
def test_close_auction_window(name: str, expected: str | None, cutoff: str | None) -> None:
    # Frankfurt closes at 15:30, New York at 20:00 UTC. CSPX's contract does not list the order type; futures and
    # options never join an auction.
    assert clock(name, CLOSE) == expected
    window = liquidity_window(UNIVERSE[name], DAY, CLOSE, rules())
    assert (None if window is None else f"{window.cutoff:%H:%M}") == cutoff


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


def test_parent_of_a_day_decided_anew_for_another_reason_is_the_same_parent() -> None:
    """After a crash the same contract may be a close or a cut: a parent of its own would be a second order for it."""
    ids = {
        generate_intent_id(context(), "CSPX", reason)
        for reason in (Reason.REBALANCE, Reason.CLOSE, Reason.DERISK, Reason.LIMIT_BREACH, Reason.CRISIS)
    }
    assert len(ids) == 1
    assert generate_intent_id(context(), "CSPX", Reason.HEDGE_FX) not in ids


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
    leg = intent(5000, contract_id="EZU")
    assert followed_fraction(sold, [(leg, D(filled))], PRICES) == D(expected)


def test_hedge_that_does_not_answer_to_a_leg_is_kept_whole() -> None:
    bought = intent(20, Side.BUY, M6E_SEP, reason=Reason.HEDGE_FX)
    leg = intent(5000, contract_id="EZU")
    assert followed_fraction(bought, [(leg, D(0))], PRICES) == 1
    assert followed_fraction(replace(bought, reason=Reason.ROLL), [(leg, D(0))], PRICES) == 1


def test_line_that_is_paid_in_its_own_currency_leaves_the_hedge_whole() -> None:
    """5,000 shares for 250,000 EUR change places with as many euros of cash, whether they are bought or not."""
    sold = intent(20, Side.SELL, M6E_SEP, reason=Reason.HEDGE_FX)
    assert followed_fraction(sold, [(intent(5000, contract_id="CS51"), D(0))], PRICES) == 1


# ---------------------------------------------------------------- styles


def rule(style: ExecutionStyle = CLOSE, **named: object) -> StyleRule:
    lists: dict[str, object] = dict.fromkeys(("instruments", "venues", "asset_classes", "reasons"), ())
    lists["urgencies"] = (Urgency.LOW, Urgency.NORMAL)
    return StyleRule(style=style, **(lists | named))  # type: ignore[arg-type]


def styled(
    *trades: Trade, styles: tuple[StyleRule, ...], table: SessionTable | None = None, **changes: object
) -> JobPlan:
    return precompute_jobs(trades, PRICES, replace(rules(table), styles=styles), context(**changes))


@pytest.mark.parametrize(
    ("name", "reason", "expected", "why"),
    [
        ("MSFT", Reason.REBALANCE, CLOSE, "a share of a venue that takes the order type of every line"),
        ("CS51", Reason.REBALANCE, CLOSE, "its contract lists the order type"),
        ("CSPX", Reason.REBALANCE, MIDDAY, "its contract does not list the order type"),
        (ES_SEP, Reason.REBALANCE, MIDDAY, "futures never join an auction"),
        ("MSFT", Reason.DERISK, MIDDAY, "what has to finish soon does not wait for an auction"),
    ],
)
def test_style_of_a_trade(name: str, reason: Reason, expected: ExecutionStyle, why: str) -> None:
    (job,) = styled(trade(name, -5, reason=reason), styles=(rule(),)).jobs
    assert (job.style, job.window.style) == (expected, expected), why
    assert job.job_id == generate_job_id(context(), job.venue, expected, "strategy", job.group.split("/")[1])


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ({"instruments": ("MSFT",)}, CLOSE),
        ({"instruments": ("CS51",)}, MIDDAY),
        ({"venues": ("NYSE",)}, CLOSE),
        ({"venues": ("XETRA",)}, MIDDAY),
        ({"asset_classes": (CollarClass.STK,)}, CLOSE),
        ({"asset_classes": (CollarClass.ETF,)}, MIDDAY),
        ({"reasons": (Reason.REBALANCE,)}, CLOSE),
        ({"reasons": (Reason.CLOSE,)}, MIDDAY),
        ({"urgencies": (Urgency.HIGH,)}, MIDDAY),
    ],
)
def test_rule_names_a_trade_by_every_list_it_gives(named: dict[str, object], found: ExecutionStyle) -> None:
    assert styled(trade("MSFT", 5), styles=(rule(**named),)).jobs[0].style is found


def test_first_rule_that_names_a_trade_holds() -> None:
    first = rule(ExecutionStyle.OPEN_AUCTION, instruments=("MSFT",))
    assert styled(trade("MSFT", 5), styles=(first, rule())).jobs[0].style is ExecutionStyle.OPEN_AUCTION


def test_what_an_auction_leaves_is_worked_midday_while_that_window_is_open() -> None:
    # New York: cut-off 19:45, MIDDAY until 19:50. Frankfurt: MIDDAY ends at 15:20, before the cut-off at 15:29.
    new_york, frankfurt = (styled(trade(n, 5), styles=(rule(),)).jobs[0] for n in ("MSFT", "CS51"))
    assert new_york.fallback is not None
    assert (new_york.fallback.start, new_york.fallback.end) == (utc(DAY, "13:45"), utc(DAY, "19:50"))
    assert new_york.last_send == utc(DAY, "19:50")
    assert frankfurt.fallback is None
    assert frankfurt.last_send == utc(DAY, "15:29")


def test_late_decision_finds_the_same_jobs_and_drops_only_what_no_window_takes() -> None:
    on_time = styled(trade("MSFT", 5), trade("CS51", 5), styles=(rule(),))
    late = styled(trade("MSFT", 5), trade("CS51", 5), styles=(rule(),), as_of=utc(DAY, "19:47"))
    assert {job.job_id for job in late.jobs} < {job.job_id for job in on_time.jobs}
    assert [(drop.contract_id, drop.reason) for drop in late.skipped] == [
        ("CS51", "the window of XETRA ended at 15:29Z")
    ]


def test_pair_joins_an_auction_with_both_legs_or_with_none() -> None:
    mixed = styled(*PAIR, styles=(rule(),)).jobs
    assert {job.style for job in mixed} == {MIDDAY}
    both = styled(trade("MSFT", 6, group="g"), trade("CS51", -9, group="g"), styles=(rule(),)).jobs
    assert {(job.venue, job.style) for job in both} == {("NYSE", CLOSE), ("XETRA", CLOSE)}
    assert {job.window.cutoff for job in both} == {utc(DAY, "19:45"), utc(DAY, "15:29")}
    assert all(job.fallback is None for job in both), "only one of the legs could go on"


def test_pair_is_not_opened_when_the_windows_of_its_legs_do_not_meet() -> None:
    # London closes at 13:00 on this day, when New York has not opened: [07:15, 12:50] and [13:45, 19:50]
    early = {
        "LSE": (session("LSE", DAY, "07:00", "13:00"),),
        "NYSE": (session("NYSE", DAY, "13:30", "20:00"),),
    }
    table = SessionTable(first=DAY, last=DAY, venues=early)
    pair = (trade("MSFT", 6, group="g"), trade("CSPX", -9, group="g"))
    result = styled(*pair, styles=(), table=table)
    assert result.jobs == ()
    assert {drop.reason for drop in result.skipped} == {"not traded: the windows of its legs do not meet"}
    alone = styled(*(replace(t, reason=Reason.DERISK) for t in pair), styles=(), table=table)
    assert {job.venue for job in alone.jobs} == {"LSE", "NYSE"}, "what obeys a limit goes alone"


def test_pair_is_not_opened_after_one_leg_s_venue_closed_early() -> None:
    early = {
        "LSE": (session("LSE", DAY, "07:00", "11:30"),),
        "XETRA": (session("XETRA", DAY, "07:00", "15:30"),),
    }
    table = SessionTable(first=DAY, last=DAY, venues=early | {"NYSE": ()})
    result = styled(*PAIR, styles=(), table=table, as_of=utc(DAY, "11:25"))
    reasons = {drop.contract_id: drop.reason for drop in result.skipped}
    assert result.jobs == ()
    assert reasons == {
        "CSPX": "the window of LSE ended at 11:20Z",
        "CS51": "not traded without CSPX, whose window ended at 11:20Z",
    }


# ---------------------------------------------------------------- resets of the broker

AWAY = MaintenanceWindow(
    name="away", timezone="Europe/Berlin", days=(0, 1, 2, 3, 4), start="12:00", end="12:30"
)


@pytest.mark.parametrize(
    ("start", "end", "expected", "why"),
    [
        ("12:00", "12:30", "10:30-15:20", "cut in two, the longer part holds: 12:00 in Berlin is 10:00 UTC"),
        ("15:00", "15:30", "07:15-13:00", "the longer part may be the first"),
        ("08:30", "12:30", "10:30-15:20", "the morning is lost"),
        ("17:00", "23:00", "07:15-15:00", "the end is lost"),
        ("08:00", "19:00", None, "nothing is left"),
    ],
)
def test_window_never_meets_a_reset(start: str, end: str, expected: str | None, why: str) -> None:
    away = replace(AWAY, start=start, end=end)
    window = liquidity_window(UNIVERSE["CS51"], DAY, MIDDAY, replace(rules(), resets=(away,)))
    assert (None if window is None else f"{window.start:%H:%M}-{window.end:%H:%M}") == expected, why


def test_auction_that_meets_a_reset_is_left_out() -> None:
    away = replace(AWAY, start="17:40", end="18:00")
    (job,) = precompute_jobs(
        (trade("CS51", 5),), PRICES, replace(rules(), styles=(rule(),), resets=(away,)), context()
    ).jobs
    assert job.style is MIDDAY


@pytest.mark.parametrize(
    ("planned", "starts", "why"),
    [
        ("09:30", "09:30", "before it"),
        ("10:00", "10:30", "as it begins"),
        ("10:29", "10:30", "in it"),
        ("10:30", "10:30", "after it"),
    ],
)
def test_run_waits_for_the_end_of_a_reset(planned: str, starts: str, why: str) -> None:
    assert guarded_start(utc(DAY, planned), (AWAY,)) == utc(DAY, starts), why
