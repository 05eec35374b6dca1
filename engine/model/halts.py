"""Why trading stops, and what a person may answer: the closed lists behind every HALT."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class HaltKind(Enum):
    """Name of what was found."""

    UNANSWERED = "unanswered"
    MISSED_FILL = "missed-fill"
    FOREIGN_POSITION = "foreign-position"
    CASH_BREAK = "cash-break"
    NLV_DRIFT = "nlv-drift"
    STALE_FX = "stale-fx"
    FX_JUMP = "fx-jump"
    FX_DIFFERENCE = "fx-difference"
    NAN_PRICE = "nan-price"
    PRICE_JUMP = "price-jump"
    PRICE_UNIT = "price-unit"
    STALE_MARK = "stale-mark"
    MARK_DIFFERENCE = "mark-difference"
    UNKNOWN_ORDER = "unknown-order"
    RESTORED = "restored-database"
    DATA_QUALITY = "data-quality"
    BRIDGE_RESIDUAL = "bridge-residual"
    OVERFILL = "overfill"
    UNFORESEEN = "unforeseen"
    DRAWDOWN = "drawdown"
    KILL_SWITCH = "kill-switch"
    OPERATOR = "operator"


class HaltChoice(Enum):
    """What a person may decide; every choice is booked with its reason and operator."""

    ADOPT_BROKER = "adopt-broker"
    ADOPT_BOOK = "adopt-book"
    RETRY = "retry"
    MARK_MANUALLY = "mark-manually"
    WRITE_DOWN = "write-down"
    ABANDON_DAY = "abandon-day"
    FLATTEN = "flatten"


_RETRY = (HaltChoice.RETRY,)
_WAIT = (*_RETRY, HaltChoice.ABANDON_DAY)
_ADOPT = (HaltChoice.ADOPT_BROKER, *_RETRY)
_MARK = (HaltChoice.MARK_MANUALLY, *_RETRY)

ALLOWED_CHOICES: Mapping[HaltKind, tuple[HaltChoice, ...]] = MappingProxyType(
    {
        HaltKind.UNANSWERED: _RETRY,
        HaltKind.MISSED_FILL: _ADOPT,
        HaltKind.FOREIGN_POSITION: _ADOPT,
        HaltKind.CASH_BREAK: _ADOPT,
        HaltKind.NLV_DRIFT: _RETRY,
        HaltKind.STALE_FX: _WAIT,
        HaltKind.FX_JUMP: _WAIT,
        HaltKind.FX_DIFFERENCE: _RETRY,
        HaltKind.NAN_PRICE: (HaltChoice.RETRY, HaltChoice.MARK_MANUALLY),
        HaltKind.PRICE_JUMP: (HaltChoice.MARK_MANUALLY, HaltChoice.RETRY, HaltChoice.ABANDON_DAY),
        HaltKind.PRICE_UNIT: _MARK,
        HaltKind.STALE_MARK: (HaltChoice.ABANDON_DAY, HaltChoice.MARK_MANUALLY, HaltChoice.WRITE_DOWN),
        HaltKind.MARK_DIFFERENCE: _MARK,
        HaltKind.UNKNOWN_ORDER: _RETRY,
        HaltKind.RESTORED: _RETRY,
        HaltKind.DATA_QUALITY: _RETRY,
        HaltKind.BRIDGE_RESIDUAL: _RETRY,
        HaltKind.OVERFILL: _RETRY,
        HaltKind.UNFORESEEN: _RETRY,
        HaltKind.DRAWDOWN: (HaltChoice.ABANDON_DAY, HaltChoice.FLATTEN),
        HaltKind.KILL_SWITCH: _RETRY,
        HaltKind.OPERATOR: _RETRY,
    }
)
"""First the choice that is proposed, then the others that the kind allows.

