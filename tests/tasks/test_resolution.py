"""A HALT per kind of fault: what a choice would do, what it does, and that the day then completes (item 10)."""

import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from engine.composition.trading import TradeListDecision
from engine.errors import ConfigurationError, RefusedError
from engine.model.context import RunStatus
from engine.model.encoding import decode, encode
from engine.model.halts import ALLOWED_CHOICES, HaltChoice, HaltKind
from engine.model.orders import Side
from engine.simulation.faults import active_faults, inject
from engine.simulation.interventions import change_cash
from state.halts import HaltSeverity, HaltStatus
from tasks.day import wall_clock
from tasks.resolution import ResolutionEffect, apply, preview
from tasks.runtime import World
from tests.factories import accepted_orders, book_at_close, new_world, row_counts, step_outputs
from tests.halted_days import (
    DAY_BEFORE,
    HALTED_DAY,
    decide_again,
    halted_world,
    home_after_a_day,
    open_halt,
    undisturbed_home,
)

TRANSIENT = ("nan-price", "nlv-drift", "stale-fx")
LASTING = ("cash-break", "cash-break:emergency", "foreign-position", "missed-fill")
DECIDED = ("roll", "risk", "targets", "tail", "crisis", "wishes", "fx_hedge", "trades", "safety", "jobs")
ADOPT, RETRY = HaltChoice.ADOPT_BROKER, HaltChoice.RETRY
D = Decimal


def proposed(fault: str) -> HaltChoice:
    return RETRY if fault in TRANSIENT else ADOPT


def resolve(world: World, choice: HaltChoice, effect: ResolutionEffect | None = None) -> None:
    apply(world, open_halt(world).halt_id, choice, "the custodian confirmed it", "Ada", {}, shown=effect)


def signed_orders(effect: ResolutionEffect) -> dict[str, Decimal]:
    assert effect.orders_after is not None
    return {
        order.contract_id: order.quantity if order.side is Side.BUY else -order.quantity
        for order in effect.orders_after
    }


def decided_trades(world: World) -> dict[str, Decimal]:
    trades = decode(TradeListDecision, step_outputs(world, HALTED_DAY)["trades"])
    return {trade.contract_id: trade.quantity for trade in trades.trades}


def orders_sent_on_halted_day(world: World) -> int:
    before = new_world(home_after_a_day(), DAY_BEFORE)
    known = len(accepted_orders(home_after_a_day(), before.account))
    before.close()
    return len(accepted_orders(world.options.home, world.account)) - known


@pytest.mark.parametrize("fault", [*TRANSIENT, *LASTING])
def test_halted_day_halts_again_until_it_is_resolved_and_then_decides_what_was_shown(
    fault: str, tmp_path: Path
) -> None:
    with halted_world(fault, tmp_path) as world:
        halt = open_halt(world)
        again = decide_again(world)
        assert (again.is_halted, again.halt_id) == (True, halt.halt_id)

        effect = preview(world, halt.halt_id, proposed(fault), {})
        assert effect.stops == ""
        resolve(world, proposed(fault), effect)
        completed = decide_again(world)

        assert completed.status is RunStatus.COMPLETED
        assert decided_trades(world) == signed_orders(effect)
        assert world.halts.open_halts(world.account) == ()
        # the fault of the emergency kind adds what it names to the same account without an order of ours
        assert orders_sent_on_halted_day(world) == (1 if fault in ("missed-fill", "foreign-position") else 0)


@pytest.mark.parametrize("fault", TRANSIENT)
def test_retry_of_transient_fault_decides_the_bytes_of_an_undisturbed_day(fault: str, tmp_path: Path) -> None:
    calm = new_world(undisturbed_home(), HALTED_DAY)
    expected = step_outputs(calm, HALTED_DAY)
    calm.close()
    with halted_world(fault, tmp_path) as world:
        resolve(world, RETRY)
        decide_again(world)

        assert active_faults(world.broker) == ()
        found = step_outputs(world, HALTED_DAY)
        assert [name for name in DECIDED if found[name] != expected[name]] == []


@pytest.mark.parametrize("fault", LASTING)
def test_adopted_book_equals_the_broker_to_the_last_digit(fault: str, tmp_path: Path) -> None:
    with halted_world(fault, tmp_path) as world:
        resolve(world, ADOPT)

        books = book_at_close(world)
        assert books.ours["cash"] == books.broker["cash"]
        assert books.ours["positions"] == books.broker["positions"]


