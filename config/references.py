"""Whether all that the settings name exists: instruments of the universe, currencies with rates, dates without overlap."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import combinations
from typing import Protocol

from config.carry_sections import SettlementPeriod, WithholdingPeriod
from config.execution_sections import StyleChoice
from config.loading import nearest
from config.sections import LegPeriod, Period, TaxPeriod
from config.settings import Settings
from engine.accounting.corporate_actions import is_share
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
    _check_styles(settings.execution.styles, universe)
    _check_taxes(settings.costs.transaction_tax, universe)
    carry = settings.execution_phase2.carry_realism
    _check_withholding(carry.dividends.withholding, universe)
    _check_settlement(carry.settlement, universe)
    financing = carry.financing
    tables: Mapping[str, Mapping[str, object]] = {
        "default_cash_rate_by_ccy": financing.default_cash_rate_by_ccy,
        "day_count": financing.day_count,
        "credit_tiers": financing.credit_tiers,
        "debit_tiers": financing.debit_tiers,
        "short_proceeds_tiers": financing.short_proceeds_tiers,
        "collateral_pct": carry.borrow.collateral_pct,
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
    _check_rates("costs.transaction_tax", [((tax.venue, tax.side), tax) for tax in taxes])


def _check_withholding(rates: Sequence[WithholdingPeriod], universe: Universe) -> None:
    """Each country whose shares or funds the universe lists has a rate in force, and no two hold at once."""
    _check_rates("withholding", [((rate.country, rate.kind), rate) for rate in rates])
    known = {(rate.country, rate.kind) for rate in rates if rate.to is None}
    for instrument in universe:
        kind = instrument.kind.value
        if is_share(instrument) and (instrument.issuer_country, kind) not in known:
            raise ConfigurationError(
                f'expected a rate in force in "withholding" for dividends of {instrument.instrument_id} ({kind} of '
                f"{instrument.issuer_country}), found none; add the country's rate with its date and source"
            )


def _check_settlement(cycles: Sequence[SettlementPeriod], universe: Universe) -> None:
    """Each venue that lists a share has a cycle in force, and no two hold at once."""
    _check_rates("settlement", [((venue,), cycle) for cycle in cycles for venue in cycle.venues])
    known = {venue for cycle in cycles if cycle.to is None for venue in cycle.venues}
    missing = sorted({row.venue for row in universe if is_share(row)} - known)
    if missing:
        raise ConfigurationError(
            f'expected a cycle in force in "settlement" for each venue of shares, found none for {", ".join(missing)}'
        )


def _check_styles(rules: Sequence[StyleChoice], universe: Universe) -> None:
    """A rule names lines and venues that exist, and asks for an auction only where a line of them may trade in one."""
    venues = sorted({row.venue for row in universe})
    for rule in rules:
        for name in rule.instruments:
            if name not in universe:
                raise ConfigurationError(
                    f'expected an instrument of the universe in "execution.styles", found "{name}"'
                    f"{nearest(name, universe.ids)}"
                )
        for venue in rule.venues:
            if venue not in venues:
                raise ConfigurationError(
                    f'expected a venue of the universe in "execution.styles", found "{venue}"{nearest(venue, venues)}'
                )
        barred = [name for name in rule.instruments if not is_share(universe[name])]
        if rule.style != "MIDDAY" and barred:
            raise ConfigurationError(
                f'expected shares and funds for {rule.style} in "execution.styles", found {", ".join(barred)}; '
                "futures, currencies and options are worked MIDDAY"
            )


class _Dated(Protocol):
    """A line of the settings that holds from day to day."""

    @property
    def from_(self) -> date: ...
    @property
    def to(self) -> date | None: ...


def _check_rates(key: str, lines: Sequence[tuple[tuple[str, ...], _Dated]]) -> None:
    for subject, line in lines:
        if line.to is not None and line.to < line.from_:
            raise ConfigurationError(
                f'expected each line of "{key}" to end after it begins, found {" ".join(subject)} {line.from_} to'
                f" {line.to}"
            )
    for (subject, one), (other_subject, other) in combinations(lines, 2):
        together = max(one.from_, other.from_)
        if subject == other_subject and together <= min(one.to or date.max, other.to or date.max):
            raise ConfigurationError(
                f'expected one line of "{key}" a day for {" ".join(subject)}, found two from {together}; mend their'
                " from and to"
            )


def _start(period: Period) -> date:
    return period.from_ or date.min


def _end(period: Period) -> date:
    return period.to or date.max


def _shown(period: Period) -> str:
    return f"{period.from_ or 'the beginning'} to {period.to or 'the end'}"
