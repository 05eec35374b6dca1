"""The gate at the data border: expectation suites over everything that the day reads or decides as a table.

Great Expectations is loaded when the first batch is checked: importing it costs seconds, and only this module may.
A failed expectation is a finding with the rows that broke it; what follows from it is decided by the caller.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from engine.composition.stages import DayInputs, TargetStep
from engine.errors import HaltError
from engine.model.halts import HaltKind
from engine.model.market import MarketInputs
from engine.model.orders import TargetBook
from engine.model.universe import Universe
from tasks.day import TradingDay
from tasks.step import step

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.expectations.expectation import Expectation

PRICE_FACTOR_MAX = 10.0
"""A price that multiplied tenfold in a day is a unit error, not a market; smaller jumps are judged elsewhere."""
RATE_MAX = 10_000.0
WEIGHT_MAX = 5.0
SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFinding:
    """One broken expectation: the suite, what was expected of which column, and examples of what was found."""

    suite: str
    expectation: str
    column: str
    found: tuple[str, ...]

    @property
    def text(self) -> str:
        """The finding as a sentence."""
        shown = ", ".join(self.found) or "no example"
        return f"{self.suite}: {self.expectation} of {self.column} failed, found {shown}"


class QualityGate:
    """All suites, defined once per process."""

    def __init__(self) -> None:
        self._universe: Universe | None = None
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig
        from great_expectations.expectations.core.expect_column_values_to_be_between import (
            ExpectColumnValuesToBeBetween,
        )
        from great_expectations.expectations.core.expect_column_values_to_be_unique import (
            ExpectColumnValuesToBeUnique,
        )
        from great_expectations.expectations.core.expect_column_values_to_not_be_null import (
            ExpectColumnValuesToNotBeNull,
        )

        # The library tells at INFO level where its scratch folders are; nobody who runs a fund wants to know.
        logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.WARNING)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        source = context.data_sources.add_pandas("fund")

        def define(
            name: str, expectations: Sequence[Expectation]
        ) -> tuple[BatchDefinition[None], ExpectationSuite]:
            batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("day")
            suite = context.suites.add(gx.ExpectationSuite(name=name))
            for expectation in expectations:
                suite.add_expectation(expectation)
            return batch, suite

        def present(column: str) -> Expectation:
            return ExpectColumnValuesToNotBeNull(column=column)

        def between(column: str, low: float, high: float) -> Expectation:
            return ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)

        def unique(column: str) -> Expectation:
            return ExpectColumnValuesToBeUnique(column=column)

        tiny = 1e-9
        self._suites = {
            "bars": define(
                "bars",
                [
                    present("price"),
                    unique("contract"),
                    between("price", tiny, 1e9),
                    between("last_return", -1 + 1 / PRICE_FACTOR_MAX, PRICE_FACTOR_MAX - 1),
                    between("days_ahead", -100_000, 0),
                ],
            ),
            "fx": define("fx", [present("rate"), unique("pair"), between("rate", 1 / RATE_MAX, RATE_MAX)]),
            "instruments": define(
                "instruments",
                [unique("instrument"), between("multiplier", tiny, 1e9), between("tick", tiny, 1e6)],
            ),
            "screener": define("screener", [present("instrument"), between("days_since_filing", 0, 100_000)]),
            "targets": define("targets", [present("quantity"), between("weight", -WEIGHT_MAX, WEIGHT_MAX)]),
        }

    def check(self, suite: str, frame: pd.DataFrame) -> tuple[QualityFinding, ...]:
        """Findings of one suite over one table; an empty table has none."""
        if frame.empty:
            return ()
        definition, expectations = self._suites[suite]
        batch = definition.get_batch({"dataframe": frame})
        # Examples of what was found cost as much as the check: they are looked up when something is wrong.
        if batch.validate(expectations, result_format="BOOLEAN_ONLY").success:
            return ()
        result = batch.validate(expectations)
        return tuple(
            QualityFinding(
                suite=suite,
                expectation=str(item.expectation_config.type).removeprefix("expect_column_values_to_"),
                column=str(item.expectation_config.kwargs["column"]),
                found=tuple(map(str, item.result.get("partial_unexpected_list", [])[:SHOWN_ROWS])),
            )
            for item in result.results
            if not item.success and item.expectation_config is not None
        )

    def check_universe(self, universe: Universe) -> tuple[QualityFinding, ...]:
        """Findings over the instruments: checked once, because they do not change while the process lives."""
        if self._universe is not universe:
            findings = self.check("instruments", instruments_table(universe))
            if findings:
                return findings
            self._universe = universe
        return ()


_gates: list[QualityGate] = []


def quality_gate() -> QualityGate:
    """The process's gate: the suites are stateless, so defining them again would only cost time."""
    if not _gates:
        _gates.append(QualityGate())
    return _gates[0]


