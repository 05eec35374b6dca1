"""Small things that state tests write: keys, runs, jobs, intents, children and fills."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from engine.accounting.ledger import EntryKind, LedgerEntry, LedgerLine, deposit
from engine.model.absence import AbsenceEvidence, AbsencePolicy, Attestation, HeldTwice, LookFinding
from engine.model.context import Mode, RunKey, RunKind
from engine.model.instruments import VenueGroup
from engine.model.orders import (
    ChildOrder,
    ExecutionJob,
    Fill,
    OrderIntent,
    OrderType,
    Reason,
    Side,
    Urgency,
    order_reference,
)
from engine.model.policy import TransactionTax
from engine.model.windows import ExecutionStyle, LiquidityWindow
from state.database import Database
from state.gate import OrderLimits, plan_child
from state.orders import OrderStore
from state.runs import RunStore
from tests.engine.accounting.builders import BOOK

D = Decimal
ACCOUNT = "SIM-fund-42"
DAY = date(2025, 12, 1)
NOW = datetime(2025, 12, 1, 6, 0, tzinfo=UTC)


def later(seconds: float = 0, days: int = 0) -> datetime:
    return NOW + timedelta(days=days, seconds=seconds)


def make_key(kind: RunKind = RunKind.DECISION, trade_date: date = DAY, account: str = ACCOUNT) -> RunKey:
    return RunKey(account=account, mode=Mode.SIMULATED, trade_date=trade_date, kind=kind)


def make_deposit(
    amount: str = "10000000", reference: str = "opening", booked_at: datetime = NOW
) -> LedgerEntry:
    return deposit(D(amount), D(amount) / 100, booked_at, reference)


def make_interest(name: str, amount: str = "1.5", booked_at: datetime = NOW) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"interest:{name}",
        kind=EntryKind.INTEREST,
        booked_at=booked_at,
        value_date=booked_at.date(),
        contract_id=None,
        reference="",
        price=None,
        quantity=None,
        lines=(
            LedgerLine(account="cash", unit="USD", amount=D(amount)),
            LedgerLine(account="income:interest", unit="USD", amount=-D(amount)),
        ),
    )


STAMP = TransactionTax(
    venue="XNYS", side=Side.BUY, rate=D("0.005"), first=date(1986, 10, 27), last=None, source="test"
)
LIMITS = OrderLimits(max_orders=100, max_order_usd=D(10_000_000), max_turnover_usd=D(10_000_000))


def make_intent(
    name: str = "parent",
    quantity: str = "100",
    side: Side = Side.BUY,
    contract_id: str = "AAPL",
    *,
    sleeves: Mapping[str, str] | None = None,
    reduce_only: bool = False,
) -> OrderIntent:
    signed = D(quantity) * side.sign
    split = (
        {"core_index_rv": signed} if sleeves is None else {key: D(value) for key, value in sleeves.items()}
    )
    return OrderIntent(
        intent_id=name,
        contract_id=contract_id,
        instrument_id=BOOK.contract(contract_id).instrument_id,
        side=side,
        quantity=D(quantity),
        reason=Reason.REBALANCE,
        urgency=Urgency.NORMAL,
        group=None,
        reduce_only=reduce_only,
        sleeves=split,
        decision_price=D("190"),
    )


def make_job(name: str = "job", *intents: OrderIntent, content: str = "first") -> ExecutionJob:
    window = LiquidityWindow(venue="XNYS", style=ExecutionStyle.MIDDAY, start=later(3600), end=later(7200))
    return ExecutionJob(
        job_id=name,
        trade_date=DAY,
        venue="XNYS",
        venue_group=VenueGroup.US,
        style=ExecutionStyle.MIDDAY,
        window=window,
        group="core",
        after=(),
        intents=intents,
        content_digest=content,
    )


def make_child(
    intent: OrderIntent, attempt: int = 1, quantity: str | Decimal = "100", price: str = "190.05"
) -> ChildOrder:
    return ChildOrder(
        order_ref=order_reference(intent.intent_id, attempt),
        intent_id=intent.intent_id,
        attempt=attempt,
        contract_id=intent.contract_id,
        side=intent.side,
        quantity=D(quantity),
        order_type=OrderType.LIMIT,
        limit_price=D(price),
        time_in_force="DAY",
        good_till=later(7200),
    )


def word_that_it_is_absent(child: ChildOrder) -> AbsenceEvidence:
    """A person's word, beside one look at the broker that knows nothing of the order."""
    held = tuple(HeldTwice(contract_id=name, ours=D(0), broker=D(0)) for name in child.contract_ids)
    return AbsenceEvidence(
        order_ref=child.order_ref,
        sent_at=NOW,
        client_id=1,
        order_id=None,
        contract_ids=child.contract_ids,
        now=NOW,
        policy=AbsencePolicy(broker_zone="America/New_York"),
        looks=(LookFinding(at=NOW, found=(), positions=held),),
        attestation=Attestation(text="it never came", operator="Ada", reason="asked the desk"),
    )


def make_fill(
    child: ChildOrder,
    quantity: str | Decimal,
    execution_id: str = "0001.01",
    price: str = "190",
    commission: str | None = "1",
) -> Fill:
    return Fill(
        execution_id=execution_id,
        order_ref=child.order_ref,
        contract_id=child.contract_id,
        side=child.side,
        quantity=D(quantity),
        price=D(price),
        executed_at=later(3700),
        commission=None if commission is None else D(commission),
        commission_currency=None if commission is None else "USD",
    )


def open_orders(
    database: Database, limits: OrderLimits = LIMITS, taxes: tuple[TransactionTax, ...] = ()
) -> OrderStore:
    """An order book of a claimed execution run."""
    claimed = RunStore(database).claim(make_key(RunKind.EXECUTION), NOW, "code", "config")
    return OrderStore(database, ACCOUNT, claimed.run_id, claimed.epoch, limits, BOOK, taxes)


def plan(store: OrderStore, child: ChildOrder) -> None:
    """Keep a child PLANNED that never came to the send gate, as an earlier version left them."""
    with store._database.transaction() as connection:
        plan_child(connection, store._sender, child, DAY)
