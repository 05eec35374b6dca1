"""Prefect's server as a child of one command: it listens on a socket that was opened for it, and ends with its parent.

The parent keeps the other end of our standard input open and writes nothing. However it ends, by itself, by a signal
or by SIGKILL, the operating system closes that end, on every system in the same way; we read the end and stop.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading

GRACE_SECONDS = 5.0
"""How long the server may take to stop in good order before it is stopped anyway."""


def serve(descriptor: int) -> None:
    """Serve Prefect's API on an inherited, bound socket until asked to stop."""
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=descriptor)])


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
