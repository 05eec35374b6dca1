"""Which companies? Names ranked by standardised factors, long candidates and short candidates.

Factors (R-31): quality = mean z(return on equity, gross profit/assets, −debt/equity, −accruals); momentum =
total return of twelve months without the last; size = z(log market value), a tilt to large companies; zombie =
interest cover below 1 for three years and Tobin's q below its sector's median; weakness = −momentum and below
the 200-day mean; sector = old economy. z-scores are cut at ±3. A factor known for no name gives its weight to
the others and is named; a name needs ``screen_minimum_coverage`` of the weight that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from engine.model.encoding import significant
from engine.model.market import FundamentalRecord, MarketHistory
from engine.model.policy import SleevePolicy

MOMENTUM_DAYS, SKIPPED_DAYS, MEAN_DAYS = 252, 21, 200
"""Twelve months, the last month, and the long mean, in trading days."""
WINSOR = 3.0
COVER_YEARS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenInputs:
    """Candidates of a screen on a date, and what is known of them; ``candidates`` all have a price."""

    trade_date: date
    candidates: tuple[str, ...]
    history: MarketHistory
    fundamentals: tuple[FundamentalRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """Ranked names, best first, with their scores. Not valid when too few candidates could be judged."""

    names: tuple[str, ...]
    is_valid: bool
    notes: tuple[str, ...]
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """Arrays aligned to the candidates, NaN where unknown."""

    records: tuple[FundamentalRecord | None, ...]
    momentum: np.ndarray
    below_mean: np.ndarray

    def column(self, figure: Callable[[FundamentalRecord], float | None]) -> np.ndarray:
        """One figure of the accounts."""
        values = [None if record is None else figure(record) for record in self.records]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def screen_us_longs(inputs: ScreenInputs, policy: SleevePolicy) -> Screen:
    """Best companies by quality, momentum and size."""
    facts = _facts(inputs)
    factors = {"quality": _quality(facts), "momentum": _z(facts.momentum), "size": _size(facts)}
    return _rank("long screen", inputs.candidates, factors, policy.single_long_factors, policy)


def screen_eu_shorts(inputs: ScreenInputs, policy: SleevePolicy) -> Screen:
    """Weakest companies by zombie test, weakness and old-economy sector."""
    facts = _facts(inputs)
    weakness = _mean((_z(-facts.momentum), _z(facts.below_mean)))
    factors = {
        "zombie": _z(_zombie(facts)),
        "weakness": weakness,
        "sector": _z(facts.column(lambda r: float(r.sector.lower() in policy.old_economy_sectors))),
    }
    return _rank("short screen", inputs.candidates, factors, policy.single_short_factors, policy)


def _facts(inputs: ScreenInputs) -> _Facts:
    latest: dict[str, FundamentalRecord] = {}
    wanted = set(inputs.candidates)
    for record in inputs.fundamentals:
        if record.instrument_id not in wanted or record.filed_on > inputs.trade_date:
            continue
        known = latest.get(record.instrument_id)
        if known is None or (known.period_end, known.filed_on) < (record.period_end, record.filed_on):
            latest[record.instrument_id] = record
    momentum, below = _price_facts(inputs)
    return _Facts(
        records=tuple(latest.get(name) for name in inputs.candidates), momentum=momentum, below_mean=below
    )


def _price_facts(inputs: ScreenInputs) -> tuple[np.ndarray, np.ndarray]:
    """12-1 momentum and 1/0 for below the long mean; NaN with less than half of the window priced."""
    count = len(inputs.candidates)
    momentum, below = np.full(count, np.nan), np.full(count, np.nan)
    column = {name: number for number, name in enumerate(inputs.history.instrument_ids)}
    rows = [number for number, name in enumerate(inputs.candidates) if name in column]
    if not rows or len(inputs.history.dates) < MOMENTUM_DAYS:
        return momentum, below
    chosen = [column[inputs.candidates[row]] for row in rows]
    returns = inputs.history.returns[-MOMENTUM_DAYS:, chosen]
    priced = np.isfinite(returns)
    growth = np.log1p(np.where(priced, returns, 0.0))
    enough = priced[:-SKIPPED_DAYS].mean(axis=0) >= 0.5
    momentum[rows] = np.where(enough, np.expm1(growth[:-SKIPPED_DAYS].sum(axis=0)), np.nan)
    levels = np.exp(np.cumsum(growth[-MEAN_DAYS:], axis=0))
    below[rows] = np.where(enough, levels[-1] < levels.mean(axis=0), np.nan)
    return momentum, below


def _z(values: np.ndarray) -> np.ndarray:
    """Cross-sectional z-score cut at ±3; 0 for all when they do not differ; NaN stays NaN."""
    known = np.isfinite(values)
    if not known.any():
        return np.full(len(values), np.nan)
    mean, deviation = float(values[known].mean()), float(values[known].std())
    if significant(deviation) == 0.0:
        return np.where(known, 0.0, np.nan)
    result: np.ndarray = np.clip((values - mean) / deviation, -WINSOR, WINSOR)
    return result


def _mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the known parts of each name, NaN when none is known."""
    stacked = np.array(parts)
    known = np.isfinite(stacked)
    count = known.sum(axis=0)
    total = np.where(known, stacked, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _quality(facts: _Facts) -> np.ndarray:
    return _mean(
        (
            _z(facts.column(lambda r: r.return_on_equity)),
            _z(facts.column(lambda r: r.gross_profit_to_assets)),
            _z(-facts.column(lambda r: r.debt_to_equity)),
            _z(-facts.column(lambda r: r.accruals_to_assets)),
        )
    )


def _size(facts: _Facts) -> np.ndarray:
    values = facts.column(lambda r: r.market_cap_usd)
    positive = np.where(values > 0, values, np.nan)
    return _z(np.log(positive))


def _zombie(facts: _Facts) -> np.ndarray:
    value = facts.column(lambda r: r.tobin_q)
    medians: dict[str, float] = {}
    for sector in {record.sector for record in facts.records if record is not None}:
        member = np.array([r is not None and r.sector == sector for r in facts.records]) & np.isfinite(value)
        if member.any():
            medians[sector] = float(np.median(value[member]))
    result = np.full(len(value), np.nan)
    for row, record in enumerate(facts.records):
        if record is None or not np.isfinite(value[row]):
            continue
        cover = [figure for figure in record.interest_coverage[:COVER_YEARS] if figure is not None]
        if len(cover) == COVER_YEARS:
            result[row] = float(max(cover) < 1.0 and value[row] < medians[record.sector])
    return result


def _rank(
    title: str,
    candidates: tuple[str, ...],
    factors: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    policy: SleevePolicy,
) -> Screen:
    known = {name: weight for name, weight in weights.items() if np.isfinite(factors[name]).any()}
    total = sum(known.values())
    if not candidates or total <= 0.0:
        return Screen(names=(), is_valid=False, notes=(f"{title}: no candidate has any data",))
    score, coverage = np.zeros(len(candidates)), np.zeros(len(candidates))
    for name, weight in known.items():
        score += weight / total * np.nan_to_num(factors[name])
        coverage += weight / total * np.isfinite(factors[name])
    judged = [
        row
        for row in range(len(candidates))
        if significant(float(coverage[row])) >= policy.screen_minimum_coverage
    ]
    ranked = sorted(judged, key=lambda row: (-significant(float(score[row])), candidates[row]))
    notes = []
    if absent := sorted(set(weights) - set(known)):
        notes.append(f"{title}: no data for {', '.join(absent)}; the other factors carry the weight")
    if len(judged) < len(candidates):
        notes.append(f"{title}: {len(candidates) - len(judged)} of {len(candidates)} candidates lack data")
    return Screen(
        names=tuple(candidates[row] for row in ranked[: policy.single_top]),
        is_valid=significant(len(judged) / len(candidates)) >= policy.screen_minimum_coverage,
        notes=tuple(notes),
        scores=tuple(significant(float(score[row])) for row in ranked[: policy.single_top]),
    )
