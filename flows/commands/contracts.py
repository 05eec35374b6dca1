"""``fund contracts pin``: ask the broker for every contract of the fund once, and keep its numbers for a person to review."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tasks.adapters.broker_outside import Pinned

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
group = typer.Typer(add_completion=False, no_args_is_help=True, help="The broker's contracts.")
application.add_typer(group, name="contracts")


@application.callback()
def _commands() -> None:
    """Commands about the broker's contracts."""


@group.command()
def pin(
    profile: Annotated[str, typer.Option(help="profile of the account: paper or live")] = "paper",
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="seed of a simulated gateway's market; default: the one that it has"),
    ] = None,
    store: Annotated[str | None, typer.Option(metavar="DIR", help="market data store of the account")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> int:
    """Qualify every instrument and listed expiry; what is ambiguous, missing or changed is refused by name."""
    from pathlib import Path

    from flows.commands.errors import EXIT_DONE, EXIT_REFUSED
    from tasks.contract_pins import pin_contracts

    found = pin_contracts(profile, seed, None if store is None else Path(store).resolve())
    if as_json:
        told = {"pinned": dict(found.pinned), "added": list(found.added), "refused": dict(found.refused)}
        typer.echo(json.dumps({**told, "file": str(found.path)}, indent=2))
    else:
        for line in _lines(found):
            typer.echo(line)
    return EXIT_REFUSED if found.refused else EXIT_DONE


def _lines(found: Pinned) -> list[str]:
    width = max((len(name) for name in found.pinned), default=0)
    told = [
        f"{'new' if name in found.added else '   '}  {name:<{width}}  {text}"
        for name, text in found.pinned.items()
    ]
    told += [f"refused  {text}" for text in found.refused.values()]
    return [
        *told,
        f"{found.instruments} instruments have a contract, {len(found.pinned)} contracts are pinned, {len(found.added)} of "
        f"them new, {len(found.refused)} refused; {found.path}",
    ]
