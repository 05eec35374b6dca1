"""Is the broker in its maintenance window? Then the day waits for it until a clock time, it is never skipped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from engine.errors import BrokerUnavailable
from engine.model.context import Mode
from tasks.day import TradingDay
from tasks.outside import Outside
from tasks.step import step

LOOK_AGAIN = timedelta(seconds=30)
"""A reset lasts seconds or minutes: so often it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintenance:
    """Windows that the decision time falls into; ``blocked`` where the broker may then be out of reach."""

    blocked: bool
    windows: tuple[str, ...]


@step("check maintenance")
def check_maintenance(day: TradingDay) -> Maintenance:
    """Look the decision time up in the broker's maintenance windows; the simulated broker keeps none."""
    windows = [w for w in day.world.venues.maintenance if w.contains(day.context.as_of)]
    blocked = bool(windows) and day.key.mode is not Mode.SIMULATED
    if blocked:
        guard = time.fromisoformat(
            day.world.configuration.settings.execution_phase2.session_scheduler.guard_until_utc
        )
        await_broker(day.world.outside, datetime.combine(day.trade_date, guard, tzinfo=UTC))
    return Maintenance(blocked=blocked, windows=tuple(window.name for window in windows))


def await_broker(outside: Outside, until: datetime) -> None:
    """Wait for a broker that is away; raises `BrokerUnavailable` when it still is at the end."""
    while True:
        try:
            outside.check()
        except BrokerUnavailable:
            now = outside.now()
            if now >= until:
                raise
            outside.advance(min(now + LOOK_AGAIN, until))
        else:
            return
