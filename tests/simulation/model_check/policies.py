"""The shipped rules, and rules with one known mistake each (REL-5.4): a check that can not fail proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Resend(Enum):
    """When a restart sends an order again that was claimed and whose outcome it does not know."""

    NEVER = "never"
    ALWAYS = "always"
    NOT_OPEN = "when it is not among the open orders"
    NOT_EXECUTED = "when it is neither open nor executed"
    NOT_COMPLETED = "when it is neither open nor executed nor completed"


class Proof(Enum):
    """What is asked before a doubtful order counts as absent."""

    SHIPPED = "the shipped rule"
    NEVER = "nothing is ever proved"
    ANY_DAY = "the shipped rule without the day and the position"
    ANY_DAY_WITH_POSITION = "the shipped rule without the day"
    IMPATIENT = "two looks without waiting for what is under way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How the writers behave; the defaults are what is shipped."""

    name: str = "as shipped"
    writes_ahead: bool = True
    compares_and_sets: bool = True
    has_fence: bool = True
    has_latch: bool = True
    resends: Resend = Resend.NEVER
    proof: Proof = Proof.SHIPPED


SHIPPED = Policy()

SAFE = (
    (Policy(name="F: absence is never proved", proof=Proof.NEVER), ""),
    (Policy(name="F without the fence", proof=Proof.NEVER, has_fence=False), ""),
    (Policy(name="proof over midnight, with the position", proof=Proof.ANY_DAY_WITH_POSITION), ""),
    (Policy(name="no compare-and-set, but the fence", compares_and_sets=False), "I1"),
)
"""Weaker rules, and the invariants that they still keep ("" for all): each defence covers the other's assumption."""

BROKEN = (
    (Policy(name="A0: sent before it is committed", writes_ahead=False), "I2"),
    (Policy(name="A: resent blindly", resends=Resend.ALWAYS), "I1"),
    (Policy(name="B: resent when absent from the open orders", resends=Resend.NOT_OPEN), "I1"),
    (Policy(name="C: and from the executions", resends=Resend.NOT_EXECUTED), "I1"),
    (Policy(name="D: and from the completed orders", resends=Resend.NOT_COMPLETED), "I1"),
    (Policy(name="Q: proof over midnight without the position", proof=Proof.ANY_DAY), "I2"),
    (Policy(name="proof before the quiet time", proof=Proof.IMPATIENT), "I2"),
    (Policy(name="two writers without compare-and-set", compares_and_sets=False, has_fence=False), "I2"),
    (Policy(name="two writers and a proof without the fence", has_fence=False), "I2"),
    (Policy(name="a halt without the latch", has_latch=False), "I7"),
)
"""Rules with a known mistake, and the invariant that each has to break."""
