"""The broker's statement of whole days: it agrees with the book, books what came late, and proves what was unknown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from engine.errors import BrokerUnavailable, StatementError
from engine.model.context import RunKind, RunStatus
from engine.model.halts import HaltChoice, HaltKind
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderIntent, TransportEvent
from engine.simulation.exchange import SimulatedTransport
from engine.simulation.faults import ForeignTrade, add_trade, change_cash
from state.statements import StatementStore
from state.verification import verify
from tasks.resolution import apply
from tasks.runtime import World
from tasks.statement import import_statement
from tests.factories import DAYS, book_at_close, days_run, new_world, order_store, row_counts, run, run_day
from tests.halted_days import home_after_a_day, open_halt
from tests.statements import imported, outcomes, statement_of

LOST = "CSPX"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A fund with one finished day, the second one not begun."""
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    opened = new_world(tmp_path, DAYS[2])
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same fund for tests that must not change it."""
    home = tmp_path_factory.mktemp("untouched")
    shutil.copytree(home_after_a_day(), home, dirs_exist_ok=True)
    opened = new_world(home, DAYS[2])
    yield opened
    opened.close()


def test_statement_of_undisturbed_days_agrees_with_the_book_and_books_nothing(tmp_path: Path) -> None:
    shutil.copytree(days_run().home, tmp_path, dirs_exist_ok=True)
    opened = new_world(tmp_path)
    entries = len(opened.ledger.entries(opened.account))
    result = imported(opened, DAYS[0], DAYS[-1])
    assert outcomes(result) == {}
    assert len(result.lines) > 240
    assert len(opened.ledger.entries(opened.account)) == entries
    before = row_counts(opened)
    assert outcomes(imported(opened, DAYS[0], DAYS[-1])) == {}
    assert row_counts(opened) == before
    opened.close()


def test_what_came_late_is_booked_once_and_the_next_day_goes_on_when_its_overfill_was_looked_at(
    world: World,
) -> None:
    future = next(name for name in ordered(world) if world.contracts.instrument(name).is_future)
    fill = trade_late(world, LOST, Decimal(20))
    trade_late(world, future, Decimal(ordered(world)[future].side.sign))
    change_cash(world.broker, "a fee", "EUR", Decimal("-300"))
    world.broker.commit()
    assert outcomes(imported(world, DAYS[0])) == {
        ("late_fill", "BOOKED"): 2,
        ("fee", "BOOKED"): 1,
    }
    (trade,) = [e for e in world.ledger.entries(world.account) if e.entry_id == f"trade:{fill.execution_id}"]
    assert {line.account for line in trade.lines if line.unit == LOST} == {
        "position:core_index_rv",
        f"market:{LOST}",
    }
    assert fill.execution_id in {known.execution_id for known in world.fills({fill.root})}
    counts = row_counts(world)
    assert outcomes(imported(world, DAYS[0])) == {}
    assert row_counts(world) == counts
    # Both parents had filled whole: what came late is more than was ordered, which somebody has to look at once.
    assert run_day(world, DAYS[1])[RunKind.DECISION].is_halted
    halt = open_halt(world)
    assert halt.kind == HaltKind.OVERFILL.value
    parents = [ordered(world)[name] for name in (LOST, future)]
    assert [parent.intent_id in halt.message for parent in parents] == [True, True]
    apply(world, halt.halt_id, HaltChoice.RETRY, "the broker keeps them, and so do we", "Ada", {})
    # The close of the next day halts when its bridge does not explain NAV to the cent, or the books differ.
    assert {outcome.status for outcome in run_day(world, DAYS[1]).values()} == {RunStatus.COMPLETED}
    books = book_at_close(world)
    assert books.ours == books.broker
    assert verify(world.database) == ()


@pytest.mark.parametrize("kind", ["foreign", "configured"])
def test_trade_of_somebody_else_is_booked_only_where_it_is_configured(world: World, kind: str) -> None:
    trade = ForeignTrade(contract_id=LOST, quantity=Decimal(7), price=Decimal("640"), order_ref=None)
    add_trade(world.broker, "manual", trade)
    world.broker.commit()
    opened = world
    if kind == "configured":
        opened = World(replace(world.options, overrides=("statement.booked=[foreign_trade]",)))
    found = outcomes(imported(opened, DAYS[0]))
    if kind == "configured":
        assert found == {("foreign_trade", "BOOKED"): 1}
        opened.broker.advance(opened.broker.now + timedelta(seconds=1))
        assert book_at_close(opened).ours == book_at_close(opened).broker
        opened.close()
    else:
        assert found == {
            ("foreign_trade", "LEFT"): 1,
            ("position", "LEFT"): 1,
            ("cash", "LEFT"): 1,
        }


@pytest.mark.parametrize(
    ("amount", "found"),
    [
        (Decimal("-300"), {("fee", "BOOKED"): 1}),
        (Decimal("-30000"), {("fee", "LEFT"): 1, ("cash", "LEFT"): 1}),
    ],
)
def test_fee_is_booked_up_to_the_limit_and_left_to_a_person_above(
    world: World, amount: Decimal, found: dict[tuple[str, str], int]
) -> None:
    change_cash(world.broker, "a fee", "USD", amount)
    world.broker.commit()
    later = world.broker.now + timedelta(seconds=1)
    before = world.ledger.portfolio(world.account, later).cash["USD"]
    assert outcomes(imported(world, DAYS[0])) == found
    after = world.ledger.portfolio(world.account, later).cash["USD"]
    assert after - before == (amount if amount == -300 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("arrived", [False, True], ids=["never arrived", "executed unseen"])
def test_unknown_order_is_decided_by_the_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, arrived: bool
) -> None:
    write, read, lost = SimulatedTransport.send, SimulatedTransport.next_event, set[str]()

    def send(line: SimulatedTransport, child: ChildOrder) -> None:
        if child.contract_id == LOST and arrived:
            write(line, child)
        if child.contract_id == LOST:
            lost.add(child.order_ref)
            raise BrokerUnavailable("the line broke while the order was written")
        write(line, child)

    def next_event(line: SimulatedTransport, until: datetime) -> TransportEvent | None:
        event = read(line, until)
        while event is not None and event.order_ref in lost:
            event = read(line, until)
        return event

    monkeypatch.setattr(SimulatedTransport, "send", send)
    monkeypatch.setattr(SimulatedTransport, "next_event", next_event)
    monkeypatch.setattr(SimulatedTransport, "orders", lambda line: ())
    monkeypatch.setattr(SimulatedTransport, "executions", lambda line: ())
    opened = new_world(tmp_path, DAYS[1])
    run(opened, DAYS[0], RunKind.DECISION)
    run(opened, DAYS[0], RunKind.EXECUTION)
    opened.broker.advance(opened.close_time(DAYS[0]))
    (unknown,) = [r for r in order_store(opened).unresolved() if r.child.contract_id == LOST]
    assert unknown.status is ChildStatus.UNKNOWN
    result = imported(opened, DAYS[0])
    (fate,) = [fate for fate in result.orders if fate.order_ref == unknown.child.order_ref]
    assert fate.status is (ChildStatus.FILLED if arrived else ChildStatus.ABSENT), fate.text
    assert order_store(opened).unresolved() == ()
    held = opened.ledger.portfolio(opened.account, opened.broker.now + timedelta(seconds=1)).quantity(LOST)
    assert held == (unknown.child.quantity if arrived else 0)
    assert outcomes(result).get(("late_fill", "BOOKED"), 0) >= (1 if arrived else 0)
    opened.close()


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("cut", "</FlexQueryResponse>", "", "truncated"),
        ("other account", "SIM-fund-1", "U1234567", "expected a statement of SIM-fund-1, found one of U1234567"),
        ("a row of another account", '<OpenPosition accountId="SIM-fund-1"', '<OpenPosition accountId="U1"', "of U1"),
        ("wrong count", 'FlexStatements count="1"', 'FlexStatements count="2"', "count of 2"),
        ("wrong proceeds", ' proceeds="', ' proceeds="1', "found"),
        ("wrong end", 'endingCash="', 'endingCash="1', "adds up"),
        ("an entity", "<FlexQueryResponse", '<!DOCTYPE x [<!ENTITY e "1">]><FlexQueryResponse', "document type"),
        ("no positions", "OpenPositions>", "Nothing>", "OpenPositions"),
        ("no number", ' amount="', ' amount="NaN" was="', "to be a number"),
        ("another day", ' tradeDate="20261112"', ' tradeDate="20261111"', "outside"),
    ],
)  # fmt: skip
def test_unsound_statement_is_refused_whole(
    untouched: World, name: str, old: str, new: str, told: str
) -> None:
    world, sound = untouched, statement_of(untouched, DAYS[0]).decode()
    count = (
        1
        if name in ("wrong proceeds", "a row of another account", "wrong end", "no number", "another day")
        else -1
    )
    before = row_counts(world)
    with pytest.raises(StatementError, match=told):
        import_statement(world, sound.replace(old, new, count).encode())
    assert row_counts(world) == before


def test_row_that_comes_again_with_another_content_is_refused(world: World) -> None:
    sound = statement_of(world, DAYS[0]).decode()
    import_statement(world, sound.encode())
    before = row_counts(world)
    with pytest.raises(StatementError, match="found others under the same id"):
        import_statement(world, sound.replace('orderReference="AF1.', 'orderReference="AF2.', 1).encode())
    assert row_counts(world) == before


def test_rows_remember_what_became_of_them(world: World) -> None:
    imported(world, DAYS[0])
    rows = StatementStore(world.database).rows(world.account)
    assert {row.outcome for row in rows} == {"MATCHED"}
    assert {row.row_id.partition(":")[0] for row in rows} == {"cash", "execution"}


def ordered(world: World) -> dict[str, OrderIntent]:
    """Parents of the first day by contract."""
    jobs = order_store(world).jobs(trade_date=DAYS[0])
    return {intent.contract_id: intent for record in jobs for intent in record.job.intents}


def trade_late(world: World, contract_id: str, quantity: Decimal) -> Fill:
    """An execution of the last child of a parent, after its order had ended."""
    parent = ordered(world)[contract_id]
    child = order_store(world).children(parent.intent_id)[-1].child
    late = ForeignTrade(
        contract_id=contract_id,
        quantity=quantity,
        price=parent.decision_price,
        order_ref=child.order_ref,
    )
    return add_trade(world.broker, "late fill", late)