def bars_table(inputs: MarketInputs) -> pd.DataFrame:
    """Marks of the day, with the last daily return of their instrument where it has one."""
    last = inputs.history.returns[-1] if len(inputs.history.dates) else []
    returns = dict(zip(inputs.history.instrument_ids, last, strict=False))
    return pd.DataFrame(
        [
            {
                "contract": mark.contract_id,
                "price": float(mark.price),
                "last_return": float(returns.get(mark.contract_id, float("nan"))),
                "days_ahead": (mark.session_date - inputs.trade_date).days,
            }
            for mark in inputs.marks.values()
        ]
    )


def fx_table(inputs: MarketInputs) -> pd.DataFrame:
    """Exchange rates of the day."""
    return pd.DataFrame([{"pair": rate.pair, "rate": float(rate.rate)} for rate in inputs.fx.rates.values()])


def instruments_table(universe: Universe) -> pd.DataFrame:
    """Static facts of every instrument."""
    return pd.DataFrame(
        [
            {
                "instrument": instrument.instrument_id,
                "multiplier": float(instrument.effective_multiplier),
                "tick": float(instrument.tick_bands[0].tick),
            }
            for instrument in universe
        ]
    )


def screener_table(inputs: MarketInputs) -> pd.DataFrame:
    """Filings that the screen may read."""
    return pd.DataFrame(
        [
            {
                "instrument": record.instrument_id,
                "days_since_filing": (inputs.trade_date - record.filed_on).days,
            }
            for record in inputs.fundamentals
        ]
    )


def targets_table(book: TargetBook) -> pd.DataFrame:
    """Wanted holdings."""
    return pd.DataFrame(
        [
            {"contract": line.contract_id, "quantity": float(line.quantity), "weight": line.weight}
            for line in book.lines
        ]
    )


@step("check data quality")
def require_quality(day: TradingDay, inputs: DayInputs) -> tuple[QualityFinding, ...]:
    """Check everything that the decision reads; a broken expectation stops the day and names its rows."""
    findings = check_inputs(inputs.market, day.world.universe)
    if findings:
        raise HaltError(HaltKind.DATA_QUALITY.value, "; ".join(found.text for found in findings))
    return findings


def check_inputs(market: MarketInputs, universe: Universe) -> tuple[QualityFinding, ...]:
    """Findings over everything that the decision reads."""
    gate = quality_gate()
    return (
        *gate.check("bars", bars_table(market)),
        *gate.check("fx", fx_table(market)),
        *gate.check_universe(universe),
        *gate.check("screener", screener_table(market)),
    )


@step("check the targets' quality")
def require_sound_targets(targets: TargetStep) -> tuple[QualityFinding, ...]:
    """Check what the decision wants to hold; an impossible weight stops the day before it becomes an order."""
    findings = check_targets(targets.book)
    if findings:
        raise HaltError(HaltKind.DATA_QUALITY.value, "; ".join(found.text for found in findings))
    return findings


def check_targets(book: TargetBook) -> tuple[QualityFinding, ...]:
    """Findings over what the decision wants to hold."""
    return quality_gate().check("targets", targets_table(book))
