"""``fund status | resolve | halt | kill | report``: what an operator sees and does."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console

from engine.errors import ConfigurationError, RefusedError
from engine.model.encoding import to_json
from engine.model.halts import HaltChoice
from flows.commands.errors import EXIT_DONE, EXIT_UNEXPECTED

if TYPE_CHECKING:
    from flows.book import Book
    from state.halts import HaltRecord

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Reason = Annotated[str, typer.Option(help="why, for the record")]
Operator = Annotated[
    str,
    typer.Option(help="who decides; default: the user of this computer, but an EMERGENCY needs a name"),
]
Account = Annotated[str | None, typer.Option(help="one account; without it, all of this FUND_HOME")]


@application.command()
def status(account: Account = None, as_json: AsJson = False) -> int:
    """What ran, what is halted, what is held, and what comes next."""
    from flows.accounts import chosen_accounts
    from flows.book import open_book
    from flows.commands.situation import print_situation, situation

    with open_book() as book:
        found = [situation(book, name) for name in chosen_accounts(book, account)]
    if as_json:
        typer.echo(json.dumps([to_json(item) for item in found], indent=2))
        return 0
    for item in found:
        print_situation(item, Console())
    return 0


@application.command()
def resolve(
    halt_id: Annotated[str, typer.Argument(help="id of the halt, as `fund status` lists it")],
    choice: Annotated[HaltChoice, typer.Option(help="what to do; the halt lists which are allowed")],
    reason: Reason,
    operator: Operator = "",
    mark: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTRACT=PRICE", help="price for mark-manually or write-down, repeatable"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="confirm without being asked")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what a choice does to NAV and orders, ask, then resolve the halt."""
    from flows.accounts import world_of_halt
    from flows.commands.effect import effect_json, print_effect, print_halt
    from tasks.day import marks_in
    from tasks.resolution import apply, preview

    given = {**marks_in(reason), **_marks(mark or ())}
    with world_of_halt(halt_id) as world:
        operator = _resolver(world.halts.halt(halt_id), operator)
        halt = world.halts.require_resolvable(halt_id, choice, reason, operator)
        effect = preview(world, halt_id, choice, given)
        if not as_json:
            console = Console()
            print_halt(halt, console)
            print_effect(effect, console)
        require_confirmation(halt_id, yes=yes, can_ask=not as_json and sys.stdin.isatty())
        apply(world, halt_id, choice, reason, operator, given, shown=effect)
    if as_json:
        typer.echo(json.dumps({**effect_json(effect), "status": "RESOLVED"}, indent=2))
    else:
        typer.echo(f"{halt_id} is resolved with {choice.value}; ./fund resume goes on with the day")
    return 0


@application.command()
def halt(
    reason: Reason,
    operator: Operator = "",
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Stop all new orders now; `fund resolve` lets them go on."""
    from flows.accounts import chosen_accounts, stop_account
    from flows.book import open_book

    require_reason(reason)
    person = operator.strip() or _user()
    with open_book() as book:
        halts = {name: stop_account(book, name, reason, person) for name in chosen_accounts(book, account)}
        effects = _effects(book, halts)
    lines = [
        f"{name}: HALT {effects[name].text}: only cancels leave; "
        f'./fund resolve {halt_id} --choice retry --reason "why" ends it'
        for name, halt_id in halts.items()
    ]
    _tell(halts, lines, as_json=as_json)
    return _pending(effects)


@application.command()
def kill(
    reason: Reason,
    release: Annotated[bool, typer.Option("--release", help="take the switch back")] = False,
    operator: Operator = "",
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Set the kill switch: a row that the send gate reads, so it works with everything else down."""
    from flows.accounts import chosen_accounts
    from flows.book import open_book
    from tasks.day import wall_clock

    require_reason(reason)
    person = operator if release else operator.strip() or _user()
    states = {}
    with open_book() as book:
        for name in chosen_accounts(book, account):
            change = book.control.release_kill_switch if release else book.control.engage_kill_switch
            states[name] = change(name, reason, person, wall_clock()).state.value
        effects = _effects(book, states)
    word = "released" if release else "set"
    lines = [f"{name}: kill switch {word}, {state}; {effects[name].text}" for name, state in states.items()]
    _tell(states, lines, as_json=as_json)
    return EXIT_DONE if release else _pending(effects)


@application.command()
def report(
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="default: the last day")
    ] = None,
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Print the report of a day again, and say where its page is."""
    from flows.accounts import chosen_accounts, world_of_account
    from flows.book import open_book
    from flows.commands.terminal import print_report
    from flows.commands.trading import parse_day
    from tasks.adapters.report_json import to_result_json
    from tasks.reporting import build_report, report_paths

    wanted = parse_day(day, "--date")
    with open_book() as book:
        name = _one_account(chosen_accounts(book, account))
        dates = sorted({run.key.trade_date for run in book.runs.runs(name)})
        chosen = _reported_date(dates, wanted, name)
        world = world_of_account(book, name, chosen)
    try:
        found, page = build_report(world, chosen), report_paths(world, chosen).page
    finally:
        world.close()
    shown = str(page) if page.exists() else None
    if as_json:
        typer.echo(json.dumps(to_result_json(found, shown or ""), indent=2, ensure_ascii=False))
    else:
        print_report(found, Console(), shown)
    return 0


def _resolver(halt: HaltRecord | None, operator: str) -> str:
    """Who resolves a halt: an EMERGENCY takes nobody who was not named."""
    from state.halts import HaltSeverity

    is_emergency = halt is None or halt.severity is HaltSeverity.EMERGENCY
    return operator if is_emergency else operator.strip() or _user()


def _user() -> str:
    """Name of this computer's user, empty where the user has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account of a container that no password file lists
        return ""


