"""The client library's contracts, orders and executions in our words: exact numbers, times in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from ib_insync.contract import Contract
from ib_insync.objects import Execution
from ib_insync.order import Order, OrderState

from tasks.adapters.ibkr.records import (
    ContractShown,
    ExecutionShown,
    LegShown,
    OrderShown,
    contract_expiry,
    exact,
    exact_if_set,
)


def contract_shown(contract: Contract) -> ContractShown:
    """A contract in our words."""
    return ContractShown(
        con_id=contract.conId,
        symbol=contract.symbol,
        security_type=contract.secType,
        expiry=contract_expiry(contract.lastTradeDateOrContractMonth),
        strike=exact(contract.strike or 0),
        right=contract.right,
        multiplier=contract.multiplier,
        currency=contract.currency,
        local_symbol=contract.localSymbol,
        trading_class=contract.tradingClass,
    )


def order_shown(order: Order, contract: Contract, state: OrderState, *, is_completed: bool) -> OrderShown:
    """An order in our words."""
    filled = exact_if_set(order.filledQuantity) if is_completed else None
    return OrderShown(
        order_id=order.orderId,
        client_id=order.clientId,
        perm_id=order.permId,
        order_ref=order.orderRef,
        account=order.account,
        contract=contract_shown(contract),
        legs=tuple(LegShown(con_id=leg.conId, action=leg.action) for leg in contract.comboLegs or ()),
        action=order.action,
        quantity=exact(order.totalQuantity),
        limit_price=exact_if_set(order.lmtPrice),
        status=state.status,
        filled=filled,
        is_completed=is_completed,
        text=state.completedStatus if is_completed else state.warningText,
    )


def execution_shown(contract: Contract, execution: Execution) -> ExecutionShown:
    """An execution in our words."""
    at: datetime = execution.time
    return ExecutionShown(
        execution_id=execution.execId,
        order_id=execution.orderId,
        client_id=execution.clientId,
        perm_id=execution.permId,
        order_ref=execution.orderRef,
        account=execution.acctNumber,
        contract=contract_shown(contract),
        side=execution.side,
        quantity=exact(execution.shares),
        price=exact(execution.price),
        at=at.astimezone(UTC),
    )
