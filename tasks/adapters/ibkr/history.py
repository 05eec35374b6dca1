"""Bars of the past from the broker, paced and in pieces; a session that is not over has no bar of its day."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from datetime import time as day_time
from functools import partial

from ib_insync import IB
from ib_insync.contract import Contract as WireContract
from ib_insync.objects import BarData

from engine.sessions import SessionTable
from tasks.adapters.ibkr.bars import (
    BarPrice,
    DailyBar,
    HourlyBar,
    Piece,
    daily_bar,
    daily_piece,
    hourly_bar,
    hourly_piece,
    in_order,
    in_regular_hours,
    price_of,
)
from tasks.adapters.ibkr.contracts import ContractDesk, Qualified
from tasks.adapters.ibkr.errors import RequestRefused
from tasks.adapters.ibkr.pacing import Asked, HistoryPacing
from tasks.adapters.ibkr.session import IbkrSession
from tasks.adapters.ibkr.units import WireUnits

_DAY, _HOUR = "1 day", "1 hour"
_REFUSED, _NO_DATA = 162, "no data"
_UTC_TIMES = 2
"""The broker's number of times in seconds since 1970, which need no zone."""


class HistoryDesk:
    """Asks for bars. ``seconds`` passes on a clock that nobody sets, and ``pause`` waits on it."""

    def __init__(
        self,
        session: IbkrSession,
        contracts: ContractDesk,
        sessions: SessionTable,
        units: WireUnits,
        *,
        answer_seconds: float = 30.0,
        seconds: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._session, self._contracts, self._sessions = session, contracts, sessions
        self._units, self._answer_seconds = units, answer_seconds
        self._seconds, self._pause, self._pacing = seconds, pause, HistoryPacing()

    def daily_bars(
        self, contract_id: str, first: date, last: date, price: BarPrice | None = None
    ) -> tuple[DailyBar, ...]:
        """Bars of the sessions from first to last that are over, oldest first; empty where the broker has none.

        Raises `RequestRefused` for everything but "no data", `BrokerUnavailable` without an answer.
        """
        known = self._contracts.qualified(contract_id)
        now = self._session.now()
        last = min(last, self._sessions.last_closed(known.instrument.venue, now).session_date)
        if first > last:
            return ()
        price = price or price_of(known.instrument)
        # Bars that are adjusted for dividends are only told up to now.
        end = None if price is BarPrice.ADJUSTED else _midnight_after(last)
        piece = daily_piece(first, last, end, now.date())
        bars = (
            daily_bar(contract_id, known.instrument, told, self._units)
            for told in self._asked(known, piece, _DAY, price)
        )
        return in_order(bar for bar in bars if first <= bar.session_date <= last)

    def hourly_bars(
        self, contract_id: str, first: datetime, last: datetime, price: BarPrice | None = None
    ) -> tuple[HourlyBar, ...]:
        """Bars of the hours that start from first on and are over by last, oldest first; errors as `daily_bars`.

        A piece without bars ends the search: before it there are none.
        """
        known = self._contracts.qualified(contract_id)
        price = price or price_of(known.instrument)
        found: list[HourlyBar] = []
        end = last = min(last, self._session.now())
        while end > first:
            piece = in_order(
                hourly_bar(contract_id, known.instrument, told, self._units)
                for told in self._asked(known, hourly_piece(first, end), _HOUR, price, is_small=True)
            )
            if not piece or piece[0].starts_at >= end:
                break
            found = [*piece, *found]
            end = piece[0].starts_at
        return in_order(bar for bar in found if first <= bar.starts_at <= last - timedelta(hours=1))

    def _asked(
        self, known: Qualified, piece: Piece, size: str, price: BarPrice, *, is_small: bool = False
    ) -> list[BarData]:
        if is_small:
            name = known.contract.contract_id
            asked = Asked(f"{name} {price.value}", f"{name} {price.value} {piece}")
            self._pause(self._pacing.wait(asked, self._seconds()))
        request = partial(
            _bars,
            wire=known.wire,
            piece=piece,
            size=size,
            price=price,
            regular=in_regular_hours(known.instrument),
        )
        try:
            return self._session.call(request, self._answer_seconds)
        except RequestRefused as error:
            if error.code == _REFUSED and _NO_DATA in str(error).lower():
                return []
            raise


async def _bars(
    ib: IB, wire: WireContract, piece: Piece, size: str, price: BarPrice, *, regular: bool
) -> list[BarData]:
    """Ask once. The session's timeout ends the waiting: the library's own answers with nothing."""
    end = "" if piece.end is None else piece.end.astimezone(UTC)
    bars: list[BarData] = await ib.reqHistoricalDataAsync(
        wire, end, piece.duration, size, price.value, regular, _UTC_TIMES, timeout=0
    )
    return bars


def _midnight_after(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), day_time(), tzinfo=UTC)
