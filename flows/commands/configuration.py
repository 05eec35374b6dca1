"""``fund config check | show | schema``: whether the configuration holds together, what it says, what it may say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Annotated

import typer

from config.environment import load_environment
from config.loading import KeyPath, Value, dotted
from config.policies import fund_policy
from config.references import named_instruments
from config.settings import Configuration, load_configuration, profile_names, schema_text
from config.universe import effective_digest, load_venues, universe_of
from config.unread import waits_for
from engine.model.encoding import Json, to_json

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
group = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Check, show or describe the configuration."
)
application.add_typer(group, name="config")

Profile = Annotated[str | None, typer.Option(help="one profile; without it, all of config/profiles")]
Override = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override one setting, repeatable")
]
_ANY_DAY = date(2020, 1, 2)
"""Periods are checked for overlaps on all dates; one date stands for the values that do not depend on it."""

AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@application.callback()
def _commands() -> None:
    """Commands about the configuration."""


@group.command()
def check(profile: Profile = None, override: Override = None, as_json: AsJson = False) -> int:
    """Read every file of every profile and say what was checked; the first mistake ends it with exit status 2."""
    names = (profile,) if profile is not None else profile_names()
    results = [_checked(load_configuration(name, tuple(override or ()))) for name in names]
    if as_json:
        typer.echo(json.dumps(results, indent=2, sort_keys=True))
        return 0
    for result in results:
        typer.echo(
            f"profile {result['profile']}: mode {result['mode']}, {result['keys']} keys within their units and ranges,"
            f" {result['instruments']} instruments ({result['counted']} counted, {result['categories']} categories),"
            f" {result['venues']} venues, {result['references']} named instruments all known,"
            f" {result['policies']} policy values, digest {str(result['digest'])[:16]}"
        )
    typer.echo(f"{len(results)} profile{'s' if len(results) != 1 else ''} in order")
    return 0


@group.command()
def show(
    profile: Annotated[str, typer.Option(help="profile of config/profiles")] = "fund",
    override: Override = None,
    as_json: AsJson = False,
) -> int:
    """Print the effective configuration, where each value was written, and the environment with secrets masked.

    A key that this version does not read yet says so: setting it changes nothing.
    """
    configuration = load_configuration(profile, tuple(override or ()))
    document, environment = configuration.document, load_environment().shown()
    values = {dotted(path): (value, str(document.origin(path))) for path, value in _leaves(document.data, ())}
    if as_json:
        told: Json = {
            "profile": profile,
            "digest": effective_digest(configuration.settings),
            "values": {
                key: {"value": to_json(value), "origin": origin, "not_read_yet": waits_for(key)}
                for key, (value, origin) in values.items()
            },
            "environment": dict(environment),
        }
        typer.echo(json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False))
        return 0
    for key, (value, origin) in values.items():
        waits = waits_for(key)
        unread = "" if waits is None else f"; NO EFFECT YET, kept for: {waits}"
        typer.echo(f"{key} = {_text(value)}  # {origin}{unread}")
    for name, shown in environment.items():
        typer.echo(f"{name} = {shown or 'not set'}  # environment")
    return 0


@group.command()
def schema(_as_json: AsJson = True) -> int:
    """Print the JSON schema of settings.yaml."""
    typer.echo(schema_text())
    return 0


def _checked(configuration: Configuration) -> dict[str, Json]:
    settings = configuration.settings
    universe = universe_of(settings)
    policy = to_json(fund_policy(settings, _ANY_DAY))
    return {
        "profile": configuration.profile,
        "mode": settings.mode,
        "keys": sum(1 for _ in _leaves(configuration.document.data, ())),
        "instruments": len(universe),
        "counted": sum(instrument.counted for instrument in universe),
        "categories": len(Counter(instrument.category for instrument in universe)),
        "venues": len(load_venues().venues),
        "references": sum(1 for _ in named_instruments(settings)),
        "policies": _count(policy),
        "digest": effective_digest(settings),
    }


def _count(tree: Json) -> int:
    if isinstance(tree, dict):
        return sum(_count(value) for value in tree.values())
    return 1


def _leaves(value: Value, path: KeyPath) -> Iterator[tuple[KeyPath, Value]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    else:
        yield path, value


def _text(value: Value) -> str:
    return json.dumps(to_json(value), ensure_ascii=False)
