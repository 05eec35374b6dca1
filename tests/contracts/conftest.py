"""Lines for the suite: one that the tests of a module share, and new ones for tests that break theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime

import pytest

from tests.contracts.lines import EVERY, SIMULATED, Line

Opened = Callable[[datetime], Line]


@pytest.fixture(scope="module", params=EVERY)
def line(request: pytest.FixtureRequest) -> Iterator[Line]:
    """A line at a time when markets trade; nothing of the suite works any more when it ends."""
    with EVERY[request.param]() as made:
        yield made
        made.clear()


@pytest.fixture
def trading(line: Line) -> Line:
    """The same, where a fill may be brought about."""
    if not line.trades:
        pytest.skip("a real account: nothing is assumed about fills and refusals")
    return line


@pytest.fixture(params=SIMULATED)
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Opens a line of its own at a time of the test's choice."""
    with ExitStack() as stack:
        yield lambda at: stack.enter_context(SIMULATED[request.param](at))
