"""``fund gateway``: a broker's gateway of our own, which the Interactive Brokers client connects to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.gateway import GatewayOptions

application = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
CLOCKS = ("real", "virtual")


@application.callback()
def _commands() -> None:
    """Commands of the gateway; with one command and no callback its name would be read as its argument."""


@application.command()
def gateway(  # noqa: PLR0913, PLR0917  one parameter an option: that is how the command line is declared
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port for clients; 0 takes a free one")] = 4002,
    control_port: Annotated[
        int, typer.Option(help="port of the control interface on the loopback; 0 takes a free one")
    ] = 0,
    account: Annotated[
        str, typer.Option(help="name of the account; a paper account begins with DU")
    ] = "DU1234567",
    profile: Annotated[str, typer.Option(help="profile whose instruments and costs it has")] = "fund",
    seed: Annotated[int, typer.Option(help="seed of the generated market and of the exchange")] = 1,
    store: Annotated[
        Path | None, typer.Option(metavar="DIR", help="market data store instead of a generated market")
    ] = None,
    clock: Annotated[
        str, typer.Option(help="real: time runs; virtual: it moves only by the control interface")
    ] = "real",
    speed: Annotated[float, typer.Option(help="seconds that pass in one, on the real clock")] = 1.0,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="date on which a new account begins; default: now"),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="DATE", help="last date of the market; default: 30 days on")
    ] = None,
    pence_ticks: Annotated[
        bool, typer.Option("--pence-ticks/--pound-ticks", help="unit of ticks where prices are in pence")
    ] = True,
    pence_executions: Annotated[
        bool,
        typer.Option(
            "--pence-executions/--pound-executions", help="unit of executions where prices are in pence"
        ),
    ] = True,
) -> int:
    """Serve the TWS protocol to clients, and a control interface that drives its clock and its faults."""
    from flows.commands.trading import parse_day
    from tasks.gateway import KNOWN_AHEAD, GatewayOptions, start_of

    if clock not in CLOCKS:
        raise ConfigurationError(f"expected a clock among {', '.join(CLOCKS)}, found {clock!r}")
    begins = start_of(parse_day(first, "--from"))
    options = GatewayOptions(
        first=begins,
        last=parse_day(until, "--until") or (begins + KNOWN_AHEAD).date(),
        profile=profile,
        account=account,
        store=store,
        seed=seed,
        speed=speed if clock == "real" else None,
        pence_ticks=pence_ticks,
        pence_executions=pence_executions,
    )
    return serve(options, host, (port, control_port))


def serve(options: GatewayOptions, host: str, ports: tuple[int, int]) -> int:
    """Serve until the process is asked to end; the answer is its exit status."""
    import asyncio
    import logging

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return asyncio.run(_served(options, host, ports))


async def _served(options: GatewayOptions, host: str, ports: tuple[int, int]) -> int:
    import asyncio
    import signal

    from tasks.adapters.simulated_gateway.control import Control
    from tasks.adapters.simulated_gateway.server import GatewayServer
    from tasks.gateway import open_gateway

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    gateway = open_gateway(options)
    server = GatewayServer(gateway, speed=options.speed or 1.0)
    try:
        await server.start(host, ports[0])
        control = await server.serve_beside(Control(server).serve, ports[1])
        typer.echo(
            f"account {options.account} at {gateway.now:%Y-%m-%d %H:%M:%S}Z; clients: {host}:{server.port}; "
            f"control: 127.0.0.1:{control}; Control-C ends it"
        )
        await stopped.wait()
        await server.stop()
    except OSError as error:
        raise ConfigurationError(
            f"expected to listen on {host}:{ports[0]} and 127.0.0.1:{ports[1]}, found {error}; take other ports"
        ) from error
    finally:
        gateway.close()
    return 0
