"""The gate at the data border: expectation suites over everything that the day reads or decides as a table.

The suites are in `tasks.adapters.expectations`. A failed expectation is a finding with the rows that broke it; what
follows from it is decided by the caller.
"""

from __future__ import annotations

from engine.composition.stages import DayInputs, TargetStep
from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.market import MarketInputs
from engine.model.orders import TargetBook
from engine.model.universe import Universe
from tasks.adapters.expectations import QualityFinding, Table, Tables, ask_beside, check_tables
from tasks.day import TradingDay
from tasks.step import step


def bars_table(inputs: MarketInputs) -> Table:
    """Marks of the day, with the last daily return of their instrument where it has one."""
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


@step("check data quality")
def require_quality(day: TradingDay, inputs: DayInputs) -> tuple[QualityFinding, ...]:
    """Check everything that the decision reads; a broken expectation stops the day and names its rows."""
    findings = check_inputs(inputs.market, day.world.universe)
    if findings:
        raise HaltError(HaltKind.DATA_QUALITY.value, "; ".join(found.text for found in findings))
    return findings


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


@step("check the targets' quality")
def require_sound_targets(targets: TargetStep) -> tuple[QualityFinding, ...]:
    """Check what the decision wants to hold; an impossible weight stops the day before it becomes an order."""
    findings = check_targets(targets.book)
    if findings:
        raise HaltError(HaltKind.DATA_QUALITY.value, "; ".join(found.text for found in findings))
    return findings


def check_targets(book: TargetBook) -> tuple[QualityFinding, ...]:
    """Findings over what the decision wants to hold."""
    return check_tables({"targets": targets_table(book)})
