"""The generated market: a whole world of prices, chains, accounts and corporate actions from one seed.

Comes in: the universe, the sessions and a range of dates. Goes out: a `MarketPanel`. Nothing of a past day depends
on the last day asked for, nor on the first: the world begins on `factors.EPOCH` and is cut to the range.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np

from engine.errors import DataError
from engine.model.instruments import (
    CollarClass,
    Contract,
    ExpiryRule,
    Instrument,
    InstrumentType,
    TickBand,
    spot_contract,
)
from engine.model.market import Dividend, FundamentalRecord, Split
from engine.model.money import decimal_from_float
from engine.model.universe import Universe
from engine.sessions import SessionTable
from engine.simulation.chains import business_calendar, list_futures
from engine.simulation.factors import ANCHOR, EPOCH, MarketFactors, draw_factors
from engine.simulation.generated_companies import COMPANIES, quarterly_records
from engine.simulation.generated_futures import make_future
from engine.simulation.generated_names import (
    CURRENCY_SPOT,
    FUTURES,
    OPTIONS,
    SPOTS,
    OptionName,
    future_name,
)
from engine.simulation.generated_share_names import SHARES, SPLITS, share_name
from engine.simulation.generated_shares import make_share
from engine.simulation.panel import DailySeries, MarketPanel
from engine.simulation.processes import (
    CONTINUOUS_GAP,
    Bars,
    PanelWindow,
    draw_spot,
    index_bars,
    rounded_bars,
)

GENERATOR_VERSION = 1
_INDICES = {"VIX": "VIX", "V2X": "V2X", "V2TX": "V2X", "ESTX50": "SX5E"}
"""Index lines of a universe → the process behind them, where the name differs or comes with the factors."""

_BEYOND = timedelta(days=90)
"""How far the world is drawn beyond the panel's last day, for dividends that are announced before they are paid."""


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A panel while it is being filled."""

    seed: int
    factors: MarketFactors
    sessions: SessionTable
    first: date
    last: date
    windows: dict[str, PanelWindow] = field(default_factory=dict)
    spots: dict[str, Bars] = field(default_factory=dict)
    series: dict[str, DailySeries] = field(default_factory=dict)
    returns: dict[str, np.ndarray] = field(default_factory=dict)
    chains: dict[str, tuple[Contract, ...]] = field(default_factory=dict)
    dividends: list[Dividend] = field(default_factory=list)
    splits: list[Split] = field(default_factory=list)

    def window(self, venue: str) -> PanelWindow:
        """Rows of the panel at a venue."""
        if venue not in self.windows:
            start = self.factors.row(self.first)
            stop = self.factors.row(self.last + timedelta(days=1))
            trading = np.array(
                [session.session_date for session in self.sessions.venues[venue]], dtype="datetime64[D]"
            )
            self.windows[venue] = PanelWindow(
                start=start,
                stop=stop,
                calendar=business_calendar(self.sessions, venue),
                is_session=np.isin(self.factors.days[start:stop], trading),
            )
        return self.windows[venue]

    def spot(self, name: str) -> Bars:
        """Bars of a price behind futures, drawn once."""
        if name not in self.spots:
            if name in ("VIX", "V2X"):
                levels = self.factors.vix if name == "VIX" else self.factors.v2x
                self.spots[name] = index_bars(name, levels, self.factors, self.seed)
            else:
                self.spots[name] = draw_spot(name, SPOTS[name], self.factors, self.seed, CONTINUOUS_GAP)
        return self.spots[name]


def generate_panel(
    universe: Universe, sessions: SessionTable, first: date, last: date, seed: int
) -> MarketPanel:
    """A generated market from ``first`` to ``last``, the same for the same seed to the last byte.

    ``sessions`` must cover the range, and should reach `chains.LISTING_DAYS` beyond it: contracts that expire after
    the table are not listed. Raises `DataError` for dates outside the table or before the world's first day, and for
    instruments that the generated market does not know.
    """
    if first < EPOCH or first > last:
        raise DataError(f"expected dates from {EPOCH} on in order, found {first} to {last}")
    if first < sessions.first or last > sessions.last:
        raise DataError(
            f"{first} to {last} lies outside the session table {sessions.first} to {sessions.last}"
        )
    factors = draw_factors(seed, max(last, ANCHOR) + _BEYOND)
    draft = _Draft(seed=seed, factors=factors, sessions=sessions, first=first, last=last)
    for instrument in universe:
        _add_instrument(draft, instrument)
    _add_references(draft, universe)
    return _finished(draft, universe)


def unknown_names(universe: Universe) -> tuple[str, ...]:
    """Ids of the instruments that the generated market can not draw, sorted."""
    return tuple(sorted(i.instrument_id for i in universe if not _is_known(i)))


def _is_known(instrument: Instrument) -> bool:
    name = instrument.instrument_id
    if instrument.is_option:
        return name in OPTIONS
    if instrument.is_future:
        return name in FUTURES
    return name in CURRENCY_SPOT or name in SPOTS or name in _INDICES or name in SHARES


def _add_instrument(draft: _Draft, instrument: Instrument) -> None:
    """Series and returns of one instrument; options have neither, they are priced from their underlying."""
    name, window = instrument.instrument_id, draft.window(instrument.venue)
    if instrument.is_option:
        draft.returns[name] = np.full(window.stop - window.start, np.nan)
    elif instrument.is_future:
        _add_future(draft, instrument, window)
    elif name in CURRENCY_SPOT:
        pair, inverse = CURRENCY_SPOT[name]
        _add_spot(draft, instrument, _inverted(draft.spot(pair)) if inverse else draft.spot(pair), window)
    elif name in SPOTS or name in _INDICES:
        _add_spot(draft, instrument, draft.spot(_INDICES.get(name, name)), window)
    else:
        _add_share(draft, instrument, window)


def _add_future(draft: _Draft, instrument: Instrument, window: PanelWindow) -> None:
    contracts = list_futures(instrument, draft.sessions, window.calendar, draft.first, draft.last)
    name = future_name(instrument.instrument_id)
    history = make_future(instrument, name, contracts, draft.spot(name.spot), draft.factors, window)
    draft.chains[instrument.instrument_id] = contracts
    draft.returns[instrument.instrument_id] = history.returns
    draft.series.update({series.contract.contract_id: series for series in history.series})


def _add_share(draft: _Draft, instrument: Instrument, window: PanelWindow) -> None:
    name = instrument.instrument_id
    history = make_share(
        instrument, share_name(name), SPLITS.get(name, ()), draft.factors, window, draft.seed
    )
    draft.series[name] = history.series
    draft.returns[name] = history.returns
    draft.dividends.extend(history.dividends)
    draft.splits.extend(history.splits)


def _add_spot(draft: _Draft, instrument: Instrument, bars: Bars, window: PanelWindow) -> None:
    grid = rounded_bars(
        instrument, {"open": bars.open, "high": bars.high, "low": bars.low, "close": bars.close}
    )
    closes = window.cut(grid["close"])
    draft.series[instrument.instrument_id] = DailySeries(
        contract=spot_contract(instrument),
        open=window.cut(grid["open"]),
        high=window.cut(grid["high"]),
        low=window.cut(grid["low"]),
        close=closes,
        volume=np.full(len(closes), np.nan),
    )
    rows = np.flatnonzero(np.isfinite(closes))
    returns = np.full(len(closes), np.nan)
    returns[rows[1:]] = np.diff(closes[rows]) / closes[rows[:-1]]
    draft.returns[instrument.instrument_id] = returns


def _inverted(bars: Bars) -> Bars:
    """The same pair quoted the other way round."""
    return Bars(
        open=1 / bars.open,
        high=1 / bars.low,
        low=1 / bars.high,
        close=1 / bars.close,
        returns=-bars.returns,
        noise=bars.noise,
    )


def _add_references(draft: _Draft, universe: Universe) -> None:
    """Prices behind options whose underlying is no instrument of the universe."""
    for instrument in universe:
        if not instrument.is_option:
            continue
        spot = option_name(instrument).spot
        if spot in draft.series:
            continue
        reference = reference_instrument(spot, instrument)
        returns = dict(draft.returns)
        _add_instrument(draft, reference)
        draft.returns = returns  # a reference is no line of the fund's history
        draft.dividends = [dividend for dividend in draft.dividends if dividend.instrument_id != spot]


def option_name(instrument: Instrument) -> OptionName:
    """Process of an option line; raises `DataError` for one that the generated market does not know."""
    if instrument.instrument_id not in OPTIONS:
        raise DataError(
            f"expected options of the generated market, found {instrument.instrument_id!r}; describe them in"
            " generated_names"
        )
    return OPTIONS[instrument.instrument_id]


def reference_instrument(spot: str, option: Instrument) -> Instrument:
    """An index or fund that exists only as the underlying of options, on the options' venue."""
    return Instrument(
        instrument_id=spot,
        category="reference",
        kind=InstrumentType.ETF if spot in SHARES else InstrumentType.IND,
        ib_symbol=option.ib_symbol,
        exchange=option.exchange,
        primary_exchange=None,
        currency=option.currency,
        price_unit=option.price_unit,
        exposure_currency=option.exposure_currency,
        multiplier=decimal_from_float(1.0),
        price_magnifier=option.price_magnifier,
        tick_bands=(TickBand(from_price=decimal_from_float(0.0), tick=decimal_from_float(0.01)),),
        lot=decimal_from_float(1.0),
        collar_class=CollarClass.ETF,
        venue=option.venue,
        venue_group=option.venue_group,
        expiry_rule=ExpiryRule.NONE,
        months=(),
        roll_days_before=0,
        underlying=None,
        counted=False,
        tradeable=False,
        long_name=spot,
        yahoo=None,
    )


