"""What a seed draws: the day's orders, the market they meet, and which faults strike how often.

Every fault has a stream of random numbers of its own, so that leaving one fault out changes nothing of the others:
that is what lets a failing seed be made smaller.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum

from engine.model.instruments import VenueGroup
from engine.model.orders import (
    ExecutionJob,
    ExecutionStyle,
    LiquidityWindow,
    OrderIntent,
    Reason,
    Side,
    Urgency,
)
from state.gate import OrderLimits
from tests.engine.simulation.exchange_world import CONTRACTS, EURO, FUTURE, NEXT, UNIVERSE, World, utc
from tests.simulation.order_days import auctions, legs


class Fault(Enum):
    """Everything that may go wrong; the text says what it does to the day."""

    DEATH = "the process ends at an effect"
    STATEMENT = "the database fails at a statement"
    COMMIT_LOST = "a commit fails and is rolled back"
    COMMIT_UNKNOWN = "a commit is made and its answer is lost"
    SEND_LOST = "the line breaks and the order never arrives"
    SEND_UNKNOWN = "the line breaks after the order arrived"
    SEND_SILENT = "an order vanishes without a word"
    CANCEL_LOST = "a cancel never arrives"
    MESSAGE_LOST = "a message never comes"
    MESSAGE_LATE = "a message comes late"
    MESSAGE_TWICE = "a message comes twice"
    MESSAGE_SWAPPED = "two messages change places"
    FALSE_CANCEL = "an error code says cancelled of an order that works"
    REJECT = "the broker rejects an order"
    QUERY_FAILS = "a query is not answered"
    QUERY_LAGS = "a query does not list the newest order yet"
    QUERY_EMPTY = "a query is answered with an empty list"
    DISCONNECT = "the line is cut and what it would have told is gone"
    LINE_DOWN = "the line is down for a while and what it would have told comes after"
    HALF_OPEN = "the line is half open: nothing arrives and nothing comes, without a word"
    SESSION_TAKEN = "the broker refuses the session: another one holds it"
    IDS_REISSUED = "the broker's order numbers roll back and are given out again"
    MIDNIGHT = "the broker's lists begin anew"
    QUOTE_MISSING = "there is no quote"
    QUOTE_STALE = "a quote is old"
    QUOTE_CROSSED = "bid stands above ask"
    QUOTE_ONE_SIDED = "one side is missing"
    QUOTE_ZERO = "a side is zero"
    QUOTE_NAN = "a side is no number"
    QUOTE_NEGATIVE = "both sides say -1, which stands for no data"
    QUOTE_DELAYED = "a quote is a quarter of an hour old and has moved since"
    QUOTE_WIDE = "the spread is a hundred times as wide"
    CLOCK_STEP = "the clock jumps ahead"
    CLOCK_BACK = "the clock steps back"
    SECOND_WRITER = "another process takes the run over while this one lives on"
    HALT = "trading is halted"
    REDUCING = "only reductions may leave"
    RESTORE = "the database is restored from the morning, or from the last attempt"
    REJECT_LATE = "the broker rejects an order that it had taken"
    COMMISSION_LATE = "an execution is told before its commission"
    LATE_FILL = "an order trades after the broker said that it was cancelled"
    CORRECTION = "the broker corrects an execution"
    BUST = "the broker takes an execution back"
    TERMINATE = "the process is asked to end (SIGTERM)"
    FOREIGN_ORDER = "an order of somebody else works in the account"
    FOREIGN_TRADE = "somebody else trades in the account"
    CUTOFF_DEATH = "the process ends around an auction's cut-off"
    LATE_START = "the next attempt begins up to three quarters of an hour later"
    AUCTION_MOVED = "an auction is held some minutes late"
    AUCTION_UNHEARD = "nobody tells how an order for an auction ended"
    LEG_REFUSED = "the broker refuses the second leg of a roll"


RATES = (0.003, 0.01, 0.03, 0.1)
RARE = frozenset(
    {
        Fault.SECOND_WRITER, Fault.HALT, Fault.REDUCING, Fault.CLOCK_STEP, Fault.CLOCK_BACK, Fault.DISCONNECT,
        Fault.HALF_OPEN, Fault.STATEMENT, Fault.MIDNIGHT, Fault.REJECT_LATE, Fault.LATE_FILL, Fault.TERMINATE,
        Fault.FOREIGN_ORDER, Fault.FOREIGN_TRADE,
    }
)  # fmt: skip
"""Faults with many occasions a day: they are drawn ten times more rarely."""

FREQUENT = frozenset(
    {
        Fault.CUTOFF_DEATH, Fault.LATE_START, Fault.AUCTION_MOVED, Fault.AUCTION_UNHEARD, Fault.LEG_REFUSED,
    }
)  # fmt: skip
"""Faults with few occasions a day: they are drawn ten times more often."""

LATER: Mapping[Fault, float] = {
    Fault.TERMINATE: 0.3, Fault.FOREIGN_ORDER: 0.15, Fault.FOREIGN_TRADE: 0.15, Fault.CUTOFF_DEATH: 0.4,
    Fault.LATE_START: 0.2, Fault.AUCTION_MOVED: 0.4, Fault.AUCTION_UNHEARD: 0.4,
    Fault.LEG_REFUSED: 0.8,
}  # fmt: skip
"""Faults that came after the first recorded days, and on which share of the days each may strike.

