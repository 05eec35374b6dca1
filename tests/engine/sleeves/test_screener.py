from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from engine.model.market import FundamentalRecord
from engine.sleeves.screener import Screen, ScreenInputs, screen_eu_shorts, screen_us_longs
from engine.sleeves.single_name import ScreenSnapshot, choose_leg
from tests.engine.fund_factory import TODAY, history, sleeve_policy

POLICY = sleeve_policy(single_top=3)
NAMES = tuple(f"N{number}" for number in range(6))


def record(name: str, rank: int, **changes: object) -> FundamentalRecord:
    base = FundamentalRecord(
        instrument_id=name,
        period_end=date(2026, 6, 30),
        filed_on=date(2026, 8, 1),
        sector="banks",
        return_on_equity=0.05 * rank,
        gross_profit_to_assets=0.1 * rank,
        debt_to_equity=1.0,
        accruals_to_assets=0.0,
        market_cap_usd=1e9,
        interest_coverage=(5.0, 5.0, 5.0),
        tobin_q=1.0,
    )
    return replace(base, **changes)


def inputs(
    records: tuple[FundamentalRecord, ...] = (), drift: dict[str, float] | None = None
) -> ScreenInputs:
    columns = {name: np.full(260, rate) for name, rate in (drift or {}).items()}
    past = history(columns) if columns else history({}, days=260)
    return ScreenInputs(trade_date=TODAY, candidates=NAMES, history=past, fundamentals=records)


def test_quality_ranks_the_better_company_first() -> None:
    records = tuple(record(name, rank) for rank, name in enumerate(NAMES))
    assert screen_us_longs(inputs(records), POLICY).names == ("N5", "N4", "N3")


def test_score_is_the_weighted_mean_of_the_known_factors() -> None:
    records = tuple(record(name, rank) for rank, name in enumerate(NAMES))
    screen = screen_us_longs(inputs(records), POLICY)
    # Ranks 0..5 have mean 2.5 and deviation √(17.5/6); two of quality's four figures differ, size does not.
    quality = (5 - 2.5) / (17.5 / 6) ** 0.5 * 2 / 4
    weights = POLICY.single_long_factors
    expected = quality * weights["quality"] / (weights["quality"] + weights["size"])
    assert screen.scores[0] == pytest.approx(expected, rel=1e-11)
    assert len(screen.scores) == len(screen.names)


def test_equal_scores_are_ordered_by_id() -> None:
    records = tuple(record(name, 1) for name in reversed(NAMES))
    assert screen_us_longs(inputs(records), POLICY).names == ("N0", "N1", "N2")


def test_momentum_alone_serves_where_no_accounts_exist_and_says_so() -> None:
    drift = {name: 0.0001 * rank for rank, name in enumerate(NAMES)}
    screen = screen_us_longs(inputs(drift=drift), POLICY)
    assert (screen.names, screen.is_valid) == (("N5", "N4", "N3"), True)
    assert screen.notes == ("long screen: no data for quality, size; the other factors carry the weight",)


def test_weakness_prefers_falling_names_for_shorts() -> None:
    drift = {name: 0.0005 * (rank - 3) for rank, name in enumerate(NAMES)}
    assert screen_eu_shorts(inputs(drift=drift), POLICY).names == ("N0", "N1", "N2")


def test_momentum_skips_the_last_month() -> None:
    steady, late = np.full(260, 0.0), np.full(260, 0.0)
    steady[:-30], late[-21:] = 0.0005, 0.05
    past = history({"N0": steady, "N1": late})
    screen = screen_us_longs(
        ScreenInputs(trade_date=TODAY, candidates=("N0", "N1"), history=past, fundamentals=()), POLICY
    )
    assert screen.names == ("N0", "N1")


