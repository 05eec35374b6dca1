"""Flex XML: what is written is read back, as the broker would write it, and what is no whole statement is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from engine.accounting.statement import CashKind, Statement, contradictions
from engine.errors import StatementError
from engine.model.universe import ContractBook
from engine.simulation.journal import MemoryJournal
from engine.simulation.statement import AccountHistory, account_statement
from tasks.adapters.flex import read_flex
from tasks.adapters.flex_names import FlexNames
from tasks.adapters.flex_writing import write_flex
from tests.engine.simulation.exchange_world import (
    CONTRACTS,
    FUTURE,
    MONDAY,
    OPTION,
    UNIVERSE,
    events_until,
    new_broker,
    order,
    utc,
)

NAMES, BOOK = FlexNames(UNIVERSE), ContractBook(universe=UNIVERSE, contracts=CONTRACTS)
ZONE = ZoneInfo("UTC")

# One day as the broker writes it: New York's clock, sums beside details, a security that is none of ours.
REAL = """<?xml version="1.0" encoding="UTF-8"?>
<FlexQueryResponse queryName="daily" type="AF"><FlexStatements count="1">
<FlexStatement accountId="U1234567" fromDate="2024-03-04" toDate="2024-03-04" period="LastBusinessDay" whenGenerated="2024-03-05;021500">
<Trades>
<Trade accountId="U1234567" currency="USD" assetCategory="STK" symbol="AAA" underlyingSymbol="" multiplier="1" transactionType="ExchTrade" transactionID="501" ibExecID="0000e215.65e59a1b.01.01" orderReference="AF1.X.1" dateTime="2024-03-04;093015" tradeDate="2024-03-04" buySell="BUY" quantity="1,000" tradePrice="100.01" proceeds="-100010" taxes="0" ibCommission="-5" ibCommissionCurrency="USD" levelOfDetail="EXECUTION" />
<Trade accountId="U1234567" currency="USD" assetCategory="STK" symbol="AAA" underlyingSymbol="" multiplier="1" transactionType="ExchTrade" transactionID="" ibExecID="" orderReference="AF1.X.1" dateTime="2024-03-04;093015" tradeDate="2024-03-04" buySell="BUY" quantity="1000" tradePrice="100.01" proceeds="-100010" taxes="0" ibCommission="-5" ibCommissionCurrency="USD" levelOfDetail="ORDER" />
<Trade accountId="U1234567" currency="USD" assetCategory="STK" symbol="ZZZ" underlyingSymbol="" multiplier="1" transactionType="TradeCancel" transactionID="502" ibExecID="0000e215.65e59a1b.02.01" orderReference="" dateTime="2024-03-04;150000" tradeDate="2024-03-04" buySell="SELL (Ca.)" quantity="5" tradePrice="10" proceeds="-50" taxes="0" ibCommission="1" ibCommissionCurrency="USD" levelOfDetail="EXECUTION" />
</Trades>
<CashTransactions>
<CashTransaction accountId="U1234567" currency="USD" type="Broker Interest Paid" amount="-3.21" dateTime="2024-03-04" transactionID="601" description="USD BORROW FEES FOR FEB-2024" levelOfDetail="DETAIL" />
<CashTransaction accountId="U1234567" currency="USD" assetCategory="STK" symbol="AAA" type="Payment In Lieu Of Dividends" amount="-7" dateTime="2024-03-04;202000" transactionID="602" description="AAA PAYMENT IN LIEU" levelOfDetail="DETAIL" />
<CashTransaction accountId="U1234567" currency="USD" type="Price Adjustments" amount="2" dateTime="2024-03-04" transactionID="603" description="" levelOfDetail="DETAIL" />
</CashTransactions>
<OpenPositions>
<OpenPosition accountId="U1234567" currency="USD" assetCategory="STK" symbol="AAA" position="1000" multiplier="1" markPrice="100" positionValue="100000" levelOfDetail="SUMMARY" />
<OpenPosition accountId="U1234567" currency="USD" assetCategory="STK" symbol="AAA" position="1000" multiplier="1" markPrice="100" positionValue="100000" levelOfDetail="LOT" />
</OpenPositions>
<CashReport>
<CashReportCurrency accountId="U1234567" currency="BASE_SUMMARY" startingCash="1" endingCash="1" />
<CashReportCurrency accountId="U1234567" currency="USD" startingCash="200000" commissions="-4" commissionsSec="-4" netTradesPurchases="-100060" brokerInterest="-3.21" paymentInLieu="-7" deposits="0" other="2" endingCash="99927.79" />
</CashReport>
</FlexStatement></FlexStatements></FlexQueryResponse>
"""


def simulated() -> Statement:
    """Two days of shares in dollars and pence, futures, options and two currency pairs, with an expiry on the way."""
    journal = MemoryJournal()
    broker = new_broker(journal=journal)
    limits = {"AAA": "100.05", "PEN": "250.3", FUTURE: "5000.5", OPTION: "12.05", "EUR.USD": "1.1001", "USD.CHF": "0.8001"}  # fmt: skip
    for number, (name, limit) in enumerate(limits.items()):
        broker.submit(order(name, "10", limit, ref=f"AF1.{number}.0", good_till=utc(MONDAY, 20)))
    events_until(broker, utc(MONDAY + timedelta(days=4), 23))
    history = AccountHistory.read(journal)
    return account_statement(history, broker.state, broker.terms, MONDAY, MONDAY + timedelta(days=4))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_statement_is_read_back_as_it_was_written(zone: str) -> None:
    written = simulated()
    found = read_flex(write_flex(written, ZoneInfo(zone), BOOK), ZoneInfo(zone), NAMES)
    assert (found.cash, found.positions, found.reports) == (written.cash, written.positions, written.reports)
    assert contradictions(found) == ()
    for row, back in zip(written.trades, found.trades, strict=True):
        assert (back.fill.contract_id, back.fill.price, back.fill.commission) == (
            row.fill.contract_id,
            row.fill.price,
            row.fill.commission,
        )
        assert back.fill.executed_at == row.fill.executed_at.replace(microsecond=0), "Flex has whole seconds"


def test_statement_as_the_broker_writes_it_is_read_in_our_words() -> None:
    found = read_flex(REAL.encode(), ZoneInfo("America/New_York"), NAMES)
    assert contradictions(found) == ()
    bought, cancelled = found.trades
    assert bought.fill.executed_at == datetime(2024, 3, 4, 14, 30, 15, tzinfo=UTC)
    assert (bought.fill.quantity, bought.fill.commission) == (Decimal(1000), Decimal(5))
    assert (cancelled.fill.contract_id, cancelled.quantity, cancelled.fill.signed_quantity) == (
        "STK:ZZZ:USD",
        Decimal(5),
        Decimal(-5),
    )
    assert [row.kind for row in found.cash] == [CashKind.BORROW_FEE, CashKind.DIVIDEND, CashKind.OTHER]
    assert (found.begins, found.ends) == (
        datetime(2024, 3, 4, 5, tzinfo=UTC),
        datetime(2024, 3, 5, 5, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("</FlexQueryResponse>", "", "truncated or damaged"),
        ("<FlexQueryResponse", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><FlexQueryResponse', "document type"),
        ("<FlexQueryResponse", '<!doctype a [<!ENTITY b "c">]><FlexQueryResponse', "document type"),
        ('count="1"', 'count="3"', "found 1 with a count of 3"),
        ("<CashReport>", "<Report>", "truncated or damaged"),
        ("CashReport>", "Report>", "found no CashReport"),
        (' orderReference="AF1.X.1"', "", "the field orderReference"),
        ('quantity="1,000"', 'quantity="-1000"', "a quantity of the side BUY"),
        ('tradePrice="100.01"', 'tradePrice="Infinity"', "tradePrice of a Trade to be a number"),
        ('amount="-7"', 'amount=""', "amount of a CashTransaction to say something"),
        ('dateTime="2024-03-04;093015"', 'dateTime="4 March"', "20261112"),
        ('<OpenPosition accountId="U1234567"', '<OpenPosition accountId="U7"', "rows of U1234567 only"),
    ],
)
def test_file_that_is_no_whole_statement_is_refused(old: str, new: str, told: str) -> None:
    with pytest.raises(StatementError, match=told):
        read_flex(REAL.replace(old, new).encode(), ZONE, NAMES)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (REAL.encode("utf-16"), "truncated or damaged"),
        (b"", "truncated or damaged"),
        (b"<html/>", "found <html>"),
        (
            b"<FlexStatementResponse><Status>Fail</Status><ErrorMessage>Token has expired.</ErrorMessage>"
            b"</FlexStatementResponse>",
            "Token has expired",
        ),
    ],
)
def test_other_file_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(StatementError, match=told):
        read_flex(content, ZONE, NAMES)