@pytest.mark.parametrize("fault", LASTING)
def test_adoption_decides_the_bytes_of_an_undisturbed_day_from_the_adopted_book(
    fault: str, tmp_path: Path
) -> None:
    with halted_world(fault, tmp_path) as world:
        halt = open_halt(world)
        entries = preview(world, halt.halt_id, ADOPT, {}).entries
        resolve(world, ADOPT)
        asked_until = world.now
        decide_again(world)
        resolved = step_outputs(world, HALTED_DAY)
    home = tmp_path / "adopted before"
    shutil.copytree(home_after_a_day(), home)
    other = new_world(home, HALTED_DAY)
    other.broker.advance(other.decision_time(HALTED_DAY))
    inject(other.broker, fault)
    other.broker.advance(asked_until)
    other.ledger.post(other.account, entries)

    outcome = decide_again(other)
    undisturbed = step_outputs(other, HALTED_DAY)
    other.close()

    assert outcome.status is RunStatus.COMPLETED
    assert [name for name in DECIDED if resolved[name] != undisturbed[name]] == []


def test_preview_changes_neither_book_nor_broker(tmp_path: Path) -> None:
    with halted_world("cash-break", tmp_path) as world:
        halt = open_halt(world)
        before = (row_counts(world), encode(world.broker.state.head), halt)

        for choice in halt.choices:
            preview(world, halt.halt_id, choice, {})

        assert (row_counts(world), encode(world.broker.state.head), open_halt(world)) == before


def test_preview_of_cash_break_shows_the_missing_money(tmp_path: Path) -> None:
    with halted_world("cash-break", tmp_path) as world:
        effect = preview(world, open_halt(world).halt_id, ADOPT, {})

        assert effect.nav_before is not None
        assert effect.nav_after == effect.nav_before - D(30_000)
        (cash,) = effect.cash
        assert (cash.name, cash.after - cash.before) == ("USD", D(-30_000))
        assert effect.quantities == ()
        assert effect.orders_before != effect.orders_after


def test_preview_of_missed_fill_books_the_trade_and_its_commission(tmp_path: Path) -> None:
    with halted_world("missed-fill", tmp_path) as world:
        effect = preview(world, open_halt(world).halt_id, ADOPT, {})

        fill = world.broker.executions()[-1]
        assert fill.commission is not None
        assert [entry.entry_id for entry in effect.entries] == [
            f"trade:{fill.execution_id}",
            f"commission:{fill.execution_id}",
        ]
        (held,), (cash,) = effect.quantities, effect.cash
        assert (held.name, held.after - held.before) == (fill.contract_id, fill.signed_quantity)
        # bought for quantity × price, and the commission on top
        assert cash.after - cash.before == -fill.quantity * fill.price - fill.commission


def test_preview_of_unreadable_price_says_why_nothing_is_known_before(tmp_path: Path) -> None:
    with halted_world("nan-price", tmp_path) as world:
        effect = preview(world, open_halt(world).halt_id, RETRY, {})

        assert (effect.nav_before, effect.orders_before) == (None, None)
        assert "can not be valued as it is: expected a finite daily close of" in effect.notes[0]
        assert effect.faults_ended == ("nan-price",)
        assert effect.nav_after is not None


def test_preview_of_retry_while_the_break_lasts_says_that_it_halts_again(tmp_path: Path) -> None:
    with halted_world("cash-break", tmp_path) as world:
        effect = preview(world, open_halt(world).halt_id, RETRY, {})

        assert "USD of cash as in our book, found" in effect.stops
        assert effect.orders_after == ()


def test_retry_while_the_break_lasts_halts_under_a_new_id(tmp_path: Path) -> None:
    with halted_world("cash-break", tmp_path) as world:
        first = open_halt(world).halt_id
        resolve(world, RETRY)

        assert decide_again(world).is_halted
        assert open_halt(world).halt_id == f"{first}-2"


def test_second_resolver_loses_and_changes_nothing(tmp_path: Path) -> None:
    with halted_world("cash-break", tmp_path) as world:
        halt = open_halt(world)
        resolve(world, ADOPT)
        rows = row_counts(world)

        with pytest.raises(RefusedError, match="resolved already with adopt-broker by Ada"):
            apply(world, halt.halt_id, RETRY, "I thought it was the feed", "Bob", {})

        assert row_counts(world) == rows
        assert world.halts.halts(world.account)[-1].operator == "Ada"


