"""Index and sector pairs: long one market, short the other, half of the sleeve on each side."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.policy import SleevePolicy
from engine.model.portfolio import Sleeve
from engine.sleeves.sizing import SleeveWish, WantedLine, no_data

CORE_GROUP = "core"
SECTOR_GROUP = "sector"


def core_pair(policy: SleevePolicy, listed: frozenset[str]) -> SleeveWish:
    """The core pair: on each side the first instrument of its leg that has a price."""
    longs = [name for name in policy.core_long if name in listed][:1]
    shorts = [name for name in policy.core_short if name in listed][:1]
    return _pair(Sleeve.CORE, CORE_GROUP, longs, shorts, policy)


def sector_basket(policy: SleevePolicy, listed: frozenset[str]) -> SleeveWish:
    """The sector basket: equal weights within each leg over the instruments that have a price."""
    longs = [name for name in policy.sector_long if name in listed]
    shorts = [name for name in policy.sector_short if name in listed]
    wish = _pair(Sleeve.SECTOR, SECTOR_GROUP, longs, shorts, policy)
    absent = [name for name in (*policy.sector_long, *policy.sector_short) if name not in listed]
    if wish.gap is not None or not absent:
        return wish
    note = (
        f"{Sleeve.SECTOR.value}: no price for {', '.join(absent)}; the leg's other lines carry their weight"
    )
    return SleeveWish(lines=wish.lines, gap=None, notes=(note,))


def _pair(
    sleeve: Sleeve, group: str, longs: Sequence[str], shorts: Sequence[str], policy: SleevePolicy
) -> SleeveWish:
    if not longs or not shorts:
        side = "long" if not longs else "short"
        return no_data(f"no line of the {side} leg has a price; a pair is never held on one side")
    leg = policy.weights[sleeve.value] / 2.0
    lines = [WantedLine(instrument_id=name, weight=leg / len(longs), group=group) for name in longs]
    lines += [WantedLine(instrument_id=name, weight=-leg / len(shorts), group=group) for name in shorts]
    return SleeveWish(lines=tuple(lines), gap=None, notes=())
