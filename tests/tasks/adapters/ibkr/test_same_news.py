"""The same orders on the same seed, in the process and over TCP: the same news in the same order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal

from engine.model.orders import ChildOrder, OrderType, Side, TransportEvent, order_reference
from engine.ports import OrderTransport
from engine.simulation.exchange import SimulatedTransport
from tests.tasks.adapters.gateways import make_gateway, small_world
from tests.tasks.adapters.ibkr.trading import Kind, trading

Said = tuple[str, str | None, str | None, Decimal | None, Decimal | None, Decimal | None, datetime]
LINES = ("CSPX", "IUKD", "EXV1", "ES_20261218", "AAPL", "DBK", "M6E_20261214")
_SAME_END = {Kind.EXPIRED: Kind.CANCELLED}
"""An order that reached its end is told as cancelled on the broker's wire."""


def orders(now: datetime, quote: Callable[[str], object]) -> list[ChildOrder]:
    """Orders of every fate: filled at once, in parts, resting, cancelled, refused, too large, for the close."""
    universe, _, world = small_world()
    found = []
    for number, name in enumerate(name for name in LINES if world.quote(name, now) is not None):
        instrument = universe[name.split("_")[0]]
        shown = world.quote(name, now)
        assert shown is not None
        assert shown.bid is not None
        assert shown.ask is not None
        for kind, (factor, quantity) in enumerate(
            (("1.01", 5), ("0.97", 5), ("1.02", 3_000), ("1.01", 50_000_000))
        ):
            side = Side.BUY if (number + kind) % 2 == 0 else Side.SELL
            touch = shown.ask * Decimal(factor) if side is Side.BUY else shown.bid * (2 - Decimal(factor))
            price = instrument.floor_to_tick(touch) if side is Side.BUY else instrument.ceil_to_tick(touch)
            found.append(ChildOrder(
                order_ref=order_reference(f"{name} {kind}", 1), intent_id=f"{name} {kind}", attempt=1, contract_id=name,
                side=side, quantity=Decimal(quantity), order_type=OrderType.LIMIT, limit_price=price,
                time_in_force="DAY", good_till=now + timedelta(seconds=90 + kind),
            ))  # fmt: skip
    return found


def said(event: TransportEvent) -> Said:
    fill = event.fill
    kind = _SAME_END.get(event.kind, event.kind).value
    if fill is None:
        return kind, event.order_ref, None, event.filled, None, None, event.at
    return kind, event.order_ref, fill.execution_id, fill.quantity, fill.price, fill.commission, event.at


def play(transport: OrderTransport) -> tuple[list[Said], list[tuple[object, ...]], dict[str, Decimal]]:
    """Everything that is said of the orders in five minutes, then what is listed and held."""
    heard: list[Said] = []
    start = transport.now()

    def listen(seconds: int) -> None:
        until = start + timedelta(seconds=seconds)
        while (event := transport.next_event(until)) is not None:
            if event.kind is not Kind.NOTICE:
                heard.append(said(event))

    children = orders(start, transport.quote)
    for number, child in enumerate(children):
        transport.send(child)
        if number % 5 == 4:
            listen(number)
    listen(60)
    for child in children[1::8]:
        transport.cancel(child.order_ref)
    listen(300)
    look = transport.look()
    listed = sorted(
        (order.order_ref or "", order.contract_id, order.side.value, order.filled, order.limit_price)
        for order in look.orders
        if order.filled > 0
    )
    return heard, listed, dict(look.positions)


def test_same_orders_make_the_same_news_lists_and_positions_over_the_wire() -> None:
    inside, listed_inside, held_inside = play(SimulatedTransport(make_gateway().broker))
    with trading() as desk:
        over_wire, listed_there, held_there = play(desk.transport)
    assert {row[0] for row in inside} >= {"acknowledged", "fill", "cancelled", "rejected"}
    assert over_wire == inside
    assert listed_there == listed_inside
    assert held_there == {name: quantity for name, quantity in held_inside.items() if quantity != 0}
