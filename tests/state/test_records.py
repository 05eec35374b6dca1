from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import Boolean, Date, Double, Integer, LargeBinary, Table, select
from sqlalchemy.exc import IntegrityError

from engine.errors import InvariantError
from engine.model.context import RunKind
from engine.model.market import FxRate, FxRates
from engine.model.orders import TargetBook, TargetLine
from engine.model.portfolio import CashBasis, LineValue, Valuation
from state.columns import Micros, Moment, Payload, Price
from state.database import Database
from state.ledger import LedgerStore
from state.recording_trades import target_rows
from state.records import RECORD_TABLES, RecordStore, Value
from state.runs import RunStore
from state.tables import metadata
from tests.engine.accounting.builders import bought
from tests.state.builders import (
    ACCOUNT,
    DAY,
    NOW,
    make_child,
    make_deposit,
    make_intent,
    make_key,
    open_orders,
    plan,
)

D = Decimal
NAMED_BY_THE_REQUIREMENTS = {
    "market_data", "signals", "positions", "orders", "portfolio", "alerts", "runs", "reconciliations", "fx_rates",
    "cash", "execution_jobs", "order_tickets", "fills", "overlays", "hedges", "premium_budget", "regime_state",
    "risk_decisions", "gating_decisions", "slippage_stats", "borrow_quotes", "incidents", "executions",
    "analytics_daily", "sleeve_ledger", "targets", "config_versions", "acks", "instruments", "recon_breaks",
    "signal_metrics", "screen_results", "risk_state", "intents", "order_events", "atomic_groups",
    "execution_analytics", "premium_ledger", "crisis_episodes", "dividends", "carry_daily", "nav_history",
}  # fmt: skip
CHOSEN = {
    ("cash", "basis"): "SETTLED",
    ("risk_state", "control_state"): "ACTIVE",
    ("screen_results", "side"): "LONG",
    ("gating_decisions", "reason"): "rebalance",
    ("overlays", "status"): "OPEN",
    ("atomic_groups", "status"): "OPENING",
    ("alerts", "level"): "INFO",
}


@pytest.fixture
def run_id(database: Database) -> str:
    return RunStore(database).claim(make_key(), NOW, "code", "config").run_id


def sample(table: Table, run_id: str) -> dict[str, Value]:
    values: dict[type, Value] = {
        Micros: D("1.000001"),
        Price: D("1.000000000001"),
        Moment: NOW,
        Payload: b"{}",
        Date: DAY,
        Integer: 1,
        Double: 0.25,
        Boolean: True,
        LargeBinary: b"",
    }
    row: dict[str, Value] = {}
    for column in table.columns:
        if column.name == "created_at":
            continue
        kinds = [value for kind, value in values.items() if isinstance(column.type, kind)]
        row[column.name] = CHOSEN.get((table.name, column.name), kinds[0] if kinds else "x")
    return {**row, "run_id": run_id}


def every_row(database: Database, run_id: str) -> list[tuple[str, dict[str, Value]]]:
    """A row for each table; the rows that they refer to are written."""
    store = open_orders(database)
    store.save_intents(DAY, (make_intent("x"),))
    plan(store, replace(make_child(make_intent("x")), order_ref="x"))
    return [
        (name, sample(RECORD_TABLES[name], run_id)) for name in sorted(RECORD_TABLES, key=_after_its_parents)
    ]


def _after_its_parents(name: str) -> tuple[bool, str]:
    return name == "acks", name


def test_every_table_that_the_requirements_name_exists() -> None:
    assert NAMED_BY_THE_REQUIREMENTS - set(metadata.tables) == set()


