"""Import the broker's statement: match its rows with the book, book what is explained and configured, keep the rest.

The order matters. Executions come first, each at its own time while that is still open; then the calendar settles to
the statement's end, on the holdings that were really there; then cash is compared, and what the statement proves of
orders of unknown fate. Every act is idempotent by execution id or transaction id, so an import that was interrupted
is simply made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.accounting.statement import CashKind, Statement, contradictions
from engine.accounting.statement_cash import cash_lines, position_lines, report_lines
from engine.accounting.statement_events import event_lines
from engine.accounting.statement_findings import BookSide, Finding, StatementLine, StatementPolicy
from engine.accounting.statement_orders import OrderFate, order_fates
from engine.accounting.statement_trades import trade_lines
from engine.carry.postings import month_payments, unpaid_accruals
from engine.errors import RefusedError, StatementError
from engine.execution.absence import evidence_of, judge_absence
from engine.model.absence import StatementProof
from engine.model.carry import InterestPosting
from engine.model.encoding import digest, digest_bytes
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO
from engine.model.orders import ChildStatus
from engine.ports import ChildRecord
from state.executions import parents_of
from state.gate import OrderLimits
from state.orders import OrderStore
from state.runs import ClaimOutcome
from state.statements import StatementHeader, StatementRow, StatementStore
from tasks.adapters.flex import read_flex
from tasks.adapters.flex_names import FlexNames
from tasks.day import wall_clock
from tasks.runtime import World
from tasks.settling import closed_until, settle_calendar, valued_until

BOOKED, MATCHED, LEFT = "BOOKED", "MATCHED", "LEFT"
INSTANT = timedelta(microseconds=1)
_MOST_TOLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLine:
    """A line of the statement with what was done: BOOKED now, MATCHED with the book, or LEFT to a person."""

    line: StatementLine
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementImport:
    """What an import did."""

    statement: Statement
    file_digest: str
    lines: tuple[ImportedLine, ...]
    orders: tuple[OrderFate, ...]

    def count(self, outcome: str) -> int:
        """Lines of one outcome."""
        return sum(line.outcome == outcome for line in self.lines)


def read_statement(content: bytes, account: str, zone: ZoneInfo, names: FlexNames) -> Statement:
    """The statement of a file; raises `StatementError` when it is cut, of another account, or contradicts itself."""
    statement = read_flex(content, zone, names)
    if statement.account != account:
        raise StatementError(
            f"expected a statement of {account}, found one of {statement.account}; nothing was read from it"
        )
    found = contradictions(statement)
    if found:
        more = f" and {len(found) - _MOST_TOLD} more" if len(found) > _MOST_TOLD else ""
        raise StatementError(
            f"expected a statement that agrees with itself, found {'; '.join(found[:_MOST_TOLD])}{more}; nothing was "
            "booked from it: ask the broker for it again"
        )
    return statement


def import_statement(world: World, content: bytes) -> StatementImport:
    """Import one file; raises `StatementError` when it is refused and `RefusedError` while a run is under way."""
    zone = ZoneInfo(world.configuration.settings.statement.time_zone)
    statement = read_statement(content, world.account, zone, FlexNames(world.universe))
    refuse_while_running(world)
    file_digest = digest_bytes(content)
    identities = row_digests(statement)
    store = StatementStore(world.database)
    known = store.known_digests(world.account, tuple(identities))
    changed = [name for name, found in known.items() if identities[name] != found]
    if changed:
        raise StatementError(
            f"expected rows as an earlier statement had them, found others under the same id: "
            f"{', '.join(changed[:_MOST_TOLD])}; nothing was booked: ask the broker which of them is right"
        )
    orders = order_store(world)
    orders.spend([row.fill.order_ref for row in statement.trades if row.fill.order_ref is not None])
    before = book_side(world, statement)
    trades = _book(world, orders, before, trade_lines(statement, before))
    _settle(world, statement)
    _pay_month(world, statement)
    settled = book_side(world, statement)
    events = _book(world, orders, settled, event_lines(statement, settled))
    cash = _book(world, orders, settled, cash_lines(statement, settled))
    after = book_side(world, statement)
    proofs = (*position_lines(statement, after), *report_lines(statement, after))
    lines = (*trades, *events, *cash, *(_told(line) for line in proofs))
    result = StatementImport(
        statement=statement,
        file_digest=file_digest,
        lines=lines,
        orders=_settle_orders(world, orders, statement, after, file_digest),
    )
    store.save(world.account, _header(result), _rows(lines, identities))
    return result


def row_digests(statement: Statement) -> Mapping[str, str]:
    """Content of every row that has an identity of its own, by that identity."""
    trades = {row.row_id: digest(row) for row in statement.trades}
    return {**trades, **{row.row_id: digest(row) for row in statement.cash}}


def order_store(world: World) -> OrderStore:
    """The account's order book for a statement: no run stands behind it, so its gate lets nothing through."""
    closed = OrderLimits(max_orders=0, max_order_usd=ZERO, max_turnover_usd=ZERO)
    taxes = world.policy(world.options.last).costs.transaction_taxes
    return OrderStore(world.database, world.account, "", None, closed, world.contracts, taxes)


def refuse_while_running(world: World) -> None:
    """Raise `RefusedError` while a run of the account is under way."""
    latest = world.runs.latest_run(world.account)
    if latest is not None and world.runs.outlook(latest.key, wall_clock()) is ClaimOutcome.HELD:
        raise RefusedError(
            f"expected no run of {world.account} under way, found {latest.run_id}; nothing was booked: try again "
            "when the run has ended"
        )


