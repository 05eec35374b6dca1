"""Expectation suites over the tables of a day, checked here or in a process beside the fund's own.

Importing Great Expectations takes seconds and a processor of its own is idle while a command starts, so
`start_beside` lets a second process import it meanwhile; tables go there and findings come back as lines of JSON.
Without it, or when it ended early, the same suites are checked in this process. Only this module may import the
library, and it imports nothing else of the fund, so that the process beside starts at once.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from great_expectations.core.batch_definition import BatchDefinition
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.expectations.expectation import Expectation

Table: TypeAlias = "Sequence[Mapping[str, str | int | float]]"
"""Rows with the same columns."""
Tables: TypeAlias = "Mapping[str, Table]"
"""Tables by the suite that checks them."""

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

    def check_all(self, tables: Tables) -> tuple[QualityFinding, ...]:
        """Findings in the order of the tables."""
        return tuple(finding for suite, table in tables.items() for finding in self.check(suite, table))

    def check(self, suite: str, table: Table) -> tuple[QualityFinding, ...]:
        """Findings of one suite over one table; a table without rows has none."""
        if not table:
            return ()
        import pandas as pd

        frame = pd.DataFrame(list(table))
        definition, expectations = self._suites[suite]
        batch = definition.get_batch({"dataframe": frame})
        # Examples of what was found cost as much as the check: they are looked up when something is wrong.
        if batch.validate(expectations, result_format="BOOLEAN_ONLY").success:
            return ()
        key = str(frame.columns[0])
        named = {"result_format": "COMPLETE", "unexpected_index_column_names": [key]}
        result = batch.validate(expectations, result_format=named)
        return tuple(
            QualityFinding(
                suite=suite,
                expectation=str(item.expectation_config.type).removeprefix("expect_column_values_to_"),
                column=str(item.expectation_config.kwargs["column"]),
                found=_rows_told(item.result.get("unexpected_index_list") or [], key),
            )
            for item in result.results
            if not item.success and item.expectation_config is not None
        )


def _rows_told(rows: Sequence[Mapping[str, object]], key: str) -> tuple[str, ...]:
    """Rows that broke an expectation: their name, and the value where it is another column's."""
    return tuple(
        ": ".join((str(row[key]), *(str(value) for column, value in row.items() if column != key)))
        for row in rows[:SHOWN_ROWS]
    )


class GateBeside:
    """The suites in a process of their own, which ends with ours: its input then ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] = subprocess.Popen(  # noqa: S603  this interpreter, this module
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._asked: str | None = None
        self._answered = False

    def ask(self, tables: Tables) -> None:
        """Let the process check tables while we do something else; `check` with the same tables then finds its answer.

        A process that never answered still loads its library and reads nothing: it is not asked in advance.
        """
        if self._answered:
            self._send(json.dumps(list(tables.items())))

    def check(self, tables: Tables) -> tuple[QualityFinding, ...]:
        """Findings in the order of the tables; raises `OSError` or `ValueError` when the process gives no answer."""
        self._send(json.dumps(list(tables.items())))
        found = json.loads(self._answer())
        return tuple(QualityFinding(**{**item, "found": tuple(item["found"])}) for item in found)

    def _send(self, request: str) -> None:
        if request == self._asked:
            return
        if self._asked is not None:
            self._answer()  # to a question that nobody asks any more
        if self._process.stdin is None:
            raise OSError("the process of the expectation suites has no input")
        self._process.stdin.write(request + "\n")
        self._process.stdin.flush()
        self._asked = request

    def _answer(self) -> str:
        if self._process.stdout is None:
            raise OSError("the process of the expectation suites has no output")
        answer = self._process.stdout.readline()
        self._asked, self._answered = None, True
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


_beside: list[GateBeside] = []
_gates: list[QualityGate] = []


def start_beside() -> None:
    """Begin to load the suites in a second process, once."""
    if not _beside:
        _beside.append(GateBeside())
        atexit.register(_stop_beside)


def ask_beside(tables: Tables) -> None:
    """Begin to check tables in the process beside when it lives; `check_tables` has the findings."""
    if _beside:
        try:
            _beside[0].ask(tables)
        except (OSError, ValueError):
            _stop_beside()


def check_tables(tables: Tables) -> tuple[QualityFinding, ...]:
    """Findings in the order of the tables: from the process beside when it lives, else from this one."""
    if _beside:
        try:
            return _beside[0].check(tables)
        except (OSError, ValueError):
            _stop_beside()
    if not _gates:  # The suites are stateless: defining them again would only cost time.
        _gates.append(QualityGate())
    return _gates[0].check_all(tables)


def _stop_beside() -> None:
    while _beside:
        _beside.pop().close()


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer tables with findings until the input ends."""
    gate = QualityGate()
    for line in requests:
        found = gate.check_all(dict(json.loads(line)))
        answers.write(json.dumps([asdict(finding) for finding in found]) + "\n")
        answers.flush()


if __name__ == "__main__":
    # The library may print; only answers go where answers are read.
    told, sys.stdout = sys.stdout, sys.stderr
    serve(sys.stdin, told)
