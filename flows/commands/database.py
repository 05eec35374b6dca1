"""``fund db upgrade | verify``: bring the book's database to this version, or look whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from config.environment import load_environment
from engine.errors import InvariantError
from flows.book import require_book
from state.database import Database, open_database, schema_version
from state.verification import count_rows, ledger_heads, verify
from tasks.options import fund_home

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
group = typer.Typer(add_completion=False, no_args_is_help=True, help="Upgrade or verify the book's database.")
application.add_typer(group, name="db")

AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@application.callback()
def _commands() -> None:
    """Commands about the database."""


@group.command()
def upgrade(as_json: AsJson = False) -> int:
    """Create the database, or migrate an older one; a newer one is refused with exit status 2."""
    with _opened() as database:
        name, version = _name(database), schema_version(database)
    if as_json:
        typer.echo(json.dumps({"database": name, "version": version}))
    else:
        typer.echo(f"{name} is at schema version {version}")
    return 0


@group.command("verify")
def verify_database(as_json: AsJson = False) -> int:
    """Check schema, keys, stored bytes, the ledger and the fills; ends with exit status 1 on any finding; it makes none."""
    require_book()
    with _opened() as database:
        name, findings, rows = _name(database), verify(database), count_rows(database)
        heads = ledger_heads(database) if not findings else ()
    if as_json:
        told = [{"subject": finding.subject, "detail": finding.detail} for finding in findings]
        last = {head.account: {"entries": head.entries, "hash": head.last_hash} for head in heads}
        typer.echo(json.dumps({"database": name, "rows": rows, "findings": told, "ledgers": last}))
    else:
        for finding in findings:
            typer.echo(f"{finding.subject}: {finding.detail}")
    if findings:
        raise InvariantError(
            f"expected a whole database at {name}, found {len(findings)} findings; send nothing before the backup"
            " or the broker's statement has settled them"
        )
    if not as_json:
        for head in heads:
            typer.echo(f"ledger {head.account}: {head.entries} entries, last hash {head.last_hash}")
        typer.echo(f"{name} is whole: {rows} rows, nothing found")
    return 0


@contextmanager
def _opened() -> Iterator[Database]:
    url = load_environment().database_url
    database = open_database(None if url is None else url.get_secret_value(), fund_home())
    try:
        yield database
    finally:
        database.close()


def _name(database: Database) -> str:
    """Address without its password."""
    return database.engine.url.render_as_string(hide_password=True)
