"""How old is a mark? In sessions of its own venue that could have brought a newer one (R-105)."""

from __future__ import annotations

from datetime import date, timedelta

from engine.sessions import SessionTable

_SETTLED_WITH = {"CME": "NYSE", "CBOT": "NYSE"}
"""These trade for some hours on holidays of the stock exchange; the trades count to the next day, which settles them."""


def mark_age(sessions: SessionTable, venue: str, priced: date, last_session: date) -> int:
    """Sessions of the venue after the price's up to its last closed one, without those that bring no settlement."""
    if priced >= last_session:
        return 0
    start = max(priced, sessions.first)
    return sessions.sessions_between(venue, start, last_session) - _unsettled(
        sessions, venue, start, last_session
    )


def _unsettled(sessions: SessionTable, venue: str, start: date, end: date) -> int:
    """Shortened sessions after ``start`` up to ``end`` on holidays of the stock exchange."""
    stocks = _SETTLED_WITH.get(venue)
    if stocks is None or stocks not in sessions.venues:
        return 0
    days = (start + timedelta(days=ahead) for ahead in range(1, (end - start).days + 1))
    held = (session for day in days if (session := sessions.session(venue, day)) is not None)
    return sum(
        session.early_close and not sessions.is_session(stocks, session.session_date) for session in held
    )
