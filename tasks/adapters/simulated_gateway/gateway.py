"""The gateway without sockets: sessions, what answers which request, the clock, and what goes wrong on purpose.

Every call answers with effects: what to tell whom, and which connections to close. It never sleeps and reads no clock
but the one it is given. On the virtual clock time stands still until `advance`; reports wait in the broker's inbox.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from engine.errors import ConfigurationError, FundError
from engine.model.orders import TransportEvent
from engine.simulation.settlement import next_midnight, next_settlement
from tasks.adapters.simulated_account import NotKept
from tasks.adapters.simulated_gateway.accounts import AccountDesk
from tasks.adapters.simulated_gateway.faults import SYSTEM_TEXTS, Faults
from tasks.adapters.simulated_gateway.forms import flag
from tasks.adapters.simulated_gateway.framing import OutOfRange, WireError
from tasks.adapters.simulated_gateway.messages import CLIENT_MESSAGES, Request, read_request
from tasks.adapters.simulated_gateway.order_reading import OrderReader
from tasks.adapters.simulated_gateway.orders import OrderDesk
from tasks.adapters.simulated_gateway.questions import OF_THE_ACCOUNT, Question, Questions
from tasks.adapters.simulated_gateway.sessions import (
    MARKET_REQUESTS,
    Answer,
    Effect,
    Hangup,
    Moved,
    Say,
    Session,
    client_of,
    error,
    said,
    subject,
)
from tasks.adapters.simulated_gateway.trading import LAST_ORDER_ID, Trading
from tasks.adapters.simulated_gateway.world import Barrier, GatewayWorld, Whole

LOG = logging.getLogger("fund.gateway")
ACCOUNT_REFRESH = timedelta(minutes=3)
CLOSE_ENOUGH = timedelta(milliseconds=10)
"""How far the account's time may lie behind the real clock when an order or a question about it comes in."""


