"""Orders in doubt in the book: evidence row by row, ABSENT only with its proof, and what the end of a doubt frees."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from engine.errors import InvariantError, RefusedError, SupersededError
from engine.execution.absence import evidence_of
from engine.model.absence import (
    AbsenceEvidence,
    AbsencePolicy,
    Attestation,
    HeldTwice,
    LinkState,
    LookFinding,
)
from engine.model.orders import ChildOrder, ChildStatus, JobStatus
from engine.ports import GateOutcome
from state.append_only import EVIDENCE_REFUSAL
from state.database import Database
from state.doubts import order_views
from state.orders import OrderStore
from state.verification import verify
from tests.state.builders import ACCOUNT, DAY, later, make_fill, make_intent, make_job, open_orders
from tests.state.test_orders import planned

D = Decimal
S = ChildStatus
POLICY = AbsencePolicy(broker_zone="America/New_York")
CLIENT = 1


def doubted(store: OrderStore, quantity: str = "100") -> ChildOrder:
    """A child sent at 07:00:00 UTC whose outcome is not known."""
    store.over(CLIENT)
    child = planned(store, quantity=quantity)
    assert store.claim(child, D(19_000), later(3600)) is GateOutcome.CLAIMED
    store.record_status(child.order_ref, S.UNKNOWN, later(3601), "the line broke")
    return child


def proof(store: OrderStore, child: ChildOrder) -> AbsenceEvidence:
    held = (HeldTwice(contract_id=child.contract_id, ours=D(0), broker=D(0)),)
    return evidence_of(
        store.child(child.order_ref),
        POLICY,
        later(3600 + 90),
        acknowledged=store.was_acknowledged(child.order_ref),
        link=LinkState(client_id=CLIENT, connected_at=later(0)),
        asked_since=later(3600),
        looks=tuple(LookFinding(at=later(3600 + s), found=(), positions=held) for s in (60, 90)),
    )


def turnover(database: Database) -> tuple[int, int]:
    with database.read() as connection:
        row = connection.execute(text("SELECT orders, turnover_usd FROM order_counters")).one()
    return row[0], row[1] // 1_000_000


def test_only_evidence_ends_a_child_as_absent(database: Database) -> None:
    store = open_orders(database)
    child = doubted(store)
    with pytest.raises(InvariantError, match="only evidence"):
        store.record_status(child.order_ref, S.ABSENT, later(3700), "I think so")
    one_look = replace(proof(store, child), looks=proof(store, child).looks[:1])
    with pytest.raises(InvariantError, match="expected a proof, found that it misses two complete answers"):
        store.prove_absent(one_look)
    assert store.child(child.order_ref).status is S.UNKNOWN


def test_proof_frees_reservation_contract_and_turnover_and_is_kept(database: Database) -> None:
    store = open_orders(database)
    child = doubted(store)
    assert (store.blocked_contracts(), turnover(database)) == (frozenset({"AAPL"}), (1, 19_000))
    following = replace(child, attempt=2, order_ref="AF1.X.2")
    # 100 are reserved by the first child, of the 100 that are wanted.
    assert store.claim(following, D(19_000), later(3650)) is GateOutcome.OVER_RESERVED
    store.prove_absent(proof(store, child))
    assert store.blocked_contracts() == frozenset()
    assert turnover(database) == (1, 0)  # the order counts as sent, its 19,000 USD do not
    assert store.claim(following, D(19_000), later(3700)) is GateOutcome.CLAIMED
    (view,) = order_views(database, ACCOUNT, [S.ABSENT])
    assert [(row.status, row.evidence) for row in view.known] == [(S.ABSENT, proof_before(store, child))]
    assert view.note == "proved absent"
    assert verify(database) == ()


def proof_before(store: OrderStore, child: ChildOrder) -> AbsenceEvidence:
    return proof(store, child)


def test_doubt_that_was_ended_can_not_be_ended_again(database: Database) -> None:
    store = open_orders(database)
    child = doubted(store)
    evidence = proof(store, child)
    store.prove_absent(evidence)
    with pytest.raises(RefusedError, match="found it ABSENT: somebody else settled it"):
        store.prove_absent(evidence)
    with pytest.raises(RefusedError, match="found it ABSENT"):
        store.note_doubt(evidence)


def test_nothing_is_proved_while_a_process_stands_between_claim_and_line(database: Database) -> None:
    """A stopped process keeps the latch: woken, it would write what it had claimed, whatever the broker answered."""
    store = open_orders(database)
    child = doubted(store)
    with store.passage():
        assert not store.is_passage_free()
        with pytest.raises(RefusedError, match="between a claim and the line"):
            store.prove_absent(proof(store, child))
    assert store.child(child.order_ref).status is S.UNKNOWN
    assert store.is_passage_free()
    store.prove_absent(proof(store, child))
    assert store.child(child.order_ref).status is S.ABSENT


def test_of_two_operators_at_once_one_wins(database: Database) -> None:
    store = open_orders(database)
    child = doubted(store)
    barrier, outcomes = threading.Barrier(4), list[str]()

    def act(name: str) -> None:
        said = Attestation(text="not there", operator=name, reason="asked")
        barrier.wait()
        try:
            store.prove_absent(replace(proof(store, child), attestation=said))
            outcomes.append("won")
        except RefusedError:
            outcomes.append("refused")

    threads = [threading.Thread(target=act, args=(f"operator {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "won"]
    (view,) = order_views(database, ACCOUNT, [S.ABSENT])
    assert len(view.known) == 1


def test_row_of_evidence_never_changes(database: Database) -> None:
    store = open_orders(database)
    store.note_doubt(proof(store, doubted(store)))
    for change in ("UPDATE order_evidence SET status = 'ABSENT'", "DELETE FROM order_evidence"):
        with (
            pytest.raises(DatabaseError, match=EVIDENCE_REFUSAL.partition(";")[0]),
            database.transaction() as connection,
        ):
            connection.execute(text(change))


def test_refusal_of_evidence_that_was_taken_away_is_found(database: Database) -> None:
    with database.transaction() as connection:
        names = (
            ["order_evidence_append_only ON order_evidence"]
            if database.is_postgresql
            else ["order_evidence_refuse_update", "order_evidence_refuse_delete"]
        )
        for name in names:
            connection.execute(text(f"DROP TRIGGER {name}"))
    assert [found.detail for found in verify(database)] == [
        "rows of order_evidence can be changed: its refusal is gone"
    ]


def test_superseded_run_proves_nothing(database: Database) -> None:
    store = open_orders(database)
    child = doubted(store)
    with database.transaction() as connection:
        connection.execute(text("UPDATE control SET epoch = epoch + 1"))
    with pytest.raises(SupersededError):
        store.prove_absent(proof(store, child))


@pytest.mark.parametrize(
    ("seconds", "status"),
    [(3700, JobStatus.RECOVERING), (7200, JobStatus.DONE)],  # the window is open from 3600 to 7200
)
def test_job_of_unknown_outcome_is_recovered_with_its_last_doubt(
    database: Database, seconds: int, status: JobStatus
) -> None:
    store = open_orders(database)
    store.save_jobs([make_job("job", make_intent())])
    store.begin_job("job", later(3600))
    child = doubted(store)
    store.end_job("job", JobStatus.UNKNOWN, later(3650), "one order is in doubt")
    evidence = proof(store, child)
    store.prove_absent(replace(evidence, now=evidence.now + timedelta(seconds=seconds - 3690)))
    assert store.job("job").status is status


def test_job_waits_while_another_of_its_orders_is_in_doubt(database: Database) -> None:
    store = open_orders(database)
    store.save_jobs([make_job("job", make_intent())])
    store.begin_job("job", later(3600))
    first = doubted(store, "50")
    second = planned(store, attempt=2, quantity="50")
    store.claim(second, D(1), later(3600))
    store.record_status(second.order_ref, S.UNKNOWN, later(3601), "")
    store.end_job("job", JobStatus.UNKNOWN, later(3650), "")
    store.prove_absent(proof(store, first))
    assert store.job("job").status is JobStatus.UNKNOWN
    store.record_status(second.order_ref, S.REJECTED, later(3700), "found again")
    assert store.job("job").status is JobStatus.RECOVERING


def test_order_that_the_broker_took_is_remembered_as_such(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    store.claim(child, D(1), later(3600))
    assert not store.was_acknowledged(child.order_ref)
    store.record_status(child.order_ref, S.WORKING, later(3601), "")
    store.record_status(child.order_ref, S.UNKNOWN, later(3602), "")
    assert store.was_acknowledged(child.order_ref)
    with pytest.raises(InvariantError, match="it had taken the order"):
        store.prove_absent(proof(store, child))


def test_held_quantity_is_that_of_the_ledger(database: Database) -> None:
    store = open_orders(database)
    child = planned(store)
    store.claim(child, D(1), later(3600))
    store.record_fill(make_fill(child, "60"))
    assert store.held(["AAPL", "MSFT"]) == {"AAPL": D(60), "MSFT": D(0)}


def test_client_that_sends_is_kept_with_each_order(database: Database) -> None:
    store = open_orders(database)
    assert store.child(planned(store).order_ref).client_id is None
    assert store.over(9).child(planned(store, make_intent("other")).order_ref).client_id == 9


def test_views_list_states_asked_for_latest_day_first(database: Database) -> None:
    store = open_orders(database)
    child = doubted(store)
    store.note_doubt(proof(store, child))
    (view,) = order_views(database, ACCOUNT, [S.UNKNOWN])
    assert (view.record.child, view.intent.intent_id, view.note) == (child, "parent", "the line broke")
    assert (len(view.known), view.was_acknowledged) == (1, False)
    assert order_views(database, ACCOUNT, [S.WORKING]) == ()
    assert order_views(database, "another", [S.UNKNOWN]) == ()
    assert view.record.sent_at.date() == DAY  # type: ignore[union-attr]
