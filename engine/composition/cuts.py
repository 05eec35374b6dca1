"""Does the fund have to get smaller today? What makes its reductions urgent, and by which name."""

from __future__ import annotations

from engine.composition.stages import DayInputs, DaySetup, ValuedFund
from engine.model.encoding import significant
from engine.model.money import decimal_from_float
from engine.model.orders import Reason
from engine.model.policy import RiskPolicy
from engine.model.portfolio import Valuation
from engine.risk.decision import RiskDecision
from engine.risk.expectation import ScaleBinding


def cut_reason(setup: DaySetup, inputs: DayInputs, fund: ValuedFund, risk: RiskDecision) -> Reason | None:
    """Reason of trades that only reduce a holding today, ``None`` on a day that cuts nothing."""
    if is_beyond_limits(fund.valuation, setup.policy.risk):
        return Reason.LIMIT_BREACH
    before = inputs.memory.risk.record_for(risk.trade_date).scaling_factor
    large = setup.policy.gate.large_change_fraction
    was_cut = is_cut(before, risk.scaling_factor, risk.binding, large)
    return Reason.DERISK if was_cut else None


def is_cut(before: float | None, scale: float, binding: ScaleBinding, large_change_fraction: float) -> bool:
    """Whether the scale fell by the state of the risk machine, or by a large change of the book (R-108).

    A scale that only breathes with the volatility cuts nothing: such trades stay with the gate.
    """
    if before is None or scale >= before:
        return False
    fall = significant(before - scale)
    return binding is ScaleBinding.STATE or fall >= significant(large_change_fraction * scale)


def is_beyond_limits(valuation: Valuation, policy: RiskPolicy) -> bool:
    """Whether what the fund holds, not what it wants, exceeds its gross or net limit (multiples of NAV)."""
    gross, net = (decimal_from_float(x) for x in (policy.gross_leverage_max, policy.net_leverage_max))
    nav = valuation.nav
    return valuation.gross_exposure > gross * nav or abs(valuation.net_exposure) > net * nav
