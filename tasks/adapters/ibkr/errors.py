"""What the broker's error codes mean, and what they do to an order: nothing, except that some announce a refusal.

A code never ends an order (R-63): the client library takes most of them for a cancel while the order works on. A code
with `refuses_order` asks for a look at the list of open orders, and only an order that is absent there was refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from engine.errors import BrokerRejected, BrokerUnavailable


class NotWritten(BrokerUnavailable):
    """The connection did not take a message: not one byte of it left."""


class RequestRefused(BrokerRejected):
    """The broker answered a request with a code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"the broker refused: {code} {text}")
        self.code = code


class ErrorClass(Enum):
    """What a code is about."""

    INFO = "info"
    RETRYABLE = "retryable"
    ORDER = "order"
    PERMISSION = "permission"
    PACING = "pacing"
    CONNECTIVITY = "connectivity"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule:
    """Meaning of one code, and whether it announces that a new order was refused."""

    kind: ErrorClass
    meaning: str
    refuses_order: bool = False


def _rules(
    kind: ErrorClass, codes: Mapping[int, str], *, refuses_order: bool = False
) -> dict[int, ErrorRule]:
    return {
        code: ErrorRule(kind=kind, meaning=meaning, refuses_order=refuses_order)
        for code, meaning in codes.items()
    }


ERROR_RULES: Mapping[int, ErrorRule] = {
    **_rules(ErrorClass.INFO, {
        165: "a query ended with a remark",
        202: "the order was cancelled; the status message tells it",
        399: "a remark about an order, which stays as it is",
        404: "shares are being located for a short sale; the order is held",
        434: "the size of an order was given in another way",
        492: "a remark about an algorithm",
        2109: "an attribute of the order does not apply here and was ignored",
        2161: "a remark about a fee",
        2168: "a remark about an attribute that was taken away",
        10349: "the time in force was set by a preset; the order works",
    }),
    **_rules(ErrorClass.RETRYABLE, {
        300: "no ticker of this number is subscribed",
        366: "no historical query of this number is under way",
    }),
    **_rules(ErrorClass.ORDER, {
        104: "an order that is filled can not be changed",
        105: "an order to be changed does not match the one that is there",
        106: "an order could not be handed on",
        135: "the broker does not find this order number",
        136: "this order can not be cancelled",
        161: "a cancel was asked for an order that can not be cancelled now",
        10147: "the broker does not find the order to cancel",
        10148: "the order can not be cancelled in its state",
    }),
    **_rules(ErrorClass.ORDER, {
        103: "the number of an order was used before",
        107: "an order is incomplete",
        109: "the price is out of the range that is allowed",
        110: "the price does not fit the contract's tick",
        113: "the time in force has to be DAY for an order on the close",
        200: "the contract is not known or not unique",
        201: "the order was rejected",
        203: "the contract may not be traded in this account",
        321: "the message failed a check",
        322: "the message could not be processed",
        325: "this kind of order is not taken here",
        328: "a trailing order needs a stop that is valid",
        329: "an order can not be changed to this kind",
        387: "this order type is not supported here",
        388: "the size is below the smallest that is taken",
        417: "the volatility order is not valid",
        436: "an account has to be named",
        451: "the contract of the order is not valid",
        460: "the account may not trade this",
        463: "the order's price is not valid",
        10052: "a time of the order's algorithm is not valid",
        10149: "the order's number is not valid",
        10268: "an attribute of the order is not supported",
        10318: "the order's quantity is not supported",
    }, refuses_order=True),
    **_rules(ErrorClass.PERMISSION, {
        354: "no market data subscription",
        10089: "market data needs a further subscription",
        10167: "no live market data; delayed data are shown instead",
        10168: "no market data subscription, and delayed data are not enabled",
        10197: "a competing session takes the market data",
        430: "the data of a contract are not for sale",
    }),
    **_rules(ErrorClass.PACING, {
        100: "too many messages a second",
        101: "too many market data lines",
        162: "historical data were refused: asked too often, or there are none",
        420: "real-time data were asked for too often",
    }),
    **_rules(ErrorClass.CONNECTIVITY, {
        326: "the client id is in use",
        502: "no connection could be made",
        504: "there is no connection",
        507: "the connection was cut by a message that nobody understood",
        1100: "the gateway lost its broker",
        1101: "the gateway found its broker again, subscriptions are lost",
        1102: "the gateway found its broker again, subscriptions live on",
        1300: "the gateway's port changed: it will be gone",
        2100: "the account's updates were taken over by another client",
        2103: "a market data farm is gone",
        2104: "a market data farm is there",
        2105: "a historical data farm is gone",
        2106: "a historical data farm is there",
        2107: "a historical data farm sleeps until it is asked",
        2108: "a market data farm sleeps until it is asked",
        2110: "the gateway lost its broker's server",
        2157: "the farm of contract definitions is gone",
        2158: "the farm of contract definitions is there",
    }),
}  # fmt: skip

CLIENT_ID_IN_USE = 326
LINK_LOST = frozenset({1100, 1300, 2110})
LINK_RESTORED = frozenset({1101, 1102})
_WARNINGS = range(2100, 2200)


def rule_of(code: int) -> ErrorRule:
    """Meaning of a code. One that the table does not have says nothing about an order: it asks for a look."""
    known = ERROR_RULES.get(code)
    if known is not None:
        return known
    if code in _WARNINGS:
        return ErrorRule(kind=ErrorClass.INFO, meaning="a remark")
    return ErrorRule(kind=ErrorClass.ORDER, meaning="a code that is not in our table", refuses_order=True)
