"""One session of the adapter that touches every kind of frame of a trading day, recorded and played again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from typing import NoReturn

from engine.model.orders import ChildOrder, OrderType, Side, TransportEvent, order_reference
from engine.model.spreads import NearLeg
from engine.model.universe import ContractBook
from tasks.adapters.ibkr.contracts import ContractDesk, pin_of
from tasks.adapters.ibkr.listening import listening_ib
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.policy import SessionPolicy
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.virtual_time import VenueLine, VirtualClock
from tests.contracts.frames import (
    BROKER,
    NOBODY,
    THEN,
    Recording,
    RecordingLine,
    ReplayGateway,
    ReplayLine,
    Tap,
)
from tests.contracts.lines import ENDS, Connection, Kind, Line, book_of_the_world, market_desk
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, library_loop, running, small_world
from tests.tasks.adapters.ibkr.trading import CLIENT


@contextmanager
def session_line(
    policy: SessionPolicy, began: datetime, venue: VenueLine | None, book: ContractBook
) -> Iterator[Line]:
    """A line over one connection; without a venue's clock in real time."""
    clock = None if venue is None else VirtualClock(venue, policy.client_id, began)
    session = IbkrSession(policy, now=None if clock is None else clock.now)
    try:
        session.connect()
        contracts = ContractDesk(session, lambda: book, {})
        market = market_desk(session, contracts, in_virtual_time=clock is not None)
        transport = IbkrTransport(session, contracts, market.quote, clock=clock)
        yield Line("recorded", Connection(transport, market), book, _never)
    finally:
        session.close()


def play(line: Line) -> list[str]:
    """The session; what it came to, without times."""
    told = [_quoted(line, line.contract_id)]
    rates = line.market.fx(line.transport.now(), ("EUR", "GBP"))
    told += [f"{currency} {rates.get_rate(currency, 'USD')}" for currency in ("EUR", "GBP")]
    if line.trades:
        _trade(line)
    resting = line.send(_named(line.order(-line.distance), 1))
    line.acknowledged(resting)
    line.transport.cancel(resting.order_ref)
    line.listen(resting, until=ENDS)
    told += [_said(event) for event in line.heard]
    look = line.transport.look()
    told += sorted(
        f"order {row.order_ref} {row.contract_id} {row.side.value} {row.quantity} at {row.limit_price}: "
        f"{row.status.value} {row.filled}"
        for row in look.orders
    )
    told += [
        f"execution {fill.execution_id} {fill.contract_id} {fill.quantity} {fill.price}"
        for fill in look.executions
    ]
    return told + [f"holds {quantity} {name}" for name, quantity in sorted(look.positions.items())]


def _trade(line: Line) -> None:
    """A fill, a part of a large order, a refusal, a spread, an order for the close."""
    line.filled(line.send(_named(line.order(Decimal("0.01"), quantity=5), 2)))
    large = line.send(_named(line.order(Decimal("0.01"), quantity=100_000, contract_id="EXV1"), 3))
    line.listen(large, until=frozenset({Kind.FILL}))
    line.transport.cancel(large.order_ref)
    line.listen(large, until=ENDS)
    refused = line.send(
        _named(line.order(Decimal("0.01"), side=Side.SELL, quantity=10_000_000, contract_id="IUKD"), 4)
    )
    line.listen(refused, until=ENDS)
    near, far = "ES_20261218", "ES_20270319"
    leg = NearLeg(intent_id="near", contract_id=near, arrival_mid=line.quote(near).mid)
    spread = line.quote(far).mid - line.quote(near).mid
    limit = line.book.instrument(far).ceil_to_tick(spread + 5)
    line.send(_named(line.at_limit(limit, contract_id=far, near=leg), 5))
    line.listen()
    close = line.at_limit(line.order(Decimal("0.05"), contract_id="AAPL").limit_price, contract_id="AAPL",
                          order_type=OrderType.LIMIT_ON_CLOSE)  # fmt: skip
    line.send(_named(close, 6))
    line.listen()
    line.transport.cancel(order_reference("recorded 6", 1))
    line.listen()


def _named(child: ChildOrder, number: int) -> ChildOrder:
    """The same order under a reference that is the same in every session."""
    given = {key: getattr(child, key) for key in ChildOrder.__dataclass_fields__}
    key = f"recorded {number}"
    return ChildOrder(**{**given, "order_ref": order_reference(key, 1), "intent_id": key})


