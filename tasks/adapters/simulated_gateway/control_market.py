"""Commands of the control interface about what clients are shown of the market."""

from __future__ import annotations

from engine.errors import ConfigurationError
from tasks.adapters.simulated_gateway.control_asked import Asked, Told
from tasks.adapters.simulated_gateway.faults import (
    EVERY_CONTRACT,
    SYSTEM_TEXTS,
    MarketFault,
    MarketTrouble,
    Refusal,
)
from tasks.adapters.simulated_gateway.server import GatewayServer
from tasks.adapters.simulated_gateway.sessions import error

OTHER_SESSION = 10197


def hide_market_data(server: GatewayServer, asked: Asked) -> Told:
    """Show a ``kind`` of fault (none, delayed, frozen, competing, stale, crossed, one_sided with ``missing``, silent).

    Of a ``contract`` or of all; or answer every request by a ``code`` and ``text``. With neither, data again.
    """
    gateway, contract = server.gateway, asked.text("contract", EVERY_CONTRACT)
    if contract != EVERY_CONTRACT:
        gateway.facts.contract(contract)
    if asked.has("kind"):
        trouble = MarketTrouble(_kind(asked), gateway.now, _one_of(asked, "missing", ("ask", "bid")))
        gateway.faults.market_troubles[contract] = trouble
    elif asked.has("code"):
        gateway.faults.market_data = Refusal(asked.integer("code"), asked.text("text", "Injected"))
    else:
        gateway.faults.market_data = None
        _end_troubles(server, contract)
    return _told_streams(server)


def _kind(asked: Asked) -> MarketFault:
    return MarketFault(_one_of(asked, "kind", tuple(kind.value for kind in MarketFault)))


def _one_of(asked: Asked, name: str, known: tuple[str, ...]) -> str:
    """A text among some; the first of them when it is not given."""
    found = asked.text(name, known[0])
    if found not in known:
        raise ConfigurationError(f"{name}: expected one of {', '.join(known)}, found {found!r}")
    return found


def _end_troubles(server: GatewayServer, contract: str) -> None:
    troubles = server.gateway.faults.market_troubles
    for name in [name for name in troubles if contract in (EVERY_CONTRACT, name)]:
        del troubles[name]


def _told_streams(server: GatewayServer) -> Told:
    """Let every running stream show at once what has changed."""
    effects = server.gateway.ticks()
    server.dispatch(effects)
    return {"told": len(effects)}


def second_session(server: GatewayServer, asked: Asked) -> Told:
    """Let somebody else of the same user log in: market data goes there, while ``on``."""
    gateway = server.gateway
    if not asked.switch("on"):
        gateway.faults.market_troubles.pop(EVERY_CONTRACT, None)
        return _told_streams(server)
    gateway.faults.market_troubles[EVERY_CONTRACT] = MarketTrouble(MarketFault.COMPETING, gateway.now)
    server.dispatch(gateway.say_to_all(error(OTHER_SESSION, SYSTEM_TEXTS[OTHER_SESSION])))
    return _told_streams(server)
