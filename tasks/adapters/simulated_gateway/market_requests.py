"""What requests of market data name: one contract that the gateway lists."""

from __future__ import annotations

from engine.model.instruments import Contract
from tasks.adapters.simulated_gateway.forms import text
from tasks.adapters.simulated_gateway.messages import Request
from tasks.adapters.simulated_gateway.sessions import Answer, MarketView, error


def named(request: Request, gateway: MarketView) -> Contract | Answer:
    """The one contract that a request names, else what it is refused by."""
    number = request.integer("request_id")
    found = gateway.listing.find(request.record, gateway.now.date())
    if not found:
        return error(200, "No security definition has been found for the request", number)
    if len(found) > 1:
        symbol = text(request.record, "symbol")
        return error(200, f"The contract description specified for {symbol} is ambiguous.", number)
    return found[0]
