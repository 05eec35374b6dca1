"""What takes seconds to come up in a process of its own, begun before anything else: suites and Prefect's server."""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import TYPE_CHECKING

from tasks.adapters.expectations import start_beside

STARTUP_SECONDS = 180
"""How long the server may take on a busy machine; given up early, it is left behind while a flow starts another."""

if TYPE_CHECKING:
    from prefect.server.api.server import SubprocessASGIServer


def begin_slow_starts(*, with_prefect: bool) -> None:
    """Start the processes that a run will need; the caller then imports and opens its world meanwhile."""
    start_beside()
    if with_prefect:
        starting_server()


@cache
def starting_server() -> threading.Thread | None:
    """The thread in which one ephemeral server for the whole command comes up; ``None`` when one is configured."""
    if os.environ.get("PREFECT_API_URL"):
        return None
    # Imported here and not in the thread: what two threads import at the same time they may see half made.
    from prefect.server.api.server import SubprocessASGIServer

    thread = threading.Thread(
        target=_start, args=(SubprocessASGIServer(),), name="prefect-server", daemon=True
    )
    thread.start()
    return thread


def _start(server: SubprocessASGIServer) -> None:
    """Bring the server up; a command that is refused meanwhile ends at once and takes the server with it."""
    try:
        server.start(timeout=STARTUP_SECONDS)
    except AttributeError:
        # Prefect asks a process that its own exit handler has taken away; then there is nobody left to tell.
        if server.server_process is not None:
            raise
