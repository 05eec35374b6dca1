"""Where the broker's account is, by the environment and the settings, and what of it does not fit the mode."""

from __future__ import annotations

import re
from dataclasses import dataclass

from config.environment import Environment, load_environment
from config.settings import Settings
from engine.errors import ConfigurationError
from engine.model.context import Mode

PAPER_PREFIXES = ("DU", "DF")
ACCOUNT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerPlace:
    """An account behind a gateway. ``control_port`` is that of a simulated gateway, which stands on this machine."""

    account: str
    host: str
    port: int
    control_port: int | None

    def __post_init__(self) -> None:
        if not ACCOUNT_NAME.fullmatch(self.account):  # files are called after it
            raise ConfigurationError(
                f"expected an account of letters and digits like U1234567, found {self.account!r}; give it as the broker "
                "writes it"
            )

    @property
    def is_paper(self) -> bool:
        """Whether the broker calls the account one for paper trading."""
        return self.account.startswith(PAPER_PREFIXES)


def broker_place(mode: Mode, settings: Settings, environment: Environment | None = None) -> BrokerPlace:
    """The account of a mode; raises `ConfigurationError` when none is named, or one of the other kind."""
    found = environment or load_environment()
    if found.ib_account is None:
        raise ConfigurationError(
            f"expected the broker's account in FUND_IB_ACCOUNT for mode {mode.value}, found none; nothing was "
            "opened: set it to the account that is logged in at the gateway (`fund gateway` has DU1234567)"
        )
    place = BrokerPlace(
        account=found.ib_account.get_secret_value(),
        host=found.ib_host or settings.broker.host,
        port=found.ib_port or settings.broker.port,
        control_port=found.ib_control_port,
    )
    if mode is Mode.PAPER and not place.is_paper:
        raise ConfigurationError(
            f"expected a paper account (DU…, DF…) in FUND_IB_ACCOUNT for mode paper, found {place.account}; nothing was "
            "opened: real money is traded in mode live"
        )
    if mode is Mode.LIVE and place.is_paper:
        raise ConfigurationError(
            f"expected an account of real money in FUND_IB_ACCOUNT for mode live, found the paper account "
            f"{place.account}; nothing was opened: trade it in mode paper"
        )
    if mode is Mode.LIVE and place.control_port is not None:
        raise ConfigurationError(
            f"expected no FUND_IB_CONTROL_PORT for mode live, found {place.control_port}: only a simulated gateway has a "
            "control interface, and real money is not traded on a clock or a past of one; nothing was opened: leave "
            "FUND_IB_CONTROL_PORT out, and name the past with --store"
        )
    if place.control_port is not None and place.host not in LOOPBACK:
        raise ConfigurationError(
            f"expected a gateway on this machine with FUND_IB_CONTROL_PORT, found {place.host}: only a simulated gateway "
            "has a control interface; leave FUND_IB_CONTROL_PORT out for a real one"
        )
    return place
