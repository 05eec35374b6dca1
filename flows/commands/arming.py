"""``fund arm``: leave to trade real money, for one account, one port and a limited time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from engine.errors import ConfigurationError

application = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)


@application.callback()
def _commands() -> None:
    """Commands of arming; with one command and no callback its name would be read as its argument."""


@application.command()
def arm(
    account: Annotated[str, typer.Option(help="account of real money, as FUND_IB_ACCOUNT will name it")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="port of its gateway")],
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="UTC, such as 2026-11-27T22:00; without it the leave is shown"),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="take the leave back now")] = False,
) -> int:
    """Give leave to trade an account in mode live, show it, or take it back; the secret is in FUND_ARM_KEY."""
    from tasks.arming import Wanted, arm_path, require_armed
    from tasks.arming import arm as give
    from tasks.broker_place import BrokerPlace
    from tasks.day import wall_clock
    from tasks.options import code_version, fund_home

    if end and until is not None:
        raise ConfigurationError(
            "expected --end to take the leave back, or --until to give it, found both; give one of them"
        )
    place = BrokerPlace(account=account, host="", port=port, control_port=None)
    wanted, now = Wanted(home=fund_home(), place=place, code_version=code_version()), wall_clock()
    if end:
        path = arm_path(wanted.home, account)
        path.unlink(missing_ok=True)
        typer.echo(f"{account} has no leave any more: {path} is gone")
        return 0
    if until is not None:
        give(wanted, _time(until), now)
    terms = require_armed(wanted, now)
    typer.echo(
        f"{terms.account} may be traded live on port {terms.port} until {terms.until:%Y-%m-%d %H:%M} UTC by code "
        f"{terms.code_version}; {arm_path(wanted.home, account)}"
    )
    return 0


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"expected --until as a time of UTC such as 2026-11-27T22:00, found {text!r}"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
