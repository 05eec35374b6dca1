"""The table of contents of a market data store: store.yaml.

A store is a folder. `daily/`, `fx/`, `indices/`, `dividends/`, `splits/` and `fundamentals/` hold parquet files,
`symbols.parquet` the shares that changed their id;
store.yaml is written last and names every one of them with its SHA-256. Its own statements are covered as well:
the entry ``store.yaml`` of the checksums is the digest of everything in the file but the checksums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

import yaml

from engine.errors import StoreError

FORMAT_VERSION = 1
INDEX_NAME = "store.yaml"
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLine:
    """One instrument of a store.

    ``multiplier`` is the source's own (currency per point), ``None`` where it states none; ``first`` and ``last``
    are the dates of its first and last row. ``total_return`` lines hold their dividends in their prices.
    """

    instrument_id: str
    kind: str
    source: str
    price_unit: str
    multiplier: Decimal | None
    total_return: bool
    borrow_available: bool
    first: date
    last: date

    @property
    def is_future(self) -> bool:
        """Whether the line is a future with contracts."""
        return self.kind == "future"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreIndex:
    """Content of store.yaml. ``provenance`` maps each source file to its SHA-256."""

    name: str
    lines: Mapping[str, StoreLine]
    provenance: Mapping[str, str]
    notes: tuple[str, ...]
    checksums: Mapping[str, str] = field(default_factory=dict)

    @property
    def first_date(self) -> date:
        """Date of the first row of any line."""
        return min(line.first for line in self.lines.values())

    @property
    def last_date(self) -> date:
        """Date of the last row of any line."""
        return max(line.last for line in self.lines.values())

    @property
    def futures_end(self) -> date | None:
        """Date of the last row of any future, ``None`` without futures."""
        return max((line.last for line in self.lines.values() if line.is_future), default=None)

    @property
    def digest(self) -> str:
        """SHA-256 of the checksums: two stores with the same digest hold the same bytes."""
        text = "".join(f"{name} {value}\n" for name, value in sorted(self.checksums.items()))
        return hashlib.sha256(text.encode()).hexdigest()


def statements(index: StoreIndex) -> dict[str, object]:
    """Everything that store.yaml says, without its checksums."""
    return {
        "format": FORMAT_VERSION,
        "name": index.name,
        "first_date": index.first_date.isoformat(),
        "last_date": index.last_date.isoformat(),
        "instruments": {name: _line_fields(line) for name, line in sorted(index.lines.items())},
        "provenance": dict(sorted(index.provenance.items())),
        "notes": list(index.notes),
    }


def statements_digest(said: Mapping[str, object]) -> str:
    """SHA-256 of the statements in one canonical form."""
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def index_text(index: StoreIndex) -> str:
    """Text of store.yaml."""
    body = {**statements(index), "checksums": dict(sorted(index.checksums.items()))}
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def read_index(path: Path) -> StoreIndex:
    """Table of contents of a store.

    Raises
    ------
    StoreError
        When there is no folder, no store.yaml (half written), another format version, or an altered file.
    """
    if not path.is_dir():
        raise StoreError(
            f"expected a market data store at {path}, found no folder there; build one, or name another with --store"
        )
    file = path / INDEX_NAME
    if not file.is_file():
        raise StoreError(
            f"expected {INDEX_NAME} in {path}, found none: this is no market data store, or one that was"
            " only half written (store.yaml comes last); build it again"
        )
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StoreError(f"expected YAML in {file}, found {error}; build the store again") from None
    return _parse(content, file)


def _parse(content: object, file: Path) -> StoreIndex:
    if not isinstance(content, dict) or "checksums" not in content:
        raise StoreError(f"expected the checksums of a store in {file}, found none; build the store again")
    version = content.get("format")
    if version != FORMAT_VERSION:
        raise StoreError(
            f"expected a store of format {FORMAT_VERSION}, found format {version!r} in {file};"
            " build the store again with this version"
        )
    try:
        index = StoreIndex(
            name=str(content["name"]),
            lines={name: _line(name, fields) for name, fields in content["instruments"].items()},
            provenance={str(name): str(value) for name, value in content["provenance"].items()},
            notes=tuple(str(note) for note in content["notes"]),
            checksums={str(name): str(value) for name, value in content["checksums"].items()},
        )
    except (KeyError, AttributeError, TypeError, ValueError, InvalidOperation) as error:
        raise StoreError(
            f"expected the statements of a store in {file}, found {error!r}; build the store again"
        ) from None
    said = {key: value for key, value in content.items() if key != "checksums"}
    if not index.lines or statements_digest(said) != index.checksums.get(INDEX_NAME):
        raise StoreError(
            f"expected the statements of {file} to match their checksum, found them altered; build the store again"
        )
    return index


def _line_fields(line: StoreLine) -> dict[str, object]:
    return {
        "kind": line.kind,
        "source": line.source,
        "price_unit": line.price_unit,
        "multiplier": None if line.multiplier is None else format(line.multiplier, "f"),
        "total_return": line.total_return,
        "borrow_available": line.borrow_available,
        "first": line.first.isoformat(),
        "last": line.last.isoformat(),
    }


def _line(name: str, fields: Mapping[str, object]) -> StoreLine:
    multiplier = fields["multiplier"]
    return StoreLine(
        instrument_id=str(name),
        kind=str(fields["kind"]),
        source=str(fields["source"]),
        price_unit=str(fields["price_unit"]),
        multiplier=None if multiplier is None else Decimal(str(multiplier)),
        total_return=fields["total_return"] is True,
        borrow_available=fields["borrow_available"] is True,
        first=date.fromisoformat(str(fields["first"])),
        last=date.fromisoformat(str(fields["last"])),
    )
