"""Read a broker's Flex statement (XML) into the engine's words.

Nothing outside the file is ever looked at: a document type, and with it every entity, is refused. A file that is cut,
names several statements, lacks a section or a field raises `StatementError`; an absent section is unknown, not empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
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
from engine.errors import StatementError
from engine.model.money import ZERO
from engine.model.orders import Fill, Side
from tasks.adapters.flex_fields import FlexRow
from tasks.adapters.flex_names import FlexName, FlexNames, NamedContract

LARGEST_BYTES = 64 * 1024 * 1024
SECTIONS = ("Trades", "CashTransactions", "OpenPositions", "CashReport")
_BASE_SUMMARY = "BASE_SUMMARY"
_DETAIL = {
    "Trade": ("", "EXECUTION"),
    "CashTransaction": ("", "DETAIL"),
    "OpenPosition": ("", "SUMMARY"),
    "CashReportCurrency": ("", "Currency", "CURRENCY"),
}
"""Levels of detail that are read; sums and lots of the same rows are left out."""

_TRADE_KINDS = {
    "ExchTrade": TradeKind.EXECUTION,
    "TradeCorrect": TradeKind.CORRECTION,
    "TradeCancel": TradeKind.CANCEL,
}
_CASH_KINDS = {
    "Dividends": CashKind.DIVIDEND,
    "Payment In Lieu Of Dividends": CashKind.DIVIDEND,
    "Withholding Tax": CashKind.WITHHOLDING,
    "Broker Interest Paid": CashKind.INTEREST,
    "Broker Interest Received": CashKind.INTEREST,
    "Other Fees": CashKind.FEE,
    "Broker Fees": CashKind.FEE,
    "Commission Adjustments": CashKind.COMMISSION,
    "Deposits/Withdrawals": CashKind.FLOW,
    "Deposits & Withdrawals": CashKind.FLOW,
}
_BORROW_WORDS, _LIEU_WORDS = "BORROW FEE", "CASH IN LIEU"
"""The broker pays and takes borrow fees as interest; only the description tells them apart, and names fractions."""

REPORT_FIELDS: Mapping[str, CashComponent] = {
    "netTradesSales": CashComponent.TRADES,
    "netTradesPurchases": CashComponent.TRADES,
    "commissions": CashComponent.COMMISSIONS,
    "transactionTax": CashComponent.TAXES,
    "cashSettlingMtm": CashComponent.SETTLEMENT,
    "realizedVm": CashComponent.SETTLEMENT,
    "dividends": CashComponent.DIVIDENDS,
    "paymentInLieu": CashComponent.DIVIDENDS,
    "withholdingTax": CashComponent.WITHHOLDING,
    "withholding871m": CashComponent.WITHHOLDING,
    "brokerInterest": CashComponent.INTEREST,
    "otherFees": CashComponent.FEES,
    "brokerFees": CashComponent.FEES,
    "depositWithdrawals": CashComponent.FLOWS,
    **dict.fromkeys(
        (
            "clientFees", "advisorFees", "accountTransfers", "linkingAdjustments", "internalTransfers",
            "insuredDepositInterest", "bondInterest", "cfdCharges", "feesReceivables", "taxReceivables",
            "withholdingCollectedTax", "salesTax", "fxTranslationGainLoss", "realizedForexVm", "other",
        ),
        CashComponent.OTHER,
    ),
}  # fmt: skip
"""Fields of the cash report that add up to its ending cash; the others there are parts of these."""


def read_flex(content: bytes, zone: ZoneInfo, names: FlexNames) -> Statement:
    """The one statement of a file; its dates and times are those of ``zone``.

    Raises `StatementError` for anything that is not one whole Flex statement.
    """
    element = _statement_element(content)
    head = FlexRow(element, zone)
    account = head.required("accountId")
    sections = {name: element.find(name) for name in SECTIONS}
    missing = [name for name, found in sections.items() if found is None]
    if missing:
        raise StatementError(
            f"expected the sections {', '.join(SECTIONS)} in the statement of {account}, found no "
            f"{', '.join(missing)}; add them to the Flex query: what is absent is unknown, not empty"
        )
    first, last = head.day("fromDate"), head.day("toDate")
    rows = {
        tag: tuple(_rows(element, path, tag, account, zone))
        for path, tag in (
            ("Trades", "Trade"),
            ("CashTransactions", "CashTransaction"),
            ("OpenPositions", "OpenPosition"),
            ("CashReport", "CashReportCurrency"),
        )
    }
    return Statement(
        account=account,
        first=first,
        last=last,
        begins=datetime.combine(first, time(), zone).astimezone(UTC),
        ends=datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC),
        generated_at=head.moment("whenGenerated"),
        trades=tuple(_trade(row, names) for row in rows["Trade"]),
        cash=tuple(_cash(row, names) for row in rows["CashTransaction"]),
        positions=tuple(_position(row, names) for row in rows["OpenPosition"]),
        reports=tuple(
            _report(row) for row in rows["CashReportCurrency"] if row.required("currency") != _BASE_SUMMARY
        ),
    )


def _statement_element(content: bytes) -> ElementTree.Element:
    root = _parsed(content)
    if root.tag == "FlexStatementResponse":
        raise StatementError(
            f"expected a statement, found the broker's refusal to write one: {root.findtext('ErrorMessage')}"
        )
    listing = root.find("FlexStatements")
    if root.tag != "FlexQueryResponse" or listing is None:
        raise StatementError(f"expected a FlexQueryResponse with FlexStatements, found <{root.tag}>")
    found = listing.findall("FlexStatement")
    if listing.get("count") != str(len(found)) or len(found) != 1:
        raise StatementError(
            f"expected one FlexStatement, as its count says, found {len(found)} with a count of "
            f"{listing.get('count')}; ask the broker for one account and one period"
        )
    return found[0]


def _parsed(content: bytes) -> ElementTree.Element:
    if len(content) > LARGEST_BYTES:
        raise StatementError(f"expected a statement of at most {LARGEST_BYTES} bytes, found {len(content)}")
    try:
        text = content.decode("utf-8-sig")
        if "<!DOCTYPE" in text.upper():
            raise StatementError("expected a statement without a document type, found one; nothing was read")
        return ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise StatementError(
            f"expected a whole XML file, found {error}; the file is truncated or damaged: fetch it again"
        ) from error


def _rows(
    element: ElementTree.Element, section: str, tag: str, account: str, zone: ZoneInfo
) -> Iterator[FlexRow]:
    for found in element.iterfind(f"{section}/{tag}"):
        row = FlexRow(found, zone)
        if row.required("accountId") != account:
            raise StatementError(
                f"expected rows of {account} only, found a {tag} of {row.required('accountId')}"
            )
        if row.optional("levelOfDetail") in _DETAIL[tag]:
            yield row


def _contract(row: FlexRow, names: FlexNames) -> NamedContract:
    is_derivative = row.required("assetCategory") in ("FUT", "OPT", "FOP")
    strike = row.optional("strike")
    return names.ours(
        FlexName(
            asset_class=row.required("assetCategory"),
            symbol=row.required("underlyingSymbol" if is_derivative else "symbol"),
            currency=row.required("currency"),
            expiry=row.day("expiry") if is_derivative else None,
            strike=row.number("strike") if strike and Decimal(strike) != 0 else None,
            right=row.optional("putCall"),
        )
    )


def _trade(row: FlexRow, names: FlexNames) -> StatementTrade:
    kind = _TRADE_KINDS.get(row.required("transactionType"), TradeKind.EVENT)
    contract, quantity, price = _contract(row, names), row.number("quantity"), row.number("tradePrice")
    transaction = row.required("transactionID")
    side = Side.BUY if row.required("buySell").startswith("BUY") else Side.SELL
    if quantity * side.sign * (-1 if kind is TradeKind.CANCEL else 1) <= 0:
        raise StatementError(
            f"transaction {transaction}: expected a quantity of the side {row.required('buySell')}, found {quantity}"
        )
    fee, currency = row.number_or_zero("ibCommission"), row.required("currency")
    fee_currency = row.optional("ibCommissionCurrency") or currency
    category = row.required("assetCategory")
    return StatementTrade(
        kind=kind,
        transaction_id=transaction,
        fill=Fill(
            execution_id=f"event-{transaction}" if kind is TradeKind.EVENT else row.required("ibExecID"),
            order_ref=row.text("orderReference") or None,
            contract_id=contract.contract_id,
            side=side,
            quantity=abs(quantity),
            price=price * contract.price_magnifier,
            executed_at=row.moment("dateTime"),
            commission=-fee,
            commission_currency=fee_currency,
        ),
        quantity=quantity,
        trade_date=row.day("tradeDate"),
        currency=currency,
        unit_price=price,
        multiplier=row.number("multiplier"),
        proceeds=row.number("proceeds"),
        commission=fee,
        commission_currency=fee_currency,
        taxes=row.number_or_zero("taxes"),
        settled_daily=category == "FUT",
        bought_currency=row.required("symbol").partition(".")[0] if category == "CASH" else None,
    )


def _cash(row: FlexRow, names: FlexNames) -> StatementCash:
    text = row.text("description")
    kind = _CASH_KINDS.get(row.required("type"), CashKind.OTHER)
    if kind is CashKind.INTEREST and _BORROW_WORDS in text.upper():
        kind = CashKind.BORROW_FEE
    if _LIEU_WORDS in text.upper():
        kind = CashKind.CASH_IN_LIEU
    return StatementCash(
        transaction_id=row.required("transactionID"),
        kind=kind,
        currency=row.required("currency"),
        amount=row.number("amount"),
        contract_id=_contract(row, names).contract_id if row.optional("symbol") else None,
        value_date=row.day("dateTime"),
        text=text,
    )


def _position(row: FlexRow, names: FlexNames) -> StatementPosition:
    return StatementPosition(
        contract_id=_contract(row, names).contract_id,
        quantity=row.number("position"),
        currency=row.required("currency"),
        multiplier=row.number("multiplier"),
        unit_mark=row.number("markPrice"),
        value=row.number("positionValue"),
    )


def _report(row: FlexRow) -> CashReport:
    components: dict[CashComponent, Decimal] = {}
    for name, component in REPORT_FIELDS.items():
        amount = row.number_or_zero(name)
        if amount != 0:
            components[component] = components.get(component, ZERO) + amount
    return CashReport(
        currency=row.required("currency"),
        starting=row.number("startingCash"),
        ending=row.number("endingCash"),
        components=components,
    )
