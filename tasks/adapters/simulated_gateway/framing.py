"""Frames of the TWS socket: a length of four bytes, then fields that each end with a NUL byte.

The client begins with ``API`` and a NUL byte outside of any frame; its first frame names the versions that it speaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.errors import DataError

PREAMBLE = b"API\0"
LENGTH_BYTES = 4
LARGEST_FRAME = 1 << 20
"""Bytes. The largest message of the catalogue has a few thousand; what is longer is no message of this protocol."""

_VERSIONS = re.compile(rb"v(\d{1,4})(?:\.\.(\d{1,4}))?(?: [^\0]*)?\0?")


class WireError(DataError):
    """Bytes that are no message of the protocol: the connection they came from is closed."""


class OutOfRange(WireError):
    """A number that no order and no request can have: the message is refused by a code, and its connection lives on."""


class FrameReader:
    """Cuts a stream of bytes into frames; the stream may be split anywhere."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Frames that are complete now, without their lengths; raises `WireError` for one that is too long."""
        return list(self.cut(data))

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The same one by one: those before one that is too long are there before the error."""
        self._rest += data
        while len(self._rest) >= LENGTH_BYTES:
            length = int.from_bytes(self._rest[:LENGTH_BYTES], "big")
            if not 0 < length <= LARGEST_FRAME:
                raise WireError(f"expected a frame of 1 to {LARGEST_FRAME} bytes, found {length}")
            end = LENGTH_BYTES + length
            if len(self._rest) < end:
                break
            found = bytes(self._rest[LENGTH_BYTES:end])
            del self._rest[:end]
            yield found

    @property
    def waiting(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._rest)

    def take_preamble(self, data: bytes) -> bytes | None:
        """What follows the client's greeting, ``None`` while it is not complete; raises `WireError` for another one."""
        self._rest += data
        if not PREAMBLE.startswith(bytes(self._rest[: len(PREAMBLE)])):
            raise WireError(f"expected the greeting of a client, found {bytes(self._rest[:16])!r}")
        if len(self._rest) < len(PREAMBLE):
            return None
        rest = bytes(self._rest[len(PREAMBLE) :])
        self._rest.clear()
        return rest


def frame(fields: Sequence[str]) -> bytes:
    """One message on the wire. Text outside of ASCII is escaped, for the client decodes it so."""
    payload = "\0".join([*fields, ""]).encode("ascii", "backslashreplace")
    return len(payload).to_bytes(LENGTH_BYTES, "big") + payload


def split(payload: bytes) -> list[str]:
    """Fields of a frame; raises `WireError` when the last one does not end."""
    if not payload.endswith(b"\0"):
        raise WireError(f"expected fields that end with a NUL byte, found {payload[-16:]!r} at the end")
    try:
        return payload[:-1].decode("utf-8").split("\0")
    except UnicodeDecodeError as error:
        raise WireError(f"expected text, found {payload[:32]!r}") from error


def agreed_version(greeting: bytes, lowest: int, highest: int) -> int:
    """Protocol version of a connection: the highest that both sides speak.

    Raises `WireError` for a greeting that names no versions, or none that we speak.
    """
    found = _VERSIONS.fullmatch(greeting)
    if found is None:
        raise WireError(f"expected versions like v157..176, found {greeting[:32]!r}")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < lowest or first > highest or first > last:
        raise WireError(f"expected a client that speaks one of {lowest}..{highest}, found {first}..{last}")
    return min(last, highest)
