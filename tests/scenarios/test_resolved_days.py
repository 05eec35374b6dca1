"""A halted day that was resolved goes on to its close: every fault, decision to books, as the broker's own file tells it."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest

from engine.model.context import RunKind, RunStatus
from engine.model.encoding import encode
from engine.model.halts import HaltChoice
from engine.simulation.faults import inject
from engine.simulation.interventions import transfer_cash
from tasks.resolution import adoption_entries, apply
from tasks.runtime import World
from tests.factories import (
    BookAtClose,
    accepted_orders,
    book_at_close,
    executions_at_broker,
    new_world,
    order_store,
    run,
    run_day,
)
from tests.halted_days import (
    HALTED_DAY,
    decide_again,
    halted_world,
    home_after_a_day,
    open_halt,
    undisturbed_home,
)

TRANSIENT = ("nan-price", "nlv-drift", "stale-fx")
LASTING = ("cash-break", "cash-break:emergency", "foreign-position", "missed-fill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A day that came to its close: its parents and jobs, the orders of ours that the broker accepted, both books."""

    parents: dict[str, bytes]
    orders: list[bytes]
    references: list[str]
    executions: tuple[str, ...]
    booked: list[str]
    books: BookAtClose


def finish(world: World) -> Finished:
    """Run what is left of the halted day and look at everything that it left."""
    outcomes = {kind: run(world, HALTED_DAY, kind) for kind in RunKind}
    assert {outcome.status for outcome in outcomes.values()} == {RunStatus.COMPLETED}
    jobs = order_store(world).jobs(trade_date=HALTED_DAY)
    ours = {intent.intent_id: encode(intent) for record in jobs for intent in record.job.intents}
    accepted = accepted_orders(world.options.home, world.account)
    entries = [entry.entry_id for entry in world.ledger.entries(world.account)]
    return Finished(
        parents=ours,
        orders=[encode(order) for order in accepted if order.intent_id in ours],
        references=[order.order_ref for order in accepted],
        executions=executions_at_broker(world.options.home, world.account),
        booked=[name.removeprefix("trade:") for name in entries if name.startswith("trade:")],
        books=book_at_close(world),
    )


@cache
def undisturbed() -> Finished:
    """The same day without any fault."""
    home = Path(mkdtemp(prefix="fund-undisturbed-"))
    shutil.copytree(undisturbed_home(), home, dirs_exist_ok=True)
    world = new_world(home, HALTED_DAY)
    try:
        return finish(world)
    finally:
        world.close()
        shutil.rmtree(home, ignore_errors=True)


def resolved(world: World, choice: HaltChoice) -> Finished:
    """Answer the halt, then go on as `fund resume` does."""
    apply(world, open_halt(world).halt_id, choice, "the custodian confirmed it", "Ada", {})
    return finish(world)


@pytest.mark.parametrize("fault", TRANSIENT)
def test_day_after_a_transient_fault_sends_the_orders_of_an_undisturbed_day(
    fault: str, tmp_path: Path
) -> None:
    with halted_world(fault, tmp_path) as world:
        found = resolved(world, HaltChoice.RETRY)

    expected = undisturbed()
    assert len(expected.parents) > 3
    assert found.parents == expected.parents
    assert found.orders == expected.orders
    assert found.books == expected.books


@pytest.mark.parametrize("fault", [*TRANSIENT, *LASTING])
def test_resolved_day_ends_with_equal_books_and_nothing_sent_or_booked_twice(
    fault: str, tmp_path: Path
) -> None:
    choice = HaltChoice.RETRY if fault in TRANSIENT else HaltChoice.ADOPT_BROKER
    with halted_world(fault, tmp_path) as world:
        before = len(accepted_orders(world.options.home, world.account))
        assert decide_again(world).is_halted
        assert run(world, HALTED_DAY, RunKind.EXECUTION).is_halted
        assert len(accepted_orders(world.options.home, world.account)) == before
        found = resolved(world, choice)
        repeated = run_day(world, HALTED_DAY)

        assert all("nothing changed" in outcome.text for outcome in repeated.values())
        assert len(accepted_orders(world.options.home, world.account)) == len(found.references)
    assert len(found.references) > before
    assert max(Counter(found.references).values()) == 1
    known = set(found.executions)
    assert sorted(found.booked) == sorted(known & set(found.booked))
    # What a foreign hand traded is adopted as a position, not booked as a trade of ours.
    assert len(known - set(found.booked)) == (1 if fault == "foreign-position" else 0)
    assert found.books.ours == found.books.broker


@pytest.mark.parametrize("fault", LASTING)
def test_day_after_an_adoption_sends_the_orders_of_an_undisturbed_day_from_the_adopted_book(
    fault: str, tmp_path: Path
) -> None:
    with halted_world(fault, tmp_path) as world:
        halt = open_halt(world)
        run_of_halt = world.runs.run(halt.run_id)
        assert run_of_halt is not None
        entries = adoption_entries(world, run_of_halt, halt.halt_id)
        asked_until = world.now
        found = resolved(world, HaltChoice.ADOPT_BROKER)

    home = tmp_path / "adopted before"
    shutil.copytree(home_after_a_day(), home)
    other = new_world(home, HALTED_DAY)
    try:
        other.broker.advance(other.decision_time(HALTED_DAY))
        inject(other.broker, fault)
        other.broker.advance(asked_until)
        other.ledger.post(other.account, entries)
        expected = finish(other)
    finally:
        other.close()
    assert found.parents == expected.parents
    assert found.orders == expected.orders
    assert found.books == expected.books


def test_fund_that_is_worth_less_than_nothing_stays_stopped_however_often_it_is_asked(tmp_path: Path) -> None:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    world = new_world(tmp_path, HALTED_DAY)
    transfer_cash(world.broker, "USD", Decimal(-12_000_000))  # of about 10,000,000
    sent = accepted_orders(world.options.home, world.account)
    assert decide_again(world).status is RunStatus.EMERGENCY
    apply(world, open_halt(world).halt_id, HaltChoice.ADOPT_BROKER, "it is gone", "Ada", {})
    for _ in range(2):
        assert decide_again(world).status is RunStatus.EMERGENCY
        assert open_halt(world).kind == "nlv-drift"
        apply(world, open_halt(world).halt_id, HaltChoice.RETRY, "asked again", "Ada", {})
    assert accepted_orders(world.options.home, world.account) == sent
    world.close()
