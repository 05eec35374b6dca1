"""The near leg of a calendar spread: what makes one order the exchange of an old contract for a new one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class NearLeg:
    """The leg in the old contract: its own parent order, and its mid on arrival in quote units.

    It trades the quantity of the spread on the side opposite to the far leg's.
    """

    intent_id: str
    contract_id: str
    arrival_mid: Decimal


def leg_in(near: NearLeg | None, contract_id: str) -> NearLeg | None:
    """The near leg when the contract is its, ``None`` when it is the order's own."""
    return near if near is not None and near.contract_id == contract_id else None


def near_leg_key(order_ref: str, contract_id: str) -> str:
    """Name under which the parent of a spread's near leg is kept beside that of the order itself."""
    return f"{order_ref}|{contract_id}"


def leg_parent(parents: Mapping[str, T], order_ref: str | None, contract_id: str | None) -> T | None:
    """Parent of an execution by its order and contract: of a spread each leg has its own."""
    found = parents.get(near_leg_key(order_ref or "", contract_id or ""))
    return parents.get(order_ref or "") if found is None else found