Nothing is offered that would stop again at the same place: a day can be abandoned (valued, and only reduced) where
the fund can be valued and the book is the broker's. A price that is no number leaves nothing to value with, so that
day can not be abandoned; a price must be given, or come.
"""

HALT_NAMES: Mapping[HaltKind, str] = MappingProxyType(
    {
        HaltKind.UNANSWERED: "Broker without an answer",
        HaltKind.MISSED_FILL: "Missed fill",
        HaltKind.FOREIGN_POSITION: "Foreign position",
        HaltKind.CASH_BREAK: "Cash break",
        HaltKind.NLV_DRIFT: "Net liquidation value drift",
        HaltKind.STALE_FX: "Stale exchange rates",
        HaltKind.FX_JUMP: "Exchange rate jump",
        HaltKind.FX_DIFFERENCE: "Exchange rate difference",
        HaltKind.NAN_PRICE: "Price that is not a number",
        HaltKind.PRICE_JUMP: "Price jump",
        HaltKind.PRICE_UNIT: "Price in another unit",
        HaltKind.STALE_MARK: "Stale prices",
        HaltKind.MARK_DIFFERENCE: "Price difference",
        HaltKind.UNKNOWN_ORDER: "Unknown order",
        HaltKind.RESTORED: "Restored database",
        HaltKind.DATA_QUALITY: "Data quality",
        HaltKind.BRIDGE_RESIDUAL: "Unexplained change of NAV",
        HaltKind.OVERFILL: "Overfill",
        HaltKind.UNFORESEEN: "Unforeseen event",
        HaltKind.DRAWDOWN: "Drawdown limit",
        HaltKind.KILL_SWITCH: "Kill switch",
        HaltKind.OPERATOR: "Halt by an operator",
    }
)
"""Each kind as a person says it."""

WHAT_TO_DO: Mapping[HaltKind, str] = MappingProxyType(
    {
        HaltKind.UNANSWERED: "wait until the broker answers, then retry",
        HaltKind.MISSED_FILL: "compare with the broker's statement, then adopt the broker to book the execution",
        HaltKind.FOREIGN_POSITION: "find out who traded, then adopt the broker to book the position",
        HaltKind.CASH_BREAK: "ask the broker what was booked, then adopt the broker to book the same",
        HaltKind.NLV_DRIFT: "wait until the broker's own figures add up, then retry",
        HaltKind.STALE_FX: "retry when the rates flow again, or abandon the day: it is valued at the old rates and only reduced",
        HaltKind.FX_JUMP: "retry when a second source confirms the rate, or abandon the day",
        HaltKind.FX_DIFFERENCE: "find out whose rate is right, then retry",
        HaltKind.NAN_PRICE: "retry when the source has corrected its row, or give the price yourself by marking manually; "
        "without a price the fund has no value, so the day can not be abandoned",
        HaltKind.PRICE_JUMP: "give the right price by marking manually (the same price to confirm it), retry when "
        "the source has corrected its row, or abandon the day: it is valued at the new price and only reduced",
        HaltKind.PRICE_UNIT: "give the right price by marking manually (the same price to confirm it), or retry when "
        "the source has corrected its unit; at such a price the fund has no value, so the day can not be abandoned",
        HaltKind.STALE_MARK: "abandon the day (only reductions are traded), give prices by marking manually, "
        "or write the positions down",
        HaltKind.MARK_DIFFERENCE: "give the right price by marking manually, or retry when both agree",
        HaltKind.UNKNOWN_ORDER: "cancel that order at the broker, then retry",
        HaltKind.RESTORED: "take in the broker's statements of all that was lost (./fund statement import), set again what "
        "was stopped meanwhile, then retry; where the newest database still exists, put it back instead",
        HaltKind.DATA_QUALITY: "correct the rows that are named, then retry",
        HaltKind.BRIDGE_RESIDUAL: "find the posting or the price that is missing, then retry",
        HaltKind.OVERFILL: "settle with the broker what was filled, then retry",
        HaltKind.UNFORESEEN: "compare what is named with the broker's own list of orders and executions, then retry: "
        "the next attempt finds what became of every order before it sends anything",
        HaltKind.DRAWDOWN: "decide for today: abandon the day (what is held may only shrink), or flatten (all of it is closed)",
        HaltKind.KILL_SWITCH: "release the kill switch, then retry",
        HaltKind.OPERATOR: "retry when whoever stopped the fund agrees",
    }
)
"""What a person should do about each kind, as the end of a sentence."""

CHOICE_MEANINGS: Mapping[HaltChoice, str] = MappingProxyType(
    {
        HaltChoice.ADOPT_BROKER: "book what the broker has",
        HaltChoice.ADOPT_BOOK: "keep our book",
        HaltChoice.RETRY: "try again: what was wrong is over",
        HaltChoice.MARK_MANUALLY: "value with prices that you give",
        HaltChoice.WRITE_DOWN: "value at a lower price that you give, zero included",
        HaltChoice.ABANDON_DAY: "take no new risk today: only reductions are traded",
        HaltChoice.FLATTEN: "close every position",
    }
)
"""What each choice does, in a few words."""
