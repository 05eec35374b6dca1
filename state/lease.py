"""A run that works keeps its lease: a thread of its own prolongs it, also while the run waits for hours for a window.

A killed or stopped process prolongs nothing, and its run is taken over once the lease has passed. Whether this run may
still send is never decided here: the epoch that every claim looks at decides it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from engine.errors import RefusedError
from state.runs import LEASE_SECONDS, RunStore

EVERY_SECONDS = LEASE_SECONDS / 4
"""Three attempts to prolong may fail before the lease has passed."""


@contextmanager
def keeping_lease(
    runs: RunStore, run_id: str, attempt: int, every_seconds: float = EVERY_SECONDS
) -> Iterator[None]:
    """Prolong the lease of an attempt until the block ends.

    A database that does not answer is asked again the next time; a run that ended or was taken over is left alone. A
    book in memory belongs to one process, and needs no lease.
    """
    if not runs.is_shared:
        yield
        return
    over = threading.Event()
    keeper = threading.Thread(
        target=_prolong,
        args=(runs, run_id, attempt, every_seconds, over),
        name=f"lease of {run_id}",
        daemon=True,
    )
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _prolong(runs: RunStore, run_id: str, attempt: int, every_seconds: float, over: threading.Event) -> None:
    while not over.wait(every_seconds):
        try:
            runs.heartbeat(run_id, attempt, datetime.now(UTC))
        except RefusedError:
            return
        except SQLAlchemyError:
            continue
