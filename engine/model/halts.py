"""Why trading stops, and what a person may answer: the closed lists behind every HALT."""

from __future__ import annotations

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
    STALE_MARK = "stale-mark"
    MARK_DIFFERENCE = "mark-difference"
    UNKNOWN_ORDER = "unknown-order"
    DATA_QUALITY = "data-quality"
    BRIDGE_RESIDUAL = "bridge-residual"
    OVERFILL = "overfill"
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


_RETRY = (HaltChoice.RETRY, HaltChoice.ABANDON_DAY)
_ADOPT = (HaltChoice.ADOPT_BROKER, *_RETRY)
_MARK = (HaltChoice.MARK_MANUALLY, *_RETRY)
_AGAIN = (HaltChoice.RETRY,)

ALLOWED_CHOICES = MappingProxyType(
    {
        HaltKind.UNANSWERED: _RETRY,
        HaltKind.MISSED_FILL: _ADOPT,
        HaltKind.FOREIGN_POSITION: _ADOPT,
        HaltKind.CASH_BREAK: _ADOPT,
        HaltKind.NLV_DRIFT: _RETRY,
        HaltKind.STALE_FX: _RETRY,
        HaltKind.FX_JUMP: _RETRY,
        HaltKind.FX_DIFFERENCE: _RETRY,
        HaltKind.NAN_PRICE: _AGAIN,
        HaltKind.PRICE_JUMP: _MARK,
        HaltKind.STALE_MARK: (HaltChoice.ABANDON_DAY, HaltChoice.MARK_MANUALLY, HaltChoice.WRITE_DOWN),
        HaltKind.MARK_DIFFERENCE: _MARK,
        HaltKind.UNKNOWN_ORDER: _RETRY,
        HaltKind.DATA_QUALITY: _AGAIN,
        HaltKind.BRIDGE_RESIDUAL: _AGAIN,
        HaltKind.OVERFILL: _AGAIN,
        HaltKind.KILL_SWITCH: _AGAIN,
        HaltKind.OPERATOR: _AGAIN,
    }
)
"""First the choice that is proposed, then the others that the kind allows."""
