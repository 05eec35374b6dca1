"""Calls that share one commit, and what the account knows without working it out again: the same outcome, sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import SupersededError
from engine.model.market import FxRate, FxRates
from engine.model.orders import ChildStatus
from engine.simulation.account import BrokerOrder
from engine.simulation.broker import SimulatedBroker
from engine.simulation.journal import BrokerRecord, MemoryJournal, RecordKind
from engine.simulation.margin import closing_marks, excess_at_closes, margin_total, net_liquidation
from tests.engine.simulation.exchange_world import (
    MONDAY,
    World,
    broker_terms,
    events_until,
    new_broker,
    order,
    utc,
)


def _three_orders(broker: SimulatedBroker) -> None:
    for number in range(3):
        broker.submit(order(ref=f"AF1.{number}.0", limit="99"))


def test_orders_that_come_together_are_one_commit_and_the_same_account() -> None:
    apart, joint = MemoryJournal(), MemoryJournal()
    one, other = new_broker(journal=apart), new_broker(journal=joint)
    _three_orders(one)
    with other.together():
        _three_orders(other)
        assert joint.history(RecordKind.ORDER) == ()

    assert (apart.commits, joint.commits) == (1 + 3, 1 + 1)
    for kind in set(RecordKind) - {RecordKind.HEAD}:
        assert apart.history(kind) == joint.history(kind)
    until = utc(MONDAY, 15, 1)
    assert events_until(SimulatedBroker.load(broker_terms(), joint), until) == events_until(one, until)


def test_nothing_that_happened_together_commits_nothing() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    with broker.together():
        assert broker.orders() == ()
    assert journal.commits == 1


def test_what_came_before_an_error_is_kept_and_one_that_is_superseded_says_so() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)

    def fail_after_three() -> None:
        with broker.together():
            _three_orders(broker)
            raise LookupError

    with pytest.raises(LookupError):
        fail_after_three()
    assert len(journal.history(RecordKind.ORDER)) == 3
    SimulatedBroker.load(broker_terms(), journal).cancel("AF1.0.0")
    with pytest.raises(SupersededError), broker.together():
        _three_orders(broker)


class _FullDisk(MemoryJournal):
    """A journal that takes nothing, or is not even read, while its disk is full."""

    is_full = is_lost = False

    def append(self, commit: int, records: Sequence[BrokerRecord]) -> None:
        if self.is_full:
            raise OSError("no space left")
        super().append(commit, records)

    def load(self) -> tuple[BrokerRecord, ...]:
        if self.is_lost:
            raise OSError("not readable")
        return super().load()


def test_commit_that_fails_never_happened_and_the_next_one_follows_the_last() -> None:
    journal, untouched = _FullDisk(), MemoryJournal()
    broker, other = new_broker(journal=journal), new_broker(journal=untouched)
    broker.submit(order(ref="AF1.0.0"))
    other.submit(order(ref="AF1.0.0"))
    journal.is_full = True
    with pytest.raises(OSError, match="space"):
        broker.submit(order(ref="AF1.1.0"))
    with pytest.raises(OSError, match="space"), broker.together():
        _three_orders(broker)
    with pytest.raises(OSError, match="space"):
        broker.advance(utc(MONDAY, 15, 1))
    assert [one.order_ref for one in broker.orders()] == ["AF1.0.0"]
    assert (broker.now, broker.state.head) == (other.now, other.state.head)

    journal.is_full = False
    assert events_until(broker, utc(MONDAY, 15, 1)) == events_until(other, utc(MONDAY, 15, 1))
    assert journal.commits == untouched.commits
    for kind in RecordKind:
        assert journal.history(kind) == untouched.history(kind)


def test_what_could_neither_be_kept_nor_undone_is_kept_before_anything_else_is_told() -> None:
    journal = _FullDisk()
    broker = new_broker(journal=journal)
    journal.is_full = journal.is_lost = True
    with pytest.raises(OSError, match="readable"):
        broker.submit(order(ref="AF1.1.0"))
    with pytest.raises(OSError, match="readable"), broker.together():
        assert [one.order_ref for one in broker.orders()] == ["AF1.1.0"]
    journal.is_full = journal.is_lost = False
    with broker.together():
        pass
    assert (journal.commits, len(journal.history(RecordKind.ORDER))) == (2, 1)


def test_account_that_could_not_be_opened_says_why() -> None:
    journal = _FullDisk()
    journal.is_full = True
    with pytest.raises(OSError, match="space"):
        new_broker(journal=journal)


def test_who_was_superseded_stays_so() -> None:
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    SimulatedBroker.load(broker_terms(), journal).submit(order(ref="AF1.9.0"))
    for _ in range(3):
        with pytest.raises(SupersededError):
            broker.submit(order(ref="AF1.1.0"))
    assert len(journal.history(RecordKind.ORDER)) == 1


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1, 60), st.booleans()), min_size=1, max_size=30
    ),
    looked=st.integers(1, 60),
)
def test_orders_that_are_due_are_those_that_a_look_at_all_finds(
    changes: list[tuple[int, int, bool]], looked: int
) -> None:
    broker = new_broker()
    start = broker.now
    at = start + timedelta(seconds=looked)
    dues: dict[str, datetime] = {}
    for number, seconds, is_open in changes:
        key, due = f"{number:010d}", start + timedelta(seconds=seconds)
        broker.state.put_order(_working(key, due, is_open=is_open))
        dues.pop(key, None)
        if is_open:
            dues[key] = due
        found = [one.broker_order_id for one in broker.state.due_orders(at)]
        assert found == sorted(key for key, due in dues.items() if due <= at)
        assert broker.state.next_due == min(dues.values(), default=None)


def _working(key: str, due: datetime, *, is_open: bool) -> BrokerOrder:
    return BrokerOrder(
        broker_order_id=key,
        child=order(ref=key),
        status=ChildStatus.WORKING if is_open else ChildStatus.CANCELLED,
        accepted_at=due,
        next_match=due,
        expires_at=None,
        auction_date=None,
        cancel_at=None,
        last_event_at=due,
        completed_at=None,
    )


def test_excess_is_worked_out_again_when_a_holding_the_time_or_a_rate_changes() -> None:
    broker = new_broker(World())
    state, terms = broker.state, broker.terms

    def known(rates: FxRates) -> Decimal:
        marks = closing_marks(state, terms)
        fresh = net_liquidation(state, terms, marks, rates) - margin_total(state, terms, marks, rates)
        assert excess_at_closes(state, terms, rates) == excess_at_closes(state, terms, rates) == fresh
        return fresh

    rates = terms.facts.fx(broker.now)
    assert known(rates) == Decimal(10_000_000)

    broker.submit(order())
    events_until(broker, utc(MONDAY, 15, 1))
    # 100 at the ask 100.01 and the least commission of 1 paid, worth 100 × 100 at the close, of which 25 % are margin.
    assert known(rates) == Decimal(10_000_000) - 10_001 - 1 + 10_000 - 2_500

    broker.submit(order("PEN", "100", "251", ref="AF1.B.0"))
    events_until(broker, utc(MONDAY, 15, 2))
    dearer = FxRate(pair="GBPUSD", rate=Decimal("1.5"), observed_at=broker.now, source="test")
    changed = FxRates(as_of=broker.now, rates={**rates.rates, "GBPUSD": dearer})
    value, margin = Decimal(100) * 250 / 100, Decimal("0.25") * 100 * 250 / 100
    pounds = state.balance("GBP") + value - margin
    assert known(changed) - known(rates) == pounds * (Decimal("1.5") - Decimal("1.25"))

    state.head = replace(state.head, virtual_time=utc(MONDAY + timedelta(days=1), 22))
    assert known(rates) == known(rates)
