"""Writes the digests of some seeds' events that every run of the tests compares with.

``python -m tests.simulation.order_days.digests`` after a change that is meant to change what happens on a day.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.simulation.order_days.day import FaultedDay
from tests.simulation.order_days.drawing import draw

FIRST, LAST = 0, 20
FILE = Path(__file__).parent / "digests.json"


def main() -> None:
    """Live the seeds and write their digests."""
    lived = {str(seed): FaultedDay.begin(draw(seed)).live().digest for seed in range(FIRST, LAST)}
    text = json.dumps({"seeds": [FIRST, LAST], "digests": lived}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
