"""Who lives in the generated market: level, factor loadings and habits of every name.

The figures are made up so that the market looks like a real one; none is a quotation. Levels are in quote units
(pence for London lines in pence) on the anchor day of `factors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import DataError
from engine.option_pricing import Skew

_W, _E, _T, _B = "WORLD", "EUROPE", "TECHNOLOGY", "BANK"


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """One generated price process.

    ``loadings`` are units of return per unit of factor; ``idiosyncratic`` and ``drift`` are annual; the dividend
    yield is annual and paid in ``dividend_months``; ``volume`` is the usual day's shares.
    """

    level: float
    loadings: Mapping[str, float]
    idiosyncratic: float = 0.0
    drift: float = 0.0
    dividend_yield: float = 0.0
    dividend_months: tuple[int, ...] = ()
    volume: float = 0.0
    borrowable: bool = True
    borrow_fee_bps: float = 40.0
    path_root: str = ""


def _index(level: float, root: str, loadings: Mapping[str, float], own: float = 0.0) -> Name:
    return Name(level=level, loadings=loadings, idiosyncratic=own, path_root=root)


SPOTS: Mapping[str, Name] = {
    "SPX": _index(6800.0, "SPX", {_W: 1.0}),
    "NDX": _index(25000.0, "NDX", {_W: 1.1, _T: 0.75}),
    "RTY": _index(2500.0, "RTY", {_W: 1.2}, 0.08),
    "SX5E": _index(5600.0, "SX5E", {_W: 0.95, _E: 1.0}),
    "SXXP": _index(585.0, "SXXP", {_W: 0.88, _E: 0.9}),
    "DAX": _index(24000.0, "DAX", {_W: 1.0, _E: 1.0}, 0.04),
    "SX7E": _index(250.0, "SX7E", {_W: 1.05, _E: 1.1, _B: 1.2}, 0.04),
    "UKX": _index(9700.0, "UKX", {_W: 0.72, _E: 0.45, "UK": 1.0}),
    "EURUSD": _index(1.16, "EURUSD", {"EURUSD": 1.0}),
    "GBPUSD": _index(1.31, "GBPUSD", {"GBPUSD": 1.0}),
    "CHFUSD": _index(1.25, "CHFUSD", {"CHFUSD": 1.0}),
    "SEKUSD": _index(1 / 9.5, "SEKUSD", {"SEKUSD": 1.0}),
    "FGBL": _index(128.0, "FGBL", {"YIELD_EU": -8.2}),
    "FGBM": _index(117.5, "FGBM", {"YIELD_EU": -4.6}),
    "FGBS": _index(107.0, "FGBS", {"YIELD_EU": -1.9}),
    "FOAT": _index(121.5, "FOAT", {"YIELD_EU": -7.8, "SPREAD_OAT": -7.8}),
    "FBTP": _index(120.5, "FBTP", {"YIELD_EU": -7.4, "SPREAD_BTP": -7.4}),
    "ZN": _index(112.5, "ZN", {"YIELD_US": -5.9}),
}
"""Price processes behind futures and currencies; the volatility indices come with the factors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FutureName:
    """A future: the spot behind it, its annual cost of carry, and its usual volume a day in contracts."""

    spot: str
    carry: float
    volume: float


FUTURES: Mapping[str, FutureName] = {
    "ES": FutureName(spot="SPX", carry=0.029, volume=1_500_000),
    "MES": FutureName(spot="SPX", carry=0.029, volume=1_100_000),
    "NQ": FutureName(spot="NDX", carry=0.034, volume=560_000),
    "MNQ": FutureName(spot="NDX", carry=0.034, volume=1_300_000),
    "RTY": FutureName(spot="RTY", carry=0.029, volume=180_000),
    "M2K": FutureName(spot="RTY", carry=0.029, volume=120_000),
    "FESX": FutureName(spot="SX5E", carry=-0.007, volume=750_000),
    "FXXP": FutureName(spot="SXXP", carry=-0.008, volume=40_000),
    "FDXM": FutureName(spot="DAX", carry=0.021, volume=30_000),
    "FDAX": FutureName(spot="DAX", carry=0.021, volume=40_000),
    "FDXS": FutureName(spot="DAX", carry=0.021, volume=20_000),
    "FESB": FutureName(spot="SX7E", carry=-0.025, volume=90_000),
    "Z": FutureName(spot="UKX", carry=0.004, volume=110_000),
    "6E": FutureName(spot="EURUSD", carry=0.018, volume=210_000),
    "M6E": FutureName(spot="EURUSD", carry=0.018, volume=18_000),
    "6B": FutureName(spot="GBPUSD", carry=0.0, volume=95_000),
    "M6B": FutureName(spot="GBPUSD", carry=0.0, volume=6_000),
    "6S": FutureName(spot="CHFUSD", carry=0.038, volume=25_000),
    "MSF": FutureName(spot="CHFUSD", carry=0.038, volume=1_200),
    "VX": FutureName(spot="VIX", carry=0.0, volume=110_000),
    "VXM": FutureName(spot="VIX", carry=0.0, volume=35_000),
    "FVS": FutureName(spot="V2X", carry=0.0, volume=45_000),
    "FGBL": FutureName(spot="FGBL", carry=-0.006, volume=900_000),
    "FGBM": FutureName(spot="FGBM", carry=-0.004, volume=600_000),
    "FGBS": FutureName(spot="FGBS", carry=-0.001, volume=450_000),
    "FOAT": FutureName(spot="FOAT", carry=-0.012, volume=180_000),
    "FBTP": FutureName(spot="FBTP", carry=-0.013, volume=160_000),
    "ZN": FutureName(spot="ZN", carry=-0.003, volume=2_000_000),
}
"""Carry of currencies is the USD rate less the currency's, as in `factors.SHORT_RATES`."""

