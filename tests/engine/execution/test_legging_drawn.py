"""Rolls whose legs fill in drawn parts at drawn moments, one of them perhaps refused: every leg left behind is told."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D

from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.execution.executor import execute
from engine.model.orders import ChildOrder, TransportEventKind
from tests import fakes
from tests.engine.execution.market import ES_JUN, ES_SEP, NOON, job, world
from tests.engine.execution.test_legging import CLOSING, OPENING, PATIENT, ROLL, heard_by
from tests.fakes import ScriptedTransport

Parts = list[tuple[float, int]]
PATIENCE, WHOLE, LEGS = 60, 8, (ES_JUN, ES_SEP)


@st.composite
def parts(draw: st.DrawFn, offset: float) -> Parts:
    """Moments in seconds and quantities of one leg's executions, at most 8 contracts in all."""
    left, made = WHOLE, []
    for at in sorted(draw(st.sets(st.integers(1, 120), min_size=1, max_size=4))):
        quantity = draw(st.integers(1, WHOLE))
        if quantity <= left:
            left -= quantity
            made.append((at + offset, quantity))
    return made


def spells_apart(fills: dict[str, Parts], end: float) -> tuple[list[tuple[float, float]], float | None]:
    """From when to when the legs differed by more than a contract, or by the last one; and since when they still do."""
    done = dict.fromkeys(LEGS, 0)
    spells: list[tuple[float, float]] = []
    since: float | None = None
    for at, name, quantity in sorted((at, leg, number) for leg in LEGS for at, number in fills[leg]):
        if at > end:
            break
        done[name] += quantity
        ahead, behind = max(done.values()), min(done.values())
        if ahead - behind > 1 or (ahead == WHOLE and behind < WHOLE):
            since = at if since is None else since
        elif since is not None:
            spells.append((since, at))
            since = None
    return spells, since


@settings(max_examples=60, deadline=None)
@given(
    closing=parts(0.0),
    opening=parts(0.5),
    refused=st.sampled_from((None, *LEGS)),
    moment=st.integers(0, 150),
    seconds=st.integers(60, 260),
)
def test_leg_that_stays_behind_is_told_after_its_minute_and_at_the_end_and_never_else(
    closing: Parts, opening: Parts, refused: str | None, moment: int, seconds: int
) -> None:
    fills = {ES_JUN: closing, ES_SEP: opening} | ({} if refused is None else {refused: []})
    made, broker, _ = world(CLOSING, OPENING)
    heard: list[tuple[float, str]] = []

    def answer(b: ScriptedTransport, child: ChildOrder) -> None:
        if child.contract_id == refused:
            b.report(TransportEventKind.REJECTED, child.order_ref, after=moment + 0.75, text="201 No margin")
            return
        fakes.acknowledge(b, child)
        for number, (at, quantity) in enumerate(fills[child.contract_id]):
            b.execute(child, D(quantity), after=at, number=number + 1)

    def forget_later_fills(b: ScriptedTransport, ref: str) -> None:
        b.queue = [row for row in b.queue if row[2].order_ref != ref]
        fakes.confirm_cancel(b, ref)

    broker.on_send, broker.on_cancel = answer, forget_later_fills
    roll = job(CLOSING, OPENING, minutes=(seconds + 0.25) / 60)
    execute([roll], replace(made, execution=PATIENT, observer=heard_by(heard)))

    end = (broker.now() - NOON).total_seconds()
    spells, alone = spells_apart(fills, end)
    still = [] if alone is None else [(alone, end)]
    expected = [since + PATIENCE for since, until in spells + still if until - since > PATIENCE]
    expected += [end] * len(still)
    told = [(at, text) for at, text in heard if text.startswith(f"{ROLL} has stood on one leg")]
    assert [round(at, 3) for at, _ in told] == [round(at, 3) for at in sorted(expected)]
    assert [text.partition(":")[2].count("when the run ended") for _, text in told] == [
        int(at == end) for at in sorted(expected)
    ]
    assert sum("201 No margin" in text for _, text in heard) == (refused is not None and moment < seconds)
    assert len(broker.sent) == 2, "no leg is written again"
    event(f"spells {len(spells)}, alone at the end {len(still)}, refused {refused is not None}")
