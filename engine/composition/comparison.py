"""The comparison with the broker as a stage of the day: what a day's recorded inputs say of both sides."""

from __future__ import annotations

from engine.accounting.reconciliation import ReconciliationReport, reconcile
from engine.accounting.sides import Evidence, OurPrices, Sides
from engine.composition.stages import DayInputs, DaySetup, ValuedFund, contract_book, day_marks


def compare_with_broker(setup: DaySetup, inputs: DayInputs, fund: ValuedFund) -> ReconciliationReport:
    """Compare our book with the broker's account."""
    return reconcile(
        book_and_broker(setup, inputs),
        fund.valuation,
        setup.policy.reconciliation,
        inputs.known,
        evidence_of(setup, inputs),
    )


def book_and_broker(setup: DaySetup, inputs: DayInputs) -> Sides:
    """Our book and the broker's account next to each other."""
    return Sides(
        portfolio=inputs.portfolio,
        broker=inputs.broker,
        prices=OurPrices(marks=day_marks(inputs), fx=inputs.market.fx, live=inputs.quotes),
        contracts=contract_book(setup, inputs),
    )


def evidence_of(setup: DaySetup, inputs: DayInputs) -> Evidence:
    """What the day knows that may explain a difference."""
    previous = inputs.previous
    return Evidence(
        account=inputs.context.account,
        dividends=inputs.market.dividends,
        splits=inputs.market.splits,
        recent=() if previous is None else previous.entries,
        last_liquidation=None if previous is None else previous.net_liquidation,
        taxes=setup.policy.costs.transaction_taxes,
    )
