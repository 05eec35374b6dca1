"""What a command asks for: profile, dates, market and mode, and what is refused before a world is opened."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from engine.errors import ConfigurationError
from engine.model.context import Mode
from engine.model.universe import Universe
from engine.simulation.factors import EPOCH
from engine.simulation.faults import require_known_fault
from engine.simulation.market import unknown_names
from tasks.adapters.simulated_account import account_path
from tasks.adapters.store import store_summary
from tasks.broker_place import BrokerPlace

ROOT = Path(__file__).resolve().parent.parent
BROKER_MODES = frozenset({Mode.PAPER, Mode.LIVE, Mode.DRY_RUN})
"""Modes whose account is a broker's."""

CODE_FOLDERS = ("config", "engine", "flows", "state", "tasks")
USUAL_SEED = 1
HISTORY_YEARS = 4
"""Years of generated past before the year in which an account is opened: the screen and the risk need three."""


def fund_home() -> Path:
    """Folder of databases, simulated accounts and reports: FUND_HOME, else ``var`` beside the code."""
    return Path(os.environ.get("FUND_HOME") or ROOT / "var").resolve()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldOptions:
    """What a command or a deployment asks for; ``last`` is the last date that the run will reach.

    Without a ``seed`` it is that of the simulated gateway which the account is at, and 1 everywhere else.
    ``behind_gateway`` is said by a gateway of our own: its market and its account are simulated in every mode.
    """

    profile: str
    first: date
    last: date
    mode: Mode | None = None
    store: Path | None = None
    seed: int | None = None
    fault: str | None = None
    overrides: tuple[str, ...] = ()
    behind_gateway: bool = False
    home: Path = field(default_factory=fund_home)

    @property
    def own_seed(self) -> int:
        """The seed that is given, else the usual one."""
        return USUAL_SEED if self.seed is None else self.seed


def environment_seed() -> int | None:
    """The seed of FUND_SEED, ``None`` without one."""
    given = os.environ.get("FUND_SEED")
    return None if given is None else int(given)


def code_version() -> str:
    """Digest of every source file of the product: what replay and a second worker compare."""
    total = hashlib.sha256()
    for folder in CODE_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".yaml"):
                total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:16]


def generated_from() -> date:
    """First date on which the generated market has enough past."""
    return date(EPOCH.year + HISTORY_YEARS, 1, 1)


def agreed_mode(configured: Mode, wanted: Mode | None) -> Mode:
    """The profile's mode, which ``--mode`` may only repeat, or take the sending from; raises `ConfigurationError`."""
    if configured is Mode.BACKTEST:
        raise ConfigurationError(
            "expected a mode in which a day can be run, found 'backtest'; run the profile history with a --store"
        )
    if wanted is Mode.DRY_RUN and configured in BROKER_MODES:
        return wanted
    if wanted is not None and wanted is not configured:
        raise ConfigurationError(
            f"expected --mode to agree with the profile's mode {configured.value!r}, found {wanted.value!r}; "
            "choose the profile of that mode"
        )
    return configured


def require_fault(name: str | None, mode: Mode) -> None:
    """Refuse a fault that is unknown, or outside of a simulated world."""
    if name is None:
        return
    if mode is not Mode.SIMULATED:
        raise ConfigurationError(
            f"expected --fault in simulated mode only, found mode {mode.value!r}: a fault is put into the simulated "
            "broker; leave it out, or run the profile fund"
        )
    require_known_fault(name)


def require_past(options: WorldOptions, place: BrokerPlace | None) -> None:
    """Refuse a broker's account without a past: only a simulated gateway's market can be generated from a seed."""
    if place is None or options.store is not None or place.control_port is not None:
        return
    raise ConfigurationError(
        f"expected --store for the account {place.account}: histories, company accounts and corporate actions come from a "
        "market data store, found none; name its folder. (Only the market of a simulated gateway, named by "
        "FUND_IB_CONTROL_PORT, can be generated from --seed.)"
    )


def require_market(options: WorldOptions, universe: Universe) -> None:
    """Refuse a generated market that lacks some of the instruments, or days."""
    if options.store is not None:
        return
    unknown = unknown_names(universe)
    if unknown:
        raise ConfigurationError(
            f"expected --store for the profile {options.profile}, found none, and the generated market has no "
            f"{', '.join(unknown[:3])}{' …' if len(unknown) > 3 else ''} ({len(unknown)} names); name the folder of a "
            "market data store"
        )
    if options.first < generated_from():
        raise ConfigurationError(
            f"expected a trade date from {generated_from()} on, where the generated market has {HISTORY_YEARS} years "
            f"of past, found {options.first}; take a later date"
        )


def market_name(options: WorldOptions) -> str:
    """Part of the account's name that says which market it lives in."""
    if options.store is None:
        return str(options.own_seed)
    digest = store_summary(options.store).digest[:8]
    return digest if options.own_seed == USUAL_SEED else f"{digest}-{options.own_seed}"


def simulated_first(options: WorldOptions) -> date:
    """First date of the generated past of a simulated account."""
    account = f"SIM-{options.profile}-{options.own_seed}"
    note = options.home / "simulated" / f"{account}.first"
    # Without an account the note is of one that was reset, or of a run that never came to open it.
    holds = account_path(options.home, account).exists()
    return generated_first(note, lambda: date(options.first.year - HISTORY_YEARS, 1, 1), holds=holds)


def broker_first(home: Path, account: str, seed: int, told: Callable[[], date]) -> date:
    """First date of the generated past of an account at a simulated gateway, which tells it the first time."""
    return generated_first(home / "past" / f"{account}-{seed}.first", told, holds=True)


def generated_first(note: Path, new: Callable[[], date], *, holds: bool) -> date:
    """The generated past begins where it began when the account was opened, so that it never changes."""
    if holds and note.exists():
        return date.fromisoformat(note.read_text(encoding="utf-8").strip())
    first = new()
    note.parent.mkdir(parents=True, exist_ok=True)
    draft = note.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(first.isoformat() + "\n", encoding="utf-8")
    os.replace(draft, note)
    return first
