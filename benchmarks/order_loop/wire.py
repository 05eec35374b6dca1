"""What the broker says as it comes off the line: frames of the protocol, read by the client library's own decoder.

Only what the loop itself spends is counted: the frames are made beforehand, and nothing of the broker's work is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from types import SimpleNamespace

from ib_insync.decoder import Decoder

from engine.model.market import Quote
from engine.model.orders import ChildOrder, Fill
from tasks.adapters.simulated_gateway.framing import LENGTH_BYTES, frame, split
from tasks.adapters.simulated_gateway.messages import SPOKEN_VERSION, answer

_BID, _ASK = "1", "2"
CONTRACT = {"con_id": "1", "symbol": "CSPX", "security_type": "STK", "exchange": "LSEETF", "currency": "USD"}


class Line:
    """Reads frames; `read` is how many messages the library handed on."""

    def __init__(self) -> None:
        self.read = 0
        self.ib = SimpleNamespace(TimezoneTWS=UTC)
        self._decoder = Decoder(self, SPOKEN_VERSION)  # type: ignore[arg-type]

    def hear(self, payloads: Sequence[bytes]) -> None:
        """Decode frames, one after another."""
        for payload in payloads:
            self._decoder.interpret(split(payload))

    def _take(self, *told: object) -> None:
        self.read += 1

    openOrder = orderStatus = execDetails = commissionReport = priceSizeTick = _take
    """What the library hands on, under its own names."""


def status_frames(number: int, child: ChildOrder, status: str, filled: str) -> tuple[bytes, ...]:
    """How an order stands: the protocol says the whole order first, asked or unasked, then its status."""
    whole = f"{child.quantity}"
    known = {"order_id": str(number), "perm_id": str(number), "client_id": "1", "status": status}
    order = known | CONTRACT | {
        "action": "BUY", "quantity": whole, "order_type": "LMT", "limit_price": f"{child.limit_price}",
        "tif": "DAY", "account": "DU1", "order_ref": child.order_ref,
    }  # fmt: skip
    left = "0" if filled == whole else whole
    return _payload("open_order", order), _payload(
        "order_status", known | {"filled": filled, "remaining": left}
    )


def fill_frames(number: int, fill: Fill) -> tuple[bytes, ...]:
    """An execution and its commission."""
    record = {
        "order_id": str(number), "execution_id": fill.execution_id, "time": f"{fill.executed_at:%Y%m%d-%H:%M:%S}",
        "account": "DU1", "venue": "LSE", "side": "BOT", "shares": f"{fill.quantity}", "price": f"{fill.price}",
        "perm_id": str(number), "client_id": "1", "total": f"{fill.quantity}", "average_price": f"{fill.price}",
        "order_ref": fill.order_ref or "", **CONTRACT,
    }  # fmt: skip
    charge = {"execution_id": fill.execution_id, "commission": f"{fill.commission}", "currency": "USD"}
    return _payload("execution", record), _payload("commission", charge)


def quote_frames(quote: Quote) -> tuple[bytes, ...]:
    """Bid and ask with their sizes."""
    sides = ((_BID, quote.bid, quote.bid_size), (_ASK, quote.ask, quote.ask_size))
    return tuple(
        _payload("price", {"request_id": "1", "type": kind, "price": f"{price}", "size": f"{size}"})
        for kind, price, size in sides
    )


def _payload(name: str, record: dict[str, object]) -> bytes:
    return frame(answer(name, record, SPOKEN_VERSION))[LENGTH_BYTES:]
