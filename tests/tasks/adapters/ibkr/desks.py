"""A market desk over a gateway of a few lines, on a clock that stands until a test moves it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.market_data import MarketDesk, MarketTerms
from tasks.adapters.ibkr.option_chain import ChainPolicy
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.quote_quality import QuoteFault, QuoteQualityConfig
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits
from tests.tasks.adapters.gateways import ACCOUNT, small_world
from tests.tasks.adapters.ibkr.market_gateway import MarketGateway, contract_desk

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FEE = Decimal(150)


@dataclass
class Clock:
    at: datetime = NOON

    def now(self) -> datetime:
        return self.at

    def pass_by(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class MarketRig:
    gateway: MarketGateway
    session: IbkrSession
    contracts: ContractDesk
    desk: MarketDesk
    clock: Clock = field(default_factory=Clock)

    def fault(self, name: str = "CSPX") -> QuoteFault:
        assert self.desk.quote(name) is None
        return self.desk.refused[name].fault


@contextmanager
def market_rig(
    units: WireUnits | None = None, messages_per_second: int = 0, **quality: object
) -> Iterator[MarketRig]:
    """A session and its desk, with short waits."""
    gateway, clock = MarketGateway(), Clock()
    policy = SessionPolicy(
        account=ACCOUNT, client_id=7, is_paper=True, port=gateway.port, connect_timeout=1.0, request_timeout=1.0,
        heartbeat_seconds=None, messages_per_second=messages_per_second, reconnect_delays=(0.02,) * 5,
    )  # fmt: skip
    session = IbkrSession(policy, lambda text: None, clock.now)
    try:
        session.connect()
        gateway.wait_for("market_data_type")
        terms = MarketTerms(
            quality=QuoteQualityConfig(**{"answer_seconds": 0.3, **quality}),  # type: ignore[arg-type]
            borrow_fee_bps_annual=FEE,
            generic_seconds=0.3,
            chains=ChainPolicy(answer_seconds=0.5),
            units=units or WireUnits(),
        )
        contracts = contract_desk(session)
        desk = MarketDesk(session, contracts, *small_world()[:2], terms)
        yield MarketRig(gateway, session, contracts, desk, clock)
    finally:
        session.close()
        gateway.close()
