"""A figure that is missing or no number stops the day with its row named, whoever gave it; nothing is assumed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from engine.carry.calendar import DayFacts
from engine.model.context import RunStatus
from engine.model.encoding import decode
from engine.model.halts import HaltChoice, HaltKind
from engine.model.market import Dividend, FxRate, MarketInputs
from engine.model.portfolio import BrokerSnapshot
from engine.report import BreakRow
from engine.simulation.broker import SimulatedBroker
from state.halts import HaltSeverity
from tasks.adapters.simulated_market import PanelMarket
from tasks.resolution import apply
from tasks.runtime import World
from tests.factories import new_world
from tests.halted_days import HALTED_DAY, decide_again, home_after_a_day

D = Decimal
NAN = D("NaN")
HELD = "MSFT"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home: Path = tmp_path_factory.mktemp("impossible") / "home"
    shutil.copytree(home_after_a_day(), home)
    world = new_world(home, HALTED_DAY)
    yield world
    world.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """How an attempt ended."""

    kind: str
    subject: str
    message: str
    severity: HaltSeverity


def stopped(world: World) -> Stopped:
    """One attempt of the decision; its halt is then answered with another try."""
    outcome = decide_again(world)
    assert outcome.is_halted
    (halt,) = world.halts.open_halts(world.account)
    (row,) = decode(tuple[BreakRow, ...], halt.evidence)
    apply(world, halt.halt_id, HaltChoice.RETRY, "the source was asked again", "Ada", {})
    return Stopped(kind=halt.kind, subject=row.subject, message=halt.message, severity=halt.severity)


def broken_broker(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[BrokerSnapshot], BrokerSnapshot]
) -> None:
    sound = SimulatedBroker.snapshot
    monkeypatch.setattr(SimulatedBroker, "snapshot", lambda self, at: change(sound(self, at)))


def broken_market(monkeypatch: pytest.MonkeyPatch, change: Callable[[MarketInputs], MarketInputs]) -> None:
    sound = PanelMarket.inputs
    monkeypatch.setattr(PanelMarket, "inputs", lambda self, *given: change(sound(self, *given)))


def in_position(found: BrokerSnapshot, **figures: Decimal) -> BrokerSnapshot:
    line = replace(found.positions[HELD], **figures)
    return replace(found, positions={**found.positions, HELD: line})


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda b: replace(b, cash={**b.cash, "USD": NAN}), "broker.cash[USD]"),
        (lambda b: replace(b, accrued={**b.accrued, "USD": D("Infinity")}), "broker.accrued[USD]"),
        (lambda b: replace(b, fx={**b.fx, "EUR": NAN}), "broker.fx[EUR]"),
        (lambda b: replace(b, cash={**b.cash, "USD": None}), "broker.cash[USD]"),
        (lambda b: in_position(b, quantity=NAN), f"broker.positions[{HELD}].quantity"),
        (lambda b: in_position(b, average_cost=D("-Infinity")), f"broker.positions[{HELD}].average_cost"),
        (lambda b: in_position(b, mark=NAN), f"broker.positions[{HELD}].mark"),
        (lambda b: replace(b, excess_liquidity=NAN), "broker.excess_liquidity"),
    ],
)
def test_figure_of_the_broker_that_is_no_number_is_an_answer_not_given(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[BrokerSnapshot], BrokerSnapshot],
    place: str,
) -> None:
    broken_broker(monkeypatch, change)
    found = stopped(world)
    assert (found.kind, found.subject) == (HaltKind.UNANSWERED.value, place)
    assert place in found.message
    assert found.severity is HaltSeverity.HALT


def test_net_liquidation_that_is_no_number_is_an_emergency(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_broker(monkeypatch, lambda found: replace(found, net_liquidation=NAN))
    found = stopped(world)
    assert found.subject == "broker.net_liquidation"
    assert found.severity is HaltSeverity.EMERGENCY


def without_mark(found: MarketInputs) -> MarketInputs:
    return replace(found, marks={name: mark for name, mark in found.marks.items() if name != HELD})


def with_rate(found: MarketInputs) -> MarketInputs:
    rate = found.fx.rates["EURUSD"]
    bad = FxRate(pair="EURUSD", rate=NAN, observed_at=rate.observed_at, source=rate.source)
    return replace(found, fx=replace(found.fx, rates={**found.fx.rates, "EURUSD": bad}))


def with_dividend(found: MarketInputs) -> MarketInputs:
    bad = Dividend(instrument_id=HELD, ex_date=HALTED_DAY, pay_date=HALTED_DAY, amount=NAN)
    return replace(found, dividends=(*found.dividends, bad))


def with_fee(found: MarketInputs) -> MarketInputs:
    name, quote = next(iter(sorted(found.borrow.items())))
    return replace(found, borrow={**found.borrow, name: replace(quote, fee_bps_annual=NAN)})


def with_volume(found: MarketInputs) -> MarketInputs:
    return replace(found, average_daily_volume={**found.average_daily_volume, HELD: NAN})


def with_price(found: MarketInputs) -> MarketInputs:
    return replace(found, marks={**found.marks, HELD: replace(found.marks[HELD], price=NAN)})


@pytest.mark.parametrize(
    ("change", "kind", "named"),
    [
        (with_price, HaltKind.NAN_PRICE, HELD),
        (without_mark, HaltKind.NAN_PRICE, HELD),
        (with_dividend, HaltKind.NAN_PRICE, HELD),
        (with_fee, HaltKind.NAN_PRICE, None),
        (with_rate, HaltKind.DATA_QUALITY, "EURUSD"),
        (with_volume, HaltKind.DATA_QUALITY, f"market.average_daily_volume[{HELD}]"),
    ],
)
def test_figure_of_the_market_that_is_missing_or_no_number_names_its_row(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[MarketInputs], MarketInputs],
    kind: HaltKind,
    named: str | None,
) -> None:
    broken_market(monkeypatch, change)
    found = stopped(world)
    assert found.kind == kind.value
    assert named is None or found.subject == named
    assert found.subject in found.message


def test_day_goes_on_at_a_price_that_a_person_gives_where_nobody_else_has_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_market(monkeypatch, without_mark)
    price = world.facts.official_close(HELD, date(2026, 11, 12))
    assert price is not None
    assert decide_again(world).is_halted
    (halt,) = world.halts.open_halts(world.account)
    assert halt.choices[-1] is HaltChoice.MARK_MANUALLY
    apply(world, halt.halt_id, HaltChoice.MARK_MANUALLY, "its last close", "Ada", {HELD: price})
    outcome = decide_again(world)
    assert outcome.status is RunStatus.COMPLETED, outcome.text


def test_settlement_that_is_no_number_is_not_booked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(home_after_a_day(), tmp_path, dirs_exist_ok=True)
    sound = PanelMarket.day_facts

    def broken(self: PanelMarket, day: date, held: list[str]) -> DayFacts:
        facts = sound(self, day, held)
        name = next(iter(sorted(facts.closes)), None)
        return facts if name is None else replace(facts, closes={**facts.closes, name: NAN})

    monkeypatch.setattr(PanelMarket, "day_facts", broken)
    world = new_world(tmp_path, HALTED_DAY)
    booked = len(world.ledger.entries(world.account))
    found = stopped(world)
    assert found.kind == HaltKind.DATA_QUALITY.value
    assert found.subject.startswith("facts of 2026-11-1")
    assert ".closes[" in found.subject
    assert len(world.ledger.entries(world.account)) == booked
    world.close()
