"""How long one leg of a roll has stood without the other.

The two legs of a roll are worked at the same time. From the first moment at which their filled parts differ by more
than a lot, the other leg has the policy's seconds to follow; after that a person hears of it (ROLL-02).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from engine.execution.ticket import OrderTicket
from engine.model.orders import ALONE, ExecutionJob, OrderIntent, Reason

Tickets = Mapping[str, OrderTicket]


def roll_imbalance(tickets: Tickets, group: str) -> str | None:
    """What is done of each leg of a roll where one is ahead of the other, ``None`` where they go together."""
    legs = [ticket for ticket in tickets.values() if roll_group(ticket.core.intent) == group]
    if len(legs) < 2:
        return None
    parts = [leg.state.filled / leg.core.intent.quantity for leg in legs]
    lots = [leg.core.instrument.lot / leg.core.intent.quantity for leg in legs]
    # A leg in whole lots can not follow more closely than that.
    if max(parts) - min(parts) <= max(lots) and (max(parts) < 1 or min(parts) == 1):
        return None
    return ", ".join(
        f"{leg.core.intent.contract_id} {leg.state.filled.normalize():f} of {leg.core.intent.quantity.normalize():f}"
        for leg in legs
    )


def roll_group(intent: OrderIntent) -> str | None:
    """Group of a roll's leg, ``None`` for any other order."""
    return intent.group if intent.reason is Reason.ROLL else None


def missing_leg(
    intent: OrderIntent,
    jobs: Iterable[ExecutionJob],
    tickets: Tickets,
    has_market: Callable[[str], bool],
) -> str | None:
    """Leg of the same group at a venue without a market now, so that no leg is opened alone; ``None`` where all trade.

    A venue may close without notice. Once something of the group is done its other legs follow, and what only reduces
    or obeys a limit goes alone.
    """
    if intent.group is None or intent.reduce_only or intent.reason in ALONE:
        return None
    group = [
        (job.venue, leg)
        for job in jobs
        for leg in job.intents
        if leg.group == intent.group and leg.reason not in ALONE
    ]
    if any(leg.intent_id in tickets and tickets[leg.intent_id].state.filled for _, leg in group):
        return None
    own = {venue for venue, leg in group if leg.intent_id == intent.intent_id}
    others = {venue: leg.contract_id for venue, leg in group if venue not in own}
    return next((name for _, name in sorted(others.items()) if not has_market(name)), None)


class LeggingWatch:
    """Since when the legs of each roll differ; ``push`` wakes an action, ``alarm`` hears of a leg left behind."""

    def __init__(
        self,
        tickets: Tickets,
        seconds: float,
        push: Callable[[datetime, Callable[[datetime], None]], None],
        alarm: Callable[[str, str], None],
    ) -> None:
        self._tickets, self._seconds, self._push, self._alarm = tickets, seconds, push, alarm
        self._since: dict[str, datetime] = {}

    def look(self, intent: OrderIntent, now: datetime) -> None:
        """Begin, go on with or end the count for the roll of a parent whose fills may have changed."""
        group = roll_group(intent)
        if group is None:
            return
        if roll_imbalance(self._tickets, group) is None:
            self._since.pop(group, None)
        elif group not in self._since:
            self._since[group] = now
            self._push(now + timedelta(seconds=self._seconds), lambda _: self._due(group, now))

    def _due(self, group: str, since: datetime) -> None:
        text = roll_imbalance(self._tickets, group)
        if text is not None and self._since.get(group) == since:
            self._alarm(group, f"{group} has stood on one leg for {self._seconds:g} s: {text}")
