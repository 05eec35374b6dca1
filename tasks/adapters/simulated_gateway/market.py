"""Market data of the gateway: subscriptions and snapshots of quotes, and the way to whatever else is asked of a market.

Everything is a function of the gateway's time, its panel and the faults that are set; nothing later is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from engine.errors import FundError
from engine.simulation.matching import refresh_interval
from tasks.adapters.simulated_gateway.depth_rows import MOST_BOOKS, changes, rows_of
from tasks.adapters.simulated_gateway.faults import EVERY_CONTRACT
from tasks.adapters.simulated_gateway.forms import flag, text
from tasks.adapters.simulated_gateway.generic_ticks import Extras, legal, read_generic
from tasks.adapters.simulated_gateway.lookups import answer_option_parameters, answer_symbols
from tasks.adapters.simulated_gateway.market_history import answer_bars, answer_head
from tasks.adapters.simulated_gateway.market_requests import named
from tasks.adapters.simulated_gateway.messages import Request
from tasks.adapters.simulated_gateway.option_figures import OptionDesk
from tasks.adapters.simulated_gateway.profit import account_answer, single_answer
from tasks.adapters.simulated_gateway.sessions import (
    MARKET_REQUESTS,
    Answer,
    MarketView,
    Session,
    Stream,
    error,
)
from tasks.adapters.simulated_gateway.showing import Line, View, view
from tasks.adapters.simulated_gateway.tape import Tape
from tasks.adapters.simulated_gateway.ticks import DataType, changed, ticks_of

LOG = logging.getLogger("fund.gateway")
MOST_LINES = 100
"""Subscriptions that run at one time, of all clients together."""

_LINES = frozenset({"market_data"})
_KEPT_WITHOUT_LINK = MARKET_REQUESTS - {
    "historical_data",
    "head_timestamp",
    "option_parameters",
    "matching_symbols",
}
"""Requests that are taken while the broker is away: what runs on is told once it is back, the rest never."""

_PROFITS = frozenset({"profit_and_loss", "profit_and_loss_single"})
Handler = Callable[[Request, Session, MarketView], Sequence[Answer]]


@dataclass(slots=True, kw_only=True)
class GatewayMarket:
    """Answers requests of market data over one tape (a `Market`)."""

    tape: Tape

    def handle(self, request: Request, session: Session, gateway: MarketView) -> Sequence[Answer]:
        """Answers to one request; what goes on is kept in the session's streams."""
        refused = gateway.faults.market_data
        if gateway.faults.link_is_down and request.name not in _KEPT_WITHOUT_LINK:
            return []
        if refused is not None and not request.name.startswith("cancel"):
            return [error(refused.code, refused.text, request.integer("request_id"))]
        return self._handlers()[request.name](request, session, gateway)

    def ticks(self, session: Session, gateway: MarketView) -> Sequence[Answer]:
        """What a session's streams have to tell now that time has moved; one that can not go on ends with the reason."""
        told: list[Answer] = []
        for number, stream in list(session.streams.items()):
            try:
                told += self._refreshed(stream, session, gateway)
            except FundError as problem:
                LOG.exception("request %d of market data ends", number)
                del session.streams[number]
                told.append(error(321, f"Error validating request.-'bQ' : cause - {problem}", number))
        return told

    def _handlers(self) -> Mapping[str, Handler]:
        return {
            "market_data": self._subscribe,
            "cancel_market_data": self._cancel,
            "market_data_type": self._choose_type,
            "market_depth": self._depth,
            "cancel_market_depth": self._cancel,
            "profit_and_loss": self._profit,
            "profit_and_loss_single": self._profit,
            "cancel_profit_and_loss": self._cancel,
            "cancel_profit_and_loss_single": self._cancel,
            "option_parameters": partial(answer_option_parameters, self.tape),
            "matching_symbols": answer_symbols,
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
        contract = named(request, gateway)
        if isinstance(contract, Answer):
            return [contract]
        generic, known = (
            read_generic(text(request.record, "generic_ticks")),
            legal(gateway.listing.instrument(contract)),
        )
        if generic is None or not generic <= known:
            cause = f"Incorrect generic tick list of {text(request.record, 'generic_ticks')}. Legal ones are: {sorted(known)}"
            return [error(321, f"Error validating request.-'bQ' : cause - {cause}", number)]
        if not snapshot and _running(gateway) >= MOST_LINES:
            return [error(101, "Max number of tickers has been reached", number)]
        stream = Stream(request=request, contract_id=contract.contract_id)
        if not snapshot:
            return self._begin(number, stream, session, gateway)
        told = self._refreshed(stream, session, gateway)
        if any(answer.name != "error" for answer in told):
            told.append(Answer("snapshot_end", {"request_id": str(number)}))
        return told

    def _cancel(self, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
        number = request.integer("request_id")
        if session.streams.pop(number, None) is None:
            return [error(300, f"Can't find EId with tickerId:{number}", number)]
        return []

    # ------------------------------------------------------------ depth and profit

    def _depth(self, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
        number, contract = request.integer("request_id"), named(request, gateway)
        if isinstance(contract, Answer):
            return [contract]
        books = [one for one in session.streams.values() if one.request.name == "market_depth"]
        if len(books) >= MOST_BOOKS:
            told = f"Max number ({MOST_BOOKS}) of market depth requests has been reached"
            return [error(309, told, number)]
        return self._begin(
            number, Stream(request=request, contract_id=contract.contract_id), session, gateway
        )

    def _profit(self, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
        number, contract_id = request.integer("request_id"), None
        if text(request.record, "account") != gateway.broker.account:
            return [error(321, "Error validating request.-'cH' : cause - Invalid account code", number)]
        if request.name == "profit_and_loss_single":
            contract_id = gateway.listing.contract(request.integer("con_id")).contract_id
        return self._begin(number, Stream(request=request, contract_id=contract_id), session, gateway)

    def _begin(self, number: int, stream: Stream, session: Session, gateway: MarketView) -> list[Answer]:
        if number in session.streams:
            return [error(322, "Error processing request.-'bQ' : cause - Duplicate ticker id", number)]
        told = self._refreshed(stream, session, gateway)
        session.streams[number] = stream
        return told

    # ------------------------------------------------------------ what has changed

    def _refreshed(self, stream: Stream, session: Session, gateway: MarketView) -> list[Answer]:
        """What a stream has to tell that it has not told; errors are told once as long as they last."""
        if gateway.faults.link_is_down:
            return []
        subject = stream.contract_id or EVERY_CONTRACT
        moment = (
            refresh_interval(gateway.now),
            gateway.faults.market_trouble(subject),
            gateway.facts.scripts.get(subject),
            gateway.broker.state.head.commit if stream.request.name in _PROFITS else 0,
        )
        if stream.seen == moment:
            return []
        stream.seen = moment
        number = stream.request.integer("request_id")
        if stream.request.name == "profit_and_loss":
            now = account_answer(gateway.broker, gateway.now, number)
        elif stream.request.name == "profit_and_loss_single":
            now = single_answer(gateway.broker, gateway.now, subject, number)
        elif stream.request.name == "market_depth":
            now = self._rows(stream.request, subject, session, gateway)
        else:
            now = self._shown(stream.request, subject, session, gateway)
        return _told(stream, now)

    def _view(self, contract_id: str, session: Session, gateway: MarketView) -> View:
        instrument = gateway.listing.instrument_of(contract_id)
        line = Line(
            facts=self.tape.facts_of(gateway.facts, instrument), instrument=instrument, contract_id=contract_id,
            at=gateway.now, wanted=DataType(session.market_data_type),
        )  # fmt: skip
        return view(self.tape, line, gateway.faults.market_trouble(contract_id))

    def _rows(
        self, request: Request, contract_id: str, session: Session, gateway: MarketView
    ) -> dict[str, Answer]:
        """The rows of a book now."""
        number, seen = request.integer("request_id"), self._view(contract_id, session, gateway)
        if seen.notice is not None:
            return {"notice": error(seen.notice.code, seen.notice.text, number)}
        if seen.showing is None:
            return {}
        fixed = {"request_id": str(number)} | ({"maker": "SIM"} if flag(request.record, "smart") else {})
        return rows_of(seen.showing.instrument, seen.showing.quote, request.integer("rows"), fixed)

    def _shown(
        self, request: Request, contract_id: str, session: Session, gateway: MarketView
    ) -> dict[str, Answer]:
        """All that a line tells now, by what it is about: a notice first, then of what type its data are."""
        number, seen = request.integer("request_id"), self._view(contract_id, session, gateway)
        told = {} if seen.notice is None else {"notice": error(seen.notice.code, seen.notice.text, number)}
        if seen.showing is None:
            return told
        fixed, shown = {"request_id": str(number)}, seen.showing
        instrument = shown.instrument
        extras = Extras(
            instrument=instrument, contract=gateway.listing.contract(gateway.listing.number(contract_id)),
            quote=shown.quote, at=shown.at, request_id=number, is_delayed=shown.kind.is_delayed,
        )  # fmt: skip
        options = OptionDesk(tape=self.tape, listing=gateway.listing, facts=gateway.facts)
        wanted = read_generic(text(request.record, "generic_ticks")) or frozenset()
        tick = gateway.listing.least_tick(instrument)
        return told | {
            "parameters": Answer("request_parameters", fixed | {"least_tick": tick, "exchange": "SIM"}),
            "type": Answer("market_data_type", fixed | {"type": str(shown.kind.value)}),
            **ticks_of(shown, number),
            **dict(extras.ticks(wanted, self.tape.published(gateway.facts, gateway.now), options)),
        }


def _told(stream: Stream, now: Mapping[str, Answer]) -> list[Answer]:
    """What leads from what a stream was told to what holds now. Prices that end for a while stay as they were told."""
    if stream.request.name == "market_depth" and "notice" not in now:
        before = {key: one for key, one in stream.told.items() if one.name != "error"}
        stream.told = dict(now)
        return changes(before, now)
    told = changed(stream.told, now)
    kept = {key: answer for key, answer in stream.told.items() if answer.name != "error"}
    stream.told = {**kept, **now}
    return told


def _nothing_runs(request: Request, session: Session, gateway: MarketView) -> list[Answer]:
    """Answers come at once, so nothing is left to be cancelled."""
    number = request.integer("request_id")
    return [error(366, f"No historical data query found for ticker id:{number}", number)]


def _running(gateway: MarketView) -> int:
    """Subscriptions of quotes that run now."""
    streams = [stream for session in gateway.sessions.values() for stream in session.streams.values()]
    return sum(stream.request.name in _LINES for stream in streams)
