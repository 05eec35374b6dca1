"""A small world for the simulated broker: seven lines whose prices can be worked out by hand.

Closes: AAA 100.00 USD, PEN 250.0 pence, ES future 5000.00 and the next one 5040.00, EUR.USD 1.10000, USD.CHF 0.80000, option 12.00, M6E future 1.1000. Quotes stand one tick on
either side of the close moved by ``drift`` ticks for each five seconds since midnight.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from engine.errors import UnknownContract
from engine.model.carry import BorrowConfig, CarryPolicy, DividendConfig, FinancingConfig, InterestPosting
from engine.model.instruments import (
    CollarClass,
    Contract,
    ExpiryRule,
    Instrument,
    InstrumentType,
    OptionRight,
    TickBand,
    VenueGroup,
)
from engine.model.market import Dividend, FxRate, FxRates, Quote, Source, Split, SymbolChange
from engine.model.orders import ChildOrder, OrderType, Side, TransportEvent
from engine.model.policy import CostPolicy
from engine.model.universe import Universe
from engine.sessions import Session, SessionTable
from engine.simulation.broker import AccountOpening, SimulatedBroker
from engine.simulation.journal import BrokerJournal, MemoryJournal
from engine.simulation.terms import BrokerTerms
from tests.engine.accounting.policies import flat, settles_at_once, untaxed

FIRST, LAST = date(2024, 2, 26), date(2024, 5, 31)
MONDAY = date(2024, 3, 4)
FUTURE, OPTION, EURO = "ES_20240315", "OPT_20240308_P_100", "M6E_20240318"
NEXT = "ES_20240621"
TICKS = {
    "AAA": "0.01",
    "PEN": "0.1",
    "ES": "0.25",
    "EUR.USD": "0.00005",
    "USD.CHF": "0.00005",
    "OPT": "0.01",
    "M6E": "0.0001",
}


def utc(day: date, hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime.combine(day, time(hour, minute, second), UTC)


def _instrument(
    name: str, kind: InstrumentType, collar: CollarClass, venue: str, **changes: object
) -> Instrument:
    values: dict[str, object] = {
        "instrument_id": name,
        "category": "test",
        "kind": kind,
        "ib_symbol": name,
        "exchange": "SMART",
        "primary_exchange": None,
        "currency": "USD",
        "price_unit": "USD",
        "exposure_currency": "USD",
        "multiplier": Decimal(1),
        "price_magnifier": Decimal(1),
        "tick_bands": (TickBand(from_price=Decimal(0), tick=Decimal(TICKS[name])),),
        "lot": Decimal(1),
        "collar_class": collar,
        "venue": venue,
        "venue_group": VenueGroup(venue),
        "expiry_rule": ExpiryRule.NONE,
        "months": (),
        "roll_days_before": 5,
        "underlying": None,
        "counted": True,
        "tradeable": True,
        "long_name": name,
        "yahoo": None,
        "issuer_country": "US" if kind in (InstrumentType.STK, InstrumentType.ETF) else None,
    }
    return Instrument(**{**values, **changes})  # type: ignore[arg-type]


UNIVERSE = Universe(
    instruments=(
        _instrument("AAA", InstrumentType.STK, CollarClass.STK, "US"),
        _instrument(
            "ES",
            InstrumentType.FUT,
            CollarClass.FUT,
            "FUT",
            multiplier=Decimal(50),
            months=(3, 6, 9, 12),
            calendar_spread=True,
        ),
        _instrument(
            "EUR.USD",
            InstrumentType.CASH,
            CollarClass.FX_SPOT,
            "FX",
            ib_symbol="EUR",
            exposure_currency="EUR",
        ),
        _instrument(
            "M6E",
            InstrumentType.FUT,
            CollarClass.FX_FUT,
            "FUT",
            multiplier=Decimal(12500),
            months=(3, 6, 9, 12),
            exposure_currency="EUR",
        ),
        _instrument(
            "OPT", InstrumentType.OPT, CollarClass.OPT, "US", multiplier=Decimal(100), underlying="AAA"
        ),
        _instrument(
            "PEN",
            InstrumentType.ETF,
            CollarClass.ETF,
            "EU",
            currency="GBP",
            price_unit="GBX",
            exposure_currency="GBP",
            price_magnifier=Decimal(100),
        ),
        _instrument(
            "USD.CHF",
            InstrumentType.CASH,
            CollarClass.FX_SPOT,
            "FX",
            currency="CHF",
            price_unit="CHF",
            exposure_currency="CHF",
        ),
    )
)

CONTRACTS = {
    "AAA": Contract(contract_id="AAA", instrument_id="AAA"),
    "PEN": Contract(contract_id="PEN", instrument_id="PEN"),
    "EUR.USD": Contract(contract_id="EUR.USD", instrument_id="EUR.USD"),
    "USD.CHF": Contract(contract_id="USD.CHF", instrument_id="USD.CHF"),
    EURO: Contract(contract_id=EURO, instrument_id="M6E", last_trade_date=date(2024, 3, 18)),
    FUTURE: Contract(contract_id=FUTURE, instrument_id="ES", last_trade_date=date(2024, 3, 15)),
    NEXT: Contract(contract_id=NEXT, instrument_id="ES", last_trade_date=date(2024, 6, 21)),
    OPTION: Contract(
        contract_id=OPTION,
        instrument_id="OPT",
        last_trade_date=date(2024, 3, 8),
        strike=Decimal(100),
        right=OptionRight.PUT,
    ),
}

_HOURS = {
    "US": (time(14, 30), time(21)),
    "EU": (time(8), time(16, 30)),
    "FUT": (time(1), time(21)),
    "FX": (time(0, 15), time(22)),
}


def _sessions() -> SessionTable:
    weekdays = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
    weekdays = [day for day in weekdays if day.weekday() < 5]
    return SessionTable(
        first=FIRST,
        last=LAST,
        venues={
            venue: tuple(
                Session(
                    venue=venue,
                    session_date=day,
                    open=datetime.combine(day, opens, UTC),
                    close=datetime.combine(day, closes, UTC),
                    early_close=False,
                )
                for day in weekdays
            )
            for venue, (opens, closes) in _HOURS.items()
        },
    )


SESSIONS = _sessions()


@dataclass(kw_only=True)
class World:
    """Market facts that a test sets by hand (a `BrokerFacts`)."""

    closes: dict[str, Decimal] = field(
        default_factory=lambda: {
            "AAA": Decimal(100),
            "PEN": Decimal(250),
            FUTURE: Decimal(5000),
            NEXT: Decimal(5040),
            "EUR.USD": Decimal("1.1"),
            "USD.CHF": Decimal("0.8"),
            OPTION: Decimal(12),
            EURO: Decimal("1.1"),
        }
    )
    dated_closes: dict[tuple[str, date], Decimal | None] = field(default_factory=dict)
    drift: int = 0
    depth: Decimal = Decimal(1000)
    dividend_list: tuple[Dividend, ...] = ()
    split_list: tuple[Split, ...] = ()
    symbol_list: tuple[SymbolChange, ...] = ()
    unborrowable: frozenset[str] = frozenset()
    fee_bps: Decimal = Decimal(150)

    @property
    def sessions(self) -> SessionTable:
        return SESSIONS

    def contract(self, contract_id: str) -> Contract:
        if contract_id not in CONTRACTS:
            raise UnknownContract(f"expected a listed contract, found {contract_id}")
        return CONTRACTS[contract_id]

    def official_close(self, contract_id: str, session_date: date) -> Decimal | None:
        if not SESSIONS.is_session(UNIVERSE[CONTRACTS[contract_id].instrument_id].venue, session_date):
            return None
        return self.dated_closes.get((contract_id, session_date), self.closes[contract_id])

    def quote(self, contract_id: str, at: datetime) -> Quote | None:
        instrument = UNIVERSE[self.contract(contract_id).instrument_id]
        if SESSIONS.in_session(instrument.venue, at) is None:
            return None
        tick = instrument.tick_bands[0].tick
        steps = (at - datetime.combine(at.date(), time(), UTC)) // timedelta(seconds=5)
        mid = self.closes[contract_id] + tick * self.drift * (steps % 7)
        return Quote(
            contract_id=contract_id,
            observed_at=at,
            bid=mid - tick,
            ask=mid + tick,
            bid_size=self.depth,
            ask_size=self.depth,
            last=mid,
            close=self.closes[contract_id],
            source=Source.SIMULATED,
        )

    def fx(self, at: datetime) -> FxRates:
        rates = {"EURUSD": self.closes["EUR.USD"], "GBPUSD": Decimal("1.25"), "CHFUSD": Decimal("1.25")}
        return FxRates(
            as_of=at,
            rates={
                pair: FxRate(pair=pair, rate=rate, observed_at=at, source="world")
                for pair, rate in rates.items()
            },
        )

    def dividends(self, ex_date: date) -> tuple[Dividend, ...]:
        return tuple(dividend for dividend in self.dividend_list if dividend.ex_date == ex_date)

    def splits(self, ex_date: date) -> tuple[Split, ...]:
        return tuple(split for split in self.split_list if split.ex_date == ex_date)

    def symbol_changes(self, day: date) -> tuple[SymbolChange, ...]:
        return tuple(change for change in self.symbol_list if change.effective == day)

    def borrow_available(self, instrument_id: str, day: date) -> bool:
        return instrument_id not in self.unborrowable

    def borrow_fee_bps(self, instrument_id: str, day: date) -> Decimal:
        return self.fee_bps


def _by_class(**values: str) -> dict[CollarClass, Decimal]:
    return {collar: Decimal(values.get(collar.value, "0")) for collar in CollarClass}


COSTS = CostPolicy(
    half_spread_bps=_by_class(),
    impact_coefficient=_by_class(),
    commission_per_unit=_by_class(STK="0.005", FUT="2.25", OPT="0.65"),
    commission_bps=_by_class(ETF="5", FX_SPOT="0.2"),
    commission_minimum=_by_class(STK="1", ETF="3", FX_SPOT="2"),
    transaction_taxes=(),
)
CURRENCIES = ("USD", "EUR", "GBP", "CHF")


def _carry(
    rates: dict[str, str], spread: str, collateral: dict[str, str], step: dict[str, Decimal]
) -> CarryPolicy:
    return CarryPolicy(
        borrow=BorrowConfig(
            deny_short_without_borrow=False,
            default_fee_bps_annual=Decimal(150),
            max_fee_bps_annual=Decimal(1000),
            collateral_fraction={name: Decimal(value) for name, value in collateral.items()},
            collateral_price_step=step,
        ),
        dividends=DividendConfig(
            warn_ex_dividend_days=3, short_buffer_bps=Decimal(5), withholding=untaxed("US", "IE", "GB")
        ),
        financing=FinancingConfig(
            benchmark_annual={name: Decimal(value) for name, value in rates.items()},
            day_count={"USD": 360, "EUR": 360, "GBP": 365, "CHF": 360},
            credit_tiers=flat("0", *CURRENCIES),
            debit_tiers=flat(spread, *CURRENCIES),
            short_proceeds_tiers=flat("0", *CURRENCIES),
            posting=InterestPosting.DAILY,
            posting_venue="US",
        ),
        settlement=settles_at_once(*sorted({row.venue for row in UNIVERSE})),
    )


CARRY = _carry(
    {"USD": "0.045", "EUR": "0.03", "GBP": "0.045", "CHF": "0"},
    "0.015",
    {"USD": "1.02", "EUR": "1.05", "GBP": "1.05"},
    {"USD": Decimal(1)},
)
NO_CARRY = _carry(dict.fromkeys(CURRENCIES, "0"), "0", {"USD": "0", "EUR": "0", "GBP": "0"}, {})


def broker_terms(world: World | None = None, carry: CarryPolicy = CARRY) -> BrokerTerms:
    return BrokerTerms(facts=world or World(), universe=UNIVERSE, costs=COSTS, carry=carry)


def opening(at: datetime | None = None, deposit: str = "10000000") -> AccountOpening:
    return AccountOpening(
        account="SIM-test-7", deposit=Decimal(deposit), opened_at=at or utc(MONDAY, 15), seed=7
    )


def new_broker(
    world: World | None = None,
    at: datetime | None = None,
    carry: CarryPolicy = CARRY,
    journal: BrokerJournal | None = None,
    deposit: str = "10000000",
    costs: CostPolicy = COSTS,
) -> SimulatedBroker:
    terms = replace(broker_terms(world, carry), costs=costs)
    return SimulatedBroker.create(terms, journal or MemoryJournal(), opening(at, deposit))


def order(
    contract_id: str = "AAA",
    quantity: str = "100",
    limit: str = "100.05",
    *,
    side: Side = Side.BUY,
    ref: str = "AF1.A.0",
    order_type: OrderType = OrderType.LIMIT,
    good_till: datetime | None = None,
) -> ChildOrder:
    return ChildOrder(
        order_ref=ref,
        intent_id="intent",
        attempt=0,
        contract_id=contract_id,
        side=side,
        quantity=Decimal(quantity),
        order_type=order_type,
        limit_price=Decimal(limit),
        time_in_force="DAY",
        good_till=good_till or utc(MONDAY, 23),
    )


def events_until(broker: SimulatedBroker, until: datetime) -> list[TransportEvent]:
    events = []
    while (event := broker.next_event(until)) is not None:
        events.append(event)
    return events
