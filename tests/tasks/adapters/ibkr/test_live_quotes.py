"""Live quotes: live, two-sided, positive, not crossed and fresh, or none with its reason; nothing else is asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from decimal import Decimal

import pytest
from ib_insync.contract import Contract as WireContract

from config.settings import load_configuration
from engine.errors import ConfigurationError
from engine.model.market import Quote, Source
from tasks.adapters.ibkr.live_quotes import WorkedContracts
from tasks.adapters.ibkr.orders import IbkrTransport
from tasks.adapters.ibkr.quote_quality import QuoteFault, QuoteQualityConfig
from tasks.adapters.ibkr.units import WireUnits
from tests.tasks.adapters.ibkr.conftest import eventually
from tests.tasks.adapters.ibkr.desks import NOON, MarketRig, market_rig
from tests.tasks.adapters.ibkr.market_gateway import (
    ASK,
    BID,
    CLOSE,
    LAST,
    data_type,
    fails,
    price,
    two_sided,
)
from tests.tasks.adapters.ibkr.tiny_gateway import Reply

Make = Callable[..., MarketRig]


@pytest.fixture
def rig() -> Iterator[Make]:
    with ExitStack() as stack:
        yield lambda *given, **quality: stack.enter_context(market_rig(*given, **quality))


def test_two_sided_live_quote_is_what_the_broker_tells(rig: Make) -> None:
    one = rig()
    told = [price(LAST, "700.5"), price(CLOSE, "699.25"), *two_sided("700.12", "700.36")]
    one.gateway.told["CSPX"] = [data_type(1), *told]
    assert one.desk.quote("CSPX") == Quote(
        contract_id="CSPX",
        observed_at=NOON,
        bid=Decimal("700.12"),
        ask=Decimal("700.36"),
        bid_size=Decimal(100),
        ask_size=Decimal(200),
        last=Decimal("700.5"),
        close=Decimal("699.25"),
        source=Source.IBKR,
    )
    assert one.desk.refused == {}


def test_quote_that_is_asked_once_ends_its_request(rig: Make) -> None:
    one = rig()
    one.gateway.told["CSPX"] = two_sided(700, 701)
    one.desk.quote("CSPX")
    [ended] = one.gateway.wait_for("cancel_market_data")
    [asked] = one.gateway.named("market_data")
    assert ended.record["request_id"] == asked.record["request_id"]
    assert asked.record["snapshot"] == "0"


@pytest.mark.parametrize(
    ("told", "fault"),
    [
        ([], QuoteFault.SILENT),
        ([fails(354)], QuoteFault.NO_PERMISSION),
        ([fails(10089)], QuoteFault.NO_PERMISSION),
        ([fails(10168)], QuoteFault.NO_PERMISSION),
        ([fails(200)], QuoteFault.UNKNOWN_CONTRACT),
        ([fails(101)], QuoteFault.BROKER_ERROR),
        ([fails(10197)], QuoteFault.COMPETING_SESSION),
        ([price(BID, 700), fails(10197)], QuoteFault.COMPETING_SESSION),
        ([fails(10167), data_type(3), price(66, 700), price(67, 701)], QuoteFault.DELAYED),
        ([data_type(3), *two_sided(700, 701)], QuoteFault.DELAYED),
        ([data_type(4), *two_sided(700, 701)], QuoteFault.DELAYED),
        ([data_type(2), *two_sided(700, 701)], QuoteFault.FROZEN),
        ([price(BID, 700)], QuoteFault.ONE_SIDED),
        (two_sided(700, -1), QuoteFault.ONE_SIDED),
        (two_sided(-1, -1), QuoteFault.ONE_SIDED),
        (two_sided(-100, -100), QuoteFault.ONE_SIDED),
        (two_sided(0, 701), QuoteFault.ONE_SIDED),
        (two_sided("nan", 701), QuoteFault.ONE_SIDED),
        (two_sided("1.7976931348623157E308", 701), QuoteFault.ONE_SIDED),
        ([*two_sided(700, 701), price(BID, "nan")], QuoteFault.ONE_SIDED),
        ([*two_sided(700, 701), price(ASK, "1.7976931348623157E308")], QuoteFault.ONE_SIDED),
        ([*two_sided(700, 701), price(BID, -1, 0)], QuoteFault.ONE_SIDED),
        ([*two_sided(700, 701), ("size", {"type": "3", "size": "0"})], QuoteFault.ONE_SIDED),
        (two_sided(700, 701, bid_size=0, ask_size=0), QuoteFault.ONE_SIDED),
        (two_sided(700, 701, bid_size=-1), QuoteFault.ONE_SIDED),
        (two_sided(700, 701, ask_size="nan"), QuoteFault.ONE_SIDED),
        (two_sided(702, 701), QuoteFault.CROSSED),
        (two_sided(1, "1e299"), QuoteFault.IMPOSSIBLE),
        (two_sided(1, "9000000000001"), QuoteFault.IMPOSSIBLE),
        ([price(LAST, 700), price(CLOSE, 699)], QuoteFault.SILENT),
    ],
)  # fmt: skip
def test_what_is_no_live_two_sided_quote_is_none_with_its_reason(
    rig: Make, told: list[Reply], fault: QuoteFault
) -> None:
    one = rig(answer_seconds=0.15)
    one.gateway.told["CSPX"] = told
    before = len(one.gateway.asked)
    assert one.fault() is fault
    asked = {request.name for request in one.gateway.asked[before:]}
    assert asked <= {"contract_details", "market_data", "cancel_market_data"}, "something else was asked"


def test_type_of_data_that_is_asked_for_is_live_and_no_other(rig: Make) -> None:
    one = rig()
    one.gateway.told["CSPX"] = [fails(354)]
    assert one.fault() is QuoteFault.NO_PERMISSION
    assert [row.record["type"] for row in one.gateway.named("market_data_type")] == ["1"]
    assert one.desk.refused["CSPX"].code == 354


def test_reason_is_gone_with_the_next_quote_that_passes(rig: Make) -> None:
    one = rig()
    one.gateway.told["CSPX"] = two_sided(702, 701)
    assert one.fault() is QuoteFault.CROSSED
    one.gateway.told["CSPX"] = two_sided(700, 701)
    assert one.desk.quote("CSPX") is not None
    assert one.desk.refused == {}


def test_many_quotes_come_together_and_each_missing_one_has_its_reason(rig: Make) -> None:
    one = rig()
    one.gateway.told = {
        "CSPX": two_sided(700, 701),
        "CS51": [fails(354)],
        "EUR.USD": two_sided("1.1", "1.1001"),
    }
    found = one.desk.quotes(["CSPX", "CS51", "EUR.USD", "NOSUCH"])
    assert {name: quote.bid for name, quote in found.items()} == {"CSPX": 700, "EUR.USD": Decimal("1.1")}
    faults = {name: refusal.fault for name, refusal in one.desk.refused.items()}
    assert faults == {"CS51": QuoteFault.NO_PERMISSION, "NOSUCH": QuoteFault.UNKNOWN_CONTRACT}


def test_no_more_lines_run_at_a_time_than_the_broker_gives(rig: Make) -> None:
    one = rig(max_lines=11)
    names = [
        "CSPX",
        "CS51",
        "IUKD",
        "EUR.USD",
        "GBP.USD",
        "USD.CHF",
        "USD.SEK",
        "DBK",
        "BNP",
        "UCG",
        "TEF",
        "BT.A",
        "LQDE",
    ]
    names = [name for name in names if name in one.gateway.listing.universe]
    one.gateway.told = {name: two_sided(700, 701) for name in names}
    assert set(one.desk.quotes(names)) == set(names)
    running, most = 0, 0
    for request in one.gateway.asked:
        running += {"market_data": 1, "cancel_market_data": -1}.get(request.name, 0)
        most = max(most, running)
    assert len(names) > 11 == most


def test_answers_have_their_time_from_when_they_are_asked_at_the_brokers_pace(rig: Make) -> None:
    one = rig(messages_per_second=30, answer_seconds=0.2)
    names = [
        "CSPX",
        "CS51",
        "IUKD",
        "EUR.USD",
        "GBP.USD",
        "USD.CHF",
        "USD.SEK",
        "DBK",
        "BNP",
        "UCG",
        "TEF",
        "BT.A",
    ]
    one.gateway.told = {name: two_sided(700, 701) for name in names}
    for name in names:
        one.contracts.qualified(name)
    started = time.monotonic()
    assert set(one.desk.quotes(names)) == set(names)
    one.gateway.wait_for("cancel_market_data", len(names))
    # 12 contracts, 12 requests and 12 ends are 36 messages, of which 30 fit into any second.
    assert time.monotonic() - started > 0.2, "the questions took longer than one answer may"


def test_many_questions_leave_no_queue_before_orders_and_heartbeats(rig: Make) -> None:
    one = rig(messages_per_second=15, answer_seconds=0.2)
    names = [
        "CSPX",
        "CS51",
        "IUKD",
        "EUR.USD",
        "GBP.USD",
        "USD.CHF",
        "USD.SEK",
        "DBK",
        "BNP",
        "UCG",
        "TEF",
        "BT.A",
    ]
    one.gateway.told = {name: two_sided(700, 701) for name in names}
    for name in names:
        one.contracts.qualified(name)
    # 12 requests and 12 ends at 15 a second: written at once, 9 ends and more would wait in the library's queue.
    assert set(one.desk.quotes(names)) == set(names)
    assert one.session.call(lambda ib: len(ib.client._msgQ)) == 0
    one.gateway.wait_for("cancel_market_data", len(names))


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1500, 1.5), (250, 0.25)])
def test_settings_say_how_old_a_price_may_be_and_how_long_to_wait(milliseconds: int, seconds: float) -> None:
    market = load_configuration(
        "paper", (f"execution_phase2.market_data.live_snapshot_timeout_ms={milliseconds}",)
    )
    config = QuoteQualityConfig.of_settings(market.settings.execution_phase2.market_data)
    assert (config.max_age_seconds, config.answer_seconds) == (5.0, seconds)
    assert config.in_virtual_time().max_age_seconds == 0


def test_settings_can_not_ask_for_prices_of_one_side() -> None:
    one_sided = "execution_phase2.market_data.min_quote_quality.require_bid_ask_for_limit_pricing=false"
    settings = load_configuration("paper", (one_sided,)).settings
    with pytest.raises(ConfigurationError, match="a limit is priced from two sides"):
        QuoteQualityConfig.of_settings(settings.execution_phase2.market_data)


def test_pence_are_quoted_in_pence_whichever_unit_the_ticks_have(rig: Make) -> None:
    in_pence, in_pounds = rig(), rig(WireUnits(market_in_quote_units=False))
    in_pence.gateway.told["IUKD"] = two_sided("812.5", "813")
    in_pounds.gateway.told["IUKD"] = two_sided("8.125", "8.13")
    quotes = [one.desk.quote("IUKD") for one in (in_pence, in_pounds)]
    assert [(quote.bid, quote.ask) for quote in quotes if quote] == [(Decimal("812.5"), Decimal(813))] * 2


# ------------------------------------------------------------ held lines


def held(rig: Make) -> MarketRig:
    one = rig(max_age_seconds=5.0)
    one.gateway.told["CSPX"] = two_sided(700, 701)
    one.desk.watch(["CSPX"])
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    return one


def test_watched_contract_is_quoted_from_its_line_with_its_age(rig: Make) -> None:
    one = held(rig)
    one.clock.pass_by(4)
    quote = one.desk.quote("CSPX")
    assert quote is not None
    assert quote.age_seconds(one.clock.now()) == 4
    assert len(one.gateway.named("market_data")) == 1


def test_size_or_trade_makes_no_price_young(rig: Make) -> None:
    one = held(rig)
    one.clock.pass_by(6)
    one.gateway.told["CSPX"] = []
    size = ("size", {"type": "0", "size": "300"})
    one.gateway.tell("CSPX", size, price(LAST, 705), ("string", {"type": "45", "text": "1795190400"}))
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.prices.get(LAST)))
    stale = one.desk._lines.of_held("CSPX", lambda line: line.priced_at)
    assert stale == NOON
    assert one.fault() is QuoteFault.SILENT, "it was asked anew, and no answer came"


def test_price_that_is_told_again_is_young_again(rig: Make) -> None:
    one = held(rig)
    one.clock.pass_by(6)
    one.gateway.tell("CSPX", price(ASK, 701))
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.priced_at != NOON))
    quote = one.desk.quote("CSPX")
    assert quote is not None
    assert (quote.bid, quote.ask, quote.observed_at) == (700, 701, NOON + timedelta(seconds=6))
    assert len(one.gateway.named("market_data")) == 1


def test_competing_session_silences_a_line_until_it_tells_prices_again(rig: Make) -> None:
    one = held(rig)
    one.gateway.told["CSPX"] = [fails(10197)]
    one.gateway.tell("CSPX", fails(10197))
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.code == 10197))
    number = one.gateway.numbers["CSPX"]
    assert one.fault() is QuoteFault.COMPETING_SESSION, "old bid and ask stayed in place"
    one.gateway.numbers["CSPX"] = number
    one.gateway.tell("CSPX", *two_sided(710, 711))
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    quote = one.desk.quote("CSPX")
    assert quote is not None
    assert quote.bid == 710


@pytest.mark.parametrize("code", [1100, 1101, 1102])
def test_tick_from_before_a_broken_link_is_never_used(rig: Make, code: int) -> None:
    one = held(rig)
    one.gateway.told["CSPX"] = two_sided(650, 651)
    asked = len(one.gateway.named("market_data"))
    one.gateway.say(fails(code))
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.prices.get(BID)) != 700)
    if code == 1100:
        assert one.fault() is QuoteFault.NO_CONNECTION
        one.gateway.say(fails(1102))
    eventually(lambda: one.session.is_ready)
    quote = one.desk.quote("CSPX")
    assert quote is not None
    assert quote.bid == 650
    assert len(one.gateway.named("market_data")) > asked


def test_lost_subscriptions_are_made_anew_by_themselves(rig: Make) -> None:
    one = held(rig)
    one.gateway.say(fails(1101))
    first, second = one.gateway.wait_for("market_data", 2)
    assert first.record["con_id"] == second.record["con_id"]
    assert first.record["request_id"] != second.record["request_id"]


def test_new_connection_holds_again_what_was_watched(rig: Make) -> None:
    one = held(rig)
    one.gateway.told["CSPX"] = two_sided(650, 651)
    one.gateway.drop(reset=True)
    one.gateway.wait_for("market_data", 2)
    eventually(lambda: one.session.is_ready)
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    quote = one.desk.quote("CSPX")
    assert quote is not None
    assert quote.bid == 650
    assert len(one.gateway.named("market_data")) == 2


def test_contract_that_is_no_longer_watched_ends_its_line(rig: Make) -> None:
    one = held(rig)
    one.desk.watch(["CS51"])
    assert [row.record["request_id"] for row in one.gateway.wait_for("cancel_market_data")] == [
        one.gateway.named("market_data")[0].record["request_id"]
    ]
    with pytest.raises(ConfigurationError, match="at most 80 contracts to watch at a time, found 81"):
        one.desk._lines.hold({str(number): None for number in range(81)})  # type: ignore[misc]


def test_contract_that_is_asked_for_again_and_again_holds_its_line(rig: Make) -> None:
    one = rig(hold_seconds=60)
    one.gateway.told = {"CSPX": two_sided(700, 701), "CS51": two_sided(51, 52)}
    for _ in range(3):
        one.clock.pass_by(2)
        assert one.desk.quote("CSPX") is not None
    # The first look asked and ended, the second one held a line beside its own look, the third one read that line.
    eventually(lambda: one.desk._lines.of_held("CSPX", lambda line: line.has_sides))
    asked = len(one.gateway.named("market_data"))
    assert one.desk.quote("CSPX") is not None
    assert len(one.gateway.named("market_data")) == asked
    one.clock.pass_by(61)
    one.desk.quote("CS51")
    assert one.desk._lines.of_held("CSPX", lambda line: line) is None, "nobody asked for it in a minute"


def test_newest_of_what_is_worked_is_held_where_lines_are_few() -> None:
    worked = WorkedContracts(
        QuoteQualityConfig(max_lines=12, hold_seconds=60)
    )  # 2 lines beside the 10 that are spare
    wire = WireContract()
    worked.watched = {"A": wire}
    for name in ("B", "C"):
        for seconds in (0, 1):
            worked.is_changed_by(name, wire, NOON + timedelta(seconds=seconds))
    worked.is_changed_by("C", wire, NOON + timedelta(seconds=2))
    assert set(worked.wires) == {"A", "C"}
    assert worked.is_changed_by("B", wire, NOON + timedelta(seconds=3))
    assert set(worked.wires) == {"A", "B"}


def test_nothing_is_held_in_virtual_time_unless_it_is_watched() -> None:
    worked = WorkedContracts(QuoteQualityConfig().in_virtual_time())
    assert not any(worked.is_changed_by("B", WireContract(), NOON) for _ in range(3))
    assert worked.wires == {}


def test_without_a_connection_there_is_no_quote_and_nothing_is_raised(rig: Make) -> None:
    one = held(rig)
    one.session.close()
    assert one.fault() is QuoteFault.NO_CONNECTION


def test_transport_quotes_what_passes_the_gate(rig: Make) -> None:
    one = rig()
    one.gateway.told = {"CSPX": two_sided(700, 701), "CS51": two_sided(52, 51)}
    transport = IbkrTransport(one.session, one.contracts, one.desk.quote)
    quote = transport.quote("CSPX")
    assert quote is not None
    assert (quote.mid, quote.source) == (Decimal("700.5"), Source.IBKR)
    assert transport.quote("CS51") is None
