"""Held lines of which a broker told no history today: their last good prices, aged and flagged (R-105)."""

from __future__ import annotations

from dataclasses import replace

from engine.accounting.restated import in_order, restated_close
from engine.composition.stages import PreviousDay
from engine.model.market import Dividend, Mark, MarketInputs, Split
from engine.model.portfolio import Portfolio
from engine.simulation.ages import mark_age
from tasks.runtime import World


def with_last_good_marks(
    world: World, market: MarketInputs, book: Portfolio, previous: PreviousDay | None
) -> MarketInputs:
    """The market with the marks of the last valued day for what is held and was not told of now.

    They are restated for what went ex since, and at least one session old: their lines may only be reduced. What has
    no such mark stays without one.
    """
    if not market.untold or previous is None:
        return market
    marks, chains, notes = dict(market.marks), dict(market.chains), list(market.data_notes)
    for name, position in sorted(book.positions.items()):
        instrument, old = world.contracts.instrument(name), previous.marks.get(name)
        is_missing = (
            position.quantity != 0 and name not in marks and instrument.instrument_id in market.untold
        )
        if not is_missing or old is None or instrument.is_option:
            continue
        mark = marks[name] = _aged(world, market, old)
        notes.append(
            f"{name}: valued at {mark.price.normalize():f}, its last good price, of {mark.session_date}"
        )
        if instrument.is_future:
            listed = {*chains.get(instrument.instrument_id, ()), world.contracts.contract(name)}
            chains[instrument.instrument_id] = tuple(sorted(listed, key=lambda row: str(row.last_trade_date)))
    return replace(market, marks=marks, chains=chains, data_notes=tuple(notes))


def _aged(world: World, market: MarketInputs, old: Mark) -> Mark:
    instrument = world.contracts.instrument(old.contract_id)
    known: tuple[Dividend | Split, ...] = (*market.dividends, *market.splits)
    actions = in_order(row for row in known if row.instrument_id == instrument.instrument_id)
    last = world.sessions.last_closed(instrument.venue, market.as_of).session_date
    return replace(
        old,
        price=restated_close(old.price, instrument, old.session_date, market.trade_date, actions),
        age_sessions=max(1, mark_age(world.sessions, instrument.venue, old.session_date, last)),
    )
