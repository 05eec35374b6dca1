"""``fund statement``: match the broker's statement with the book, book what is explained, assign what was lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.runtime import World
    from tasks.statement import ImportedLine, StatementImport

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
group = typer.Typer(add_completion=False, no_args_is_help=True, help="Statements of the broker.")
application.add_typer(group, name="statement")


@application.callback()
def _commands() -> None:
    """Commands about the broker's statements."""


@group.command("import")
def import_file(
    file: Annotated[
        Path, typer.Argument(help="Flex XML of one account: trades, cash, positions, cash report")
    ],
    account: Annotated[str | None, typer.Option(help="account; needed when there are several")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> int:
    """Match every row with the book and book what is explained and configured; the same file again changes nothing."""
    from tasks.statement import import_statement

    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"expected a statement in {file}, found {error.strerror}") from error
    with world_of(account) as world:
        result = import_statement(world, content)
    if as_json:
        typer.echo(json.dumps(_as_json(result), indent=2))
    else:
        for line in _told(result):
            typer.echo(line)
    return 0


@group.command("assign")
def assign(
    execution: Annotated[str, typer.Argument(help="id of an execution that no sleeve has")],
    shares: Annotated[
        list[str], typer.Argument(help="SLEEVE for all of it, or SLEEVE=QUANTITY several times, signed")
    ],
    account: Annotated[str | None, typer.Option(help="account; needed when there are several")] = None,
) -> int:
    """Give an execution whose order was lost to the sleeves that had asked for it, at its own price."""
    from tasks.assigning import assign_execution

    wanted = dict(_share(text) for text in shares)
    if len(wanted) != len(shares) or (len(wanted) > 1 and None in wanted.values()):
        raise ConfigurationError("expected each sleeve once, with its quantity where there are several")
    with world_of(account) as world:
        entries = assign_execution(world, execution, wanted)
    for entry in entries:
        moved = entry.lines[0]
        typer.echo(f"{moved.account.partition(':')[2]}: {moved.amount:+f} {moved.unit} at {entry.price}")
    return 0


def _share(text: str) -> tuple[str, Decimal | None]:
    name, given, quantity = text.partition("=")
    try:
        return name, Decimal(quantity) if given else None
    except InvalidOperation as error:
        raise ConfigurationError(f"expected SLEEVE or SLEEVE=QUANTITY, found {text}") from error


@contextmanager
def world_of(account: str | None) -> Iterator[World]:
    """The world of an account, the only one or a named one, closed at the end."""
    from flows.accounts import chosen_accounts, newest_world
    from flows.book import open_book

    with open_book() as book:
        names = chosen_accounts(book, account)
        if len(names) != 1:
            raise ConfigurationError(
                f"expected one account, found {', '.join(names) or 'none'}; choose with --account"
            )
        world = newest_world(book, names[0])
    try:
        yield world
    finally:
        world.close()


def _as_json(result: StatementImport) -> dict[str, object]:
    statement = result.statement
    return {
        "account": statement.account,
        "first": statement.first.isoformat(),
        "last": statement.last.isoformat(),
        "digest": result.file_digest,
        "lines": [_line_json(imported) for imported in result.lines],
        "orders": [
            {
                "order_ref": fate.order_ref,
                "contract": fate.contract_id,
                "status": "UNKNOWN" if fate.status is None else fate.status.value,
                "text": fate.text,
            }
            for fate in result.orders
        ],
    }


def _line_json(imported: ImportedLine) -> dict[str, object]:
    line = imported.line
    return {
        "row": line.row_id,
        "finding": line.finding.value,
        "outcome": imported.outcome,
        "text": line.text,
        "amount": f"{line.amount:f}",
        "currency": line.currency,
    }


def _told(result: StatementImport) -> list[str]:
    """What was booked and what is left, line by line; what agrees is only counted."""
    from tasks.statement import BOOKED, LEFT, MATCHED

    statement = result.statement
    told = [
        f"{statement.account}, {statement.first} to {statement.last}: {result.count(MATCHED)} lines agree with the "
        f"book, {result.count(BOOKED)} were booked, {result.count(LEFT)} are left to you"
    ]
    words = {BOOKED: "booked", LEFT: "left"}
    told += [
        f"  {words[imported.outcome]}: {imported.line.finding.value.replace('_', ' ')}: {imported.line.text}"
        for outcome in (BOOKED, LEFT)
        for imported in result.lines
        if imported.outcome == outcome
    ]
    return told + [
        f"  order {fate.order_ref} of {fate.contract_id}: "
        f"{'still UNKNOWN' if fate.status is None else fate.status.value}, {fate.text}"
        for fate in result.orders
    ]
