from pathlib import Path

from engine.model.context import RunKind
from tasks.options import WorldOptions
from tasks.runtime import World
from tests.factories import DAYS, run


def test_protection_that_no_market_offers_is_an_alert_of_the_run(tmp_path: Path) -> None:
    options = WorldOptions(
        profile="fund",
        first=DAYS[0],
        last=DAYS[0],
        home=tmp_path,
        overrides=("hedges.min_open_interest=1000000000",),
    )
    world = World(options)
    outcome = run(world, DAYS[0], RunKind.DECISION)
    alerts = world.records.rows("alerts", run_id=outcome.run_id)
    world.close()
    told = [row for row in alerts if "no liquid option in range on" in str(row["message"])]
    assert {row["level"] for row in told} == {"WARNING"}
    assert {str(row["message"]).partition(":")[0] for row in told} >= {"equity_puts", "credit_puts"}
    assert len(told) == len({row["alert_id"] for row in told})
