"""Resolve a HALT: first what a choice would do to NAV, holdings and orders, then the choice itself.

A preview changes nothing. Applying posts the ledger entries and records the decision in one transaction, so that
of two people who answer at once one wins and the other changes nothing; transient faults of the simulated world
end after that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from engine.accounting.book import apply as book_with
from engine.accounting.ledger import LedgerEntry
from engine.composition.comparison import compare_with_broker
from engine.composition.stages import value_fund
from engine.errors import ConfigurationError, DataError, InvariantError, RefusedError
from engine.model.context import RunKind
from engine.model.encoding import decode, encode
from engine.model.halts import HaltChoice
from engine.model.money import ZERO
from engine.model.portfolio import Portfolio
from engine.report import BreakRow
from state.halts import HaltRecord
from state.runs import RunRecord
from tasks.adopting import broker_entries
from tasks.day import marks_in, wall_clock
from tasks.runtime import World
from tasks.what_if import Attempt, PlannedOrder, Supposition, decide_attempt, next_inputs

MARKING = (HaltChoice.MARK_MANUALLY, HaltChoice.WRITE_DOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A balance that the choice changes: a currency's cash or a contract's signed quantity, in ``unit``."""

    name: str
    unit: str
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionEffect:
    """What a choice does. NAV in USD, ``None`` where the fund can not be valued; ``notes`` say why.

    ``orders_before`` is what the decision would trade on the book as it is, were the halt ignored;
    ``orders_after`` what the next attempt trades after the choice, ``None`` where that can not be known yet.
    ``stops`` says why the next attempt would halt again, empty when it would not.
    """

    halt_id: str
    choice: HaltChoice
    nav_before: Decimal | None
    nav_after: Decimal | None
    cash: tuple[Change, ...]
    quantities: tuple[Change, ...]
    entries: tuple[LedgerEntry, ...]
    faults_ended: tuple[str, ...]
    orders_before: tuple[PlannedOrder, ...] | None
    orders_after: tuple[PlannedOrder, ...] | None
    stops: str
    notes: tuple[str, ...]


def preview(world: World, halt_id: str, choice: HaltChoice, marks: Mapping[str, Decimal]) -> ResolutionEffect:
    """Effect of a choice on NAV, cash, quantities and the next decision's orders; nothing is changed.

    Raises `ConfigurationError` when the halt is unknown or a price does not fit it, `DataError` when entries
    can not be made from the market as it is read.
    """
    halt, run = _halted_run(world, halt_id)
    answers, given = _answers(world, halt)
    entries = adoption_entries(world, run, halt_id) if choice is HaltChoice.ADOPT_BROKER else ()
    ended = world.outside.faults() if choice is HaltChoice.RETRY else ()
    before = _attempt(world, run, Supposition(answers=answers, marks=given))
    supposed = Supposition(
        entries=entries,
        faults_over=choice is HaltChoice.RETRY,
        answers={**answers, halt.kind: choice.value},
        marks={**given, **_checked_marks(world, halt, choice, marks)},
    )
    after = _attempt(world, run, supposed)
    book = world.ledger.portfolio(world.account, world.now)
    booked = book_with(book, *entries) if entries else book
    decides = run.key.kind is RunKind.DECISION
    return ResolutionEffect(
        halt_id=halt_id,
        choice=choice,
        nav_before=None if isinstance(before, str) else before.fund.valuation.nav,
        nav_after=None if isinstance(after, str) else after.fund.valuation.nav,
        cash=_changes(book.cash, booked.cash, str),
        quantities=_changes(
            _quantities(book),
            _quantities(booked),
            lambda name: world.contracts.instrument(name).quantity_unit,
        ),
        entries=entries,
        faults_ended=ended,
        orders_before=before.orders if decides and isinstance(before, Attempt) else None,
        orders_after=_orders_after(after) if decides else None,
        stops=after if isinstance(after, str) else after.stops,
        notes=tuple(_notes(world, run, halt_id, before, ended)),
    )


def apply(
    world: World,
    halt_id: str,
    choice: HaltChoice,
    reason: str,
    operator: str,
    marks: Mapping[str, Decimal],
    *,
    shown: ResolutionEffect | None = None,
) -> HaltRecord:
    """Make the choice. ``shown`` is the effect that the person confirmed: another one is refused.

    Raises `ConfigurationError` when the choice is not offered or reason, operator or price is missing, and
    `RefusedError` when the halt was resolved by somebody else, or the world changed since the effect was shown.
    """
    world.halts.require_resolvable(halt_id, choice, reason, operator)
    halt, run = _halted_run(world, halt_id)
    checked = _checked_marks(world, halt, choice, {**marks_in(reason), **marks})
    entries = adoption_entries(world, run, halt_id) if choice is HaltChoice.ADOPT_BROKER else ()
    if shown is not None and encode(shown.entries) != encode(entries):
        raise RefusedError(
            f"{halt_id}: expected the {len(shown.entries)} entries that were shown, found {len(entries)} others: "
            "the world changed meanwhile; look at the effect again"
        )
    resolved = world.halts.resolve(
        halt_id, choice, _with_marks(reason, checked), operator, wall_clock(), entries
    )
    if choice is HaltChoice.RETRY:
        world.outside.end_faults()
    return resolved


