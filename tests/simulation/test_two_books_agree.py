"""The broker's account and the fund's ledger, kept by different code from the same facts, agree to the last digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.accounting.book import apply, fold
from engine.accounting.charges import transaction_tax
from engine.accounting.ledger import LedgerEntry, book_execution, deposit
from engine.carry.borrow import unsettled_shares, unsettled_trades
from engine.carry.calendar import DayFacts, calendar_entries
from engine.carry.postings import posted_month, unpaid_accruals
from engine.model.carry import CarryPolicy, InterestPosting, RateTier, SettlementCycle, WithholdingTax
from engine.model.instruments import InstrumentType
from engine.model.market import Dividend, Split
from engine.model.orders import Side
from engine.model.policy import TransactionTax
from engine.model.portfolio import Portfolio
from engine.model.universe import ContractBook
from engine.simulation.broker import SimulatedBroker
from tests.engine.simulation.exchange_world import (
    CARRY,
    CONTRACTS,
    COSTS,
    FUTURE,
    MONDAY,
    OPTION,
    SESSIONS,
    UNIVERSE,
    World,
    new_broker,
    order,
    utc,
)

MICRO = Decimal("0.000001")
BOOK = ContractBook(universe=UNIVERSE, contracts=CONTRACTS)
LAST = date(2024, 3, 18)
DAYS = [MONDAY + timedelta(days=n) for n in range((LAST - MONDAY).days + 1)]
FIRST_CLOSES = {"AAA": Decimal(100), "PEN": Decimal(250), FUTURE: Decimal(5000), OPTION: Decimal(12)}
STEPS = {"AAA": Decimal("0.37"), "PEN": Decimal("1.3"), FUTURE: Decimal("7.25"), OPTION: Decimal("0.05")}
DIVIDENDS = (
    Dividend(
        instrument_id="AAA", ex_date=date(2024, 3, 6), pay_date=date(2024, 3, 12), amount=Decimal("0.31")
    ),
    Dividend(
        instrument_id="PEN", ex_date=date(2024, 3, 7), pay_date=date(2024, 3, 30), amount=Decimal("0.042")
    ),
)
SPLIT = Split(instrument_id="AAA", ex_date=date(2024, 3, 13), new_shares=3, old_shares=2)

TAX = TransactionTax(
    venue=UNIVERSE["AAA"].venue, side=Side.BUY, rate=Decimal("0.005"), first=MONDAY, last=None, source="test"
)


def _tiers(*rows: tuple[int, str | None]) -> tuple[RateTier, ...]:
    return tuple(
        RateTier(above=Decimal(above), spread_annual=None if spread is None else Decimal(spread))
        for above, spread in rows
    )


CREDIT = _tiers((0, None), (2_000, "-0.005"), (9_990_000, "-0.0013"))
DEBIT = _tiers((0, "0.015"), (1_000, "0.01"))
PROCEEDS = _tiers((0, None), (1_500, "-0.0125"))
TERMS = replace(
    CARRY,
    dividends=replace(
        CARRY.dividends,
        withholding=tuple(
            WithholdingTax(
                country="US", kind=kind, rate=Decimal("0.26375"), first=MONDAY, last=None, source="test"
            )
            for kind in (InstrumentType.STK, InstrumentType.ETF)
        ),
    ),
    financing=replace(
        CARRY.financing,
        credit_tiers=dict.fromkeys(CARRY.financing.day_count, CREDIT),
        debit_tiers=dict.fromkeys(CARRY.financing.day_count, DEBIT),
        short_proceeds_tiers=dict.fromkeys(CARRY.financing.day_count, PROCEEDS),
    ),
    settlement=tuple(
        SettlementCycle(venue=row.venue, sessions=2, first=MONDAY, last=None, source="test")
        for row in CARRY.settlement
    ),
)
"""Terms under which everything bites: tax withheld, tiers, trades that settle on the second session."""


def _world(moves: Sequence[int]) -> World:
    """Closes that walk by whole steps; the option ends at its intrinsic value, the share is split."""
    world = World(dividend_list=DIVIDENDS, split_list=(SPLIT,), depth=Decimal(10_000))
    closes = dict(FIRST_CLOSES)
    for day, move in zip(DAYS, moves, strict=True):
        if day == SPLIT.ex_date:
            closes["AAA"] = closes["AAA"] * 2 / 3
        closes = {name: (price + move * STEPS[name]).quantize(MICRO) for name, price in closes.items()}
        world.dated_closes.update({(name, day): price for name, price in closes.items()})
        if day == CONTRACTS[OPTION].last_trade_date:
            world.dated_closes[OPTION, day] = max(Decimal(0), 100 - closes["AAA"])
    return world


def _facts(world: World, day: date) -> DayFacts:
    def has_session(contract_id: str) -> bool:
        return SESSIONS.is_session(UNIVERSE[CONTRACTS[contract_id].instrument_id].venue, day)

    def newest(contract_id: str) -> Decimal:
        past = [d for d in DAYS if d <= day and d.weekday() < 5]
        known = world.dated_closes.get((contract_id, past[-1]))
        return world.closes[contract_id] if known is None else known

    closes = {contract_id: newest(contract_id) for contract_id in FIRST_CLOSES if has_session(contract_id)}
    return DayFacts(
        day=day,
        closes=closes,
        last_closes={contract_id: newest(contract_id) for contract_id in FIRST_CLOSES},
        dividends=world.dividends(day),
        splits=world.splits(day),
        borrow_fee_bps={"AAA": world.fee_bps, "PEN": world.fee_bps},
        morning_prices={} if day != SPLIT.ex_date else {"AAA": _before_the_split(world)},
    )


def _before_the_split(world: World) -> Decimal:
    """Tuesday's close per new share: three for two."""
    return (world.dated_closes["AAA", date(2024, 3, 12)] * 2 / 3).quantize(Decimal("0.00000001"))


