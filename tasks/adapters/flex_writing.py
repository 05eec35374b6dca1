"""Write a statement as the broker's Flex XML: the same fields that `tasks.adapters.flex` reads."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

from engine.accounting.statement import (
    CashComponent,
    CashKind,
    CashReport,
    Statement,
    StatementCash,
    StatementPosition,
    StatementTrade,
    TradeKind,
)
from engine.model.money import ZERO
from engine.model.universe import ContractBook
from tasks.adapters.flex_names import FlexName, flex_name

_TRADE_TYPES = {
    TradeKind.EXECUTION: "ExchTrade",
    TradeKind.CORRECTION: "TradeCorrect",
    TradeKind.CANCEL: "TradeCancel",
    TradeKind.EVENT: "BookTrade",
}
_CASH_TYPES = {
    CashKind.WITHHOLDING: "Withholding Tax",
    CashKind.FEE: "Other Fees",
    CashKind.COMMISSION: "Commission Adjustments",
    CashKind.FLOW: "Deposits/Withdrawals",
    CashKind.CASH_IN_LIEU: "Other Income",
    CashKind.OTHER: "Other Income",
}
_REPORT_FIELDS = {
    CashComponent.COMMISSIONS: "commissions",
    CashComponent.TAXES: "transactionTax",
    CashComponent.SETTLEMENT: "cashSettlingMtm",
    CashComponent.DIVIDENDS: "dividends",
    CashComponent.WITHHOLDING: "withholdingTax",
    CashComponent.INTEREST: "brokerInterest",
    CashComponent.FEES: "otherFees",
    CashComponent.FLOWS: "depositWithdrawals",
    CashComponent.OTHER: "other",
}


def write_flex(statement: Statement, zone: ZoneInfo, contracts: ContractBook) -> bytes:
    """The statement as UTF-8 XML with clock times of ``zone``."""
    root = ElementTree.Element("FlexQueryResponse", queryName="statement", type="AF")
    listing = ElementTree.SubElement(root, "FlexStatements", count="1")
    head = ElementTree.SubElement(
        listing,
        "FlexStatement",
        accountId=statement.account,
        fromDate=f"{statement.first:%Y%m%d}",
        toDate=f"{statement.last:%Y%m%d}",
        period="",
        whenGenerated=_clock(statement.generated_at, zone),
    )
    account = {"accountId": statement.account}
    trades = ElementTree.SubElement(head, "Trades")
    for trade in statement.trades:
        name = flex_name(contracts, trade.fill.contract_id)
        ElementTree.SubElement(trades, "Trade", account | _trade(trade, name, zone))
    cash = ElementTree.SubElement(head, "CashTransactions")
    for row in statement.cash:
        named = {} if row.contract_id is None else _naming(flex_name(contracts, row.contract_id))
        ElementTree.SubElement(cash, "CashTransaction", account | named | _cash(row))
    positions = ElementTree.SubElement(head, "OpenPositions")
    for held in statement.positions:
        named = _naming(flex_name(contracts, held.contract_id))
        ElementTree.SubElement(positions, "OpenPosition", account | named | _position(held))
    reports = ElementTree.SubElement(head, "CashReport")
    for report in statement.reports:
        ElementTree.SubElement(reports, "CashReportCurrency", account | _report(report))
    ElementTree.indent(root)
    text: str = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _naming(name: FlexName) -> dict[str, str]:
    dated = "" if name.expiry is None else f"{name.expiry:%Y%m%d}"
    struck = "" if name.strike is None else _plain(name.strike)
    return {
        "assetCategory": name.asset_class,
        "symbol": " ".join(part for part in (name.symbol, dated, name.right, struck) if part),
        "underlyingSymbol": name.symbol if dated else "",
        "currency": name.currency,
        "expiry": dated,
        "strike": struck,
        "putCall": name.right,
    }


def _trade(trade: StatementTrade, name: FlexName, zone: ZoneInfo) -> dict[str, str]:
    cancelled = " (Ca.)" if trade.kind is TradeKind.CANCEL else ""
    is_event = trade.kind is TradeKind.EVENT
    moves_cash = ZERO if trade.settled_daily else trade.proceeds
    return {
        **_naming(name),
        "transactionType": _TRADE_TYPES[trade.kind],
        "transactionID": trade.transaction_id,
        "ibExecID": "" if is_event else trade.fill.execution_id,
        "orderReference": trade.fill.order_ref or "",
        "dateTime": _clock(trade.fill.executed_at, zone),
        "tradeDate": f"{trade.trade_date:%Y%m%d}",
        "buySell": f"{trade.fill.side.value}{cancelled}",
        "quantity": _plain(trade.quantity),
        "tradePrice": _plain(trade.unit_price),
        "multiplier": _plain(trade.multiplier),
        "proceeds": _plain(trade.proceeds),
        "taxes": _plain(trade.taxes),
        "ibCommission": _plain(trade.commission),
        "ibCommissionCurrency": trade.commission_currency,
        "netCash": _plain(moves_cash + trade.taxes + trade.commission),
        "notes": "Ep" if is_event else "",
        "levelOfDetail": "EXECUTION",
    }


def _cash(row: StatementCash) -> dict[str, str]:
    return {
        "type": _cash_type(row),
        "transactionID": row.transaction_id,
        "currency": row.currency,
        "amount": _plain(row.amount),
        "dateTime": f"{row.value_date:%Y%m%d}",
        "description": row.text,
        "levelOfDetail": "DETAIL",
    }


def _cash_type(row: StatementCash) -> str:
    if row.kind is CashKind.DIVIDEND:
        return "Dividends" if row.amount > 0 else "Payment In Lieu Of Dividends"
    if row.kind in (CashKind.INTEREST, CashKind.BORROW_FEE):
        return "Broker Interest Received" if row.amount > 0 else "Broker Interest Paid"
    return _CASH_TYPES[row.kind]


def _position(held: StatementPosition) -> dict[str, str]:
    return {
        "position": _plain(held.quantity),
        "multiplier": _plain(held.multiplier),
        "markPrice": _plain(held.unit_mark),
        "positionValue": _plain(held.value),
        "levelOfDetail": "SUMMARY",
    }


def _report(report: CashReport) -> dict[str, str]:
    trades = report.components.get(CashComponent.TRADES, ZERO)
    return {
        "currency": report.currency,
        "startingCash": _plain(report.starting),
        "netTradesSales": _plain(max(trades, ZERO)),
        "netTradesPurchases": _plain(min(trades, ZERO)),
        **{
            field: _plain(report.components.get(component, ZERO))
            for component, field in _REPORT_FIELDS.items()
        },
        "endingCash": _plain(report.ending),
        "levelOfDetail": "Currency",
    }


def _plain(value: Decimal) -> str:
    """Digits without an exponent and without zeros that say nothing."""
    return f"{value.normalize():f}"


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y%m%d;%H%M%S}"
