"""The chain of the ledger: each row carries the hash of the row before it, so that no past row changes unseen.

``row_hash`` covers the account, the sequence, the hash of the row before and the digest of the entry; the account
keeps the hash of its last row. Whoever notes that one hash elsewhere can later prove the whole ledger before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.accounting.ledger import LedgerEntry
from engine.model.encoding import digest, digest_bytes

FIRST_PREVIOUS = ""
"""What the first row of an account carries as the hash of the row before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainedEntry:
    """An entry at its place in the chain of an account; ``entry_digest`` is that of its canonical bytes."""

    sequence: int
    entry: LedgerEntry
    entry_digest: str
    previous_hash: str
    row_hash: str


def row_hash(account: str, sequence: int, previous_hash: str, entry_digest: str) -> str:
    """SHA-256 of a row's place and content, as 64 hexadecimal digits."""
    return digest_bytes(f"{account}\n{sequence}\n{previous_hash}\n{entry_digest}".encode())


def chained(
    account: str, entries: list[LedgerEntry], last_sequence: int, last_hash: str
) -> Iterator[ChainedEntry]:
    """Entries as the rows that follow the last one of an account."""
    previous = last_hash
    for sequence, entry in enumerate(entries, start=last_sequence + 1):
        content = digest(entry)
        found = row_hash(account, sequence, previous, content)
        yield ChainedEntry(
            sequence=sequence, entry=entry, entry_digest=content, previous_hash=previous, row_hash=found
        )
        previous = found
