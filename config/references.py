"""Whether all that the settings name exists: instruments of the universe, currencies with rates, dates without overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations

from config.loading import nearest
from config.sections import LegPeriod, Period, TaxPeriod
from config.settings import Settings
from engine.errors import ConfigurationError
from engine.model.universe import Universe

_LEGS = ("core_long", "core_short", "sector_long", "sector_short", "single_long", "single_short")


def check_references(settings: Settings, universe: Universe) -> None:
    """Raise `ConfigurationError` for the first name that leads nowhere."""
    for key, name in named_instruments(settings):
        if name not in universe:
            raise ConfigurationError(
                f'expected an instrument of the universe in "{key}", found "{name}"{nearest(name, universe.ids)};'
                ' the key "universe" chooses the instruments'
            )
    for key, periods in _dated(settings):
        _check_periods(key, periods)
    _check_taxes(settings.costs.transaction_tax, universe)
    financing = settings.execution_phase2.carry_realism.financing
    tables: Mapping[str, Mapping[str, object]] = {
        "default_cash_rate_by_ccy": financing.default_cash_rate_by_ccy,
        "day_count": financing.day_count,
        "collateral_pct": settings.execution_phase2.carry_realism.borrow.collateral_pct,
    }
    for table, values in tables.items():
        missing = [currency for currency in universe.currencies if currency not in values]
        if missing:
            raise ConfigurationError(
                f'expected a value for each currency of the universe in "{table}", found none for {", ".join(missing)}'
            )


def named_instruments(settings: Settings) -> Iterator[tuple[str, str]]:
    """Every instrument id that the settings name, with the key that names it."""
    book, hedges = settings.portfolio, settings.hedges
    for leg in _LEGS:
        periods: Sequence[LegPeriod] = getattr(book, leg)
        yield from ((f"portfolio.{leg}", name) for period in periods for name in period.instruments)
    yield from (
        ("portfolio.credit_weights", name) for period in book.credit_weights for name in period.weights
    )
    yield from (("portfolio.single_long_fallback", name) for name in book.single_long_fallback)
    yield from (("portfolio.single_short_fallback", name) for name in book.single_short_fallback)
    for denied, proxy in book.short_proxies.items():
        yield from (("portfolio.short_proxies", name) for name in (denied, proxy))
    for category, names in hedges.candidates.items():
        yield from ((f"hedges.candidates.{category}", name) for name in names)
    for spread in hedges.spread:
        yield from (("hedges.spread", name) for name in (spread.long, spread.short))
    yield from (("hedges.volatility_future", period.instrument) for period in hedges.volatility_future)
    for currency, line in settings.fx.contracts.items():
        yield from (
            (f"fx.contracts.{currency}", name) for name in (line.micro, line.full) if name is not None
        )
    overlays = settings.execution_phase2.overlays
    yield from (
        ("execution_phase2.overlays.overlay_proxies", name) for name in overlays.overlay_proxies.values()
    )
    yield from (("execution_phase2.overlays.micro_proxies", name) for name in overlays.micro_proxies.values())


def _dated(settings: Settings) -> Iterator[tuple[str, Sequence[Period]]]:
    for leg in (*_LEGS, "credit_weights"):
        yield f"portfolio.{leg}", getattr(settings.portfolio, leg)
    yield "hedges.spread", settings.hedges.spread
    yield "hedges.volatility_future", settings.hedges.volatility_future


def _check_periods(key: str, periods: Sequence[Period]) -> None:
    for period in periods:
        if period.from_ is not None and period.to is not None and period.to < period.from_:
            raise ConfigurationError(
                f'expected each period of "{key}" to end after it begins, found {period.from_} to {period.to}'
            )
    for one, other in combinations(periods, 2):
        if max(_start(one), _start(other)) <= min(_end(one), _end(other)):
            raise ConfigurationError(
                f'expected the periods of "{key}" not to overlap, found {_shown(one)} and {_shown(other)};'
                " mend their from and to"
            )


def _check_taxes(taxes: Sequence[TaxPeriod], universe: Universe) -> None:
    """Each tax ends after it begins, and no two hold at once."""
    for tax in taxes:
        if tax.to is not None and tax.to < tax.from_:
            raise ConfigurationError(
                f'expected each line of "costs.transaction_tax" to end after it begins, found {tax.venue}'
                f" {tax.from_} to {tax.to}"
            )
    for one, other in combinations(taxes, 2):
        same = (one.venue, one.side) == (other.venue, other.side)
        if same and max(one.from_, other.from_) <= min(one.to or date.max, other.to or date.max):
            raise ConfigurationError(
                f'expected one tax of "costs.transaction_tax" a venue, side and day, found two of {one.venue} from '
                f"{max(one.from_, other.from_)}; mend their from and to"
            )


def _start(period: Period) -> date:
    return period.from_ or date.min


def _end(period: Period) -> date:
    return period.to or date.max


def _shown(period: Period) -> str:
    return f"{period.from_ or 'the beginning'} to {period.to or 'the end'}"
