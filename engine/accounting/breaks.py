"""What stops trading: each disagreement of book and broker as one break with its evidence and its answers."""

from __future__ import annotations

from decimal import Decimal

from engine.accounting.break_values import Break, Explanation, ReconciliationStatus, money_text, plain
from engine.accounting.causes_of_worth import liquidation_causes, mark_causes, rate_causes
from engine.accounting.positions_apart import price_text
from engine.accounting.sides import Evidence, Sides
from engine.model.breaks import BreakKind
from engine.model.halts import HaltChoice, HaltKind
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO, round_money
from engine.model.policy import ReconciliationPolicy

# Our rate and the broker's say the same moment when at most this far apart; only then may they be compared.
_SAME_MOMENT_SECONDS = 900.0


def classify_difference(
    nav: Decimal, net_liquidation: Decimal | None, policy: ReconciliationPolicy
) -> ReconciliationStatus:
    """Judge ``|NAV − NLV| / NLV`` alone: beyond the limits (strictly) it halts; an impossible figure is EMERGENCY."""
    fraction = difference_fraction(nav, net_liquidation)
    if fraction is None or fraction > policy.emergency_threshold_fraction:
        return ReconciliationStatus.EMERGENCY
    if fraction > policy.halt_threshold_fraction:
        return ReconciliationStatus.HALT
    return ReconciliationStatus.PASS


def difference_fraction(nav: Decimal, net_liquidation: Decimal | None) -> Decimal | None:
    """``|NAV − NLV| / NLV``, or ``None`` when either is no number or NLV is not positive."""
    if net_liquidation is None or not nav.is_finite():
        return None
    if not net_liquidation.is_finite() or net_liquidation <= 0:
        return None
    return abs(nav - net_liquidation) / net_liquidation


def liquidation_breaks(
    book_value: Decimal,
    sides: Sides,
    policy: ReconciliationPolicy,
    residue_usd: Decimal,
    evidence: Evidence,
    *,
    has_other_cause: bool,
) -> tuple[Break, ...]:
    """Our book at the broker's marks against net liquidation.

    ``residue_usd`` is the part that neither quantities nor cash explain; it is judged alone, so that a cash break
    of the opposite sign can not hide it. The whole is judged too when no other break says where it comes from.
    """
    liquidation = sides.broker.net_liquidation
    if liquidation is None or difference_fraction(book_value, liquidation) is None:
        residue_usd = ZERO
        text = "the broker's net liquidation is not a positive number"
        causes: tuple[Explanation, ...] = (
            Explanation(
                cause=BreakKind.IMPOSSIBLE_NUMBER, text=text, choice=HaltChoice.RETRY, explains_usd=ZERO
            ),
        )
    else:
        judged = [liquidation + residue_usd] if has_other_cause else [liquidation + residue_usd, book_value]
        statuses = [classify_difference(value, liquidation, policy) for value in judged]
        if all(status is ReconciliationStatus.PASS for status in statuses):
            return ()
        causes = liquidation_causes(residue_usd, sides, evidence)
    return (
        Break(
            kind=HaltKind.NLV_DRIFT,
            subject="net liquidation",
            ours=money_text(book_value, BASE_CURRENCY),
            broker=_liquidation_text(liquidation),
            difference_usd=residue_usd,
            explanations=causes,
        ),
    )


def _liquidation_text(liquidation: Decimal | None) -> str:
    if liquidation is None:
        return "not reported"
    return money_text(liquidation, BASE_CURRENCY) if liquidation.is_finite() else "not a number"


def rate_breaks(sides: Sides, policy: ReconciliationPolicy) -> tuple[Break, ...]:
    """Exchange rates of the same moment that differ beyond the limit."""
    breaks = []
    for currency, theirs in sorted(sides.broker.fx.items()):
        rate = sides.prices.fx.rates.get(currency + BASE_CURRENCY)
        if (
            rate is None
            or abs((sides.broker.as_of - rate.observed_at).total_seconds()) > _SAME_MOMENT_SECONDS
        ):
            continue
        if abs(rate.rate / theirs - 1) * 10_000 > policy.fx_break_bps:
            breaks.append(
                Break(
                    kind=HaltKind.FX_DIFFERENCE,
                    subject=currency,
                    ours=f"{plain(rate.rate)} {BASE_CURRENCY}",
                    broker=f"{plain(theirs)} {BASE_CURRENCY}",
                    difference_usd=ZERO,
                    explanations=rate_causes(rate.rate, theirs),
                )
            )
    return tuple(breaks)


def mark_breaks(sides: Sides, policy: ReconciliationPolicy, evidence: Evidence) -> tuple[Break, ...]:
    """In session: our live mid against the broker's mark. Out of session: both must show the prior close."""
    breaks = []
    for contract_id in sorted(sides.portfolio.positions):
        pair = sides.comparable_prices(contract_id)
        if pair is None:
            continue
        ours, theirs, is_live = pair
        tick = sides.contracts.instrument(contract_id).tick_at(ours)
        live_tolerance = max(abs(ours) * policy.mark_break_bps / 10_000, policy.mark_break_ticks * tick)
        # Closes are equal when they are the same step of the price grid: stores may keep them as floats.
        tolerance = live_tolerance if is_live else tick / 2
        if abs(ours - theirs) > tolerance:
            breaks.append(
                Break(
                    kind=HaltKind.MARK_DIFFERENCE,
                    subject=contract_id,
                    ours=price_text(ours, contract_id, sides),
                    broker=price_text(theirs, contract_id, sides),
                    difference_usd=round_money(sides.mark_difference_usd(contract_id)),
                    explanations=mark_causes(contract_id, ours, theirs, tolerance, sides, evidence),
                )
            )
    return tuple(breaks)