CURRENCY_SPOT: Mapping[str, tuple[str, bool]] = {
    "EUR.USD": ("EURUSD", False),
    "GBP.USD": ("GBPUSD", False),
    "USD.CHF": ("CHFUSD", True),
    "USD.SEK": ("SEKUSD", True),
}
"""Spot currency line → the pair behind it, and whether the line is quoted the other way round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionName:
    """Options on one underlying.

    At-the-money volatility = ``base + beta`` × the index (VIX or V2X, as a fraction); ``skew`` over strikes;
    ``carry`` is the annual growth of the forward over the spot; ``spread_fraction`` of the premium; ``interest`` is
    the usual open interest near the money.
    """

    spot: str
    index: str
    base: float
    beta: float
    skew: Skew
    carry: float
    spread_fraction: float
    interest: int


_EQUITY_SKEW = Skew(slope=-0.16, curvature=0.02)
_VOLATILITY_SKEW = Skew(slope=0.14, curvature=0.01)
_BANK_SKEW = Skew(slope=-0.10, curvature=0.02)

OPTIONS: Mapping[str, OptionName] = {
    "SPX_OPT": OptionName(
        spot="SPX",
        index="vix",
        base=0.0,
        beta=0.92,
        skew=_EQUITY_SKEW,
        carry=0.029,
        spread_fraction=0.02,
        interest=9000,
    ),
    "SPY_OPT": OptionName(
        spot="SPY",
        index="vix",
        base=0.0,
        beta=0.92,
        skew=_EQUITY_SKEW,
        carry=0.028,
        spread_fraction=0.015,
        interest=20000,
    ),
    "SX5E_OPT": OptionName(
        spot="SX5E",
        index="v2x",
        base=0.0,
        beta=0.92,
        skew=_EQUITY_SKEW,
        carry=-0.007,
        spread_fraction=0.03,
        interest=12000,
    ),
    "VIX_OPT": OptionName(
        spot="VIX",
        index="vix",
        base=0.75,
        beta=0.9,
        skew=_VOLATILITY_SKEW,
        carry=0.0,
        spread_fraction=0.06,
        interest=30000,
    ),
    "HYG_OPT": OptionName(
        spot="HYG",
        index="vix",
        base=0.02,
        beta=0.30,
        skew=_EQUITY_SKEW,
        carry=-0.018,
        spread_fraction=0.08,
        interest=6000,
    ),
    "JNK_OPT": OptionName(
        spot="JNK",
        index="vix",
        base=0.025,
        beta=0.30,
        skew=_EQUITY_SKEW,
        carry=-0.025,
        spread_fraction=0.20,
        interest=90,
    ),
    "BNP_OPT": OptionName(
        spot="BNP",
        index="v2x",
        base=0.08,
        beta=0.95,
        skew=_BANK_SKEW,
        carry=-0.03,
        spread_fraction=0.08,
        interest=1500,
    ),
    "GLE_OPT": OptionName(
        spot="GLE",
        index="v2x",
        base=0.11,
        beta=0.95,
        skew=_BANK_SKEW,
        carry=-0.013,
        spread_fraction=0.08,
        interest=1200,
    ),
    "ACA_OPT": OptionName(
        spot="ACA",
        index="v2x",
        base=0.08,
        beta=0.95,
        skew=_BANK_SKEW,
        carry=-0.03,
        spread_fraction=0.10,
        interest=800,
    ),
}


def future_name(instrument_id: str) -> FutureName:
    """Process of a future; raises `DataError` for a name that the generated market does not know."""
    if instrument_id not in FUTURES:
        raise DataError(
            f"expected a future of the generated market, found {instrument_id!r}; describe it in generated_names"
        )
    return FUTURES[instrument_id]
