"""An option that is held stays quoted when the market has moved away from its strike."""

from datetime import UTC, date, datetime

from engine.accounting.nav import option_risks
from engine.simulation.pointintime import market_inputs
from tests.engine.simulation.worlds import option_ranges, sessions, universe, world

DAY = date(2026, 10, 20)
FAR = "SPX_OPT_20270115_P_1000"


def test_held_option_outside_the_listed_strikes_has_a_quote_and_a_mark() -> None:
    at = datetime(2026, 10, 20, 6, tzinfo=UTC)
    panel, lines, table = world(), universe(), sessions()
    without = market_inputs(panel, lines, table, DAY, at, (), option_ranges())
    assert FAR not in option_risks(without.option_chains)
    inputs = market_inputs(panel, lines, table, DAY, at, (FAR,), option_ranges())
    risk = option_risks(inputs.option_chains)[FAR]
    assert -0.05 < risk.delta <= 0  # a put far below the market hardly moves
    assert inputs.marks[FAR].price >= 0
