"""Which single names does the fund hold, and at which weight? Screens, and what serves when they fail.

The screen is renewed with each calendar month. When it fails, the last valid one serves while it is young
enough, then the names that are held; only an empty sleeve takes the configured fallback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from engine.model.instruments import CollarClass
from engine.model.policy import SleevePolicy
from engine.model.portfolio import Sleeve
from engine.model.universe import Universe
from engine.sleeves.screener import Screen, ScreenInputs, screen_eu_shorts, screen_us_longs
from engine.sleeves.sizing import SleeveWish, WantedLine, no_data

NAMES_PER_LEG_MINIMUM = 5
"""No single company takes more than a fifth of its leg (STRAT-03)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenSnapshot:
    """Names of a valid screen, best first, its date, and the score of each name."""

    names: tuple[str, ...]
    screened_on: date
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenMemory:
    """Last valid screens of both legs."""

    longs: ScreenSnapshot | None = None
    shorts: ScreenSnapshot | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegChoice:
    """Names of one leg, the screen to remember and what a report should say."""

    names: tuple[str, ...]
    snapshot: ScreenSnapshot | None
    notes: tuple[str, ...]


Ranking = Callable[[ScreenInputs, SleevePolicy], Screen]


def single_names(
    longs: ScreenInputs,
    shorts: ScreenInputs,
    held: tuple[tuple[str, ...], tuple[str, ...]],
    listed: frozenset[str],
    universe: Universe,
    policy: SleevePolicy,
    memory: ScreenMemory,
) -> tuple[SleeveWish, ScreenMemory]:
    """Legs of the sleeve at scale 1; ``held`` are today's long and short names of the sleeve that have a price."""
    fallback_long = tuple(name for name in policy.single_long_fallback if name in listed)
    fallback_short = tuple(name for name in policy.single_short_fallback if name in listed)
    long_leg = choose_leg(longs, policy, memory.longs, screen_us_longs, held[0], fallback_long)
    short_leg = choose_leg(shorts, policy, memory.shorts, screen_eu_shorts, held[1], fallback_short)
    kept = ScreenMemory(longs=long_leg.snapshot, shorts=short_leg.snapshot)
    if not long_leg.names or not short_leg.names:
        side = "long" if not long_leg.names else "short"
        return no_data(f"no {side} name has data; the legs are only held together"), kept
    leg = policy.weights[Sleeve.SINGLE_NAME.value] / 2.0
    lines = _leg_lines(long_leg.names, leg, universe) + _leg_lines(short_leg.names, -leg, universe)
    return SleeveWish(lines=lines, gap=None, notes=long_leg.notes + short_leg.notes), kept


def choose_leg(
    inputs: ScreenInputs,
    policy: SleevePolicy,
    snapshot: ScreenSnapshot | None,
    ranking: Ranking,
    held: tuple[str, ...],
    fallback: tuple[str, ...],
) -> LegChoice:
    """Names of a leg: this month's screen, a new one, the last valid one, the names held, or the fallback.

    A screen none of whose names may be chosen any more was of other companies: the leg is screened again at once.
    """
    day = inputs.trade_date
    if snapshot is not None and _is_of_month(snapshot, day):
        kept = _still_priced(inputs, snapshot, ())
        if kept.names or not inputs.candidates:
            return kept
    screen = ranking(inputs, policy)
    if screen.is_valid:
        fresh = ScreenSnapshot(names=screen.names, screened_on=day, scores=screen.scores)
        return LegChoice(names=screen.names, snapshot=fresh, notes=screen.notes)
    if snapshot is not None and (day - snapshot.screened_on).days <= policy.screen_max_age_days:
        note = f"the screen failed; the one of {snapshot.screened_on} is used"
        return _still_priced(inputs, snapshot, (*screen.notes, note))
    if held:
        notes = (*screen.notes, "the screen failed; the names held are kept")
        return LegChoice(names=held, snapshot=snapshot, notes=notes)
    notes = (*screen.notes, "WARNING: no screen was ever valid; the configured fallback names are used")
    return LegChoice(names=fallback, snapshot=snapshot, notes=notes if fallback else screen.notes)


def _is_of_month(snapshot: ScreenSnapshot, day: date) -> bool:
    return (snapshot.screened_on.year, snapshot.screened_on.month) == (day.year, day.month)


def _still_priced(inputs: ScreenInputs, snapshot: ScreenSnapshot, notes: tuple[str, ...]) -> LegChoice:
    names = tuple(name for name in snapshot.names if name in inputs.candidates)
    if len(names) < len(snapshot.names):
        gone = sorted(set(snapshot.names) - set(names))
        notes = (
            *notes,
            f"no price or no borrow for {', '.join(gone)}; the leg's other names carry their weight",
        )
    return LegChoice(names=names, snapshot=snapshot, notes=notes)


def _leg_lines(names: tuple[str, ...], leg: float, universe: Universe) -> tuple[WantedLine, ...]:
    lines = []
    for name in names:
        weight = leg / len(names)
        if universe[name].collar_class is CollarClass.STK and len(names) < NAMES_PER_LEG_MINIMUM:
            weight = leg / NAMES_PER_LEG_MINIMUM
        lines.append(WantedLine(instrument_id=name, weight=weight, group=None))
    return tuple(lines)
