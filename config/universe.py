"""Instruments and venues: instruments.yaml and venues.yaml as the engine's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

from config.entries import (
    AuctionEntry,
    InstrumentEntry,
    InstrumentsFile,
    MaintenanceEntry,
    NameList,
    VenueEntry,
    VenuesFile,
)
from config.loading import Document, nearest, read_document
from config.references import check_references
from config.sections import Roll
from config.settings import CONFIG_ROOT, Settings, load_settings, validate
from engine.errors import ConfigurationError
from engine.model.encoding import digest
from engine.model.instruments import CollarClass, ExpiryRule, Instrument, InstrumentType, TickBand, VenueGroup
from engine.model.universe import Universe
from engine.model.venues import AuctionPolicy, MaintenanceWindow, PhasePolicy, WindowPolicy
from engine.model.windows import ExecutionStyle

_ROLL_CATEGORIES = {"sovereign_bonds": "bonds"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One venue: its calendar, its job venue, the phases of its day and the window in which its orders are worked."""

    venue_id: str
    calendar: str
    timezone: str
    group: VenueGroup
    window: WindowPolicy
    phases: PhasePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueBook:
    """All venues, sorted by id, the broker's maintenance windows, and the zone in which its day begins and ends."""

    venues: tuple[Venue, ...]
    maintenance: tuple[MaintenanceWindow, ...]
    broker_zone: str

    def venue(self, venue_id: str) -> Venue:
        """Venue of an id; raises `ConfigurationError`."""
        for venue in self.venues:
            if venue.venue_id == venue_id:
                return venue
        known = [venue.venue_id for venue in self.venues]
        raise ConfigurationError(
            f'expected a venue of venues.yaml, found "{venue_id}"{nearest(venue_id, known)}'
        )

    @property
    def calendars(self) -> dict[str, str]:
        """Calendar name by venue id."""
        return {venue.venue_id: venue.calendar for venue in self.venues}


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything that instruments.yaml lists, before a profile chooses from it."""

    file: InstrumentsFile
    venues: VenueBook

    @property
    def name_lists(self) -> dict[str, tuple[str, ...]]:
        """Instrument ids of each name list."""
        return {
            name: tuple(listed.instrument_id(symbol) for symbol in listed.symbols)
            for name, listed in self.file.name_lists.items()
        }

    def entry(self, instrument_id: str) -> InstrumentEntry | None:
        """Entry of an id in any of the three sections."""
        for section in (self.file.instruments, self.file.proxies, self.file.reference):
            if instrument_id in section:
                return section[instrument_id]
        return None

    def instrument(self, instrument_id: str, roll: Roll) -> Instrument:
        """Instrument of an id of the three sections; raises `ConfigurationError`."""
        entry = self.entry(instrument_id)
        if entry is None:
            known = [*self.file.instruments, *self.file.proxies, *self.file.reference]
            raise ConfigurationError(
                f'expected an instrument of instruments.yaml, found "{instrument_id}"{nearest(instrument_id, known)}'
            )
        return _instrument(instrument_id, entry, self, roll)

    def listed_name(self, list_name: str, symbol: str, roll: Roll) -> Instrument:
        """Instrument of a symbol with the shared facts of a name list, whether the list names it or not."""
        listed = self.file.name_lists[list_name]
        entry = listed.entry(symbol)
        return _instrument(listed.instrument_id(symbol), entry, self, roll)


def load_venues(root: Path | None = None) -> VenueBook:
    """Venues and maintenance windows; raises `ConfigurationError`."""
    return load_catalogue(root).venues


def load_catalogue(root: Path | None = None) -> Catalogue:
    """Read and validate instruments.yaml and venues.yaml; raises `ConfigurationError`."""
    folder = root or CONFIG_ROOT
    return _catalogue(folder, _changed(folder / "instruments.yaml"), _changed(folder / "venues.yaml"))


def load_universe(profile: str, root: Path | None = None) -> Universe:
    """Instruments of a profile, sorted by id; raises `ConfigurationError`."""
    return universe_of(load_settings(profile, (), root), root)


def universe_of(settings: Settings, root: Path | None = None) -> Universe:
    """Instruments that the settings choose, sorted by id; raises `ConfigurationError`."""
    catalogue, choice = load_catalogue(root), settings.universe
    chosen = list(choice.include)
    for section in choice.sections:
        chosen += catalogue.file.instruments if section == "instruments" else catalogue.file.reference
    found = {name: catalogue.instrument(name, settings.roll) for name in chosen}
    for list_name in choice.name_lists:
        if list_name not in catalogue.file.name_lists:
            known = catalogue.file.name_lists
            raise ConfigurationError(
                f'expected a name list of instruments.yaml, found "{list_name}"{nearest(list_name, known)}'
            )
        found = {**_listed(catalogue, list_name, settings.roll), **found}
    universe = Universe(instruments=tuple(found[name] for name in sorted(found)))
    check_references(settings, universe)
    _check_windows(settings, universe, catalogue.venues)
    return universe


def _check_windows(settings: Settings, universe: Universe, venues: VenueBook) -> None:
    """A style that names a venue finds its auction there, and no continuous window comes too near to an open or close."""
    for rule in settings.execution.styles:
        style = ExecutionStyle(rule.style)
        closed = [name for name in rule.venues if venues.venue(name).window.auction(style) is None]
        if style is not ExecutionStyle.MIDDAY and closed:
            raise ConfigurationError(
                f'expected venues with that auction for {rule.style} in "execution.styles", found {", ".join(closed)}'
            )
    orders = settings.execution
    for name in sorted({row.venue for row in universe}):
        window = venues.venue(name).window
        first, last = orders.avoid_first_minutes_after_open, orders.avoid_last_minutes_before_close
        near = window.open_offset_minutes < first or window.close_offset_minutes < last
        if near and window.start_utc is None:  # a window by the clock has no daily open or close
            raise ConfigurationError(
                f"expected the window of {name} in venues.yaml to leave out {first} minutes after the open and {last} "
                f"before the close, found {window.open_offset_minutes} and {window.close_offset_minutes}; widen its "
                'offsets or lower "execution.avoid_first_minutes_after_open" and "avoid_last_minutes_before_close"'
            )


def with_names(universe: Universe, list_name: str, symbols: Iterable[str], settings: Settings) -> Universe:
    """The universe with further symbols of a name list, as a store of other names needs them."""
    catalogue = load_catalogue()
    more = (catalogue.listed_name(list_name, symbol, settings.roll) for symbol in symbols)
    found = {instrument.instrument_id: instrument for instrument in (*more, *universe)}
    return Universe(instruments=tuple(found[name] for name in sorted(found)))


def effective_digest(settings: Settings, root: Path | None = None) -> str:
    """SHA-256 of everything that decides: settings, the chosen instruments and the venues."""
    universe = universe_of(settings, root)
    return digest([settings.digest, list(universe.instruments), load_venues(root)])


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=4)
def _catalogue(folder: Path, _instruments_changed: int, _venues_changed: int) -> Catalogue:
    venues = _venue_book(validate(VenuesFile, read_document(folder / "venues.yaml")))
    document = read_document(folder / "instruments.yaml")
    catalogue = Catalogue(file=validate(InstrumentsFile, document), venues=venues)
    _check_references(catalogue, document)
    return catalogue


def _listed(catalogue: Catalogue, list_name: str, roll: Roll) -> Mapping[str, Instrument]:
    listed: NameList = catalogue.file.name_lists[list_name]
    found = {}
    for symbol in listed.symbols:
        name = listed.instrument_id(symbol)
        # A name of the three sections keeps its own facts: AAPL is one line, however it came in.
        own = catalogue.entry(name)
        found[name] = _instrument(name, own or listed.entry(symbol), catalogue, roll)
    return found


def _instrument(instrument_id: str, entry: InstrumentEntry, catalogue: Catalogue, roll: Roll) -> Instrument:
    collar = CollarClass(entry.collar_class)
    kind = InstrumentType(entry.sec_type)
    if kind is InstrumentType.STK and collar is CollarClass.ETF:
        kind = InstrumentType.ETF
    roll_class = _ROLL_CATEGORIES.get(entry.category, entry.category)
    return Instrument(
        instrument_id=instrument_id,
        category=entry.category,
        kind=kind,
        ib_symbol=entry.ib_symbol,
        exchange=entry.exchange,
        primary_exchange=entry.primary_exchange,
        currency=entry.currency,
        price_unit=entry.price_unit,
        price_magnifier=Decimal(entry.price_magnifier),
        exposure_currency=entry.exposure_currency,
        multiplier=entry.multiplier,
        tick_bands=_tick_bands(entry, catalogue.file),
        lot=entry.lot,
        collar_class=collar,
        venue=entry.venue,
        venue_group=catalogue.venues.venue(entry.venue).group,
        expiry_rule=ExpiryRule(entry.expiry_rule),
        months=entry.months,
        roll_days_before=roll.overrides.get(roll_class, roll.days_before),
        underlying=entry.underlying,
        counted=instrument_id in catalogue.file.instruments,
        tradeable=instrument_id not in catalogue.file.reference,
        long_name=entry.name,
        yahoo=entry.yahoo,
        issuer_country=entry.issuer,
        calendar_spread=entry.calendar_spread,
        auction_orders=entry.auction_orders,
    )


def _tick_bands(entry: InstrumentEntry, file: InstrumentsFile) -> tuple[TickBand, ...]:
    if isinstance(entry.tick, Decimal):
        return (TickBand(from_price=Decimal(0), tick=entry.tick),)
    table = file.tick_tables[entry.tick]
    return tuple(TickBand(from_price=Decimal(start), tick=tick) for start, tick in table.items())


def _venue_book(file: VenuesFile) -> VenueBook:
    return VenueBook(
        venues=tuple(_venue(name, file.venues[name]) for name in sorted(file.venues)),
        maintenance=tuple(_maintenance(entry) for entry in file.maintenance),
        broker_zone=file.broker_day_timezone,
    )


def _venue(name: str, entry: VenueEntry) -> Venue:
    window = WindowPolicy(
        **dict(entry.window),
        open_auction=_auction(entry.open_auction),
        close_auction=_auction(entry.close_auction),
    )
    return Venue(
        venue_id=name,
        calendar=entry.calendar,
        timezone=entry.timezone,
        group=VenueGroup(entry.group),
        window=window,
        phases=PhasePolicy(**dict(entry.phases)),
    )


def _auction(entry: AuctionEntry | None) -> AuctionPolicy | None:
    return None if entry is None else AuctionPolicy(**dict(entry))


def _maintenance(entry: MaintenanceEntry) -> MaintenanceWindow:
    return MaintenanceWindow(
        name=entry.name,
        timezone=entry.timezone,
        days=tuple(sorted(_WEEKDAYS.index(day) for day in entry.days)),
        start=entry.start,
        end=entry.end,
    )


_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")


def _check_references(catalogue: Catalogue, document: Document) -> None:
    """Every id that a line names must exist: its venue, its tick table, its underlying; and ids are unique."""
    file, venues = catalogue.file, catalogue.venues.calendars
    seen: dict[str, str] = {}
    for section in ("instruments", "proxies", "reference"):
        entries: Mapping[str, InstrumentEntry] = getattr(file, section)
        for name, entry in entries.items():
            where = document.origin((section, name))
            if name in seen:
                raise ConfigurationError(
                    f'expected each id once, found "{name}" at {where} and in {seen[name]}'
                )
            seen[name] = section
            if entry.venue not in venues:
                raise ConfigurationError(
                    f'expected a venue of venues.yaml for {name} at {where}, found "{entry.venue}"'
                    f"{nearest(entry.venue, venues)}"
                )
            if isinstance(entry.tick, str) and entry.tick not in file.tick_tables:
                raise ConfigurationError(
                    f'expected a tick size or a table of tick_tables for {name} at {where}, found "{entry.tick}"'
                    f"{nearest(entry.tick, file.tick_tables)}"
                )
            if entry.underlying is not None and catalogue.entry(entry.underlying) is None:
                raise ConfigurationError(
                    f'expected an id of this file as the underlying of {name} at {where}, found "{entry.underlying}"'
                )
