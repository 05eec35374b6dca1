"""Rows of what the market said: closes, borrow, dividends and contracts of what is held or was decided on."""

from __future__ import annotations

from datetime import UTC, datetime, time
from decimal import Decimal

from engine.composition.stages import DayInputs
from engine.composition.trading import TradeListDecision
from engine.model.encoding import encode, significant
from engine.model.market import Mark
from engine.model.orders import TargetBook
from engine.model.universe import ContractBook
from engine.sessions import SessionTable
from state.record_values import Record, Tables

DAILY_BAR = "1d"
_BPS = Decimal(10_000)


def named_contracts(inputs: DayInputs, book: TargetBook, trades: TradeListDecision) -> tuple[str, ...]:
    """Contracts that are held, wanted or considered, by id: a record of every listed option would help nobody."""
    names = {name for name, held in inputs.portfolio.positions.items() if held.quantity != 0}
    names |= {line.contract_id for line in book.lines}
    names |= {decision.contract_id for decision in trades.decisions}
    return tuple(sorted(names))


def shorted_contracts(inputs: DayInputs, book: TargetBook, trades: TradeListDecision) -> frozenset[str]:
    """Contracts that are held short, wanted short or considered for a sale."""
    held = {name for name, position in inputs.portfolio.positions.items() if position.quantity < 0}
    wanted = {line.contract_id for line in book.lines if line.quantity < 0}
    return frozenset(held | wanted | {row.contract_id for row in trades.decisions if row.quantity < 0})


def market_rows(
    run_id: str,
    inputs: DayInputs,
    wanted: tuple[str, ...],
    shorted: frozenset[str],
    contracts: ContractBook,
    sessions: SessionTable,
) -> Tables:
    """Facts of the market about some contracts, and the borrow of those that are or may be sold short."""
    scope: Record = {"run_id": run_id, "account": inputs.context.account}
    marks = {name: inputs.market.marks[name] for name in wanted if name in inputs.market.marks}
    return {
        "market_data": [_bar(scope, mark, contracts, sessions) for mark in marks.values()],
        "borrow_quotes": _borrow_rows(scope, inputs, shorted, marks),
        "dividends": _dividend_rows(scope, inputs, frozenset(wanted), contracts),
        "instruments": _contract_rows(run_id, inputs, wanted, contracts),
    }


def _bar(scope: Record, mark: Mark, contracts: ContractBook, sessions: SessionTable) -> Record:
    """The close of a session; what else the session brought is not part of a mark."""
    session = sessions.session(contracts.instrument(mark.contract_id).venue, mark.session_date)
    closed = datetime.combine(mark.session_date, time(), tzinfo=UTC) if session is None else session.close
    return {
        **scope,
        "at": closed,
        "contract_id": mark.contract_id,
        "source": mark.source.value,
        "bar": DAILY_BAR,
        "open": None,
        "high": None,
        "low": None,
        "close": mark.price,
        "volume": None,
    }


def _borrow_rows(
    scope: Record, inputs: DayInputs, shorted: frozenset[str], marks: dict[str, Mark]
) -> list[Record]:
    """Shares to borrow, with the source of the share's own price."""
    return [
        {
            **scope,
            "at": inputs.market.as_of,
            "contract_id": name,
            "available": quote.available_shares,
            "fee_annual": significant(float(quote.fee_bps_annual / _BPS)),
            "source": marks[name].source.value,
        }
        for name, quote in sorted(inputs.market.borrow.items())
        if name in marks and name in shorted
    ]


def _dividend_rows(
    scope: Record, inputs: DayInputs, wanted: frozenset[str], contracts: ContractBook
) -> list[Record]:
    return [
        {
            **scope,
            "contract_id": dividend.instrument_id,
            "ex_date": dividend.ex_date,
            "pay_date": dividend.pay_date,
            "amount": dividend.amount,
            "currency": contracts.instrument(dividend.instrument_id).currency,
        }
        for dividend in inputs.market.dividends
        if dividend.instrument_id in wanted
    ]


def _contract_rows(
    run_id: str, inputs: DayInputs, wanted: tuple[str, ...], contracts: ContractBook
) -> list[Record]:
    """Contracts that are new to the fund: those held at the last decision were written when they were new."""
    known = frozenset[str]() if inputs.previous is None else frozenset(inputs.previous.portfolio.positions)
    rows: list[Record] = []
    for name in wanted:
        if name in known:
            continue
        contract = contracts.contract(name)
        rows.append(
            {
                "run_id": run_id,
                "instrument_id": contract.instrument_id,
                "contract_id": name,
                "broker_contract_id": None,
                "currency": contracts.instrument(name).currency,
                "payload": encode(contract),
            }
        )
    return rows