Each is drawn from numbers of its own, so that the days that it leaves alone stay what they were.
"""

STOPS = frozenset({Fault.HALT, Fault.REDUCING})

OFTEN = 0.1

BUYABLE = ("AAA", "PEN", "EUR.USD", FUTURE, EURO)
_FIRST_DAY, _DAYS = date(2024, 3, 4), 8


WIDE = OrderLimits(
    max_orders=500, max_order_usd=Decimal(1_000_000_000), max_turnover_usd=Decimal(1_000_000_000)
)
"""Limits that no drawn day reaches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnDay:
    """One seed's day: jobs of at least one order, depth and drift of the market, the rate of every fault, the limits."""

    seed: int
    day: date
    jobs: tuple[ExecutionJob, ...]
    depth: Decimal
    drift: int
    rates: dict[Fault, float]
    limits: OrderLimits = WIDE

    @property
    def starts(self) -> datetime:
        """When the execution run begins."""
        return utc(self.day, 7)


def often(*faults: Fault) -> dict[Fault, float]:
    """Rates for `draw` at which a few faults strike several times a day; those with few occasions, on each of them."""
    return {fault: 1.0 if fault in FREQUENT else OFTEN for fault in faults}


def draw(seed: int, only: Mapping[Fault, float] | None = None) -> DrawnDay:
    """The day of a seed; the same seed is always the same day. With ``only``, just those faults at those rates."""
    chance = random.Random(f"{seed}|day")
    day = _FIRST_DAY + timedelta(days=chance.randrange(_DAYS))
    while day.weekday() > 4:
        day += timedelta(days=1)
    faults = [fault for fault in Fault if fault not in LATER and chance.random() < 0.3]
    rates = {fault: _rate(fault, chance) for fault in faults}
    for fault, share in LATER.items():
        own = random.Random(f"{seed}|{fault.name}|rate")
        if own.random() < share:
            rates[fault] = _rate(fault, own)
    if only is not None:
        rates = dict(only)
    return DrawnDay(
        seed=seed,
        day=day,
        jobs=(*_continuous_jobs(seed, chance, day, rates), *_later_jobs(seed, day, only is not None)),
        depth=Decimal(chance.choice((20, 150, 100_000))),
        drift=chance.choice((0, 0, 1, 4)),
        rates=rates,
        limits=WIDE if only is not None else _limits(random.Random(f"{seed}|limits")),
    )


def _continuous_jobs(
    seed: int, chance: random.Random, day: date, rates: Mapping[Fault, float]
) -> tuple[ExecutionJob, ...]:
    jobs = _jobs(chance, day)
    return _reducing(seed, jobs) if rates.keys() & STOPS else jobs


def _later_jobs(seed: int, day: date, is_for_tests: bool) -> tuple[ExecutionJob, ...]:
    """Jobs for auctions and of rolls by legs, which came after the first recorded days too."""
    auction_share = auctions.SHARE_OF_TESTS if is_for_tests else auctions.SHARE
    leg_share = legs.SHARE_OF_TESTS if is_for_tests else legs.SHARE
    return (*auctions.auction_jobs(seed, day, auction_share), *legs.leg_jobs(seed, day, leg_share))


def _rate(fault: Fault, chance: random.Random) -> float:
    return chance.choice(RATES) * (0.1 if fault in RARE else 10.0 if fault in FREQUENT else 1.0)


def _limits(chance: random.Random) -> OrderLimits:
    """Of a quarter of the days limits that their orders meet: a lot of ES is 250,000 USD, a share AAA 100."""
    if chance.random() >= 0.25:
        return WIDE
    return OrderLimits(
        max_orders=chance.choice((2, 4, 8, WIDE.max_orders)),
        max_order_usd=chance.choice((Decimal(30_000), Decimal(600_000), WIDE.max_order_usd)),
        max_turnover_usd=chance.choice((Decimal(50_000), Decimal(1_500_000), WIDE.max_turnover_usd)),
    )


def _reducing(seed: int, jobs: tuple[ExecutionJob, ...]) -> tuple[ExecutionJob, ...]:
    """The same jobs, where a third of the orders but those of rolls only reduce: some may leave when others may not."""
    chance = random.Random(f"{seed}|reducing")
    return tuple(
        replace(
            job,
            intents=tuple(
                replace(intent, reduce_only=chance.random() < 1 / 3 and intent.reason is not Reason.ROLL)
                for intent in job.intents
            ),
        )
        for job in jobs
    )


