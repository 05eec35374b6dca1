"""Requests of market data over one session: asked once and ended when they are answered, or held while wanted.

Requests wait for room at the broker's pace, so that what is answered late is not taken for silence. A held request
lives until it is no longer wanted; a new connection, or one that lost its subscriptions, makes all of them anew, and
nothing that was told before counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import TypeVar

from ib_insync import IB
from ib_insync.contract import Contract as WireContract

from engine.errors import BrokerUnavailable, ConfigurationError
from tasks.adapters.ibkr.errors import LINK_LOST, LINK_RESTORED
from tasks.adapters.ibkr.lines import Line, Lines
from tasks.adapters.ibkr.listening import Ears, PacedClient
from tasks.adapters.ibkr.records import ErrorShown, LinkChanged, News
from tasks.adapters.ibkr.session import IbkrSession

T = TypeVar("T")
SPARE = 10
"""Requests at a time that are left for single questions beside those that are held."""

_ENDED_BY = frozenset({101, 200, 321, 322, 354, 10089, 10168})
"""Codes after which a request is no more, so that there is nothing to cancel."""

_SUBSCRIPTIONS_LOST = 1101


class MarketLines:
    """See the module. ``max_lines`` are requests at a time, held ones included."""

    def __init__(self, session: IbkrSession, max_lines: int) -> None:
        self._session, self._max = session, max_lines
        self._wanted: Mapping[str, WireContract] = {}
        self._held: dict[str, int] = {}
        self._asking = asyncio.Lock()
        session.listen(self._hear)

    def ask(
        self,
        wires: Mapping[str, WireContract],
        is_told: Callable[[Line], bool],
        seconds: float,
        generic_ticks: str = "",
    ) -> Mapping[str, Line]:
        """Request all, wait until each is told or met an error, or for so many seconds, and end all of them.

        Raises `BrokerUnavailable` when the connection does not stand to the end.
        """
        found: dict[str, Line] = {}
        for chunk in _chunks(wires, self._max - len(self._wanted)):
            policy = self._session.policy
            pace = policy.messages_per_second or 1_000
            waits = seconds + policy.request_timeout + 4 * len(chunk) / pace
            lines: dict[str, Line] = self._session.call(
                partial(
                    self._asked, wires=chunk, is_told=is_told, seconds=seconds, generic_ticks=generic_ticks
                ),
                waits,
            )
            found |= lines
        return found

    def hold(self, wires: Mapping[str, WireContract]) -> None:
        """Hold these and no others. Without a connection they are requested when there is one."""
        if len(wires) > self._max - SPARE:
            raise ConfigurationError(
                f"expected at most {self._max - SPARE} contracts to watch at a time, found {len(wires)}"
            )
        self._wanted = dict(wires)
        if self._session.is_ready:
            self._session.call(self._align)

    def of_held(self, name: str, read: Callable[[Line], T]) -> T | None:
        """What a held line says, read on the session's thread; ``None`` for one that is not held."""

        def look(ib: IB) -> T | None:
            line = _lines(ib).running(self._held.get(name, -1))
            return None if line is None else read(line)

        return self._session.call(look) if name in self._held else None

    # ------------------------------------------------------------ on the session's thread

    async def _asked(
        self,
        ib: IB,
        *,
        wires: Mapping[str, WireContract],
        is_told: Callable[[Line], bool],
        seconds: float,
        generic_ticks: str,
    ) -> dict[str, Line]:
        async with self._asking:
            opened: dict[str, tuple[int, Line]] = {}
            try:
                for name, wire in wires.items():
                    await _client(ib).room()
                    number = _request(ib, wire, generic_ticks)
                    opened[name] = (number, _lines(ib).open(number))
                told = {name: line for name, (_, line) in opened.items()}
                await _all_told(ib, told.values(), is_told, seconds)
                for name in told:  # in a queue they would keep orders and heartbeats waiting
                    await _client(ib).room()
                    _end(ib, [opened.pop(name)])
                return told
            finally:
                _end(ib, opened.values())

    def _align(self, ib: IB) -> None:
        """Bring what is held in line with what is wanted."""
        lines = _lines(ib)
        gone = [name for name in self._held if name not in self._wanted]
        _end(ib, [(number, lines.open(number)) for number in map(self._held.pop, gone)])
        for name, wire in self._wanted.items():
            if name not in self._held:
                self._held[name] = _request(ib, wire, "")
                lines.open(self._held[name])

    def _hear(self, news: News) -> None:
        ib = self._session.ib
        if isinstance(news, ErrorShown) and news.code in LINK_LOST | LINK_RESTORED:
            _lines(ib).forget()
            if news.code == _SUBSCRIPTIONS_LOST:
                self._renew(ib)
        if isinstance(news, LinkChanged):
            self._renew(ib)

    def _renew(self, ib: IB) -> None:
        """What was held over the old connection is gone."""
        for number in self._held.values():
            _lines(ib).close(number)
        self._held.clear()
        if ib.client.isReady():
            self._align(ib)


def _lines(ib: IB) -> Lines:
    ears = ib.wrapper
    assert isinstance(ears, Ears)
    return ears.lines


def _client(ib: IB) -> PacedClient:
    client = ib.client
    assert isinstance(client, PacedClient)
    return client


def _request(ib: IB, wire: WireContract, generic_ticks: str) -> int:
    number: int = ib.client.getReqId()
    ib.client.reqMktData(number, wire, generic_ticks, False, False, [])
    return number


def _end(ib: IB, opened: Iterable[tuple[int, Line]]) -> None:
    for number, line in opened:
        _lines(ib).close(number)
        if line.code not in _ENDED_BY and ib.client.isReady():
            ib.client.cancelMktData(number)


async def _all_told(ib: IB, lines: Collection[Line], is_told: Callable[[Line], bool], seconds: float) -> None:
    """Wait until every line is told or met an error; silence ends the waiting and says nothing."""
    loop, changed = asyncio.get_running_loop(), _lines(ib).changed
    give_up = loop.time() + seconds
    while not all(line.code or is_told(line) for line in lines):
        if not ib.client.isReady():
            raise BrokerUnavailable("the connection was lost while market data were asked for")
        left = give_up - loop.time()
        if left <= 0:
            return
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), left)
        except TimeoutError:
            return


def _chunks(wires: Mapping[str, WireContract], size: int) -> Iterator[dict[str, WireContract]]:
    rest = iter(wires.items())
    while chunk := dict(islice(rest, size)):
        yield chunk
