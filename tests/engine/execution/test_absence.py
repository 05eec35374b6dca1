"""The proof of absence, condition by condition: each alone missing keeps the order in doubt (REL-5.5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvariantError
from engine.execution.absence import evidence_of, examine, judge_absence, next_look
from engine.model.absence import (
    AbsenceEvidence,
    AbsencePolicy,
    Attestation,
    HeldTwice,
    LinkState,
    Look,
    LookFinding,
    StatementProof,
)
from engine.model.orders import ChildOrder, ChildStatus, Fill, OpenOrder, OrderType, Side
from engine.model.spreads import NearLeg
from engine.ports import ChildRecord

D = Decimal
SENT = datetime(2025, 12, 1, 15, 0, tzinfo=UTC)
REF = "AF1.AAAA.1"
POLICY = AbsencePolicy(broker_zone="America/New_York")
WORD = Attestation(text="the desk never saw it", operator="ada", reason="asked")


def after(seconds: float) -> datetime:
    return SENT + timedelta(seconds=seconds)


def saw_nothing(seconds: float, ours: str = "100", broker: str = "100") -> LookFinding:
    held = HeldTwice(contract_id="CSPX", ours=D(ours), broker=D(broker))
    return LookFinding(at=after(seconds), found=(), positions=(held,))


def evidence(**changes: object) -> AbsenceEvidence:
    """A proof in which nothing is missing: looks 60 and 90 seconds after the send, over a link an hour old."""
    proof = AbsenceEvidence(
        order_ref=REF,
        sent_at=SENT,
        client_id=1,
        order_id=7,
        contract_ids=("CSPX",),
        now=after(90),
        policy=POLICY,
        asked_since=SENT,
        link=LinkState(client_id=1, connected_at=after(-3600)),
        looks=(saw_nothing(60), saw_nothing(90)),
    )
    return replace(proof, **changes)  # type: ignore[arg-type]


def link(**changes: object) -> LinkState:
    return replace(LinkState(client_id=1, connected_at=after(-3600)), **changes)  # type: ignore[arg-type]


def test_complete_proof_says_absent() -> None:
    verdict = judge_absence(evidence())
    assert verdict.missing == ()
    assert verdict.is_absent


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"sent_at": None}, "the time at which it was sent"),
        ({"link": None}, "a connection to the broker"),
        ({"asked_since": None}, "nobody is between a claim and the line"),
        # Asked for the first time 1 s late: a clock may have been set back before, so only the look at 90 s counts.
        ({"asked_since": SENT + timedelta(seconds=1)}, "there is one"),
        ({"client_id": None}, "the client id that sent it"),
        ({"client_id": 2}, "the connection of client 2, which sent it; this one is client 1"),
        # Connected 31 s after the send: the first look that counts is 91 s after it, and there is none.
        ({"link": link(connected_at=after(31))}, "undisturbed for 60 seconds"),
        ({"link": link(interrupted_at=after(80))}, "undisturbed for 60 seconds"),
        ({"looks": ()}, "there is none"),
        ({"looks": (saw_nothing(90),)}, "there is one"),
        ({"looks": (saw_nothing(59), saw_nothing(90))}, "there is one"),  # 59 s after the send is too early
        ({"looks": (saw_nothing(61), saw_nothing(90))}, "there is one"),  # 29 s apart are too close
        ({"acknowledged": True}, "it had taken the order"),
        ({"filled": D(3)}, "3 of it are booked"),
        ({"looks": (saw_nothing(60, broker="103"), saw_nothing(90))}, "a position of CSPX that agrees in both"),
        ({"looks": (saw_nothing(60), saw_nothing(90, broker="103"))}, "the difference of +3 may be its executions"),
        ({"looks": (saw_nothing(60), saw_nothing(90, broker="97"))}, "the difference of -3"),
        ({"link": link(next_order_id=8)}, "has seen its number 7"),
        # 23:59:30 in New York; the looks a minute and two later see the lists of the next day.
        (
            {"sent_at": datetime(2025, 12, 1, 4, 59, 30, tzinfo=UTC), "now": datetime(2025, 12, 1, 5, 2, tzinfo=UTC)},
            "a statement of the broker for 2025-11-30",
        ),
    ],
)  # fmt: skip
def test_each_condition_alone_missing_keeps_the_order_in_doubt(
    changes: dict[str, object], missing: str
) -> None:
    verdict = judge_absence(evidence(**changes))
    assert not verdict.is_absent
    assert missing in "; ".join(verdict.missing)


def test_number_below_the_next_one_says_nothing_once_later_orders_were_written() -> None:
    assert judge_absence(evidence(link=link(next_order_id=7))).is_absent
    assert judge_absence(evidence(link=link(next_order_id=9, last_sent_id=8))).is_absent
    assert not judge_absence(evidence(link=link(next_order_id=8, last_sent_id=7))).is_absent


def test_day_of_the_broker_counts_not_that_of_greenwich() -> None:
    """Midnight UTC is 19:00 in New York: the broker's lists still hold the afternoon."""
    sent = datetime(2025, 12, 1, 23, 59, 30, tzinfo=UTC)
    looks = tuple(replace(saw_nothing(0), at=sent + timedelta(seconds=s)) for s in (60, 90))
    proof = evidence(sent_at=sent, asked_since=sent, looks=looks, now=sent + timedelta(seconds=90))
    assert judge_absence(proof).is_absent


