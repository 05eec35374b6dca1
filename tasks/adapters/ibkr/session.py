"""One connection to the broker: a thread of its own holds loop and library, callers ask it and wait with a timeout.

Connecting fails closed: positions, open orders, completed orders, executions and the account each really answered, or
there is no connection. A question that is not answered in time ends the connection, for a late answer could be taken
for that of the next question. A lost connection is made again after fixed delays, and everything is read anew before
anything may be sent. The thread lives as long as the session.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import TypeVar, overload

from ib_insync import IB

from engine.errors import BrokerUnavailable, ConfigurationError
from engine.model.absence import LinkState
from tasks.adapters.ibkr.asking import Asking
from tasks.adapters.ibkr.broker_link import BrokerLink
from tasks.adapters.ibkr.connecting import (
    ClientIdInUse,
    check_account,
    no_connection,
    require_same_gateway,
    shake_hands,
)
from tasks.adapters.ibkr.errors import CLIENT_ID_IN_USE, LINK_RESTORED, NotWritten
from tasks.adapters.ibkr.listening import listening_ib
from tasks.adapters.ibkr.policy import AccountAnswer, OpenList, SessionPolicy, SessionState, SteadyClock
from tasks.adapters.ibkr.questions import Barrier, account_answer, held_in, open_list
from tasks.adapters.ibkr.records import ErrorShown, LinkChanged, News, OrderShown, PositionShown, Shown
from tasks.adapters.ibkr.thread import OwnerThread

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
LIVE_QUOTES = 1
_SETTLING_SECONDS = 0.02
"""The least that a connection is left alone before the next one: its socket has to be gone."""


class IbkrSession:
    """See the module. `connect` opens it, `close` ends it for good."""

    def __init__(
        self,
        policy: SessionPolicy,
        alarm: Callable[[str], None] = _LOG.error,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.policy, self.now = policy, now or SteadyClock().now
        self.state, self.failure = SessionState.CLOSED, ""
        self._alarm = alarm
        self._listeners: list[Callable[[News], None]] = []
        self._broker = BrokerLink()
        self._connected_at = self.now()
        self._interrupted_at: datetime | None = None
        self._last_sent: int | None = None
        self._early: list[News] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._say: Callable[[str], None] | None = None
        self._thread = OwnerThread("ibkr", self._prepare)
        self._thread.start()

    # ------------------------------------------------------------ from any thread

    def listen(self, listener: Callable[[News], None]) -> None:
        """Hear every message about orders and the link, on the session's thread: put it away and return."""
        self._listeners.append(listener)

    def prove_by(self, say: Callable[[str], None]) -> None:
        """Let every connection show that it is to the gateway through which ``say`` tells our client a word."""
        self._say = say

    def connect(self) -> None:
        """Connect and read everything; raises `BrokerUnavailable` naming what did not answer.

        Raises `ConfigurationError` when the account, or the gateway, is not the one that is expected.
        """
        waits = self.policy.connect_timeout + self.policy.request_timeout
        self._thread.wait(self._open(), waits)

    def close(self) -> None:
        """End the connection and the thread."""
        if self._thread.is_alive:
            self._thread.wait(self._shut(), self.policy.request_timeout)
            self._thread.stop(self.policy.request_timeout)

    @overload
    def call(self, request: Callable[[IB], Awaitable[T]], timeout: float | None = None) -> T: ...
    @overload
    def call(self, request: Callable[[IB], T], timeout: float | None = None) -> T: ...
    def call(self, request: Callable[[IB], Awaitable[T] | T], timeout: float | None = None) -> T:
        """Ask the library something on the session's thread.

        Raises `BrokerUnavailable` without a connection or an answer in time, `RequestRefused` when the broker refuses.
        """
        return self._thread.wait(
            self._called(request), self.policy.request_timeout if timeout is None else timeout
        )

    def write_order(self, write: Callable[[IB, int], None], order_id: int | None = None) -> int:
        """Write one message about an order at once, with a number of its own unless one is given; answers the number.

        Raises `NotWritten` when nothing left, `BrokerUnavailable` when it may have left.
        """
        return self._thread.wait(self._written(write, order_id), self.policy.request_timeout)

    def open_orders(self) -> OpenList:
        """Open orders of every client."""
        return open_list(self._ask("open orders"))

    def completed_orders(self) -> tuple[OrderShown, ...]:
        """Orders that ended today."""
        return tuple(row for row in self._ask("completed orders") if isinstance(row, OrderShown))

    def executions(self) -> tuple[Shown, ...]:
        """Executions and commissions of today, as they were told; listeners hear them too."""
        return tuple(self._ask("executions"))

    def positions(self) -> tuple[PositionShown, ...]:
        """Holdings of the session's account."""
        return held_in(self._ask("positions"), self.policy.account)

    def account(self) -> AccountAnswer:
        """Values and holdings of the session's account."""
        return account_answer(self._ask("account"), self.policy.account)

    def ping(self) -> None:
        """Ask for the time and wait: all that the broker sent before has been heard then."""
        self._ask("time")

    def refresh_next_number(self) -> None:
        """Ask which order number the broker expects next."""
        self._ask("next number")

    def begin_barrier(self) -> Barrier:
        """Ask for the time without waiting for the answer."""
        return self._thread.wait(self._asking.begin_barrier(), self.policy.request_timeout)

    def end_barrier(self, barrier: Barrier) -> None:
        """Wait until the broker came to a barrier: all that it sent before has been heard then."""
        self._thread.wait(barrier.reached(), self.policy.request_timeout)

    def _ask(self, name: str) -> list[Shown]:
        timeout = self.policy.request_timeout
        return self._thread.wait(self._asking.ask(name, timeout), 2 * timeout)

    @property
    def is_ready(self) -> bool:
        """Whether an order may be written."""
        return self.state is SessionState.READY

    def link(self) -> LinkState:
        """The connection as it stands; while it is degraded the interruption lasts."""
        lasts = self.state is SessionState.DEGRADED
        return LinkState(
            client_id=self.policy.client_id,
            connected_at=self._connected_at,
            interrupted_at=self.now() if lasts else self._interrupted_at,
            next_order_id=self._ears.next_order_id,
            last_sent_id=self._last_sent,
        )

    # ------------------------------------------------------------ the thread

    def _prepare(self) -> None:
        self._thread.loop.set_exception_handler(self._failed_callback)
        account = self.policy.account
        self.ib, self._ears, self._client = listening_ib(self._hear, self._unreadable, self.now, account)
        self.ib.TimezoneTWS = self.policy.broker_zone
        self._client.MaxRequests = self.policy.messages_per_second
        self.ib.disconnectedEvent += self._disconnected
        self._client.apiError += self._refuse
        self._asking = Asking(self._client, self._ears, account, self._require_connection, self._cut)
        self._refused: asyncio.Future[None] = self._thread.loop.create_future()

    async def _called(self, request: Callable[[IB], Awaitable[T] | T]) -> T:
        self._require_connection()
        answer = request(self.ib)
        return await answer if inspect.isawaitable(answer) else answer

    async def _written(self, write: Callable[[IB, int], None], order_id: int | None) -> int:
        self._require_ready()
        try:
            await self._client.room()
        except asyncio.CancelledError as error:
            raise NotWritten("nothing was written: too much waits before it") from error
        self._require_ready()
        number = order_id
        if number is None:
            if self._last_sent is not None:
                self._client.updateReqId(self._last_sent + 1)  # a number is never used again by us
            number = self._client.getReqId()
            self._last_sent = max(number, self._last_sent or number)
        write(self.ib, number)
        return number

    def _require_connection(self) -> None:
        if not self._client.isReady():
            raise NotWritten(f"there is no connection to the broker ({self.state.value})")

    def _require_ready(self) -> None:
        self._require_connection()
        if not self.is_ready:
            raise NotWritten(f"the connection to the broker is {self.state.value}: nothing was written")

    # ------------------------------------------------------------ connecting

    async def _open(self) -> None:
        if self.state in (SessionState.READY, SessionState.DEGRADED):
            return
        self.state, policy = SessionState.CONNECTING, self.policy
        self._early.clear()
        self._broker.begin()
        turn = self._broker.turn
        self._ears.begin(policy.client_id)
        self._asking.begin()
        self._refused = asyncio.get_running_loop().create_future()
        try:
            await shake_hands(self._client, policy, self._refused)
            check_account(self._client.getAccounts(), policy)
            if self._say is not None:
                await require_same_gateway(self._say, self._asking, self._early, policy)
            await self._asking.ask_everything(policy.request_timeout)
            self._client.reqMarketDataType(LIVE_QUOTES)
        except BaseException as error:  # also when nobody waits any more: half a connection is none
            self._end_socket()
            self.state = SessionState.CLOSED
            if not isinstance(error, OSError | BrokerUnavailable):
                raise
            raise no_connection(error, policy) from error
        finally:
            self._refused.cancel()
        self._connected_at = self.now()
        self.state = SessionState.DEGRADED
        if self._broker.stood_since(turn):
            self.state = SessionState.READY
        else:  # some of what was read may be from before a loss
            self._keep(self._outlast() if self._broker.is_lost else self._restored())
        self._tell(*self._early)
        self._keep(self._beat())

    def _refuse(self, text: str, kind: type[ConnectionError] = ConnectionError) -> None:
        if not self._refused.done():
            self._refused.set_exception(kind(text))

    async def _beat(self) -> None:
        """Ask for the time again and again; silence ends the connection."""
        policy, since = self.policy, self._connected_at
        while policy.heartbeat_seconds is not None:
            await asyncio.sleep(policy.heartbeat_seconds)
            if self._connected_at is not since:
                return  # a newer connection has a heartbeat of its own
            try:
                await self._asking.ask("time", policy.heartbeat_timeout)
            except BrokerUnavailable:
                return

    async def _reconnect(self, why: str) -> None:
        """Connect again after each delay; the last failure, or the same bad message each time, is the end."""
        delays = self._ears.attempts_after(why, self.policy.reconnect_delays)
        for number, delay in enumerate(delays, 1):
            await asyncio.sleep(max(delay, _SETTLING_SECONDS))
            if self.state is not SessionState.LOST:
                return
            try:
                await asyncio.wait_for(
                    self._open(), self.policy.connect_timeout + self.policy.request_timeout
                )
            except (BrokerUnavailable, ConfigurationError, TimeoutError) as error:
                self._end_socket()
                self.state = SessionState.LOST
                why = f"reconnection {number} of {len(delays)} failed: {error}"
                self._alarm(why)
                continue
            self._interrupted_at = self.now()
            self._tell(LinkChanged(at=self.now(), is_up=True, text="connected again"))
            return
        self.state, self.failure = SessionState.FAILED, why
        self._alarm(f"the broker can not be reached after {len(delays)} attempts")
        self._tell(LinkChanged(at=self.now(), is_up=False, text="the broker can not be reached"))

    async def _restored(self) -> None:
        """The gateway found its broker again: read everything, then send again, unless the link changed meanwhile."""
        turn = self._broker.turn
        try:
            await self._asking.ask_everything(self.policy.request_timeout)
        except BrokerUnavailable as error:
            if self.state is SessionState.DEGRADED:
                self._cut(str(error))
            return
        if self.state is SessionState.DEGRADED and self._broker.stood_since(turn):
            self._interrupted_at = self.now()
            self.state = SessionState.READY

    async def _outlast(self) -> None:
        """Wait for a lost broker; where it does not come back in time, make the connection anew."""
        patience, turn = self.policy.degraded_seconds, self._broker.turn
        if patience is None:
            return
        await asyncio.sleep(patience)
        if self.state is SessionState.DEGRADED and self._broker.turn == turn:
            self._cut(f"the gateway had no broker for {patience:g} seconds")

    async def _shut(self) -> None:
        self.state = SessionState.CLOSED
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end_socket()
        await asyncio.sleep(0)

    # ------------------------------------------------------------ what happens to the link

    def _disconnected(self) -> None:
        self._lost("the broker's side ended the connection")

    def _cut(self, text: str) -> None:
        """End a connection that can not be trusted any more."""
        self._end_socket(text)
        self._lost(text)

    def _end_socket(self, text: str = "the connection was lost") -> None:
        transport = self._client.conn.transport
        self._client.disconnect()
        if transport is not None:
            transport.abort()  # what still waits to be written must not leave later
        self._ears.drop_questions(text)
        self._ears.connectionClosed()
        self._ears.lines.drop()

    def _lost(self, text: str) -> None:
        if self.state not in (SessionState.READY, SessionState.DEGRADED):
            self._ears.drop_questions(text)
            return
        self.state = SessionState.LOST
        self._interrupted_at = self.now()
        self._ears.drop_questions(text)
        self._alarm(f"the connection to the broker was lost: {text}")
        self._tell(LinkChanged(at=self.now(), is_up=False, text=text))
        self._keep(self._reconnect(text))

    def _hear(self, news: News) -> None:
        if isinstance(news, ErrorShown):
            self._note(news)
        if self.state is SessionState.CONNECTING:
            self._early.append(news)  # told once something can be done about it
        else:
            self._tell(news)

    def _note(self, error: ErrorShown) -> None:
        """What a code says about the link."""
        if error.code == CLIENT_ID_IN_USE:
            self._refuse(f"{error.code} {error.text}", ClientIdInUse)
        if self._broker.hear(error.code):
            self._interrupted_at = self.now()
            self._alarm(f"the link is degraded, nothing is sent: {error.code} {error.text}")
            if self.state in (SessionState.READY, SessionState.DEGRADED):
                self.state = SessionState.DEGRADED
                self._keep(self._outlast())
        if error.code in LINK_RESTORED and self.state in (SessionState.READY, SessionState.DEGRADED):
            self.state = SessionState.DEGRADED
            self._keep(self._restored())

    def _unreadable(self, text: str) -> None:
        """A message that can not be read, or not be true, may be about an order: the connection is made anew."""
        self._alarm(text)
        self._thread.loop.call_soon(self._cut, text)

    def _tell(self, *news: News) -> None:
        for one in news:
            for listener in self._listeners:
                listener(one)

    def _keep(self, doing: Coroutine[object, object, None]) -> None:
        task = self._thread.loop.create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failed_callback(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if isinstance(error, BrokerUnavailable | ConnectionError):
            return  # a question that nobody waited for any more
        self._alarm(f"the broker's thread failed: {context.get('message')}: {error}")
        if isinstance(error, Exception) and self.state is SessionState.READY:
            self._cut(f"its thread failed: {error}")
