"""Days of faults on the simulated exchange: how many a second, how large they are, and what a pair of kills costs.

Seconds are of the processor, of one process, with the database in memory. The sizes are those of the same days, so that
days a second mean something: orders that the broker took, messages, transactions, statements and faults.
"""

from __future__ import annotations

import resource

from tests.simulation.order_days.campaign import Findings, simulate
from tests.simulation.order_days.drawing import draw
from tests.simulation.order_days.exploring import Tally, explore
from tests.simulation.order_days.killing import drawn_pairs
from tests.simulation.order_days.scenarios import SCENARIOS

SEEDS, WARM, PAIRS = 400, 20, 100
DAYS_A_SECOND = 25.0


def measure() -> list[dict[str, str | float | bool | None]]:
    """All figures of the benchmark."""
    simulate(draw(seed) for seed in range(SEEDS, SEEDS + WARM))
    found = simulate(draw(seed) for seed in range(SEEDS))
    if found.violations:
        raise RuntimeError(f"the measured days broke an invariant: {found.violations[0]}")
    return [
        _figure("faulted days a second and core", found.days / found.seconds, "1/s", DAYS_A_SECOND),
        *_sizes(found),
        *_kills(),
    ]


def _sizes(found: Findings) -> list[dict[str, str | float | bool | None]]:
    named = {
        "orders": "orders that the broker took",
        "executions": "executions",
        "messages": "messages told",
        "transactions": "write transactions",
        "statements": "statements",
        "attempts": "attempts of a process",
    }
    sizes = [
        _figure(f"{text}, a day", found.size[name] / found.days, "", None) for name, text in named.items()
    ]
    return [*sizes, _figure("faults that struck, a day", sum(found.fired.values()) / found.days, "", None)]


def _kills() -> list[dict[str, str | float | bool | None]]:
    """Pairs of kills of a day of thirty orders, each lived from the moment of its first kill."""
    before, total = resource.getrusage(resource.RUSAGE_CHILDREN), Tally()
    for name, first, seconds in drawn_pairs(PAIRS, seed=7):
        total.add(explore(SCENARIOS[name], (first,), seconds))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if total.violations:
        raise RuntimeError(f"the measured kills broke an invariant: {total.shown[0]}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lived = total.singles + total.pairs - total.equal
    return [_figure("a pair of kills of a day of thirty orders", 1000 * spent / lived, "ms", None)]


def _figure(
    metric: str, value: float, unit: str, target: float | None
) -> dict[str, str | float | bool | None]:
    return {
        "metric": metric,
        "value": round(value, 2),
        "unit": unit,
        "baseline": None,
        "ratio": None,
        "target": target,
        "met": None if target is None else value >= target,
    }
