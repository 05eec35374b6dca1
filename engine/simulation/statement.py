"""The simulated broker's statement of an account: what it executed, paid, charged and holds over whole UTC days.

It is written from the account's own history, whatever its listings hide, and knows nothing of the fund's book. Cash
comes from the postings and trades from the executions, so that a statement that does not contradict itself also says
that the account was kept well. Its day is the UTC calendar day, as that of the settlement rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal
from typing import assert_never

from engine.accounting.statement import (
    CashComponent,
    CashKind,
    CashReport,
    Statement,
    StatementCash,
    StatementPosition,
    StatementTrade,
    TradeKind,
)
from engine.errors import ConfigurationError
from engine.model.encoding import decode
from engine.model.instruments import Instrument
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill, Side
from engine.simulation.account import AccountState, Posting, PostingKind
from engine.simulation.bookkeeping import base_currency, is_currency_pair
from engine.simulation.journal import BrokerJournal, RecordKind
from engine.simulation.settlement import SETTLEMENT_TIME, expiry_price
from engine.simulation.terms import BrokerTerms

_MICRO = Decimal("0.000001")
_INSTANT = timedelta(microseconds=1)
_END = datetime.max.replace(tzinfo=UTC)
_OF_A_SHARE = (CashKind.DIVIDEND, CashKind.WITHHOLDING, CashKind.BORROW_FEE, CashKind.CASH_IN_LIEU)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHistory:
    """Everything that an account ever booked and executed, in order; ``numbers`` are those of the postings."""

    postings: tuple[Posting, ...]
    numbers: tuple[str, ...]
    executions: tuple[Fill, ...]

    @classmethod
    def read(cls, journal: BrokerJournal) -> AccountHistory:
        """History of a journal, live rows and archived ones."""
        postings = journal.history(RecordKind.POSTING)
        return cls(
            postings=tuple(decode(Posting, record.body) for record in postings),
            numbers=tuple(record.key for record in postings),
            executions=tuple(decode(Fill, record.body) for record in journal.history(RecordKind.EXECUTION)),
        )


def account_statement(
    history: AccountHistory, state: AccountState, terms: BrokerTerms, first: date, last: date
) -> Statement:
    """The statement of the days ``first`` to ``last``; raises `ConfigurationError` while the last is not settled."""
    now = state.head.virtual_time
    if now < datetime.combine(last, SETTLEMENT_TIME, UTC) or first > last:
        raise ConfigurationError(
            f"expected a period that ends with a settled day, found {first} to {last}; the account {state.head.account} "
            f"has lived until {now:%Y-%m-%d %H:%M} UTC, and a day is settled at {SETTLEMENT_TIME:%H:%M}"
        )
    begins = datetime.combine(first, time(), UTC)
    ends = datetime.combine(last + timedelta(days=1), time(), UTC)
    taxes = _taxes(history.postings)
    trades = [
        *(row for fill in history.executions if begins <= fill.executed_at < ends
          for row in _execution_rows(terms, fill, history.executions, taxes)),
        *_expiries(terms, history.executions, begins, ends),
    ]  # fmt: skip
    return Statement(
        account=state.head.account,
        first=first,
        last=last,
        begins=begins,
        ends=ends,
        generated_at=now,
        trades=tuple(sorted(trades, key=lambda row: (row.fill.executed_at, row.transaction_id))),
        cash=tuple(_cash_rows(history, terms, begins, ends)),
        positions=tuple(_positions(history.executions, state, terms, ends)),
        reports=tuple(_reports(history.postings, terms, begins, ends)),
    )


def _execution_rows(
    terms: BrokerTerms, fill: Fill, executions: Sequence[Fill], taxes: Mapping[str, Decimal]
) -> Iterator[StatementTrade]:
    """The execution itself; a corrected one is cancelled first, and one corrected to nothing is only cancelled."""
    earlier = [
        other for other in executions if other.root == fill.root and other.execution_id < fill.execution_id
    ]
    if earlier:
        yield _trade_row(terms, TradeKind.CANCEL, earlier[-1], fill, taxes)
    if fill.quantity != 0:
        yield _trade_row(terms, TradeKind.CORRECTION if earlier else TradeKind.EXECUTION, fill, fill, taxes)


def _trade_row(
    terms: BrokerTerms, kind: TradeKind, fill: Fill, booked: Fill, taxes: Mapping[str, Decimal]
) -> StatementTrade:
    """``booked`` is the execution at whose time the row happened; ``taxes`` are signed, by execution id."""
    instrument = terms.instrument(fill.contract_id)
    sign = -1 if kind is TradeKind.CANCEL else 1
    number = "".join(digit for digit in fill.execution_id if digit.isdigit())
    return StatementTrade(
        kind=kind,
        transaction_id=f"{4 if kind is TradeKind.CANCEL else 2}{number}",
        fill=fill,
        quantity=sign * fill.signed_quantity,
        trade_date=booked.executed_at.date(),
        currency=instrument.currency,
        unit_price=fill.price / instrument.price_magnifier,
        multiplier=instrument.multiplier,
        proceeds=_proceeds(instrument, sign * fill.signed_quantity, fill.price),
        commission=-sign * (fill.commission or ZERO),
        commission_currency=fill.commission_currency or instrument.currency,
        taxes=sign * taxes.get(fill.execution_id, ZERO),
        settled_daily=instrument.is_future,
        bought_currency=base_currency(instrument) if is_currency_pair(instrument) else None,
    )


def _taxes(postings: Sequence[Posting]) -> Mapping[str, Decimal]:
    """Transaction tax by execution, as cash moved."""
    found: dict[str, Decimal] = {}
    for posting in postings:
        if posting.kind is PostingKind.TAX:
            found[posting.reference] = found.get(posting.reference, ZERO) + posting.amount
    return found


def _proceeds(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    return ZERO if instrument.is_future else -round_money(instrument.notional(quantity, price))


def _expiries(
    terms: BrokerTerms, executions: Sequence[Fill], begins: datetime, ends: datetime
) -> Iterator[StatementTrade]:
    """Contracts whose last day lies in the period, closed at the settlement of that day."""
    number = 0
    for contract_id in sorted({fill.contract_id for fill in executions}):
        last_trade = terms.facts.contract(contract_id).last_trade_date
        if last_trade is None or not begins <= datetime.combine(last_trade, SETTLEMENT_TIME, UTC) < ends:
            continue
        at = datetime.combine(last_trade, SETTLEMENT_TIME, UTC)
        held = _executed(executions, contract_id, at)
        if held == 0:
            continue
        number += 1
        instrument, transaction = terms.instrument(contract_id), f"3{last_trade:%Y%m%d}{number:04d}"
        price = expiry_price(terms, contract_id, last_trade, at)
        closing = Fill(
            execution_id=f"event-{transaction}",
            order_ref=None,
            contract_id=contract_id,
            side=Side.of(-held),
            quantity=abs(held),
            price=price,
            executed_at=at,
            commission=ZERO,
            commission_currency=instrument.currency,
        )
        row = _trade_row(terms, TradeKind.EVENT, closing, closing, {})
        yield replace(row, transaction_id=transaction)


def _executed(executions: Sequence[Fill], contract_id: str, before: datetime) -> Decimal:
    """Quantity that executions made up to a time, each in its newest form."""
    newest: dict[str, Fill] = {}
    for fill in sorted(executions, key=lambda found: found.execution_id):
        if fill.contract_id == contract_id and fill.executed_at < before:
            newest[fill.root] = fill
    return sum((fill.signed_quantity for fill in newest.values()), ZERO)


def _cash_rows(
    history: AccountHistory, terms: BrokerTerms, begins: datetime, ends: datetime
) -> Iterator[StatementCash]:
    for number, posting in zip(history.numbers, history.postings, strict=True):
        kind = _cash_kind(posting.kind)
        if kind is None or not begins <= posting.at < ends:
            continue
        subject = posting.reference.partition("|")[0]
        is_share = subject and kind in _OF_A_SHARE
        yield StatementCash(
            transaction_id=f"1{number}",
            kind=kind,
            currency=posting.currency,
            amount=posting.amount,
            contract_id=terms.facts.contract(subject).contract_id if is_share else None,
            value_date=posting.at.date(),
            text=_text(kind, posting, subject),
        )


def _cash_kind(kind: PostingKind) -> CashKind | None:
    """What a posting is in the customer's words; ``None`` for what the trades or the cash report tell."""
    match kind:
        case PostingKind.TRADE | PostingKind.COMMISSION | PostingKind.TAX | PostingKind.CONVERSION:
            return None
        case PostingKind.VARIATION | PostingKind.EXPIRY:
            return None
        case PostingKind.DEPOSIT:
            return CashKind.FLOW
        case PostingKind.INTEREST:
            return CashKind.INTEREST
        case PostingKind.BORROW_FEE:
            return CashKind.BORROW_FEE
        case PostingKind.DIVIDEND:
            return CashKind.DIVIDEND
        case PostingKind.WITHHOLDING:
            return CashKind.WITHHOLDING
        case PostingKind.CASH_IN_LIEU:
            return CashKind.CASH_IN_LIEU
        case PostingKind.ADJUSTMENT:
            return CashKind.FEE
        case _:
            assert_never(kind)


