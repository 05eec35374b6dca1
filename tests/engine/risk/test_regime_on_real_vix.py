import csv
import gzip
from datetime import date

import pytest

from engine.risk.regime import RegimeMemory, RegimeReading, RiskRegime, next_regime
from tests.engine.fund_factory import risk_policy
from tests.shared_data import require_shared_folder

ENTERED_AFTER = [
    date(2008, 9, 29),
    date(2010, 5, 7),
    date(2010, 5, 20),
    date(2011, 8, 8),
    date(2011, 8, 18),
    date(2011, 9, 22),
    date(2015, 8, 24),
    date(2020, 2, 28),
    date(2020, 6, 11),
]


@pytest.mark.shared
def test_crisis_by_vix_is_entered_after_exactly_the_known_closes() -> None:
    path = require_shared_folder() / "market_data" / "indices" / "indices_daily.csv.gz"
    with gzip.open(path, "rt") as lines:
        closes = [
            (date.fromisoformat(row["date"]), float(row["close"]))
            for row in csv.DictReader(lines)
            if row["symbol"] == "VIX" and row["date"] < "2020-09"
        ]
    memory, entered = RegimeMemory(), []
    for day, close in sorted(closes):
        reading = RegimeReading(vix=close, drawdown=0.0, trough=0.0)
        after = next_regime(reading, memory, risk_policy().regime)
        if after.regime is RiskRegime.CRISIS and memory.regime is not RiskRegime.CRISIS and day.year >= 2005:
            entered.append(day)
        memory = after
    assert entered == ENTERED_AFTER
