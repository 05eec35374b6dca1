"""``python -m tests.simulation.model_check [--large] [--broken]``: states, depth and violations; 1 when there is one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tests.simulation.model_check.exploring import Bounds, Explored, explore
from tests.simulation.model_check.policies import BROKEN

WORLDS = (
    Bounds(children=2, writers=2, ordered=1, halts=False),
    Bounds(children=1, writers=2, ordered=1),
    Bounds(children=2, writers=1, ordered=2, halts=False),
)
"""Explored in every run of the tests."""

LARGE = (
    Bounds(children=2, writers=1, ordered=2),
    Bounds(children=2, writers=2, ordered=1),
    Bounds(children=2, writers=2, ordered=2, halts=False),
)
"""Explored on request: minutes each."""


def broken_world(sought: str) -> Bounds:
    """Where a rule with a mistake is looked at; halts belong to I7 alone."""
    return Bounds(children=2, writers=2, ordered=1, halts=sought == "I7", alike=False)


def told(found: Explored) -> str:
    """An exploration as a person reads it."""
    bounds = found.bounds
    size = f"{bounds.children} children, {bounds.writers} writers, quantity {bounds.ordered}"
    halts = "with halts" if bounds.halts else "without halts"
    result = found.violation or "0 violations" + (
        f", {found.stuck:,} states never end" if found.stuck else ""
    )
    lines = [
        f"{found.policy.name} ({size}, {halts}): {found.states:,} states, {found.steps:,} steps, "
        f"depth {found.depth}, {result}, {found.seconds:.1f} s"
    ]
    lines += [f"  {number:2}. {text}" for number, text in enumerate(found.trace, start=1)]
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Explore the shipped rules and, when asked, those with a mistake."""
    parser = argparse.ArgumentParser(prog="model_check")
    parser.add_argument("--large", action="store_true", help="explore the larger worlds too")
    parser.add_argument("--broken", action="store_true", help="show what each rule with a mistake does")
    asked = parser.parse_args(arguments)
    is_good = True
    for bounds in (*WORLDS, *(LARGE if asked.large else ())):
        found = explore(bounds=bounds)
        print(told(found), flush=True)
        is_good = is_good and found.is_good
    for policy, sought in BROKEN if asked.broken else ():
        print(told(explore(policy, broken_world(sought), sought)), flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