class Gateway:
    """One account behind any number of connections."""

    def __init__(self, world: GatewayWorld) -> None:
        self.world, self.faults = world, Faults()
        self.broker, self.listing, self.facts = world.broker, world.listing, world.facts
        self.sessions: dict[int, Session] = {}
        self.accounts = AccountDesk(broker=world.broker, listing=world.listing)
        self.orders = OrderDesk(
            broker=world.broker,
            listing=world.listing,
            placed=world.placed,
            pence_executions=world.pence_executions,
        )
        reader = OrderReader(listing=world.listing, terms=world.broker.terms, account=world.broker.account)
        self.trading = Trading(desk=self.orders, reader=reader, faults=self.faults)
        self.together = Whole(world.together, self._remembered)
        self._opened = 0
        self._waiting: tuple[Barrier, datetime] | None = None
        self._barriers: set[int] = set()
        self._is_behind = True
        self._refreshed: dict[int, datetime] = {}
        questions = Questions(
            accounts=self.accounts,
            orders=self.orders,
            listing=world.listing,
            hours=world.facts.sessions,
            now=lambda: self.now,
        )
        self._questions = questions.routes()
        self._routes = self._all_routes() | dict.fromkeys(MARKET_REQUESTS, self._market)

    def close(self) -> None:
        """Let go of the account's file."""
        self.world.placed.close()
        self.broker.close()

    def _remembered(self) -> Callable[[], None]:
        """What makes the gateway remember again what it remembers now, whatever was done to the account meanwhile."""
        waiting, told = self._waiting, [(session, session.times_told) for session in self.sessions.values()]
        streams = [(one, one.told, one.seen) for session, _ in told for one in session.streams.values()]

        def again() -> None:
            self._waiting = waiting
            for session, times in told:
                session.times_told = times
            for stream, shown, seen in streams:
                stream.told, stream.seen = shown, seen
            self.accounts.forget()
            self.trading.recount()

        return again

    # ------------------------------------------------------------ time

    @property
    def now(self) -> datetime:
        """The gateway's time, UTC."""
        return self.broker.now if self.world.clock is None else max(self.broker.now, self.world.clock())

    @property
    def is_virtual(self) -> bool:
        """Whether time moves only when it is told to."""
        return self.world.clock is None

    def next_due(self) -> datetime:
        """When something happens by itself next."""
        state = self.broker.state
        waiting = [event.at for _, event in state.inbox.items()[:1]]
        daily = [next_midnight(self.broker.now), next_settlement(self.broker.now)]
        return min([*waiting, *daily, *([state.next_due] if state.next_due is not None else [])])

    def pump(self) -> list[Effect]:
        """Let happen what is due by now, on the real clock, in one commit, and tell it; where nothing is the time is kept."""
        now, inbox = self.now, self.broker.state.inbox
        if self.is_virtual or (self.next_due() > now and now - self.broker.now < CLOSE_ENOUGH):
            return []
        with self.together():
            self.broker.advance(now)
            due = [(key, event) for key, event in inbox.items() if event.at <= now]
            for key, _ in due:
                inbox.retire(key)
        return [effect for _, event in due for effect in self._reported(event)]

    def ticks(self) -> list[Effect]:
        """What streams of market data and watched accounts have to tell now that time has moved."""
        self.came_in()
        effects: list[Effect] = []
        sessions = list(self.sessions.values())
        if any(self._is_stale(session) for session in sessions):
            self._catch_up()  # which may fail: before any stream has noted what it told
        for session in sessions:
            if session.streams and self.world.market is not None:
                effects += said(session, self.world.market.ticks(session, self))
            if self._is_stale(session):
                effects += self._account_updates(session)
        return effects

    def _is_stale(self, session: Session) -> bool:
        return session.watches_account and self.now - self._refreshed[session.number] >= ACCOUNT_REFRESH

    def keep_time(self) -> None:
        """Let the account live until now, on the real clock: who serves it next goes on from here."""
        if not self.is_virtual:
            with self.together():
                self.broker.advance(self.now)

    def lose_streams(self) -> None:
        """Forget every subscription of market data: who wants one has to ask again."""
        for session in self.sessions.values():
            session.streams.clear()

    def hold_barriers(self, client_id: int) -> None:
        """From now on a client's requests of the time are barriers: each is answered by an `advance`, never at once.

        Raises `ConfigurationError` on the real clock.
        """
        if not self.is_virtual:
            raise ConfigurationError("expected the virtual clock, found the real one, which nobody moves")
        self._barriers.add(client_id)

    def advance(self, until: datetime, barrier: Barrier | None) -> list[Effect]:
        """Move virtual time to the next event up to ``until``, once the barrier was reached; then say so.

        Raises `ConfigurationError` on the real clock, for a client that holds no barriers, and while another call waits.
        """
        if not self.is_virtual:
            raise ConfigurationError("expected the virtual clock, found the real one, which nobody moves")
        if barrier is None:
            return self._move(until)
        if barrier.client_id not in self._barriers:
            raise ConfigurationError(
                f"expected a client that holds barriers, found {barrier.client_id}; send the command hold_barriers first"
            )
        if self._waiting is not None:
            raise ConfigurationError(
                "expected one advance at a time, found another that waits for its barrier"
            )
        self._waiting = (barrier, until)
        return self._pass_barrier()

    def _move(self, until: datetime) -> list[Effect]:
        with self.together():
            event = self.broker.next_event(until)
            self.accounts.forget()
            effects = [] if event is None else self._reported(event)
            return [*effects, *self.ticks(), Moved(self.broker.now, event is not None)]

    def _pass_barrier(self) -> list[Effect]:
        if self._waiting is None:
            return []
        barrier, until = self._waiting
        session = self._session_of(barrier.client_id)
        if session is None or session.times_asked < barrier.times_asked:
            return []
        *effects, moved = self._move(until)
        self._waiting = None
        while session.times_told < barrier.times_asked:
            session.times_told += 1
            effects.append(Say(session, self._time()))
        return [*effects, moved]

    # ------------------------------------------------------------ connections

    def open_session(self, version: int) -> Session:
        """A connection whose client and gateway agreed on a version."""
        self._opened += 1
        session = Session(number=self._opened, version=version)
        self.sessions[session.number] = session
        return session

    def close_session(self, session: Session) -> list[Effect]:
        """A connection is gone; who waited for its barrier learns that it will not come."""
        self.sessions.pop(session.number, None)
        if session.client_id is not None:
            LOG.info("client %d is gone", session.client_id)
        return self.forget_barrier(session)

    def forget_barrier(self, session: Session | None = None) -> list[Effect]:
        """The barrier will not come, for the client of this session or who waited for it left; who waits learns it."""
        waiting = self._waiting
        if waiting is None or (session is not None and session.client_id != waiting[0].client_id):
            return []
        self._waiting = None
        return [Moved(None, event=False)]

    def receive(self, session: Session, texts: Sequence[str]) -> list[Effect]:
        """Answer one message; raises `WireError` for one that is none."""
        number = texts[0] if texts else ""
        if number.isascii() and number.isdigit() and len(number) < 4 and int(number) not in CLIENT_MESSAGES:
            LOG.warning("session %d: the request %s is not served", session.number, number)
            told = f"Error validating request.-'bX' : cause - The request {number} is not served here."
            return [Say(session, error(321, told))]
        request = read_request(texts, session.version)
        if request.name == "start_api":
            return self._start(session, request.integer("client_id"))
        if session.client_id is None:
            return [Say(session, error(504, "Not connected")), Hangup(session, reset=False)]
        if self.faults.leaves_unanswered(request.name):
            return []
        try:
            question = self._questions.get(request.name)
            if question is not None:
                return self._answered(session, request, question)
            return self._routes[request.name](session, request)
        except OutOfRange as problem:
            LOG.warning("session %d: %s was refused: %s", session.number, request.name, problem)
            told = f"Error validating request.-'bX' : cause - {problem}"
            return [Say(session, error(321, told, subject(request)))]
        except (WireError, NotKept):
            raise
        except FundError as problem:
            LOG.exception("session %d: %s failed", session.number, request.name)
            told = f"Error validating request.-'bX' : cause - {problem}"
            return [Say(session, error(321, told, subject(request)))]

    def _start(self, session: Session, client_id: int) -> list[Effect]:
        if self._session_of(client_id) is not None:
            told = error(
                326, "Unable to connect as the client id is already in use. Retry with a unique client id."
            )
            return [Say(session, told), Hangup(session, reset=False)]
        session.client_id = client_id
        LOG.info("client %d connected, protocol version %d", client_id, session.version)
        if self.is_virtual and len(self.sessions) == 1:
            # What nobody read on an earlier connection is not repeated on a new one.
            self.broker.discard_inbox()
        accounts = Answer("managed_accounts", {"accounts": self.account_shown})
        farms = [
            error(2104, "Market data farm connection is OK:usfarm"),
            error(2106, "HMDS data farm connection is OK:ushmds"),
            error(2158, "Sec-def data farm connection is OK:secdefil"),
        ]
        if self.faults.link_is_down:
            farms = [error(1100, SYSTEM_TEXTS[1100])]
        return said(session, [accounts, self._next_id(session), *farms])

    @property
    def account_shown(self) -> str:
        """Name under which the account is shown."""
        return self.faults.account or self.broker.account

    def _session_of(self, client_id: int) -> Session | None:
        return next((s for s in self.sessions.values() if s.client_id == client_id), None)

    # ------------------------------------------------------------ reports

    def say_to(self, client_id: int, answers: Sequence[Answer]) -> list[Effect]:
        """Tell a client something, when it is connected."""
        session = self._session_of(client_id)
        return [] if session is None else said(session, answers)

    def say_to_all(self, answer: Answer) -> list[Effect]:
        """Tell every client something."""
        return [Say(session, answer) for session in self.sessions.values() if session.client_id is not None]

    def changed(self, contract_id: str) -> list[Effect]:
        """Tell who watches that a holding changed."""
        effects: list[Effect] = []
        for session in self.sessions.values():
            if session.watches_positions:
                effects.append(Say(session, self.accounts.position(contract_id)))
            if session.watches_account:
                effects.append(Say(session, self.accounts.portfolio_line(contract_id)))
        return effects

    def _reported(self, event: TransportEvent) -> list[Effect]:
        client_id, answers = self.trading.report(event)
        if self.faults.link_is_down:
            return []
        effects = self.say_to(client_id, answers)
        return effects if event.fill is None else effects + self.changed(event.fill.contract_id)

    # ------------------------------------------------------------ requests

    def _all_routes(self) -> dict[str, Callable[[Session, Request], list[Effect]]]:
        return {
            "place_order": self._place,
            "cancel_order": self._cancel,
            "global_cancel": self._cancel_all,
            "account_updates": self._watch_account,
            "managed_accounts": self._managed_accounts,
            "ids": lambda session, request: [Say(session, self._next_id(session))],
            "current_time": self._current_time,
        }

    def _answered(self, session: Session, request: Request, question: Question) -> list[Effect]:
        if request.name in OF_THE_ACCOUNT:
            self._catch_up()
        return said(session, question(session, request))

    def _market(self, session: Session, request: Request) -> list[Effect]:
        if self.world.market is None:
            told = "Error validating request.-'bX' : cause - This gateway serves no market data."
            return [Say(session, error(321, told, request.integer("request_id")))]
        return said(session, self.world.market.handle(request, session, self))

    def _place(self, session: Session, request: Request) -> list[Effect]:
        self._catch_up()
        return said(session, self.trading.place(client_of(session), request.record, self.now))

    def _cancel(self, session: Session, request: Request) -> list[Effect]:
        self._catch_up()
        return said(session, self.trading.cancel(client_of(session), request.integer("order_id")))

    def _cancel_all(self, session: Session, request: Request) -> list[Effect]:
        self._catch_up()
        self.trading.cancel_all()
        return []

    def came_in(self) -> None:
        """Messages came in, all at once: the account is taken to the clock's time before the first that needs it."""
        self._is_behind = True

    def _catch_up(self) -> None:
        """Take the account to the clock's time, when it is behind; what is due on the way is told with the next pump."""
        if self._is_behind and self.now - self.broker.now >= CLOSE_ENOUGH:
            with self.together():
                self.broker.advance(self.now)
        self._is_behind = False

    def _watch_account(self, session: Session, request: Request) -> list[Effect]:
        wanted = flag(request.record, "subscribe")
        told = self._account_updates(session) if wanted else []
        session.watches_account = wanted
        return told

    def _account_updates(self, session: Session) -> list[Effect]:
        self._catch_up()
        self._refreshed[session.number] = self.now
        return said(session, self.accounts.updates())

    def _managed_accounts(self, session: Session, request: Request) -> list[Effect]:
        return [Say(session, Answer("managed_accounts", {"accounts": self.account_shown}))]

    def _next_id(self, session: Session) -> Answer:
        last = min(self.world.placed.highest(client_of(session)), LAST_ORDER_ID)
        number = max(1, last + 1 - self.faults.rolled_back)
        return Answer("next_valid_id", {"order_id": str(number)})

    def _current_time(self, session: Session, request: Request) -> list[Effect]:
        session.times_asked += 1
        if session.client_id in self._barriers:
            return self._pass_barrier()
        session.times_told += 1
        return [Say(session, self._time())]

    def _time(self) -> Answer:
        return Answer("current_time", {"seconds": str(int(self.now.timestamp()))})
