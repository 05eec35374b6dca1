"""Which futures and options are listed, and when each stops trading.

Comes in: an instrument's expiry rule and delivery months, and its venue's sessions. Goes out: contracts with
their last trade and first notice dates. Holidays are those of the session table: the caller gives a table that
reaches `LISTING_DAYS` beyond the last day it asks for, for contracts that expire after the table are not listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np

from engine.errors import InvariantError
from engine.model.instruments import (
    Contract,
    ExpiryRule,
    Instrument,
    future_contract_id,
)
from engine.sessions import SessionTable

LISTING_DAYS = 280
"""Calendar days before its last trade on which a contract begins to trade: three quarterlies, nine monthlies."""

_WEDNESDAY, _FRIDAY = 2, 4


def business_calendar(sessions: SessionTable, venue: str) -> np.busdaycalendar:
    """Business days of a venue for numpy: weekdays less the closed days that the table knows."""
    days = np.arange(np.datetime64(sessions.first), np.datetime64(sessions.last) + 1)
    weekdays = days[np.is_busday(days)]
    trading = np.array([session.session_date for session in sessions.venues[venue]], dtype="datetime64[D]")
    return np.busdaycalendar(holidays=np.setdiff1d(weekdays, trading))


def shift_business_days(day: date, days: int, calendar: np.busdaycalendar) -> date:
    """A date moved by business days; a closed date first moves forward to the next business day."""
    moved = np.busday_offset(np.datetime64(day), days, roll="forward", busdaycal=calendar)
    return _to_date(moved)


def third_weekday(year: int, month: int, weekday: int) -> date:
    """Third Wednesday (2), Friday (4), … of a month."""
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 14)


def last_trade_date(rule: ExpiryRule, year: int, month: int, calendar: np.busdaycalendar) -> date:
    """Last trade date of a delivery month under an expiry rule.

    Third Friday and the volatility Wednesday move to the business day before when closed; currencies stop two
    business days before the third Wednesday; Eurex bonds two before the delivery day (the 10th or the business day
    after); Treasury notes seven before the last business day of the month. Raises `InvariantError` for a rule
    without expiry.
    """
    if rule is ExpiryRule.THIRD_FRIDAY:
        friday = third_weekday(year, month, _FRIDAY)
        return _to_date(np.busday_offset(np.datetime64(friday), 0, roll="backward", busdaycal=calendar))
    if rule is ExpiryRule.THIRD_WEDNESDAY_LESS_2:
        return shift_business_days(third_weekday(year, month, _WEDNESDAY), -2, calendar)
    if rule is ExpiryRule.VIX_WEDNESDAY:
        return _volatility_wednesday(year, month, calendar)
    if rule is ExpiryRule.EUREX_BOND:
        delivery = shift_business_days(date(year, month, 10), 0, calendar)
        return shift_business_days(delivery, -2, calendar)
    if rule is ExpiryRule.TREASURY_NOTE:
        return shift_business_days(_month_after(year, month), -8, calendar)
    raise InvariantError(f"expected a rule with an expiry, found {rule.value!r}")


def _volatility_wednesday(year: int, month: int, calendar: np.busdaycalendar) -> date:
    """30 days before the third Friday of the next month; the day before when either of the two is closed."""
    following = _month_after(year, month)
    friday = third_weekday(following.year, following.month, _FRIDAY)
    wednesday = friday - timedelta(days=30)
    both_open = bool(
        np.is_busday(np.array([wednesday, friday], dtype="datetime64[D]"), busdaycal=calendar).all()
    )
    return wednesday if both_open else shift_business_days(wednesday, -1, calendar)


def first_notice_date(rule: ExpiryRule, year: int, month: int, calendar: np.busdaycalendar) -> date | None:
    """First day on which delivery can be assigned, where that is before the last trade date (Treasury notes).

    Currencies and Eurex bonds are delivered after their last trade, so nothing comes earlier.
    """
    if rule is ExpiryRule.TREASURY_NOTE:
        return shift_business_days(date(year, month, 1), -1, calendar)
    return None


def listed_from(contract: Contract) -> date:
    """First calendar day on which a generated contract is listed."""
    if contract.last_trade_date is None:
        raise InvariantError(f"{contract.contract_id}: only contracts with an expiry have a listing day")
    return contract.last_trade_date - timedelta(days=LISTING_DAYS)


def list_futures(
    instrument: Instrument, sessions: SessionTable, calendar: np.busdaycalendar, first: date, last: date
) -> tuple[Contract, ...]:
    """Contracts of a future that are listed on any day from ``first`` to ``last``, by last trade date."""
    contracts = []
    for year, month in months_between(first, last + timedelta(days=LISTING_DAYS + 31)):
        if month not in instrument.months:
            continue
        expiry = last_trade_date(instrument.expiry_rule, year, month, calendar)
        if expiry < first or expiry - timedelta(days=LISTING_DAYS) > last or expiry > sessions.last:
            continue
        contracts.append(
            Contract(
                contract_id=future_contract_id(instrument.instrument_id, expiry),
                instrument_id=instrument.instrument_id,
                last_trade_date=expiry,
                first_notice_date=first_notice_date(instrument.expiry_rule, year, month, calendar),
            )
        )
    return tuple(contracts)


def option_expiries(
    rule: ExpiryRule, sessions: SessionTable, calendar: np.busdaycalendar, first: date, last: date
) -> tuple[date, ...]:
    """Monthly option expiries from ``first`` to ``last`` (third Friday unless the rule says otherwise)."""
    monthly = ExpiryRule.THIRD_FRIDAY if rule is ExpiryRule.NONE else rule
    expiries = (
        last_trade_date(monthly, year, month, calendar)
        for year, month in months_between(first, min(last, sessions.last))
    )
    return tuple(expiry for expiry in expiries if first <= expiry <= last)


def months_between(first: date, last: date) -> Iterator[tuple[int, int]]:
    """Year and month of every month touched from ``first`` to ``last``."""
    for index in range(first.year * 12 + first.month - 1, last.year * 12 + last.month):
        yield index // 12, index % 12 + 1


def _month_after(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1)


def _to_date(value: np.datetime64) -> date:
    converted = value.astype("datetime64[D]").item()
    assert isinstance(converted, date)
    return converted
