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
INDEX, INDEX_NUMBER = "SPX", "416904"


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
        super()._answer(line, request)
        number = request.record.get("request_id", "")
        rows: list[Reply] = []
        if request.name == "contract_details":
            rows = [*self._details(request), ("contract_details_end", {})]
        elif request.name == "market_data":
            name = self._name(request)
            self.numbers[name] = str(number)
            rows = self.told.get(name, [])
        elif self.replies.get(request.name):
            rows = self.replies[request.name].pop(0)
        self._write(line, [(kind, {**record, "request_id": number}) for kind, record in rows])

    def _details(self, request: Request) -> list[Reply]:
        """Contracts of the fund that fit, and the index that its options are of, which the fund does not trade."""
        if request.record["security_type"] == "IND" and request.record["symbol"] == INDEX:
            [known] = self.listing.find({"con_id": str(self._number("EUR.USD"))}, OPENED.date())
            shown = {
                "symbol": INDEX,
                "security_type": "IND",
                "con_id": INDEX_NUMBER,
                "currency": "USD",
                "exchange": "CBOE",
            }
            return [("contract_details", {**self.listing.details(known, OPENED, self.sessions), **shown})]
        found = self.listing.find(request.record, OPENED.date())
        return [("contract_details", {**self.listing.details(row, OPENED, self.sessions)}) for row in found]

    def _name(self, request: Request) -> str:
        if request.record["con_id"] == INDEX_NUMBER:
            return INDEX
        return self.listing.contract(request.integer("con_id")).contract_id

    def _number(self, name: str) -> int:
        return self.listing.number(name)


def contract_desk(session: IbkrSession) -> ContractDesk:
    universe, _, world = small_world()
    contracts = {row.contract_id: row for chain in world.panel.chains.values() for row in chain}
    book = ContractBook(universe=universe, contracts=contracts)
    return ContractDesk(session, lambda: book, {})
