"""``fund ui``: Prefect's pages, a worker and our deployments, in one command, on the loopback."""

from __future__ import annotations

import json
import signal
import time
from types import FrameType
from typing import Annotated

import typer

from engine.errors import FundError

application = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

DEPLOYMENTS = ("daily-decision", "execution", "end-of-day", "resolve-halt")


@application.callback()
def _commands() -> None:
    """Commands about Prefect's pages."""


@application.command()
def ui(
    port: Annotated[int, typer.Option(min=1024, max=65535, help="port on 127.0.0.1")] = 4200,
    as_json: Annotated[bool, typer.Option("--json", help="print the addresses as JSON")] = False,
) -> int:
    """Start the Prefect server, a worker and the deployments; Ctrl-C stops them all."""
    from flows.interface import running_interface

    def say(text: str) -> None:
        if not as_json:
            typer.echo(text)

    signal.signal(signal.SIGTERM, _stop_as_by_keyboard)
    with running_interface(port, say) as interface:
        told = {"page": interface.page, "api": interface.api, "deployments": list(DEPLOYMENTS)}
        typer.echo(json.dumps(told) if as_json else _text(interface.page))
        try:
            while not interface.ended():
                time.sleep(0.5)
        except KeyboardInterrupt:
            say("stopping")
            return 0
        raise FundError(
            f"expected server and worker to run until Ctrl-C, found that {interface.ended()} ended; "
            "the folder logs of FUND_HOME says why"
        )


def _stop_as_by_keyboard(_number: int, _frame: FrameType | None) -> None:
    """A plain kill ends the children like Ctrl-C does."""
    raise KeyboardInterrupt


def _text(page: str) -> str:
    return (
        f"{page} shows runs, artifacts and deployments ({', '.join(DEPLOYMENTS)}); a HALT is resolved with "
        "resolve-halt, then Retry on the halted run. Ctrl-C stops everything."
    )
