"""May the fund trade on these exchange rates? Their refresh, ages, jumps, and the conversion of cash.

A rate's age counts only the hours in which the currency market was open, so that a Friday close is eight hours
old on Monday morning. A missing rate stays missing: the verdict says so and nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum

from engine.errors import InvariantError, MissingFxRate
from engine.model.halts import HaltKind
from engine.model.market import BASE_CURRENCY, FxRate, FxRates
from engine.model.money import ZERO, round_money
from engine.model.policy import FxPolicy

FXRates = FxRates

_WEEK = timedelta(days=7)
_WEEKEND_START = timedelta(days=4, hours=22)
_WEEKEND_END = timedelta(days=6, hours=22)
# A second source confirms a jump when it lies within a fifth of the jump limit of the rate (1 % at 5 %).
_AGREEMENT_SHARE = Decimal("0.2")
_SHOWN_DIGITS = 8


class FxState(Enum):
    """Whether rates may be used: without remark, with a warning, or not at all."""

    VALID = "VALID"
    WARNING = "WARNING"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True, kw_only=True)
class FxFinding:
    """What is wrong with one currency's rate; ``age_hours`` counts open market hours, ``move`` is a fraction."""

    currency: str
    state: FxState
    kind: HaltKind
    age_hours: float | None
    move: Decimal | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FxVerdict:
    """Answer for all required currencies: the worst finding decides."""

    as_of: datetime
    state: FxState
    findings: tuple[FxFinding, ...]

    @property
    def may_trade(self) -> bool:
        """Whether rates are good enough to decide on."""
        return self.state is not FxState.INVALID

    @property
    def halt_kind(self) -> HaltKind | None:
        """Kind of the first invalid finding."""
        return next((found.kind for found in self.findings if found.state is FxState.INVALID), None)


def cash_in_base_ccy(cash: Mapping[str, Decimal], fx: FxRates) -> Decimal:
    """USD value of cash in several currencies, rounded once; raises `MissingFxRate` for a balance without rate.

    Negative balances are borrowed money; an empty balance needs no rate.
    """
    return round_money(
        sum((fx.to_base(amount, currency) for currency, amount in cash.items() if amount != 0), ZERO)
    )


def refresh_rates(
    previous: FxRates, spot: Sequence[FxRate], account: Sequence[FxRate], as_of: datetime
) -> FxRates:
    """Newest rates by rank of source: spot midpoint, then the account's own rate, then the last good one (FX-05).

    The last good rate keeps its old time, so its age is seen by `fx_verdict`.
    """
    rates = dict(previous.rates)
    for source in (account, spot):
        rates.update({rate.pair: rate for rate in source})
    future = [pair for pair, rate in rates.items() if rate.observed_at > as_of]
    if future:
        raise InvariantError(f"rates of {', '.join(sorted(future))} were observed after {as_of.isoformat()}")
    return FxRates(as_of=as_of, rates=dict(sorted(rates.items())))


