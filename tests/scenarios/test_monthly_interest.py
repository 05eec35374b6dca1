"""Interest as a real account has it: accrued every day, paid on the third business day of the next month."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.accounting.ledger import INTEREST_ACCRUAL
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import run_day
from tests.statements import imported, outcomes

BEFORE, EVE, PAID = date(2026, 10, 29), date(2026, 11, 3), date(2026, 11, 4)
MONTHLY = "execution_phase2.carry_realism.financing.posting=monthly"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A fund that was opened at the end of October and has lived until the first days of November."""
    home: Path = tmp_path_factory.mktemp("monthly")
    options = WorldOptions(profile="fund", first=BEFORE, last=PAID, home=home, overrides=(MONTHLY,))
    opened = World(options)
    for day in (BEFORE, EVE):
        assert not any(outcome.is_halted for outcome in run_day(opened, day).values())
    yield opened
    opened.close()


def accrued(world: World) -> Decimal:
    lines = [line for entry in world.ledger.entries(world.account) for line in entry.lines]
    return sum((x.amount for x in lines if (x.account, x.unit) == (INTEREST_ACCRUAL, "USD")), Decimal(0))


def posted(world: World) -> dict[str, Decimal]:
    return {
        entry.entry_id: line.amount
        for entry in world.ledger.entries(world.account)
        if "-posted:" in entry.entry_id
        for line in entry.lines
        if line.account == "cash"
    }


def test_month_is_owed_until_the_third_business_day_and_then_paid_as_the_statement_says(world: World) -> None:
    october = sum(
        (
            line.amount
            for entry in world.ledger.entries(world.account)
            if entry.value_date.month == BEFORE.month
            for line in entry.lines
            if (line.account, line.unit) == (INTEREST_ACCRUAL, "USD")
        ),
        Decimal(0),
    )
    assert (posted(world), october == 0, accrued(world) == 0) == ({}, False, False)
    owed = accrued(world)

    assert not any(outcome.is_halted for outcome in run_day(world, PAID).values())
    paid = {name: amount for name, amount in posted(world).items() if ":USD:" in name}
    assert sum(paid.values()) == october
    assert set(paid) == {"interest-posted:USD:2026-10"}
    assert accrued(world) != owed
    assert outcomes(imported(world, BEFORE, PAID)) == {}