def test_choice_that_the_kind_does_not_offer_leaves_the_fault_active(tmp_path: Path) -> None:
    with halted_world("nlv-drift", tmp_path) as world:
        with pytest.raises(ConfigurationError, match=r"\(nlv-drift\) offers retry; found adopt-broker"):
            resolve(world, ADOPT)

        assert active_faults(world.broker) == ("nlv-drift",)
        assert open_halt(world).status is HaltStatus.OPEN


def test_emergency_needs_a_named_operator(tmp_path: Path) -> None:
    with halted_world("cash-break:emergency", tmp_path) as world:
        halt = open_halt(world)
        assert halt.severity is HaltSeverity.EMERGENCY

        with pytest.raises(ConfigurationError, match="expected the operator's name"):
            apply(world, halt.halt_id, ADOPT, "confirmed by phone", " ", {})

        assert open_halt(world) == halt


def test_effect_that_is_no_longer_true_is_refused(tmp_path: Path) -> None:
    with halted_world("cash-break", tmp_path) as world:
        shown = preview(world, open_halt(world).halt_id, ADOPT, {})
        change_cash(world.broker, "another wire", "USD", D(-1_000))
        world.broker.commit()
        rows = row_counts(world)

        with pytest.raises(RefusedError, match="the world changed meanwhile"):
            resolve(world, ADOPT, shown)

        assert row_counts(world) == rows
        assert open_halt(world).status is HaltStatus.OPEN


def test_abandoned_day_completes_with_reductions_only(tmp_path: Path) -> None:
    with halted_world("stale-fx", tmp_path) as world:
        effect = preview(world, open_halt(world).halt_id, HaltChoice.ABANDON_DAY, {})
        resolve(world, HaltChoice.ABANDON_DAY, effect)
        held = world.ledger.portfolio(world.account, world.broker.now)

        assert decide_again(world).status is RunStatus.COMPLETED
        trades = decided_trades(world)
        assert trades == signed_orders(effect)
        assert [name for name, quantity in trades.items() if quantity * held.quantity(name) >= 0] == []


def halted_by_old_mark(world: World) -> str:
    kind = HaltKind.STALE_MARK
    return world.halts.raise_halt(
        world.account,
        open_halt(world).run_id,
        kind.value,
        severity=HaltSeverity.HALT,
        message="prices are too old",
        evidence=b"",
        choices=ALLOWED_CHOICES[kind],
        now=wall_clock(),
    )


def test_manual_mark_moves_nav_by_quantity_times_its_distance(tmp_path: Path) -> None:
    with halted_world("stale-fx", tmp_path) as world:
        halt_id = halted_by_old_mark(world)
        held = world.ledger.portfolio(world.account, world.broker.now).quantity("AAPL")
        as_of = world.decision_time(HALTED_DAY)
        old = world.inputs(HALTED_DAY, as_of, ("AAPL",), {}).marks["AAPL"].price
        assert held != 0

        effect = preview(world, halt_id, HaltChoice.MARK_MANUALLY, {"AAPL": old + D("2.50")})

        assert effect.nav_before is not None
        assert effect.nav_after == effect.nav_before + held * D("2.50")


def test_manual_mark_stands_in_the_reason_for_later_attempts(tmp_path: Path) -> None:
    with halted_world("stale-fx", tmp_path) as world:
        halt_id = halted_by_old_mark(world)

        resolved = apply(world, halt_id, HaltChoice.WRITE_DOWN, "delisted", "Ada", {"AAPL": D(0)})

        assert resolved.reason == "delisted [AAPL=0]"


@pytest.mark.parametrize(
    ("choice", "marks", "text"),
    [
        (HaltChoice.MARK_MANUALLY, {}, "expected at least one price"),
        (HaltChoice.MARK_MANUALLY, {"AAPL": D(0)}, "found AAPL=0"),
        (HaltChoice.MARK_MANUALLY, {"NOBODY": D(5)}, "found NOBODY=5"),
        (HaltChoice.WRITE_DOWN, {"AAPL": D(-1)}, "found AAPL=-1"),
        (HaltChoice.ABANDON_DAY, {"AAPL": D(5)}, "with mark-manually or write-down only"),
    ],
)
def test_price_that_does_not_fit_the_choice_is_refused(
    choice: HaltChoice, marks: dict[str, Decimal], text: str, tmp_path: Path
) -> None:
    with halted_world("stale-fx", tmp_path) as world:
        halt_id = halted_by_old_mark(world)

        with pytest.raises(ConfigurationError, match=text):
            apply(world, halt_id, choice, "no price today", "Ada", marks)

        halt = world.halts.halt(halt_id)
        assert halt is not None
        assert halt.status is HaltStatus.OPEN
