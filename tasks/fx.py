"""Exchange rates: good enough to value and to hedge, or the day stops."""

from __future__ import annotations

from engine.accounting.fx_rates import FxFinding, FxState, FxVerdict
from engine.composition.stages import DayInputs, judge_rates
from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.market import BASE_CURRENCY
from engine.model.policy import FxPolicy
from tasks.day import TradingDay
from tasks.step import step


@step("refresh FX")
def refresh_fx(day: TradingDay, inputs: DayInputs) -> FxVerdict:
    """Judge every needed rate by age, jump and second source; keep what was used."""
    verdict = day.decide("fx", FxVerdict, lambda: judge_rates(day.setup, inputs))
    day.world.records.save_fx(day.run_id, inputs.market.fx)
    if not verdict.may_trade and not inputs.abandoned:
        kind = verdict.halt_kind or HaltKind.STALE_FX
        raise HaltError(kind.value, rates_text(verdict, day.policy.fx))
    return verdict


def rates_text(verdict: FxVerdict, policy: FxPolicy) -> str:
    """What was expected of the rates and what was found, in one paragraph."""
    invalid = [row for row in verdict.findings if row.state is FxState.INVALID]
    limits = {
        HaltKind.STALE_FX: f"at most {policy.stale_invalid_hours:g} market hours old",
        HaltKind.FX_JUMP: f"moved by at most {policy.jump_reject_fraction:.2%} without a second source",
        HaltKind.FX_DIFFERENCE: f"within {policy.triangle_tolerance_fraction:.2%} of its cross rates",
    }
    broken = " and ".join(limit for kind, limit in limits.items() if any(row.kind is kind for row in invalid))
    found = ", ".join(_rate_text(row) for row in invalid)
    return f"expected every needed exchange rate {broken}, found {found}"


def _rate_text(found: FxFinding) -> str:
    pair = f"{found.currency}/{BASE_CURRENCY}"
    if found.age_hours is not None:
        return f"{pair} {found.age_hours:.1f} market hours old"
    if found.kind is HaltKind.FX_DIFFERENCE:
        return found.text
    return f"no {pair} at all" if found.move is None else f"{pair} moved by {found.move:+.2%}"
