"""Which process holds a run, and whether it still lives: a killed one is taken over without waiting for its lease."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessToken:
    """Identity of a process: the machine (and its process namespace), the number, and when it started."""

    host: str
    process: int
    started: str


def this_process() -> ProcessToken:
    """Token of the running process."""
    process = os.getpid()
    return ProcessToken(host=_host(), process=process, started=_state_and_start(process)[1])


def is_dead(token: ProcessToken) -> bool:
    """Whether the process certainly lives no more; of another machine nothing is certain."""
    if token.host != _host():
        return False
    try:
        os.kill(token.process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, and is not ours to signal
        return False
    state, started = _state_and_start(token.process)
    # A zombie runs no more; another start time means that the number was given to another process.
    return state == "Z" or (bool(started and token.started) and started != token.started)


@cache
def _host() -> str:
    """Name, boot and process namespace of this machine: process numbers mean nothing outside of them."""
    parts = [socket.gethostname(), _read("/proc/sys/kernel/random/boot_id")]
    namespace = Path("/proc/self/ns/pid")
    if namespace.exists():
        parts.append(str(namespace.stat().st_ino))
    return "|".join(parts)


def _state_and_start(process: int) -> tuple[str, str]:
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")


def _read(path: str) -> str:
    """Text of a file of Linux's process information, empty where there is none."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
