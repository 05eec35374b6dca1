"""Credit and carry: long only, fixed shares of the sleeve."""

from __future__ import annotations

from engine.model.policy import SleevePolicy
from engine.model.portfolio import Sleeve
from engine.sleeves.sizing import SleeveWish, WantedLine, no_data


def credit_lines(policy: SleevePolicy, listed: frozenset[str]) -> SleeveWish:
    """Each line at its own share; the share of a line without a price stays in cash, it is not spread."""
    weight = policy.weights[Sleeve.CREDIT.value]
    lines = tuple(
        WantedLine(instrument_id=name, weight=weight * share, group=None)
        for name, share in policy.credit_weights.items()
        if name in listed
    )
    if not lines:
        return no_data("no credit line has a price")
    absent = [name for name in policy.credit_weights if name not in listed]
    note = f"{Sleeve.CREDIT.value}: no price for {', '.join(absent)}; their share stays in cash"
    return SleeveWish(lines=lines, gap=None, notes=(note,) if absent else ())
