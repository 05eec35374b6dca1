"""Options of the generated market: which are listed, and what each is worth on its underlying.

Index, fund and share options grow their forward from the spot; volatility options stand on the future's curve.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

import numpy as np

from engine.errors import UnknownContract
from engine.model.instruments import Contract, ExpiryRule, Instrument, OptionRight, option_contract_id
from engine.model.money import decimal_from_float
from engine.option_pricing import black_76_delta, black_76_price, skewed_volatility
from engine.sessions import SessionTable
from engine.simulation.chains import option_expiries
from engine.simulation.factors import SHORT_RATES
from engine.simulation.generated_futures import future_price
from engine.simulation.generated_names import FUTURES, OptionName
from engine.simulation.panel import MarketPanel

NEAREST_DAYS, FARTHEST_DAYS = 14, 150
"""Days to expiry that a chain lists."""

_HIGHEST_LISTING_VOLATILITY = 2.0  # beyond it strikes would spread without bound


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionValues:
    """Model values of several options, arrays of one shape: premium in quote units, delta per unit of the forward."""

    forward: np.ndarray
    premium: np.ndarray
    delta: np.ndarray
    volatility: np.ndarray


def has_options(panel: MarketPanel, instrument_id: str) -> bool:
    """Whether a panel knows volatilities for an option line."""
    return len(panel.implied_volatility.get(instrument_id, ())) > 0


def option_forward(name: OptionName, spot: float, years: np.ndarray) -> np.ndarray:
    """Forward of the underlying at each expiry."""
    if name.spot in ("VIX", "V2X"):
        return future_price(spot, years, FUTURES["VX" if name.spot == "VIX" else "FVS"])
    return np.asarray(spot * np.exp(name.carry * years))


def value_options(
    name: OptionName,
    currency: str,
    spot: float,
    at_the_money: float,
    years: np.ndarray,
    strikes: np.ndarray,
    signs: np.ndarray,
) -> OptionValues:
    """Black-76 values under the line's skew; ``signs`` are +1 for calls and −1 for puts."""
    years = np.maximum(years, 0.0)
    forward = option_forward(name, spot, years)
    volatility = skewed_volatility(at_the_money, forward, strikes, years, name.skew)
    rate = SHORT_RATES[currency]
    return OptionValues(
        forward=forward,
        premium=black_76_price(forward, strikes, years, volatility, rate, signs),
        delta=black_76_delta(forward, strikes, years, volatility, rate, signs),
        volatility=volatility,
    )


def expiry_rule(instrument: Instrument, name: OptionName) -> ExpiryRule:
    """Volatility options stop with their future, all others on the third Friday."""
    if name.spot in ("VIX", "V2X"):
        return ExpiryRule.VIX_WEDNESDAY
    return ExpiryRule.THIRD_FRIDAY if instrument.expiry_rule is ExpiryRule.NONE else instrument.expiry_rule


def listed_expiries(
    instrument: Instrument, name: OptionName, sessions: SessionTable, calendar: np.busdaycalendar, day: date
) -> tuple[date, ...]:
    """Monthly expiries that a chain lists on a day."""
    return option_expiries(
        expiry_rule(instrument, name),
        sessions,
        calendar,
        day + timedelta(days=NEAREST_DAYS),
        day + timedelta(days=FARTHEST_DAYS),
    )


def listed_strikes(
    name: OptionName, spot: float, at_the_money: float, years: float
) -> tuple[np.ndarray, np.ndarray]:
    """Strikes of one expiry and their signs: the protective side two deviations out, the other side one.

    Puts protect, except on volatility, where calls do. The step is a round number near an eighth of a year's deviation.
    """
    forward = float(option_forward(name, spot, np.array(years)))
    listing_volatility = min(at_the_money, _HIGHEST_LISTING_VOLATILITY)
    step = _round_step(forward * listing_volatility * 0.12)
    deviation = listing_volatility * years**0.5
    protective = 1.0 if name.spot in ("VIX", "V2X") else -1.0
    strikes, signs = [], []
    for sign, reach in ((protective, 2.0), (-protective, 0.8)):
        near, far = forward * np.exp(-sign * 0.25 * deviation), forward * np.exp(sign * reach * deviation)
        low, high = min(near, far), max(near, far)
        side = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
        strikes.append(np.round(side[side > 0], 6))
        signs.append(np.full(len(strikes[-1]), sign))
    return np.concatenate(strikes), np.concatenate(signs)


def _round_step(width: float) -> float:
    """Largest of 1, 2, 5 × 10ⁿ not above a width."""
    magnitude = 10.0 ** np.floor(np.log10(width))
    factor = 5.0 if width / magnitude >= 5 else 2.0 if width / magnitude >= 2 else 1.0
    return float(factor * magnitude)


def option_contract(instrument_id: str, expiry: date, sign: float, strike: float) -> Contract:
    """Contract of a listed option."""
    right = OptionRight.CALL if sign > 0 else OptionRight.PUT
    exact = decimal_from_float(strike)
    return Contract(
        contract_id=option_contract_id(instrument_id, expiry, right, exact),
        instrument_id=instrument_id,
        last_trade_date=expiry,
        strike=exact,
        right=right,
    )


def parse_option_id(contract_id: str) -> Contract:
    """Contract behind ``{root}_{YYYYMMDD}_{C|P}_{strike}``; raises `UnknownContract` on anything else."""
    parts = contract_id.rsplit("_", 3)
    try:
        root, day, right, strike = parts
        contract = Contract(
            contract_id=contract_id,
            instrument_id=root,
            last_trade_date=date.fromisoformat(day),
            strike=Decimal(strike),
            right=OptionRight(right),
        )
    except (ValueError, InvalidOperation) as error:
        raise UnknownContract(f"expected a listed contract, found {contract_id!r}") from error
    if contract.strike is None or not contract.strike.is_finite() or contract.strike <= 0:
        raise UnknownContract(f"expected a positive strike, found {contract_id!r}")
    return contract


def contract_value(
    instrument: Instrument,
    name: OptionName,
    contract: Contract,
    spot: float,
    at_the_money: float,
    years: float,
) -> OptionValues:
    """Model value of one option contract, arrays of shape (1,)."""
    assert contract.strike is not None
    sign = 1.0 if contract.right is OptionRight.CALL else -1.0
    return value_options(
        name,
        instrument.currency,
        spot,
        at_the_money,
        np.array([years]),
        np.array([float(contract.strike)]),
        np.array([sign]),
    )
