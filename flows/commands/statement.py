"""``fund statement import FILE``: match the broker's statement with the book, and book what is explained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigurationError

if TYPE_CHECKING:
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
    from flows.accounts import chosen_accounts, newest_world
    from flows.book import open_book
    from tasks.statement import import_statement

    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"expected a statement in {file}, found {error.strerror}") from error
    with open_book() as book:
        names = chosen_accounts(book, account)
        if len(names) != 1:
            raise ConfigurationError(
                f"expected one account, found {', '.join(names) or 'none'}; choose with --account"
            )
        world = newest_world(book, names[0])
    try:
        result = import_statement(world, content)
    finally:
        world.close()
    if as_json:
        typer.echo(json.dumps(_as_json(result), indent=2))
    else:
        for line in _told(result):
            typer.echo(line)
    return 0


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
