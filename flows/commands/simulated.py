"""``fund simulated reset | statement | transfer``: an account at the simulated broker, its statement, its money."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from engine.errors import ConfigurationError
from tasks.adapters.simulated_account import account_path, reset_account
from tasks.options import fund_home

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
group = typer.Typer(add_completion=False, no_args_is_help=True, help="The account at the simulated broker.")
application.add_typer(group, name="simulated")


@application.callback()
def _commands() -> None:
    """Commands about the simulated broker."""


@group.command()
def reset(
    account: Annotated[str | None, typer.Option(help="account; needed when there are several")] = None,
    even_with_positions: Annotated[
        bool, typer.Option("--even-with-positions", help="also when the account is not flat")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="confirm without being asked")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> int:
    """Delete the simulated broker's file of an account; refused while it holds positions or working orders."""
    import sys

    path = _chosen(account)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise ConfigurationError(f"expected --yes to delete {path}, found nobody to ask; nothing changed")
        typer.confirm(f"Delete {path}?", abort=True)
    reset_account(path, even_with_positions=even_with_positions)
    told = (
        f"{path.stem} is deleted at the simulated broker. The fund's book of it stays in {fund_home()} and will not "
        "agree with a new account: the next run halts. For a fresh fund set FUND_HOME to another folder."
    )
    typer.echo(json.dumps({"account": path.stem, "deleted": str(path), "note": told}) if as_json else told)
    return 0


@group.command()
def statement(
    day: Annotated[str, typer.Argument(metavar="DATE", help="last day of the statement, YYYY-MM-DD")],
    first: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="first day; default: the same")
    ] = None,
    account: Annotated[str | None, typer.Option(help="account; needed when there are several")] = None,
    out: Annotated[Path | None, typer.Option(help="file to write; default: standard output")] = None,
) -> int:
    """Write the broker's statement of whole UTC days as Flex XML: trades, cash, positions and cash report."""
    from zoneinfo import ZoneInfo

    from flows.accounts import newest_world
    from flows.book import open_book
    from flows.commands.trading import parse_day
    from tasks.adapters.flex_writing import write_flex
    from tasks.adapters.simulated_statement import simulated_statement

    path, last, begins = _chosen(account), parse_day(day, "DATE"), parse_day(first or day, "--from")
    if last is None or begins is None:
        raise ConfigurationError(
            "expected the days of a statement, found none; give its last day as YYYY-MM-DD"
        )
    with open_book() as book:
        world = newest_world(book, path.stem)
    try:
        zone = ZoneInfo(world.configuration.settings.statement.time_zone)
        content = write_flex(
            simulated_statement(path, world.broker.terms, begins, last), zone, world.contracts
        )
    finally:
        world.close()
    if out is None:
        typer.echo(content.decode(), nl=False)
    else:
        out.write_bytes(content)
        typer.echo(f"the statement of {path.stem} for {begins} to {last} is in {out}")
    return 0


@group.command()
def transfer(
    amount: Annotated[str, typer.Argument(help="money that comes; with --out it leaves")],
    currency: Annotated[str, typer.Option(help="currency of the money")] = "USD",
    out: Annotated[bool, typer.Option("--out", help="the money leaves the account")] = False,
    account: Annotated[str | None, typer.Option(help="account; needed when there are several")] = None,
) -> int:
    """Let money come to the simulated account, or leave it, as a bank transfer would."""
    from decimal import Decimal, InvalidOperation

    from engine.simulation.interventions import transfer_cash
    from flows.accounts import newest_world
    from flows.book import open_book

    try:
        money = Decimal(amount)
    except InvalidOperation:
        money = Decimal("NaN")
    if not money.is_finite() or money <= 0:
        raise ConfigurationError(f"expected a positive amount, found {amount!r}; --out lets it leave")
    path = _chosen(account)
    with open_book() as book:
        world = newest_world(book, path.stem)
    try:
        transfer_cash(world.broker, currency, -money if out else money)
    finally:
        world.close()
    typer.echo(f"{money:,.2f} {currency} {'left' if out else 'came to'} {path.stem}")
    return 0


def _chosen(account: str | None) -> Path:
    """File of the account; raises `ConfigurationError` that lists what there is."""
    home = fund_home()
    known = sorted(path.stem for path in (home / "simulated").glob("*.sqlite"))
    name = account if account is not None else (known[0] if len(known) == 1 else None)
    if name is None or name not in known:
        raise ConfigurationError(
            f"expected a simulated account of {home}, found {account or 'no choice'}; there are "
            f"{', '.join(known) or 'none'}: give one with --account"
        )
    return account_path(home, name)
