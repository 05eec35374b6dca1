"""The day's data as tables for the expectation suites, and the questions put to them."""

from __future__ import annotations

from engine.model.market import MarketInputs
from engine.model.orders import TargetBook
from engine.model.universe import Universe
from tasks.adapters.expectations import QualityFinding, Table, Tables, ask_beside, check_tables


def bars_table(inputs: MarketInputs) -> Table:
    """Marks of the day, with the last daily return of their instrument where it has one.

    An option may be worth nothing: its zero is a price and no row.
    """
    options = {quote.contract.contract_id for chain in inputs.option_chains.values() for quote in chain}
    last = inputs.history.returns[-1] if len(inputs.history.dates) else []
    returns = dict(zip(inputs.history.instrument_ids, last, strict=False))
    return [
        {
            "contract": mark.contract_id,
            "price": float(mark.price),
            "last_return": float(returns.get(mark.contract_id, float("nan"))),
            "days_ahead": (mark.session_date - inputs.trade_date).days,
        }
        for _, mark in sorted(inputs.marks.items())  # the order of the record, before and after it is written
        if mark.price != 0 or mark.contract_id not in options
    ]


def fx_table(inputs: MarketInputs) -> Table:
    """Exchange rates of the day."""
    return [{"pair": rate.pair, "rate": float(rate.rate)} for _, rate in sorted(inputs.fx.rates.items())]


def instruments_table(universe: Universe) -> Table:
    """Static facts of every instrument."""
    return [
        {
            "instrument": instrument.instrument_id,
            "multiplier": float(instrument.effective_multiplier),
            "tick": float(instrument.tick_bands[0].tick),
        }
        for instrument in universe
    ]


def screener_table(inputs: MarketInputs) -> Table:
    """Filings that the screen may read."""
    return [
        {
            "instrument": record.instrument_id,
            "days_since_filing": (inputs.trade_date - record.filed_on).days,
        }
        for record in inputs.fundamentals
    ]


def targets_table(book: TargetBook) -> Table:
    """Wanted holdings."""
    return [
        {"contract": line.contract_id, "quantity": float(line.quantity), "weight": line.weight}
        for line in book.lines
    ]


def ask_about(market: MarketInputs, universe: Universe) -> None:
    """Let the suites begin on what a decision is about to read, while its record is written."""
    ask_beside(input_tables(market, universe))


def check_inputs(market: MarketInputs, universe: Universe) -> tuple[QualityFinding, ...]:
    """Findings over everything that the decision reads."""
    tables = input_tables(market, universe)
    findings = check_tables(tables)
    if "instruments" in tables:
        _sound[:] = () if any(found.suite == "instruments" for found in findings) else (universe,)
    return findings


_sound: list[Universe] = []


def input_tables(market: MarketInputs, universe: Universe) -> Tables:
    """Tables by suite; instruments that were found sound are not looked at again, because they never change."""
    is_sound = bool(_sound) and _sound[0] is universe
    instruments = {} if is_sound else {"instruments": instruments_table(universe)}
    return {
        "bars": bars_table(market),
        "fx": fx_table(market),
        **instruments,
        "screener": screener_table(market),
    }


def ask_about_targets(book: TargetBook) -> None:
    """Let the suite begin on what the decision wants, while other stages decide; `check_targets` has the findings."""
    ask_beside({"targets": targets_table(book)})


def check_targets(book: TargetBook) -> tuple[QualityFinding, ...]:
    """Findings over what the decision wants to hold."""
    return check_tables({"targets": targets_table(book)})
