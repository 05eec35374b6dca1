"""A gateway that loses its broker, at every odd moment: nothing is sent until all was read while nothing was lost."""

from __future__ import annotations

import time

import pytest

from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.policy import SessionPolicy, SessionState
from tasks.adapters.ibkr.session import IbkrSession
from tests.tasks.adapters.ibkr.conftest import ACCOUNT, Connect, eventually
from tests.tasks.adapters.ibkr.tiny_gateway import Reply, TinyGateway
from tests.tasks.adapters.ibkr.trading import Desk, trading

EVERY_READ = 6
"""Questions that are asked anew after a loss: positions, two lists of orders, executions, the account; and one more."""


def code(number: int) -> Reply:
    return "error", {"code": str(number), "text": f"Told {number}"}


def sends_nothing(one: IbkrSession) -> bool:
    with pytest.raises(NotWritten, match="degraded"):
        one.write_order(lambda ib, number: None)
    return one.state is SessionState.DEGRADED


def read_behind(one: IbkrSession) -> None:
    """Wait until reads that began before are over: questions take turns."""
    for _ in range(EVERY_READ):
        one.positions()


def degraded(one: IbkrSession) -> None:
    eventually(lambda: one.state is SessionState.DEGRADED)


def told(alarms: list[str]) -> list[str]:
    return [text for text in alarms if "the link is degraded, nothing is sent" in text]


# ---------------------------------------------------------------- lost again while everything is read anew


def test_order_does_not_leave_when_the_link_is_lost_again_while_everything_is_read_anew() -> None:
    with trading() as desk:
        child = desk.resting()
        ask = desk.gateway.control.ask
        ask("system", code=1100)
        degraded(desk.session)
        ask("delay", milliseconds=60)
        ask("system", code=1102)
        read = desk.session.policy.request_timeout
        eventually(lambda: is_asking(desk), read)
        ask("system", code=1100)
        read_behind(desk.session)
        ask("delay", milliseconds=0)
        assert desk.gateway.gateway.faults.link_is_down
        with pytest.raises(NotWritten, match="degraded"):
            desk.transport.send(child)
        assert desk.ledger() == []
        assert len(told(desk.alarms)) == 2
        ask("system", code=1102)
        eventually(lambda: desk.session.is_ready)
        desk.transport.send(child)
        assert [row["reference"] for row in desk.ledger()] == [child.order_ref]


def is_asking(desk: Desk) -> bool:
    return bool(desk.session.call(lambda ib: ib.wrapper.questions))


@pytest.mark.parametrize("lost", [1100, 1300, 2110])
def test_link_that_is_lost_again_while_everything_is_read_anew_stays_degraded(
    gateway: TinyGateway, session: Connect, alarms: list[str], lost: int
) -> None:
    one = session()
    gateway.say(code(lost))
    degraded(one)
    gateway.once["completed_orders"] = [code(lost)]
    gateway.say(code(1102))
    eventually(lambda: len(told(alarms)) == 2)
    read_behind(one)
    assert sends_nothing(one)


def test_link_that_comes_and_goes_is_ready_only_when_all_was_read_after_its_last_return(
    gateway: TinyGateway, session: Connect
) -> None:
    """The first reading ends well, but its positions were told before the second loss."""
    one = session(request_timeout=5.0)
    gateway.say(code(1100))
    degraded(one)
    gateway.silent.add("executions")
    before = len(gateway.named("executions"))
    gateway.say(code(1101))
    gateway.wait_for("executions", before + 1)
    gateway.say(code(1100), code(1102))
    gateway.say(end_of_executions(gateway))
    gateway.wait_for("executions", before + 2)  # asked for the second time, and the first reading is over
    assert sends_nothing(one)
    gateway.silent.clear()
    gateway.say(end_of_executions(gateway))
    eventually(lambda: one.is_ready)
    assert len(gateway.named("executions")) == before + 2


def end_of_executions(gateway: TinyGateway) -> Reply:
    return "executions_end", {"request_id": gateway.named("executions")[-1].record["request_id"]}


