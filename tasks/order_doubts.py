"""A person resolves an order in doubt: first what the evidence shows and would do, then the deed itself.

Which outcome it is says the evidence, not the person: executions that are found are booked, an order that a statement
or a person's word excludes ends as ABSENT. The broker's present answer and its positions are asked beside both, and
what speaks against the outcome refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.accounting.ledger import trade
from engine.accounting.statement import Statement
from engine.accounting.statement_findings import Finding
from engine.accounting.statement_orders import OrderFate, order_fates
from engine.accounting.statement_trades import trade_lines
from engine.errors import ConfigurationError, RefusedError
from engine.execution.absence import broker_day, evidence_of, examine, judge_absence
from engine.execution.children import transition_path
from engine.execution.recovery import shown_status
from engine.model.absence import AbsenceEvidence, Attestation, Look
from engine.model.encoding import digest_bytes
from engine.model.instruments import InstrumentType
from engine.model.orders import ChildStatus, Fill
from engine.model.portfolio import Sleeve
from engine.ports import ChildRecord
from state.orders import OrderStore
from tasks.adapters.flex_names import FlexNames
from tasks.runtime import World
from tasks.statement import book_side, order_store, proof_by, read_statement, refuse_while_running

_CONVERSIONS = (InstrumentType.CASH, InstrumentType.FX_SPOT)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenEvidence:
    """What a person gives: a statement of the broker in ``content``, or only what ``attestation`` says."""

    attestation: Attestation
    content: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderResolution:
    """What the evidence does to an order: its state, the executions that are booked, the quantity that becomes free."""

    record: ChildRecord
    status: ChildStatus
    executions: tuple[Fill, ...]
    freed: Decimal
    evidence: AbsenceEvidence
    text: str


def preview_resolution(world: World, order_ref: str, given: GivenEvidence) -> OrderResolution:
    """What would be done; nothing is changed.

    Raises `ConfigurationError` for an order that is not the account's, `RefusedError` when it is in doubt no more, a
    run is under way, or the evidence proves nothing, and `StatementError` for a file that can not be believed.
    """
    refuse_while_running(world)
    orders = order_store(world)
    record = _doubted(world, orders, order_ref)
    look = world.connect().look()
    if given.content is not None:
        return _by_statement(world, orders, record, look, given)
    return _by_word(world, orders, record, look, given)


def resolve_order(world: World, shown: OrderResolution, given: GivenEvidence) -> None:
    """Do what was shown; raises `RefusedError` when the world changed meanwhile, or somebody else was faster."""
    ref, orders = shown.record.child.order_ref, order_store(world)
    found = preview_resolution(world, ref, given)
    if (found.status, found.executions) != (shown.status, shown.executions):
        raise RefusedError(
            f"expected {ref} to become {shown.status.value}, found that it would become {found.status.value} now: the "
            "world changed meanwhile; look at the effect again"
        )
    if found.status is ChildStatus.ABSENT:
        orders.prove_absent(found.evidence)
        return
    orders.note_doubt(found.evidence)
    for fill in found.executions:
        late = fill.executed_at.date() < world.now.date()
        orders.record_fill(fill, world.now if late else None)
    for status in transition_path(ChildStatus.UNKNOWN, found.status):
        orders.record_status(ref, status, world.now, found.text)


def _doubted(world: World, orders: OrderStore, order_ref: str) -> ChildRecord:
    if order_ref not in world.order_refs([order_ref]):
        raise ConfigurationError(
            f"expected the reference of an order of {world.account}, found {order_ref!r}; ./fund orders lists them"
        )
    record = orders.child(order_ref)
    if record.status is not ChildStatus.UNKNOWN:
        raise RefusedError(
            f"expected {order_ref} in doubt, found that it is {record.status.value}; nothing changed"
        )
    return record


def _evidence(
    world: World, orders: OrderStore, record: ChildRecord, look: Look, given: GivenEvidence
) -> AbsenceEvidence:
    ours = orders.held(record.child.contract_ids)
    evidence = evidence_of(
        record,
        world.absence,
        world.now,
        acknowledged=orders.was_acknowledged(record.child.order_ref),
        looks=(examine(record, look, ours),),
    )
    return replace(evidence, attestation=given.attestation)


def _by_word(
    world: World, orders: OrderStore, record: ChildRecord, look: Look, given: GivenEvidence
) -> OrderResolution:
    """The broker's present answer decides where it knows the order; where it does not, a person's word may."""
    evidence, shown = _evidence(world, orders, record, look, given), shown_status(record, look)
    if shown is not ChildStatus.UNKNOWN:
        executed = tuple(fill for fill in look.executions if fill.order_ref == record.child.order_ref)
        text = f"found at the broker: {evidence.looks[0].found[0]}"
        return _resolution(record, shown, orders.unbooked(executed), evidence, text)
    missing = (*judge_absence(evidence).missing, *_unseen_conversion(world, evidence))
    if missing:
        raise RefusedError(_refusal(record, missing))
    text = "a person says that it never reached the market, and nothing at the broker speaks against it"
    return _resolution(record, ChildStatus.ABSENT, (), evidence, text)


def _unseen_conversion(world: World, evidence: AbsenceEvidence) -> tuple[str, ...]:
    """A conversion of currencies leaves no position: on a later day only a statement could show it."""
    converts = any(world.contracts.instrument(name).kind in _CONVERSIONS for name in evidence.contract_ids)
    sent = evidence.sent_at
    if not converts or sent is None:
        return ()
    day = broker_day(sent, evidence.policy)
    if day == broker_day(evidence.now, evidence.policy):
        return ()
    return (f"a statement of the broker for {day}: a conversion leaves no position that could be compared",)


def _by_statement(
    world: World, orders: OrderStore, record: ChildRecord, look: Look, given: GivenEvidence
) -> OrderResolution:
    content = given.content or b""
    zone = ZoneInfo(world.configuration.settings.statement.time_zone)
    statement = read_statement(content, world.account, zone, FlexNames(world.universe))
    fills, fate = _fate(world, statement, record, look)
    evidence = replace(
        _evidence(world, orders, record, look, given),
        statement=proof_by(statement, fate, digest_bytes(content)),
    )
    if fate.status is None:
        raise RefusedError(_refusal(record, (f"a statement that proves it: {fate.text}",)))
    if fate.status is ChildStatus.ABSENT:
        verdict = judge_absence(evidence)
        if not verdict.is_absent:
            raise RefusedError(_refusal(record, verdict.missing))
    return _resolution(record, fate.status, fills, evidence, fate.text)


def _fate(
    world: World, statement: Statement, record: ChildRecord, look: Look
) -> tuple[tuple[Fill, ...], OrderFate]:
    """Executions of the order that only the statement has, and what it proves once they are booked."""
    child, before = record.child, book_side(world, statement)
    fills = tuple(
        line.fill
        for line in trade_lines(statement, before)
        if line.finding is Finding.LATE_FILL
        and line.fill is not None
        and line.fill.order_ref == child.order_ref
    )
    supposed = tuple(
        trade(
            fill,
            world.contracts.instrument(fill.contract_id),
            {Sleeve.UNASSIGNED.value: fill.signed_quantity},
            fill.executed_at,
        )
        for fill in fills
    )
    open_refs = [order.order_ref or "" for order in look.orders if not order.status.is_terminal]
    after = replace(before, entries=(*before.entries, *supposed))
    (fate,) = order_fates(statement, after, [record], open_refs)
    return fills, fate


def _resolution(
    record: ChildRecord, status: ChildStatus, fills: tuple[Fill, ...], evidence: AbsenceEvidence, text: str
) -> OrderResolution:
    own = sum((fill.quantity for fill in fills if fill.contract_id == record.child.contract_id), Decimal(0))
    left = record.child.quantity - record.filled - own
    return OrderResolution(
        record=record,
        status=status,
        executions=fills,
        freed=left if status.is_terminal else Decimal(0),
        evidence=evidence,
        text=text,
    )


def _refusal(record: ChildRecord, missing: tuple[str, ...]) -> str:
    return (
        f"expected evidence that decides {record.child.order_ref}, found that it misses {'; '.join(missing)}; nothing "
        "changed, the order stays in doubt and its contract blocked"
    )
