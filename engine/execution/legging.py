"""How long one leg of a roll has stood without the other.

The two legs of a roll are worked at the same time. From the first moment at which their filled parts differ by more
than a lot, the other leg has the policy's seconds to follow; after that a person hears of it (ROLL-02). The seconds
count from the execution that went ahead, so that a process that dies and comes back does not begin them anew. Where a
run ends with a leg alone it is told at once, for nobody looks any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from engine.execution.analytics import open_usd
from engine.execution.outcome import ExecutionWorld
from engine.execution.ticket import OrderCore, OrderTicket, new_ticket
from engine.model.market import FxRates
from engine.model.money import ZERO
from engine.model.orders import ALONE, ExecutionJob, OrderIntent, Reason

Tickets = Mapping[str, OrderTicket]
Push = Callable[[datetime, Callable[[datetime], None]], None]
STAMP = timedelta(seconds=1)
"""A broker tells the times of executions in whole seconds: what is stamped later than this before now came as it happened."""


def roll_legs(tickets: Tickets, group: str) -> tuple[OrderTicket, ...]:
    """Legs of a roll among some parents."""
    return tuple(ticket for ticket in tickets.values() if roll_group(ticket.core.intent) == group)


def are_apart(legs: Sequence[OrderTicket], done: Mapping[str, Decimal]) -> bool:
    """Whether one leg is ahead of another, with so much ``done`` of each contract."""
    if len(legs) < 2:
        return False
    parts = [done[leg.core.intent.contract_id] / leg.core.intent.quantity for leg in legs]
    lots = [leg.core.instrument.lot / leg.core.intent.quantity for leg in legs]
    # A leg in whole lots can not follow more closely than that.
    return max(parts) - min(parts) > max(lots) or (max(parts) >= 1 and min(parts) != 1)


def apart_now(legs: Sequence[OrderTicket]) -> bool:
    """Whether one leg is ahead of another."""
    return are_apart(legs, {leg.core.intent.contract_id: leg.state.filled for leg in legs})


def apart_since(legs: Sequence[OrderTicket]) -> datetime | None:
    """When the execution was made since which one leg is ahead, ``None`` where the executions go together."""
    done = {leg.core.intent.contract_id: ZERO for leg in legs}
    told = (fill for leg in legs for fill in leg.state.fills.values())  # a spread's to both of its parents
    fills = {fill.root: fill for fill in told if fill.contract_id in done}
    since = None
    for fill in sorted(fills.values(), key=lambda fill: (fill.executed_at, fill.root)):
        done[fill.contract_id] += fill.quantity
        since = (since or fill.executed_at) if are_apart(legs, done) else None
    return since


def alone_text(legs: Sequence[OrderTicket], fx: FxRates) -> str:
    """What is done of each leg, and the value of what stands without the other at the decision's prices."""
    parts, planned, net = [], ZERO, ZERO
    for leg in legs:
        intent, filled = leg.core.intent, leg.state.filled
        parts.append(f"{intent.contract_id} {filled.normalize():f} of {intent.quantity.normalize():f}")
        value = leg.core.instrument.notional(Decimal(intent.side.sign), intent.decision_price)
        unit = fx.to_base(value, leg.core.instrument.currency)
        planned, net = planned + unit * intent.quantity, net + unit * filled
    return f"{', '.join(parts)}; {open_usd(planned, net):,.0f} USD stand alone"


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


def _noticed(legs: Sequence[OrderTicket], now: datetime) -> datetime:
    """Since when one leg is ahead that is noticed now: since now, unless the execution was told late."""
    since = apart_since(legs) or now
    return since if since < now - STAMP else now


class LeggingWatch:
    """Since when the legs of each roll differ; ``push`` wakes an action, ``alarm`` hears of a leg left behind."""

    def __init__(
        self,
        world: ExecutionWorld,
        jobs: Sequence[ExecutionJob],
        tickets: Tickets,
        push: Push,
        alarm: Callable[[str, str], None],
    ) -> None:
        self._world, self._jobs, self._tickets = world, jobs, tickets
        self._push, self._alarm = push, alarm
        self._since: dict[str, datetime] = {}

    def look(self, intent: OrderIntent, now: datetime) -> None:
        """Begin, go on with or end the count for the roll of a parent whose fills may have changed."""
        group = roll_group(intent)
        if group is None:
            return
        legs = roll_legs(self._tickets, group)
        if not apart_now(legs):
            self._since.pop(group, None)
        elif group not in self._since:
            since = self._since[group] = _noticed(legs, now)
            due = since + timedelta(seconds=self._world.execution.max_legging_seconds)
            self._push(due, lambda at: self._due(group, since, at))

    def _due(self, group: str, since: datetime, now: datetime) -> None:
        legs = roll_legs(self._tickets, group)
        if apart_now(legs) and self._since.get(group) == since:
            self._tell(group, legs, since, now)

    def leave(self, now: datetime) -> None:
        """The run ends: tell what stands on one leg, also of a roll that an earlier attempt began, or ended untold.

        What this run worked comes first: the book, which knows the rest, may be what failed.
        """
        rolls: dict[str, list[tuple[ExecutionJob, OrderIntent]]] = {}
        for job in (*self._jobs, *self._world.finished.values()):
            for leg in job.intents:
                if (group := roll_group(leg)) is not None:
                    rolls.setdefault(group, []).append((job, leg))
        for group in sorted(rolls, key=lambda name: (self._is_left_over(rolls[name]), name)):
            legs = [self._ticket(job, leg) for job, leg in rolls[group]]
            if apart_now(legs):
                since = self._since.get(group) or _noticed(legs, now)
                self._tell(group, legs, since, now, " when the run ended")

    def _is_left_over(self, roll: Iterable[tuple[ExecutionJob, OrderIntent]]) -> bool:
        return any(leg.intent_id not in self._tickets for _, leg in roll)

    def _ticket(self, job: ExecutionJob, leg: OrderIntent) -> OrderTicket:
        """A leg as this run has it, or as the book has it that this run did not begin."""
        found = self._tickets.get(leg.intent_id)
        if found is not None:
            return found
        world = self._world
        return new_ticket(
            OrderCore(
                intent=leg,
                instrument=world.prices.contracts.instrument(leg.contract_id),
                window_end=job.ends_at,
                quantity=leg.quantity,
                children=world.book.children(leg.intent_id),
            )
        )

    def _tell(
        self, group: str, legs: Sequence[OrderTicket], since: datetime, now: datetime, when: str = ""
    ) -> None:
        seconds, text = (now - since).total_seconds(), alone_text(legs, self._world.prices.fx)
        self._alarm(group, f"{group} has stood on one leg for {seconds:.0f} s{when}: {text}")
