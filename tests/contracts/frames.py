"""Sessions on the wire, kept: a tap that records frames both ways, and a gateway that says again what was recorded.

A recording is a file of JSON lines: what it is of, then each frame by its direction and, in virtual time, each answer
about the clock. The account's number and every time are replaced before anything is kept.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path

from tasks.adapters.ibkr.virtual_time import VenueLine
from tasks.adapters.simulated_gateway.forms import Record
from tasks.adapters.simulated_gateway.framing import PREAMBLE, FrameReader, frame, split
from tasks.adapters.simulated_gateway.messages import read_answer, read_request

NOBODY = "DU0000000"
THEN = datetime(2000, 1, 1, tzinfo=UTC)
"""Every time of a recording, and when a recorded session begins when it is played again."""

CLIENT, BROKER, CLOCK = "client", "broker", "clock"
_TIME = re.compile(r"\d{8}(?:-| {1,2})\d{2}:\d{2}:\d{2}(?: [A-Za-z][\w/+-]*)?")
_HELD = f"{THEN:%Y%m%d %H:%M:%S} UTC"
_WHOLE_TIMES = {"49": str(int(THEN.timestamp())), "8": "00:00"}
"""Messages of the broker whose last field is a time, and what stands there instead."""

Entry = tuple[str, tuple[str, ...]]


@dataclass
class Recording:
    """``about`` says whose session it is, ``records`` what the broker's frames say to us, ``outcome`` what it came to."""

    about: dict[str, str]
    entries: list[Entry] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    outcome: list[str] = field(default_factory=list)

    @property
    def version(self) -> int:
        """Protocol version of the session."""
        return int(self.about["version"])

    def of(self, direction: str) -> list[tuple[str, ...]]:
        """Frames of one direction."""
        return [fields for way, fields in self.entries if way == direction]

    def save(self, path: Path) -> None:
        """Write it, a line for each entry."""
        frames = [{way: list(fields)} for way, fields in self.entries]
        lines = [
            {"about": self.about},
            *frames,
            *({"record": told} for told in self.records),
            *({"outcome": told} for told in self.outcome),
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read one."""
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        made = cls(lines[0]["about"])
        for line in lines[1:]:
            [(kind, told)] = line.items()
            if kind == "record":
                made.records.append(told)
            elif kind == "outcome":
                made.outcome.append(told)
            else:
                made.entries.append((kind, tuple(told)))
        return made


def anonymous(fields: Sequence[str], account: str, way: str) -> tuple[str, ...]:
    """A frame without the account's number and without times."""
    kept = [_TIME.sub(_HELD, text.replace(account, NOBODY)) for text in fields]
    if way == BROKER and kept[0] in _WHOLE_TIMES:
        kept[-1] = _WHOLE_TIMES[kept[0]]
    return tuple(kept)


# ---------------------------------------------------------------- differences


def first_difference(expected: Recording, found: Recording) -> str:
    """The first field in which two sessions differ, each direction by itself; empty when none does."""
    for way in (CLIENT, BROKER):
        for number, (one, other) in enumerate(zip_longest(expected.of(way), found.of(way)), 1):
            told = frame_difference(way, one, other, expected.version)
            if told:
                return f"frame {number} of the {way}: {told}"
    return ""


def frame_difference(
    way: str, expected: Sequence[str] | None, found: Sequence[str] | None, version: int
) -> str:
    """The first field in which two frames differ, by its name in the catalogue; empty when none does."""
    if expected == found:
        return ""
    if expected is None or found is None:
        there, name = ("found", found) if expected is None else ("expected", expected)
        return f"{there} {_read(way, name or (), version)[0]}, and the other session has no such frame"
    (name, one), (other_name, other) = _read(way, expected, version), _read(way, found, version)
    if name != other_name:
        return f"expected {name}, found {other_name}"
    for key, value in one.items():
        if other.get(key) != value:
            return f"{name}.{key}: expected {value!r}, found {other.get(key)!r}"
    return f"{name}: expected {list(expected)}, found {list(found)}"


def _read(way: str, fields: Sequence[str], version: int) -> tuple[str, Record]:
    read = read_request(fields, version) if way == CLIENT else read_answer(fields, version)
    return read.name, read.record


# ---------------------------------------------------------------- recording


class Tap:
    """A port that hands on every byte to a gateway and back, and keeps the frames."""

    def __init__(self, host: str, port: int, account: str) -> None:
        self._target, self._account, self._lock = (host, port), account, threading.Lock()
        self.version, self.entries = "", list[Entry]()
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._accept)

    def note(self, way: str, fields: Sequence[str]) -> None:
        """Keep an entry."""
        with self._lock:
            self.entries.append((way, tuple(fields)))

    def close(self) -> None:
        """End every line, and what listens to it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for line in self._lines:
            line.close()

    def _run(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            self._lines.append(client)
            broker = socket.create_connection(self._target, 5)
            broker.settimeout(None)
            self._lines.append(broker)
            self._run(self._hand_on, client, broker, CLIENT)
            self._run(self._hand_on, broker, client, BROKER)

    def _hand_on(self, source: socket.socket, target: socket.socket, way: str) -> None:
        reader, greeted, greeting = FrameReader(), way == BROKER, True
        with suppress(OSError):
            while data := source.recv(65536):
                kept = data if greeted else data.removeprefix(PREAMBLE)
                greeted = True
                for payload in reader.feed(kept):
                    if greeting:
                        greeting = False  # the versions, which are no message
                        self.version = split(payload)[0] if way == BROKER else self.version
                    else:
                        self.note(way, anonymous(split(payload), self._account, way))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@dataclass
class RecordingLine:
    """A line to the venue's clock that keeps what it answers, in microseconds since the session began."""

    line: VenueLine
    tap: Tap
    began: datetime

    def advance(
        self, until: datetime, client_id: int | None = None, barrier: int | None = None
    ) -> tuple[datetime, bool]:
        """As the line that it stands for."""
        now, event = self.line.advance(until, client_id, barrier)
        self.tap.note(CLOCK, (str((now - self.began) // timedelta(microseconds=1)), str(int(event))))
        return now, event


# ---------------------------------------------------------------- playing it again


class ReplayGateway:
    """A port that expects the recorded frames of the client and answers with those of the broker.

    ``difference`` names the first field in which the client's session left the recording; the line ends there.
    """

    def __init__(self, recording: Recording) -> None:
        self.recording, self.difference = recording, ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the line."""
        for line in (self._listener, self._client):
            if line is not None:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        if self._client is not None:
            self._client.close()

    def _serve(self) -> None:
        with suppress(OSError):
            self._client, _ = self._listener.accept()
            came = self._frames(self._client)
            next(came)  # the versions
            self._client.sendall(frame([str(self.recording.version), _HELD]))
            self._play(self._client, came)

    def _play(self, line: socket.socket, came: Iterator[bytes]) -> None:
        number = 0
        for way, fields in self.recording.entries:
            if way == BROKER:
                line.sendall(frame(fields))
            elif way == CLIENT:
                number += 1
                payload = next(came, None)
                found = None if payload is None else anonymous(split(payload), NOBODY, CLIENT)
                self.difference = frame_difference(CLIENT, fields, found, self.recording.version)
                if self.difference:
                    self.difference = f"frame {number} of the client: {self.difference}"
                    line.shutdown(socket.SHUT_RDWR)
                    return
        for _ in came:
            self.difference = "the client said more than the recording has"

    @staticmethod
    def _frames(line: socket.socket) -> Iterator[bytes]:
        reader, greeted = FrameReader(), False
        while data := line.recv(65536):
            yield from reader.feed(data if greeted else data.removeprefix(PREAMBLE))
            greeted = True


class ReplayLine:
    """The venue's clock as it was recorded."""

    def __init__(self, recording: Recording) -> None:
        self._answers = iter(recording.of(CLOCK))

    def advance(
        self, until: datetime, client_id: int | None = None, barrier: int | None = None
    ) -> tuple[datetime, bool]:
        """What was answered to the same question."""
        microseconds, event = next(self._answers)
        return THEN + timedelta(microseconds=int(microseconds)), event == "1"


@contextmanager
def replaying(recording: Recording) -> Iterator[ReplayGateway]:
    """A gateway that says what was recorded, until the end of the block."""
    gateway = ReplayGateway(recording)
    try:
        yield gateway
    finally:
        gateway.close()
