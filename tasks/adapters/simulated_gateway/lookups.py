"""Answers to what a client looks up: which options are listed on something, and which symbols fit a pattern."""

from __future__ import annotations

from engine.model.instruments import Instrument
from tasks.adapters.simulated_gateway.forms import Record, text
from tasks.adapters.simulated_gateway.listing import Listing, contract_number
from tasks.adapters.simulated_gateway.messages import Request
from tasks.adapters.simulated_gateway.option_figures import OptionDesk
from tasks.adapters.simulated_gateway.sessions import Answer, MarketView, Session, error, plain
from tasks.adapters.simulated_gateway.tape import Tape

MOST_SYMBOLS = 16
"""Symbols that one pattern is answered by."""


def answer_option_parameters(
    tape: Tape, request: Request, session: Session, gateway: MarketView
) -> list[Answer]:
    """Expiries and strikes of every option line on an underlying, which is named by its number."""
    number, under = request.integer("request_id"), request.integer("con_id")
    options = OptionDesk(tape=tape, listing=gateway.listing, facts=gateway.facts)
    lines = [
        line for line in gateway.listing.universe if line.is_option and _is_on(gateway.listing, line, under)
    ]
    if not lines and under not in _numbers(gateway.listing):
        return [error(200, "No security definition has been found for the request", number)]
    rows = [
        Answer(
            "option_parameters",
            {
                "request_id": str(number), "exchange": line.exchange, "under_con_id": str(under),
                "trading_class": line.ib_symbol, "multiplier": plain(line.multiplier),
                "expirations": tuple({"date": f"{day:%Y%m%d}"} for day in options.expiries(line, gateway.now)),
                "strikes": tuple({"strike": plain(strike)} for strike in options.strikes(line, gateway.now)),
            },
        )
        for line in lines
    ]  # fmt: skip
    return [*rows, Answer("option_parameters_end", {"request_id": str(number)})]


def answer_symbols(request: Request, session: Session, gateway: MarketView) -> list[Answer]:
    """Shares, funds, currencies and indices whose symbol begins with a pattern or whose name holds it."""
    pattern = text(request.record, "pattern").strip().upper()
    listing = gateway.listing
    fitting = [
        one
        for one in listing.instruments()
        if not (one.is_option or one.is_future)
        and (one.ib_symbol.startswith(pattern) or (pattern and pattern in one.long_name.upper()))
    ]
    ordered = sorted(fitting, key=lambda one: (one.ib_symbol != pattern, one.ib_symbol, one.instrument_id))
    rows = tuple(_symbol(listing, one) for one in ordered[:MOST_SYMBOLS])
    return [Answer("symbols", {"request_id": str(request.integer("request_id")), "symbols": rows})]


def _symbol(listing: Listing, instrument: Instrument) -> Record:
    name = instrument.instrument_id
    written = sorted(
        {line.kind.broker_name for line in listing.universe if (line.is_option or line.is_future)
         and listing.underlying(line) == name}
    )  # fmt: skip
    return {
        "con_id": str(contract_number(name)), "symbol": instrument.ib_symbol,
        "security_type": instrument.kind.broker_name,
        "primary_exchange": instrument.primary_exchange or instrument.exchange, "currency": instrument.currency,
        "derivatives": tuple({"security_type": kind} for kind in written), "description": instrument.long_name,
    }  # fmt: skip


def _numbers(listing: Listing) -> set[int]:
    """Numbers of everything that has no expiry."""
    return {
        contract_number(one.instrument_id)
        for one in listing.instruments()
        if not (one.is_option or one.is_future)
    }


def _is_on(listing: Listing, line: Instrument, number: int) -> bool:
    name = listing.underlying(line)
    return name is not None and contract_number(name) == number
