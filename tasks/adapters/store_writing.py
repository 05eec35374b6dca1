"""Write a market data store so that a reader finds a whole one or none.

Everything is written into a folder beside the store, store.yaml last; one rename then puts it in its place. A
folder left by a killed writer is removed by the next one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StoreError
from tasks.adapters.store_index import INDEX_NAME, StoreIndex, index_text, statements, statements_digest

Columns = Mapping[str, "np.ndarray | pa.Array"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreDraft:
    """A store while it is being written, in a folder of its own."""

    folder: Path
    checksums: dict[str, str] = field(default_factory=dict)

    def write(self, name: str, columns: Columns) -> None:
        """Write one parquet file (``daily/ES.parquet``); NaN becomes null.

        Raises `StoreError` when the file was written before: two sources name the same line.
        """
        if name in self.checksums:
            raise StoreError(
                f"expected each file of a store once, found {name} twice; rename one of its sources"
            )
        table = pa.table({key: _column(values) for key, values in columns.items()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
        data = sink.getvalue()
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.checksums[name] = hashlib.sha256(data).hexdigest()

    def finish(self, index: StoreIndex) -> StoreIndex:
        """Write store.yaml over all files; nothing may be written after it."""
        sums = {**self.checksums, INDEX_NAME: statements_digest(statements(index))}
        complete = replace(index, checksums=sums)
        (self.folder / INDEX_NAME).write_text(index_text(complete), encoding="utf-8")
        return complete


def _column(values: np.ndarray | pa.Array) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)


@contextmanager
def store_draft(path: Path) -> Iterator[StoreDraft]:
    """A draft that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    Raises
    ------
    StoreError
        When ``path`` holds something that is not a store, or the block did not finish the draft.
    """
    _refuse_foreign(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    folder = path.parent / f"{_draft_prefix(path)}{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield StoreDraft(folder=folder)
        if not (folder / INDEX_NAME).is_file():
            raise StoreError(f"expected a finished store for {path}, found one without {INDEX_NAME}")
        _put_in_place(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_in_place(folder: Path, path: Path) -> None:
    if not path.exists():
        folder.rename(path)
        return
    aside = path.parent / f"{_draft_prefix(path)}old-{os.getpid()}"
    path.rename(aside)
    folder.rename(path)
    shutil.rmtree(aside)


def _refuse_foreign(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise StoreError(f"expected a folder for the store at {path}, found a file; name another place")
    if path.is_dir() and not (path / INDEX_NAME).is_file() and any(path.iterdir()):
        raise StoreError(
            f"expected a store or an empty folder at {path}, found other files; nothing was changed:"
            " name another place or remove them"
        )


def _draft_prefix(path: Path) -> str:
    return f".{path.name}.draft-"


def _remove_abandoned(path: Path) -> None:
    """Remove drafts whose writers run no more."""
    for folder in path.parent.glob(f"{_draft_prefix(path)}*"):
        owner = folder.name.rsplit("-", 1)[-1]
        if owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