@dataclass
class _Fund:
    """The fund's side: its ledger, kept from executions and the calendar alone."""

    world: World
    entries: list[LedgerEntry]
    portfolio: Portfolio
    booked_until: datetime
    seen: set[str]
    terms: CarryPolicy = TERMS

    def live_until(self, at: datetime) -> None:
        trades = unsettled_trades(
            self.entries, self.booked_until.date(), BOOK, SESSIONS, self.terms.settlement
        )
        days = [
            self.booked_until.date() + timedelta(days=n)
            for n in range((at.date() - self.booked_until.date()).days + 1)
        ]
        facts = {
            day: replace(
                _facts(self.world, day),
                unsettled=unsettled_shares(trades, (SPLIT,), day),
                posted_month=posted_month(day, self.terms.financing, SESSIONS),
            )
            for day in days
        }
        made = calendar_entries(
            self.portfolio, self.booked_until, at, facts, BOOK, self.terms, unpaid_accruals(self.entries)
        )
        self._post(made)
        self.booked_until = at

    def book_new(self, broker: SimulatedBroker) -> None:
        for fill in broker.executions():
            if fill.execution_id not in self.seen:
                self.seen.add(fill.execution_id)
                instrument = BOOK.instrument(fill.contract_id)
                sleeves = {"unassigned": fill.signed_quantity}
                self._post(book_execution(fill, instrument, sleeves, fill.executed_at))
                tax = transaction_tax(fill, instrument, (TAX,), fill.executed_at)
                self._post(() if tax is None else (tax,))

    def _post(self, made: Sequence[LedgerEntry]) -> None:
        self.entries.extend(made)
        self.portfolio = apply(self.portfolio, *made) if made else self.portfolio


def _new_fund(world: World, opened: datetime) -> _Fund:
    entries = [deposit(Decimal(10_000_000), Decimal(100_000), opened, "opening")]
    return _Fund(world, entries, fold(entries, opened), opened, set())


def _same(broker: SimulatedBroker, fund: _Fund) -> None:
    cash = {currency: amount for currency, amount in broker.state.cash.items() if amount != 0}
    assert {currency: amount for currency, amount in fund.portfolio.cash.items() if amount != 0} == cash
    held = {key: line.quantity for key, line in broker.state.positions.items() if line.quantity != 0}
    assert {k: p.quantity for k, p in fund.portfolio.positions.items() if p.quantity != 0} == held
    costs = {key: line.futures_cost for key, line in broker.state.positions.items() if line.futures_cost != 0}
    ours = {
        k: p.cost for k, p in fund.portfolio.positions.items() if BOOK.instrument(k).is_future and p.cost != 0
    }
    assert ours == costs
    accrued = dict(broker.snapshot(broker.now).accrued)
    accrued = {currency: amount for currency, amount in accrued.items() if amount != 0}
    assert {
        currency: amount for currency, amount in fund.portfolio.accruals.items() if amount != 0
    } == accrued


