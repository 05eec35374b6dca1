"""Which days a request means, and whether it can be met; everything that is wrong is said before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from config.settings import load_configuration
from config.universe import universe_of
from engine.errors import ConfigurationError
from engine.model.context import Mode
from tasks.adapters.calendars import session_table
from tasks.adapters.store_world import records_begin, records_end
from tasks.options import fund_home, generated_from

MOST_DAYS = 6_000
SEARCHED_DAYS = 10
REPORTS = ("last", "all", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What ``fund run`` was asked; ``resume`` reads it back from the book, with the seed that the run had."""

    profile: str
    mode: str | None
    first: date | None
    last: date | None
    days: int | None
    store: str | None
    seed: int | None
    fault: str | None
    overrides: tuple[str, ...]
    report: str | None
    with_prefect: bool


def planned_days(request: RunRequest) -> tuple[date, ...]:
    """Trading days of a request in order, one at least; raises `ConfigurationError` naming what is wrong with it."""
    _require_consistent(request)
    today = datetime.now(UTC).date()
    earliest, newest = _market_range(request, today)
    for option, day in (("--date", request.first), ("--to", request.last)):
        _require_within(option, day, earliest, newest, today)
    first = request.first or _latest_sessions(newest, request.days or 1)[0]
    last = request.last or (newest if request.days else first)
    if last < first:
        raise ConfigurationError(f"expected --to at or after {first}, found {last}; take a later one")
    wanted = trading_days(first, last)[: request.days]
    if first not in wanted:
        raise ConfigurationError(not_a_trading_day(first))
    if request.days and len(wanted) < request.days:
        raise ConfigurationError(
            f"expected {request.days} trading days from {first}, found {len(wanted)} up to {newest}; take fewer days "
            "or an earlier --date"
        )
    if len(wanted) > MOST_DAYS:
        raise ConfigurationError(
            f"expected at most {MOST_DAYS} days in one run, found {len(wanted)}; take an earlier --to"
        )
    return wanted


def trading_days(first: date, last: date) -> tuple[date, ...]:
    """Dates on which at least one venue other than the currency market trades (R-24)."""
    table = session_table(first, last, fund_home() / "cache")
    days = [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]
    venues = [venue for venue in table.venues if venue != "FX"]
    return tuple(day for day in days if any(table.is_session(venue, day) for venue in venues))


def not_a_trading_day(day: date) -> str:
    """Why a date is refused, with its neighbours."""
    around = trading_days(day - timedelta(days=SEARCHED_DAYS), day + timedelta(days=SEARCHED_DAYS))
    before = max((d for d in around if d < day), default=None)
    after = min((d for d in around if d > day), default=None)
    return f"expected a trading day, found {day:%A} {day}, on which no venue trades; the nearest are {before} and {after}"


def _require_consistent(request: RunRequest) -> None:
    if request.report is not None and request.report not in REPORTS:
        raise ConfigurationError(
            f"expected --report {', '.join(REPORTS)}, found {request.report!r}; take one of these"
        )
    if request.days is not None and request.last is not None:
        raise ConfigurationError("expected --days or --to, found both; give one of them")


def _market_range(request: RunRequest, today: date) -> tuple[date, date]:
    """First and last date that the market of a request knows of all that its profile needs, up to today."""
    if request.store is None:
        return generated_from(), today
    path = Path(request.store)
    universe = universe_of(load_configuration(request.profile, request.overrides).settings)
    is_recorded = request.profile not in (Mode.PAPER.value, Mode.LIVE.value)
    # A broker's account trades today, of which a store of the past has no record yet.
    newest = min(today, records_end(path, universe)) if is_recorded else today
    return records_begin(path, universe), newest


def _require_within(option: str, day: date | None, earliest: date, newest: date, today: date) -> None:
    if day is None:
        return
    if day > today:
        raise ConfigurationError(
            f"expected {option} up to today, {today}, found {day} in the future; take an earlier date"
        )
    if not earliest <= day <= newest:
        raise ConfigurationError(
            f"expected {option} from {earliest} to {newest}, the dates that this market covers, found {day}; take a "
            "date in this range, or another market with --store"
        )


def _latest_sessions(newest: date, count: int) -> tuple[date, ...]:
    return trading_days(newest - timedelta(days=SEARCHED_DAYS + 2 * count), newest)[-count:]
