"""Mistakes put into the comparison and into the bookings: drawn days that do not notice one of them prove nothing."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from unittest.mock import patch

import pytest

from engine.accounting import adoption, differences, reconciliation
from engine.accounting.ledger import LedgerEntry
from engine.carry import calendar
from engine.errors import DataError
from tests.engine.simulation.exchange_world import EURO, FUTURE, OPTION
from tests.simulation import drawn_days as drawn
from tests.simulation import two_sides

SEEDS = 150
MOVES = [1, -2, 3, -1, 2, 0, 0, 1, 1, -3, 2, 1, 0, 0, 2, 1, 0, 0, 0, 0]
Patch = tuple[object, str, Callable[..., object]]


@contextlib.contextmanager
def mistaken(owner: object, name: str, wrong: Callable[..., object]) -> Iterator[None]:
    """The shipped code with one function done wrongly; ``wrong`` takes the right one first."""
    right = getattr(owner, name)
    with patch.object(owner, name, lambda *args, **kwargs: wrong(right, *args, **kwargs)):
        yield


def drawn_steps(seed: int) -> list[drawn.Step]:
    """Up to sixteen steps of a seed."""
    chance = random.Random(seed)
    contracts = ["AAA", "PEN", FUTURE, OPTION, EURO]
    makers: list[Callable[[], drawn.Step]] = [
        lambda: ("act", (chance.choice(sorted(drawn.ACTS)), chance.choice(contracts), chance.choice([-37, -8, -1, 2, 9, 40]))),
        lambda: ("act", (chance.choice(sorted(drawn.ACTS)), chance.choice(contracts), chance.choice([-37, -8, -1, 2, 9, 40]))),
        lambda: ("night", ()),
        lambda: ("adopt", ()),
        lambda: ("wrong", (chance.randrange(60), chance.choice([-1, 1, -2, 99, 0]), chance.choice(["GBP", "EUR"]))),
        lambda: ("distorted", (chance.choice(sorted(drawn.DISTORTIONS)),)),
    ]  # fmt: skip
    return [chance.choice(makers)() for _ in range(chance.randint(1, 16))]


def _nothing(right: Callable[..., object], *args: object, **kwargs: object) -> tuple[object, ...]:
    return ()


def _only(currency: str) -> Callable[..., object]:
    def found(right, *args, **kwargs):  # type: ignore[no-untyped-def]
        return tuple(row for row in right(*args, **kwargs) if row.subject == currency)

    return found


def _longs_only(right, sides, *args):  # type: ignore[no-untyped-def]
    return tuple(row for row in right(sides, *args) if row.ours >= 0)


def _known_names_only(right, sides, *args):  # type: ignore[no-untyped-def]
    return tuple(row for row in right(sides, *args) if row.contract_id in sides.portfolio.positions)


def _wide(right, scene, nav, policy):  # type: ignore[no-untyped-def]
    return right(scene, nav, replace(policy, cash_break_fraction=policy.cash_break_fraction * 20))


def _without_signs(right, *args):  # type: ignore[no-untyped-def]
    return tuple(
        replace(row, unexplained=abs(row.unexplained), unexplained_usd=abs(row.unexplained_usd))
        for row in right(*args)
    )


COMPARISON: dict[str, Patch] = {
    "quantities are not compared": (reconciliation, "quantity_breaks", _nothing),
    "shorts are not compared": (reconciliation, "quantity_differences", _longs_only),
    "only names that we hold are compared": (reconciliation, "quantity_differences", _known_names_only),
    "cash is not compared": (reconciliation, "cash_breaks", _nothing),
    "only dollars are compared": (reconciliation, "cash_breaks", _only("USD")),
    "the limit of cash is twenty times as wide": (reconciliation, "cash_breaks", _wide),
    "differences of cash lose their sign": (reconciliation, "cash_differences", _without_signs),
    "money owed is not compared": (reconciliation, "accrual_breaks", _nothing),
    "the whole is not compared": (reconciliation, "liquidation_breaks", _nothing),
    "any answer will do": (reconciliation, "unusable_answers", _nothing),
    "adopting leaves what is owed": (adoption, "accruals_apart", lambda right, sides: {}),
    "adopting forgets cash": (adoption, "cash_differences", _nothing),
    "gains of futures are left out of our cash": (
        differences,
        "cash_with_gains",
        lambda right, book, *args: dict(book.cash),
    ),
}


@pytest.mark.parametrize("name", COMPARISON)
def test_mistake_of_the_comparison_is_caught_by_drawn_days(name: str) -> None:
    with mistaken(*COMPARISON[name]):
        caught = next((seed for seed in range(SEEDS) if _is_caught(seed)), None)
    assert caught is not None, name
    assert drawn.missed_in(drawn_steps(caught), MOVES) is None


def _is_caught(seed: int) -> bool:
    try:
        return drawn.missed_in(drawn_steps(seed), MOVES) is not None
    except DataError:  # the mistake broke the comparison itself, which is noticed too
        return True


def _times(factor: str) -> Callable[..., object]:
    """The entry with all of its lines so many times."""

    def scaled(right, *args, **kwargs):  # type: ignore[no-untyped-def]
        entry: LedgerEntry | None = right(*args, **kwargs)
        if entry is None:
            return None
        lines = tuple(replace(line, amount=line.amount * Decimal(factor)) for line in entry.lines)
        quantity = None if entry.quantity is None else entry.quantity * Decimal(factor)
        return replace(entry, lines=lines, quantity=quantity)

    return scaled


def _without_commission(right, fill, *args):  # type: ignore[no-untyped-def]
    return right(replace(fill, commission=None, commission_currency=None), *args)


def _turned(right, position, split, at):  # type: ignore[no-untyped-def]
    return right(position, replace(split, new_shares=split.old_shares, old_shares=split.new_shares), at)


BOOKING: dict[str, Patch] = {
    "dividends count half": (calendar, "dividend_accrual", _times("0.5")),
    "dividends are owed the wrong way": (calendar, "dividend_accrual", _times("-1")),
    "dividends are paid twice": (calendar, "dividend_payment", _times("2")),
    "interest is ten times as much": (calendar, "interest_entry", _times("10")),
    "loan fees are earned": (calendar, "borrow_entry", _times("-1")),
    "a contract ends with twice its worth": (calendar, "_expiry_entry", _times("2")),
    "a split is turned round": (calendar, "split_entry", _turned),
    "the fraction of a split is not paid": (calendar, "cash_in_lieu_entry", lambda right, *args: None),
    "commissions are forgotten": (two_sides, "book_execution", _without_commission),
    "taxes are forgotten": (two_sides, "transaction_tax", lambda right, *args: None),
}


@pytest.mark.parametrize("name", BOOKING)
def test_mistake_of_our_bookings_is_seen_or_shown_within_a_fortnight(name: str) -> None:
    """Ordinary days, nobody does anything: our own book is wrong by itself."""
    with mistaken(*BOOKING[name]):
        two = drawn.begin(MOVES)
        two.trade(("PEN", -90_000), hour=16)
        shown = False
        for _ in range(drawn.MOST_DAYS):
            drawn.next_morning(two)
            report, missed = drawn.look(two)
            assert missed is None
            shown |= not report.can_trade or any(row.unexplained for row in report.cash)
    assert shown
