"""The past of an account at a simulated gateway: the market that the gateway serves."""

from __future__ import annotations

from contextlib import closing
from datetime import date

from engine.errors import ConfigurationError
from tasks.adapters.simulated_gateway.served import ServedMarket
from tasks.broker_place import BrokerPlace


def served_by(place: BrokerPlace | None) -> ServedMarket | None:
    """The market of the simulated gateway that an account is at, ``None`` where it is at none."""
    from tasks.adapters.simulated_gateway.control_client import ControlLine

    if place is None or place.control_port is None:
        return None
    with closing(ControlLine(place.control_port)) as line:
        return line.served()


def told_first(served: ServedMarket | None, seed: int) -> date:
    """First date of the generated past; raises `ConfigurationError` where no gateway generates one with this seed."""
    if served is None:
        raise ConfigurationError("expected --store as the past, found none, and no simulated gateway")
    served.require_past(seed, None)
    assert served.first is not None
    return served.first
