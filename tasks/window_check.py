"""Compare the account at the broker with our book, and the market with the decision, before a window opens.

Quantities, cash by currency and our quantities at the broker's marks are compared as at 06:00 (R-106). Our own prices
are those of the decision, so price by price only what trades now is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from engine.accounting.book import apply
from engine.accounting.charges import transaction_tax
from engine.accounting.differences import OWN_REFERENCE_PREFIX, unbooked_executions
from engine.accounting.ledger import LedgerEntry, book_execution
from engine.accounting.nav import ValuationContext, option_risks, value_portfolio
from engine.accounting.reconciliation import ReconciliationReport, reconcile
from engine.accounting.sides import KnownOrders, OurPrices, Sides
from engine.composition.comparison import evidence_of
from engine.composition.stages import DayInputs, contract_book, day_marks, fx_hedge_instruments
from engine.errors import DataError, HaltError
from engine.execution.outcome import AskAgain
from engine.execution.revalidation import WindowVerdict
from engine.model.encoding import encode
from engine.model.halts import HaltKind
from engine.model.market import Mark, Source
from engine.model.orders import Fill
from engine.model.policy import TransactionTax
from engine.model.portfolio import BrokerSnapshot, CashBasis, Portfolio, Sleeve
from engine.model.universe import ContractBook
from tasks.asking import STEP_NAME, Asking
from tasks.day import TradingDay
from tasks.known import known_orders, own_orders
from tasks.runtime import World
from tasks.sync import live_quotes
from tasks.uncharged import expect_commissions
from tasks.window_risk import judge_window

ON_ITS_WAY = timedelta(minutes=1)
"""An execution younger than this may be told to us at any moment: it is no missed fill yet."""


def check_window(
    day: TradingDay, inputs: DayInputs, asking: Asking, at: datetime
) -> WindowVerdict | AskAgain:
    """Compare book and broker at a time, then look at what the market left of the decision.

    The broker's cash holds commissions that it has not told yet: our book holds what they are expected to be.

    Answers when to ask again where the broker may only be late, and asks nothing before that; raises `HaltError` where a
    difference stands or its figures can not be compared.
    """
    if asking.again is not None and at < asking.again.at:
        return asking.again
    expect_commissions(day.world, day.policy.costs, at)
    again = compare_before_window(day, inputs, asking, at)
    return judge_window(day, inputs, at) if again is None else again


def compare_before_window(
    day: TradingDay, inputs: DayInputs, asking: Asking, at: datetime
) -> AskAgain | None:
    """The comparison of a window, ``None`` where book and broker agree."""
    try:
        report = compare_at(day, inputs, at)
    except DataError as error:
        raise HaltError(HaltKind.DATA_QUALITY.value, str(error)) from error
    day.world.observer("reconcile", f"{at:%H:%M} {report.status.value}")
    if not report.can_trade:
        day.world.runs.record_step(day.run_id, STEP_NAME, day.claim.attempt, f"{at:%H:%M:%S}", encode(report))
    asking.heard(at, report, occasion=f"before the window of {asking.since or at:%H:%M}Z: ")
    return asking.again


def compare_at(day: TradingDay, inputs: DayInputs, at: datetime) -> ReconciliationReport:
    """The comparison at a time, with executions that are still on their way to us counted in."""
    world, setup = day.world, day.setup
    broker = world.outside.snapshot(at)
    contracts = contract_book(setup, inputs)
    known = known_orders(world, broker, own_orders(day.orders.unresolved()))
    coming = _on_their_way(world, broker, known, at)
    taxes = setup.policy.costs.transaction_taxes
    book = _with_executions(world.ledger.portfolio(world.account, at), coming, contracts, taxes)
    prices = OurPrices(marks=_marks(inputs, broker), fx=inputs.market.fx, live=live_quotes(world, broker))
    context = ValuationContext(
        trade_date=day.trade_date,
        as_of=at,
        basis=CashBasis.SETTLED,
        fx_hedges=fx_hedge_instruments(setup.policy),
    )
    valuation = value_portfolio(
        book, prices.marks, prices.fx, contracts, context, option_risks(inputs.market.option_chains)
    )
    return reconcile(
        Sides(portfolio=book, broker=broker, prices=prices, contracts=contracts),
        valuation,
        setup.policy.reconciliation,
        replace(known, booked=(*known.booked, *coming)),
        replace(evidence_of(setup, inputs), recent=_posted_since(day, inputs, at)),
    )


def _posted_since(day: TradingDay, inputs: DayInputs, at: datetime) -> tuple[LedgerEntry, ...]:
    """What was booked since the last valued day, this morning's and today's postings included."""
    after = None if inputs.previous is None else inputs.previous.valuation.as_of
    entries = day.world.ledger.entries(day.world.account, until=at, since=after)
    return tuple(entry for entry in entries if after is None or entry.booked_at > after)


def _on_their_way(world: World, broker: BrokerSnapshot, known: KnownOrders, at: datetime) -> tuple[Fill, ...]:
    """Young executions of orders that we sent. Of an order that no row of ours has, nothing is ever told to us."""
    young = tuple(
        row.fill
        for row in unbooked_executions(broker.executions, known.booked)
        if row.replaces is None
        and (row.fill.order_ref or "").startswith(OWN_REFERENCE_PREFIX)
        and at - row.fill.executed_at < ON_ITS_WAY
    )
    ours = world.order_refs({fill.order_ref or "" for fill in young}) if young else frozenset()
    return tuple(fill for fill in young if fill.order_ref in ours)


def _with_executions(
    book: Portfolio, fills: tuple[Fill, ...], contracts: ContractBook, taxes: Sequence[TransactionTax]
) -> Portfolio:
    """The book as it will be once they are told; nothing is booked here."""
    due = [transaction_tax(fill, contracts.instrument(fill.contract_id), taxes, book.as_of) for fill in fills]
    entries = [
        entry
        for fill in fills
        for entry in book_execution(
            fill,
            contracts.instrument(fill.contract_id),
            {Sleeve.UNASSIGNED.value: fill.signed_quantity},
            book.as_of,
        )
    ]
    entries.extend(tax for tax in due if tax is not None)
    return replace(apply(book, *entries), as_of=book.as_of) if entries else book


def _marks(inputs: DayInputs, broker: BrokerSnapshot) -> Mapping[str, Mark]:
    """The decision's marks as older ones, so that a close since then is no difference; the broker's where we have none."""
    decided = day_marks(inputs)
    source = next((mark.source for mark in decided.values()), Source.SIMULATED)
    theirs = {
        name: Mark(
            contract_id=name,
            price=held.mark,
            session_date=broker.as_of.date(),
            age_sessions=1,
            source=source,
        )
        for name, held in broker.positions.items()
        if held.mark is not None
    }
    ours = {name: replace(mark, age_sessions=max(1, mark.age_sessions)) for name, mark in decided.items()}
    return {**theirs, **ours}
