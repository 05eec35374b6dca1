"""The fund's ledger beside the simulated broker: what each has booked, and the comparison of the two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from engine.accounting.book import apply, fold
from engine.accounting.charges import transaction_tax
from engine.accounting.corporate_actions import unpaid_dividends
from engine.accounting.ledger import LedgerEntry, book_execution, deposit, tax_ids
from engine.accounting.nav import OptionRisk, ValuationContext, value_portfolio
from engine.accounting.reconciliation import ReconciliationReport, reconcile
from engine.accounting.sides import Evidence, KnownOrders, OurPrices, OwnOrder, Sides
from engine.carry.calendar import DayFacts, calendar_entries
from engine.model.breaks import BreakKind
from engine.model.market import Mark, Source
from engine.model.orders import ChildStatus, Fill, Side
from engine.model.policy import TransactionTax
from engine.model.portfolio import BrokerSnapshot, CashBasis, Portfolio, Valuation
from engine.model.universe import ContractBook
from engine.simulation.broker import SimulatedBroker
from engine.simulation.terms import BrokerTerms
from tests.engine.accounting.policies import RECONCILIATION
from tests.engine.simulation.exchange_world import (
    CARRY,
    CONTRACTS,
    COSTS,
    MONDAY,
    OPTION,
    SESSIONS,
    UNIVERSE,
    World,
    broker_terms,
    new_broker,
    order,
    utc,
)

D = Decimal
BOOK = ContractBook(universe=UNIVERSE, contracts=CONTRACTS)
BUY_LIMITS = {
    "EUR.USD": "1.2",
    "USD.CHF": "0.9",
    OPTION: "20",
    "M6E_20240318": "2",
    "AAA": "120",
    "PEN": "300",
}


@dataclass
class Comparison:
    """A fund and its broker in one small world; the fund books what it is told and what the calendar brings."""

    world: World
    broker: SimulatedBroker
    entries: list[LedgerEntry]
    portfolio: Portfolio
    booked_until: datetime
    fills: dict[str, Fill] = field(default_factory=dict)
    dividends_known: bool = True
    refs: set[str] = field(default_factory=set)
    taxes: tuple[TransactionTax, ...] = ()
    books_taxes: bool = True
    working: dict[str, OwnOrder] = field(default_factory=dict)

    @classmethod
    def begin(
        cls,
        world: World | None = None,
        deposited: str = "10000000",
        taxes: tuple[TransactionTax, ...] = (),
        charged: tuple[TransactionTax, ...] | None = None,
    ) -> Comparison:
        """Both sides at 06:00 of the first Monday, with the same deposit; ``charged`` is what the broker taxes."""
        known, opened = world or World(depth=D(1_000_000)), utc(MONDAY, 6)
        entries = [deposit(D(deposited), D(100_000), opened, "opening")]
        costs = replace(COSTS, transaction_taxes=taxes if charged is None else charged)
        broker = new_broker(known, at=opened, deposit=deposited, costs=costs)
        return cls(known, broker, entries, fold(entries, opened), opened, taxes=taxes)

    @property
    def terms(self) -> BrokerTerms:
        """The broker's world, for prices."""
        return broker_terms(self.world)

    def trade(self, *orders: tuple[str, int], hour: int = 15) -> list[Fill]:
        """Orders of the fund's own that fill at once, and are booked."""
        day = self.broker.now.date()
        self.live(utc(day, hour))
        before = set(self.fills)
        for contract_id, quantity in orders:
            ref = f"AF1.{len(self.refs)}.0"
            self.refs.add(ref)
            limit = BUY_LIMITS.get(contract_id, "20000") if quantity > 0 else "0.5"
            side = Side.BUY if quantity > 0 else Side.SELL
            child = order(
                contract_id, str(abs(quantity)), limit, side=side, ref=ref, good_till=utc(day, hour + 1)
            )
            self.broker.submit(child)
        self.live(utc(day, hour, 30))
        self.book_new()
        return [fill for name, fill in self.fills.items() if name not in before]

    def work(self, contract_id: str = "AAA", quantity: int = 100, limit: str = "90") -> str:
        """One order of the fund's own that works at the broker; its reference."""
        ref = f"AF1.{len(self.refs)}.0"
        self.refs.add(ref)
        child = order(contract_id, str(quantity), limit, ref=ref, good_till=utc(self.broker.now.date(), 20))
        self.broker.submit(child)
        self.working[ref] = OwnOrder(child=child, status=ChildStatus.WORKING, is_acknowledged=True)
        return ref

    def live(self, at: datetime) -> None:
        """Let both sides live until a time."""
        self.broker.advance(at)
        facts = {day: self._facts(day) for day in _days(self.booked_until.date(), at.date())}
        made = calendar_entries(
            self.portfolio, self.booked_until, at, facts, BOOK, CARRY, unpaid_dividends(self.entries)
        )
        self.post(made)
        self.booked_until = at

    def book_new(self) -> None:
        """Book every execution of our own orders that the broker lists; what corrects a booked one is left to others."""
        for fill in self.broker.executions():
            roots = {known.root for known in self.fills.values()}
            if fill.root not in roots and fill.quantity and fill.order_ref in self.refs:
                self.fills[fill.execution_id] = fill
                sleeves = {"unassigned": fill.signed_quantity}
                instrument = BOOK.instrument(fill.contract_id)
                self.post(book_execution(fill, instrument, sleeves, fill.executed_at))
                tax = transaction_tax(fill, instrument, self.taxes, fill.executed_at)
                if tax is not None and self.books_taxes:
                    self.post((tax,))

    def post(self, made: Sequence[LedgerEntry]) -> None:
        """Add entries to the ledger."""
        self.entries.extend(made)
        self.portfolio = apply(self.portfolio, *made) if made else self.portfolio

    def sides(self, contracts: ContractBook = BOOK) -> tuple[Sides, Valuation]:
        """Both sides now, and the valuation of ours."""
        return self.sides_of(self.broker.snapshot(self.broker.now), contracts)

    def sides_of(self, told: BrokerSnapshot, contracts: ContractBook = BOOK) -> tuple[Sides, Valuation]:
        """Our book beside a report of the broker."""
        at, marks = self.broker.now, self.marks()
        prices = OurPrices(marks=marks, fx=self.world.fx(at), live={})
        valuation = value_portfolio(
            self.portfolio,
            marks,
            prices.fx,
            BOOK,
            ValuationContext(trade_date=at.date(), as_of=at, basis=CashBasis.SETTLED, fx_hedges=frozenset()),
            {OPTION: OptionRisk(delta=-0.5, underlying_price=D(100))},
        )
        return Sides(portfolio=self.portfolio, broker=told, prices=prices, contracts=contracts), valuation

    def compare(
        self, evidence: Evidence | None = None, contracts: ContractBook = BOOK
    ) -> ReconciliationReport:
        """What the reconciliation says now; without other evidence it knows the account and all postings."""
        sides, valuation = self.sides(contracts)
        facts = evidence or Evidence()
        facts = replace(
            facts,
            account=self.broker.account,
            recent=facts.recent or tuple(self.entries),
            taxes=facts.taxes or self.taxes,
        )
        return reconcile(sides, valuation, RECONCILIATION, self.known(), facts)

    def known(self) -> KnownOrders:
        """Our references and what we booked."""
        ids = {entry.entry_id for entry in self.entries}
        return KnownOrders(
            order_refs=frozenset(self.refs),
            booked=tuple(self.fills[name] for name in sorted(self.fills)),
            taxed=frozenset(name for name in self.fills if ids.intersection(tax_ids(name))),
            working=tuple(self.working[ref] for ref in sorted(self.working)),
        )

    def causes(
        self, evidence: Evidence | None = None, contracts: ContractBook = BOOK
    ) -> dict[str, BreakKind]:
        """Named cause of every break, by its subject."""
        return {found.subject: found.cause for found in self.compare(evidence, contracts).breaks}

    def marks(self) -> dict[str, Mark]:
        """Last official closes of all contracts."""
        found = {}
        for contract_id in CONTRACTS:
            closing = self.terms.last_closing(contract_id, self.broker.now)
            if closing is not None:
                found[contract_id] = Mark(
                    contract_id=contract_id,
                    price=closing.price,
                    session_date=closing.session_date,
                    age_sessions=0,
                    source=Source.SIMULATED,
                )
        return found

    def _price(self, name: str, day: date) -> Decimal:
        """Official close of a day, of the last weekday before it on a weekend."""
        weekday = day - timedelta(days=max(0, day.weekday() - 4))
        dated = self.world.dated_closes.get((name, weekday))
        return self.world.closes[name] if dated is None else dated

    def _facts(self, day: date) -> DayFacts:
        closes, last = {}, {}
        for name, contract in CONTRACTS.items():
            if UNIVERSE[contract.instrument_id].venue != "FX":
                last[name] = self._price(name, day)
                if SESSIONS.is_session(UNIVERSE[contract.instrument_id].venue, day):
                    closes[name] = last[name]
        ratios = {row.instrument_id: (row.old_shares, row.new_shares) for row in self.world.splits(day)}
        return DayFacts(
            day=day,
            morning_prices={
                name: (self._price(name, day - timedelta(days=1)) * old / new).quantize(D("0.00000001"))
                for name, (old, new) in ratios.items()
            },
            closes=closes,
            last_closes=last,
            dividends=self.world.dividends(day) if self.dividends_known else (),
            splits=self.world.splits(day),
            borrow_fee_bps={"AAA": self.world.fee_bps, "PEN": self.world.fee_bps},
        )


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def at_six(day: date) -> datetime:
    """06:00 UTC of a date."""
    return datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
