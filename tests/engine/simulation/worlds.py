"""A small world for tests of the simulated market: 76 instruments and their sessions, without configuration files."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache

from engine.model.instruments import (
    CollarClass,
    ExpiryRule,
    Instrument,
    InstrumentType,
    OptionRight,
    TickBand,
    VenueGroup,
)
from engine.model.market import OptionRange
from engine.model.universe import Universe
from engine.sessions import Session, SessionTable
from engine.simulation.market import generate_panel
from engine.simulation.panel import MarketPanel

QUARTERLY, MONTHLY = (3, 6, 9, 12), tuple(range(1, 13))

# venue: hours in UTC; a negative opening hour is on the evening before.
HOURS = {
    "LSE": (8.0, 16.5), "XETR": (8.0, 16.5), "NYSE": (14.5, 21.0), "CBOE": (14.5, 21.25), "CME": (-1.0, 22.0),
    "EUREX": (1.0, 21.0), "FX": (-1.75, 22.0),
}  # fmt: skip
HOLIDAYS = {
    "NYSE": {date(2025, 7, 4), date(2025, 11, 27), date(2026, 1, 19), date(2026, 5, 25)},
    "LSE": {date(2025, 8, 25), date(2026, 5, 4)},
}
CLOSED_EVERYWHERE = {(12, 25), (1, 1)}
GOOD_FRIDAYS = {date(2023, 4, 7), date(2024, 3, 29), date(2025, 4, 18), date(2026, 4, 3), date(2027, 3, 26)}

F, FX_F, VOL, BOND = CollarClass.FUT, CollarClass.FX_FUT, CollarClass.VOL_FUT, CollarClass.BOND_FUT
FRIDAY, WEDNESDAY = ExpiryRule.THIRD_FRIDAY, ExpiryRule.THIRD_WEDNESDAY_LESS_2
FUTURES = {
    # id: currency, exposure, multiplier, tick, class, venue, rule, months, roll days
    "ES": ("USD", "USD", "50", "0.25", F, "CME", FRIDAY, QUARTERLY, 5),
    "MES": ("USD", "USD", "5", "0.25", F, "CME", FRIDAY, QUARTERLY, 5),
    "NQ": ("USD", "USD", "20", "0.25", F, "CME", FRIDAY, QUARTERLY, 5),
    "MNQ": ("USD", "USD", "2", "0.25", F, "CME", FRIDAY, QUARTERLY, 5),
    "FESX": ("EUR", "EUR", "10", "1", F, "EUREX", FRIDAY, QUARTERLY, 5),
    "FESB": ("EUR", "EUR", "50", "0.1", F, "EUREX", FRIDAY, QUARTERLY, 5),
    "FXXP": ("EUR", "EUR", "50", "0.1", F, "EUREX", FRIDAY, QUARTERLY, 5),
    "FDXM": ("EUR", "EUR", "5", "1", F, "EUREX", FRIDAY, QUARTERLY, 5),
    "M6E": ("USD", "EUR", "12500", "0.0001", FX_F, "CME", WEDNESDAY, QUARTERLY, 3),
    "6E": ("USD", "EUR", "125000", "0.00005", FX_F, "CME", WEDNESDAY, QUARTERLY, 3),
    "M6B": ("USD", "GBP", "6250", "0.0001", FX_F, "CME", WEDNESDAY, QUARTERLY, 3),
    "6B": ("USD", "GBP", "62500", "0.0001", FX_F, "CME", WEDNESDAY, QUARTERLY, 3),
    "MSF": ("USD", "CHF", "12500", "0.0001", FX_F, "CME", WEDNESDAY, QUARTERLY, 3),
    "6S": ("USD", "CHF", "125000", "0.00005", FX_F, "CME", WEDNESDAY, QUARTERLY, 3),
    "VX": ("USD", "USD", "1000", "0.05", VOL, "CME", ExpiryRule.VIX_WEDNESDAY, MONTHLY, 3),
    "VXM": ("USD", "USD", "100", "0.01", VOL, "CME", ExpiryRule.VIX_WEDNESDAY, MONTHLY, 3),
    "FVS": ("EUR", "EUR", "100", "0.05", VOL, "EUREX", ExpiryRule.VIX_WEDNESDAY, MONTHLY, 3),
    "FGBL": ("EUR", "EUR", "1000", "0.01", BOND, "EUREX", ExpiryRule.EUREX_BOND, QUARTERLY, 5),
    "FGBM": ("EUR", "EUR", "1000", "0.01", BOND, "EUREX", ExpiryRule.EUREX_BOND, QUARTERLY, 5),
    "FGBS": ("EUR", "EUR", "1000", "0.005", BOND, "EUREX", ExpiryRule.EUREX_BOND, QUARTERLY, 5),
    "FOAT": ("EUR", "EUR", "1000", "0.01", BOND, "EUREX", ExpiryRule.EUREX_BOND, QUARTERLY, 5),
    "FBTP": ("EUR", "EUR", "1000", "0.01", BOND, "EUREX", ExpiryRule.EUREX_BOND, QUARTERLY, 5),
    "ZN": ("USD", "USD", "1000", "0.015625", BOND, "CME", ExpiryRule.TREASURY_NOTE, QUARTERLY, 5),
}
CURRENCIES = {
    "EUR.USD": ("USD", "EUR"),
    "GBP.USD": ("USD", "GBP"),
    "USD.CHF": ("CHF", "CHF"),
    "USD.SEK": ("SEK", "SEK"),
}
LONDON_USD = ("CSPX", "IUIT", "CNDX", "SEMI", "SMHV", "IUHC", "IUQA", "LQDE", "IHYU", "FLOT")
XETRA_FUNDS = ("CS51", "EXV1", "EXS1", "EXW1", "EXSA", "EXH1")
US_SHARES = (
    "ARCC",
    "MAIN",
    "AAPL",
    "MSFT",
    "GOOGL",
    "NVDA",
    "AMZN",
    "META",
    "AVGO",
    "COST",
    "LLY",
    "V",
    "JNJ",
)
EUROPEAN_SHARES = ("DBK", "CBK", "VOW3", "BAS", "BNP", "GLE", "ACA", "RNO", "UCG", "TEF")
OPTIONS = {
    "SPX_OPT": ("USD", "100", "0.05", "CBOE"), "SPY_OPT": ("USD", "100", "0.01", "CBOE"),
    "SX5E_OPT": ("EUR", "10", "0.1", "EUREX"), "VIX_OPT": ("USD", "100", "0.01", "CBOE"),
    "HYG_OPT": ("USD", "100", "0.01", "CBOE"), "JNK_OPT": ("USD", "100", "0.01", "CBOE"),
    "BNP_OPT": ("EUR", "100", "0.01", "EUREX"), "GLE_OPT": ("EUR", "100", "0.01", "EUREX"),
    "ACA_OPT": ("EUR", "100", "0.01", "EUREX"),
}  # fmt: skip


def instrument(instrument_id: str, **changes: object) -> Instrument:
    """A dollar fund in London; name only what differs."""
    fields: dict[str, object] = {
        "instrument_id": instrument_id, "category": "test", "kind": InstrumentType.ETF, "ib_symbol": instrument_id,
        "exchange": "SMART", "primary_exchange": None, "currency": "USD", "price_unit": "USD",
        "exposure_currency": "USD", "multiplier": Decimal(1), "price_magnifier": Decimal(1),
        "tick_bands": (TickBand(from_price=Decimal(0), tick=Decimal("0.005")), TickBand(from_price=Decimal(50), tick=Decimal("0.01"))),
        "lot": Decimal(1), "collar_class": CollarClass.ETF, "venue": "LSE", "venue_group": VenueGroup.EU,
        "expiry_rule": ExpiryRule.NONE, "months": (), "roll_days_before": 0, "underlying": None, "counted": True,
        "tradeable": True, "long_name": instrument_id, "yahoo": None,
    }  # fmt: skip
    return Instrument(**{**fields, **changes})  # type: ignore[arg-type]


def band(tick: str) -> tuple[TickBand, ...]:
    return (TickBand(from_price=Decimal(0), tick=Decimal(tick)),)


def future(instrument_id: str) -> Instrument:
    currency, exposure, multiplier, tick, collar, venue, rule, months, days = FUTURES[instrument_id]
    return instrument(
        instrument_id, kind=InstrumentType.FUT, currency=currency, price_unit=currency, exposure_currency=exposure,
        multiplier=Decimal(multiplier), tick_bands=band(tick), collar_class=collar, venue=venue,
        venue_group=VenueGroup.FUT, expiry_rule=rule, months=months, roll_days_before=days,
    )  # fmt: skip


def option(instrument_id: str) -> Instrument:
    currency, multiplier, tick, venue = OPTIONS[instrument_id]
    rule = ExpiryRule.VIX_WEDNESDAY if instrument_id == "VIX_OPT" else FRIDAY
    return instrument(
        instrument_id, kind=InstrumentType.OPT, currency=currency, price_unit=currency, exposure_currency=currency,
        multiplier=Decimal(multiplier), tick_bands=band(tick), collar_class=CollarClass.OPT, venue=venue,
        venue_group=VenueGroup.US if venue == "CBOE" else VenueGroup.FUT, expiry_rule=rule,
    )  # fmt: skip


def full_universe() -> Universe:
    """All instruments of the fund and one proxy."""
    lines = [future(name) for name in FUTURES] + [option(name) for name in OPTIONS]
    lines += [instrument(name) for name in LONDON_USD]
    lines += [
        instrument(name, currency="EUR", price_unit="EUR", exposure_currency="EUR", venue="XETR")
        for name in XETRA_FUNDS
    ]
    lines += [
        instrument(
            name, kind=InstrumentType.STK, currency="EUR", price_unit="EUR", exposure_currency="EUR", venue="XETR",
            collar_class=CollarClass.STK,
        )
        for name in EUROPEAN_SHARES
    ]  # fmt: skip
    pence = {
        "currency": "GBP",
        "price_unit": "GBX",
        "exposure_currency": "GBP",
        "price_magnifier": Decimal(100),
    }
    lines += [
        instrument("IUKD", **pence),
        instrument("BT.A", kind=InstrumentType.STK, collar_class=CollarClass.STK, **pence),
    ]
    lines += [
        instrument(
            name, kind=InstrumentType.STK, collar_class=CollarClass.STK, venue="NYSE", venue_group=VenueGroup.US,
            tick_bands=band("0.01"),
        )
        for name in US_SHARES
    ]  # fmt: skip
    lines += [
        instrument(
            name, kind=InstrumentType.CASH, currency=currency, price_unit=currency, exposure_currency=exposure,
            venue="FX", venue_group=VenueGroup.FX, collar_class=CollarClass.FX_SPOT, tick_bands=band("0.00005"),
        )
        for name, (currency, exposure) in CURRENCIES.items()
    ]  # fmt: skip
    return Universe(instruments=tuple(sorted(lines, key=lambda line: line.instrument_id)))


def session_table(first: date = date(2022, 1, 3), last: date = date(2027, 12, 31)) -> SessionTable:
    """Weekdays less a few holidays, with plain UTC hours."""
    return SessionTable(
        first=first,
        last=last,
        venues={venue: tuple(_sessions(venue, first, last)) for venue in HOURS},
    )


def _sessions(venue: str, first: date, last: date) -> list[Session]:
    opening, closing = HOURS[venue]
    sessions = []
    day = first
    while day <= last:
        closed = day in HOLIDAYS.get(venue, ()) or (venue != "FX" and day in GOOD_FRIDAYS)
        if day.weekday() < 5 and not closed and (day.month, day.day) not in CLOSED_EVERYWHERE:
            midnight = datetime.combine(day, time(), tzinfo=UTC)
            sessions.append(
                Session(
                    venue=venue,
                    session_date=day,
                    open=midnight + timedelta(hours=opening),
                    close=midnight + timedelta(hours=closing),
                    early_close=False,
                )
            )
        day += timedelta(days=1)
    return sessions


@cache
def universe() -> Universe:
    """The full universe, made once."""
    return full_universe()


@cache
def sessions() -> SessionTable:
    """The session table, made once."""
    return session_table()


@cache
def world(seed: int = 7, first: date = date(2023, 5, 1), last: date = date(2026, 11, 20)) -> MarketPanel:
    """A generated market; do not change its arrays."""
    return generate_panel(universe(), sessions(), first, last, seed)


def option_ranges() -> dict[str, OptionRange]:
    """Two to four months of every option line: calls of volatility, puts of everything else."""
    return {
        line.instrument_id: OptionRange(
            right=OptionRight.CALL if line.instrument_id == "VIX_OPT" else OptionRight.PUT,
            first_day=45,
            last_day=120,
        )
        for line in universe()
        if line.is_option
    }
