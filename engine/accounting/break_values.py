"""A break: one thing on which book and broker disagree, with ranked causes and the booking that would resolve it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from engine.accounting.ledger import EntryKind
from engine.model.breaks import BreakKind
from engine.model.halts import ALLOWED_CHOICES, HaltChoice, HaltKind
from engine.model.market import Split
from engine.model.money import ZERO

CENT = Decimal("0.01")
"""Money that differs by less than this is the same money: both sides round their own postings."""

MOST_EXPLANATIONS = 3
"""More are recorded, but a person is shown these."""


class ReconciliationStatus(Enum):
    """Whether the fund may trade: on PASS only."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    HALT = "HALT"
    EMERGENCY = "EMERGENCY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Part of a booking: what one execution was charged, signed as cash sees it."""

    execution_id: str
    contract_id: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """What would be booked: an amount of cash against an account, a split, or the end of a contract at a price.

    ``amount`` is signed as cash sees it, in ``currency``; ``price`` in quote units. ``charges`` say of which executions
    the amount is, where it is known.
    """

    kind: EntryKind
    contract_id: str | None = None
    account: str | None = None
    currency: str | None = None
    amount: Decimal | None = None
    price: Decimal | None = None
    split: Split | None = None
    charges: tuple[Charge, ...] = ()

    @property
    def text(self) -> str:
        """The booking in words."""
        if self.amount is not None:
            return f"cash {self.amount:+,.2f} {self.currency} against {self.account}"
        if self.split is not None:
            return f"{self.contract_id} {self.split.new_shares} for {self.split.old_shares}"
        return f"{self.contract_id} closed at {self.price}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One possible cause of a break, the act that would mend it, and how much it explains (USD).

    ``is_complete`` says that known facts explain the break to the cent, so that no person needs to guess.
    """

    cause: BreakKind
    text: str
    choice: HaltChoice
    explains_usd: Decimal
    booking: Booking | None = None
    is_complete: bool = False

    @property
    def resolution(self) -> str:
        """What would be booked, or that nothing would be."""
        if self.booking is not None:
            return f"books {self.booking.text}"
        if self.choice is HaltChoice.ADOPT_BROKER:
            return "books the broker's figure"
        return "books nothing"


def because(
    cause: BreakKind,
    text: str,
    explains_usd: Decimal,
    *,
    choice: HaltChoice = HaltChoice.ADOPT_BROKER,
    booking: Booking | None = None,
    is_complete: bool = False,
) -> Explanation:
    """An explanation; without another word its answer is to adopt the broker."""
    return Explanation(
        cause=cause,
        text=text,
        choice=choice,
        explains_usd=explains_usd,
        booking=booking,
        is_complete=is_complete,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One thing on which book and broker disagree.

    ``ours`` and ``broker`` are the two figures as text; ``difference_usd`` is ours less the broker's;
    ``explanations`` begin with the likeliest.
    """

    kind: HaltKind
    subject: str
    ours: str
    broker: str
    difference_usd: Decimal
    explanations: tuple[Explanation, ...]

    @property
    def choices(self) -> tuple[HaltChoice, ...]:
        """What a person may answer."""
        return ALLOWED_CHOICES[self.kind]

    @property
    def cause(self) -> BreakKind:
        """The likeliest cause."""
        return self.explanations[0].cause

    @property
    def is_explained(self) -> bool:
        """Whether known facts explain it to the cent."""
        return self.explanations[0].is_complete

    @property
    def told(self) -> str:
        """The likeliest explanations in words, the first of them with its booking where facts give one."""
        texts = [found.text for found in self.explanations[:MOST_EXPLANATIONS]]
        if self.explanations[0].booking is not None:
            texts[0] = f"{texts[0]} ({self.explanations[0].resolution})"
        return "; or ".join(texts)


def unknown_break(subject: str, ours: str, broker: str, *causes: tuple[BreakKind, str]) -> Break:
    """An answer that is not known: nothing to adopt, only to ask again; ``causes`` with their words, likeliest first."""
    return Break(
        kind=HaltKind.UNANSWERED,
        subject=subject,
        ours=ours,
        broker=broker,
        difference_usd=ZERO,
        explanations=tuple(because(cause, text, ZERO, choice=HaltChoice.RETRY) for cause, text in causes),
    )


def ranked(explanations: Iterable[Explanation]) -> tuple[Explanation, ...]:
    """Complete explanations first, otherwise in the order in which they were thought of; a cause comes once."""
    kept: dict[BreakKind, Explanation] = {}
    for found in sorted(explanations, key=lambda one: not one.is_complete):
        kept.setdefault(found.cause, found)
    return tuple(kept.values())


def money_text(amount: Decimal, currency: str) -> str:
    """Money with its currency, to the cent."""
    return f"{amount:,.2f} {currency}"


def plain(value: Decimal) -> str:
    """All digits of a number, thousands apart, without zeros at the end."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