def test_loss_that_is_told_again_and_again_is_one_alarm(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session()
    gateway.say(code(1100), code(1100), code(2110))
    read_behind(one)
    assert sends_nothing(one)
    assert len(told(alarms)) == 1


def test_link_without_a_broker_is_disturbed_until_now_so_that_no_list_proves_an_absence(
    gateway: TinyGateway, session: Connect
) -> None:
    """A proof waits for a quiet link; a gateway that can not ask its broker lists what it knew before."""
    one = session()
    gateway.say(code(1100))
    degraded(one)
    lost = one.now()
    assert one.link().healthy_since >= lost
    gateway.say(code(1102))
    eventually(lambda: one.is_ready)
    again = one.now()
    assert lost < one.link().healthy_since <= again


# ---------------------------------------------------------------- lost while a connection begins


@pytest.mark.parametrize("lost", [1100, 1300, 2110])
@pytest.mark.parametrize("within", ["start_api", "positions", "executions", "account_updates"])
def test_link_that_is_lost_while_the_connection_begins_sends_nothing_and_is_told(
    gateway: TinyGateway, session: Connect, alarms: list[str], within: str, lost: int
) -> None:
    gateway.rows[within] = [code(lost)]
    one = session()
    assert sends_nothing(one)
    assert len(told(alarms)) == 1
    assert f"Told {lost}" in alarms[0]
    gateway.rows.clear()
    gateway.say(code(1102))
    eventually(lambda: one.is_ready)
    assert len(gateway.named("executions")) == 2


@pytest.mark.parametrize("codes", [(1100, 1101), (1102,)], ids=["lost and back", "back"])
def test_link_that_is_back_while_the_connection_begins_is_ready_once_everything_was_read_again(
    gateway: TinyGateway, session: Connect, codes: tuple[int, ...]
) -> None:
    gateway.once["executions"] = [code(number) for number in codes]
    one = session()
    eventually(lambda: one.is_ready)
    assert len(gateway.named("executions")) == 2


def test_line_that_is_lost_with_the_broker_behind_it_comes_back_degraded() -> None:
    with trading() as desk:
        ask = desk.gateway.control.ask
        ask("system", code=1100)
        degraded(desk.session)
        ask("drop")
        eventually(lambda: len(told(desk.alarms)) == 2)
        degraded(desk.session)
        child = desk.resting()
        with pytest.raises(NotWritten, match="degraded"):
            desk.transport.send(child)
        assert desk.ledger() == []
        ask("system", code=1102)
        eventually(lambda: desk.session.is_ready)
        desk.transport.send(child)
        assert [row["reference"] for row in desk.ledger()] == [child.order_ref]


# ---------------------------------------------------------------- lost for good


@pytest.mark.parametrize("lost", [1100, 1300, 2110])
def test_link_that_stays_lost_is_told_again_and_the_connection_made_anew_with_everything_read(
    gateway: TinyGateway, session: Connect, alarms: list[str], lost: int
) -> None:
    one = session(degraded_seconds=0.05)
    gateway.say(code(lost))
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    assert len(told(alarms)) == 1
    assert any("had no broker for 0.05 seconds" in text for text in alarms)
    assert len(gateway.named("executions")) == 2


def test_link_that_is_still_lost_over_a_new_connection_is_told_each_time_and_never_ready(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one, states = session(degraded_seconds=0.03), set[SessionState]()
    gateway.rows["start_api"] = [code(1100)]
    gateway.say(code(1100))
    degraded(one)
    eventually(lambda: states.add(one.state) or len(told(alarms)) >= 4)
    assert SessionState.READY not in states
    gateway.rows.clear()
    eventually(lambda: one.is_ready)


def test_link_that_is_back_in_time_keeps_its_connection(gateway: TinyGateway, session: Connect) -> None:
    one = session(degraded_seconds=0.1)
    gateway.say(code(1100), code(1102))
    eventually(lambda: one.is_ready and len(gateway.named("executions")) == 2)
    gateway.say(code(1100))
    degraded(one)
    gateway.say(code(1102))
    eventually(lambda: one.is_ready and len(gateway.named("executions")) == 3)
    assert len(gateway.named("start_api")) == 1


def test_second_loss_is_waited_for_as_long_as_the_first(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one, began = session(degraded_seconds=0.3), time.monotonic()
    gateway.say(code(1100), code(1102))
    eventually(lambda: one.is_ready and told(alarms))
    eventually(lambda: time.monotonic() - began > 0.15)
    again = time.monotonic()
    gateway.say(code(1100))
    eventually(lambda: len(gateway.named("start_api")) == 2)
    assert time.monotonic() - again >= 0.3


def test_default_wait_for_the_broker_is_of_minutes() -> None:
    waits = SessionPolicy(account=ACCOUNT, client_id=7, is_paper=True).degraded_seconds
    assert waits is not None
    assert 60 <= waits <= 600
