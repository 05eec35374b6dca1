"""How a price travels through its session: one mid price a minute, from the last close to today's.

A path begins at the previous close (or the recorded open), touches the recorded low and high and ends exactly at the
day's close. Its noise belongs to a root that instruments share (an index, its futures and its funds), on an absolute
grid of minutes, so that they move together although their hours differ.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

import numpy as np

GRID_MINUTES = 3 * 24 * 60
"""Noise is drawn for the day before a session, its day and the day after."""

_RANGE_NOISE = 0.30


@dataclass(frozen=True, slots=True, kw_only=True)
class DayShape:
    """What is recorded of one contract's session, floats in quote units; ``None`` where nothing was recorded.

    ``start`` is the first mid, ``spread`` the standard deviation of a day's move in quote units.
    """

    start: float
    high: float | None
    low: float | None
    close: float
    spread: float


def minutes_of(opening: datetime, closing: datetime) -> int:
    """Whole minutes of a session, at least one."""
    return max(1, int((closing - opening).total_seconds() // 60))


def intraday_path(shape: DayShape, noise: np.ndarray, turn: float) -> np.ndarray:
    """Mid prices at every minute from open to close, shape (minutes + 1,).

    ``noise`` is a Brownian path at those minutes with a standard deviation of 1 per day; ``turn`` in [0, 1) places
    the high and the low.
    """
    minutes = len(noise) - 1
    knots, levels = _knots(shape, minutes, turn)
    line = np.interp(np.arange(minutes + 1), knots, levels)
    bridge = noise - np.interp(np.arange(minutes + 1), knots, noise[knots])
    if shape.high is None or shape.low is None:
        return np.asarray(np.maximum(line + bridge * shape.spread, 1e-9 * abs(shape.close)))
    top = max(shape.high, shape.start, shape.close)
    bottom = min(shape.low, shape.start, shape.close)
    path = np.clip(line + bridge * max(_RANGE_NOISE * (top - bottom), 0.2 * shape.spread), bottom, top)
    path[knots] = levels  # clipping may not move what is recorded
    return np.asarray(path)


def _knots(shape: DayShape, minutes: int, turn: float) -> tuple[np.ndarray, np.ndarray]:
    """Minutes through which the path must pass, and its levels there: the low comes first on a rising day."""
    if shape.high is None or shape.low is None or minutes < 10:
        return np.array([0, minutes]), np.array([shape.start, shape.close])
    first = int(minutes * (0.10 + 0.35 * turn))
    second = int(minutes * (0.55 + 0.35 * ((7.0 * turn) % 1.0)))
    rising = shape.close >= shape.start
    extremes = (shape.low, shape.high) if rising else (shape.high, shape.low)
    return np.array([0, first, second, minutes]), np.array([shape.start, *extremes, shape.close])


@lru_cache(maxsize=256)
def root_noise(seed: int, root: str, day: date) -> tuple[np.ndarray, float]:
    """Brownian path of a root over `GRID_MINUTES` from the midnight before the day, and its turn in [0, 1)."""
    key = hashlib.sha256(f"{seed}|path|{root}|{day.isoformat()}".encode()).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(key[:16], "big")))
    steps = generator.standard_normal(GRID_MINUTES) / np.sqrt(24 * 60)
    return np.cumsum(steps), int.from_bytes(key[16:20], "big") / 2**32


def session_noise(
    seed: int, root: str, day: date, opening: datetime, closing: datetime
) -> tuple[np.ndarray, float]:
    """The root's noise at each minute of a session, shape (minutes + 1,), and its turn."""
    noise, turn = root_noise(seed, root, day)
    grid_start = datetime.combine(day, time(), tzinfo=UTC) - timedelta(days=1)
    offset = int((opening - grid_start).total_seconds() // 60)
    rows = np.clip(np.arange(offset, offset + minutes_of(opening, closing) + 1), 0, GRID_MINUTES - 1)
    return noise[rows], turn


def draw(key: int, minute: int) -> float:
    """A number in [0, 1) that depends on a key and a minute only (splitmix64)."""
    mask = (1 << 64) - 1
    value = (key + (minute + 1) * 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return ((value ^ (value >> 31)) >> 11) / 2.0**53


def draw_key(seed: int, contract_id: str) -> int:
    """Key of a contract's own draws."""
    return int.from_bytes(hashlib.sha256(f"{seed}|size|{contract_id}".encode()).digest()[:8], "big")
