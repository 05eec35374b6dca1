"""What is known of the generated companies: quarterly accounts with filing dates, and how easily shares are lent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from engine.model.instruments import Instrument
from engine.model.market import FundamentalRecord
from engine.simulation.chains import months_between
from engine.simulation.factors import stream
from engine.simulation.panel import DailySeries

_RECORD_MONTHS = (3, 6, 9, 12)
_FIRST_PERIOD = date(2015, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Usual accounts of one company; fractions, except ``shares`` (millions, on the anchor day's count)."""

    sector: str
    return_on_equity: float
    gross_profit_to_assets: float
    debt_to_equity: float
    accruals_to_assets: float
    coverage: float
    tobin_q: float
    shares: float


def _company(sector: str, figures: tuple[float, float, float, float, float, float, float]) -> Company:
    roe, gross, debt, accruals, coverage, tobin, shares = figures
    return Company(
        sector=sector,
        return_on_equity=roe,
        gross_profit_to_assets=gross,
        debt_to_equity=debt,
        accruals_to_assets=accruals,
        coverage=coverage,
        tobin_q=tobin,
        shares=shares,
    )


COMPANIES: Mapping[str, Company] = {
    #                            ROE  GP/A   D/E  accr. EBIT/int. Tobin  shares
    "AAPL": _company("technology", (1.10, 0.55, 1.45, -0.02, 30.0, 9.0, 14_800.0)),
    "MSFT": _company("technology", (0.33, 0.36, 0.25, -0.03, 45.0, 6.5, 7_430.0)),
    "GOOGL": _company("communication", (0.32, 0.46, 0.09, -0.02, 120.0, 6.0, 12_100.0)),
    "NVDA": _company("technology", (0.95, 0.80, 0.13, 0.06, 300.0, 25.0, 24_300.0)),
    "AMZN": _company("consumer", (0.22, 0.50, 0.40, -0.05, 28.0, 3.8, 10_690.0)),
    "META": _company("communication", (0.34, 0.55, 0.20, -0.03, 90.0, 6.5, 2_520.0)),
    "AVGO": _company("technology", (0.28, 0.26, 0.90, -0.05, 9.0, 9.5, 4_720.0)),
    "COST": _company("consumer", (0.30, 0.47, 0.22, -0.04, 70.0, 5.5, 443.0)),
    "LLY": _company("health", (0.85, 0.46, 1.70, 0.03, 28.0, 8.8, 4_725.0)),
    "V": _company("financial", (0.50, 0.33, 0.55, -0.02, 38.0, 7.0, 1_930.0)),
    "JNJ": _company("health", (0.30, 0.30, 0.55, -0.02, 22.0, 2.9, 2_410.0)),
    "DBK": _company("banks", (0.06, 0.018, 1.90, 0.01, 1.10, 0.93, 1_950.0)),
    "CBK": _company("banks", (0.07, 0.017, 1.70, 0.01, 1.05, 0.94, 1_130.0)),
    "VOW3": _company("autos", (0.04, 0.09, 1.45, 0.03, 0.85, 0.62, 501.0)),
    "BAS": _company("materials", (0.02, 0.14, 0.70, 0.01, 0.70, 0.95, 892.0)),
    "BNP": _company("banks", (0.09, 0.016, 2.60, 0.00, 1.40, 0.95, 1_120.0)),
    "GLE": _company("banks", (0.06, 0.015, 2.90, 0.01, 0.95, 0.92, 770.0)),
    "ACA": _company("banks", (0.09, 0.016, 2.40, 0.00, 1.35, 0.94, 3_030.0)),
    "RNO": _company("autos", (-0.06, 0.07, 2.10, 0.05, 0.35, 0.55, 296.0)),
    "UCG": _company("banks", (0.14, 0.020, 1.50, 0.00, 2.10, 0.97, 1_560.0)),
    "TEF": _company("telecom", (-0.02, 0.16, 1.85, 0.02, 0.80, 0.78, 5_670.0)),
    "BT.A": _company("telecom", (0.05, 0.20, 1.60, 0.01, 0.92, 0.88, 9_800.0)),
}


def quarterly_records(
    instrument: Instrument,
    series: DailySeries,
    dates: tuple[date, ...],
    usd_per_unit: np.ndarray,
    shares_per_anchor_share: np.ndarray,
    seed: int,
) -> tuple[FundamentalRecord, ...]:
    """Quarterly accounts whose filing lies in the panel, filed 35 to 54 days after the quarter.

    Market value is taken at the quarter's last price in the panel; figures wander around the company's usual ones.
    ``usd_per_unit`` and ``shares_per_anchor_share`` have one row per panel date.
    """
    company = COMPANIES[instrument.instrument_id]
    quarters = [
        _month_end(year, month)
        for year, month in months_between(_FIRST_PERIOD, dates[-1])
        if month in _RECORD_MONTHS
    ]
    noise = stream(seed, f"accounts|{instrument.instrument_id}").standard_normal((len(quarters), 6))
    days = np.array(dates, dtype="datetime64[D]")
    records = []
    for index, period_end in enumerate(quarters):
        filed_on = period_end + timedelta(days=35 + sum(instrument.instrument_id.encode()) % 20)
        if not dates[0] <= period_end or filed_on > dates[-1]:
            continue
        row = int(np.searchsorted(days, np.datetime64(period_end), side="right")) - 1
        price = _last_finite(series.close[: row + 1])
        if price is None:
            continue
        capital = price / float(instrument.price_magnifier) * usd_per_unit[row] * company.shares * 1e6
        records.append(
            _record(
                instrument,
                company,
                period_end,
                filed_on,
                noise[max(0, index - 11) : index + 1],
                float(capital * shares_per_anchor_share[row]),
            )
        )
    return tuple(records)


def _record(
    instrument: Instrument,
    company: Company,
    period_end: date,
    filed_on: date,
    noise: np.ndarray,
    market_cap_usd: float,
) -> FundamentalRecord:
    """One quarter's accounts; ``noise`` holds the draws of the last twelve quarters, newest last."""
    latest = noise[-1]
    # Interest cover of the last three years: this quarter's draw and those of four and eight quarters before.
    coverage = tuple(
        round(company.coverage * float(np.exp(0.08 * noise[-1 - back, 4])), 4)
        for back in (0, 4, 8)
        if back < len(noise)
    )
    return FundamentalRecord(
        instrument_id=instrument.instrument_id,
        period_end=period_end,
        filed_on=filed_on,
        sector=company.sector,
        return_on_equity=round(company.return_on_equity + 0.01 * float(latest[0]), 6),
        gross_profit_to_assets=round(company.gross_profit_to_assets * float(np.exp(0.03 * latest[1])), 6),
        debt_to_equity=round(company.debt_to_equity * float(np.exp(0.04 * latest[2])), 6),
        accruals_to_assets=round(company.accruals_to_assets + 0.004 * float(latest[3]), 6),
        market_cap_usd=round(market_cap_usd, 0),
        interest_coverage=coverage,
        tobin_q=round(company.tobin_q * float(np.exp(0.03 * latest[5])), 6),
    )


def _month_end(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def _last_finite(values: np.ndarray) -> float | None:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None
