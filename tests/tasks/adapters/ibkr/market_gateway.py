"""A gateway of a few lines that lists the fund's contracts and tells of each the ticks that a test wants."""

from __future__ import annotations

import socket

from config.universe import load_venues
from engine.model.universe import ContractBook
from tasks.adapters.ibkr.contracts import ContractDesk
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.messages import Request
from tests.tasks.adapters.gateways import ACCOUNT, OPENED, small_world
from tests.tasks.adapters.ibkr.tiny_gateway import Reply, TinyGateway

BID, ASK, LAST, CLOSE = 1, 2, 4, 9


def price(kind: int, value: object, size: object = 100) -> Reply:
    return "price", {"type": str(kind), "price": str(value), "size": str(size)}


def two_sided(bid: object, ask: object, *, bid_size: object = 100, ask_size: object = 200) -> list[Reply]:
    return [price(BID, bid, bid_size), price(ASK, ask, ask_size)]


def data_type(number: int) -> Reply:
    return "market_data_type", {"type": str(number)}


def fails(code: int, text: str = "Injected") -> Reply:
    return "error", {"code": str(code), "text": text}


class MarketGateway(TinyGateway):
    """``told`` is what a request of market data is answered with, by our id of the contract; ``replies`` by request."""

    def __init__(self) -> None:
        universe, self.sessions, world = small_world()
        self.listing = Listing(
            universe=universe, facts=world, venues=load_venues(), chains=world.panel.chains
        )
        self.told: dict[str, list[Reply]] = {}
        self.replies: dict[str, list[list[Reply]]] = {}
        self.numbers: dict[str, str] = {}
        super().__init__(ACCOUNT)

    def tell(self, name: str, *replies: Reply) -> None:
        """Tell something over the newest request of a contract."""
        number = self.numbers[name]
        self.say(*((kind, {**record, "request_id": number}) for kind, record in replies))

    def _answer(self, line: socket.socket, request: Request) -> None:
        number = request.record.get("request_id", "")
        rows: list[Reply] = []
        if request.name == "contract_details":
            found = self.listing.find(request.record, OPENED.date())
            rows = [("contract_details", self.listing.details(row, OPENED, self.sessions)) for row in found]  # type: ignore[misc]
            rows.append(("contract_details_end", {}))
        elif request.name == "market_data":
            name = self.listing.contract(request.integer("con_id")).contract_id
            self.numbers[name] = str(number)
            rows = self.told.get(name, [])
        elif self.replies.get(request.name):
            rows = self.replies[request.name].pop(0)
        self._write(line, [(kind, {**record, "request_id": number}) for kind, record in rows])
        super()._answer(line, request)


def contract_desk(session: IbkrSession) -> ContractDesk:
    universe, _, world = small_world()
    contracts = {row.contract_id: row for chain in world.panel.chains.values() for row in chain}
    book = ContractBook(universe=universe, contracts=contracts)
    return ContractDesk(session, lambda: book, {})
