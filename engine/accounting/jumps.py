"""Did a price move further than its market may? Jumps freeze their line and, when they change NAV too much, stop the day."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.accounting.tripwires import PriceGap, UnitMistake, unit_mistake
from engine.model.halts import HaltKind
from engine.model.instruments import Instrument
from engine.model.market import FxRates, Mark, MarketHistory, Split
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.policy import MarkPolicy
from engine.model.portfolio import Valuation
from engine.model.universe import ContractBook, Universe

_MOVE_STEP = Decimal("0.00000001")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceJump:
    """A price too far from its predecessor without a corporate action; ``move`` is a fraction.

    ``previous`` is the former mark after known splits, in quote units like ``price``, which closed ``session_date``;
    ``unit`` what may have been mistaken for another unit, ``None`` where only the market can have moved so far.
    """

    contract_id: str
    previous: Decimal
    price: Decimal
    session_date: date
    move: Decimal
    unit: UnitMistake | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldJump:
    """A jump of a held line: its exposure at the new price, and what the jump does to NAV, both signed USD."""

    jump: PriceJump
    exposure_usd: Decimal
    effect_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGap:
    """A held line that the broker prices far from us, and what its price would do to NAV, signed USD."""

    gap: PriceGap
    exposure_usd: Decimal
    effect_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpVerdict:
    """Jumps of the book, the largest effect first: their lines are frozen, and a ``halt_kind`` stops the day.

    ``effect_usd`` is the sum of their effects without sign, ``limit_usd`` how much of it the fund bears: a real
    collapse of one small company goes on frozen, a price ten times too high never becomes a NAV. ``gaps`` are lines
    that the broker prices far from us; one that looks like another unit counts like a jump. ``watched`` jumped
    without being held: nothing is opened on them.
    """

    jumps: tuple[HeldJump, ...]
    gaps: tuple[HeldGap, ...]
    watched: tuple[PriceJump, ...]
    effect_usd: Decimal
    limit_usd: Decimal
    halt_kind: HaltKind | None

    @property
    def frozen(self) -> frozenset[str]:
        """Contracts whose price jumped or is far from the broker's: they may only be reduced."""
        return frozenset(
            (
                *(found.jump.contract_id for found in self.jumps),
                *(found.gap.contract_id for found in self.gaps),
                *(found.contract_id for found in self.watched),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidPrice:
    """What was last paid for a contract, in quote units, and when."""

    price: Decimal
    day: date


def paid_prices(entries: Iterable[LedgerEntry]) -> Mapping[str, PaidPrice]:
    """Last trade price of every contract among entries in the order of booking."""
    return {
        entry.contract_id: PaidPrice(price=entry.price, day=entry.value_date)
        for entry in entries
        if entry.kind is EntryKind.TRADE
        and not entry.is_reversal
        and entry.contract_id is not None
        and entry.price is not None
    }


def price_jumps(
    marks: Mapping[str, Mark],
    previous: Mapping[str, Mark],
    splits: Sequence[Split],
    contracts: ContractBook,
    policy: MarkPolicy,
    paid: Mapping[str, PaidPrice] | None = None,
) -> tuple[PriceJump, ...]:
    """Marks that moved beyond the limit since the former ones, after known splits: to be quarantined.

    ``splits`` are those since the former marks: from 00:00 of an ex-date marks are per new share, also those that
    close an earlier session. A close that was changed afterwards has moved too. What had no former mark is compared
    with what was ``paid`` for it since.
    """
    found = []
    bought = {name: price for name, price in (paid or {}).items() if name not in previous}
    for contract_id in sorted(marks.keys() & {*previous, *bought}):
        now = marks[contract_id]
        if contract_id in bought:
            former, day = bought[contract_id].price, bought[contract_id].day
        else:
            former, day = previous[contract_id].price, previous[contract_id].session_date
        if now.session_date < day or former == 0:
            continue
        instrument = contracts.instrument(contract_id)
        if instrument.is_option:
            continue  # a premium may double in a day without anything being wrong
        reference = former
        for split in splits:
            if split.instrument_id == instrument.instrument_id and day < split.ex_date:
                reference /= split.ratio
        move = now.price / reference - 1
        if abs(move) > policy.jump_fraction(instrument.collar_class):
            found.append(_jump(contract_id, reference, now, move, instrument, policy))
    return tuple(found)


def strange_jumps(
    marks: Mapping[str, Mark],
    history: MarketHistory,
    held: Mapping[str, str],
    contracts: ContractBook,
    policy: MarkPolicy,
) -> tuple[PriceJump, ...]:
    """Prices of lines that are not held whose last daily return is beyond what their class may move.

    Nothing is opened on such a price before another session has shown it. ``held`` are instruments by contract.
    """
    moves = _strange_moves(history, frozenset(held.values()), contracts.universe, policy)
    if not moves:
        return ()
    found = []
    for contract_id in sorted(marks.keys() - held.keys()):
        instrument, now = contracts.instrument(contract_id), marks[contract_id]
        move = moves.get(instrument.instrument_id)
        if move is None:
            continue
        previous = round_money(now.price / (1 + move))
        found.append(_jump(contract_id, previous, now, move, instrument, policy))
    return tuple(found)


def _jump(
    contract_id: str,
    previous: Decimal,
    now: Mark,
    move: Decimal,
    instrument: Instrument,
    policy: MarkPolicy,
) -> PriceJump:
    return PriceJump(
        contract_id=contract_id,
        previous=previous,
        price=now.price,
        session_date=now.session_date,
        move=move.quantize(_MOVE_STEP),
        unit=unit_mistake(now.price, previous, instrument, policy.jump_quarantine_fraction),
    )


def _strange_moves(
    history: MarketHistory, held: frozenset[str], universe: Universe, policy: MarkPolicy
) -> Mapping[str, Decimal]:
    """Last returns beyond the limit, by instrument; of a day without a price and of an option there is none."""
    if not history.dates:
        return {}
    moves = {}
    for name, last in zip(history.instrument_ids, history.returns[-1].tolist(), strict=True):
        if name in held or name not in universe or not math.isfinite(last) or last <= -1:
            continue
        instrument = universe[name]
        move = decimal_from_float(last)
        if not instrument.is_option and abs(move) > policy.jump_fraction(instrument.collar_class):
            moves[name] = move
    return moves


def jump_verdict(
    jumps: Sequence[PriceJump],
    gaps: Sequence[PriceGap],
    watched: Sequence[PriceJump],
    valuation: Valuation,
    fx: FxRates,
    contracts: ContractBook,
    policy: MarkPolicy,
) -> JumpVerdict:
    """Freeze lines with doubtful prices; HALT when those that are held together change NAV by more than the limit."""
    lines = {line.contract_id: line for line in valuation.lines if line.quantity != 0}

    def effect(contract_id: str, difference: Decimal) -> Decimal:
        instrument = contracts.instrument(contract_id)
        gain = instrument.notional(lines[contract_id].quantity, difference)
        return round_money(fx.to_base(gain, instrument.currency))

    held = [
        HeldJump(
            jump=jump,
            exposure_usd=lines[jump.contract_id].exposure_usd,
            effect_usd=effect(jump.contract_id, jump.price - jump.previous),
        )
        for jump in jumps
        if jump.contract_id in lines
    ]
    apart = [
        HeldGap(
            gap=gap,
            exposure_usd=lines[gap.contract_id].exposure_usd,
            effect_usd=effect(gap.contract_id, gap.theirs - gap.ours),
        )
        for gap in gaps
        if gap.contract_id in lines
    ]
    jumped = {found.jump.contract_id: found.effect_usd for found in held}
    # A jumped line is not counted twice because the broker still has its former price.
    mistaken = {
        found.gap.contract_id: found.effect_usd
        for found in apart
        if found.gap.unit is not None and found.gap.contract_id not in jumped
    }
    effect_usd = sum((abs(amount) for amount in (*jumped.values(), *mistaken.values())), ZERO)
    limit_usd = round_money(policy.jump_halt_fraction * valuation.nav)
    in_other_units = [found.effect_usd for found in held if found.jump.unit is not None]
    unit_usd = sum((abs(amount) for amount in (*in_other_units, *mistaken.values())), ZERO)
    return JumpVerdict(
        jumps=tuple(sorted(held, key=lambda found: (-abs(found.effect_usd), found.jump.contract_id))),
        gaps=tuple(sorted(apart, key=lambda found: (-abs(found.effect_usd), found.gap.contract_id))),
        watched=tuple(watched),
        effect_usd=effect_usd,
        limit_usd=limit_usd,
        halt_kind=_halt_kind(effect_usd, unit_usd, limit_usd),
    )


def _halt_kind(effect_usd: Decimal, unit_usd: Decimal, limit_usd: Decimal) -> HaltKind | None:
    """A market's move may be abandoned to; a price in another unit gives the fund no value at all."""
    if unit_usd > limit_usd:
        return HaltKind.PRICE_UNIT
    return HaltKind.PRICE_JUMP if effect_usd > limit_usd else None


def trusted_marks(
    marks: Mapping[str, Mark], found: JumpVerdict, confirmed: Iterable[str]
) -> Mapping[str, Mark]:
    """Marks that the next day's are compared with.

    A price that looks like another unit is no measure of anything: until it is right again, or somebody ``confirmed``
    it, its line keeps the price before, so that a wrong unit is found again on the second day.
    """
    doubted = {row.jump.contract_id: row.jump for row in found.jumps if row.jump.unit is not None}
    return {
        name: replace(mark, price=doubted[name].previous) if name in doubted.keys() - {*confirmed} else mark
        for name, mark in marks.items()
    }