_TRADE = st.tuples(
    st.integers(0, len(DAYS) - 4),
    st.sampled_from(["AAA", "PEN", FUTURE, OPTION, "EUR.USD", "USD.CHF"]),
    st.integers(-40, 40).filter(bool),
)


# Long and short of everything, over dividend, split, both expiries and two weekends.
_BUSY = [(0, name, quantity) for name in [*FIRST_CLOSES, "EUR.USD", "USD.CHF"] for quantity in (30, -71)]


@example(trades=_BUSY, moves=[-1, -2, -3, 0, -2, 0, 0, 3, 1, 2, -1, 3, 0, 0, 1])
@given(
    trades=st.lists(_TRADE, min_size=1, max_size=14),
    moves=st.lists(st.integers(-3, 3), min_size=len(DAYS), max_size=len(DAYS)),
)
@settings(max_examples=40, deadline=None)
def test_broker_and_ledger_agree_to_the_last_digit_after_every_trade_and_every_night(
    trades: list[tuple[int, str, int]], moves: list[int]
) -> None:
    world, opened = _world(moves), utc(MONDAY, 6)
    broker = new_broker(world, at=opened, carry=TERMS, costs=replace(COSTS, transaction_taxes=(TAX,)))
    fund = _new_fund(world, opened)
    for number, day in enumerate(DAYS):
        fund.live_until(datetime(day.year, day.month, day.day, 15, tzinfo=UTC) if number else opened)
        broker.advance(utc(day, 15))
        for row, (when, contract_id, quantity) in enumerate(trades):
            if when == number:
                side = Side.BUY if quantity > 0 else Side.SELL
                limit = {"EUR.USD": "1.2", "USD.CHF": "0.9", OPTION: "99"}.get(contract_id, "20000")
                child = order(
                    contract_id,
                    str(abs(quantity)),
                    limit if side is Side.BUY else "0.5",
                    side=side,
                    ref=f"AF1.{number}.{row}",
                    good_till=utc(day, 16),
                )
                broker.submit(child)
        broker.advance(utc(day, 16))
        fund.book_new(broker)
        _same(broker, fund)
        broker.advance(utc(day, 23))
        fund.live_until(utc(day, 23))
        _same(broker, fund)

    assert len(fund.seen) == broker.state.head.executions


def test_interest_of_a_month_is_accrued_by_the_day_and_paid_on_the_third_session_of_the_next() -> None:
    world = World(depth=Decimal(10_000))
    terms = replace(TERMS, financing=replace(TERMS.financing, posting=InterestPosting.MONTHLY))
    opened = utc(date(2024, 3, 18), 6)
    broker = new_broker(world, at=opened, carry=terms)
    fund = replace(_new_fund(world, opened), terms=terms)
    fund.live_until(utc(date(2024, 3, 18), 15))
    broker.advance(utc(date(2024, 3, 18), 15))
    broker.submit(order("AAA", "5000", "0.5", side=Side.SELL, good_till=utc(date(2024, 3, 18), 16)))
    broker.advance(utc(date(2024, 3, 18), 16))
    fund.book_new(broker)
    cash = dict(fund.portfolio.cash)
    for day in (date(2024, 3, 31), date(2024, 4, 2)):
        broker.advance(utc(day, 23))
        fund.live_until(utc(day, 23))
        _same(broker, fund)
        assert fund.portfolio.cash == cash
    march = sum(
        (line.amount for entry in fund.entries if entry.value_date < date(2024, 4, 1)
         for line in entry.lines if line.account == "accrual:interest"),
        Decimal(0),
    )  # fmt: skip
    broker.advance(utc(date(2024, 4, 3), 6))
    fund.live_until(utc(date(2024, 4, 3), 6))
    _same(broker, fund)
    assert fund.portfolio.cash["USD"] - cash["USD"] == march != 0
    paid = [entry.entry_id for entry in fund.entries if "-posted:" in entry.entry_id]
    assert paid == ["borrow_fee-posted:USD:2024-03", "interest-posted:USD:2024-03"]
