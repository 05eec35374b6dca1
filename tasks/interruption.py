"""A process that is asked to end while its orders work: it is told so, and ends in good order instead of at once.

Docker, systemd, a Prefect worker and a flow run that is cancelled all ask with SIGTERM and wait a while before they
kill; a keyboard asks with SIGINT. Outside of an execution window a run has nothing of its own at the broker, and a
signal does what it always does.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from engine.errors import InterruptedRun

GRACE_SECONDS = 20.0
"""How long orders may take to be confirmed cancelled: Prefect kills a cancelled flow run after 30 seconds."""

_ASKING = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def heeding_signals() -> Iterator[Callable[[], bool]]:
    """Yield the question whether this process was asked to end.

    A second signal of the same kind does what it did before. Only the main thread hears signals: in any other
    nobody asks.

    Raises
    ------
    InterruptedRun
        At the end, when SIGTERM asked; a keyboard's request becomes the `KeyboardInterrupt` that it always is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []
    previous = {number: signal.getsignal(number) for number in _ASKING}

    def note(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(number, previous[signal.Signals(number)])

    for number in _ASKING:
        signal.signal(number, note)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if signal.SIGTERM in asked:
        raise InterruptedRun(
            "expected to work until the windows end, found SIGTERM: nothing new was sent, what worked was cancelled, "
            "only orders that reduce, or that an auction does not give back, may still stand; ./fund resume goes on "
            "from here"
        )
    if asked:
        raise KeyboardInterrupt
