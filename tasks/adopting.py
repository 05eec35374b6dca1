"""Make our book the broker's: as a person chose it, or by itself where known facts explain every break."""

from __future__ import annotations

from dataclasses import replace

from engine.accounting.adoption import adoption, caused_entries, missed_splits
from engine.accounting.book import apply
from engine.accounting.explained import may_be_booked
from engine.accounting.ledger import LedgerEntry
from engine.accounting.reconciliation import ReconciliationReport
from engine.composition.comparison import book_and_broker, compare_with_broker
from engine.composition.stages import DayInputs, DaySetup, value_fund
from engine.errors import DataError
from state.executions import parents_of
from tasks.runtime import World


def broker_entries(
    world: World,
    setup: DaySetup,
    inputs: DayInputs,
    report: ReconciliationReport,
    reference: str,
    *,
    only_caused: bool = False,
) -> tuple[LedgerEntry, ...]:
    """Entries that close every difference; missed executions of our parents go to the sleeves that wanted them.

    With ``only_caused`` money without a cause stays apart, however small: only a person may adopt it.
    """
    ledger = world.ledger.entries(world.account)
    missed = [row for found in report.quantities for row in found.missed]
    references = sorted({row.fill.order_ref for row in missed if row.fill.order_ref is not None})
    parents = parents_of(world.database, world.account, references) if references else {}
    splits = missed_splits(missed, parents, ledger)
    taxes = setup.policy.costs.transaction_taxes
    sides = book_and_broker(setup, inputs)
    make = caused_entries if only_caused else adoption
    return make(sides, report, world.now, reference, splits, ledger, taxes)


def explained_entries(world: World, setup: DaySetup, inputs: DayInputs) -> tuple[LedgerEntry, ...]:
    """Entries that make the comparison pass without asking a person; none where a person must be asked.

    Every break must be explained to the cent by a cause that the configuration lists, and the book with the entries
    must agree with the broker in everything.
    """
    allowed = setup.policy.reconciliation.book_explained
    if not allowed:
        return ()
    try:
        report = compare_with_broker(setup, inputs, value_fund(setup, inputs))
        if not may_be_booked(report, allowed):
            return ()
        reference = f"{inputs.context.run_id}:explained"
        at = inputs.context.as_of
        entries = broker_entries(world, setup, inputs, report, reference, only_caused=True)
        booked = tuple(row.fill for found in report.quantities for row in found.missed)
        after = replace(
            inputs,
            portfolio=replace(apply(inputs.portfolio, *entries), as_of=at),
            known=replace(inputs.known, booked=(*inputs.known.booked, *booked)),
        )
        agrees = compare_with_broker(setup, after, value_fund(setup, after)).can_trade
    except DataError:  # the stage that needs the missing figure says so with its evidence
        return ()
    return entries if agrees else ()
