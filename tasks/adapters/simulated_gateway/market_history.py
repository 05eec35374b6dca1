"""Answers to requests of history: bars, and since when there are any."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.instruments import Contract
from tasks.adapters.simulated_gateway.bar_requests import (
    DAY,
    BarRequest,
    is_paced,
    no_data,
    pacing_violation,
    read_request,
    shown_time,
)
from tasks.adapters.simulated_gateway.bars import Bar, BarSource, bar_record
from tasks.adapters.simulated_gateway.faults import MarketFault, Refusal
from tasks.adapters.simulated_gateway.forms import text
from tasks.adapters.simulated_gateway.listing import local_symbol
from tasks.adapters.simulated_gateway.market_requests import named
from tasks.adapters.simulated_gateway.messages import Request
from tasks.adapters.simulated_gateway.sessions import Answer, MarketView, Session, error
from tasks.adapters.simulated_gateway.tape import Tape

_WITHOUT_HISTORY = {
    MarketFault.NONE: "No market data permissions",
    MarketFault.DELAYED: "No market data permissions",
    MarketFault.COMPETING: "Trading TWS session is connected from a different IP address",
}
"""Faults of market data under which no bars are told either: delayed quotes bring no history."""


def answer_bars(tape: Tape, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
    """Bars of one contract, or why there are none; bars smaller than a day are paced."""
    contract = named(request, gateway)
    if isinstance(contract, Answer):
        return [contract]
    source = _source(tape, contract, gateway)
    trouble = gateway.faults.market_trouble(contract.contract_id)
    if trouble is not None and trouble.kind in _WITHOUT_HISTORY:
        cause = _WITHOUT_HISTORY[trouble.kind]
        return [_refused(Refusal(162, f"Historical Market Data Service error message:{cause}"), request)]
    if trouble is not None and trouble.kind is MarketFault.SILENT:
        return []
    asked = read_request(request.record, gateway.now, source.zone)
    if isinstance(asked, Refusal):
        return [_refused(asked, request)]
    is_too_soon = asked.size < DAY and is_paced(session.bars_asked, request.record, gateway.now)
    if gateway.faults.take("paced_requests") or is_too_soon:
        return [_refused(pacing_violation(), request)]
    bars = source.bars(asked)
    if not bars:
        name = f"{local_symbol(source.instrument, contract)}@{source.instrument.exchange} {text(request.record, 'what')}"
        return [_refused(no_data(name), request)]
    return [*_warnings(request), _told(bars, asked, source, request)]


def answer_head(tape: Tape, request: Request, session: Session, gateway: MarketView) -> list[Answer]:
    """When the first recorded session of a contract opened."""
    contract = named(request, gateway)
    if isinstance(contract, Answer):
        return [contract]
    first = _source(tape, contract, gateway).head()
    if first is None:
        return [
            _refused(Refusal(162, "Historical Market Data Service error message:No head time stamp"), request)
        ]
    in_seconds = text(request.record, "date_format") == "2"
    shown = str(int(first.timestamp())) if in_seconds else f"{first:%Y%m%d-%H:%M:%S}"
    return [Answer("head_timestamp", {"request_id": str(request.integer("request_id")), "time": shown})]


def _source(tape: Tape, contract: Contract, gateway: MarketView) -> BarSource:
    instrument = gateway.listing.instrument(contract)
    return BarSource(
        tape=tape,
        facts=tape.facts_of(gateway.facts, instrument),
        instrument=instrument,
        contract_id=contract.contract_id,
        now=gateway.now,
        zone=gateway.listing.zone(instrument),
    )


def _told(bars: Sequence[Bar], asked: BarRequest, source: BarSource, request: Request) -> Answer:
    reach = (bars[0].starts, asked.end)
    start, end = (shown_time(at, source.zone, in_seconds=False) for at in reach)
    return Answer(
        "bars",
        {
            "request_id": str(request.integer("request_id")), "start": start, "end": end,
            "bars": tuple(bar_record(bar, asked, source) for bar in bars),
        },
    )  # fmt: skip


def _warnings(request: Request) -> list[Answer]:
    """An end without a zone is served in the venue's own, with a warning."""
    end = text(request.record, "end")
    if not end or "-" in end or end.count(" ") > 1:
        return []
    told = "Warning: You submitted request with date-time attributes without explicit time zone."
    return [error(2174, told, request.integer("request_id"))]


def _refused(refusal: Refusal, request: Request) -> Answer:
    return error(refusal.code, refusal.text, request.integer("request_id"))