def _jobs(chance: random.Random, day: date) -> tuple[ExecutionJob, ...]:
    jobs: list[ExecutionJob] = []
    for number in range(chance.randint(1, 3)):
        contracts = chance.sample(BUYABLE, chance.randint(1, 2))
        intents = tuple(_intent(chance, f"{day}|{number}|{name}", name) for name in contracts)
        if number == 0 and chance.random() < 0.4:
            intents += roll_intents(f"{day}|roll", chance.randint(1, 6), chance.randint(1, 6))
        start = utc(day, 15) + timedelta(minutes=chance.randrange(0, 50, 10))
        end = start + timedelta(minutes=chance.choice((5, 15, 25)))
        after = tuple(job.job_id for job in jobs if chance.random() < 0.3)
        window = LiquidityWindow(venue="US", style=ExecutionStyle.MIDDAY, start=start, end=end)
        jobs.append(
            ExecutionJob(
                job_id=f"job-{number}",
                trade_date=day,
                venue="US",
                venue_group=VenueGroup.US,
                style=ExecutionStyle.MIDDAY,
                window=window,
                group="strategy/core",
                after=after,
                intents=intents,
                content_digest=f"content-{number}",
            )
        )
    return tuple(jobs)


def _intent(chance: random.Random, name: str, contract_id: str) -> OrderIntent:
    instrument = UNIVERSE[CONTRACTS[contract_id].instrument_id]
    side = Side.BUY if chance.random() < 0.7 or contract_id in ("AAA", "PEN") else Side.SELL
    quantity = Decimal(chance.randint(1, 8) if instrument.is_future else chance.randint(50, 400))
    urgency = chance.choice((Urgency.NORMAL, Urgency.NORMAL, Urgency.HIGH, Urgency.LOW))
    return _order(name, contract_id, side, quantity, urgency)


def _order(name: str, contract_id: str, side: Side, quantity: Decimal, urgency: Urgency) -> OrderIntent:
    return OrderIntent(
        intent_id=name,
        contract_id=contract_id,
        instrument_id=CONTRACTS[contract_id].instrument_id,
        side=side,
        quantity=quantity,
        reason=Reason.REBALANCE,
        urgency=urgency,
        group=None,
        reduce_only=False,
        sleeves={"core_index_rv": quantity * side.sign},
        decision_price=World().closes[contract_id],
    )


def roll_intents(name: str, closed: int, opened: int) -> tuple[OrderIntent, OrderIntent]:
    """A roll of a long future: the old contract's parent, and the new one's, which is worked as spreads with it."""
    near = _order(f"{name}|{FUTURE}", FUTURE, Side.SELL, Decimal(closed), Urgency.NORMAL)
    far = _order(f"{name}|{NEXT}", NEXT, Side.BUY, Decimal(opened), Urgency.NORMAL)
    return replace(near, reason=Reason.ROLL), replace(far, reason=Reason.ROLL, near_intent_id=near.intent_id)


class ProcessDeath(BaseException):
    """The process ended here: nothing after this point happens."""


@dataclass
class Dice:
    """Draws the faults of one day and keeps the log of what happened, from which its digest is made.

    ``kills`` are the effects after which the process ends; ``choice`` is asked after every other one.
    """

    drawn: DrawnDay
    kills: frozenset[int] = frozenset()
    moments: int = 0
    is_dead: bool = False
    faults_on: bool = True
    fired: Counter[Fault] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    choice: Callable[[], bool] | None = None
    streams: dict[Fault, random.Random] = field(default_factory=dict)

    def strikes(self, fault: Fault) -> bool:
        """Whether a fault strikes on this occasion."""
        rate = self.drawn.rates.get(fault, 0.0)
        if not self.faults_on or self.is_dead or rate == 0.0 or self._stream(fault).random() >= rate:
            return False
        self.fired[fault] += 1
        self.note(f"fault {fault.name}")
        return True

    def amount(self, fault: Fault, low: float, high: float) -> float:
        """How much, for a fault that struck."""
        return self._stream(fault).uniform(low, high)

    def moment(self, name: str) -> None:
        """A place after an effect, where a process may end; before the next effect the world is the same."""
        if self.is_dead:
            raise ProcessDeath
        self.moments += 1
        chosen = self.choice is not None and self.choice()
        if chosen or self.moments in self.kills or self.strikes(Fault.DEATH):
            self.fired[Fault.DEATH] += self.moments in self.kills
            self.note(f"death at {name}")
            self.is_dead = True
            raise ProcessDeath

    def note(self, text: str) -> None:
        """One line of the day's log."""
        self.log.append(text)

    def _stream(self, fault: Fault) -> random.Random:
        if fault not in self.streams:
            self.streams[fault] = random.Random(f"{self.drawn.seed}|{fault.name}")
        return self.streams[fault]
