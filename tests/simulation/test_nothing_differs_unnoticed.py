"""Whatever happens over several days: a difference of the two books is seen, and adopting the broker closes it.

``FUND_CAMPAIGN=1`` draws 5,000 sequences instead of a few; docs/measured.md has the recorded run.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.accounting.ledger import EntryKind
from tests.simulation import drawn_days as drawn
from tests.simulation.drawn_days import ACTS, DISTORTIONS, EURO, FUTURE, OPTION

IS_CAMPAIGN = os.environ.get("FUND_CAMPAIGN") == "1"
DRAWN = 5_000 if IS_CAMPAIGN else 40
_CONTRACT = st.sampled_from(["AAA", "PEN", FUTURE, OPTION, EURO])
_ACT = st.tuples(
    st.just("act"),
    st.tuples(st.sampled_from(sorted(ACTS)), _CONTRACT, st.integers(-40, 40).filter(bool)),
)
_WRONG = st.tuples(
    st.just("wrong"),
    st.tuples(st.integers(0, 60), st.sampled_from([-1, 1, -2, 99, 0]), st.sampled_from(["GBP", "EUR"])),
)
_DISTORTED = st.tuples(st.just("distorted"), st.tuples(st.sampled_from(sorted(DISTORTIONS))))
_NIGHT = st.tuples(st.just("night"), st.tuples())
_ADOPT = st.tuples(st.just("adopt"), st.tuples())
_STEPS = st.lists(st.one_of(_ACT, _ACT, _NIGHT, _ADOPT, _WRONG, _DISTORTED), min_size=1, max_size=16)
_MOVES = st.lists(st.integers(-3, 3), min_size=20, max_size=20)


@example(
    steps=[("night", ())] * drawn.MOST_DAYS,
    moves=[-1, -2, -3, 0, -2, 0, 0, 3, 1, 2, -1, 3, 0, 0, 1, 0, 0, 1, 2, 3],
)
@given(steps=_STEPS, moves=_MOVES)
@settings(max_examples=DRAWN, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_sequence_of_days_leaves_the_books_apart_unnoticed(
    steps: list[drawn.Step], moves: list[int]
) -> None:
    assert drawn.missed_in(steps, moves) is None


def test_days_without_a_mistake_differ_in_nothing() -> None:
    two = drawn.begin([1, -2, 3, -1, 2, 0, 0, 1, 1, -3, 2, 1, 0, 0, 2, 1, 0, 0, 0, 0])
    for _ in range(drawn.MOST_DAYS):
        drawn.next_morning(two)
        assert drawn.apart(two).is_nothing
        assert drawn.look(two)[0].can_trade
    kinds = {entry.kind.value for entry in two.entries}
    assert kinds >= {
        "TRADE", "COMMISSION", "TAX", "FX_CONVERSION", "VARIATION", "INTEREST", "DIVIDEND", "SPLIT", "CASH_IN_LIEU",
        "EXPIRY",
    }  # fmt: skip


@pytest.mark.parametrize("factor", [-1, 1, -2, 99])
def test_every_posting_that_is_booked_wrongly_is_seen_or_shown(factor: int) -> None:
    """Each entry of eleven days forgotten, doubled, turned round, and a hundredfold.

    Only a settlement may go unseen: it moves cash and what its future was settled at by the same amount.
    """
    two = drawn.begin([1, -2, 3, -1, 2, 0, 0, 1, 1, -3, 2, 1, 0, 0, 2, 1, 0, 0, 0, 0])
    for _ in range(11):
        drawn.next_morning(two)
    right, book = list(two.entries), two.portfolio
    unseen = set()
    for number in range(len(right) - 1):
        two.entries, two.portfolio = list(right), book
        drawn.book_wrongly(two, number, factor, "")
        assert drawn.look(two)[1] is None
        if drawn.apart(two).is_nothing:
            unseen.add(right[number + 1].kind)
    assert unseen == {EntryKind.VARIATION}
