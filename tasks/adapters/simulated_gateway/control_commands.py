"""What the control interface can do: faults of the line, of the gateway and of the account, scripts, and questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.errors import ConfigurationError
from engine.model.orders import Fill
from engine.simulation.faults import clear, inject
from engine.simulation.interventions import change_execution, place_order
from engine.simulation.matching import refresh_interval
from tasks.adapters.simulated_gateway.control_asked import Asked, Told
from tasks.adapters.simulated_gateway.control_market import hide_market_data, second_session
from tasks.adapters.simulated_gateway.faults import SYSTEM_TEXTS, QuoteScript, Refusal
from tasks.adapters.simulated_gateway.messages import CLIENT_MESSAGES
from tasks.adapters.simulated_gateway.server import GatewayServer
from tasks.adapters.simulated_gateway.sessions import error

Command = Callable[[GatewayServer, Asked], Told]
LONGEST_DELAY = 3_600_000
"""Milliseconds."""

LINK_LOST, DATA_LOST, DATA_KEPT = 1100, 1101, 1102


# ---------------------------------------------------------------- the line


def _drop(server: GatewayServer, asked: Asked) -> Told:
    """Close connections (FIN), of a ``client_id`` or all."""
    return _hang_up(server, asked, reset=False)


def _reset(server: GatewayServer, asked: Asked) -> Told:
    """Reset connections (RST), of a ``client_id`` or all."""
    return _hang_up(server, asked, reset=True)


def _hang_up(server: GatewayServer, asked: Asked, *, reset: bool) -> Told:
    chosen = server.chosen(asked.client())
    for connection in chosen:
        connection.hang_up(reset=reset)
    return {"connections": len(chosen)}


def _freeze(server: GatewayServer, asked: Asked) -> Told:
    """Read and answer nothing, with connections open, of a ``client_id`` or all, new ones included."""
    if asked.client() is None:
        server.frozen = True
    chosen = server.chosen(asked.client())
    for connection in chosen:
        connection.freeze()
    return {"connections": len(chosen)}


def _thaw(server: GatewayServer, asked: Asked) -> Told:
    """End a freeze: what came meanwhile is read now."""
    server.frozen = False
    chosen = server.chosen(asked.client())
    for connection in chosen:
        connection.thaw()
    return {"connections": len(chosen)}


def _delay(server: GatewayServer, asked: Asked) -> Told:
    """Let every answer take ``milliseconds`` longer; 0 ends it."""
    server.delay_seconds = asked.integer("milliseconds", least=0, most=LONGEST_DELAY) / 1000
    return {}


# ---------------------------------------------------------------- the gateway


def _system(server: GatewayServer, asked: Asked) -> Told:
    """Tell all clients a ``code`` about the connection; from 1100 to 1101 or 1102 reports are lost.

    With 1101 every subscription of market data is lost too.
    """
    code = asked.integer("code")
    told = asked.text("text", SYSTEM_TEXTS.get(code, f"System message {code}"))
    if code in (LINK_LOST, DATA_LOST, DATA_KEPT):
        server.gateway.faults.link_is_down = code == LINK_LOST
    if code == DATA_LOST:
        server.gateway.lose_streams()
    effects = server.gateway.say_to_all(error(code, told))
    server.dispatch(effects)
    return {"told": len(effects)}


def _error(server: GatewayServer, asked: Asked) -> Told:
    """Tell a ``client_id`` a bare ``code`` about a ``request_id`` (of a request or an order); nothing else happens."""
    told = error(asked.integer("code"), asked.text("text", "Injected"), asked.integer("request_id", -1))
    effects = server.gateway.say_to(asked.integer("client_id"), [told])
    server.dispatch(effects)
    return {"told": len(effects)}


def _account(server: GatewayServer, asked: Asked) -> Told:
    """Show another account ``name``; without one the true one again."""
    server.gateway.faults.account = asked.text("name") if asked.has("name") else None
    return {"account": server.gateway.account_shown}


def _unanswered(server: GatewayServer, asked: Asked) -> Told:
    """Leave a ``request`` (by its name in the catalogue) unanswered for a number of ``times``."""
    name = asked.text("request")
    known = sorted(message.name for message in CLIENT_MESSAGES.values())
    if name not in known:
        raise ConfigurationError(f"expected a request among {', '.join(known)}, found {name!r}")
    server.gateway.faults.unanswered[name] = asked.times()
    return {}


def _refuse_orders(server: GatewayServer, asked: Asked) -> Told:
    """Answer the next orders (``times``) by a ``code`` and ``text``; they reach nobody."""
    refused = Refusal(asked.integer("code"), asked.text("text", "Order rejected - reason:injected"))
    server.gateway.faults.refused_orders += [refused] * asked.times()
    return {}


def _counted(name: str, told: str) -> Command:
    def command(server: GatewayServer, asked: Asked) -> Told:
        setattr(server.gateway.faults, name, asked.times())
        return {}

    command.__doc__ = told
    return command


def _commission_first(server: GatewayServer, asked: Asked) -> Told:
    """Tell commissions before their executions, while ``on``."""
    server.gateway.faults.commission_first = asked.switch("on")
    return {}


def _hold_barriers(server: GatewayServer, asked: Asked) -> Told:
    """Make requests of the time of a ``client_id`` barriers: each is answered by an ``advance`` that names it."""
    server.gateway.hold_barriers(asked.integer("client_id"))
    return {}


# ---------------------------------------------------------------- the account and the market


def _script(server: GatewayServer, asked: Asked) -> Told:
    """Show ``sizes`` of a ``contract``, one for each five seconds from now, at ``bid`` and ``ask`` where given."""
    gateway, name = server.gateway, asked.text("contract")
    gateway.facts.contract(name)
    gateway.facts.scripts[name] = QuoteScript(
        first=refresh_interval(gateway.now),
        sizes=asked.numbers("sizes"),
        bid=asked.number("bid") if asked.has("bid") else None,
        ask=asked.number("ask") if asked.has("ask") else None,
    )
    return {}


def _end_script(server: GatewayServer, asked: Asked) -> Told:
    """Let a ``contract`` show its own market again."""
    return {"ended": server.gateway.facts.scripts.pop(asked.text("contract"), None) is not None}


def _tell_execution(server: GatewayServer, fill: Fill) -> int:
    gateway = server.gateway
    known = gateway.orders.by_reference(fill.order_ref)
    answers = [gateway.orders.execution(fill), gateway.orders.commission(fill)]
    effects = gateway.say_to(0 if known is None else known.client_id, answers)
    server.dispatch(effects)
    return len(effects)


def _repeat_execution(server: GatewayServer, asked: Asked) -> Told:
    """Tell an ``execution`` and its commission again."""
    wanted = asked.text("execution")
    for fill in server.gateway.broker.executions():
        if fill.execution_id == wanted:
            return {"told": _tell_execution(server, fill)}
    raise ConfigurationError(f"expected a listed execution, found {wanted!r}")


def _correct_execution(server: GatewayServer, asked: Asked) -> Told:
    """Correct an ``execution`` to a ``quantity`` and ``price`` under the next suffix of its id, and tell it."""
    broker = server.gateway.broker
    fill = change_execution(
        broker, "corrected", asked.text("execution"), asked.number("quantity"), asked.number("price")
    )
    broker.commit()
    return {"execution": fill.execution_id, "told": _tell_execution(server, fill)}


def _foreign_order(server: GatewayServer, asked: Asked) -> Told:
    """Let another desk's order work: ``contract``, signed ``quantity``, ``limit``."""
    broker = server.gateway.broker
    place_order(
        broker, "another desk", asked.text("contract"), asked.number("quantity"), asked.number("limit")
    )
    broker.commit()
    return {}


