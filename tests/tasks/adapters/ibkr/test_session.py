"""The connection to the broker: closed unless everything answered, with a timeout on all, noticed when it freezes."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from engine.errors import BrokerUnavailable, ConfigurationError
from tasks.adapters.ibkr.errors import NotWritten
from tasks.adapters.ibkr.policy import SessionPolicy, SessionState
from tasks.adapters.ibkr.records import LinkChanged, News
from tests.tasks.adapters.ibkr.conftest import ACCOUNT, Connect, eventually
from tests.tasks.adapters.ibkr.tiny_gateway import TinyGateway

ASKED = {
    "positions": "positions",
    "all_open_orders": "open orders",
    "completed_orders": "completed orders",
    "executions": "executions",
    "account_updates": "account",
}


def test_connection_asks_for_everything_explicitly_before_it_is_ready(
    gateway: TinyGateway, session: Connect
) -> None:
    assert session().state is SessionState.READY
    asked = {request.name for request in gateway.asked}
    assert asked >= set(ASKED)
    assert not gateway.named("place_order")


@pytest.mark.parametrize("silent", sorted(ASKED))
def test_connection_without_one_of_the_answers_is_none_and_names_it(
    gateway: TinyGateway, session: Connect, silent: str
) -> None:
    gateway.silent.add(silent)
    one = session(connected=False, request_timeout=0.15)
    with pytest.raises(BrokerUnavailable, match=f"{ASKED[silent]} was not answered"):
        one.connect()
    assert not one.is_ready
    with pytest.raises(NotWritten):
        one.write_order(lambda ib, number: None)
    gateway.silent.clear()
    one.connect()
    assert one.is_ready


def test_account_that_is_not_managed_there_is_refused(gateway: TinyGateway, session: Connect) -> None:
    gateway.account = "DU7654321,DU1111111"
    with pytest.raises(ConfigurationError, match=r"DU1234567.*found DU7654321, DU1111111"):
        session()


@pytest.mark.parametrize(
    "managed", ["DU1234567,DU7654321", "DU7654321,DU1234567", "DF1111111,DU1234567", "DU1234567,All", "All"]
)
def test_login_that_manages_more_than_the_account_is_refused_before_anything_is_asked(
    gateway: TinyGateway, session: Connect, managed: str
) -> None:
    gateway.account = managed
    one = session(connected=False)
    with pytest.raises(ConfigurationError, match="expected the account DU1234567 alone"):
        one.connect()
    assert not one.is_ready
    with pytest.raises(NotWritten):
        one.write_order(lambda ib, number: None)
    assert {request.name for request in gateway.asked} == {"start_api"}


def test_login_that_manages_more_after_a_lost_line_is_no_connection_again(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session()
    gateway.account = "DF1111111,DU1234567"
    gateway.drop()
    eventually(lambda: one.state is SessionState.FAILED)
    refused = [text for text in alarms if "of 5 failed: expected the account DU1234567 alone" in text]
    assert len(refused) == 5  # one for each delay


@pytest.mark.parametrize(("account", "is_paper"), [("U1234567", True), ("DU1234567", False)])
def test_mode_and_kind_of_account_have_to_agree_before_anything_is_opened(
    account: str, is_paper: bool
) -> None:
    with pytest.raises(ConfigurationError, match="check --mode"):
        SessionPolicy(account=account, client_id=7, is_paper=is_paper)


def test_client_id_in_use_is_reported_at_once_with_the_brokers_words(
    gateway: TinyGateway, session: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.refuse = (326, "Unable to connect as the client id is already in use")
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="326 Unable to connect") as refused:
        session(connect_timeout=5.0)
    # It says what to do about this, and not about a port or a login that are as they should be.
    assert "another run or session holds the client id 7" in str(refused.value)
    assert "FUND_IB_PORT" not in str(refused.value)
    assert said_by_the_library(caplog) == []
    assert time.monotonic() - began < 2.0
    assert {request.record["client_id"] for request in gateway.named("start_api")} == {"7"}


def said_by_the_library(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("ib_insync")]


def test_nobody_listening_is_unavailable_and_told_once(
    gateway: TinyGateway, session: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.close()
    with pytest.raises(
        BrokerUnavailable, match=r"expected a connection to the broker.*FUND_IB_PORT is its port"
    ):
        session()
    assert said_by_the_library(caplog) == []


def test_what_the_library_says_of_a_connection_that_stands_is_kept(
    gateway: TinyGateway, session: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    session()
    gateway.say(("error", {"code": "326", "text": "in use"}), ("error", {"code": "321", "text": "no"}))
    eventually(lambda: len(said_by_the_library(caplog)) == 2)
    gateway.drop()
    eventually(lambda: "Peer closed connection." in said_by_the_library(caplog))
    assert said_by_the_library(caplog)[:2] == ["Error 326, reqId -1: in use", "Error 321, reqId -1: no"]


@pytest.mark.parametrize("reset", [False, True])
def test_lost_connection_is_told_and_made_again_with_everything_read_anew(
    gateway: TinyGateway, session: Connect, alarms: list[str], reset: bool
) -> None:
    one, heard = session(), list[News]()
    one.listen(heard.append)
    gateway.drop(reset=reset)
    eventually(lambda: [row.is_up for row in heard if isinstance(row, LinkChanged)] == [False, True])
    assert one.is_ready
    assert one.link().interrupted_at is not None
    assert "the connection to the broker was lost" in alarms[0]
    for name in ASKED:
        assert len(gateway.named(name)) >= 2


def test_gateway_that_freezes_is_noticed_by_the_heartbeat(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session(heartbeat_seconds=0.05, heartbeat_timeout=0.05, reconnect_delays=())
    gateway.silent.add("current_time")
    began = time.monotonic()
    eventually(lambda: one.state is SessionState.FAILED)
    # One beat and its patience, 0.05 s + 0.05 s, beside the machine's own time.
    assert time.monotonic() - began < 1.0
    assert "time was not answered in 0.05 seconds" in alarms[0]


def test_default_heartbeat_notices_within_ten_seconds() -> None:
    policy = SessionPolicy(account=ACCOUNT, client_id=7, is_paper=True)
    assert policy.heartbeat_seconds is not None
    assert policy.heartbeat_seconds + policy.heartbeat_timeout <= 10.0


def test_reconnection_waits_each_delay_then_alarms_and_gives_up(
    gateway: TinyGateway, session: Connect, alarms: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert SessionPolicy(account=ACCOUNT, client_id=7, is_paper=True).reconnect_delays == (
        30,
        60,
        90,
        120,
        120,
    )
    waited: list[float] = []
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds >= 1:
            waited.append(seconds)
        await real_sleep(0.001)

    monkeypatch.setattr("tasks.adapters.ibkr.session.asyncio.sleep", sleep)
    one = session(reconnect_delays=(30, 60, 90, 120, 120))
    gateway.refuse = (326, "in use")
    gateway.drop()
    eventually(lambda: one.state is SessionState.FAILED)
    assert waited == [30, 60, 90, 120, 120]
    assert "after 5 attempts" in alarms[-1]
    assert len(gateway.named("start_api")) == 6


def test_lost_broker_behind_the_gateway_stops_sending_until_everything_is_read_anew(
    gateway: TinyGateway, session: Connect
) -> None:
    one = session()
    gateway.say(("error", {"code": "1100", "text": "Connectivity lost"}))
    eventually(lambda: one.state is SessionState.DEGRADED)
    with pytest.raises(NotWritten, match="degraded"):
        one.write_order(lambda ib, number: None)
    before = len(gateway.named("executions"))
    gateway.say(("error", {"code": "1101", "text": "Connectivity restored, data lost"}))
    eventually(lambda: one.is_ready)
    assert len(gateway.named("executions")) == before + 1


def test_restored_broker_that_does_not_answer_is_no_connection(
    gateway: TinyGateway, session: Connect
) -> None:
    one = session(request_timeout=0.1, reconnect_delays=())
    gateway.silent.add("executions")
    gateway.say(("error", {"code": "1102", "text": "Connectivity restored"}))
    eventually(lambda: one.state is SessionState.FAILED)


def test_message_that_can_not_be_read_is_an_alarm_and_a_new_connection(
    gateway: TinyGateway, session: Connect, alarms: list[str]
) -> None:
    one = session()
    payload = b"5\x00not a number\x00"
    gateway.raw(len(payload).to_bytes(4, "big") + payload)
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    assert "can not be read" in alarms[0]


def test_question_without_an_answer_ends_the_connection(gateway: TinyGateway, session: Connect) -> None:
    one = session(request_timeout=0.1)
    gateway.silent.add("positions")
    with pytest.raises(BrokerUnavailable):
        one.positions()
    gateway.silent.clear()
    eventually(lambda: one.is_ready)
    assert one.positions() == ()


def test_order_is_written_at_once_or_known_as_not_written(gateway: TinyGateway, session: Connect) -> None:
    one = session(messages_per_second=20, request_timeout=0.3)
    written: list[int] = []
    unwritten = 0
    for _ in range(60):
        try:
            one.write_order(lambda ib, number: written.append(number))
            one.call(lambda ib: ib.client.reqIds(1))
        except (NotWritten, BrokerUnavailable):
            unwritten += 1
            break
    # 20 messages a second: the connection took some, then there was no room within 0.3 s.
    assert unwritten == 1
    assert written == sorted(set(written))


def test_numbers_of_orders_are_never_used_again_when_the_broker_rolls_them_back(
    gateway: TinyGateway, session: Connect
) -> None:
    gateway.next_id = 100
    one = session()
    numbers = [one.write_order(lambda ib, number: None) for _ in range(3)]
    gateway.next_id = 50
    gateway.drop()
    eventually(lambda: len(gateway.named("start_api")) == 2 and one.is_ready)
    numbers.append(one.write_order(lambda ib, number: None))
    assert numbers == sorted(set(numbers))
    assert one.link().next_order_id == 50
    assert one.link().last_sent_id == numbers[-1]


def test_session_works_from_a_thread_without_a_loop_and_inside_a_running_loop(session: Connect) -> None:
    one, answers = session(), list[object]()
    thread = threading.Thread(target=lambda: answers.append(one.positions()))
    thread.start()
    thread.join(2)

    async def inside() -> None:
        answers.append(one.positions())

    asyncio.run(inside())
    assert answers == [(), ()]


def test_closed_session_answers_nothing_more(session: Connect) -> None:
    one = session()
    one.close()
    with pytest.raises(NotWritten):
        one.positions()
