"""Exchange rates: good enough to value and to hedge, or the day stops."""

from __future__ import annotations

from engine.accounting.fx_rates import FxVerdict
from engine.composition.stages import DayInputs, judge_rates
from engine.errors import HaltError
from engine.model.halts import HaltKind
from tasks.day import TradingDay
from tasks.step import step


@step("refresh FX")
def refresh_fx(day: TradingDay, inputs: DayInputs) -> FxVerdict:
    """Judge every needed rate by age, jump and second source; keep what was used."""
    verdict = day.decide("fx", FxVerdict, lambda: judge_rates(day.setup, inputs))
    day.world.records.save_fx(day.run_id, inputs.market.fx)
    if not verdict.may_trade and not inputs.abandoned:
        kind = verdict.halt_kind or HaltKind.STALE_FX
        raise HaltError(kind.value, "; ".join(found.text for found in verdict.findings))
    return verdict
