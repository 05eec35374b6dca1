"""Whether a trade is worth its cost: the gain of removing drift against what removing it costs (R-70, R-108).

``gain = NAV · ½λ · (drift variance removed) · H/252 + NAV · α·δ · h/252`` in USD, with symbols λ = risk aversion,
H = benefit horizon, α = expected carry a year, h = half-life of the carry forecast. Trades are judged in groups
by backward elimination: each group is measured against the book in which all other kept groups are traded, so
one leg of a hedged pair is never judged against an untraded book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

import numpy as np

from engine.errors import ConfigurationError, InvariantError
from engine.model.encoding import significant
from engine.model.money import decimal_from_float
from engine.model.orders import Reason, Trade
from engine.model.policy import GatePolicy

GatingConfig = GatePolicy


class GatingOverrides(Enum):
    """Rules that let a group trade without the benefit test."""

    REASON = "reason"
    ESTABLISHING = "establishing_or_closing"
    LOWERS_RISK = "lowers_risk"
    LARGE_CHANGE = "large_change"
    UNFINISHED = "unfinished"
    NO_HISTORY = "no_history"
    DISABLED = "gate_disabled"


class GateReason(Enum):
    """Why a trade goes or stays."""

    OVERRIDE = "override"
    WORTH_IT = "benefit_exceeds_cost"
    SMALL_DRIFT = "drift_below_minimum"
    NOT_WORTH_IT = "cost_exceeds_benefit"


_FREE_REASONS = frozenset(Reason) - {Reason.REBALANCE}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateInputs:
    """Market and book as the gate sees them, arrays aligned to ``instrument_ids``.

    Attributes
    ----------
    nav : Decimal
        Net asset value in USD.
    weights : ndarray (instruments,)
        Present exposure of the fund as a fraction of NAV, signed.
    returns : ndarray (days, instruments)
        Daily returns of one unit of exposure; NaN (no price) counts as no move.
    shrinkage : float
        Intensity in 0…1 of shrinking the covariance to its diagonal.
    carry_annual : mapping instrument id → float
        Expected carry of a long weight per year net of financing; absent means structural, 0.
    unfinished : frozenset of contract ids
        Contracts of groups that are still being built (see `engine.execution.establishing`).
    """

    nav: Decimal
    instrument_ids: tuple[str, ...]
    weights: np.ndarray
    returns: np.ndarray
    shrinkage: float
    carry_annual: Mapping[str, float]
    regime: str
    unfinished: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.nav <= 0:
            raise InvariantError(f"expected a positive NAV to weigh trades with, found {self.nav}")
        if self.weights.shape != (len(self.instrument_ids),) or self.returns.shape[1:] != self.weights.shape:
            raise InvariantError("weights and returns do not match the instruments of the gate")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateCandidate:
    """A net trade with its signed exposure and its expected cost, both in USD."""

    trade: Trade
    notional_usd: Decimal
    cost_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class GatingDecision:
    """Verdict on one trade; cost, benefit and required benefit are those of its whole group, in USD."""

    contract_id: str
    group: str | None
    should_trade: bool
    reason: GateReason
    override: GatingOverrides | None
    cost_usd: Decimal
    benefit_usd: Decimal
    required_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class GateResult:
    """Trades that pass, a decision for each trade, and the annual tracking error that the gate left."""

    trades: tuple[Trade, ...]
    decisions: tuple[GatingDecision, ...]
    tracking_error_annual: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Groups:
    """Candidates by group: weight changes (instruments, groups) and their annual covariance among each other."""

    members: tuple[tuple[GateCandidate, ...], ...]
    deltas: np.ndarray
    covariance: np.ndarray
    with_book: np.ndarray
    carry: np.ndarray
    costs: np.ndarray
    has_history: np.ndarray


def gate_trades(candidates: Sequence[GateCandidate], inputs: GateInputs, policy: GatePolicy) -> GateResult:
    """Keep the trades whose gain exceeds ``cost_multiplier × regime multiplier × cost``, or that are exempt."""
    if not candidates:
        return GateResult(trades=(), decisions=(), tracking_error_annual=0.0)
    # A fifth of a small line is a small drift of the fund, yet thirty such lines leave a sleeve a fifth short for
    # good: the least drift only holds back what changes little of its own line.
    groups = _grouped(candidates, inputs, policy)
    overrides = [_override(groups, row, inputs, policy) for row in range(len(groups.members))]
    small = [
        significant(float(np.abs(groups.deltas[:, row]).max(initial=0.0))) < policy.minimum_drift_fraction
        and overrides[row] in (None, GatingOverrides.LOWERS_RISK)
        for row in range(len(groups.members))
    ]
    required = groups.costs * policy.cost_multiplier * _regime_multiplier(inputs.regime, policy)
    free = np.array([override is not None for override in overrides])
    kept, benefits = _eliminate(groups, ~np.array(small), free, required, inputs, policy)
    figures = [
        (decimal_from_float(cost), decimal_from_float(benefit), decimal_from_float(least))
        for cost, benefit, least in zip(groups.costs, benefits, required, strict=True)
    ]
    decisions = tuple(
        _decision(member, _reason(overrides[row], small[row], bool(kept[row])), overrides[row], figures[row])
        for row, members in enumerate(groups.members)
        for member in members
    )
    passed = {d.contract_id for d in decisions if d.should_trade}
    dropped = ~kept
    left = float(dropped @ groups.covariance @ dropped)
    return GateResult(
        trades=tuple(c.trade for c in candidates if c.trade.contract_id in passed),
        decisions=decisions,
        tracking_error_annual=significant(max(left, 0.0) ** 0.5),
    )


def benefit_usd(
    drift_before: np.ndarray, drift_after: np.ndarray, inputs: GateInputs, policy: GatePolicy
) -> float:
    """Certainty-equivalent gain in USD of moving the drift (fractions of NAV) from one vector to another."""
    pair = _covariance(np.column_stack([drift_before, drift_after]), inputs, policy)
    return _gain(float(pair[0, 0] - pair[1, 1]), 0.0, inputs, policy)


def _gain(variance_removed: float, carry: float, inputs: GateInputs, policy: GatePolicy) -> float:
    risk = 0.5 * policy.risk_aversion * variance_removed * policy.horizon_days
    return float(inputs.nav) * (risk + carry * policy.alpha_halflife_days) / policy.annualisation_days


def _covariance(columns: np.ndarray, inputs: GateInputs, policy: GatePolicy) -> np.ndarray:
    """Annual covariance among weight vectors, shrunk to the instruments' diagonal; no instrument matrix is built."""
    moves = np.nan_to_num(inputs.returns, nan=0.0)
    moves = moves - moves.mean(axis=0)
    days = max(len(moves), 1)
    outcomes = moves @ columns
    sample = outcomes.T @ outcomes / days
    variances = (moves * moves).sum(axis=0) / days
    diagonal = columns.T @ (columns * variances[:, None])
    shrunk: np.ndarray = (1 - inputs.shrinkage) * sample + inputs.shrinkage * diagonal
    return shrunk * policy.annualisation_days


