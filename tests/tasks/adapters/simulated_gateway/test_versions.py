"""A trade over TCP at every layout of the protocol, also those that the client library does not know: frames by hand.

How many fields a message has at a version is counted here from the notes on the protocol, not from the gateway's forms.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from engine.errors import ConfigurationError
from tasks.adapters.simulated_gateway.framing import FrameReader, frame, split
from tasks.adapters.simulated_gateway.messages import Request, read_answer, request
from tasks.adapters.simulated_gateway.server import GatewayServer
from tests.tasks.adapters.gateways import ACCOUNT, RunningGateway, make_gateway, running

REFERENCE = "AF1.RAW.1"


@dataclass
class Line:
    """A client of a few lines: it writes fields and keeps every message that it hears, with its number of fields."""

    socket: socket.socket
    version: int
    reader: FrameReader = field(default_factory=FrameReader)
    heard: list[Request] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def ask(self, name: str, **record: object) -> int:
        """Write a request; the number of its fields."""
        fields = request(name, record, self.version)  # type: ignore[arg-type]
        self.socket.sendall(frame(fields))
        return len(fields)

    def hear_until(self, name: str) -> Request:
        """Everything up to a message of a name."""
        while name not in self.sizes:
            data = self.socket.recv(65536)
            assert data, f"the gateway hung up before {name}"
            for payload in self.reader.feed(data):
                texts = split(payload)
                self.heard.append(read_answer(texts, self.version))
                self.sizes[self.heard[-1].name] = len(texts)
        return next(one for one in self.heard if one.name == name)


@contextmanager
def offered(gateway: RunningGateway, versions: bytes) -> Iterator[Line | None]:
    """A connection that offered versions, ``None`` where the gateway hung up on it."""
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as line:
        line.sendall(b"API\0" + len(versions).to_bytes(4, "big") + versions)
        reader, told = FrameReader(), list[bytes]()
        while not told and (data := line.recv(4096)):
            told = reader.feed(data)
        yield Line(line, int(split(told[0])[0])) if told else None


def bought(line: Line, gateway: RunningGateway, number: str) -> int:
    """Buy ten CSPX above their ask, on the contract that the gateway lists; the fields of the order."""
    line.ask("contract_details", symbol="CSPX", security_type="STK", exchange="SMART", currency="USD")
    con_id = line.hear_until("contract_details").record["con_id"]
    quote = gateway.gateway.facts.quote("CSPX", gateway.gateway.now)
    assert quote is not None
    assert quote.ask is not None
    limit = gateway.gateway.broker.terms.instrument("CSPX").floor_to_tick(quote.ask * Decimal("1.05"))
    size = line.ask(
        "place_order", order_id=number, con_id=con_id, symbol="CSPX", security_type="STK", exchange="SMART",
        currency="USD", action="BUY", quantity="10", order_type="LMT", limit_price=str(limit), tif="DAY",
        account=ACCOUNT, order_ref=REFERENCE,
    )  # fmt: skip
    line.ask("current_time")
    line.hear_until("current_time")  # the gateway has read the order, before time moves
    return size


@pytest.mark.parametrize(
    ("version", "placed", "details", "opened", "execution", "completed", "told_error"),
    [
        # 176 has 115 fields of a plain limit order and 128 of an open one. What came since 157, so what 157 lacks:
        # of an order duration (158), post to ATS (160), cancel with parent (162), error override (166) and manual time
        # (169): 115 - 5. Of an open order duration (159), the next two and five of the pegs (170): 128 - 8.
        # Of a completed one the five of the pegs. An error has a text about a rejection since 166: 6 instead of 5.
        (157, 110, 39, 120, 31, 92, 5),
        # Without error override and manual time: 115 - 2; without the pegs: 128 - 5. A suggested step of size.
        (163, 113, 40, 123, 31, 92, 5),
        # A version in front and a size multiplier less, a least size and a step more: 40 - 2 + 2.
        (176, 115, 40, 128, 31, 97, 6),
        # Orders have no profile of an adviser any more, in both directions: 115 - 1, 128 - 1, 97 - 1.
        (177, 114, 40, 127, 31, 96, 6),
        # An execution says whether its price may be revised: 31 + 1.
        (178, 114, 40, 127, 32, 96, 6),
    ],
)
def test_order_trades_in_the_layout_of_each_version(
    version: int, placed: int, details: int, opened: int, execution: int, completed: int, told_error: int
) -> None:
    with running(version=178) as gateway, offered(gateway, f"v157..{version}".encode()) as line:
        assert line is not None
        assert line.version == version
        line.ask("start_api", client_id="4")
        number = line.hear_until("next_valid_id").record["order_id"]
        assert isinstance(number, str)
        line.hear_until("error")  # a market data farm is connected
        assert bought(line, gateway, number) == placed
        gateway.run_until(gateway.gateway.now + timedelta(seconds=2))
        fill = line.hear_until("execution").record
        assert (fill["order_ref"], fill["side"], fill["account"]) == (REFERENCE, "BOT", ACCOUNT)
        assert fill["order_id"] == number
        assert line.hear_until("commission").record["execution_id"] == fill["execution_id"]
        line.ask("completed_orders", api_only="0")
        done = line.hear_until("completed_order").record
        assert (done["order_ref"], done["status"], done["filled_quantity"]) == (REFERENCE, "Filled", "10")
        names = ("contract_details", "open_order", "order_status", "execution", "completed_order", "error")
        assert [line.sizes[name] for name in names] == [details, opened, 12, execution, completed, told_error]


@pytest.mark.parametrize(
    ("offer", "spoken"),
    [
        (b"v177..178", 178),
        (b"v157..220", 178),
        (b"v100..157", 157),
        (b"v100..156", None),
        (b"v179..220", None),
        (b"v156", None),
        (b"v178..157", None),
    ],
)
def test_version_outside_of_those_that_the_gateway_speaks_is_hung_up_on(
    offer: bytes, spoken: int | None
) -> None:
    with running(version=178) as gateway, offered(gateway, offer) as line:
        assert (None if line is None else line.version) == spoken


@pytest.mark.parametrize("version", [156, 179])
def test_gateway_of_a_version_without_a_catalogue_is_refused(version: int) -> None:
    with (
        closing(make_gateway()) as gateway,
        pytest.raises(ConfigurationError, match=rf"157 to 178, found {version}"),
    ):
        GatewayServer(gateway, version=version)
