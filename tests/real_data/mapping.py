"""Which source symbol becomes which instrument, and what is not imported and why."""

from __future__ import annotations

FUTURES = {
    "SP500": "ES", "NASDAQ": "NQ", "EUROSTX": "FESX", "EURO600": "FXXP", "DAX": "DAX", "EU-BANKS": "FESB",
    "VIX": "VX", "V2X": "FVS", "EUR": "6E", "GBP": "6B", "CHF": "6S", "BUND": "FGBL", "BOBL": "FGBM",
    "SHATZ": "FGBS", "OAT": "FOAT", "BTP": "FBTP", "US10": "ZN",
}  # fmt: skip
"""Future of the source to the fund's instrument; any other keeps its name with the ending ``.FUT``."""

NOT_IMPORTED_FUTURES = {
    "SP500_micro": "the same prices as SP500, also for years in which the micro contract did not exist",
    "NASDAQ_micro": "the same prices as NASDAQ, also for years in which the micro contract did not exist",
    "GOLD_micro": "the same prices as GOLD, also for years in which the micro contract did not exist",
}

RAW_SHARES = ("IWM", "QQQ", "AAPL", "AIG", "BAC")
"""Symbols whose unadjusted record with corporate actions is preferred to an adjusted one."""

NOT_IMPORTED_SHARES = {
    "GOOG": "its unadjusted price halves on 2014-04-03 without a split, and 2008-09-30 holds a false print pair",
}
"""Symbols that are never taken from the unadjusted file."""

_US_RENAMED = {*FUTURES.values(), "MES", "MNQ", "VXM"}


def future_id(source: str) -> str:
    """Instrument id of a future of the source."""
    return FUTURES.get(source, f"{source}.FUT")


def us_share_id(symbol: str) -> str:
    """Instrument id of a US symbol; one that a future holds already gets the ending ``.US`` (Eversource, ES)."""
    return f"{symbol}.US" if symbol in _US_RENAMED else symbol


def london_share_id(symbol: str) -> str:
    """Instrument id of a London symbol: itself, with its ending ``.L``."""
    return symbol