def open_hours_between(start: datetime, end: datetime) -> float:
    """Hours from start to end without the weekends of the currency market (Friday 22:00 to Sunday 22:00 UTC)."""
    monday = (start - timedelta(days=start.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    closed = timedelta()
    while monday < end:
        shut = max(start, monday + _WEEKEND_START)
        closed += max(timedelta(), min(end, monday + _WEEKEND_END) - shut)
        monday += _WEEK
    return max(0.0, (end - start - closed).total_seconds() / 3600)


def fx_verdict(
    rates: FxRates,
    previous: FxRates | None,
    policy: FxPolicy,
    now: datetime,
    required: Sequence[str],
    second_source: Mapping[str, Decimal] | None = None,
) -> FxVerdict:
    """Judge the rate of every required currency against USD.

    A move beyond the jump limit against ``previous`` counts only with a second source (USD per unit of currency,
    for example from the currency future); without one it is invalid, as are missing and too old rates.
    """
    findings = tuple(
        found
        for currency in sorted(set(required) - {BASE_CURRENCY})
        for found in (
            _age_finding(rates, policy, now, currency),
            _jump_finding(rates, previous, policy, currency, (second_source or {}).get(currency)),
        )
        if found is not None
    )
    findings = (*findings, *_triangle_findings(rates, policy, required))
    states = {found.state for found in findings}
    worst = next((state for state in (FxState.INVALID, FxState.WARNING) if state in states), FxState.VALID)
    return FxVerdict(as_of=now, state=worst, findings=findings)


def rate_against_base(rates: FxRates, currency: str) -> FxRate | None:
    """The rate behind a currency's conversion into USD, quoted either way round; ``None`` where none is known."""
    quoted = "GBP" if currency == "GBX" else currency
    return rates.rates.get(quoted + BASE_CURRENCY) or rates.rates.get(BASE_CURRENCY + quoted)


def _age_finding(rates: FxRates, policy: FxPolicy, now: datetime, currency: str) -> FxFinding | None:
    known = rate_against_base(rates, currency)
    if known is None:
        text = f"no {currency}/{BASE_CURRENCY} rate is known"
        return _finding(currency, FxState.INVALID, HaltKind.STALE_FX, None, text)
    age = open_hours_between(known.observed_at, now)
    if age <= policy.stale_warning_hours:
        return None
    state = FxState.INVALID if age > policy.stale_invalid_hours else FxState.WARNING
    limit = policy.stale_invalid_hours if state is FxState.INVALID else policy.stale_warning_hours
    text = f"the {currency}/{BASE_CURRENCY} rate is {age:.1f} market hours old, limit {limit:g}"
    return _finding(currency, state, HaltKind.STALE_FX, age, text)


def _jump_finding(
    rates: FxRates, previous: FxRates | None, policy: FxPolicy, currency: str, second: Decimal | None
) -> FxFinding | None:
    if previous is None:
        return None
    try:
        before, now = previous.get_rate(currency, BASE_CURRENCY), rates.get_rate(currency, BASE_CURRENCY)
    except MissingFxRate:
        return None  # an absent rate is the age's finding; without a former one there is no move
    move = now / before - 1
    limit = policy.jump_reject_fraction
    if abs(move) <= limit:
        return None
    confirmed = second is not None and abs(now / second - 1) <= limit * _AGREEMENT_SHARE
    state = FxState.WARNING if confirmed else FxState.INVALID
    source = "confirmed by" if confirmed else "without"
    text = f"{currency}/{BASE_CURRENCY} moved {move:+.2%} ({source} a second source), limit {limit:.2%}"
    return _finding(currency, state, HaltKind.FX_JUMP, None, text, move)


def _triangle_findings(rates: FxRates, policy: FxPolicy, required: Sequence[str]) -> list[FxFinding]:
    """Cross rates that contradict their two legs: ``EURGBP × GBPUSD`` against ``EURUSD``, of the same moment.

    One of the three is wrong, and nobody can say which: a required currency in it can not be used.
    """
    found = []
    for pair, cross in sorted(rates.rates.items()):
        first, second = pair[:3], pair[3:]
        if BASE_CURRENCY in (first, second) or not {first, second} & set(required):
            continue
        legs = [rate_against_base(rates, currency) for currency in (first, second)]
        if {None if leg is None else leg.observed_at for leg in legs} != {cross.observed_at}:
            continue  # a leg is missing, and rates of different times may differ
        worth = {currency: rates.get_rate(currency, BASE_CURRENCY) for currency in (first, second)}
        gap = cross.rate * worth[second] / worth[first] - 1
        if abs(gap) > policy.triangle_tolerance_fraction:
            text = (
                f"{pair} {cross.rate:f} and its legs {first}{BASE_CURRENCY} {_shown(worth[first])}, "
                f"{second}{BASE_CURRENCY} {_shown(worth[second])} differ by {gap:+.2%}, limit "
                f"{policy.triangle_tolerance_fraction:.2%}"
            )
            found.append(_finding(first, FxState.INVALID, HaltKind.FX_DIFFERENCE, None, text, gap))
    return found


def _shown(rate: Decimal) -> str:
    """A rate as quoted; one that was turned round has endless digits, of which eight are told."""
    return f"{rate:f}" if -int(rate.as_tuple().exponent) <= _SHOWN_DIGITS else f"{rate:.{_SHOWN_DIGITS}f}"


def _finding(
    currency: str, state: FxState, kind: HaltKind, age: float | None, text: str, move: Decimal | None = None
) -> FxFinding:
    return FxFinding(currency=currency, state=state, kind=kind, age_hours=age, move=move, text=text)
