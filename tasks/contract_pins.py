"""Pin the broker's contracts of an account: read only, nothing of the book is opened."""

from __future__ import annotations

from pathlib import Path

from engine.errors import ConfigurationError
from tasks.adapters.broker_outside import BrokerOutside, Pinned
from tasks.day import wall_clock
from tasks.options import WorldOptions
from tasks.runtime import World


def pin_contracts(profile: str, seed: int | None, store: Path | None) -> Pinned:
    """Qualify all that the fund may trade; raises `ConfigurationError` for a profile without a broker's account."""
    today = wall_clock().date()
    world = World(WorldOptions(profile=profile, first=today, last=today, seed=seed, store=store))
    try:
        outside = world.outside
        if not isinstance(outside, BrokerOutside):
            raise ConfigurationError(
                f"expected a profile whose account is a broker's, found {profile}; take paper or live"
            )
        return outside.line.pin_contracts()
    finally:
        world.close()