def test_zombie_needs_three_poor_years_and_a_low_q() -> None:
    poor = (0.5, 0.9, 0.2)
    records = (
        record("N0", 1, interest_coverage=(0.5, 0.9, 1.2), tobin_q=0.5),
        record("N1", 1, interest_coverage=poor, tobin_q=2.0),
        record("N2", 1, interest_coverage=poor, tobin_q=0.5),
        record("N3", 1),
        record("N4", 1),
        record("N5", 1, sector="software"),
    )
    screen = screen_eu_shorts(inputs(records), POLICY)
    assert screen.names[0] == "N2"
    assert "N5" not in screen.names


def test_accounts_filed_later_are_not_seen() -> None:
    known = tuple(record(name, rank) for rank, name in enumerate(NAMES))
    later = tuple(record(name, -rank, filed_on=TODAY + timedelta(days=1)) for rank, name in enumerate(NAMES))
    assert screen_us_longs(inputs(known + later), POLICY).names == ("N5", "N4", "N3")


def test_name_below_the_coverage_is_left_out_and_too_few_names_are_no_screen() -> None:
    drift = dict.fromkeys(NAMES, 0.001)
    records = tuple(record(name, rank) for rank, name in enumerate(NAMES[:4]))
    screen = screen_us_longs(inputs(records, drift), POLICY)
    assert set(screen.names) <= set(NAMES[:4])
    assert screen.is_valid
    assert not screen_us_longs(inputs(records[:3], drift), POLICY).is_valid


def test_no_data_at_all_is_no_screen() -> None:
    assert not screen_us_longs(inputs(), POLICY).is_valid


def failing(_: ScreenInputs, __: object) -> Screen:
    return Screen(names=(), is_valid=False, notes=())


def working(_: ScreenInputs, __: object) -> Screen:
    return Screen(names=("N5",), is_valid=True, notes=())


@pytest.mark.parametrize(
    ("ranking", "screened_on", "held", "expected", "reason"),
    [
        (working, date(2026, 11, 2), (), ("N1",), "this month's screen stands"),
        (working, date(2026, 10, 30), (), ("N5",), "a new month asks again"),
        (failing, date(2026, 10, 30), ("N4",), ("N1",), "last valid one, 21 days old"),
        (failing, date(2026, 10, 1), ("N4",), ("N4",), "50 days are too old: keep the names held"),
        (failing, date(2026, 10, 1), (), ("N0",), "nothing held: fallback"),
    ],
)
def test_leg_uses_the_best_screen_there_is(
    ranking: object, screened_on: date, held: tuple[str, ...], expected: tuple[str, ...], reason: str
) -> None:
    snapshot = ScreenSnapshot(names=("N1",), screened_on=screened_on)
    leg = choose_leg(inputs(), POLICY, snapshot, ranking, held, ("N0",))
    assert leg.names == expected, reason


def test_name_that_lost_its_price_leaves_the_leg_and_is_named() -> None:
    snapshot = ScreenSnapshot(names=("GONE", "N1"), screened_on=date(2026, 11, 2))
    leg = choose_leg(inputs(), POLICY, snapshot, working, (), ())
    assert leg.names == ("N1",)
    assert "GONE" in leg.notes[0]


def test_screen_of_companies_that_left_the_list_is_made_anew_within_its_month() -> None:
    """The list of companies ends in the middle of a month: nothing of the old screen may be held on."""
    snapshot = ScreenSnapshot(names=("GONE", "LEFT"), screened_on=date(2026, 11, 2))
    leg = choose_leg(inputs(), POLICY, snapshot, working, ("GONE",), ())
    assert leg.names == working(inputs(), POLICY).names
    assert leg.snapshot is not None
    assert leg.snapshot.screened_on == inputs().trade_date


def test_fresh_screen_is_remembered_with_its_scores() -> None:
    records = tuple(record(name, rank) for rank, name in enumerate(NAMES))
    leg = choose_leg(inputs(records), POLICY, None, screen_us_longs, (), ())
    assert leg.snapshot is not None
    assert leg.snapshot.scores == screen_us_longs(inputs(records), POLICY).scores
