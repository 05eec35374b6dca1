"""``fund investors subscribe | redeem | list | withdraw``: orders of investors, dealt at the official NAV per unit."""

from __future__ import annotations

import getpass
import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from engine.accounting.investors import FlowKind, FlowState, InvestorOrder
from engine.errors import ConfigurationError, RefusedError
from engine.model.encoding import decimal_text

if TYPE_CHECKING:
    from flows.book import Book
    from tasks.investors import OrderState

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
group = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Money of investors. A subscription is dealt at the first close from its value date on at which its money is "
    "at the broker, a redemption at the close of its value date; each at that close's NAV per unit. The money is "
    "booked when it is seen at the broker.",
)
application.add_typer(group, name="investors")

Amount = Annotated[str, typer.Argument(help="amount of money, such as 250000 or 99999.50")]
CurrencyCode = Annotated[str, typer.Option(help="currency of the money")]
ValueDate = Annotated[
    str, typer.Option("--value-date", metavar="YYYY-MM-DD", help="first day at whose close it may be dealt")
]
Investor = Annotated[str, typer.Option(help="who gives the order")]
Evidence = Annotated[str, typer.Option(help="what proves it: a form, a letter, a transfer's reference")]
Account = Annotated[str | None, typer.Option(help="account; needed when there are several")]
_TOO_MUCH = 1_000_000_000_000
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@application.callback()
def _commands() -> None:
    """Commands about investors."""


