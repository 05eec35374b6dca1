"""``fund orders``: what is open, what is in doubt and what its proof misses; ``resolve`` decides one with evidence."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from engine.errors import ConfigurationError
from engine.model.encoding import to_json
from flows.commands.effect import number
from flows.commands.operating import Account, AsJson, Operator, Reason

if TYPE_CHECKING:
    from flows.book import Book
    from tasks.order_doubts import GivenEvidence, OrderResolution
    from tasks.order_list import OrderLine

application = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
group = typer.Typer(
    add_completion=False, invoke_without_command=True, help="Orders: open, in doubt, and lately ended."
)
application.add_typer(group, name="orders")


@application.callback()
def _commands() -> None:
    """Commands about orders."""


@group.callback()
def list_orders(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="list every order that ended, too")] = False,
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Orders in doubt first, with what a proof of their absence misses, then open ones, then the latest that ended."""
    if context.invoked_subcommand is not None:
        return 0
    from flows.accounts import chosen_accounts
    from flows.book import open_book

    with open_book() as book:
        found = {name: _lines(book, name, everything=everything) for name in chosen_accounts(book, account)}
    if as_json:
        told = [
            {"account": name, "orders": [to_json(line) for line in lines]} for name, lines in found.items()
        ]
        typer.echo(json.dumps(told, indent=2))
        return 0
    for name, lines in found.items():
        _print(name, lines)
    return 0


@group.command()
def resolve(
    order_ref: Annotated[
        str, typer.Argument(help="reference of an order in doubt, as `fund orders` lists it")
    ],
    evidence: Annotated[
        str,
        typer.Option(
            metavar="FILE|TEXT",
            help="a statement of the broker that covers its life, or what the broker told you in words",
        ),
    ],
    reason: Reason,
    operator: Operator = "",
    account: Account = None,
    yes: Annotated[bool, typer.Option("--yes", help="confirm without being asked")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what the evidence proves of an order and what follows, ask, then write it down."""
    from flows.commands.operating import person, require_confirmation, require_reason
    from flows.commands.statement import world_of
    from tasks.order_doubts import preview_resolution, resolve_order

    require_reason(reason)
    given = _given(evidence, reason, person(operator))
    with world_of(account) as world:
        shown = preview_resolution(world, order_ref, given)
        if not as_json:
            for line in _effect(shown):
                Console().print(line, markup=False, highlight=False)
        require_confirmation(order_ref, yes=yes, can_ask=not as_json and sys.stdin.isatty())
        resolve_order(world, shown, given)
    if as_json:
        typer.echo(json.dumps(_effect_json(shown), indent=2))
    else:
        typer.echo(f"{order_ref} is {shown.status.value} now")
    return 0


def _given(evidence: str, reason: str, operator: str) -> GivenEvidence:
    """A file is read as a statement; anything else that names no file is a person's word."""
    from engine.model.absence import Attestation
    from tasks.order_doubts import GivenEvidence

    if not evidence.strip():
        raise ConfigurationError(
            "expected evidence, found none; give --evidence with a statement or in words"
        )
    attestation = Attestation(text=evidence.strip(), operator=operator, reason=reason.strip())
    path = Path(evidence)
    if " " not in evidence.strip() or os.path.isfile(evidence):  # a letter is too long for a `Path` to ask
        try:
            return GivenEvidence(attestation=attestation, content=path.read_bytes())
        except OSError as error:
            raise ConfigurationError(
                f"expected a statement in {evidence}, or evidence in words, found {error.strerror}"
            ) from error
    return GivenEvidence(attestation=attestation)


def _lines(book: Book, account: str, *, everything: bool) -> tuple[OrderLine, ...]:
    from config.universe import load_venues
    from engine.model.absence import AbsencePolicy
    from tasks.adapters.simulated_account import account_path, account_time
    from tasks.day import wall_clock
    from tasks.options import fund_home
    from tasks.order_list import order_lines

    policy = AbsencePolicy(broker_zone=load_venues().broker_zone)
    now = account_time(account_path(fund_home(), account)) or wall_clock()
    return order_lines(book.database, account, policy, now, everything=everything)


def _print(account: str, lines: tuple[OrderLine, ...]) -> None:
    doubted = [line for line in lines if line.missing]
    console = Console()
    console.print(
        f"{account}: {len(doubted)} in doubt, {len(lines)} listed",
        style="bold",
        markup=False,
        highlight=False,
    )
    for line in lines:
        for text in _told(line):
            console.print(text, markup=False, highlight=False)


def _told(line: OrderLine) -> list[str]:
    age = "never sent" if line.age_seconds is None else f"sent {_age(line.age_seconds)} ago"
    known = f"; {line.known}" if line.known else ""
    by = f"; resolved by {line.decided_by}: {line.reason}" if line.decided_by else ""
    told = [
        f"{line.order_ref}  {line.status:<14} {line.side} {number(line.filled)} of {number(line.quantity)} "
        f"{line.contract_id} at {number(line.limit_price)}, {age}{known}{by}"
    ]
    told += [f"    proof misses {text}" for text in line.missing]
    if line.missing:
        told.append(f"    decide it: ./fund orders resolve {line.order_ref} --evidence FILE --reason WHY")
    return told


def _age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"


def _effect(shown: OrderResolution) -> list[str]:
    child = shown.record.child
    told = [
        f"{child.order_ref}: {child.side.value} {number(child.quantity)} {child.contract_id} at "
        f"{number(child.limit_price)}",
        f"  {shown.record.status.value} becomes {shown.status.value}: {shown.text}",
    ]
    told += [
        f"  books {fill.execution_id}: {fill.side.value} {number(fill.quantity)} {fill.contract_id} at {fill.price:f}"
        for fill in shown.executions
    ]
    told += [
        f"  {held.contract_id}: book {number(held.ours)}, broker {number(held.broker)}"
        for held in shown.evidence.looks[-1].positions
    ]
    return [*told, f"  quantity that is free again: {number(shown.freed)}"]


def _effect_json(shown: OrderResolution) -> dict[str, object]:
    return {
        "order_ref": shown.record.child.order_ref,
        "status": shown.status.value,
        "text": shown.text,
        "executions": [fill.execution_id for fill in shown.executions],
        "freed": f"{shown.freed:f}",
        "operator": "" if shown.evidence.attestation is None else shown.evidence.attestation.operator,
    }
