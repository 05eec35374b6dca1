"""A share that changed its id: read from the store, valued without a gap, held under the new id by both books."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from engine.model.market import SymbolChange
from engine.model.universe import Universe
from engine.simulation.facts import PanelFacts
from engine.simulation.panel import MarketPanel
from engine.simulation.pointintime import market_inputs
from tasks.adapters.simulated_market import PanelMarket
from tasks.adapters.store import SYMBOLS, open_store
from tasks.adapters.store_index import StoreIndex, StoreLine
from tasks.adapters.store_writing import store_draft
from tests.engine.simulation.worlds import instrument, session_table
from tests.real_data.source_folder import WEEK

CHANGE = SymbolChange(instrument_id="FB", new_instrument_id="META", effective=date(2023, 3, 8))
UNIVERSE = Universe(instruments=(instrument("FB"), instrument("META")))


def line(name: str, first: str, last: str) -> StoreLine:
    return StoreLine(
        instrument_id=name,
        kind="share",
        source="test",
        price_unit="USD",
        multiplier=None,
        total_return=False,
        borrow_available=True,
        first=date.fromisoformat(first),
        last=date.fromisoformat(last),
    )


@pytest.fixture
def panel(tmp_path: Path) -> MarketPanel:
    """FB closes at 100 and 101, then META at 103, 104 and 105."""
    days = np.array(WEEK, dtype="datetime64[D]")
    absent = dict.fromkeys(("open", "high", "low", "volume"), np.full(5, np.nan))
    lines = {"FB": (slice(0, 2), [100.0, 101.0]), "META": (slice(2, 5), [103.0, 104.0, 105.0])}
    with store_draft(tmp_path / "store") as draft:
        for name, (rows, closes) in lines.items():
            bars = {key: values[rows] for key, values in absent.items()}
            draft.write(f"daily/{name}.parquet", {"date": days[rows], "close": np.array(closes), **bars})
        draft.write(
            SYMBOLS,
            {
                "effective": np.array([CHANGE.effective], dtype="datetime64[D]"),
                "instrument": np.array([CHANGE.instrument_id]),
                "new_instrument": np.array([CHANGE.new_instrument_id]),
            },
        )
        index = StoreIndex(
            name="test",
            lines={
                "FB": line("FB", "2023-03-06", "2023-03-07"),
                "META": line("META", "2023-03-08", "2023-03-10"),
            },
            provenance={},
            notes=(),
        )
        draft.finish(index)
    return open_store(tmp_path / "store", UNIVERSE, date(2023, 3, 6), date(2023, 3, 10), session_table())


def test_store_names_the_change(panel: MarketPanel) -> None:
    assert panel.symbol_changes == (CHANGE,)


@pytest.mark.parametrize(
    ("day", "price"),
    [(8, "101"), (9, "103")],  # on the morning of the change the old id's close, then its own
)
def test_new_id_has_a_mark_from_its_first_morning(panel: MarketPanel, day: int, price: str) -> None:
    as_of = datetime(2023, 3, day, 6, tzinfo=UTC)
    marks = market_inputs(panel, UNIVERSE, session_table(), as_of.date(), as_of, ("META",), {}).marks
    assert marks["META"].price == Decimal(price)


def test_new_id_is_unknown_the_day_before(panel: MarketPanel) -> None:
    as_of = datetime(2023, 3, 7, 6, tzinfo=UTC)
    marks = market_inputs(panel, UNIVERSE, session_table(), as_of.date(), as_of, ("FB",), {}).marks
    assert set(marks) == {"FB"}


def test_facts_of_the_day_tell_the_change_and_its_price(panel: MarketPanel) -> None:
    facts = PanelFacts(panel=panel, universe=UNIVERSE, sessions=session_table(), seed=1)
    market = PanelMarket(panel, UNIVERSE, session_table(), facts)
    found = market.day_facts(CHANGE.effective, ("FB",))
    assert (found.symbol_changes, found.morning_prices) == ((CHANGE,), {"FB": Decimal(101)})
    assert market.day_facts(date(2023, 3, 9), ("META",)).symbol_changes == ()
