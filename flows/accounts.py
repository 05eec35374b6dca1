"""The accounts of a FUND_HOME as an operator sees them: which there are, what is halted, and the world of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from config.environment import load_environment
from config.settings import profile_names
from engine.errors import ConfigurationError
from engine.model.context import Mode
from engine.model.encoding import decode
from engine.model.halts import ALLOWED_CHOICES, HaltKind
from flows.book import Book, open_book
from flows.planning import RunRequest
from state.halts import HaltRecord, HaltSeverity
from tasks.adapters.simulated_account import account_path, account_time
from tasks.broker_place import PAPER_PREFIXES
from tasks.day import wall_clock
from tasks.opening import day_options
from tasks.options import WorldOptions, environment_seed, fund_home
from tasks.runtime import World


def find_halt(book: Book, halt_id: str) -> HaltRecord:
    """A halt by its id; raises `ConfigurationError` that lists the open ones."""
    found = book.halts.halt(halt_id)
    if found is not None:
        return found
    open_halts = [f"{halt.halt_id} ({halt.kind}, {halt.run_id})" for halt in book.open_halts()]
    raise ConfigurationError(
        f"expected the id of a halt, found {halt_id!r}; open are {', '.join(open_halts) or 'none'}"
    )


def chosen_accounts(book: Book, account: str | None) -> tuple[str, ...]:
    """The named account, else all; raises `ConfigurationError` for an unknown one."""
    known = book.accounts()
    if account is None:
        return known
    if account not in known:
        raise ConfigurationError(f"expected an account among {', '.join(known) or 'none'}, found {account!r}")
    return (account,)


def stop_account(book: Book, account: str, reason: str, operator: str) -> str:
    """A halt that a person calls: nothing but cancels leaves until it is resolved; its id."""
    kind = HaltKind.OPERATOR
    return book.halts.raise_halt(
        account,
        book.latest_run(account).run_id,
        kind.value,
        severity=HaltSeverity.HALT,
        message=f"halted by {operator or 'an operator'}: {reason}",
        evidence=b"[]",
        choices=ALLOWED_CHOICES[kind],
        now=wall_clock(),
    )


@contextmanager
def world_of_halt(halt_id: str) -> Iterator[World]:
    """The world in which a halt happened, found by the halt's id alone."""
    with open_book() as book:
        halt = find_halt(book, halt_id)
        run = book.runs.run(halt.run_id)
        day = book.latest_run(halt.account).key.trade_date if run is None else run.key.trade_date
        world = world_of_account(book, halt.account, day)
    try:
        yield world
    finally:
        world.close()


def world_of_account(book: Book, account: str, day: date) -> World:
    """The world of an account as its last run opened it."""
    return _required(World(options_of_account(book, account, day)), account)


def options_of_account(book: Book, account: str, day: date) -> WorldOptions:
    """How an account's last run opened its world: by the recorded request, else by the account's name.

    A deployment records no request: its profile and seed are in the account's name, its store in FUND_STORE. A broker's
    account is that of the environment.
    """
    payload = book.runs.memory(account, "request", date.max - timedelta(days=1))
    if payload is not None:
        request = decode(RunRequest, payload)
        return WorldOptions(
            profile=request.profile,
            first=day,
            last=day,
            store=None if request.store is None else Path(request.store).resolve(),
            seed=request.seed,
            overrides=request.overrides,
        )
    folder = os.environ.get("FUND_STORE")
    for profile in profile_names():
        if account.startswith(f"SIM-{profile}-"):
            return WorldOptions(
                profile=profile,
                first=day,
                last=day,
                store=None if folder is None else Path(folder),
                seed=environment_seed(),
            )
    place = load_environment().ib_account
    if place is not None and place.get_secret_value() == account:
        is_paper = account.startswith(PAPER_PREFIXES)
        return day_options(day, Mode.PAPER.value if is_paper else Mode.LIVE.value)
    raise ConfigurationError(
        f"expected an account of one of our profiles, or that of FUND_IB_ACCOUNT, found {account!r}"
    )


def newest_world(book: Book, account: str) -> World:
    """The world of an account at its latest day: that of its last run, or the broker's own where that is later."""
    latest = book.latest_run(account).key.trade_date
    lived = account_time(account_path(fund_home(), account))
    return world_of_account(book, account, latest if lived is None else max(latest, lived.date()))


def _required(world: World, account: str) -> World:
    if world.account == account:
        return world
    world.close()
    raise ConfigurationError(
        f"expected the market of {account}, found that of {world.account}; give the store of the run in FUND_STORE "
        "and its seed in FUND_SEED"
    )
