"""A sleeve of whose lines a broker told no history keeps its book: no price is no reason to trade the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engine.model.policy import SleevePolicy
from engine.model.portfolio import Sleeve
from engine.sleeves.holdings import Holdings
from engine.sleeves.sizing import SleeveWish, no_data

MOST_NAMED = 5


def sleeve_names(
    policy: SleevePolicy, holdings: Holdings, listed: frozenset[str]
) -> Mapping[Sleeve, tuple[str, ...]]:
    """Lines that a sleeve holds or would hold now; of candidates for single names only those that are held."""
    wanted: dict[Sleeve, tuple[str, ...]] = {
        Sleeve.CORE: (*_upto_first(policy.core_long, listed), *_upto_first(policy.core_short, listed)),
        Sleeve.SECTOR: (*policy.sector_long, *policy.sector_short),
        Sleeve.SINGLE_NAME: (),
        Sleeve.CREDIT: tuple(policy.credit_weights),
    }
    return {
        sleeve: tuple(dict.fromkeys((*names, *sorted(holdings.get(sleeve, {})))))
        for sleeve, names in wanted.items()
    }


def without_untold(
    wishes: Mapping[Sleeve, SleeveWish], names: Mapping[Sleeve, Sequence[str]], untold: Mapping[str, str]
) -> dict[Sleeve, SleeveWish]:
    """The wishes, those of sleeves with an untold line replaced by their gap."""
    found = dict(wishes)
    for sleeve, lines in names.items():
        missing = [name for name in lines if name in untold]
        if missing and found[sleeve].gap is None:
            more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
            told = f"{', '.join(missing[:MOST_NAMED])}{more}: {untold[missing[0]]}"
            found[sleeve] = no_data(f"the broker told no history of {told}")
    return found


def _upto_first(leg: Sequence[str], listed: frozenset[str]) -> Iterator[str]:
    """Those of a leg that are preferred to its first line with a price, and that line."""
    for name in leg:
        yield name
        if name in listed:
            return
