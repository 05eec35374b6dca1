"""Pauses of this process that would make it late."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_long_pauses() -> Iterator[None]:
    """Leave what the process holds already out of the collector's passes until the end.

    A pass over all that a run has loaded takes some 65 ms, and would take them while a deadline waits. What is made
    meanwhile is collected as ever. Nested, or in two threads at once, the first end is that of both.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
