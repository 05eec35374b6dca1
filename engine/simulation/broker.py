"""The simulated broker: an account in virtual time that takes orders, trades them, settles every day and reports.

It is the world, not the fund: it keeps its own account through its own journal and shares no accounting with the
fund (`engine.simulation.settlement` states its day rules). Between two calls nothing happens; inside a call time
moves from one thing that is due to the next: an order's match, cancel or expiry, midnight, the
22:30 settlement. How a stretch of time is cut into calls changes nothing. Each state-changing call is one commit,
made before the call returns; calls that are made `together` share one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from engine.errors import ConfigurationError, NonFiniteValue, SupersededError
from engine.model.market import BASE_CURRENCY
from engine.model.orders import ChildOrder, Fill, OpenOrder, TransportEvent
from engine.model.portfolio import BrokerSnapshot
from engine.simulation.account import AccountHead, AccountState, PostingKind
from engine.simulation.bookkeeping import post
from engine.simulation.desk import accept, cancel_for_split, request_cancel, work
from engine.simulation.journal import BrokerJournal
from engine.simulation.reporting import account_snapshot, archive_old, listed_executions, listed_orders
from engine.simulation.settlement import next_midnight, next_settlement, settle_day, start_day
from engine.simulation.terms import BrokerTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountOpening:
    """How a new account begins: its deposit in USD at a virtual time, and the seed of its exchange."""

    account: str
    deposit: Decimal
    opened_at: datetime
    seed: int


class SimulatedBroker:
    """One account at the simulated broker (a `BrokerAccount`)."""

    def __init__(self, terms: BrokerTerms, journal: BrokerJournal, state: AccountState) -> None:
        self.terms, self.state = terms, state
        self.connections = 0
        self._journal = journal
        self._is_together, self._owes_commit = False, False

    @classmethod
    def create(cls, terms: BrokerTerms, journal: BrokerJournal, opening: AccountOpening) -> SimulatedBroker:
        """Open a new account with its deposit."""
        head = AccountHead(
            account=opening.account,
            base_currency=BASE_CURRENCY,
            virtual_time=opening.opened_at,
            seed=opening.seed,
        )
        broker = cls(terms, journal, AccountState(head))
        post(broker.state, PostingKind.DEPOSIT, BASE_CURRENCY, opening.deposit, "opening deposit")
        broker.commit()
        return broker

    @classmethod
    def load(cls, terms: BrokerTerms, journal: BrokerJournal) -> SimulatedBroker:
        """The account exactly as its last commit left it."""
        return cls(terms, journal, AccountState.load(journal.load()))

    @property
    def account(self) -> str:
        """Name of the account."""
        return self.state.head.account

    @property
    def now(self) -> datetime:
        """Virtual time, UTC."""
        return self.state.head.virtual_time

    @property
    def is_flat(self) -> bool:
        """Whether nothing is held and nothing can be bought or sold any more."""
        held = any(position.quantity != 0 for _, position in self.state.positions.items())
        return not held and not self.state.open_orders()

    def submit(self, child: ChildOrder) -> None:
        """Take one order; nothing is compared with earlier references.

        Raises `NonFiniteValue` on a price or quantity that is no number, which no wire could carry.
        """
        if not child.quantity.is_finite() or not child.limit_price.is_finite():
            raise NonFiniteValue(
                f"order {child.order_ref}: expected finite quantity and limit, found {child.quantity} at "
                f"{child.limit_price}"
            )
        accept(self.state, self.terms, child)
        self.commit()

    def cancel(self, order_ref: str) -> None:
        """Ask for a cancel; the outcome comes as an event."""
        request_cancel(self.state, self.terms, order_ref)
        self.commit()

    def advance(self, until: datetime) -> None:
        """Let time pass; reports of what happens wait in the inbox.

        Raises `ConfigurationError` when ``until`` lies before the account's virtual time.
        """
        if until < self.now:
            raise ConfigurationError(
                f"the simulated account {self.account} has lived until {self.now:%Y-%m-%d %H:%M}Z and can not go back "
                f"to {until:%Y-%m-%d %H:%M}Z; take a later date, start over with `fund simulated reset`, or use "
                "another FUND_HOME"
            )
        self._run(until)
        self._set_time(until)
        self.commit()

    def next_event(self, until: datetime) -> TransportEvent | None:
        """Next report due at or before ``until``, with time moved to it; ``None`` moves time to ``until``."""
        until, moved = max(until, self.now), False
        while True:
            inbox = self.state.inbox.items()
            limit = min(inbox[0][1].at, until) if inbox else until
            if self._step(limit):
                moved = True
                continue
            if inbox and inbox[0][1].at <= until:
                key, event = inbox[0]
                self.state.inbox.retire(key)
                self._set_time(max(self.now, event.at))
                self.commit()
                return event
            if until > self.now or moved:
                self._set_time(until)
                self.commit()
            return None

    def discard_inbox(self) -> None:
        """Forget reports that nobody read: the line was cut, and a new one does not repeat them."""
        if self.state.inbox.items():
            for key, _ in self.state.inbox.items():
                self.state.inbox.retire(key)
            self.commit()

    def orders(self) -> tuple[OpenOrder, ...]:
        """Open orders, and those completed today or yesterday, in the order of their acceptance."""
        return listed_orders(self.state)

    def executions(self) -> tuple[Fill, ...]:
        """Executions of today and yesterday."""
        return listed_executions(self.state)

    def snapshot(self, as_of: datetime) -> BrokerSnapshot:
        """The account at a time, which becomes the account's time when it is later."""
        if as_of > self.now:
            self.advance(as_of)
        return account_snapshot(self.state, self.terms, as_of)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make all that changes meanwhile durable in one commit, before this ends; nobody may be told earlier."""
        self._is_together = True
        try:
            yield
        finally:
            self._is_together = False
            if self._owes_commit:
                self.commit()

    def commit(self) -> None:
        """Make every change durable in one transaction: now, or with all that changes together.

        When the journal could not take it, the account is again what its last commit left, for nobody may be told of
        anything else; the journal's error says why. Who was superseded stays so.
        """
        self._owes_commit = self._is_together
        if self._is_together:
            return
        head = replace(self.state.head, commit=self.state.head.commit + 1)
        try:
            self._journal.append(head.commit, self.state.pending_records(head))
        except SupersededError:
            raise
        except Exception:
            if self.state.head.commit > 0:
                self.restore()
            raise
        self.state.note_committed(head)

    def restore(self) -> None:
        """Make the account again what its last commit left; what was not committed never happened.

        Where the journal can not even be read, a commit is owed before anything else is told.
        """
        self._owes_commit = True
        self.state = AccountState.load(self._journal.load())
        self._owes_commit = False

    def close(self) -> None:
        """Let go of the journal; every change was committed by its own call."""
        self._journal.close()

    def _run(self, until: datetime) -> None:
        while self._step(until):
            pass

    def _step(self, until: datetime) -> bool:
        """Do all that is due at the next moment up to ``until``; whether there was one."""
        moment = self._next_moment()
        if moment > until:
            return False
        midnight, settlement = next_midnight(self.now), next_settlement(self.now)
        self._set_time(max(self.now, moment))
        if moment == midnight:
            cancel_for_split(self.state, start_day(self.state, self.terms, moment.date()))
            archive_old(self.state)
        if moment == settlement:
            settle_day(self.state, self.terms, moment.date())
        for order in self.state.due_orders(moment):
            work(self.state, self.terms, order)
        return True

    def _next_moment(self) -> datetime:
        daily = min(next_midnight(self.now), next_settlement(self.now))
        due = self.state.next_due
        return daily if due is None else min(daily, due)

    def _set_time(self, at: datetime) -> None:
        self.state.head = replace(self.state.head, virtual_time=at)
