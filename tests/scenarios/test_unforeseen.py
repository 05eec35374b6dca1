"""A message that no state machine knows: the window stops with its evidence, a person answers, and the day goes on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from engine.model.context import RunKind, RunStatus
from engine.model.encoding import decode
from engine.model.halts import HaltChoice, HaltKind
from engine.model.orders import ChildStatus, TransportEvent, TransportEventKind
from engine.report import BreakRow
from engine.simulation.exchange import SimulatedTransport
from state.halts import HaltSeverity
from tasks.resolution import apply, preview
from tasks.runtime import World
from tests.factories import accepted_orders, book_at_close, new_world, order_store, run
from tests.halted_days import HALTED_DAY, open_halt, undisturbed_home


class RejectingLine:
    """The simulated line, which once says of an order that filled that it was rejected."""

    def __init__(self) -> None:
        self.said: str | None = None
        self._next = SimulatedTransport.next_event
        self._waiting: TransportEvent | None = None

    def next_event(self, line: SimulatedTransport, until: datetime) -> TransportEvent | None:
        if self._waiting is not None:
            told, self._waiting = self._waiting, None
            return told
        event = self._next(line, until)
        if self.said is None and event is not None and _is_whole(line, event):
            self.said = event.order_ref
            self._waiting = TransportEvent(
                kind=TransportEventKind.REJECTED, at=event.at, order_ref=event.order_ref, text="error 201"
            )
        return event


def _is_whole(line: SimulatedTransport, event: TransportEvent) -> bool:
    """Whether this execution is the last of its order."""
    listed = {order.order_ref: order for order in line.orders()}
    return event.kind is TransportEventKind.FILL and listed[event.order_ref].status is ChildStatus.FILLED


@pytest.fixture
def decided(tmp_path: Path) -> Iterator[World]:
    """The fund whose second decision is made and whose windows have not begun."""
    home = tmp_path / "home"
    shutil.copytree(undisturbed_home(), home)
    world = new_world(home, HALTED_DAY)
    yield world
    world.close()


@pytest.mark.slow
def test_illegal_message_halts_with_its_evidence_and_the_day_goes_on_when_it_is_answered(
    decided: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = RejectingLine()

    def next_event(self: SimulatedTransport, until: datetime) -> TransportEvent | None:
        return line.next_event(self, until)

    monkeypatch.setattr(SimulatedTransport, "next_event", next_event)
    outcome = run(decided, HALTED_DAY, RunKind.EXECUTION)
    assert (outcome.status, outcome.is_halted) == (RunStatus.HALTED, True)

    halt = open_halt(decided)
    (row,) = decode(tuple[BreakRow, ...], halt.evidence)
    assert (halt.kind, halt.severity) == (HaltKind.UNFORESEEN.value, HaltSeverity.HALT)
    assert (row.subject, row.ours, row.broker) == (f"order {line.said}", "FILLED", "REJECTED")
    assert "no arrow leads from FILLED to REJECTED" in halt.message
    assert f"./fund resolve {halt.halt_id} --choice retry" in outcome.text

    # The fill was booked before the message was refused, and what else worked was asked to cancel.
    (filled,) = [r for r in _children(decided) if r.child.order_ref == line.said]
    assert (filled.status, filled.filled) == (ChildStatus.FILLED, filled.child.quantity)
    sent = [order.order_ref for order in accepted_orders(decided.options.home, decided.account)]
    assert run(decided, HALTED_DAY, RunKind.EXECUTION).status is RunStatus.HALTED  # nobody answered yet
    assert [order.order_ref for order in accepted_orders(decided.options.home, decided.account)] == sent

    effect = preview(decided, halt.halt_id, HaltChoice.RETRY, {})
    assert (effect.entries, effect.stops) == ((), "")
    apply(decided, halt.halt_id, HaltChoice.RETRY, "the broker says filled, on the telephone", "me", {})
    finished = [run(decided, HALTED_DAY, kind).status for kind in (RunKind.EXECUTION, RunKind.CLOSE)]
    assert finished == [RunStatus.COMPLETED, RunStatus.COMPLETED]
    references = [order.order_ref for order in accepted_orders(decided.options.home, decided.account)]
    assert len(references) == len(set(references)) > len(sent)
    books = book_at_close(decided)
    assert books.ours == books.broker


def _children(world: World):  # type: ignore[no-untyped-def]
    store = order_store(world)
    jobs = store.jobs(trade_date=HALTED_DAY)
    return [row for job in jobs for intent in job.job.intents for row in store.children(intent.intent_id)]