def _text(kind: CashKind, posting: Posting, subject: str) -> str:
    words = {
        CashKind.DIVIDEND: f"{subject} CASH DIVIDEND {posting.reference.partition('|')[2]}",
        CashKind.WITHHOLDING: f"{subject} CASH DIVIDEND {posting.reference.partition('|')[2]} TAX",
        CashKind.INTEREST: f"{posting.currency} INTEREST {posting.at:%Y-%m-%d}",
        CashKind.BORROW_FEE: f"{posting.currency} BORROW FEES {subject} {posting.at:%Y-%m-%d}",
        CashKind.CASH_IN_LIEU: f"{subject} CASH IN LIEU OF FRACTIONS",
        CashKind.FLOW: "CASH RECEIPTS" if posting.amount > 0 else "DISBURSEMENT",
    }
    return words.get(kind, "ADJUSTMENT")


def _positions(
    executions: Sequence[Fill], state: AccountState, terms: BrokerTerms, ends: datetime
) -> Iterator[StatementPosition]:
    """Holdings at the end of the period: those of now with what was executed since taken back."""
    names = {key for key, _ in state.positions.items()} | {fill.contract_id for fill in executions}
    shares = (
        _replayed(executions, terms, ends) if _acted_since(terms, ends, state.head.virtual_time) else None
    )
    for contract_id in sorted(names | set(shares or ())):
        instrument = terms.instrument(contract_id)
        last_trade = terms.facts.contract(contract_id).last_trade_date
        if is_currency_pair(instrument) or (last_trade is not None and last_trade < ends.date()):
            continue
        if last_trade is not None and last_trade <= state.head.virtual_time.date():
            quantity = _executed(executions, contract_id, ends)
        elif last_trade is None and shares is not None:
            quantity = shares.get(contract_id, ZERO)
        else:
            since = _executed(executions, contract_id, _END) - _executed(executions, contract_id, ends)
            quantity = state.quantity(contract_id) - since
        if quantity == 0:
            continue
        price = terms.required_closing(contract_id, ends - _INSTANT)
        yield StatementPosition(
            contract_id=contract_id,
            quantity=quantity,
            currency=instrument.currency,
            multiplier=instrument.multiplier,
            unit_mark=price / instrument.price_magnifier,
            value=round_money(instrument.notional(quantity, price)),
        )