def _fault(server: GatewayServer, asked: Asked) -> Told:
    """Let a scenario ``name`` of the simulated broker strike, once per virtual day."""
    return {"struck": inject(server.gateway.broker, asked.text("name"))}


def _clear(server: GatewayServer, asked: Asked) -> Told:
    """End a scenario ``name`` that lasts."""
    return {"ended": clear(server.gateway.broker, asked.text("name"))}


# ---------------------------------------------------------------- questions


def _status(server: GatewayServer, asked: Asked) -> Told:
    """The account, the gateway's time, its clients and its ``market``: seed and first date, or a store's digest."""
    gateway = server.gateway
    served = gateway.world.served
    clients = sorted(s.client_id for s in gateway.sessions.values() if s.client_id is not None)
    return {"account": gateway.broker.account, "now": gateway.now.isoformat(), "clients": clients,
            "virtual": gateway.is_virtual, "market": None if served is None else served.told()}  # fmt: skip


def _orders(server: GatewayServer, asked: Asked) -> Told:
    """The gateway's own list of orders: every one that it took and still lists."""
    desk = server.gateway.orders
    rows = [
        {"permanent": known.permanent, "client_id": known.client_id, "order_id": known.order_id,
         "reference": known.client_reference, "contract": known.order.child.contract_id,
         "side": known.order.child.side.value, "quantity": str(known.order.child.quantity),
         "filled": str(known.order.filled), "status": known.order.status.value}
        for _, order in desk.broker.state.orders.items()
        for known in (desk.known(order),)
    ]  # fmt: skip
    return {"orders": rows}


def _executions(server: GatewayServer, asked: Asked) -> Told:
    """Executions that the account lists."""
    return {
        "executions": [
            {"execution": fill.execution_id, "reference": fill.order_ref, "contract": fill.contract_id,
             "side": fill.side.value, "quantity": str(fill.quantity), "price": str(fill.price)}
            for fill in server.gateway.broker.executions()
        ]
    }  # fmt: skip


COMMANDS: Mapping[str, Command] = {
    "account": _account,
    "clear": _clear,
    "commission_first": _commission_first,
    "correct_execution": _correct_execution,
    "delay": _delay,
    "drop": _drop,
    "end_script": _end_script,
    "error": _error,
    "executions": _executions,
    "fault": _fault,
    "foreign_order": _foreign_order,
    "freeze": _freeze,
    "hide_executions": _counted("hidden_executions", "Tell no execution for a number of ``times``."),
    "hide_statuses": _counted("hidden_statuses", "Tell no status of a fill for a number of ``times``."),
    "hold_barriers": _hold_barriers,
    "lose_cancels": _counted("lost_cancels", "Do not read the next cancels (``times``)."),
    "lose_orders": _counted("lost_orders", "Do not read the next orders (``times``)."),
    "market_data": hide_market_data,
    "orders": _orders,
    "pace_requests": _counted("paced_requests", "Refuse the next requests of bars (``times``) as too many."),
    "refuse_orders": _refuse_orders,
    "repeat_execution": _repeat_execution,
    "reset": _reset,
    "roll_back": _counted("rolled_back", "Offer order numbers that are ``times`` lower than the next."),
    "script": _script,
    "second_session": second_session,
    "silence_orders": _counted(
        "silent_orders", "Take the next orders (``times``) without an acknowledgement."
    ),
    "status": _status,
    "system": _system,
    "thaw": _thaw,
    "unanswered": _unanswered,
}
"""Commands by name, without ``advance``, which waits."""