def _finished(draft: _Draft, universe: Universe) -> MarketPanel:
    start, stop = draft.factors.row(draft.first), draft.factors.row(draft.last + timedelta(days=1))
    dates: tuple[date, ...] = tuple(draft.factors.days[start:stop].tolist())
    fx = _fx(draft, universe, start, stop)
    shares = [i for i in universe if i.kind in (InstrumentType.STK, InstrumentType.ETF)]
    indices = {"vix": draft.factors.vix[start:stop], "v2x": draft.factors.v2x[start:stop]}
    return MarketPanel(
        name=f"generated world {draft.seed}",
        generated=True,
        digest=_digest(draft, fx),
        dates=dates,
        series=draft.series,
        returns=draft.returns,
        fx=fx,
        vix=indices["vix"],
        v2x=indices["v2x"],
        chains=draft.chains,
        implied_volatility={
            i.instrument_id: _at_the_money(option_name(i), indices) for i in universe if i.is_option
        },
        dividends=tuple(sorted(draft.dividends, key=lambda d: (d.ex_date, d.instrument_id))),
        splits=tuple(sorted(draft.splits, key=lambda s: (s.ex_date, s.instrument_id))),
        fundamentals=_fundamentals(draft, universe, dates, fx),
        borrow_available={i.instrument_id: share_name(i.instrument_id).borrowable for i in shares},
        borrow_fee_bps={i.instrument_id: share_name(i.instrument_id).borrow_fee_bps for i in shares},
        total_return=frozenset(),
        notes=(f"prices are generated from seed {draft.seed}; none is a quotation",),
    )


