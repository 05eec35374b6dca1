"""Are the marks young enough? Old ones freeze their line or stop the day (R-105)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from engine.model.halts import HaltKind
from engine.model.market import Mark
from engine.model.money import round_money
from engine.model.policy import MarkPolicy
from engine.model.portfolio import Valuation


@dataclass(frozen=True, slots=True, kw_only=True)
class StaleMark:
    """A held line whose mark is old: the price in quote units of ``session_date``; exposure in USD, unsigned."""

    contract_id: str
    price: Decimal
    session_date: date
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


def stale_mark_verdict(valuation: Valuation, marks: Mapping[str, Mark], policy: MarkPolicy) -> MarkVerdict:
    """Freeze lines with marks of a few sessions' age; HALT when one is older, or too much gross is flagged."""
    stale = tuple(
        StaleMark(
            contract_id=line.contract_id,
            price=line.mark,
            session_date=marks[line.contract_id].session_date,
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
