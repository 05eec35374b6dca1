"""``fund gateway``: a broker's gateway of our own, which the Interactive Brokers client connects to."""

from __future__ import annotations

import errno
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.adapters.simulated_gateway.gateway import Gateway
    from tasks.gateway import GatewayOptions

application = typer.Typer(add_completion=False, no_args_is_help=False, pretty_exceptions_enable=False)
CLOCKS = ("real", "virtual")
HIGHEST_PORT = 65535
LOOPBACK = "127.0.0.1"


@application.callback()
def _commands() -> None:
    """Commands of the gateway; with one command and no callback its name would be read as its argument."""


@application.command()
def gateway(  # noqa: PLR0913, PLR0917  one parameter an option: that is how the command line is declared
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=HIGHEST_PORT, help="port for clients; 0 takes a free one")
    ] = 4002,
    control_port: Annotated[
        int,
        typer.Option(
            min=0,
            max=HIGHEST_PORT,
            help="port of the control interface on the loopback; 0 takes a free one",
        ),
    ] = 0,
    account: Annotated[
        str, typer.Option(help="name of the account; a paper account begins with DU")
    ] = "DU1234567",
    profile: Annotated[str, typer.Option(help="profile whose instruments and costs it has")] = "paper",
    seed: Annotated[int, typer.Option(min=0, help="seed of the generated market and of the exchange")] = 1,
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
    json_flag: Annotated[
        bool, typer.Option("--json", help="say where it listens as one line of JSON")
    ] = False,
) -> int:
    """Serve the TWS protocol to clients, and a control interface that drives its clock and its faults."""
    from flows.commands.trading import parse_day
    from tasks.gateway import KNOWN_AHEAD, GatewayOptions, start_of

    if clock not in CLOCKS:
        raise ConfigurationError(
            f"expected a clock among {', '.join(CLOCKS)}, found {clock!r}; give another --clock"
        )
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
    return serve(options, host, (port, control_port), as_json=json_flag)


def serve(options: GatewayOptions, host: str, ports: tuple[int, int], *, as_json: bool = False) -> int:
    """Serve until the process is asked to end; the answer is its exit status.

    Raises `ConfigurationError` for a port that is taken or named twice, before an account is opened, `RefusedError` while another
    process serves the account, and `SupersededError` when one wrote into its file all the same.
    """
    import asyncio
    import logging

    from tasks.gateway import served_alone

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if ports[0] == ports[1] != 0:
        raise ConfigurationError(
            f"expected two ports, found {ports[0]} for clients and for the control interface; give another --control-port"
        )
    require_free(host, ports[0], "--port")
    require_free(LOOPBACK, ports[1], "--control-port")
    with served_alone(options.account):
        return asyncio.run(_served(options, host, ports, as_json=as_json))


def require_free(host: str, port: int, option: str) -> None:
    """Raise `ConfigurationError` when nobody could listen there."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = "that something listens there already, perhaps another gateway"
        raise ConfigurationError(
            f"expected to listen on {host}:{port}, found {reason}; give another {option} or --host"
        ) from error


async def _served(options: GatewayOptions, host: str, ports: tuple[int, int], *, as_json: bool) -> int:
    import asyncio
    import signal

    from tasks.adapters.simulated_gateway.control import Control
    from tasks.adapters.simulated_gateway.server import GatewayServer
    from tasks.gateway import open_gateway, spare_the_collector

    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    gateway = open_gateway(options)
    spare_the_collector()
    server = GatewayServer(gateway, speed=options.speed or 1.0)
    try:
        await server.start(host, ports[0])
        server.failed = stopped.set
        control = await server.serve_beside(Control(server).serve, ports[1])
        told = _announced(gateway, host, (server.port, control), as_json=as_json)
        typer.echo(told)
        await stopped.wait()
        await server.stop()
        if server.failure is not None:
            raise server.failure
    except OSError as error:
        raise ConfigurationError(
            f"expected to listen on {host}:{ports[0]} and {LOOPBACK}:{ports[1]}, found {error}; take other ports"
        ) from error
    finally:
        gateway.close()
    return 0


def _announced(gateway: Gateway, host: str, ports: tuple[int, int], *, as_json: bool) -> str:
    account, now = gateway.broker.account, f"{gateway.now:%Y-%m-%d %H:%M:%S}Z"
    if as_json:
        named = {"host": host, "port": ports[0], "control_port": ports[1]}
        return json.dumps({"account": account, "now": now, **named})
    return (
        f"account {account} at {now}; clients: {host}:{ports[0]}; control: {LOOPBACK}:{ports[1]}; "
        "Control-C ends it"
    )
