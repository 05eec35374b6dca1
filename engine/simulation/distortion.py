"""Faults in what the broker tells: answers withheld or late, lines left out, figures off by a factor.

The account itself stays as it is; only its report is distorted, as long as a fault is active. A fault that says
``*`` means every line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from engine.model.money import ZERO
from engine.model.portfolio import BrokerSnapshot
from engine.simulation.account import Fault, FaultKind

EVERY = "*"
RENAMED = ">"


def distorted(snapshot: BrokerSnapshot, faults: Sequence[Fault]) -> BrokerSnapshot:
    """The account's report with every active fault in it, in the order in which they were put in."""
    for fault in faults:
        snapshot = _distorted(snapshot, fault)
    return snapshot


def _distorted(told: BrokerSnapshot, fault: Fault) -> BrokerSnapshot:
    subject, amount = fault.subject, fault.amount
    match fault.kind:
        case FaultKind.WITHHELD_ANSWER:
            return _without_answer(told, subject)
        case FaultKind.DELAYED_ANSWER:
            return replace(told, as_of=told.as_of - timedelta(hours=float(amount)))
        case FaultKind.OTHER_ACCOUNT:
            return replace(told, account=subject)
        case FaultKind.UNLISTED_HOLDING | FaultKind.RENAMED_HOLDING:
            return _relisted(told, subject)
        case FaultKind.SCALED_QUANTITY | FaultKind.SCALED_MARK:
            return _scaled_holding(told, fault)
        case _:
            return _with_other_money(told, fault)


def _with_other_money(told: BrokerSnapshot, fault: Fault) -> BrokerSnapshot:
    """Balances, rates and the whole, off as the fault says; what changed the account itself distorts no report."""
    subject, amount = fault.subject, fault.amount
    match fault.kind:
        case FaultKind.UNLISTED_CASH:
            return replace(told, cash={k: v for k, v in told.cash.items() if subject not in (k, EVERY)})
        case FaultKind.SCALED_CASH:
            return replace(told, cash={**told.cash, subject: told.cash[subject] * amount})
        case FaultKind.SHIFTED_CASH:
            return replace(told, cash={**told.cash, subject: told.cash.get(subject, ZERO) + amount})
        case FaultKind.UNREADABLE_CASH:
            return replace(told, cash={**told.cash, subject: Decimal("NaN")})
        case FaultKind.SCALED_RATE:
            return replace(told, fx={**told.fx, subject: told.fx[subject] * amount})
        case FaultKind.ADDED_NET_LIQUIDATION:
            return replace(told, net_liquidation=(told.net_liquidation or ZERO) + amount)
        case FaultKind.FIXED_NET_LIQUIDATION:
            return replace(told, net_liquidation=amount)
        case _:
            return told


def _without_answer(told: BrokerSnapshot, query: str) -> BrokerSnapshot:
    """A query that failed: its list is empty, and it does not count as answered."""
    emptied = replace(told, answered=told.answered - {query})
    match query:
        case "positions":
            return replace(emptied, positions={})
        case "cash":
            return replace(emptied, cash={}, accrued={}, fx={})
        case "account":
            return replace(emptied, net_liquidation=None, excess_liquidity=None)
        case "open_orders":
            return replace(emptied, open_orders=())
        case "completed_orders":
            return replace(emptied, completed_orders=())
        case _:
            return replace(emptied, executions=())


def _relisted(told: BrokerSnapshot, subject: str) -> BrokerSnapshot:
    """A holding left out of the list, or listed under another name (``OLD>NEW``)."""
    old, _, new = subject.partition(RENAMED)
    kept = {name: row for name, row in told.positions.items() if old not in (name, EVERY)}
    if new and old in told.positions:
        kept[new] = replace(told.positions[old], contract_id=new)
    return replace(told, positions=dict(sorted(kept.items())))


def _scaled_holding(told: BrokerSnapshot, fault: Fault) -> BrokerSnapshot:
    held = told.positions[fault.subject]
    if fault.kind is FaultKind.SCALED_QUANTITY:
        changed = replace(held, quantity=held.quantity * fault.amount)
    else:
        changed = replace(held, mark=None if held.mark is None else Decimal(held.mark * fault.amount))
    return replace(told, positions={**told.positions, fault.subject: changed})
