"""The world behind `fund gateway`: a market, an account in a file of its own, and the clock that it lives by.

The account lies in ``$FUND_HOME/gateway/<account>.sqlite``, apart from those of the simulated modes. With the seed and
the first date of a simulated run it meets the same market and the same exchange.
"""

from __future__ import annotations

import fcntl
import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from engine.errors import ConfigurationError, RefusedError, SupersededError
from engine.model.encoding import decode
from engine.simulation.account import Posting
from engine.simulation.broker import AccountOpening, SimulatedBroker
from engine.simulation.journal import RecordKind
from engine.simulation.terms import BrokerTerms
from tasks.adapters.simulated_account import SqliteJournal, open_account
from tasks.adapters.simulated_gateway.faults import ScriptedFacts
from tasks.adapters.simulated_gateway.gateway import Gateway
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.market import GatewayMarket
from tasks.adapters.simulated_gateway.order_book import PlacedOrders
from tasks.adapters.simulated_gateway.references import references_of
from tasks.adapters.simulated_gateway.served import ServedMarket
from tasks.adapters.simulated_gateway.tape import Tape
from tasks.adapters.simulated_gateway.world import GatewayWorld
from tasks.broker_place import ACCOUNT_NAME
from tasks.options import WorldOptions, fund_home
from tasks.runtime import World, day_start

PAPER_ACCOUNT = "DU1234567"
FOLDER = "gateway"
KNOWN_AHEAD = timedelta(days=30)
"""How far the market reaches beyond the start, unless it is told otherwise."""

FURTHEST_AHEAD = timedelta(days=731)
"""How far a generated market reaches at most: beyond that its contracts run out of numbers of their own."""

FASTEST = 86_400.0
"""A day in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """What a gateway is asked for.

    ``first`` is when a new account is opened (an old one goes on where it was), ``last`` the last date of the market.
    ``speed`` is how many seconds pass in one on the real clock, ``None`` for virtual time.
    """

    first: datetime
    last: date
    profile: str = "paper"
    account: str = PAPER_ACCOUNT
    store: Path | None = None
    seed: int = 1
    speed: float | None = 1.0
    pence_ticks: bool = True
    pence_executions: bool = True

    def __post_init__(self) -> None:
        if not ACCOUNT_NAME.fullmatch(self.account):
            raise ConfigurationError(
                f"expected an account of letters and digits like {PAPER_ACCOUNT}, found {self.account!r}; "
                "its file is called after it"
            )
        if self.last < self.first.date():
            raise ConfigurationError(
                f"expected a market that lasts until {self.first:%Y-%m-%d} or longer, found its end on {self.last}; "
                "give a later --until"
            )
        if self.store is None and self.last > (self.first + FURTHEST_AHEAD).date():
            raise ConfigurationError(
                f"expected a generated market of at most {FURTHEST_AHEAD.days} days, found one from "
                f"{self.first:%Y-%m-%d} until {self.last}; give an earlier --until"
            )
        if self.speed is not None and not 0 < self.speed <= FASTEST:
            raise ConfigurationError(
                f"expected a clock that runs forward by at most {FASTEST:g} seconds in one, found a speed of "
                f"{self.speed:g}; give another --speed"
            )


def gateway_path(home: Path, account: str) -> Path:
    """Where an account's file lies."""
    return home / FOLDER / f"{account}.sqlite"


def open_gateway(options: GatewayOptions) -> Gateway:
    """The gateway of these options; close it when done.

    Raises `ConfigurationError` when the account's file has another seed.
    """
    home = fund_home()
    path = gateway_path(home, options.account)
    opened = opened_at(path) or options.first
    world = World(
        WorldOptions(
            profile=options.profile, first=opened.date(), last=options.last, store=options.store,
            seed=options.seed, home=home / FOLDER, behind_gateway=True,
        )
    )  # fmt: skip
    facts = ScriptedFacts(world.facts)
    journal = SqliteJournal(path)
    broker = _account(journal, options, world, facts, opened)
    placed = PlacedOrders(path, journal.keep)
    placed.load(broker)
    references = references_of(world.panel, world.universe, world.sessions, options.seed)
    tape = Tape(panel=world.panel, known=world.past.market, references=references)
    listing = Listing(
        universe=world.universe,
        facts=facts,
        venues=world.venues,
        chains=world.panel.chains,
        references=references,
        pence_ticks=options.pence_ticks,
    )
    start = max(options.first, broker.now)
    if start.date() > options.last:
        placed.close()
        broker.close()
        raise ConfigurationError(
            f"expected a market that goes on after {start:%Y-%m-%d}, until when the account {options.account} has lived, "
            f"found its end on {options.last}; give a later --until, or another --account"
        )
    return Gateway(
        GatewayWorld(
            broker=broker,
            listing=listing,
            facts=facts,
            placed=placed,
            clock=None if options.speed is None else scaled_clock(start, options.speed),
            market=GatewayMarket(tape=tape),
            pence_executions=options.pence_executions,
            together=lambda: _together(journal, broker, placed),
            served=_served(options, world),
        )
    )


@contextmanager
def _together(journal: SqliteJournal, broker: SimulatedBroker, placed: PlacedOrders) -> Iterator[None]:
    """What changes meanwhile is one commit of the account and of what is kept beside it, in one transaction.

    What could not be kept never happened: account and orders are again what their file says.
    """
    try:
        with journal.together(), broker.together():
            yield
    except SupersededError:
        raise
    except Exception:
        broker.restore()
        placed.load(broker)
        raise


def _served(options: GatewayOptions, world: World) -> ServedMarket:
    if options.store is not None:
        return ServedMarket.of_store(options.store, options.seed)
    return ServedMarket(seed=options.seed, first=world.world_first)


def spare_the_collector() -> None:
    """Take what lives as long as this process out of the passes of the garbage collector.

    Each would look at the whole market: a tenth of a second, in the middle of somebody's orders.
    """
    gc.collect()
    gc.freeze()


@contextmanager
def served_alone(account: str) -> Iterator[None]:
    """Hold an account for one gateway; a process that died holds nothing.

    Raises `RefusedError` while another process serves it.
    """
    path = gateway_path(fund_home(), account).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise RefusedError(
                f"expected the account {account} of {path.parent} for this gateway alone, found that process "
                f"{file.read().strip() or '?'} serves it; end that one, or give another --account or FUND_HOME"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def opened_at(path: Path) -> datetime | None:
    """When the account of a file was opened, ``None`` when there is none; nothing is created."""
    if not path.exists():
        return None
    with closing(SqliteJournal(path)) as journal:
        first = [decode(Posting, record.body).at for record in journal.history(RecordKind.POSTING)[:1]]
    return first[0] if first else None


def scaled_clock(start: datetime, speed: float) -> Callable[[], datetime]:
    """A clock that shows ``start`` now and runs ``speed`` times as fast as the wall's; nobody sets it back."""
    began = time.monotonic()
    return lambda: start + timedelta(seconds=(time.monotonic() - began) * speed)


def start_of(day: date | None) -> datetime:
    """When a gateway begins: midnight of a date, without one now."""
    return datetime.now(UTC) if day is None else day_start(day)


def _account(
    journal: SqliteJournal, options: GatewayOptions, world: World, facts: ScriptedFacts, opened: datetime
) -> SimulatedBroker:
    policy = world.policy(opened.date())
    terms = BrokerTerms(facts=facts, universe=world.universe, costs=policy.costs, carry=policy.carry)
    opening = AccountOpening(
        account=options.account, deposit=policy.initial_capital, opened_at=opened, seed=options.seed
    )
    return open_account(journal.path, terms, opening, journal)
