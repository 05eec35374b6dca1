"""The halt for what none of our own rules allows: an arrow that no state machine has, a promise of our code that broke."""

from __future__ import annotations

from engine.errors import HaltError, IllegalTransition, InvariantError
from engine.model.halts import ALLOWED_CHOICES, HaltKind
from engine.report import NOT_COMPARED, BreakRow


def unforeseen(error: InvariantError) -> HaltError:
    """The halt that a broken rule is, with what it says."""
    return HaltError(
        HaltKind.UNFORESEEN.value,
        f"expected only what the fund's own rules know, found what they do not: {error}",
    )


def unforeseen_row(error: InvariantError) -> BreakRow:
    """What no rule of ours allows; of an arrow that no table has: whose it is, where it was and where it was to go."""
    arrow = error if isinstance(error, IllegalTransition) else IllegalTransition()
    return BreakRow(
        kind=HaltKind.UNFORESEEN.value,
        subject=arrow.subject or "our own rules",
        ours=arrow.before or NOT_COMPARED,
        broker=arrow.after or NOT_COMPARED,
        difference_usd=None,
        explanation=str(error),
        proposed_choice=ALLOWED_CHOICES[HaltKind.UNFORESEEN][0].value,
    )
