"""Sessions and a gateway of a few lines for the adapter's tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.session import IbkrSession
from tests.tasks.adapters.ibkr.tiny_gateway import TinyGateway

ACCOUNT = "DU1234567"
Connect = Callable[..., IbkrSession]


@pytest.fixture
def gateway() -> Iterator[TinyGateway]:
    made = TinyGateway(ACCOUNT)
    yield made
    made.close()


@pytest.fixture
def alarms() -> list[str]:
    return []


@pytest.fixture
def session(gateway: TinyGateway, alarms: list[str]) -> Iterator[Connect]:
    """Makes sessions with short waits; all are closed at the end."""
    made: list[IbkrSession] = []

    def connect(*, connected: bool = True, **changes: object) -> IbkrSession:
        given: dict[str, object] = {
            "account": ACCOUNT, "client_id": 7, "is_paper": True, "port": gateway.port, "connect_timeout": 1.0,
            "request_timeout": 1.0, "heartbeat_seconds": None, "messages_per_second": 0, "reconnect_delays": (0.02,) * 5,
        }  # fmt: skip
        policy = SessionPolicy(**{**given, **changes})  # type: ignore[arg-type]
        one = IbkrSession(policy, alarms.append)
        made.append(one)
        if connected:
            one.connect()
        return one

    yield connect
    for one in made:
        one.close()


def eventually(condition: Callable[[], object], seconds: float = 3.0) -> None:
    """Wait until something holds; what happens on another thread has no other sign."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.002)