def test_row_of_every_table_comes_back_and_a_second_one_replaces_it(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    for table, row in every_row(database, run_id):
        for _ in range(2):
            assert store.save(table, [row]) == 1
        (found,) = store.rows(table)
        assert isinstance(found["created_at"], datetime)
        assert {name: value for name, value in found.items() if name != "created_at"} == row, table


def test_key_of_every_table_is_unique_and_its_run_exists(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    for table, row in every_row(database, run_id):
        store.save(table, [row])
        with pytest.raises(IntegrityError), database.transaction() as connection:
            connection.execute(RECORD_TABLES[table].insert().values(**row))
        with pytest.raises(IntegrityError):
            store.save(table, [{**row, "run_id": "nobody"}])


def test_word_outside_a_closed_set_is_refused(database: Database, run_id: str) -> None:
    rows = dict(every_row(database, run_id))
    for table, column in CHOSEN:
        with pytest.raises(IntegrityError):
            RecordStore(database).save(table, [{**rows[table], column: "guess"}])


def test_unknown_missing_or_different_columns_are_refused(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    row: dict[str, Value] = {
        "at": NOW,
        "pair": "EURUSD",
        "source": "test",
        "rate": D("1.17"),
        "run_id": run_id,
    }
    with pytest.raises(InvariantError, match=r"unknown \['rat'\], missing \['rate'\]"):
        store.save("fx_rates", [{**{k: v for k, v in row.items() if k != "rate"}, "rat": D(1)}])
    with pytest.raises(InvariantError, match="same, complete columns"):
        store.save("fx_rates", [row, {k: v for k, v in row.items() if k != "run_id"}])
    with pytest.raises(InvariantError, match="'orders'"):
        store.save("orders", [])
    with pytest.raises(InvariantError, match="no column colour"):
        store.rows("fx_rates", colour="red")


def test_rows_are_chosen_by_their_columns_in_the_order_of_the_key(database: Database, run_id: str) -> None:
    store = RecordStore(database)
    days = [date(2025, 12, day) for day in (3, 1, 2)]
    store.save(
        "analytics_daily",
        [{"account": ACCOUNT, "trade_date": day, "metric": "cost", "figure": 0.5} for day in days],
    )
    assert [row["trade_date"] for row in store.rows("analytics_daily", metric="cost")] == sorted(days)
    assert store.rows("analytics_daily", trade_date=date(2026, 1, 1)) == ()


def test_configuration_is_kept_once_under_its_digest(database: Database) -> None:
    store = RecordStore(database)
    first = store.save_configuration(b"vol_target: 0.12")
    assert store.save_configuration(b"vol_target: 0.12") == first
    (row,) = store.rows("config_versions")
    assert (row["digest"], row["content"]) == (first, b"vol_target: 0.12")


def test_exchange_rates_are_kept_exactly(database: Database, run_id: str) -> None:
    rates = FxRates(
        as_of=NOW,
        rates={"EURUSD": FxRate(pair="EURUSD", rate=D("1.1723456789"), observed_at=NOW, source="test")},
    )
    RecordStore(database).save_fx(run_id, rates)
    assert RecordStore(database).rows("fx_rates", pair="EURUSD")[0]["rate"] == D("1.1723456789")


def rates_of(source: str, **pairs: str) -> FxRates:
    rates = {
        pair: FxRate(pair=pair, rate=D(rate), observed_at=NOW, source=source) for pair, rate in pairs.items()
    }
    return FxRates(as_of=NOW, rates=rates)


def test_rates_of_a_refresh_stay_with_the_run_that_saw_them_and_with_their_source(
    database: Database, run_id: str
) -> None:
    store = RecordStore(database)
    later = RunStore(database).claim(make_key(kind=RunKind.CLOSE), NOW, "code", "config").run_id
    store.save_fx(run_id, rates_of("world 1", EURUSD="1.16", GBPUSD="1.30"))
    store.save_fx(later, rates_of("world 1", EURUSD="1.99"))
    store.save_fx(later, rates_of("world 2", EURUSD="1.18"))
    store.save_fx(run_id, rates_of("world 1", EURUSD="1.17", GBPUSD="1.31"))  # a second attempt
    rows = [(row["pair"], row["source"], row["rate"], row["run_id"]) for row in store.rows("fx_rates")]
    assert sorted(rows) == [
        ("EURUSD", "world 1", D("1.17"), run_id),
        ("EURUSD", "world 2", D("1.18"), later),
        ("GBPUSD", "world 1", D("1.31"), run_id),
    ]


def test_valuation_fills_cash_positions_portfolio_and_history(database: Database, run_id: str) -> None:
    ledger = LedgerStore(database)
    ledger.post(ACCOUNT, (make_deposit("1000"), bought("AAPL", "2", "100")))
    store = RecordStore(database)
    for _ in range(2):
        store.save_valuation(run_id, ACCOUNT, ledger.portfolio(ACCOUNT, NOW), _valuation())
    assert [row["amount"] for row in store.rows("cash", currency="USD")] == [800]
    (held,) = store.rows("positions")
    assert (held["contract_id"], held["quantity"], held["mark"]) == ("AAPL", 2, 110)
    assert [row["nav"] for row in store.rows("portfolio", account=ACCOUNT)] == [1020]
    assert [row["unit_price"] for row in store.rows("nav_history")] == [102]


def test_targets_are_kept_by_contract_and_sleeve(database: Database, run_id: str) -> None:
    line = TargetLine(
        sleeve="core_index_rv",
        instrument_id="ES",
        contract_id="ES_20251219",
        weight=0.35,
        notional_usd=D("3500000"),
        quantity=D(10),
        group=None,
    )
    store = RecordStore(database)
    store.save_all(target_rows(run_id, TargetBook(lines=(line,), held={}, notes=())))
    (row,) = store.rows("targets", run_id=run_id)
    assert (row["quantity"], row["weight"]) == (10, 0.35)


def test_database_writes_when_a_row_was_made(database: Database, run_id: str) -> None:
    RecordStore(database).save_configuration(b"x", run_id)
    with database.read() as connection:
        made = connection.execute(select(RECORD_TABLES["config_versions"].c.created_at)).scalar_one()
    assert made.utcoffset().total_seconds() == 0


def _valuation() -> Valuation:
    line = LineValue(
        contract_id="AAPL",
        instrument_id="AAPL",
        currency="USD",
        quantity=D(2),
        mark=D(110),
        stale_sessions=0,
        value=D(220),
        value_usd=D(220),
        exposure=D(220),
        exposure_usd=D(220),
    )
    return Valuation(
        as_of=NOW,
        trade_date=DAY,
        basis=CashBasis.SETTLED,
        nav=D(1020),
        cash_usd=D(800),
        accruals_usd=D(0),
        lines=(line,),
        currency_values={"USD": D(1020)},
        fx={"USD": D(1)},
        long_exposure=D(220),
        short_exposure=D(0),
        fx_hedge_gross=D(0),
        flagged_gross=D(0),
        units=D(10),
    )
