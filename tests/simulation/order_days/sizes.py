"""How much of the faulted days a run of the tests lives: all that `.ci/run` promises, or a part of it.

``FUND_FAULTED_DAYS=all`` lives two thousand seeds, five hundred pairs of kills and every single kill of a scenario.
"""

from __future__ import annotations

import os

ALL = "all" in (os.environ.get("FUND_FAULTED_DAYS"), os.environ.get("FUND_CAMPAIGN", "").replace("1", "all"))
SEEDS = 2_000 if ALL else 200
PAIRS = 500 if ALL else 30
EVERY_EFFECT = 1 if ALL else 5
