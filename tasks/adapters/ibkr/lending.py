"""What the broker tells of shares beside their price: whether they can be borrowed, and what they pay.

Both come as generic ticks of a running request. The interface tells no fee of a loan: the fund's configured default
stands for it (CARRY-01, R-73). What is not told is absent, so that no short is opened on it.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BorrowInfo, DividendInfo
from engine.model.money import ZERO, round_money
from tasks.adapters.ibkr.lines import Line, Tick
from tasks.adapters.ibkr.units import WireUnits

SHORTABLE_TICKS, DIVIDEND_TICKS = "236", "456"
_AVAILABLE, _NONE = Decimal("2.5"), Decimal("1.5")
"""Levels: above the first at least a thousand shares can be borrowed at once, up to the second there are none.

Between them shares have to be located: as many as the broker names, and none where it names no number.
"""

_LEAST_AVAILABLE = Decimal(1000)
_WHOLE_WITHIN = Decimal("0.02")


def is_lent(instrument: Instrument) -> bool:
    """Whether a short of this line borrows shares, and a holder is paid dividends."""
    return instrument.kind in (InstrumentType.STK, InstrumentType.ETF)


def is_shortability_told(line: Line) -> bool:
    """Whether both the level and the number of shares came."""
    return Tick.SHORTABLE in line.values and Tick.SHORTABLE_SHARES in line.sizes


def are_dividends_told(line: Line) -> bool:
    """Whether the tick of dividends came."""
    return Tick.DIVIDENDS in line.texts


def borrow_info(instrument_id: str, line: Line, fee_bps_annual: Decimal) -> BorrowInfo | None:
    """Shares to borrow, ``None`` where nothing was told."""
    level, shares = line.values.get(Tick.SHORTABLE), line.sizes.get(Tick.SHORTABLE_SHARES)
    if line.code or level is None:  # a number of shares without its level does not say that they are lent
        return None
    if shares is None:
        available = _LEAST_AVAILABLE if level > _AVAILABLE else ZERO
    else:
        available = max(ZERO, shares) if level > _NONE else ZERO
    return BorrowInfo(instrument_id=instrument_id, available_shares=available, fee_bps_annual=fee_bps_annual)


def dividend_info(instrument: Instrument, line: Line, units: WireUnits) -> DividendInfo | None:
    """What a share paid in a year and pays next, of ``paid,expected,next date,next amount``.

    ``None`` where nothing was told or nothing was paid. The broker tells no number of payments: it is what the
    expected year is to the next payment where that is a whole number, else 0.
    """
    fields = line.texts.get(Tick.DIVIDENDS, "").split(",")
    if line.code or len(fields) != 4:
        return None
    paid, expected, amount = (_number(fields[place]) for place in (0, 1, 3))
    if paid is None or paid <= 0:
        return None
    return DividendInfo(
        instrument_id=instrument.instrument_id,
        ex_date=_date(fields[2]),
        paid_annual=round_money(units.dividend(instrument, paid)),
        payments_annual=_payments(expected, amount),
    )


def _payments(expected: Decimal | None, amount: Decimal | None) -> int:
    if expected is None or amount is None or amount <= 0:
        return 0
    times = expected / amount
    whole = times.to_integral_value()
    # 0.92 a year in payments of 0.23 are 4; amounts are told to the cent, so the quotient is not quite whole.
    return int(whole) if abs(times - whole) <= _WHOLE_WITHIN * whole else 0


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _date(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a date alone
    except ValueError:
        return None
