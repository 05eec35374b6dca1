"""The file of pinned contracts: which number of the broker's each contract of ours is, for a person to review."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What the broker told of a contract when it was qualified first."""

    con_id: int
    local_symbol: str
    exchange: str
    primary_exchange: str
    currency: str
    multiplier: str
    price_magnifier: int
    long_name: str

    @property
    def facts(self) -> tuple[int, str, str, int]:
        """What makes it another contract when it changes."""
        return self.con_id, self.currency, self.multiplier, self.price_magnifier


def pins_path(home: Path, account: str) -> Path:
    """Where an account's pins are kept: the numbers of a simulated world are not those of the broker's."""
    return home / "contracts" / f"{account}.json"


def load_pins(path: Path) -> Mapping[str, Pin]:
    """Pins of a file, none when there is none; raises `ConfigurationError` for one that can not be read."""
    if not path.exists():
        return {}
    try:
        rows: object = json.loads(path.read_text(encoding="utf-8"))
        pins = {name: _pin(row) for name, row in _rows(rows).items()}
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"expected a file of pinned contracts at {path}, found {error}") from error
    numbers = [pin.con_id for pin in pins.values()]
    if len(set(numbers)) != len(numbers):
        raise ConfigurationError(f"expected each number once in {path}, found one for two contracts")
    return pins


def save_pins(path: Path, pins: Mapping[str, Pin]) -> None:
    """Write all pins in the order of their names, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({name: asdict(pin) for name, pin in sorted(pins.items())}, indent=1, ensure_ascii=False)
    draft = path.with_suffix(".tmp")
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, path)


def _rows(found: object) -> dict[str, dict[str, object]]:
    if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
        raise TypeError("something else than names with their facts")
    return found


def _pin(row: Mapping[str, object]) -> Pin:
    return Pin(
        con_id=int(str(row["con_id"])),
        local_symbol=str(row["local_symbol"]),
        exchange=str(row["exchange"]),
        primary_exchange=str(row["primary_exchange"]),
        currency=str(row["currency"]),
        multiplier=str(row["multiplier"]),
        price_magnifier=int(str(row["price_magnifier"])),
        long_name=str(row["long_name"]),
    )