def book_side(world: World, statement: Statement) -> BookSide:
    """Our side of everything that a statement is compared with."""
    references = sorted({row.fill.order_ref for row in statement.trades if row.fill.order_ref is not None})
    fills = world.fills({row.fill.root for row in statement.trades})
    valued = valued_until(world)
    # What a valuation already holds is what was booked up to its very moment.
    now = max(world.now, valued + INSTANT)
    end = min(statement.ends - INSTANT, now)
    return BookSide(
        entries=world.ledger.entries(world.account),
        fills={fill.execution_id: fill for fill in fills},
        parents=parents_of(world.database, world.account, references) if references else {},
        contracts=world.contracts,
        closed_until=closed_until(world),
        now=now,
        cash_at=end if end > valued else now,
    )


def _settle(world: World, statement: Statement) -> None:
    """Bring the calendar to the statement's end, or to now where that is valued already."""
    end = min(statement.ends - INSTANT, world.now)
    settle_calendar(world, end if end > valued_until(world) else world.now)


def _pay_month(world: World, statement: Statement) -> None:
    """Pay what a month accrued when the broker's statement says so, though our calendar would a day later."""
    if world.policy(world.options.last).carry.financing.posting is InterestPosting.DAILY:
        return
    unpaid = unpaid_accruals(world.ledger.entries(world.account))
    kinds = (CashKind.INTEREST, CashKind.BORROW_FEE)
    months = {
        (row.value_date.replace(day=1) - timedelta(days=1)).replace(day=1)
        for row in statement.cash
        if row.kind in kinds
    }
    at = book_side(world, statement).cash_at
    for month in sorted(months):
        world.ledger.post(world.account, month_payments(unpaid, month, at))


def _book(
    world: World, orders: OrderStore, book: BookSide, lines: Iterable[StatementLine]
) -> tuple[ImportedLine, ...]:
    """Book what the policy lets be booked, line by line."""
    settings = world.configuration.settings.statement
    policy = StatementPolicy(
        booked=frozenset(Finding(name) for name in settings.booked),
        cash_limit_usd=settings.booked_cash_limit_usd,
    )
    rates = {**world.outside.snapshot(world.now).fx, BASE_CURRENCY: Decimal(1)}
    done = []
    for line in lines:
        if not policy.books(line, rates):
            done.append(_told(line))
            continue
        if line.fill is not None:
            orders.record_fill(line.fill, book.booking_time(line.fill))
        if line.takes_back is not None:
            orders.take_back_fill(line.takes_back, book.now)
        world.ledger.post(world.account, line.entries)
        done.append(ImportedLine(line=line, outcome=BOOKED))
    return tuple(done)


def _told(line: StatementLine) -> ImportedLine:
    return ImportedLine(line=line, outcome=MATCHED if line.is_settled else LEFT)


def _settle_orders(
    world: World, orders: OrderStore, statement: Statement, book: BookSide, file_digest: str
) -> tuple[OrderFate, ...]:
    """Write down the fates that the statement proves; the others stay UNKNOWN, with their quantity reserved."""
    unknown = [record for record in orders.unresolved() if record.status is ChildStatus.UNKNOWN]
    if not unknown:
        return ()
    listed = world.outside.snapshot(world.now).open_orders
    open_refs = frozenset(order.order_ref for order in listed if order.order_ref is not None)
    fates = order_fates(statement, book, unknown, open_refs)
    by_ref = {record.child.order_ref: record for record in unknown}
    return tuple(
        _settle_order(world, orders, proof_by(statement, fate, file_digest), fate, by_ref[fate.order_ref])
        for fate in fates
    )


def _settle_order(
    world: World, orders: OrderStore, proof: StatementProof, fate: OrderFate, record: ChildRecord
) -> OrderFate:
    if fate.status is None:
        return fate
    if fate.status is not ChildStatus.ABSENT:
        orders.record_status(fate.order_ref, fate.status, world.now, f"statement: {fate.text}")
        return fate
    known = orders.was_acknowledged(fate.order_ref)
    evidence = evidence_of(record, world.absence, world.now, acknowledged=known)
    evidence = replace(evidence, statement=proof)
    verdict = judge_absence(evidence)
    if not verdict.is_absent:
        return replace(fate, status=None, text="; ".join(verdict.missing))
    orders.prove_absent(evidence)
    return fate


def proof_by(statement: Statement, fate: OrderFate, file_digest: str) -> StatementProof:
    """What a statement stands for in the evidence about an order."""
    return StatementProof(
        file_digest=file_digest,
        begins=statement.begins,
        ends=statement.ends,
        missing="" if fate.status is ChildStatus.ABSENT else fate.text,
    )


def _header(result: StatementImport) -> StatementHeader:
    return StatementHeader(
        file_digest=result.file_digest,
        first=result.statement.first,
        last=result.statement.last,
        generated_at=result.statement.generated_at,
        imported_at=wall_clock(),
        rows=len(result.lines),
        booked=result.count(BOOKED),
        left_over=result.count(LEFT),
    )


def _rows(lines: Sequence[ImportedLine], identities: Mapping[str, str]) -> tuple[StatementRow, ...]:
    """Rows with an identity of their own; of several lines of one row, the one that is not settled."""
    found: dict[str, StatementRow] = {}
    for imported in sorted(lines, key=lambda each: each.outcome == LEFT):
        line = imported.line
        if line.row_id in identities:
            found[line.row_id] = StatementRow(
                row_id=line.row_id,
                content_digest=identities[line.row_id],
                finding=line.finding.value,
                outcome=imported.outcome,
                text=line.text,
            )
    return tuple(found.values())
