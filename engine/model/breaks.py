"""What can lie behind a difference of book and broker: the closed list of causes that a reconciliation names."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class BreakKind(Enum):
    """Name of a cause. The first group says that the broker's answer is not known; nothing trades on it."""

    UNANSWERED = "unanswered"
    LATE_ANSWER = "late-answer"
    EMPTY_ANSWER = "empty-answer"
    PARTIAL_ANSWER = "partial-answer"
    IMPOSSIBLE_NUMBER = "impossible-number"
    WRONG_ACCOUNT = "wrong-account"
    CURRENCY_WITHOUT_RATE = "currency-without-rate"
    VANISHED_ORDER = "vanished-order"

    MISSED_FILL = "missed-fill"
    CORRECTED_EXECUTION = "corrected-execution"
    BUSTED_EXECUTION = "busted-execution"
    DUPLICATE_FILL = "duplicate-fill"
    MANUAL_TRADE = "manual-trade"
    BROKER_LIQUIDATION = "broker-liquidation"
    UNLISTED_TRADE = "unlisted-trade"
    POSITION_TRANSFER = "position-transfer"
    UNKNOWN_CONTRACT = "unknown-contract"
    SPLIT = "split"
    SYMBOL_CHANGE = "symbol-change"
    ASSIGNMENT = "assignment"
    EXPIRY = "expiry"
    DELIVERY = "delivery"
    MULTIPLIER = "multiplier"
    FOREIGN_ORDER = "foreign-order"
    CHANGED_ORDER = "changed-order"
    REPEATED_ORDER = "repeated-order"
    REVIVED_ORDER = "revived-order"

    DIVIDEND = "dividend"
    TAX = "tax"
    COMMISSION = "commission"
    INTEREST = "interest"
    BORROW_FEE = "borrow-fee"
    VARIATION = "variation"
    CONVERSION = "conversion"
    SWEEP_CASH = "sweep-cash"
    PENCE = "pence"
    CASH_MOVEMENT = "cash-movement"
    ACCRUAL = "accrual"

    STALE_LIQUIDATION = "stale-liquidation"
    LIQUIDATION_DRIFT = "liquidation-drift"
    MARK_DIFFERENCE = "mark-difference"
    RATE_DIFFERENCE = "rate-difference"
    INVERTED_RATE = "inverted-rate"


BREAK_MEANINGS: Mapping[BreakKind, str] = MappingProxyType(
    {
        BreakKind.UNANSWERED: "the broker did not answer",
        BreakKind.LATE_ANSWER: "the answer tells of another time",
        BreakKind.EMPTY_ANSWER: "an empty list where the account holds something",
        BreakKind.PARTIAL_ANSWER: "a list that lacks what the account holds",
        BreakKind.IMPOSSIBLE_NUMBER: "a figure that is no number",
        BreakKind.WRONG_ACCOUNT: "the answer of another account",
        BreakKind.CURRENCY_WITHOUT_RATE: "money in a currency that has no rate",
        BreakKind.VANISHED_ORDER: "an order of ours that the broker no longer lists",
        BreakKind.MISSED_FILL: "an execution of our order that was not booked",
        BreakKind.CORRECTED_EXECUTION: "an execution that the broker corrected",
        BreakKind.BUSTED_EXECUTION: "an execution that the venue took back",
        BreakKind.DUPLICATE_FILL: "one execution counted twice",
        BreakKind.MANUAL_TRADE: "a trade made by hand",
        BreakKind.BROKER_LIQUIDATION: "a position that the broker closed",
        BreakKind.UNLISTED_TRADE: "a trade that the broker does not list",
        BreakKind.POSITION_TRANSFER: "a holding that came or went without money",
        BreakKind.UNKNOWN_CONTRACT: "a contract that the universe does not list",
        BreakKind.SPLIT: "a split or reverse split",
        BreakKind.SYMBOL_CHANGE: "a change of the symbol",
        BreakKind.ASSIGNMENT: "an option exercised or assigned",
        BreakKind.EXPIRY: "a contract that ended",
        BreakKind.DELIVERY: "a future that was delivered",
        BreakKind.MULTIPLIER: "a figure off by the contract's multiplier",
        BreakKind.FOREIGN_ORDER: "an order that is not ours",
        BreakKind.CHANGED_ORDER: "an order of ours with other terms",
        BreakKind.REPEATED_ORDER: "two orders under one of our references",
        BreakKind.REVIVED_ORDER: "an order that our book has ended and the broker works",
        BreakKind.DIVIDEND: "a dividend",
        BreakKind.TAX: "a tax",
        BreakKind.COMMISSION: "a commission",
        BreakKind.INTEREST: "interest",
        BreakKind.BORROW_FEE: "a fee of a share loan",
        BreakKind.VARIATION: "a daily settlement of a future",
        BreakKind.CONVERSION: "an exchange of currencies",
        BreakKind.SWEEP_CASH: "cash counted twice",
        BreakKind.PENCE: "pence taken for pounds",
        BreakKind.CASH_MOVEMENT: "money moved for a reason not known",
        BreakKind.ACCRUAL: "money owed that only one side counts",
        BreakKind.STALE_LIQUIDATION: "an old net liquidation value",
        BreakKind.LIQUIDATION_DRIFT: "figures of the broker that do not add up",
        BreakKind.MARK_DIFFERENCE: "two prices of one moment",
        BreakKind.RATE_DIFFERENCE: "two exchange rates of one moment",
        BreakKind.INVERTED_RATE: "an exchange rate upside down",
    }
)
"""Each cause as a person says it."""
