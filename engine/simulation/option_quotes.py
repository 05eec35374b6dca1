"""The option board of one morning: chains with quotes, and marks of listed and held options."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from engine.errors import UnknownContract
from engine.model.instruments import Contract, Instrument, OptionRight
from engine.model.market import Mark, OptionQuote, OptionRange, Source
from engine.model.money import decimal_from_float
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.generated_names import OptionName
from engine.simulation.market import option_name
from engine.simulation.option_market import (
    OptionValues,
    contract_value,
    has_options,
    listed_expiries,
    listed_strikes,
    option_contract,
    parse_option_id,
    value_options,
)
from engine.simulation.panel import MarketPanel
from engine.simulation.processes import on_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionBoard:
    """Chains by option line, and marks of every option listed or held."""

    chains: Mapping[str, tuple[OptionQuote, ...]]
    marks: Mapping[str, Mark]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionRequest:
    """Options that a day asks for: those of a range, by line, and the contracts that it holds."""

    trade_date: date
    ranges: Mapping[str, OptionRange]
    held: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlying:
    """Last close behind an option line, with its at-the-money volatility and session."""

    spot: float
    at_the_money: float
    session_date: date


def read_options(
    panel: MarketPanel,
    universe: Universe,
    sessions: SessionTable,
    calendars: Mapping[str, np.busdaycalendar],
    last_closed: Mapping[str, tuple[int, date]],
    request: OptionRequest,
    source: Source,
) -> OptionBoard:
    """Board as of each option line's last closed session: (panel row, date) by line."""
    chains: dict[str, tuple[OptionQuote, ...]] = {}
    marks: dict[str, Mark] = {}
    for instrument in universe:
        if not instrument.is_option or not has_options(panel, instrument.instrument_id):
            continue
        name = option_name(instrument)
        underlying = last_underlying(panel, instrument, name, *last_closed[instrument.instrument_id])
        if underlying is None:
            continue
        quotes = [
            quote
            for expiry in _asked_expiries(request, instrument, name, sessions, calendars[instrument.venue])
            for quote in _expiry_quotes(
                instrument, name, underlying, expiry, request.ranges[instrument.instrument_id].right
            )
        ]
        listed = {quote.contract.contract_id for quote, _ in quotes}
        # The market may have moved away from a strike that was bought; the exchange keeps it listed to its end.
        quotes += [
            _held_quote(instrument, name, contract, underlying)
            for contract in _held_options(instrument, request.held)
            if contract.contract_id not in listed
        ]
        chains[instrument.instrument_id] = tuple(quote for quote, _ in quotes)
        for quote, premium in quotes:
            marks[quote.contract.contract_id] = _mark(quote.contract, premium, underlying, source)
    return OptionBoard(chains=chains, marks=marks)


def last_underlying(
    panel: MarketPanel, instrument: Instrument, name: OptionName, row: int, session_date: date
) -> Underlying | None:
    """Last finite close and volatility at or before a row; ``None`` when there is none."""
    series, volatility = panel.series.get(name.spot), panel.implied_volatility[instrument.instrument_id]
    if series is None:
        return None
    rows = np.flatnonzero(np.isfinite(series.close[: row + 1]) & np.isfinite(volatility[: row + 1]))
    if not len(rows):
        return None
    last = int(rows[-1])
    return Underlying(
        spot=float(series.close[last]), at_the_money=float(volatility[last]), session_date=session_date
    )


def _asked_expiries(
    request: OptionRequest,
    instrument: Instrument,
    name: OptionName,
    sessions: SessionTable,
    calendar: np.busdaycalendar,
) -> list[date]:
    """Listed expiries within the range that the day asks for."""
    asked = request.ranges.get(instrument.instrument_id)
    if asked is None:
        return []
    listed = listed_expiries(instrument, name, sessions, calendar, request.trade_date)
    return [day for day in listed if asked.first_day <= (day - request.trade_date).days <= asked.last_day]