def _quoted(line: Line, name: str) -> str:
    quote = line.quote(name)
    return f"quote {name} {quote.bid_size} at {quote.bid}, {quote.ask_size} at {quote.ask}"


def _said(event: TransportEvent) -> str:
    fill = event.fill
    traded = (
        "" if fill is None else f" {fill.contract_id} {fill.quantity} at {fill.price} for {fill.commission}"
    )
    return f"{event.kind.value} {event.order_ref} {event.filled or ''}{traded} {event.text}".strip()


def _never() -> NoReturn:
    raise AssertionError("a recorded session keeps its line")


# ---------------------------------------------------------------- recording and replay


def record_gateway() -> Recording:
    """A session with the gateway on virtual time: the same whenever it is recorded."""
    with running() as gateway, ExitStack() as stack:
        tap = Tap("127.0.0.1", gateway.port, ACCOUNT)
        stack.callback(tap.close)
        gateway.control.ask("hold_barriers", client_id=CLIENT)
        venue = RecordingLine(gateway.control, tap, OPENED)
        with session_line(policy_at(tap.port, ACCOUNT), OPENED, venue, book_of_the_world()) as line:
            outcome = play(line)
        about = {"of": "the simulated gateway", "version": tap.version, "clock": "virtual", "trades": "1",
                 "contract": line.contract_id, "distance": str(line.distance)}  # fmt: skip
        return _whole(about, tap, outcome)


def record_account(policy: SessionPolicy, contract_id: str, distance: Decimal) -> Recording:
    """A session with a real paper account, in real time and without a fill."""
    tap = Tap(policy.host, policy.port, policy.account)
    try:
        book = ContractBook(universe=small_world()[0], contracts={})
        with session_line(policy_at(tap.port, policy.account), OPENED, None, book) as line:
            line.contract_id, line.distance, line.trades = contract_id, distance, False
            outcome = play(line)
    finally:
        tap.close()
    about = {"of": "a paper account", "version": tap.version, "clock": "real", "trades": "",
             "contract": contract_id, "distance": str(distance)}  # fmt: skip
    return _whole(about, tap, outcome)


def _whole(about: dict[str, str], tap: Tap, outcome: list[str]) -> Recording:
    found = Recording(about, list(tap.entries), outcome=outcome)
    found.records = [repr(shown) for shown in decoded(found)]
    return found


class _Heard:
    """Stands where the adapter keeps ticks, and keeps each call."""

    def __init__(self, found: list[object]) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *told: self._found.append((name, *told))


def decoded(recording: Recording) -> list[object]:
    """What the adapter's decoder makes of the broker's frames, one after the other; what it can not read as a text."""
    found: list[object] = []
    with library_loop():
        _, ears, client = listening_ib(lambda news: None, found.append, lambda: THEN, NOBODY)
        ears._show = lambda shown, name, is_news=True: found.append(shown)  # type: ignore[method-assign]
        ears.contractDetails = lambda number, details: found.append((number, pin_of(details)))
        ears.lines = _Heard(found)  # type: ignore[assignment]
        client.decoder.serverVersion = recording.version
        for fields in recording.of(BROKER):
            client.decoder.interpret(list(fields))
    return found


def replay(recording: Recording, gateway: ReplayGateway) -> list[str]:
    """The same session against what was recorded; what it comes to."""
    real = recording.about["clock"] == "real"
    venue = None if real else ReplayLine(recording)
    book = ContractBook(universe=small_world()[0], contracts={}) if real else book_of_the_world()
    with session_line(policy_at(gateway.port, NOBODY), THEN, venue, book) as line:
        line.contract_id, line.distance = recording.about["contract"], Decimal(recording.about["distance"])
        line.trades = bool(recording.about["trades"])
        return play(line)


def policy_at(port: int, account: str) -> SessionPolicy:
    """A session without a heartbeat: every frame has its cause in the session."""
    return SessionPolicy(
        account=account, client_id=CLIENT, is_paper=True, port=port, heartbeat_seconds=None, messages_per_second=0,
        request_timeout=5.0, reconnect_delays=(),
    )  # fmt: skip