@pytest.mark.parametrize(
    "stands_for_it",
    [
        {"statement": StatementProof(file_digest="d", begins=after(-9), ends=after(9), missing="")},
        {"attestation": WORD},
    ],
)
def test_statement_or_word_stands_for_quiet_and_day_but_not_against_the_broker(
    stands_for_it: dict[str, object],
) -> None:
    days_later = after(3 * 86_400)
    late = evidence(now=days_later, link=None, looks=(saw_nothing(3 * 86_400),), **stands_for_it)
    assert judge_absence(late).is_absent
    moved = replace(late, looks=(saw_nothing(3 * 86_400, broker="103"),))
    assert not judge_absence(moved).is_absent
    listed = replace(late.looks[0], found=("listed as order 9, WORKING",))
    assert judge_absence(replace(late, looks=(listed,))).missing == (
        "the broker knows it: listed as order 9, WORKING",
    )


def test_statement_of_another_time_or_without_proof_proves_nothing() -> None:
    other = StatementProof(file_digest="d", begins=after(1), ends=after(9), missing="")
    assert "covers the time" in judge_absence(evidence(statement=other)).missing[0]
    open_end = StatementProof(
        file_digest="d", begins=after(-1), ends=after(9), missing="it ends before the order"
    )
    assert "it ends before the order" in judge_absence(evidence(statement=open_end)).missing[0]


def test_word_without_an_answer_of_the_broker_proves_nothing() -> None:
    assert "one complete answer" in judge_absence(evidence(attestation=WORD, looks=())).missing[0]


@given(
    count=st.integers(min_value=1, max_value=500),
    age=st.integers(min_value=0, max_value=80_000),
)
def test_neither_count_nor_age_is_a_proof(count: int, age: int) -> None:
    """As many looks as one likes within less than 30 seconds, however long after the order."""
    looks = tuple(saw_nothing(age + 29 * number / count) for number in range(count))
    proof = evidence(looks=looks, now=looks[-1].at, link=link(connected_at=SENT))
    assert not judge_absence(proof).is_absent


def test_next_look_waits_for_quiet_and_then_for_its_distance() -> None:
    assert next_look(evidence(looks=(), asked_since=None, now=after(1))) == after(
        1
    )  # the first one may be at once
    nothing = evidence(looks=(), now=after(1))
    assert next_look(nothing) == after(60)
    assert next_look(replace(nothing, link=link(interrupted_at=after(20)))) == after(80)
    assert next_look(evidence(looks=(saw_nothing(60),), now=after(60))) == after(90)
    assert next_look(evidence(now=after(95))) == after(120)  # the last one counted at 90


def test_policy_that_takes_no_time_is_refused() -> None:
    with pytest.raises(InvariantError, match="takes time"):
        AbsencePolicy(broker_zone="UTC", quiet_seconds=0)


# ---------------------------------------------------------------- what one look says


def record(near: NearLeg | None = None, **changes: object) -> ChildRecord:
    child = ChildOrder(
        order_ref=REF,
        intent_id="parent",
        attempt=1,
        contract_id="CSPX",
        side=Side.BUY,
        quantity=D(3),
        order_type=OrderType.LIMIT,
        limit_price=D(734),
        time_in_force="DAY",
        good_till=after(3600),
        near=near,
    )
    known = ChildRecord(child=child, status=ChildStatus.UNKNOWN, filled=D(0), sent_at=SENT, client_id=1)
    return replace(known, **changes)  # type: ignore[arg-type]


def listed(ref: str | None = REF, number: str = "9", quantity: str = "3") -> OpenOrder:
    return OpenOrder(
        order_ref=ref,
        broker_order_id=number,
        contract_id="CSPX",
        side=Side.BUY,
        quantity=D(quantity),
        filled=D(0),
        limit_price=D(734),
        status=ChildStatus.WORKING,
    )


def fill(ref: str = REF) -> Fill:
    return Fill(
        execution_id="E1.01",
        order_ref=ref,
        contract_id="CSPX",
        side=Side.BUY,
        quantity=D(3),
        price=D(734),
        executed_at=SENT,
        commission=None,
        commission_currency=None,
    )


def a_look(*orders: OpenOrder, fills: tuple[Fill, ...] = ()) -> Look:
    return Look(at=after(60), orders=orders, executions=fills, positions={"CSPX": D(5), "NEW": D(1)})


@pytest.mark.parametrize(
    ("look", "known", "found"),
    [
        (a_look(), record(), ()),
        (a_look(listed("AF1.OTHER.1")), record(), ()),
        (a_look(listed()), record(), ("listed as order 9, WORKING",)),
        (a_look(listed("AF1.OTHER.1")), record(broker_ids=("9",)), ("listed as order 9, WORKING",)),
        (a_look(fills=(fill(),)), record(), ("executed as E1.01",)),
        (a_look(listed(None)), record(), ("perhaps order 9, which carries no reference",)),
        (a_look(listed(None, quantity="4")), record(), ()),
    ],
)
def test_look_finds_an_order_by_reference_by_number_or_as_a_nameless_twin(
    look: Look, known: ChildRecord, found: tuple[str, ...]
) -> None:
    assert examine(known, look, {"CSPX": D(5)}).found == found


def test_look_compares_the_positions_of_both_legs_of_a_spread() -> None:
    near = NearLeg(intent_id="close", contract_id="OLD", arrival_mid=D(700))
    finding = examine(record(near), a_look(), {"CSPX": D(2), "OLD": D(0)})
    assert [(held.contract_id, held.ours, held.broker) for held in finding.positions] == [
        ("CSPX", D(2), D(5)),
        ("OLD", D(0), D(0)),
    ]


def test_evidence_takes_number_and_fills_from_the_record() -> None:
    known = evidence_of(record(broker_ids=("12", "990"), filled=D(1)), POLICY, after(5), acknowledged=True)
    assert (known.order_id, known.filled, known.acknowledged, known.client_id) == (12, D(1), True, 1)
