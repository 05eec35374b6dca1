"""Market data of the gateway: subscriptions and snapshots of quotes, and the way to whatever else is asked of a market.

Everything is a function of the gateway's time, its panel and the faults that are set; nothing later is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from engine.simulation.matching import refresh_interval
from tasks.adapters.simulated_gateway.forms import flag, text
from tasks.adapters.simulated_gateway.market_history import answer_bars, answer_head
from tasks.adapters.simulated_gateway.market_requests import named
from tasks.adapters.simulated_gateway.messages import Request
from tasks.adapters.simulated_gateway.sessions import Answer, MarketView, Session, Stream, error
from tasks.adapters.simulated_gateway.showing import Line, view
from tasks.adapters.simulated_gateway.tape import Tape
from tasks.adapters.simulated_gateway.ticks import DataType, changed, ticks_of

MOST_LINES = 100
"""Subscriptions that run at one time, of all clients together."""

_LINES = frozenset({"market_data"})
Handler = Callable[[Request, Session, MarketView], Sequence[Answer]]


@dataclass(slots=True, kw_only=True)
class GatewayMarket:
    """Answers requests of market data over one tape (a `Market`)."""

    tape: Tape

    def handle(self, request: Request, session: Session, gateway: MarketView) -> Sequence[Answer]:
        """Answers to one request; what goes on is kept in the session's streams."""
        refused = gateway.faults.market_data
        if gateway.faults.link_is_down:
            return []
        if refused is not None and not request.name.startswith("cancel"):
            return [error(refused.code, refused.text, request.integer("request_id"))]
        return self._handlers()[request.name](request, session, gateway)

    def ticks(self, session: Session, gateway: MarketView) -> Sequence[Answer]:
        """What a session's streams have to tell now that time has moved."""
        if gateway.faults.link_is_down:
            return []
        return [
            answer
            for stream in list(session.streams.values())
            for answer in self._refreshed(stream, session, gateway)
        ]

    def _handlers(self) -> Mapping[str, Handler]:
        return {
            "market_data": self._subscribe,
            "cancel_market_data": self._cancel,
            "market_data_type": self._choose_type,
            "historical_data": partial(answer_bars, self.tape),
            "cancel_historical_data": _nothing_runs,
            "head_timestamp": partial(answer_head, self.tape),
            "cancel_head_timestamp": _nothing_runs,
        }

    # ------------------------------------------------------------ quotes

    def _choose_type(self, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
        number = request.integer("type")
        if number not in [kind.value for kind in DataType]:
            return [error(321, f"Error validating request.-'cM' : cause - Invalid market data type {number}")]
        session.market_data_type = number
        return []

    def _subscribe(self, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
        number, snapshot = request.integer("request_id"), flag(request.record, "snapshot")
        if snapshot and text(request.record, "generic_ticks"):
            cause = "Snapshot market data subscription is not applicable to generic ticks"
            return [error(321, f"Error validating request.-'bQ' : cause - {cause}", number)]
        if number in session.streams:
            return [error(322, "Error processing request.-'bQ' : cause - Duplicate ticker id", number)]
        contract = named(request, gateway)
        if isinstance(contract, Answer):
            return [contract]
        if not snapshot and _running(gateway) >= MOST_LINES:
            return [error(101, "Max number of tickers has been reached", number)]
        stream = Stream(request=request, contract_id=contract.contract_id)
        if not snapshot:
            session.streams[number] = stream
        told = self._refreshed(stream, session, gateway)
        if snapshot and any(answer.name != "error" for answer in told):
            told.append(Answer("snapshot_end", {"request_id": str(number)}))
        return told

    def _cancel(self, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
        number = request.integer("request_id")
        if session.streams.pop(number, None) is None:
            return [error(300, f"Can't find EId with tickerId:{number}", number)]
        return []

    def _refreshed(self, stream: Stream, session: Session, gateway: MarketView) -> list[Answer]:
        """What a stream has to tell that it has not told; errors are told once as long as they last."""
        contract_id = stream.contract_id
        if stream.request.name != "market_data" or contract_id is None:
            return []
        moment = (
            refresh_interval(gateway.now),
            gateway.faults.market_trouble(contract_id),
            gateway.facts.scripts.get(contract_id),
        )
        if stream.seen == moment:
            return []
        stream.seen = moment
        now = self._shown(stream.request, contract_id, session, gateway)
        told = changed(stream.told, now)
        kept = {key: answer for key, answer in stream.told.items() if answer.name != "error"}
        stream.told = kept | now
        return told

    def _shown(
        self, request: Request, contract_id: str, session: Session, gateway: MarketView
    ) -> dict[str, Answer]:
        """All that a line tells now, by what it is about: a notice first, then of what type its data are."""
        number = request.integer("request_id")
        instrument = gateway.listing.instrument_of(contract_id)
        line = Line(
            facts=self.tape.facts_of(gateway.facts, instrument), instrument=instrument, contract_id=contract_id, at=gateway.now,
            wanted=DataType(session.market_data_type),
        )  # fmt: skip
        seen = view(self.tape, line, gateway.faults.market_trouble(contract_id))
        told = {} if seen.notice is None else {"notice": error(seen.notice.code, seen.notice.text, number)}
        if seen.showing is None:
            return told
        fixed = {"request_id": str(number)}
        tick = gateway.listing.least_tick(instrument)
        return told | {
            "parameters": Answer("request_parameters", fixed | {"least_tick": tick, "exchange": "SIM"}),
            "type": Answer("market_data_type", fixed | {"type": str(seen.showing.kind.value)}),
            **ticks_of(seen.showing, number),
        }


def _nothing_runs(request: Request, session: Session, gateway: MarketView) -> list[Answer]:
    """Answers come at once, so nothing is left to be cancelled."""
    number = request.integer("request_id")
    return [error(366, f"No historical data query found for ticker id:{number}", number)]


def _running(gateway: MarketView) -> int:
    """Subscriptions of quotes that run now."""
    streams = [stream for session in gateway.sessions.values() for stream in session.streams.values()]
    return sum(stream.request.name in _LINES for stream in streams)