def adoption_entries(world: World, run: RunRecord, halt_id: str) -> tuple[LedgerEntry, ...]:
    """Entries that make the book equal the broker's account as both are now; their ids follow from the halt."""
    inputs = next_inputs(world, run, Supposition())
    setup = world.setup(run.key.trade_date)
    report = compare_with_broker(setup, inputs, value_fund(setup, inputs))
    return broker_entries(world, setup, inputs, report, halt_id)


def _halted_run(world: World, halt_id: str) -> tuple[HaltRecord, RunRecord]:
    halt = world.halts.halt(halt_id)
    if halt is None or halt.account != world.account:
        raise ConfigurationError(f"expected the id of a halt of {world.account}, found {halt_id!r}")
    run = world.runs.run(halt.run_id)
    if run is None:
        raise InvariantError(f"{halt_id} belongs to {halt.run_id}, which the book does not hold")
    return halt, run


def _answers(world: World, halt: HaltRecord) -> tuple[dict[str, str], dict[str, Decimal]]:
    """Answers and prices that earlier halts of the same run were given."""
    answers: dict[str, str] = {}
    marks: dict[str, Decimal] = {}
    for other in world.halts.halts(world.account):
        if other.run_id != halt.run_id or other.choice is None:
            continue
        answers[other.kind] = other.choice.value
        marks |= marks_in(other.reason or "")
    return answers, marks


def _checked_marks(
    world: World, halt: HaltRecord, choice: HaltChoice, marks: Mapping[str, Decimal]
) -> Mapping[str, Decimal]:
    """Prices by contract, each of one that is held or in doubt; a write-down may go to zero, a mark may not."""
    if choice not in MARKING:
        if marks:
            raise ConfigurationError(
                f"expected prices with mark-manually or write-down only, found some with {choice.value}"
            )
        return {}
    held = {*world.ledger.portfolio(world.account, world.now).positions, *_doubted(halt)}
    if not marks:
        raise ConfigurationError(
            f"expected at least one price for {choice.value}, found none; give --mark CONTRACT=PRICE, or "
            f"[CONTRACT=PRICE] in the reason; held are {', '.join(sorted(held)) or 'no contracts'}"
        )
    for name, price in marks.items():
        lowest_allowed = price > 0 or (price == 0 and choice is HaltChoice.WRITE_DOWN)
        if name not in held or not price.is_finite() or not lowest_allowed:
            raise ConfigurationError(
                f"expected a positive price of a held contract (zero only for write-down), found {name}={price}; "
                f"held are {', '.join(sorted(held)) or 'no contracts'}"
            )
    return marks


def _doubted(halt: HaltRecord) -> tuple[str, ...]:
    """Contracts whose price the halt's evidence doubts."""
    evidence = decode(tuple[BreakRow, ...], halt.evidence) if halt.evidence else ()
    return tuple(row.subject for row in evidence if row.price is not None)


def _with_marks(reason: str, marks: Mapping[str, Decimal]) -> str:
    """The reason with every price in it, as later attempts read them."""
    known = marks_in(reason)
    added = [f"[{name}={price:f}]" for name, price in sorted(marks.items()) if known.get(name) != price]
    return " ".join((reason, *added))


def _attempt(world: World, run: RunRecord, supposition: Supposition) -> Attempt | str:
    """The attempt, or why it can not be made."""
    try:
        return decide_attempt(world, next_inputs(world, run, supposition), run.key.kind)
    except DataError as error:
        return str(error)


def _orders_after(after: Attempt | str) -> tuple[PlannedOrder, ...] | None:
    if isinstance(after, str):
        return None
    return () if after.stops else after.orders


def _notes(
    world: World, run: RunRecord, halt_id: str, before: Attempt | str, ended: tuple[str, ...]
) -> list[str]:
    notes = []
    if isinstance(before, str):
        notes.append(f"the fund can not be valued as it is: {before}")
    if run.key.kind is not RunKind.DECISION:
        notes.append(
            f"orders can not be computed: the decision of {run.key.trade_date} is made, and the next one reads a "
            "market that is not known yet"
        )
    if ended:
        notes.append(f"supposed: what was transient ({', '.join(ended)}) is over when the run is tried again")
    others = [h.halt_id for h in world.halts.open_halts(world.account) if h.halt_id != halt_id]
    if others:
        notes.append(f"still open afterwards: {', '.join(others)}; nothing is sent until they are resolved")
    return notes


def _changes(
    before: Mapping[str, Decimal], after: Mapping[str, Decimal], unit: Callable[[str], str]
) -> tuple[Change, ...]:
    names = sorted({*before, *after})
    return tuple(
        Change(name=name, unit=unit(name), before=before.get(name, ZERO), after=after.get(name, ZERO))
        for name in names
        if before.get(name, ZERO) != after.get(name, ZERO)
    )


def _quantities(portfolio: Portfolio) -> Mapping[str, Decimal]:
    return {name: position.quantity for name, position in portfolio.positions.items()}