def _marks(texts: Sequence[str]) -> Mapping[str, Decimal]:
    """Prices of ``--mark CONTRACT=PRICE``; raises `ConfigurationError` on anything else."""
    marks = {}
    for text in texts:
        name, _, price = text.partition("=")
        try:
            marks[name] = Decimal(price)
        except InvalidOperation:
            marks[name] = Decimal("NaN")
        if not name or not marks[name].is_finite():
            raise ConfigurationError(
                f"expected --mark CONTRACT=PRICE, for example AAPL=187.50, found {text!r}"
            )
    return marks


def require_confirmation(subject: str, *, yes: bool, can_ask: bool) -> None:
    """Ask the person; raises `ConfigurationError` where nobody can be asked and `typer.Abort` on a no."""
    if yes:
        return
    if not can_ask:
        raise ConfigurationError(
            f"expected --yes to resolve {subject} without a terminal to ask, found none; nothing changed"
        )
    typer.confirm("Make this choice?", abort=True)


class _Effect(NamedTuple):
    """What is told of a change of what may leave, and whether it holds by now."""

    text: str
    holds: bool


def _effects(book: Book, accounts: Iterable[str]) -> Mapping[str, _Effect]:
    from flows.commands.situation import in_effect

    found = {name: book.control.control(name) for name in accounts}
    return {name: _Effect(in_effect(book, row), row.is_effective) for name, row in found.items()}


def _pending(effects: Mapping[str, _Effect]) -> int:
    """Say of every stop that does not hold yet what to do; such a command has not done what it is for."""
    waiting = [name for name, effect in effects.items() if not effect.holds]
    for name in waiting:
        print(
            f"fund: {name}: {effects[name].text}; give the command again, or end that process",
            file=sys.stderr,
        )
    return EXIT_UNEXPECTED if waiting else EXIT_DONE


def person(operator: str) -> str:
    """Who decides: who was named, else the user of this computer."""
    return operator.strip() or _user()


def require_reason(reason: str) -> None:
    """Raise `ConfigurationError` for an empty reason."""
    if not reason.strip():
        raise ConfigurationError("expected a reason for the record, found an empty one; give --reason WHY")


def _one_account(accounts: Sequence[str]) -> str:
    """The account of the latest run stands first."""
    if not accounts:
        raise RefusedError("expected a run to report, found none; start one with ./fund run")
    return accounts[0]


def _reported_date(dates: Sequence[date], wanted: date | None, account: str) -> date:
    if wanted is None:
        return dates[-1]
    if wanted not in dates:
        raise ConfigurationError(
            f"expected a date that {account} ran, {dates[0]} to {dates[-1]}, found {wanted}; `fund status` lists runs"
        )
    return wanted


def _tell(result: Mapping[str, str], lines: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(dict(result), indent=2))
        return
    for line in lines:
        typer.echo(line)