@group.command()
def subscribe(
    amount: Amount,
    investor: Investor,
    value_date: ValueDate,
    evidence: Evidence,
    currency: CurrencyCode = "USD",
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Enter a subscription; it waits until its money is at the broker."""
    form = _Form(
        kind=FlowKind.SUBSCRIPTION,
        amount=amount,
        currency=currency,
        value_date=value_date,
        investor=investor,
        evidence=evidence,
    )
    return _give(form, account, as_json=as_json)


@group.command()
def redeem(
    amount: Amount,
    investor: Investor,
    value_date: ValueDate,
    evidence: Evidence,
    currency: CurrencyCode = "USD",
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Enter a redemption; its units are cancelled at the close of its value date, and the fund owes the money."""
    form = _Form(
        kind=FlowKind.REDEMPTION,
        amount=amount,
        currency=currency,
        value_date=value_date,
        investor=investor,
        evidence=evidence,
    )
    return _give(form, account, as_json=as_json)


@group.command("list")
def list_orders(account: Account = None, as_json: AsJson = False) -> int:
    """Every order with how far it has come."""
    from flows.book import open_book
    from tasks.investors import order_states

    with open_book() as book:
        states = order_states(book.database, book.ledger, _account(book, account))
    if as_json:
        typer.echo(json.dumps([_json(state) for state in states], indent=2))
        return 0
    if not states:
        typer.echo("no orders of investors")
    for state in states:
        typer.echo(_line(state))
    return 0


@group.command()
def withdraw(
    order_id: Annotated[str, typer.Argument(help="id of the order, as `fund investors list` shows it")],
    reason: Annotated[str, typer.Option(help="why, for the record")],
    account: Account = None,
    as_json: AsJson = False,
) -> int:
    """Take an order back of which nothing was booked yet."""
    from flows.book import open_book
    from state.investors import InvestorStore
    from tasks.day import wall_clock
    from tasks.investors import order_states

    _require(reason, "a reason for the record", "--reason WHY")
    with open_book() as book:
        name = _account(book, account)
        found = [
            row for row in order_states(book.database, book.ledger, name) if row.order.order_id == order_id
        ]
        if found and found[0].state not in (FlowState.PENDING, FlowState.WITHDRAWN):
            raise RefusedError(
                f"expected an order of which nothing is booked, found {order_id}: {found[0].state.value}; nothing changed"
            )
        InvestorStore(book.database).withdraw(name, order_id, reason, _user(), wall_clock())
    typer.echo(
        json.dumps({"order_id": order_id, "state": "WITHDRAWN"}) if as_json else f"{order_id} is withdrawn"
    )
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """An order as it was typed."""

    kind: FlowKind
    amount: str
    currency: str
    value_date: str
    investor: str
    evidence: str


def _give(form: _Form, account: str | None, *, as_json: bool) -> int:
    from engine.model.money import Money
    from flows.book import open_book
    from flows.commands.trading import parse_day
    from state.investors import InvestorStore
    from tasks.day import wall_clock
    from tasks.investors import order_id, require_open_day

    _require(form.investor, "an investor", "--investor NAME")
    _require(form.evidence, "evidence", "--evidence WHAT")
    day = parse_day(form.value_date, "--value-date")
    if day is None:
        raise ConfigurationError("expected a value date, found none; give --value-date YYYY-MM-DD")
    with open_book() as book:
        name = _account(book, account)
        require_open_day(book.runs, name, day)
        money = Money(amount=_positive(form.amount), currency=_known_currency(book, name, day, form.currency))
        order = InvestorOrder(
            order_id=order_id(name, form.kind, form.investor, money, day, form.evidence),
            kind=form.kind,
            investor=form.investor.strip(),
            money=money,
            value_date=day,
            evidence=form.evidence.strip(),
        )
        InvestorStore(book.database).give(name, order, _user(), wall_clock())
    if as_json:
        typer.echo(json.dumps({"order_id": order.order_id, "account": name, "state": FlowState.PENDING.name}))
    else:
        typer.echo(
            f"{order.order_id}: {form.kind.value.lower()} of {money.amount:,.2f} {money.currency} by {order.investor}, "
            f"to be dealt from the close of {day} on"
        )
    return 0


def _account(book: Book, account: str | None) -> str:
    from flows.accounts import chosen_accounts

    names = chosen_accounts(book, account)
    if len(names) != 1:
        raise ConfigurationError(
            f"expected one account, found {', '.join(names) or 'none'}; choose with --account"
        )
    return names[0]


def _known_currency(book: Book, account: str, day: date, currency: str) -> str:
    """A currency that the account has rates for; raises `ConfigurationError` on another, which no close could deal."""
    from config.settings import load_settings
    from flows.accounts import options_of_account

    options = options_of_account(book, account, day)
    settings = load_settings(options.profile, options.overrides)
    known = settings.execution_phase2.carry_realism.financing.default_cash_rate_by_ccy
    if currency not in known:
        raise ConfigurationError(f"expected a currency among {', '.join(sorted(known))}, found {currency}")
    return currency


def _positive(text: str) -> Decimal:
    """Money with at most cents; raises `ConfigurationError` on anything else, and on more than there is anywhere."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount < _TOO_MUCH or amount != round(amount, 2):
        raise ConfigurationError(
            f"expected a positive amount below {_TOO_MUCH:,} with at most two decimals, found {text!r}"
        )
    return amount


def _require(text: str, what: str, option: str) -> None:
    if not text.strip():
        raise ConfigurationError(f"expected {what}, found nothing; give {option}")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account of a container that no password file lists
        return ""


def _json(state: OrderState) -> dict[str, object]:
    order = state.order
    return {
        "order_id": order.order_id,
        "kind": order.kind.value,
        "investor": order.investor,
        "amount": decimal_text(order.money.amount),
        "currency": order.money.currency,
        "value_date": order.value_date.isoformat(),
        "evidence": order.evidence,
        "state": state.state.name,
        "units": None if state.units is None else decimal_text(state.units),
        "unit_price": None if state.unit_price is None else decimal_text(state.unit_price),
    }


def _line(state: OrderState) -> str:
    order = state.order
    dealt = "" if state.units is None else f", {state.units:+,f} units at {state.unit_price:,.6f} USD"
    return (
        f"{order.order_id}  {order.kind.value.lower():<12} {order.money.amount:>16,.2f} {order.money.currency}  "
        f"{order.value_date}  {order.investor}: {state.state.value}{dealt}"
    )
