"""What comes from the environment only: places and secrets, never written into YAML and masked wherever shown."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from engine.errors import ConfigurationError

PREFIX = "FUND_"
OF_THE_BROKER = ("FUND_IB_", "FUND_ARM_")
"""A variable of these that nobody reads would leave a default in force: another port, or no leave."""


class Environment(BaseSettings):
    """Variables that begin with ``FUND_``; an empty one counts as absent."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path | None = None
    database_url: SecretStr | None = None
    ib_account: SecretStr | None = None
    ib_host: str | None = None
    ib_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    ib_control_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    arm_key: SecretStr | None = None
    telegram_bot_token: SecretStr | None = None
    telegram_chat_id: SecretStr | None = None

    def shown(self) -> Mapping[str, str | None]:
        """Every variable with its value, secrets masked; ``None`` where it is not set."""
        return {
            f"{PREFIX}{name.upper()}": None if value is None else str(value)
            for name, value in ((name, getattr(self, name)) for name in type(self).model_fields)
        }


def load_environment() -> Environment:
    """Read the environment; raises `ConfigurationError` naming the variable, never its value."""
    _refuse_misspelt(name.upper() for name, value in os.environ.items() if value)
    try:
        return Environment()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = f"{PREFIX}{str(problem['loc'][0]).upper()}"
        words = problem["msg"].removeprefix("Input should be ")
        raise ConfigurationError(
            f"expected {words} in the environment variable {name}; set it again"
        ) from None


def _refuse_misspelt(names: Iterable[str]) -> None:
    known = [f"{PREFIX}{name.upper()}" for name in Environment.model_fields]
    known = [name for name in known if name.startswith(OF_THE_BROKER)]
    for name in sorted(names):
        if name.startswith(OF_THE_BROKER) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigurationError(
                f"expected the broker's variables among {', '.join(known)}, found {name} in the environment: {hint}correct "
                "its name, or unset it"
            )
