"""Settings of a date as the engine's policies.

The table of config/key_names.py carries every plain value across; what this module adds is what depends on the
trade date (the legs of the sleeves), on the name lists of instruments.yaml and on the windows of venues.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar, cast

from config.key_names import POLICY_KEYS
from config.sections import Fund, LegPeriod, Period
from config.settings import Settings
from config.universe import load_catalogue, load_venues
from engine.errors import ConfigurationError
from engine.model.encoding import Json, from_json, to_json
from engine.model.policy import FundPolicy, SleevePolicy

_P = TypeVar("_P", bound=Period)
_TAX_FIELDS = ("venue", "side", "rate", "source")
_WITHHOLDING_FIELDS = ("country", "kind", "source")
_CYCLE_FIELDS = ("sessions", "source")
_ROLL_CLASSES = {"bonds": "sovereign_bonds"}  # the documents' word for a category of instruments.yaml


def fund_policy(settings: Settings, trade_date: date, root: Path | None = None) -> FundPolicy:
    """All policies that hold on a trade date.

    Parameters
    ----------
    settings : Settings
        Effective settings of a profile.
    trade_date : date
        Chooses the period of every leg.
    root : Path, optional
        Folder of the configuration files, the product's own by default.

    Raises
    ------
    ConfigurationError
        When two periods of a leg overlap on the date, or a leg names an unknown name list.
    """
    tree = _plain_policies(settings)
    _section(tree, "sleeves").update(_legs(settings, trade_date, root))
    _section(tree, "tail").update(_dated_hedges(settings, trade_date))
    venues = load_venues(root)
    tree["windows"] = to_json({venue.venue_id: venue.window for venue in venues.venues})
    tree["resets"] = to_json(venues.maintenance)
    return cast(FundPolicy, from_json(FundPolicy, tree))


def sleeve_policy(settings: Settings, trade_date: date, root: Path | None = None) -> SleevePolicy:
    """What each sleeve holds on a trade date; errors as `fund_policy`."""
    return fund_policy(settings, trade_date, root).sleeves


def _plain_policies(settings: Settings) -> dict[str, Json]:
    values = to_json(settings.model_dump(mode="python", by_alias=True))
    tree: dict[str, Json] = {}
    for field, key in POLICY_KEYS.items():
        *sections, name = field.split(".")
        place = tree
        for section in sections:
            place = cast("dict[str, Json]", place.setdefault(section, {}))
        place[name] = _value(values, key)
    fx, execution, roll = (_section(tree, name) for name in ("fx", "execution", "roll"))
    contracts = cast("dict[str, dict[str, Json]]", fx["hedge_contracts"])
    fx["hedge_contracts"] = {currency: [line["micro"], line["full"]] for currency, line in contracts.items()}
    costs = _section(tree, "costs")
    listed = cast("list[dict[str, Json]]", costs["transaction_taxes"])
    costs["transaction_taxes"] = [_period(line, _TAX_FIELDS) for line in listed]
    carry = _section(tree, "carry")
    dividends = _section(carry, "dividends")
    kept_back = cast("list[dict[str, Json]]", dividends["withholding"])
    dividends["withholding"] = [
        _period(line, _WITHHOLDING_FIELDS) | {"rate": withheld_rate(line, settings.fund)}
        for line in kept_back
    ]
    cycles = cast("list[dict[str, Json]]", carry["settlement"])
    carry["settlement"] = [
        _period(line, _CYCLE_FIELDS) | {"venue": venue}
        for line in cycles
        for venue in cast("list[Json]", line["venues"])
    ]
    collars = cast("dict[str, Json]", execution["collar_bps"])
    # Options have no collar in bps: theirs is a fraction of the premium or ticks.
    execution["collar_bps"] = {name: bps for name, bps in collars.items() if bps is not None}
    overrides = cast("dict[str, Json]", roll["overrides"])
    roll["overrides"] = {_ROLL_CLASSES.get(name, name): days for name, days in overrides.items()}
    return tree


def _period(line: dict[str, Json], names: Sequence[str]) -> dict[str, Json]:
    """A dated line of the settings under the engine's names."""
    return {"first": line["from"], "last": line["to"]} | {name: line[name] for name in names}


def withheld_rate(line: Mapping[str, Json], fund: Fund) -> Json:
    """Rate of a line of withholding for the fund: its treaty's where that is applied at source, else the country's own.

    Raises `ConfigurationError` where relief is claimed and the line has no rate for the fund's domicile.
    """
    if line["country"] not in fund.relief_at_source:
        return line["rate"]
    treaty = cast("dict[str, Json]", line["treaty"])
    if fund.domicile not in treaty:
        raise ConfigurationError(
            f'expected a treaty rate of {line["country"]} for {fund.domicile} in "withholding" from {line["from"]}, for '
            f'"fund.relief_at_source" names {line["country"]}, found {", ".join(treaty) or "none"}'
        )
    return treaty[fund.domicile]


def _section(tree: dict[str, Json], name: str) -> dict[str, Json]:
    return cast("dict[str, Json]", tree[name])


def _value(values: Json, key: str) -> Json:
    for part in key.split("."):
        values = cast("dict[str, Json]", values)[part]
    return values


def _legs(settings: Settings, day: date, root: Path | None) -> dict[str, Json]:
    book = settings.portfolio
    lists = load_catalogue(root).name_lists
    legs: dict[str, Json] = {}
    for field, name in _LEG_FIELDS.items():
        periods = cast("tuple[LegPeriod, ...]", getattr(book, name))
        legs[field] = _names(_in_force(periods, day, f"portfolio.{name}"), lists)
    weights = _in_force(book.credit_weights, day, "portfolio.credit_weights")
    legs["credit_weights"] = {} if weights is None else to_json(weights.weights)
    return legs


_LEG_FIELDS = {
    "core_long": "core_long",
    "core_short": "core_short",
    "sector_long": "sector_long",
    "sector_short": "sector_short",
    "single_long_universe": "single_long",
    "single_short_universe": "single_short",
}


def _names(period: LegPeriod | None, lists: Mapping[str, tuple[str, ...]]) -> Json:
    if period is None:
        return []
    listed: tuple[str, ...] = ()
    if period.name_list is not None:
        if period.name_list not in lists:
            raise ConfigurationError(
                f'expected a name list of instruments.yaml ({", ".join(lists)}), found "{period.name_list}"'
            )
        listed = lists[period.name_list]
    return [*period.instruments, *(name for name in listed if name not in period.instruments)]


def _dated_hedges(settings: Settings, day: date) -> dict[str, Json]:
    spread = _in_force(settings.hedges.spread, day, "hedges.spread")
    future = _in_force(settings.hedges.volatility_future, day, "hedges.volatility_future")
    return {
        "spread_long": None if spread is None else spread.long,
        "spread_short": None if spread is None else spread.short,
        "volatility_future": None if future is None else future.instrument,
    }


def _in_force(periods: Sequence[_P], day: date, key: str) -> _P | None:
    found = [period for period in periods if period.contains(day)]
    if len(found) > 1:
        raise ConfigurationError(
            f"expected one period of {key} on {day}, found {len(found)}; mend their from and to"
        )
    return found[0] if found else None