def _expiry_quotes(
    instrument: Instrument, name: OptionName, underlying: Underlying, expiry: date, right: OptionRight
) -> list[tuple[OptionQuote, Decimal]]:
    """Quotes of a line's listed options of one expiry and right, with their model premiums on the tick grid."""
    years = (expiry - underlying.session_date).days / 365.0
    strikes, signs = listed_strikes(name, underlying.spot, underlying.at_the_money, years)
    wanted = signs == (1.0 if right is OptionRight.CALL else -1.0)
    strikes, signs = strikes[wanted], signs[wanted]
    values = value_options(
        name,
        instrument.currency,
        underlying.spot,
        underlying.at_the_money,
        np.full(len(strikes), years),
        strikes,
        signs,
    )
    contracts = [
        option_contract(instrument.instrument_id, expiry, sign, strike)
        for strike, sign in zip(strikes.tolist(), signs.tolist(), strict=True)
    ]
    return _quotes(instrument, name, contracts, values, underlying)


def _quotes(
    instrument: Instrument,
    name: OptionName,
    contracts: Sequence[Contract],
    values: OptionValues,
    underlying: Underlying,
) -> list[tuple[OptionQuote, Decimal]]:
    bids, asks = two_sided(instrument, name, values.premium)
    marks = on_grid(instrument, values.premium)
    spot = decimal_from_float(underlying.spot)
    return [
        (
            OptionQuote(
                contract=contract,
                bid=decimal_from_float(bid) if bid > 0 else None,
                ask=decimal_from_float(ask),
                implied_volatility=round(volatility, 6),
                delta=round(delta, 6),
                open_interest=_open_interest(name, contract.contract_id, delta),
                underlying_price=spot,
            ),
            decimal_from_float(mark),
        )
        for contract, bid, ask, volatility, delta, mark in zip(
            contracts,
            bids.tolist(),
            asks.tolist(),
            values.volatility.tolist(),
            values.delta.tolist(),
            marks.tolist(),
            strict=True,
        )
    ]


def two_sided(
    instrument: Instrument, name: OptionName, premium: np.ndarray, widening: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Bid and ask on the tick grid around a premium, at least a tick apart; a bid of 0 means none."""
    bounds = np.array([float(band.from_price) for band in instrument.tick_bands])
    ticks = np.array([float(band.tick) for band in instrument.tick_bands])
    tick = ticks[np.maximum(np.searchsorted(bounds, premium, side="right") - 1, 0)]
    half = np.maximum(premium * name.spread_fraction * widening, tick) / 2
    bid = np.maximum(on_grid(instrument, premium - half), 0.0)
    ask = np.maximum(on_grid(instrument, premium + half), on_grid(instrument, bid + tick))
    return bid, ask


def _open_interest(name: OptionName, contract_id: str, delta: float) -> int:
    """More near a quarter delta and the money, a fixed draw per contract."""
    draw = int.from_bytes(hashlib.sha256(contract_id.encode()).digest()[:4], "big") / 2**32
    return int(name.interest * (0.4 + 1.2 * draw) * min(1.0, 0.15 + 2.5 * abs(delta)))


def _held_options(instrument: Instrument, held: Sequence[str]) -> list[Contract]:
    prefix = f"{instrument.instrument_id}_"
    return [parse_option_id(contract_id) for contract_id in sorted(held) if contract_id.startswith(prefix)]


def _held_quote(
    instrument: Instrument, name: OptionName, contract: Contract, underlying: Underlying
) -> tuple[OptionQuote, Decimal]:
    if contract.last_trade_date is None:
        raise UnknownContract(f"{contract.contract_id} has no expiry")
    years = (contract.last_trade_date - underlying.session_date).days / 365.0
    values = contract_value(instrument, name, contract, underlying.spot, underlying.at_the_money, years)
    return _quotes(instrument, name, [contract], values, underlying)[0]


def _mark(contract: Contract, premium: Decimal, underlying: Underlying, source: Source) -> Mark:
    return Mark(
        contract_id=contract.contract_id,
        price=premium,
        session_date=underlying.session_date,
        age_sessions=0,
        source=source,
    )
