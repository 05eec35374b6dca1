"""What stands behind a change of NAV that nothing explains: how much of it is explained, and whether cash is right."""

from __future__ import annotations

from decimal import Decimal

from engine.accounting.bridge import RESIDUAL_LIMIT_USD, NavBridge
from engine.accounting.cash_bases import BasisNavs, basis_navs
from engine.accounting.nav import ValuationContext, option_risks
from engine.composition.stages import DayInputs, ValuedFund, contract_book, day_marks, fx_hedge_instruments
from engine.model.halts import ALLOWED_CHOICES, HaltKind
from engine.model.money import round_money
from engine.model.portfolio import CashBasis
from engine.report import NOT_COMPARED, BreakRow
from tasks.day import TradingDay


def residual_evidence(day: TradingDay, inputs: DayInputs, fund: ValuedFund) -> tuple[BreakRow, ...]:
    """The unexplained part, and the same book counted from its trades alone."""
    if fund.bridge is None:
        return ()
    return (residual_row(fund.bridge), settlement_row(navs_of_the_book(day, inputs)))


def navs_of_the_book(day: TradingDay, inputs: DayInputs) -> BasisNavs:
    """NAV of the ledger at the time of the valuation under each basis of its cash."""
    context = ValuationContext(
        trade_date=inputs.context.trade_date,
        as_of=inputs.context.as_of,
        basis=CashBasis.SETTLED,
        fx_hedges=fx_hedge_instruments(day.setup.policy),
    )
    return basis_navs(
        day.world.ledger.entries(day.key.account, until=inputs.context.as_of),
        day_marks(inputs),
        inputs.market.fx,
        contract_book(day.setup, inputs),
        context,
        option_risks(inputs.market.option_chains),
    )


def residual_row(bridge: NavBridge) -> BreakRow:
    """The part of the change of NAV that nothing explains."""
    explained = bridge.closing_nav - bridge.opening_nav - bridge.residual
    return _row(
        "change of NAV",
        ours=f"{bridge.closing_nav - bridge.opening_nav:+,.2f} USD",
        difference=bridge.residual,
        explanation=f"postings and prices explain {explained:+,.2f} USD of it",
    )


def settlement_row(navs: BasisNavs) -> BreakRow:
    """Whether the settlements of futures are what their trades and prices say."""
    wrong = navs.settled - navs.cost_ledger
    verdict = "the settlements are right" if abs(wrong) <= RESIDUAL_LIMIT_USD else "a settlement is wrong"
    return _row(
        "settlements of futures",
        ours=f"{navs.settled:,.2f} USD",
        difference=wrong,
        explanation=f"trades alone, without any settlement, give a NAV of {navs.cost_ledger:,.2f} USD: {verdict}",
    )


def _row(subject: str, *, ours: str, difference: Decimal, explanation: str) -> BreakRow:
    return BreakRow(
        kind=HaltKind.BRIDGE_RESIDUAL.value,
        subject=subject,
        ours=ours,
        broker=NOT_COMPARED,
        difference_usd=round_money(difference),
        explanation=explanation,
        proposed_choice=ALLOWED_CHOICES[HaltKind.BRIDGE_RESIDUAL][0].value,
    )
