"""Underlyings of options that the fund itself does not trade: indices and funds that are shown and never sold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.model.instruments import Instrument
from engine.model.universe import Universe
from engine.ports import MarketFacts
from engine.sessions import SessionTable
from engine.simulation.facts import PanelFacts
from engine.simulation.market import option_name, reference_instrument
from engine.simulation.option_market import has_options
from engine.simulation.panel import MarketPanel


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """Their instruments, and which contract each option line is written on.

    ``facts`` are the prices on which options are quoted, of every underlying, in the hours of the options' own venue.
    """

    universe: Universe
    facts: MarketFacts
    underlyings: Mapping[str, str]


def references_of(panel: MarketPanel, universe: Universe, sessions: SessionTable, seed: int) -> References:
    """Underlyings of a universe's options in a panel; their prices are those that the options are quoted on."""
    lines = [line for line in universe if line.is_option and has_options(panel, line.instrument_id)]
    underlyings = {line.instrument_id: option_name(line).spot for line in lines}
    found: dict[str, Instrument] = {}
    for line in lines:
        if underlyings[line.instrument_id] in panel.series:
            found.setdefault(
                underlyings[line.instrument_id], reference_instrument(underlyings[line.instrument_id], line)
            )
    every = _universe(found)
    return References(
        universe=_universe({name: one for name, one in found.items() if name not in universe}),
        facts=PanelFacts(panel=panel, universe=every, sessions=sessions, seed=seed),
        underlyings=underlyings,
    )


def _universe(instruments: Mapping[str, Instrument]) -> Universe:
    return Universe(instruments=tuple(instruments[name] for name in sorted(instruments)))
