"""Can the marks be trusted? Old ones freeze their line or stop the day (R-105), jumps are held back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.model.halts import HaltKind
from engine.model.market import Mark, Split
from engine.model.money import round_money
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
    """A price too far from its predecessor without a corporate action; ``move`` is a fraction."""

    contract_id: str
    previous: Decimal
    price: Decimal
    move: Decimal


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


def price_jumps(
    marks: Mapping[str, Mark],
    previous: Mapping[str, Mark],
    splits: Sequence[Split],
    contracts: ContractBook,
    policy: MarkPolicy,
) -> tuple[PriceJump, ...]:
    """Marks that moved beyond the limit since the former ones, after known splits: to be quarantined.

    ``splits`` are those since the former marks. From 00:00 of an ex-date marks are per new share, also those that
    close an earlier session.
    """
    found = []
    for contract_id in sorted(marks.keys() & previous.keys()):
        now, before = marks[contract_id], previous[contract_id]
        if now.session_date <= before.session_date or before.price == 0:
            continue
        instrument = contracts.instrument(contract_id)
        if instrument.is_option:
            continue  # a premium may double in a day without anything being wrong
        reference = before.price
        for split in splits:
            if split.instrument_id == instrument.instrument_id and before.session_date < split.ex_date:
                reference /= split.ratio
        move = now.price / reference - 1
        if abs(move) > policy.jump_quarantine_fraction:
            found.append(
                PriceJump(
                    contract_id=contract_id,
                    previous=before.price,
                    price=now.price,
                    move=move.quantize(Decimal("0.00000001")),
                )
            )
    return tuple(found)
