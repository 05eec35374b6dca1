"""A start inside the broker's reset waits for the broker, until a clock time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.errors import BrokerUnavailable
from tasks.maintenance import LOOK_AGAIN, await_broker

SIX, GUARD = datetime(2026, 11, 20, 6, tzinfo=UTC), datetime(2026, 11, 20, 6, 50, tzinfo=UTC)


class Away:
    """A broker that is away until a time."""

    def __init__(self, back: datetime) -> None:
        self.back, self.time, self.asked = back, SIX, 0

    def check(self) -> None:
        self.asked += 1
        if self.time < self.back:
            raise BrokerUnavailable("the broker is away")

    def now(self) -> datetime:
        return self.time

    def advance(self, until: datetime) -> datetime:
        assert self.time < until <= self.time + LOOK_AGAIN
        self.time = until
        return until


def test_broker_that_is_there_is_not_waited_for() -> None:
    broker = Away(SIX)
    await_broker(broker, GUARD)  # type: ignore[arg-type]
    assert (broker.time, broker.asked) == (SIX, 1)


def test_broker_that_comes_back_is_waited_for_and_no_longer() -> None:
    broker = Away(SIX + timedelta(minutes=17, seconds=40))
    await_broker(broker, GUARD)  # type: ignore[arg-type]
    assert broker.time == SIX + timedelta(minutes=18)
    assert broker.asked == 1 + 18 * 2  # at 06:00:00, then every 30 seconds up to 06:18:00


def test_broker_that_is_still_away_at_the_end_is_told() -> None:
    broker = Away(GUARD + timedelta(seconds=1))
    with pytest.raises(BrokerUnavailable, match="is away"):
        await_broker(broker, GUARD)  # type: ignore[arg-type]
    assert broker.time == GUARD
