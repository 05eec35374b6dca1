"""The expiries of a future that the broker lists: one contract a delivery month, by last trade date.

The broker tells no first notice date: it follows from the line's rule (Treasury notes are delivered before their last
trade) and the venue's calendar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime

import numpy as np
from ib_insync.contract import Contract as WireContract
from ib_insync.contract import ContractDetails

from engine.errors import ConfigurationError, UnknownContract
from engine.model.instruments import Contract, Instrument, future_contract_id
from engine.simulation.chains import first_notice_date, last_trade_date
from tasks.adapters.ibkr.contracts import ContractDesk, wire_contract
from tasks.adapters.ibkr.records import contract_expiry, exact

_Listed = tuple[tuple[int, int], date, WireContract]
"""Delivery month (year, month), last trade date and contract."""


def listed_futures(
    desk: ContractDesk, instrument: Instrument, today: date, calendar: np.busdaycalendar | None = None
) -> tuple[Contract, ...]:
    """A future's listed contracts of its own delivery months that still trade, nearest first.

    With the venue's ``calendar`` they have their first notice dates, and of several contracts of one month (weekly
    ones beside the monthly) the one is meant whose date the line's rule gives.

    Raises `UnknownContract` when the broker lists none with the instrument's multiplier, `ConfigurationError` when it
    lists other multipliers beside it or one delivery month twice.
    """
    asked = wire_contract(instrument, Contract(contract_id="", instrument_id=instrument.instrument_id))
    rows = [
        (row, row.contract)
        for row in desk.details(asked)
        if row.contract is not None and row.contract.currency == instrument.currency
    ]
    _check_multipliers(instrument, (wire for _, wire in rows))
    listed = [
        (month, _day(contract_expiry(wire.lastTradeDateOrContractMonth)), wire)
        for month, wire in ((_delivery(row, wire), wire) for row, wire in rows)
        if month[1] in instrument.months
    ]
    alive = sorted((row for row in listed if row[1] >= today), key=lambda row: row[1])
    if calendar is not None:
        alive = _by_rule(instrument, alive, calendar)
    if not alive:
        raise UnknownContract(
            f"{instrument.instrument_id}: expected listed expiries of {instrument.ib_symbol} on {instrument.exchange} "
            f"with a multiplier of {instrument.multiplier}, found none; correct its line in instruments.yaml",
            subject=instrument.instrument_id,
        )
    _check_months(instrument, alive)
    return tuple(
        Contract(
            contract_id=future_contract_id(instrument.instrument_id, day),
            instrument_id=instrument.instrument_id,
            last_trade_date=day,
            first_notice_date=None
            if calendar is None
            else first_notice_date(instrument.expiry_rule, *month, calendar),
        )
        for month, day, _ in alive
    )


def _check_multipliers(instrument: Instrument, wires: Iterable[WireContract]) -> None:
    """A broker that was asked for one multiplier and tells of others has several products under this name."""
    others = sorted(
        {
            f"{wire.localSymbol} with {wire.multiplier or 'none'}"
            for wire in wires
            if not wire.multiplier or exact(wire.multiplier) != instrument.multiplier
        }
    )
    if others:
        raise ConfigurationError(
            f"{instrument.instrument_id}: expected contracts with a multiplier of {instrument.multiplier} alone, found "
            f"{', '.join(others)}; correct its line in instruments.yaml"
        )


def _by_rule(instrument: Instrument, listed: list[_Listed], calendar: np.busdaycalendar) -> list[_Listed]:
    """Each month's only contract, or of several the one on the date of the rule."""
    count = Counter(month for month, _, _ in listed)
    return [
        row
        for row in listed
        if count[row[0]] == 1 or row[1] == last_trade_date(instrument.expiry_rule, *row[0], calendar)
    ]


def _check_months(instrument: Instrument, listed: list[_Listed]) -> None:
    count = Counter(month for month, _, _ in listed)
    doubled = [
        f"{wire.localSymbol} ({wire.tradingClass}) of {month[0]}-{month[1]:02d}"
        for month, _, wire in listed
        if count[month] > 1
    ]
    if doubled:
        raise ConfigurationError(
            f"{instrument.instrument_id}: expected one contract a delivery month, found {', '.join(doubled)}"
        )


def _delivery(row: ContractDetails, wire: WireContract) -> tuple[int, int]:
    """Year and month of delivery, which is not always that of the last trade."""
    text = row.contractMonth or contract_expiry(wire.lastTradeDateOrContractMonth)
    return int(text[:4]), int(text[4:6])


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date alone