def _fx(draft: _Draft, universe: Universe, start: int, stop: int) -> dict[str, np.ndarray]:
    pairs = {f"{currency}USD" for currency in universe.currencies if currency != "USD"}
    pairs |= {name for name in SPOTS if name.endswith("USD")}
    unknown = sorted(pairs - set(SPOTS))
    if unknown:
        raise DataError(f"the generated market has no exchange rate for {', '.join(unknown)}")
    return {pair: np.round(draft.spot(pair).close[start:stop], 6) for pair in sorted(pairs)}


def _at_the_money(name: OptionName, indices: Mapping[str, np.ndarray]) -> np.ndarray:
    return np.asarray(np.round(name.base + name.beta * indices[name.index] / 100.0, 6))


def _fundamentals(
    draft: _Draft, universe: Universe, dates: tuple[date, ...], fx: Mapping[str, np.ndarray]
) -> tuple[FundamentalRecord, ...]:
    records: list[FundamentalRecord] = []
    for instrument in universe:
        name = instrument.instrument_id
        if name not in COMPANIES:
            continue
        usd = fx[f"{instrument.currency}USD"] if instrument.currency != "USD" else np.ones(len(dates))
        count = _shares_per_anchor_share(name, dates)
        records.extend(quarterly_records(instrument, draft.series[name], dates, usd, count, draft.seed))
    return tuple(sorted(records, key=lambda r: (r.filed_on, r.instrument_id)))


def _shares_per_anchor_share(name: str, dates: tuple[date, ...]) -> np.ndarray:
    """Shares outstanding on each date for one of the anchor day: fewer before a split, whether it is past or to come."""
    count = np.ones(len(dates))
    for text, new_shares, old_shares in SPLITS.get(name, ()):
        split_before_anchor = date.fromisoformat(text) <= ANCHOR
        before = np.array([day < date.fromisoformat(text) for day in dates])
        count[before if split_before_anchor else ~before] *= (
            old_shares / new_shares if split_before_anchor else new_shares / old_shares
        )
    return count


def _digest(draft: _Draft, fx: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over version, seed, range and every closing price and rate."""
    sha = hashlib.sha256(f"{GENERATOR_VERSION}|{draft.seed}|{draft.first}|{draft.last}".encode())
    for contract_id in sorted(draft.series):
        sha.update(contract_id.encode())
        sha.update(draft.series[contract_id].close.astype("<f8").tobytes())
    for pair in sorted(fx):
        sha.update(fx[pair].astype("<f8").tobytes())
    sha.update(draft.factors.vix.astype("<f8").tobytes())
    return sha.hexdigest()