def _acted_since(terms: BrokerTerms, ends: datetime, now: datetime) -> bool:
    """Whether a share was split or renamed since the end of the period: then the holding of now does not lead back."""
    days = [ends.date() + timedelta(days=ahead) for ahead in range((now.date() - ends.date()).days + 1)]
    return any(terms.facts.splits(day) or terms.facts.symbol_changes(day) for day in days)


def _replayed(executions: Sequence[Fill], terms: BrokerTerms, ends: datetime) -> dict[str, Decimal]:
    """Quantities of shares by their executions, splits and new symbols from the first one on."""
    if not executions:
        return {}
    held: dict[str, Decimal] = {}
    day = min(fill.executed_at for fill in executions).date()
    names = {fill.contract_id for fill in executions}
    while day < ends.date():
        for split in terms.facts.splits(day):
            quantity = held.get(split.instrument_id, ZERO) * split.new_shares / split.old_shares
            rounded = quantity.quantize(_MICRO, rounding=ROUND_HALF_EVEN)
            held[split.instrument_id] = rounded.to_integral_value(rounding=ROUND_DOWN)
        for change in terms.facts.symbol_changes(day):
            held[change.new_instrument_id] = held.pop(change.instrument_id, ZERO)
        start = datetime.combine(day, time(), UTC)
        day += timedelta(days=1)
        for name in names:
            traded = _executed(executions, name, start + timedelta(days=1)) - _executed(
                executions, name, start
            )
            held[name] = held.get(name, ZERO) + traded
    return held


def _reports(
    postings: Sequence[Posting], terms: BrokerTerms, begins: datetime, ends: datetime
) -> Iterator[CashReport]:
    for currency in sorted({posting.currency for posting in postings if posting.at < ends}):
        own = [posting for posting in postings if posting.currency == currency]
        starting = sum((posting.amount for posting in own if posting.at < begins), ZERO)
        components: dict[CashComponent, Decimal] = {}
        for posting in own:
            if begins <= posting.at < ends:
                component = _component(terms, posting)
                components[component] = components.get(component, ZERO) + posting.amount
        yield CashReport(
            currency=currency,
            starting=starting,
            ending=starting + sum(components.values(), ZERO),
            components=components,
        )


def _component(terms: BrokerTerms, posting: Posting) -> CashComponent:  # noqa: C901 - one arm a kind
    match posting.kind:
        case PostingKind.TRADE | PostingKind.CONVERSION:
            return CashComponent.TRADES
        case PostingKind.COMMISSION:
            return CashComponent.COMMISSIONS
        case PostingKind.TAX:
            return CashComponent.TAXES
        case PostingKind.VARIATION:
            return CashComponent.SETTLEMENT
        case PostingKind.EXPIRY:
            contract_id = posting.reference.partition("|")[0]
            is_future = terms.instrument(contract_id).is_future
            return CashComponent.SETTLEMENT if is_future else CashComponent.TRADES
        case PostingKind.INTEREST | PostingKind.BORROW_FEE:
            return CashComponent.INTEREST
        case PostingKind.DIVIDEND:
            return CashComponent.DIVIDENDS
        case PostingKind.WITHHOLDING:
            return CashComponent.WITHHOLDING
        case PostingKind.CASH_IN_LIEU:
            return CashComponent.OTHER
        case PostingKind.DEPOSIT:
            return CashComponent.FLOWS
        case PostingKind.ADJUSTMENT:
            return CashComponent.FEES
        case _:
            assert_never(posting.kind)
