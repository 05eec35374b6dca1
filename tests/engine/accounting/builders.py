"""Small worlds for accounting tests: a few instruments of the fund's universe, and entries about them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from engine.accounting.ledger import EntryKind, LedgerEntry, deposit, pair, trade
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
from engine.model.market import FxRate, FxRates, Mark, Source
from engine.model.orders import Fill, Side
from engine.model.universe import ContractBook, Universe

D = Decimal
DAY = date(2025, 12, 1)
NOW = datetime(2025, 12, 1, 6, 0, tzinfo=UTC)


def at(day: int, hour: int = 6) -> datetime:
    """An hour of a day in December 2025."""
    return datetime(2025, 12, day, hour, 0, tzinfo=UTC)


def make_instrument(
    instrument_id: str,
    kind: InstrumentType = InstrumentType.STK,
    currency: str = "USD",
    *,
    multiplier: str = "1",
    magnifier: str = "1",
    tick: str = "0.01",
    exposure_currency: str | None = None,
    underlying: str | None = None,
    roll_days: int = 3,
    venue: str = "XNYS",
) -> Instrument:
    future = kind is InstrumentType.FUT
    return Instrument(
        instrument_id=instrument_id,
        category="test",
        kind=kind,
        ib_symbol=instrument_id,
        exchange="SMART",
        primary_exchange=None,
        currency=currency,
        price_unit=currency,
        exposure_currency=exposure_currency or currency,
        multiplier=D(multiplier),
        price_magnifier=D(magnifier),
        tick_bands=(TickBand(from_price=D(0), tick=D(tick)),),
        lot=D(1),
        collar_class=CollarClass.FUT if future else CollarClass.STK,
        venue=venue,
        venue_group=VenueGroup.FUT if future else VenueGroup.US,
        expiry_rule=ExpiryRule.THIRD_FRIDAY if future else ExpiryRule.NONE,
        months=(3, 6, 9, 12) if future else (),
        roll_days_before=roll_days,
        underlying=underlying,
        counted=True,
        tradeable=True,
        long_name=instrument_id,
        yahoo=None,
        issuer_country=None if future else "US",
    )


FUT, OPT = InstrumentType.FUT, InstrumentType.OPT
INSTRUMENTS = {
    made.instrument_id: made
    for made in (
        make_instrument("AAPL"),
        make_instrument("CSPX", InstrumentType.ETF),
        make_instrument("CS51", InstrumentType.ETF, "EUR"),
        make_instrument("IUKD", InstrumentType.ETF, "GBP", magnifier="100"),
        make_instrument("ES", FUT, multiplier="50", tick="0.25", venue="CME"),
        make_instrument("FESX", FUT, "EUR", multiplier="10", tick="1", venue="EUREX"),
        make_instrument("M6E", FUT, multiplier="12500", tick="0.0001", exposure_currency="EUR", venue="CME"),
        make_instrument("EUR.USD", InstrumentType.CASH, tick="0.00005", exposure_currency="EUR"),
        make_instrument("SPX", OPT, multiplier="100", underlying="ES"),
    )
}
CONTRACTS = {
    "ES_20251219": Contract(
        contract_id="ES_20251219", instrument_id="ES", last_trade_date=date(2025, 12, 19)
    ),
    "FESX_20251219": Contract(
        contract_id="FESX_20251219", instrument_id="FESX", last_trade_date=date(2025, 12, 19)
    ),
    "M6E_20251215": Contract(
        contract_id="M6E_20251215", instrument_id="M6E", last_trade_date=date(2025, 12, 15)
    ),
    "M6E_20260316": Contract(
        contract_id="M6E_20260316", instrument_id="M6E", last_trade_date=date(2026, 3, 16)
    ),
    "SPX_20251219_P_4800": Contract(
        contract_id="SPX_20251219_P_4800",
        instrument_id="SPX",
        last_trade_date=date(2025, 12, 19),
        strike=D(4800),
        right=OptionRight.PUT,
    ),
}
BOOK = ContractBook(
    universe=Universe(instruments=tuple(INSTRUMENTS[name] for name in sorted(INSTRUMENTS))),
    contracts=CONTRACTS,
)


def make_fill(
    contract_id: str,
    quantity: str | Decimal,
    price: str | Decimal,
    execution_id: str = "e1.01",
    order_ref: str | None = "AF1.REF.1",
    commission: str | None = None,
    executed_at: datetime = NOW,
) -> Fill:
    return Fill(
        execution_id=execution_id,
        order_ref=order_ref,
        contract_id=contract_id,
        side=Side.of(D(quantity)),
        quantity=abs(D(quantity)),
        price=D(price),
        executed_at=executed_at,
        commission=None if commission is None else D(commission),
        commission_currency=None if commission is None else BOOK.instrument(contract_id).currency,
    )


def bought(
    contract_id: str,
    quantity: str | Decimal,
    price: str | Decimal,
    execution_id: str = "e1.01",
    sleeve: str = "core_index_rv",
    booked_at: datetime = NOW,
) -> LedgerEntry:
    fill = make_fill(contract_id, quantity, price, execution_id, executed_at=booked_at)
    return trade(fill, BOOK.instrument(contract_id), {sleeve: fill.signed_quantity}, booked_at)


def capital(amount: str = "10000000", currency: str = "USD", booked_at: datetime = NOW) -> LedgerEntry:
    return deposit(D(amount), D(amount) / 100, booked_at, f"opening-{currency}", currency)


def borrow_fee(contract_id: str, amount: str) -> LedgerEntry:
    return LedgerEntry(
        entry_id=f"borrow:{contract_id}:2025-12-02",
        kind=EntryKind.BORROW_FEE,
        booked_at=at(2),
        value_date=date(2025, 12, 2),
        contract_id=contract_id,
        reference="borrow",
        price=None,
        quantity=None,
        lines=pair("expense:borrow", "cash", BOOK.instrument(contract_id).currency, D(amount)),
    )


def make_rates(observed_at: datetime = NOW, **pairs: str) -> FxRates:
    known = {"EURUSD": "1.17", "GBPUSD": "1.34"} | pairs
    return FxRates(
        as_of=observed_at,
        rates={
            pair: FxRate(pair=pair, rate=D(rate), observed_at=observed_at, source="test")
            for pair, rate in known.items()
        },
    )


def make_marks(age: int = 0, session_date: date = DAY, **prices: str) -> dict[str, Mark]:
    return {
        contract_id: Mark(
            contract_id=contract_id,
            price=D(price),
            session_date=session_date,
            age_sessions=age,
            source=Source.SIMULATED,
        )
        for contract_id, price in prices.items()
    }
