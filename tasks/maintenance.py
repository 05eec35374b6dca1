"""Is the broker in its maintenance window? Then the day waits, it is never skipped."""

from __future__ import annotations

from dataclasses import dataclass

from engine.model.context import Mode
from tasks.day import TradingDay
from tasks.step import step


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Windows that the decision time falls into; ``blocked`` where the broker may then be out of reach."""

    blocked: bool
    windows: tuple[str, ...]


@step("check maintenance")
def check_maintenance(day: TradingDay) -> Maintenance:
    """Look the decision time up in the broker's maintenance windows; the simulated broker keeps none."""
    windows = [w for w in day.world.venues.maintenance if w.contains(day.context.as_of)]
    return Maintenance(
        blocked=bool(windows) and day.key.mode is not Mode.SIMULATED,
        windows=tuple(window.name for window in windows),
    )