def _grouped(candidates: Sequence[GateCandidate], inputs: GateInputs, policy: GatePolicy) -> _Groups:
    members: dict[str, list[GateCandidate]] = {}
    for candidate in candidates:
        trade = candidate.trade
        members.setdefault(f"group:{trade.group}" if trade.group else trade.contract_id, []).append(candidate)
    index = {name: row for row, name in enumerate(inputs.instrument_ids)}
    deltas = np.zeros((len(index), len(members)))
    measured = np.ones(len(members), dtype=bool)
    for column, group in enumerate(members.values()):
        for candidate in group:
            row = index.get(candidate.trade.instrument_id)
            measured[column] &= row is not None
            if row is not None:
                deltas[row, column] += float(candidate.notional_usd / inputs.nav)
    covariance = _covariance(np.column_stack([deltas, inputs.weights]), inputs, policy)
    carry = np.array([inputs.carry_annual.get(name, 0.0) for name in inputs.instrument_ids])
    observed = np.isfinite(inputs.returns).any(axis=0)
    return _Groups(
        members=tuple(tuple(group) for group in members.values()),
        deltas=deltas,
        covariance=covariance[:-1, :-1],
        with_book=covariance[:-1, -1],
        carry=carry @ deltas,
        costs=np.array([float(sum(c.cost_usd for c in group)) for group in members.values()]),
        has_history=measured & ~((deltas != 0) & ~observed[:, None]).any(axis=0),
    )


