"""The shares and funds of the generated market: made-up levels, factor loadings, dividends and volumes.

Levels are in quote units (pence for London lines in pence) and on the share count of the anchor day of `factors`.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import DataError
from engine.simulation.generated_fund_names import FUNDS
from engine.simulation.generated_names import CURRENCY_SPOT, FUTURES, Name

_W, _E, _T, _S, _B, _N, _H = "WORLD", "EUROPE", "TECHNOLOGY", "SEMICONDUCTOR", "BANK", "ENERGY", "HEALTH"
_QUARTERLY, _HALF_YEARLY, _MONTHLY, _MAY = (2, 5, 8, 11), (3, 9), tuple(range(1, 13)), (5,)


_EUROPEAN_BANK = {_W: 1.05, _E: 1.1, _B: 1.3}

_COMPANIES: Mapping[str, Name] = {
    # Business development companies.
    "ARCC": Name(
        level=20.5,
        loadings={_W: 0.85, "CREDIT": -2.0},
        idiosyncratic=0.12,
        drift=0.07,
        dividend_yield=0.093,
        dividend_months=(3, 6, 9, 12),
        volume=4_200_000,
    ),
    "MAIN": Name(
        level=58.5,
        loadings={_W: 0.85, "CREDIT": -1.6},
        idiosyncratic=0.13,
        drift=0.07,
        dividend_yield=0.068,
        dividend_months=_MONTHLY,
        volume=620_000,
    ),
    # United States.
    "AAPL": Name(
        level=272.0,
        loadings={_W: 1.1, _T: 0.7},
        idiosyncratic=0.17,
        drift=0.03,
        dividend_yield=0.004,
        dividend_months=_QUARTERLY,
        volume=48_000_000,
    ),
    "MSFT": Name(
        level=488.0,
        loadings={_W: 1.05, _T: 0.8},
        idiosyncratic=0.14,
        drift=0.04,
        dividend_yield=0.007,
        dividend_months=_QUARTERLY,
        volume=21_000_000,
    ),
    "GOOGL": Name(
        level=312.0,
        loadings={_W: 1.1, _T: 0.7},
        idiosyncratic=0.19,
        drift=0.05,
        dividend_yield=0.003,
        dividend_months=(3, 6, 9, 12),
        volume=33_000_000,
    ),
    "NVDA": Name(
        level=188.0,
        loadings={_W: 1.5, _T: 1.0, _S: 1.2},
        idiosyncratic=0.27,
        drift=0.12,
        dividend_yield=0.0003,
        dividend_months=(3, 6, 9, 12),
        volume=180_000_000,
    ),
    "AMZN": Name(level=232.0, loadings={_W: 1.2, _T: 0.7}, idiosyncratic=0.19, drift=0.02, volume=42_000_000),
    "META": Name(
        level=663.0,
        loadings={_W: 1.2, _T: 0.8},
        idiosyncratic=0.23,
        drift=0.05,
        dividend_yield=0.003,
        dividend_months=(3, 6, 9, 12),
        volume=15_000_000,
    ),
    "AVGO": Name(
        level=349.0,
        loadings={_W: 1.3, _T: 0.8, _S: 1.1},
        idiosyncratic=0.23,
        drift=0.10,
        dividend_yield=0.008,
        dividend_months=(3, 6, 9, 12),
        volume=24_000_000,
    ),
    "COST": Name(
        level=868.0,
        loadings={_W: 0.85, "QUALITY": 1.0},
        idiosyncratic=0.15,
        drift=0.02,
        dividend_yield=0.006,
        dividend_months=_QUARTERLY,
        volume=2_300_000,
    ),
    "LLY": Name(
        level=215.0,
        loadings={_W: 0.7, _H: 1.1},
        idiosyncratic=0.24,
        drift=0.08,
        dividend_yield=0.006,
        dividend_months=_QUARTERLY,
        volume=17_000_000,
    ),
    "V": Name(
        level=351.0,
        loadings={_W: 0.95, "QUALITY": 1.0},
        idiosyncratic=0.13,
        drift=0.02,
        dividend_yield=0.008,
        dividend_months=_QUARTERLY,
        volume=6_200_000,
    ),
    "JNJ": Name(
        level=207.0,
        loadings={_W: 0.5, _H: 0.9},
        idiosyncratic=0.12,
        dividend_yield=0.025,
        dividend_months=_QUARTERLY,
        volume=8_100_000,
    ),
    # Europe.
    "DBK": Name(
        level=33.0,
        loadings=_EUROPEAN_BANK,
        idiosyncratic=0.22,
        dividend_yield=0.022,
        dividend_months=_MAY,
        volume=6_500_000,
    ),
    "CBK": Name(
        level=36.0,
        loadings=_EUROPEAN_BANK,
        idiosyncratic=0.22,
        dividend_yield=0.018,
        dividend_months=_MAY,
        volume=4_200_000,
    ),
    "VOW3": Name(
        level=104.0,
        loadings={_W: 1.1, _E: 1.1},
        idiosyncratic=0.22,
        drift=-0.05,
        dividend_yield=0.06,
        dividend_months=_MAY,
        volume=1_100_000,
    ),
    "BAS": Name(
        level=44.5,
        loadings={_W: 1.0, _E: 1.0},
        idiosyncratic=0.17,
        drift=-0.04,
        dividend_yield=0.05,
        dividend_months=_MAY,
        volume=2_700_000,
    ),
    "BNP": Name(
        level=80.0,
        loadings=_EUROPEAN_BANK,
        idiosyncratic=0.15,
        dividend_yield=0.06,
        dividend_months=_MAY,
        volume=2_600_000,
    ),
    "GLE": Name(
        level=68.0,
        loadings=_EUROPEAN_BANK,
        idiosyncratic=0.19,
        dividend_yield=0.035,
        dividend_months=_MAY,
        volume=2_300_000,
    ),
    "ACA": Name(
        level=17.4,
        loadings=_EUROPEAN_BANK,
        idiosyncratic=0.15,
        dividend_yield=0.06,
        dividend_months=_MAY,
        volume=4_900_000,
    ),
    "RNO": Name(
        level=36.0,
        loadings={_W: 1.2, _E: 1.1},
        idiosyncratic=0.26,
        drift=-0.06,
        dividend_yield=0.055,
        dividend_months=_MAY,
        volume=1_400_000,
    ),
    "UCG": Name(
        level=70.0,
        loadings=_EUROPEAN_BANK,
        idiosyncratic=0.19,
        drift=0.03,
        dividend_yield=0.04,
        dividend_months=_MAY,
        volume=5_200_000,
    ),
    "TEF": Name(
        level=3.5,
        loadings={_W: 0.6, _E: 0.8},
        idiosyncratic=0.17,
        drift=-0.05,
        dividend_yield=0.08,
        dividend_months=(6, 12),
        volume=15_000_000,
    ),
    "BT.A": Name(
        level=182.0,
        loadings={_W: 0.6, _E: 0.4, "UK": 0.9},
        idiosyncratic=0.22,
        drift=-0.03,
        dividend_yield=0.045,
        dividend_months=(1, 8),
        volume=24_000_000,
    ),
}

SHARES: Mapping[str, Name] = {**FUNDS, **_COMPANIES}

SPLITS: Mapping[str, tuple[tuple[str, int, int], ...]] = {
    "NVDA": (("2024-06-10", 10, 1),),
    "AVGO": (("2024-07-15", 10, 1),),
    "LLY": (("2026-07-13", 5, 1),),
}
"""Ex-date, new shares, old shares; levels stand on the share count of the anchor day."""


def path_root(instrument_id: str) -> str:
    """Name whose intraday noise an instrument shares: its index, currency pair or itself."""
    if instrument_id in FUTURES:
        return FUTURES[instrument_id].spot
    if instrument_id in CURRENCY_SPOT:
        return CURRENCY_SPOT[instrument_id][0]
    if instrument_id in SHARES and SHARES[instrument_id].path_root:
        return SHARES[instrument_id].path_root
    return instrument_id


def path_sign(instrument_id: str) -> float:
    """−1 for a currency line quoted the other way round than its pair, else +1."""
    return -1.0 if CURRENCY_SPOT.get(instrument_id, ("", False))[1] else 1.0


def share_name(instrument_id: str) -> Name:
    """Process of a share or fund; raises `DataError` for a name that the generated market does not know."""
    if instrument_id not in SHARES:
        raise DataError(
            f"expected a name of the generated market, found {instrument_id!r}; describe it in generated_names"
        )
    return SHARES[instrument_id]
