"""The line to the simulated exchange and the faults that can be put behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from engine.accounting.fx_rates import open_hours_between
from engine.errors import ConfigurationError, NonFiniteValue
from engine.model.market import FxRates, Mark, MarketHistory, MarketInputs, OptionRange, Source
from engine.model.orders import TransportEventKind
from engine.ports import BrokerAccount, MarketDataSource, OrderTransport
from engine.simulation.broker import SimulatedBroker
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.faults import (
    SCENARIOS,
    STALE_FX_HOURS,
    FaultedMarketData,
    active_faults,
    clear,
    hide_execution,
    inject,
)
from engine.simulation.journal import MemoryJournal
from tests.engine.simulation.exchange_world import (
    MONDAY,
    World,
    broker_terms,
    new_broker,
    order,
    utc,
)

SIX = utc(MONDAY, 6)


class _Source:
    """What the fund would read without faults."""

    def __init__(self, world: World) -> None:
        self._world = world

    def inputs(
        self, trade_date: date, as_of: datetime, held: Sequence[str], options: Mapping[str, OptionRange]
    ) -> MarketInputs:
        empty = np.empty((0, 0))
        mark = Mark(
            contract_id="AAA",
            price=Decimal(100),
            session_date=date(2024, 3, 1),
            age_sessions=0,
            source=Source.SIMULATED,
        )
        return MarketInputs(
            as_of=as_of,
            trade_date=trade_date,
            marks={"AAA": mark},
            fx=self._world.fx(as_of),
            history=MarketHistory(
                dates=(),
                instrument_ids=(),
                currencies=(),
                returns=empty,
                fx_returns=empty,
                vix=np.empty(0),
                v2x=np.empty(0),
            ),
            chains={},
            option_chains={},
            fundamentals=(),
            borrow={},
            dividends=(),
            splits=(),
            average_daily_volume={},
        )


def _market_data(broker: SimulatedBroker) -> MarketDataSource:
    return FaultedMarketData(_Source(World()), broker)


def _read(broker: SimulatedBroker) -> MarketInputs:
    return _market_data(broker).inputs(MONDAY, SIX, (), {})


def test_transport_and_broker_are_the_engines_ports() -> None:
    broker = new_broker()
    transport: OrderTransport = SimulatedTransport(broker)
    account: BrokerAccount = broker
    transport.send(order())

    event = transport.next_event(utc(MONDAY, 15, 1))

    assert event is not None
    assert event.kind is TransportEventKind.ACKNOWLEDGED
    assert transport.now() == event.at
    assert account.snapshot(transport.now()).open_orders == transport.orders()


def test_wait_without_news_jumps_to_its_end() -> None:
    transport = SimulatedTransport(new_broker())

    assert transport.next_event(utc(MONDAY, 15, 30)) is None
    assert transport.now() == utc(MONDAY, 15, 30)


def test_quote_is_absent_while_the_venue_is_closed() -> None:
    broker = new_broker(at=utc(MONDAY, 10))
    transport = SimulatedTransport(broker)

    assert transport.quote("AAA") is None
    open_quote = transport.quote("PEN")
    assert open_quote is not None
    assert open_quote.bid == Decimal("249.9")


def test_new_connection_repeats_no_reports_but_lists_everything() -> None:
    broker = new_broker()
    SimulatedTransport(broker).send(order())
    broker.advance(utc(MONDAY, 15, 1))

    line = SimulatedTransport(broker)

    assert line.next_event(utc(MONDAY, 15, 2)) is None
    assert [(listed.order_ref, listed.filled) for listed in line.orders()] == [("AF1.A.0", Decimal(100))]
    assert [fill.quantity for fill in line.executions()] == [Decimal(100)]


@pytest.mark.parametrize(("name", "ours"), [("missed-fill", True), ("foreign-position", False)])
def test_added_trade_is_real_half_a_percent_and_strikes_once_a_day(name: str, ours: bool) -> None:
    broker = new_broker(at=SIX)
    assert inject(broker, name) is True
    assert inject(broker, name) is False

    snapshot = broker.snapshot(SIX)

    # 0.5 % of 10,000,000 at 100.00 each = 500 shares; commission 500 × 0.005
    assert snapshot.positions["AAA"].quantity == 500
    assert snapshot.cash["USD"] == Decimal(10_000_000) - 50_000 - Decimal("2.5")
    (fill,) = snapshot.executions
    assert (fill.order_ref is not None and fill.order_ref.startswith("AF1.")) is ours
    assert snapshot.completed_orders[0].order_ref == fill.order_ref
    assert active_faults(broker) == ()


def test_added_trade_strikes_again_on_another_day() -> None:
    broker = new_broker(at=SIX)
    inject(broker, "foreign-position")
    broker.advance(SIX + timedelta(days=1))

    assert inject(broker, "foreign-position") is True
    assert broker.state.quantity("AAA") > 500


@pytest.mark.parametrize(("name", "change"), [("cash-break", -30_000), ("cash-break:emergency", -150_000)])
def test_cash_break_changes_the_brokers_cash_for_good(name: str, change: int) -> None:
    broker = new_broker(at=SIX)
    inject(broker, name)

    assert broker.snapshot(SIX).cash["USD"] == 10_000_000 + change
    assert clear(broker, name) is False
    assert broker.snapshot(SIX).cash["USD"] == 10_000_000 + change


def test_drifted_net_liquidation_lasts_until_cleared_and_over_restarts() -> None:
    journal = MemoryJournal()
    broker = new_broker(at=SIX, journal=journal)
    inject(broker, "nlv-drift")

    broker = SimulatedBroker.load(broker_terms(), journal)
    assert active_faults(broker) == ("nlv-drift",)
    assert broker.snapshot(SIX).net_liquidation == 10_050_000
    assert broker.snapshot(SIX).cash["USD"] == 10_000_000

    assert clear(broker, "nlv-drift") is True
    broker = SimulatedBroker.load(broker_terms(), journal)
    assert broker.snapshot(SIX).net_liquidation == 10_000_000


def test_frozen_rates_are_old_until_cleared() -> None:
    broker = new_broker(at=SIX)
    inject(broker, "stale-fx")

    def oldest(fx: FxRates) -> datetime:
        return min(rate.observed_at for rate in fx.rates.values())

    assert oldest(_read(broker).fx) == SIX - timedelta(hours=128)
    clear(broker, "stale-fx")
    assert oldest(_read(broker).fx) == SIX


def test_poisoned_price_names_its_row_until_cleared() -> None:
    broker = new_broker(at=SIX)
    inject(broker, "nan-price")

    with pytest.raises(NonFiniteValue, match="AAA, found one that is not a number in the row of 2024-03-01"):
        _read(broker)
    clear(broker, "nan-price")
    assert _read(broker).marks["AAA"].price == 100


def test_hidden_execution_stays_out_of_the_listings() -> None:
    broker = new_broker()
    broker.submit(order())
    broker.advance(utc(MONDAY, 15, 1))
    (fill,) = broker.executions()

    hide_execution(broker, "lost-report", fill.execution_id)

    assert broker.executions() == ()
    assert broker.snapshot(broker.now).positions["AAA"].quantity == 100
    clear(broker, "lost-report")
    assert broker.executions() == (fill,)


def test_unknown_fault_names_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"cash-break.*stale-fx"):
        inject(new_broker(), "meteor")


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_fault_survives_a_restart(name: str) -> None:
    journal = MemoryJournal()
    broker = new_broker(at=SIX, journal=journal)
    inject(broker, name)

    twin = SimulatedBroker.load(broker_terms(), journal.copy())

    assert active_faults(twin) == active_faults(broker)
    assert twin.snapshot(SIX) == broker.snapshot(SIX)
    assert inject(twin, name) is False


@pytest.mark.parametrize("day", range(9, 16))
def test_frozen_rates_are_too_old_on_every_day_of_the_week(day: int) -> None:
    decided = datetime(2026, 11, day, 6, tzinfo=UTC)

    frozen = open_hours_between(decided - timedelta(hours=float(STALE_FX_HOURS)), decided)

    assert frozen > 72.0, "market hours, the limit of the settings"
