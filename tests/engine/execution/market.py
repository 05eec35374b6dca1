"""A small market for the execution tests: eight instruments, their contracts, prices, sessions and policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

from engine.execution.liquidity import LiquidityEstimator
from engine.execution.netting import PriceBook
from engine.execution.outcome import ExecutionWorld
from engine.model.context import DayContext, Mode
from engine.model.instruments import (
    CollarClass,
    Contract,
    ExpiryRule,
    Instrument,
    InstrumentType,
    TickBand,
    VenueGroup,
)
from engine.model.market import FxRate, FxRates, Quote, Source
from engine.model.orders import ExecutionJob, OrderIntent, Reason, Side, Trade, Urgency
from engine.model.policy import (
    CostPolicy,
    ExecutionPolicy,
    GatePolicy,
    SafetyPolicy,
    SlicingPolicy,
    UrgencyPolicy,
)
from engine.model.portfolio import Portfolio, Position, Sleeve
from engine.model.universe import ContractBook, Universe
from engine.model.venues import AuctionPolicy, WindowPolicy
from engine.model.windows import ExecutionStyle, LiquidityWindow
from engine.sessions import Session, SessionTable
from tests.fakes import MemoryOrderBook, ScriptedTransport

DAY = date(2026, 6, 15)
NOON = datetime(2026, 6, 15, 12, 0, tzinfo=UTC)


def instrument(
    name: str,
    kind: InstrumentType = InstrumentType.ETF,
    collar: CollarClass = CollarClass.ETF,
    *,
    currency: str = "USD",
    exposure: str | None = None,
    tick: str = "0.005",
    multiplier: str = "1",
    venue: str = "LSE",
    group: VenueGroup = VenueGroup.EU,
    calendar_spread: bool = False,
    auctions: tuple[str, ...] = (),
) -> Instrument:
    return Instrument(
        instrument_id=name,
        category="test",
        kind=kind,
        ib_symbol=name,
        exchange="SMART",
        primary_exchange=None,
        currency=currency,
        price_unit=currency,
        exposure_currency=exposure or currency,
        multiplier=D(multiplier),
        price_magnifier=D(1),
        tick_bands=(TickBand(from_price=D(0), tick=D(tick)),),
        lot=D(1),
        collar_class=collar,
        venue=venue,
        venue_group=group,
        expiry_rule=ExpiryRule.THIRD_FRIDAY if kind is InstrumentType.FUT else ExpiryRule.NONE,
        months=(3, 6, 9, 12) if kind is InstrumentType.FUT else (),
        roll_days_before=3,
        underlying=None,
        counted=True,
        tradeable=True,
        long_name=name,
        yahoo=None,
        issuer_country="US",
        calendar_spread=calendar_spread,
        auction_orders=auctions,
    )


INSTRUMENTS = (
    instrument("CS51", currency="EUR", tick="0.01", venue="XETRA", auctions=("LOC",)),
    instrument("CSPX", tick="0.005"),
    instrument("ES", InstrumentType.FUT, CollarClass.FUT, tick="0.25", multiplier="50", venue="CME", group=VenueGroup.FUT, calendar_spread=True),
    instrument("EZU", exposure="EUR", tick="0.01", venue="NYSE", group=VenueGroup.US),
    instrument("M6E", InstrumentType.FUT, CollarClass.FX_FUT, exposure="EUR", tick="0.0001", multiplier="12500", venue="CME", group=VenueGroup.FUT),
    instrument("MSFT", InstrumentType.STK, CollarClass.STK, tick="0.01", venue="NYSE", group=VenueGroup.US),
    instrument("SPX_OPT", InstrumentType.OPT, CollarClass.OPT, tick="0.05", multiplier="100", venue="NYSE", group=VenueGroup.US),
    instrument("VX", InstrumentType.FUT, CollarClass.VOL_FUT, tick="0.05", multiplier="1000", venue="CME", group=VenueGroup.FUT),
)  # fmt: skip
UNIVERSE = Universe(instruments=INSTRUMENTS)
ES_JUN, ES_SEP = "ES_20260619", "ES_20260918"
M6E_SEP = "M6E_20260914"
VX_JUL = "VX_20260722"
CONTRACTS = ContractBook(
    universe=UNIVERSE,
    contracts={
        name: Contract(contract_id=name, instrument_id=name.split("_")[0], last_trade_date=day)
        for name, day in (
            (ES_JUN, date(2026, 6, 19)),
            (ES_SEP, date(2026, 9, 18)),
            (M6E_SEP, date(2026, 9, 14)),
            (VX_JUL, date(2026, 7, 22)),
        )
    },
)
FX = FxRates(
    as_of=NOON, rates={"EURUSD": FxRate(pair="EURUSD", rate=D("1.10"), observed_at=NOON, source="test")}
)
PRICES = PriceBook(
    contracts=CONTRACTS,
    prices={
        "CS51": D(50),
        "CSPX": D(734),
        "EZU": D(55),
        "MSFT": D(400),
        ES_JUN: D(5000),
        ES_SEP: D(5050),
        M6E_SEP: D("1.10"),
        VX_JUL: D(18),
        "SPX_OPT": D(10),
    },
    fx=FX,
)


def execution_policy(**changes: object) -> ExecutionPolicy:
    policy = ExecutionPolicy(
        allow_market_orders=False,
        order_ttl_seconds=120.0,
        replace_interval_seconds=15.0,
        max_replaces=6,
        collar_bps={
            CollarClass.ETF: D(10),
            CollarClass.STK: D(12),
            CollarClass.FUT: D(3),
            CollarClass.FX_FUT: D(2),
            CollarClass.FX_SPOT: D(2),
            CollarClass.BOND_FUT: D(3),
            CollarClass.VOL_FUT: D(3),
        },
        option_collar_fraction=D("0.05"),
        option_collar_ticks=3,
        minimum_collar_ticks=2,
        buffer_spread_fraction=D("0.25"),
        minimum_notional_usd=D(2500),
        quote_age_plan_seconds=30.0,
        quote_age_price_seconds=5.0,
        avoid_after_open_minutes=15,
        avoid_before_close_minutes=10,
        parent_retry_seconds=600.0,
        max_legging_seconds=60.0,
        urgency=UrgencyPolicy(
            passive_seconds=300.0,
            high_collar_multiple=D("1.5"),
            high_replace_interval_seconds=5.0,
            emergency_collar_multiples=(D(1), D(2), D(4)),
            emergency_rung_seconds=10.0,
            emergency_minimum_ticks=4,
        ),
        slicing=SlicingPolicy(
            adv_fraction_threshold=D("0.01"), max_participation_fraction=D("0.10"), interval_seconds=20.0
        ),
    )
    return replace(policy, **changes)  # type: ignore[arg-type]


def safety_policy(**changes: object) -> SafetyPolicy:
    policy = SafetyPolicy(
        max_order_fraction=D("0.10"),
        max_daily_turnover_fraction=D("0.50"),
        planner_order_fraction=D("0.095"),
        planner_turnover_fraction=D("0.45"),
        fx_hedge_order_fraction=D("0.25"),
        fat_finger_price_fraction=D("0.05"),
        fat_finger_reduction_fraction=D("0.20"),
        max_adv_fraction=D("0.10"),
        max_orders_per_day=200,
        near_open_minutes=15,
        retarget_move_fraction=D("0.02"),
        future_move_fraction=D("0.03"),
        minimum_excess_liquidity_fraction=D("0.25"),
    )
    return replace(policy, **changes)  # type: ignore[arg-type]


def gate_policy(**changes: object) -> GatePolicy:
    policy = GatePolicy(
        enabled=True,
        minimum_drift_fraction=0.002,
        cost_multiplier=1.5,
        regime_multipliers={"NORMAL": 1.0, "ELEVATED": 1.5, "CRISIS": 2.5},
        risk_aversion=0.5 / 0.12,
        horizon_days=252,
        alpha_halflife_days=10,
        annualisation_days=252,
        establishing_below_fraction=0.5,
        large_change_fraction=0.2,
        established_within_fraction=0.05,
    )
    return replace(policy, **changes)  # type: ignore[arg-type]


COSTS = CostPolicy(
    half_spread_bps=dict.fromkeys(CollarClass, D(2)),
    impact_coefficient=dict.fromkeys(CollarClass, D(10)),
    commission_per_unit=dict.fromkeys(CollarClass, D("0.01")),
    commission_bps=dict.fromkeys(CollarClass, D(0)),
    commission_minimum=dict.fromkeys(CollarClass, D(1)),
    transaction_taxes=(),
)


def quote(
    contract_id: str = "CSPX",
    bid: str | None = "734.0",
    ask: str | None = "734.3",
    at: datetime = NOON,
) -> Quote:
    return Quote(
        contract_id=contract_id,
        observed_at=at,
        bid=None if bid is None else D(bid),
        ask=None if ask is None else D(ask),
        bid_size=D(100),
        ask_size=D(100),
        last=None,
        close=None,
        source=Source.SIMULATED,
    )


def intent(
    quantity: int = 100,
    side: Side = Side.BUY,
    contract_id: str = "CSPX",
    *,
    name: str = "parent-1",
    reason: Reason = Reason.REBALANCE,
    reduce_only: bool = False,
    urgency: Urgency = Urgency.NORMAL,
) -> OrderIntent:
    return OrderIntent(
        intent_id=name,
        contract_id=contract_id,
        instrument_id=CONTRACTS.contract(contract_id).instrument_id,
        side=side,
        quantity=D(quantity),
        reason=reason,
        urgency=urgency,
        group=None,
        reduce_only=reduce_only,
        sleeves={"core_index_rv": D(quantity * side.sign)},
        decision_price=PRICES.prices[contract_id],
    )


def trade(
    contract_id: str,
    quantity: int,
    *,
    reason: Reason = Reason.REBALANCE,
    group: str | None = None,
    reduce_only: bool = False,
) -> Trade:
    return Trade(
        contract_id=contract_id,
        instrument_id=CONTRACTS.contract(contract_id).instrument_id,
        quantity=D(quantity),
        reason=reason,
        group=group,
        reduce_only=reduce_only,
        sleeves={"core_index_rv": D(quantity)},
    )


def portfolio(**quantities: int) -> Portfolio:
    return holdings({name: {Sleeve.CORE: quantity} for name, quantity in quantities.items()})


def holdings(owned: Mapping[str, Mapping[Sleeve, int]]) -> Portfolio:
    return Portfolio(
        as_of=NOON,
        cash={"USD": D(0)},
        positions={
            name: Position(
                contract_id=name,
                quantity=D(sum(sleeves.values())),
                cost=D(0),
                average_price=D(0),
                sleeves={sleeve: D(q) for sleeve, q in sleeves.items()},
            )
            for name, sleeves in owned.items()
        },
        accruals={},
        units=D(1),
    )


def context(**changes: object) -> DayContext:
    value = DayContext(
        run_id="run",
        account="SIM-1",
        mode=Mode.SIMULATED,
        trade_date=DAY,
        as_of=datetime(2026, 6, 15, 6, 0, tzinfo=UTC),
        config_digest="c",
        code_version="v",
        seed=1,
    )
    return replace(value, **changes)  # type: ignore[arg-type]


def utc(day: date, clock: str) -> datetime:
    hour, minute = clock.split(":")
    return datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=UTC)


def session(venue: str, day: date, opens: str, closes: str) -> Session:
    return Session(
        venue=venue, session_date=day, open=utc(day, opens), close=utc(day, closes), early_close=False
    )


def sessions(closed: frozenset[str] = frozenset(), day: date = DAY) -> SessionTable:
    """Summer hours: London and Frankfurt 07:00-15:30, New York 13:30-20:00, Chicago 00:00-21:00 UTC."""
    hours = {
        "LSE": ("07:00", "15:30"),
        "XETRA": ("07:00", "15:30"),
        "NYSE": ("13:30", "20:00"),
        "CME": ("00:00", "21:00"),
    }
    return SessionTable(
        first=day - timedelta(days=5),
        last=day + timedelta(days=5),
        venues={
            venue: () if venue in closed else (session(venue, day, *clock),) for venue, clock in hours.items()
        },
    )


def window_policies() -> dict[str, WindowPolicy]:
    """Europe's auctions take only what the contract lists; New York's cut-off is 15 minutes before the close."""
    opening = AuctionPolicy(first_minutes=-30, cutoff_minutes=-3, result_minutes=10, listed_only=False)
    closing = AuctionPolicy(first_minutes=-35, cutoff_minutes=-15, result_minutes=15, listed_only=False)

    def policy(after_new_york: int | None = None, start: str | None = None) -> WindowPolicy:
        return WindowPolicy(
            open_offset_minutes=15,
            close_offset_minutes=10,
            after_new_york_open_minutes=after_new_york,
            start_utc=start,
            end_utc=None,
        )

    return {
        "EU": replace(
            policy(15),
            close_auction=replace(closing, first_minutes=-10, cutoff_minutes=-1, listed_only=True),
        ),
        "US": replace(policy(), open_auction=opening, close_auction=closing),
        "FUT": policy(start="07:00"),
    }


def job(
    *intents: OrderIntent,
    name: str = "job-1",
    start: datetime = NOON,
    minutes: float = 60,
    after: tuple[str, ...] = (),
    group: str = "strategy/core",
) -> ExecutionJob:
    window = LiquidityWindow(
        venue="LSE",
        style=ExecutionStyle.MIDDAY,
        start=start,
        end=start + timedelta(minutes=minutes),
    )
    return ExecutionJob(
        job_id=name,
        trade_date=DAY,
        venue="LSE",
        venue_group=VenueGroup.EU,
        style=ExecutionStyle.MIDDAY,
        window=window,
        group=group,
        after=after,
        intents=intents,
        content_digest="d",
    )


def steady(contract_id: str, at: datetime) -> Quote:
    """CSPX at 734.0/734.3, everything else 0.02 % wide around its decision price."""
    if contract_id == "CSPX":
        return quote(at=at)
    price = PRICES.prices[contract_id]
    tick = CONTRACTS.instrument(contract_id).tick_at(price)
    return replace(quote(contract_id, at=at), bid=price - tick, ask=price + tick)


def world(
    *intents: OrderIntent, start: datetime = NOON
) -> tuple[ExecutionWorld, ScriptedTransport, MemoryOrderBook]:
    broker = ScriptedTransport(start, steady)
    book = MemoryOrderBook({i.intent_id: (i.quantity, i.reduce_only) for i in intents})
    made = ExecutionWorld(
        transport=broker,
        book=book,
        prices=PRICES,
        execution=execution_policy(),
        safety=safety_policy(),
        liquidity=LiquidityEstimator(average_daily_volume={}),
    )
    return made, broker, book
