"""A session of the ib_async client against a gateway; run in its own environment with a port, it prints what it saw.

It knows nothing of ours: it connects, reads the account, names contracts, looks at quotes, trades, cancels. With a
price behind the port it only buys at that limit.
"""

import importlib.util
import json
import math
import sys
from collections.abc import Callable
from typing import Any

from ib_async import IB, Contract, Future, LimitOrder, Stock, Trade

PATIENCE = 15.0


def main(port: int) -> dict[str, Any]:
    """Everything of one session, by name."""
    ib = IB()
    ib.RaiseRequestErrors = True
    ib.connect("127.0.0.1", port, clientId=21, timeout=PATIENCE)
    seen: dict[str, Any] = {
        "has_ib_insync": importlib.util.find_spec("ib_insync") is not None,
        "version": ib.client.serverVersion(),
        "accounts": ib.managedAccounts(),
        "cash_before": cash(ib),
    }
    [cspx] = ib.qualifyContracts(Stock("CSPX", "SMART", "USD", primaryExchange="LSEETF"))
    assert cspx is not None
    chain = ib.reqContractDetails(Future("ES", exchange="CME", currency="USD"))
    seen |= {
        "cspx": [cspx.conId, cspx.primaryExchange],
        "chain": [row.contract.lastTradeDateOrContractMonth for row in chain if row.contract is not None],
        "multipliers": [row.contract.multiplier for row in chain if row.contract is not None],
    }
    [ticker] = ib.reqTickers(cspx)
    stream = ib.reqMktData(chain[0].contract)
    wait(ib, stream.hasBidAsk)
    seen |= {
        "quote": [ticker.bid, ticker.ask],
        "type": ticker.marketDataType,
        "future": [stream.bid, stream.ask],
    }
    ib.cancelMktData(chain[0].contract)

    rounded = ticks(ib, cspx)
    bought = ib.placeOrder(
        cspx, LimitOrder("BUY", 7, rounded(ticker.ask * 1.01), tif="DAY", orderRef="SECOND.1")
    )
    wait(ib, lambda: bought.isDone() and all(fill.commissionReport.execId for fill in bought.fills))
    resting = ib.placeOrder(
        cspx, LimitOrder("BUY", 3, rounded(ticker.bid * 0.95), tif="DAY", orderRef="SECOND.2")
    )
    wait(ib, lambda: resting.orderStatus.status == "Submitted")
    ib.cancelOrder(resting.order)
    wait(ib, resting.isDone)
    ib.reqPositions()
    seen |= {
        "bought": told(bought),
        "commission": [
            [fill.commissionReport.commission, fill.commissionReport.currency] for fill in bought.fills
        ],
        "resting": told(resting),
        "positions": {row.contract.localSymbol: row.position for row in ib.positions()},
        "executions": [fill.execution.orderRef for fill in ib.reqExecutions()],
        "completed": sorted(trade.order.orderRef for trade in ib.reqCompletedOrders(apiOnly=False)),
    }
    ib.disconnect()
    ib.connect("127.0.0.1", port, clientId=21, timeout=PATIENCE)
    seen["cash_after"] = cash(ib)
    ib.disconnect()
    return seen


def one_order(port: int, limit: float) -> dict[str, Any]:
    """One order that fills, and what the gateway lists of it."""
    ib = IB()
    ib.RaiseRequestErrors = True
    ib.connect("127.0.0.1", port, clientId=22, timeout=PATIENCE)
    [cspx] = ib.qualifyContracts(Stock("CSPX", "SMART", "USD", primaryExchange="LSEETF"))
    assert cspx is not None
    bought = ib.placeOrder(cspx, LimitOrder("BUY", 7, limit, tif="DAY", orderRef="SECOND.3"))
    wait(ib, lambda: bought.isDone() and all(fill.commissionReport.execId for fill in bought.fills))
    seen = {
        "version": ib.client.serverVersion(),
        "bought": told(bought),
        "executions": [
            [fill.execution.orderRef, fill.execution.pendingPriceRevision] for fill in ib.reqExecutions()
        ],
        "completed": [
            [trade.order.orderRef, trade.order.account, trade.orderStatus.status]
            for trade in ib.reqCompletedOrders(apiOnly=False)
        ],
    }
    ib.disconnect()
    return seen


def ticks(ib: IB, contract: Contract) -> Callable[[float], float]:
    """A rounding down to the contract's price grid, which changes with the price."""
    [details] = ib.reqContractDetails(contract)
    number = details.marketRuleIds.split(",")[
        details.validExchanges.split(",").index(contract.primaryExchange)
    ]
    rule = ib.reqMarketRule(int(number))

    def rounded(price: float) -> float:
        tick = max((row for row in rule if row.lowEdge <= price), key=lambda row: row.lowEdge).increment
        return round(math.floor(price / tick + 1e-9) * tick, 8)

    return rounded


def cash(ib: IB) -> str:
    """Cash in the account's own currency."""
    [row] = [row for row in ib.accountValues() if (row.tag, row.currency) == ("TotalCashBalance", "USD")]
    return row.value


def told(trade: Trade) -> list[Any]:
    """How an order ended: status, what it filled, at which prices."""
    return [trade.orderStatus.status, trade.filled(), [fill.execution.price for fill in trade.fills]]


def wait(ib: IB, holds: Any) -> None:
    """Hear the gateway until something holds; raises `TimeoutError`."""
    for _ in range(int(PATIENCE / 0.05)):
        if holds():
            return
        ib.sleep(0.05)
    raise TimeoutError("it did not come to hold")


if __name__ == "__main__":
    number, *price = sys.argv[1:]
    print(json.dumps(one_order(int(number), float(price[0])) if price else main(int(number))))
