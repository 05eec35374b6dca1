"""Can the marks be trusted? Old ones freeze their line or stop the day (R-105), jumps are held back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.accounting.ledger import EntryKind, LedgerEntry
from engine.model.halts import HaltKind
from engine.model.market import FxRates, Mark, Split
from engine.model.money import ZERO, round_money
from engine.model.policy import MarkPolicy
from engine.model.portfolio import Valuation
from engine.model.universe import ContractBook


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleMark:
    """A held line whose mark is old; exposure in USD, unsigned."""

    contract_id: str
    age_sessions: int
    exposure_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkVerdict:
    """Old marks of the book: ``frozen`` contracts may only be reduced; a ``halt_kind`` stops the day.

    ``flagged_usd`` is the gross exposure at old marks, ``limit_usd`` how much of it the fund bears.
    """

    stale: tuple[StaleMark, ...]
    frozen: tuple[str, ...]
    flagged_usd: Decimal
    limit_usd: Decimal
    halt_kind: HaltKind | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceJump:
    """A price too far from its predecessor without a corporate action; ``move`` is a fraction.

    ``previous`` is the former mark after known splits, in quote units like ``price``.
    """

    contract_id: str
    previous: Decimal
    price: Decimal
    move: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldJump:
    """A jump of a held line: its exposure at the new price, and what the jump does to NAV, both signed USD."""

    jump: PriceJump
    exposure_usd: Decimal
    effect_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class JumpVerdict:
    """Jumps of the book, the largest effect first: their lines are frozen, and a ``halt_kind`` stops the day.

    ``effect_usd`` is the sum of their effects without sign, ``limit_usd`` how much of it the fund bears: a real
    collapse of one small company goes on frozen, a price ten times too high never becomes a NAV.
    """

    jumps: tuple[HeldJump, ...]
    effect_usd: Decimal
    limit_usd: Decimal
    halt_kind: HaltKind | None

    @property
    def frozen(self) -> frozenset[str]:
        """Contracts whose price jumped: they may only be reduced."""
        return frozenset(found.jump.contract_id for found in self.jumps)


def stale_mark_verdict(valuation: Valuation, policy: MarkPolicy) -> MarkVerdict:
    """Freeze lines with marks of a few sessions' age; HALT when one is older, or too much gross is flagged."""
    stale = tuple(
        StaleMark(
            contract_id=line.contract_id,
            age_sessions=line.stale_sessions,
            exposure_usd=abs(line.exposure_usd),
        )
        for line in valuation.lines
        if line.stale_sessions > 0 and line.quantity != 0
    )
    too_old = [found.contract_id for found in stale if found.age_sessions > policy.flagged_sessions_max]
    limit_usd = round_money(policy.flagged_gross_fraction * valuation.nav)
    too_much = valuation.flagged_gross > limit_usd
    reasons = (
        *((f"older than {policy.flagged_sessions_max} sessions: {', '.join(too_old)}",) if too_old else ()),
        *(
            (f"{valuation.flagged_gross:,.2f} USD at old marks, limit {limit_usd:,.2f} USD",)
            if too_much and stale
            else ()
        ),
    )
    return MarkVerdict(
        stale=stale,
        frozen=tuple(found.contract_id for found in stale),
        flagged_usd=valuation.flagged_gross,
        limit_usd=limit_usd,
        halt_kind=HaltKind.STALE_MARK if reasons else None,
        text="; ".join(reasons),
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

    ``splits`` are those since the former marks. From 00:00 of an ex-date marks are per new share, also those that
    close an earlier session. What had no former mark is compared with what was ``paid`` for it since.
    """
    found = []
    bought = {name: price for name, price in (paid or {}).items() if name not in previous}
    for contract_id in sorted(marks.keys() & {*previous, *bought}):
        now = marks[contract_id]
        if contract_id in bought:
            former, day = bought[contract_id].price, bought[contract_id].day
            is_later = now.session_date >= day
        else:
            former, day = previous[contract_id].price, previous[contract_id].session_date
            is_later = now.session_date > day
        if not is_later or former == 0:
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
            found.append(
                PriceJump(
                    contract_id=contract_id,
                    previous=reference,
                    price=now.price,
                    move=move.quantize(Decimal("0.00000001")),
                )
            )
    return tuple(found)


def jump_verdict(
    jumps: Sequence[PriceJump],
    valuation: Valuation,
    fx: FxRates,
    contracts: ContractBook,
    policy: MarkPolicy,
) -> JumpVerdict:
    """Freeze held lines that jumped; HALT when the jumps together move NAV by more than the limit."""
    lines = {line.contract_id: line for line in valuation.lines if line.quantity != 0}
    held = []
    for jump in jumps:
        if jump.contract_id not in lines:
            continue
        line, instrument = lines[jump.contract_id], contracts.instrument(jump.contract_id)
        gain = instrument.notional(line.quantity, jump.price - jump.previous)
        effect = round_money(fx.to_base(gain, instrument.currency))
        held.append(HeldJump(jump=jump, exposure_usd=line.exposure_usd, effect_usd=effect))
    effect_usd = sum((abs(found.effect_usd) for found in held), ZERO)
    limit_usd = round_money(policy.jump_halt_fraction * valuation.nav)
    return JumpVerdict(
        jumps=tuple(sorted(held, key=lambda found: (-abs(found.effect_usd), found.jump.contract_id))),
        effect_usd=effect_usd,
        limit_usd=limit_usd,
        halt_kind=HaltKind.PRICE_JUMP if effect_usd > limit_usd else None,
    )