def _override(groups: _Groups, row: int, inputs: GateInputs, policy: GatePolicy) -> GatingOverrides | None:
    """First rule of R-108 that exempts a group from the benefit test."""
    if not policy.enabled:
        return GatingOverrides.DISABLED
    if any(member.trade.reason in _FREE_REASONS for member in groups.members[row]):
        return GatingOverrides.REASON
    if not groups.has_history[row]:
        return GatingOverrides.NO_HISTORY
    delta = groups.deltas[:, row]
    touched = delta != 0
    now, change = inputs.weights[touched], delta[touched]
    gross_now, gross_then = (significant(float(np.abs(w).sum())) for w in (now, now + change))
    if gross_now < policy.establishing_below_fraction * gross_then or gross_then == 0:
        return GatingOverrides.ESTABLISHING
    share = significant(float(np.abs(change).sum()) / gross_then)
    if share >= policy.large_change_fraction:
        return GatingOverrides.LARGE_CHANGE
    if share >= policy.established_within_fraction and any(
        member.trade.contract_id in inputs.unfinished for member in groups.members[row]
    ):
        return GatingOverrides.UNFINISHED
    variance_change = groups.covariance[row, row] + 2 * groups.with_book[row]
    if significant(float(variance_change)) < 0 or gross_then < gross_now:
        return GatingOverrides.LOWERS_RISK
    return None


def _eliminate(
    groups: _Groups,
    start: np.ndarray,
    free: np.ndarray,
    required: np.ndarray,
    inputs: GateInputs,
    policy: GatePolicy,
) -> tuple[np.ndarray, np.ndarray]:
    """Drop the worst group, measure again, until every kept group is worth its cost.

    Dropping group g on top of the dropped set D adds ``C_gg + 2·Σ_D C_gd`` to the variance of the drift.
    """
    kept = start.copy()
    scale = 0.5 * policy.risk_aversion * policy.horizon_days
    nav = float(inputs.nav) / policy.annualisation_days
    own = np.diag(groups.covariance)
    carry = groups.carry * policy.alpha_halflife_days
    while True:
        benefits = nav * (scale * (own + 2 * groups.covariance @ ~kept) + carry)
        own_share = ~kept * own * 2 * scale * nav
        benefits = benefits - own_share
        shortfall = np.where(kept & ~free, benefits - required, np.inf)
        worst = int(np.argmin(shortfall))
        if significant(float(min(shortfall[worst], 1e300))) >= 0:
            return kept, benefits
        kept[worst] = False


def _regime_multiplier(regime: str, policy: GatePolicy) -> float:
    found = policy.regime_multipliers.get(regime)
    if found is None:
        raise ConfigurationError(
            f"expected a gate multiplier for regime {regime!r}, found none; configure it"
        )
    return found


def _reason(override: GatingOverrides | None, small: bool, kept: bool) -> GateReason:
    if small:
        return GateReason.SMALL_DRIFT
    if override is not None:
        return GateReason.OVERRIDE
    return GateReason.WORTH_IT if kept else GateReason.NOT_WORTH_IT


def _decision(
    member: GateCandidate,
    reason: GateReason,
    override: GatingOverrides | None,
    figures: tuple[Decimal, Decimal, Decimal],
) -> GatingDecision:
    cost, benefit, required = figures
    return GatingDecision(
        contract_id=member.trade.contract_id,
        group=member.trade.group,
        should_trade=reason in (GateReason.OVERRIDE, GateReason.WORTH_IT),
        reason=reason,
        override=override,
        cost_usd=cost,
        benefit_usd=benefit,
        required_usd=required,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeGater:
    """The gate with its policy bound, as one value to hand around."""

    policy: GatePolicy

    def decide(self, candidates: Sequence[GateCandidate], inputs: GateInputs) -> GateResult:
        """See `gate_trades`."""
        return gate_trades(candidates, inputs, self.policy)
