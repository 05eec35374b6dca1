"""Which market a gateway serves, as its control interface tells it, and whether a run reads the same one as its past."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from engine.errors import ConfigurationError
from tasks.adapters.store import store_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedMarket:
    """A market generated with a seed from its first date on, or that of a store: its digest and its folder."""

    seed: int
    first: date | None = None
    store: str | None = None
    folder: str | None = None

    def __post_init__(self) -> None:
        if (self.first is None) is (self.store is None):
            raise ConfigurationError(
                f"expected a market with a first date or a store, found {self.first} and {self.store}"
            )

    @classmethod
    def of_store(cls, folder: Path, seed: int) -> ServedMarket:
        """That of a store; raises `StoreError` for a folder that is none."""
        return cls(seed=seed, store=store_summary(folder).digest, folder=str(folder.resolve()))

    @classmethod
    def parse(cls, told: object) -> ServedMarket:
        """What a control interface told; raises `ConfigurationError` for anything else."""
        try:
            if not isinstance(told, Mapping):
                raise TypeError("no market")
            first, store, folder = (told[name] for name in ("first", "store", "folder"))
            return cls(
                seed=int(told["seed"]),
                first=None if first is None else date.fromisoformat(first),
                store=None if store is None else str(store),
                folder=None if folder is None else str(folder),
            )
        except (TypeError, ValueError, KeyError) as error:
            raise ConfigurationError(
                f"expected the gateway to tell which market it serves, found {told!r}; take a gateway of this version"
            ) from error

    def told(self) -> dict[str, object]:
        """As `parse` reads it."""
        first = None if self.first is None else self.first.isoformat()
        return {"seed": self.seed, "first": first, "store": self.store, "folder": self.folder}

    def __str__(self) -> str:
        if self.first is not None:
            return f"the market generated with seed {self.seed} from {self.first}"
        return f"the market of the store {self.folder} ({str(self.store)[:8]})"

    def require_past(self, seed: int, store: Path | None) -> None:
        """Refuse a run that reads another past than the market it would trade, naming both and what to give."""
        if store is not None:
            own = ServedMarket.of_store(store, seed)
            if own.store == self.store:
                return
            found = str(own)
        elif self.first is not None and seed == self.seed:
            return
        else:
            found = f"one generated with seed {seed}"
        raise ConfigurationError(
            f"expected {self}, which the gateway serves, as the past of the run, found {found}; nothing was written: give "
            f"{self._option(store)}"
        )

    def require_first(self, first: date) -> None:
        """Refuse a generated past that began on another date when this FUND_HOME met the account."""
        if self.first is None or first == self.first:
            return
        raise ConfigurationError(
            f"expected {self}, which the gateway serves, as the past of the run, found one from {first} on, which this "
            "FUND_HOME keeps for the account; nothing was sent: use another FUND_HOME, or the gateway of that account"
        )

    def _option(self, store: Path | None) -> str:
        if self.first is None:
            return f"--store {self.folder}"
        return f"--seed {self.seed}" + ("" if store is None else " and no --store")
