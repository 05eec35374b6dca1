"""A broker that answers late, empty, partly, wrongly or not at all: no order leaves, the exit status and the words say why."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from engine.accounting.reconciliation import ReconciliationStatus
from engine.errors import BrokerUnavailable
from engine.model.context import RunKind
from engine.model.halts import HaltKind
from engine.simulation.account import FaultKind
from engine.simulation.broker import SimulatedBroker
from engine.simulation.faults import clear
from engine.simulation.interventions import distort_report
from flows.commands.__main__ import main
from tasks.break_text import reconciliation_text
from tasks.day import TradingDay
from tasks.opening import begin
from tasks.runtime import World
from tasks.window_check import compare_at
from tests.factories import new_world, recorded_inputs, run, run_id_of
from tests.halted_days import HALTED_DAY, home_after_a_day, open_halt, undisturbed_home

F = FaultKind
HELD = "CSPX"
BAD = (
    pytest.param(F.WITHHELD_ANSWER, "positions", 0, "the broker's positions, found no answer", id="positions fail"),
    pytest.param(F.WITHHELD_ANSWER, "cash", 0, "the broker's cash, found no answer", id="cash fails"),
    pytest.param(F.WITHHELD_ANSWER, "open_orders", 0, "the broker's open orders, found no answer", id="orders fail"),
    pytest.param(F.WITHHELD_ANSWER, "completed_orders", 0, "the broker's completed orders, found no answer", id="ended orders fail"),
    pytest.param(F.WITHHELD_ANSWER, "executions", 0, "the broker's executions, found no answer", id="executions fail"),
    pytest.param(F.WITHHELD_ANSWER, "account", 0, "the broker's account, found no answer", id="net liquidation fails"),
    pytest.param(F.UNLISTED_HOLDING, "*", 0, "does not list AAPL, and nothing says that it is gone", id="no positions"),
    pytest.param(F.UNLISTED_HOLDING, HELD, 0, f"does not list {HELD}, and nothing says that it is gone", id="some positions"),
    pytest.param(F.UNLISTED_CASH, "*", 0, "does not list cash in USD, and nothing says that it is gone", id="no cash"),
    pytest.param(F.UNLISTED_CASH, "EUR", 0, "does not list cash in EUR, and nothing says that it is gone", id="some cash"),
    pytest.param(F.UNREADABLE_CASH, "USD", 0, "the broker's cash of USD is not a number", id="cash that is no number"),
    pytest.param(F.SHIFTED_CASH, "KRW", 5_000_000, "counts money in KRW, of which nobody names a rate", id="unknown currency"),
    pytest.param(F.DELAYED_ANSWER, "", 3, "the answer tells of", id="late"),
    pytest.param(F.OTHER_ACCOUNT, "U999", 0, "the answer is that of account U999", id="another account"),
)  # fmt: skip


@pytest.fixture(scope="module")
def day_before_its_windows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TradingDay]:
    home = tmp_path_factory.mktemp("windows") / "home"
    shutil.copytree(undisturbed_home(), home)
    world = new_world(home, HALTED_DAY)
    yield begin(world, HALTED_DAY, RunKind.EXECUTION)
    world.close()


@pytest.mark.parametrize(("kind", "subject", "amount", "words"), BAD)
def test_window_does_not_open_on_a_bad_answer(
    day_before_its_windows: TradingDay, kind: FaultKind, subject: str, amount: int, words: str
) -> None:
    day = day_before_its_windows
    broker, inputs = day.world.broker, recorded_inputs(day.world, HALTED_DAY)
    distort_report(broker, "bad", kind, subject, Decimal(amount))
    report = compare_at(day, inputs, broker.now)
    clear(broker, "bad")
    assert report.status is ReconciliationStatus.UNKNOWN
    assert not report.can_trade
    assert report.halt_kind is HaltKind.UNANSWERED
    assert words in reconciliation_text(report)
    assert compare_at(day, inputs, broker.now).can_trade


@pytest.mark.parametrize(("kind", "subject", "amount", "words"), [BAD[0], BAD[11], BAD[12]])
def test_command_ends_halted_with_the_words_and_sends_nothing(
    kind: FaultKind,
    subject: str,
    amount: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FUND_HOME", str(shutil.copytree(home_after_a_day(), tmp_path / "home")))
    world = new_world(tmp_path / "home", HALTED_DAY)
    world.broker.advance(world.decision_time(HALTED_DAY))
    distort_report(world.broker, "bad", kind, subject, Decimal(amount))
    world.broker.commit()
    before = world.broker.state.head.orders
    world.close()

    status = main(["run", "--date", HALTED_DAY.isoformat(), "--without-prefect"])

    told = " ".join(capsys.readouterr().err.split())
    assert status == 3
    assert words in told
    assert "--choice retry" in told
    again = new_world(tmp_path / "home", HALTED_DAY)
    assert again.broker.state.head.orders == before
    rows = again.records.rows("reconciliations", run_id=run_id_of(again, HALTED_DAY, RunKind.DECISION))
    assert {row["outcome"] for row in rows} == {"UNKNOWN"}
    assert len(rows) == 4, "asked again at 5, 60 and 120 seconds"
    again.close()


@pytest.mark.parametrize("kind", [RunKind.DECISION, RunKind.EXECUTION])
def test_broker_that_does_not_answer_at_all_halts_the_run(
    kind: RunKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_after_a_day() if kind is RunKind.DECISION else undisturbed_home()
    world: World = new_world(Path(shutil.copytree(home, tmp_path / "home")), HALTED_DAY)

    def silent(broker: SimulatedBroker, as_of: object) -> None:
        raise BrokerUnavailable("no answer within 30 seconds")

    with monkeypatch.context() as patch:
        patch.setattr(SimulatedBroker, "snapshot", silent)
        before = world.broker.state.head.orders
        outcome = run(world, HALTED_DAY, kind)
        assert world.broker.state.head.orders == before
    halt = open_halt(world)
    world.close()
    assert outcome.is_halted
    assert halt.kind == HaltKind.UNANSWERED.value
    assert "expected the broker to answer, found no answer: no answer within 30 seconds" in halt.message
