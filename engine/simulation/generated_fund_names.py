"""The funds of the generated market: made-up levels, factor loadings, dividends and volumes.

Levels are in quote units (pence for London lines in pence) on the anchor day of `factors`.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.simulation.generated_names import Name

_W, _E, _T, _S, _B, _N, _H = "WORLD", "EUROPE", "TECHNOLOGY", "SEMICONDUCTOR", "BANK", "ENERGY", "HEALTH"
_QUARTERLY, _HALF_YEARLY, _MONTHLY, _MAY = (2, 5, 8, 11), (3, 9), tuple(range(1, 13)), (5,)


FUNDS: Mapping[str, Name] = {
    # Funds. `path_root` ties a fund's intraday path to its index.
    "CSPX": Name(
        level=725.0, loadings={_W: 1.0}, idiosyncratic=0.012, drift=0.013, volume=190_000, path_root="SPX"
    ),
    "CS51": Name(
        level=180.0,
        loadings={_W: 0.95, _E: 1.0},
        idiosyncratic=0.012,
        drift=0.025,
        volume=22_000,
        borrowable=False,
        path_root="SX5E",
    ),
    "IUIT": Name(level=40.0, loadings={_W: 1.15, _T: 1.0}, idiosyncratic=0.02, volume=620_000),
    "CNDX": Name(
        level=1420.0, loadings={_W: 1.1, _T: 0.75}, idiosyncratic=0.012, volume=28_000, path_root="NDX"
    ),
    "SEMI": Name(level=12.5, loadings={_W: 1.25, _T: 0.7, _S: 1.0}, idiosyncratic=0.03, volume=700_000),
    "SMHV": Name(level=62.0, loadings={_W: 1.25, _T: 0.7, _S: 1.05}, idiosyncratic=0.03, volume=130_000),
    "IUHC": Name(level=11.6, loadings={_W: 0.75, _H: 1.0}, idiosyncratic=0.015, volume=520_000),
    "IUQA": Name(level=15.8, loadings={_W: 0.97, "QUALITY": 1.0}, idiosyncratic=0.015, volume=360_000),
    "EXV1": Name(
        level=33.0,
        loadings={_W: 1.0, _E: 1.05, _B: 1.1},
        idiosyncratic=0.03,
        dividend_yield=0.04,
        dividend_months=(1, 4, 7, 10),
        volume=520_000,
        borrow_fee_bps=90.0,
    ),
    "EXS1": Name(
        level=200.0,
        loadings={_W: 1.0, _E: 1.0},
        idiosyncratic=0.04,
        volume=70_000,
        borrow_fee_bps=90.0,
        path_root="DAX",
    ),
    "IUKD": Name(
        level=900.0,
        loadings={_W: 0.75, _E: 0.45, "UK": 1.15},
        idiosyncratic=0.04,
        dividend_yield=0.05,
        dividend_months=_HALF_YEARLY,
        volume=180_000,
        borrowable=False,
        path_root="UKX",
    ),
    "EXW1": Name(
        level=57.5,
        loadings={_W: 0.95, _E: 1.0},
        idiosyncratic=0.01,
        dividend_yield=0.026,
        dividend_months=(1, 4, 7, 10),
        volume=330_000,
        path_root="SX5E",
    ),
    "EXSA": Name(
        level=58.5,
        loadings={_W: 0.88, _E: 0.9},
        idiosyncratic=0.01,
        dividend_yield=0.026,
        dividend_months=(1, 4, 7, 10),
        volume=240_000,
        path_root="SXXP",
    ),
    "EXH1": Name(
        level=39.0,
        loadings={_W: 0.8, _E: 0.6, _N: 1.0},
        idiosyncratic=0.03,
        dividend_yield=0.04,
        dividend_months=(1, 4, 7, 10),
        volume=45_000,
    ),
    "LQDE": Name(
        level=104.0,
        loadings={"YIELD_US": -8.0, "CREDIT": -1.6},
        idiosyncratic=0.01,
        drift=0.045,
        dividend_yield=0.046,
        dividend_months=_QUARTERLY,
        volume=95_000,
    ),
    "IHYU": Name(
        level=97.0,
        loadings={"YIELD_US": -1.2, "CREDIT": -4.0, _W: 0.1},
        idiosyncratic=0.012,
        drift=0.06,
        dividend_yield=0.064,
        dividend_months=_HALF_YEARLY,
        volume=110_000,
    ),
    "FLOT": Name(
        level=5.1,
        loadings={"CREDIT": -0.35},
        idiosyncratic=0.002,
        drift=0.045,
        dividend_yield=0.048,
        dividend_months=_HALF_YEARLY,
        volume=1_900_000,
    ),
    # References behind options that are not in the book itself.
    "SPY": Name(
        level=678.0,
        loadings={_W: 1.0},
        drift=0.013,
        dividend_yield=0.012,
        dividend_months=(3, 6, 9, 12),
        volume=75_000_000,
        path_root="SPX",
    ),
    "QQQ": Name(
        level=610.0,
        loadings={_W: 1.1, _T: 0.75},
        dividend_yield=0.005,
        dividend_months=(3, 6, 9, 12),
        volume=45_000_000,
        path_root="NDX",
    ),
    "IWM": Name(
        level=248.0,
        loadings={_W: 1.2},
        idiosyncratic=0.08,
        dividend_yield=0.012,
        dividend_months=(3, 6, 9, 12),
        volume=30_000_000,
        path_root="RTY",
    ),
    "HYG": Name(
        level=80.5,
        loadings={"YIELD_US": -1.2, "CREDIT": -4.0, _W: 0.1},
        idiosyncratic=0.008,
        drift=0.06,
        dividend_yield=0.058,
        dividend_months=_MONTHLY,
        volume=38_000_000,
    ),
    "JNK": Name(
        level=97.0,
        loadings={"YIELD_US": -1.2, "CREDIT": -4.2, _W: 0.1},
        idiosyncratic=0.01,
        drift=0.06,
        dividend_yield=0.065,
        dividend_months=_MONTHLY,
        volume=4_500_000,
    ),
    "LQD": Name(
        level=111.0,
        loadings={"YIELD_US": -8.2, "CREDIT": -1.6},
        idiosyncratic=0.008,
        drift=0.045,
        dividend_yield=0.044,
        dividend_months=_MONTHLY,
        volume=27_000_000,
    ),
    "BIL": Name(
        level=91.6,
        loadings={},
        idiosyncratic=0.001,
        drift=0.04,
        dividend_yield=0.04,
        dividend_months=_MONTHLY,
        volume=9_000_000,
    ),
    "TIP": Name(
        level=110.5,
        loadings={"YIELD_US": -5.5},
        idiosyncratic=0.015,
        drift=0.035,
        dividend_yield=0.03,
        dividend_months=_MONTHLY,
        volume=3_000_000,
    ),
    "AIG": Name(
        level=80.0,
        loadings={_W: 0.95, _B: 0.3},
        idiosyncratic=0.17,
        dividend_yield=0.02,
        dividend_months=(3, 6, 9, 12),
        volume=4_500_000,
    ),
    "BAC": Name(
        level=53.0,
        loadings={_W: 1.1, _B: 0.7},
        idiosyncratic=0.14,
        dividend_yield=0.02,
        dividend_months=(3, 6, 9, 12),
        volume=38_000_000,
    ),
}
