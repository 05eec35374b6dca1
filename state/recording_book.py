"""Rows of the fund's worth: cash, positions, value, exchange rates, reconciliations, and what the ledger booked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation

from engine.accounting.break_values import Break
from engine.accounting.ledger import COST_PREFIX, POSITION_PREFIX, EntryKind, LedgerEntry
from engine.accounting.reconciliation import ReconciliationReport
from engine.model.encoding import encode, significant
from engine.model.market import FxRates
from engine.model.money import ZERO
from engine.model.portfolio import Portfolio, Valuation
from engine.model.universe import ContractBook
from engine.risk.decision import drawdown_of
from state.columns import PRICE_DECIMALS
from state.record_values import Record, Tables

UNIT_PRICE_STEP = Decimal("0.000000000001")
CARRY_KINDS = (EntryKind.INTEREST, EntryKind.BORROW_FEE, EntryKind.DIVIDEND)
_RESULT_PREFIXES = ("income:", "expense:")


@dataclass(frozen=True, slots=True, kw_only=True)
class NavRow:
    """NAV per unit of an earlier trade date, in USD."""

    unit_price: Decimal


def fx_rows(run_id: str, rates: FxRates) -> list[Record]:
    """Exchange rates that a run used."""
    return [
        {
            "at": rate.observed_at,
            "pair": pair,
            "source": rate.source,
            "rate": rate.rate,
            "run_id": run_id,
        }
        for pair, rate in sorted(rates.rates.items())
    ]


def nav_row(
    run_id: str, account: str, valuation: Valuation, last: NavRow | None, peak: Decimal | None
) -> Record:
    """NAV of a trade date; its return since the last one and its drawdown from ``peak`` are fractions."""
    price = valuation.unit_price.quantize(UNIT_PRICE_STEP)
    return {
        "account": account,
        "trade_date": valuation.trade_date,
        "run_id": run_id,
        "nav": valuation.nav,
        "units": valuation.units,
        "unit_price": price,
        "daily_return": None if last is None else significant(float(price / last.unit_price - 1)),
        "drawdown_fraction": drawdown_of(price, max(price, peak or price)),
    }


def valuation_rows(
    run_id: str, account: str, portfolio: Portfolio, valuation: Valuation, worth: Record
) -> Tables:
    """Cash, positions and value of one time; ``worth`` is its row of the NAV history."""
    at, basis = valuation.as_of, valuation.basis.value
    scope: Record = {"run_id": run_id, "at": at, "account": account}
    whole: Record = {
        **scope,
        **{name: worth[name] for name in ("nav", "units", "unit_price", "drawdown_fraction")},
        "trade_date": valuation.trade_date,
        "cash_usd": valuation.cash_usd,
        "accruals_usd": valuation.accruals_usd,
        "gross_exposure": valuation.gross_exposure,
        "net_exposure": valuation.net_exposure,
        "payload": encode(valuation),
    }
    cash: list[Record] = [
        {**scope, "currency": currency, "basis": basis, "amount": amount}
        for currency, amount in sorted(portfolio.cash.items())
    ]
    return {"cash": cash, "positions": _position_rows(scope, portfolio, valuation), "portfolio": [whole]}


def _position_rows(scope: Record, portfolio: Portfolio, valuation: Valuation) -> list[Record]:
    lines = {line.contract_id: line for line in valuation.lines}
    rows: list[Record] = []
    for contract_id, position in sorted(portfolio.positions.items()):
        line = lines.get(contract_id)
        for sleeve, quantity in position.sleeves.items():
            rows.append(
                {
                    **scope,
                    "contract_id": contract_id,
                    "sleeve": sleeve.value,
                    "quantity": quantity,
                    "position_cost": position.cost,
                    "instrument_id": contract_id if line is None else line.instrument_id,
                    "mark": None if line is None else line.mark,
                    "position_value_usd": None if line is None else line.value_usd,
                    "position_exposure_usd": None if line is None else line.exposure_usd,
                }
            )
    return rows


def reconciliation_rows(run_id: str, attempt: int, at: datetime, report: ReconciliationReport) -> Tables:
    """A comparison with the broker and each of its breaks. Attempt and time are in the key: every one stays.

    ``at`` is when it was made: a late answer tells of another time. ``difference_fraction`` is what the limits were
    applied to; the parts sum to ``difference``, in USD.
    """
    buckets, fraction = report.buckets, report.difference_fraction
    whole: Record = {
        "run_id": run_id,
        "attempt": attempt,
        "at": at,
        "outcome": report.status.value,
        "nav": report.nav,
        "net_liquidation": report.net_liquidation,
        "difference_fraction": None if fraction is None else float(fraction),
        "difference": None if buckets is None else buckets.total,
        "quantity_usd": None if buckets is None else buckets.quantity,
        "cash_usd": None if buckets is None else buckets.cash,
        "accrual_usd": None if buckets is None else buckets.accrual,
        "mark_usd": None if buckets is None else buckets.mark,
        "fx_usd": None if buckets is None else buckets.fx,
        "unexplained": None if buckets is None else buckets.unexplained,
        "payload": encode(report),
    }
    breaks = [
        *(_break_row(run_id, attempt, at, report.status.value, found) for found in report.breaks),
        *(_break_row(run_id, attempt, at, "BLOCKED", found) for found in report.blocked),
    ]
    return {"reconciliations": [whole], "recon_breaks": breaks}


def _break_row(run_id: str, attempt: int, at: datetime, severity: str, found: Break) -> Record:
    causes = "; ".join(
        f"{cause.cause.value}: {cause.text} ({cause.resolution})" for cause in found.explanations
    )
    return {
        "run_id": run_id,
        "attempt": attempt,
        "at": at,
        "kind": found.kind.value,
        "subject": found.subject,
        "expected": _number(found.ours),
        "found": _number(found.broker),
        "effect_usd": found.difference_usd,
        "severity": severity,
        "note": causes or f"ours {found.ours}, broker {found.broker}",
    }


def _number(text: str) -> Decimal | None:
    """A figure of a break, ``None`` where it is a word such as the state of an order."""
    try:
        figure = Decimal(text)
    except InvalidOperation:
        return None
    return round(figure, PRICE_DECIMALS) if figure.is_finite() else None


def ledger_rows(
    run_id: str, account: str, trade_date: date, entries: Sequence[LedgerEntry], contracts: ContractBook
) -> Tables:
    """What was booked since the last close: holdings by sleeve, option premium, and carry by currency."""
    scope: Record = {"run_id": run_id, "account": account, "trade_date": trade_date}
    return {
        "sleeve_ledger": [row for entry in entries for row in _sleeve_rows(scope, entry)],
        "premium_ledger": [row for entry in entries for row in _premium_rows(scope, entry, contracts)],
        "carry_daily": _carry_rows(scope, entries),
    }


def _sleeve_rows(scope: Record, entry: LedgerEntry) -> list[Record]:
    changes: dict[tuple[str, str], Decimal] = {}
    for line in entry.lines:
        if line.account.startswith(POSITION_PREFIX):
            key = (line.account.removeprefix(POSITION_PREFIX), line.unit)
            changes[key] = changes.get(key, ZERO) + line.amount
    return [
        {
            **scope,
            "entry_id": entry.entry_id,
            "sleeve": sleeve,
            "contract_id": contract_id,
            "quantity": quantity,
            "reason": entry.kind.value,
        }
        for (sleeve, contract_id), quantity in sorted(changes.items())
    ]


def _premium_rows(scope: Record, entry: LedgerEntry, contracts: ContractBook) -> list[Record]:
    """Premium of an option in its currency: positive was paid, negative received or paid out at the end."""
    if entry.contract_id is None or not contracts.instrument(entry.contract_id).is_option:
        return []
    booked = [line for line in entry.lines if line.account == COST_PREFIX + entry.contract_id]
    if not booked:
        return []
    return [
        {
            **scope,
            "entry_id": entry.entry_id,
            "contract_id": entry.contract_id,
            "amount": sum((line.amount for line in booked), ZERO),
            "kind": entry.kind.value,
            "currency": booked[0].unit,
        }
    ]


def _carry_rows(scope: Record, entries: Sequence[LedgerEntry]) -> list[Record]:
    """Interest, borrow fees and dividends, summed by currency; a gain is positive."""
    sums: dict[tuple[str, str], Decimal] = {}
    for entry in entries:
        if entry.kind not in CARRY_KINDS:
            continue
        for line in entry.lines:
            if line.account.startswith(_RESULT_PREFIXES):
                key = (line.unit, entry.kind.value)
                sums[key] = sums.get(key, ZERO) - line.amount
    return [
        {**scope, "currency": currency, "kind": kind, "amount": amount}
        for (currency, kind), amount in sorted(sums.items())
    ]
