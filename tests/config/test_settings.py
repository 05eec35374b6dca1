import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from config import broker_sections, carry_sections, execution_sections, sections, settings
from config.settings import load_configuration, load_settings, profile_names, schema_text
from engine.errors import ConfigurationError
from tests.config.folders import copied_configuration, edit


@pytest.mark.parametrize(
    ("profile", "mode"),
    [("fund", "simulated"), ("history", "simulated"), ("paper", "paper"), ("live", "live")],
)
def test_profile_sets_the_mode(profile: str, mode: str) -> None:
    assert load_settings(profile).mode == mode


def test_weight_of_35_is_refused_with_file_line_and_guess(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    line = edit(root / "settings.yaml", "core_index_rv: 0.35", "core_index_rv: 35")

    with pytest.raises(ConfigurationError) as failure:
        load_settings("fund", root=root)

    text = str(failure.value)
    assert f"expected a fraction between 0 and 1, found 35 at settings.yaml line {line}" in text
    assert "did you mean 0.35?" in text
    assert failure.value.exit_status == 2


def test_unknown_key_names_the_nearest_the_file_and_the_line(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    line = edit(root / "settings.yaml", "  halt_threshold_pct: ", "  halt_treshold_pct: ")

    with pytest.raises(ConfigurationError) as failure:
        load_settings("fund", root=root)

    assert (
        f'found "reconciliation.halt_treshold_pct" at settings.yaml line {line};'
        ' did you mean "halt_threshold_pct"?' in str(failure.value)
    )


def test_class_without_a_collar_is_refused_before_any_order_could_miss_it(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    edit(root / "settings.yaml", "ETF: 10, STK: 12, FUT: 3", "ETF: 10, STK: null, FUT: 3")

    with pytest.raises(ConfigurationError, match="expected a collar in bps for STK, found none"):
        load_settings("fund", root=root)


def test_halt_that_would_be_noticed_too_late_is_refused(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    edit(root / "settings.yaml", "  poll_interval_seconds: 5 ", "  poll_interval_seconds: 86400 ")

    with pytest.raises(ConfigurationError, match="at most 300 seconds"):
        load_settings("fund", root=root)


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ("  dd_kill: -0.15\n", "", "loss_ladder.dd_kill"),
        ("vol_target_annual: 0.12", "", "vol_target_annual"),
        (", FUT: 0.5,", ",", "FUT"),
        ("  CRISIS: 0.3\n", "", "CRISIS"),
        ("  gate_order_pct_nav: 0.30 ", "# ", "execution_safety.gate_order_pct_nav"),
        ("  max_orders_per_day: 400 ", "# ", "execution_safety.max_orders_per_day"),
    ],
)
def test_limit_without_a_value_has_no_default(tmp_path: Path, old: str, new: str, missing: str) -> None:
    root = copied_configuration(tmp_path)
    edit(root / "settings.yaml", old, new)

    with pytest.raises(ConfigurationError, match="expected a value for") as failure:
        load_settings("fund", root=root)

    assert missing in str(failure.value)


MAY_BE_ABSENT = {
    "StyleChoice": {
        "instruments",
        "venues",
        "asset_classes",
        "reasons",
        "urgencies",
    },  # an empty list names all
    "LegPeriod": {"from_", "to", "instruments", "name_list"},
    "WithholdingPeriod": {"to", "treaty"},
}
"""Fields that have a default, beside where a period begins and ends: none of them is a limit."""


def test_no_limit_has_a_default_that_a_missing_key_would_take() -> None:
    modules = (broker_sections, carry_sections, execution_sections, sections, settings)
    models = {
        name: model
        for module in modules
        for name, model in vars(module).items()
        if isinstance(model, type) and issubclass(model, BaseModel)
    }
    assert len(models) > 40
    optional = {
        name: {field for field, told in model.model_fields.items() if not told.is_required()}
        - MAY_BE_ABSENT.get(name, {"from_", "to"} if name.endswith("Period") else set())
        for name, model in models.items()
    }
    assert {name: fields for name, fields in optional.items() if fields} == {}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("loss_ladder.dd_kill=0.15", "expected a loss as a negative fraction between -1 and 0, found 0.15"),
        ("loss_ladder.dd_kill=0.15", "did you mean -0.15?"),
        ("execution.max_slippage_bps_by_asset_class.ETF=-10", "expected basis points between 0 and 150"),
        ("hysteresis.persistence_days=2.5", 'expected integer for "hysteresis.persistence_days"'),
        ("hysteresis.persistence_days=true", 'expected integer for "hysteresis.persistence_days"'),
        ("execution.order_ttl_seconds=0", "expected a number above 0, found 0"),
        ("execution.order_ttl_seconds=soon", 'expected a number, found the text "soon"'),
        ('execution.allow_market_orders="no"', 'expected boolean for "execution.allow_market_orders"'),
        ("execution.allow_market_orders=no", "which YAML reads as a truth value"),
        ("fund.initial_capital=1_000", "which YAML reads as a number in another notation"),
        ('fund.initial_capital="10,000"', 'expected a number, found the text "10,000"'),
        ('fund.decision_time_utc="25:00"', 'expected a time of day as "HH:MM"'),
        ("mode=papr", 'did you mean "paper"?'),
        ("fx.base_ccy=EUR", "expected 'USD' for \"fx.base_ccy\""),
        ("execution_phase2.market_data.allow_yahoo_in_live=true", 'expected False for "execution_phase2'),
        ("broker.port=99999", "less than or equal to 65535"),
        ("sleevs.core_index_rv=0.35", 'did you mean "sleeves"?'),
        ("portfolio.core_long=[{instrument: [ES]}]", 'did you mean "instruments"?'),
        ("costs.impact_coef.STOCK=3", "costs.impact_coef.STOCK"),
        ("execution.urgency.HIGH.collar_multiple=0.5", "expected a multiple between 1 and 10"),
        ("execution.urgency.EMERGENCY.collar_multiples=[1, 4, 2]", "each wider than the one before"),
        ("execution.urgency.EMERGENCY.collar_multiples=[]", "one rung or more"),
        ("risk_states={NORMAL: 1}", "expected a value for ELEVATED, CRISIS, RECOVERY"),
    ],
)
def test_bad_value_is_refused_in_one_paragraph(override: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        load_settings("fund", [override])

    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["sleeves.core_index_rv=0.36"], "fractions of sleeves to sum to 1, found 1.01"),
        (["hedges.split.equity_puts=0.5"], "fractions of split to sum to 1, found 1.10"),
        (["screener.long_factors.size=0.3"], "fractions of long_factors to sum to 1"),
        (["portfolio.credit_weights=[{weights: {LQDE: 0.5}}]"], "fractions of weights to sum to 1"),
        (["reconciliation.emergency_threshold_pct=0.001"], "above halt_threshold_pct"),
        (["reconciliation.ask_again_after_seconds=[60,5]"], "each later than the one before"),
        (["reconciliation.ask_again_after_seconds=[5,5]"], "each later than the one before"),
        (["reconciliation.ask_again_after_seconds=[5,601]"], "none beyond 600 seconds"),
        (["reconciliation.ask_again_after_seconds=[1,2,3,4,5,6,7,8,9,10,11]"], "at most 10 times"),
        (["reconciliation.ask_again_after_seconds=[0]"], "ask_again_after_seconds"),
        (["reconciliation.ask_again_after_seconds=[2.5]"], "ask_again_after_seconds"),
        (["reconciliation.ask_again_after_seconds=null"], "ask_again_after_seconds"),
        (["hysteresis.vix_exit_elevated=26"], "vix_exit_elevated below vix_enter_elevated"),
        (["hysteresis.dd_exit_crisis=-0.2"], "dd_exit_crisis above dd_enter_crisis"),
        (["loss_ladder.dd_kill=-0.05"], "each step of loss_ladder"),
        (["execution_safety.planner_order_pct=0.2"], "planner_order_pct at or below max_order_pct_nav"),
        (["execution_safety.planner_turnover_pct=0.6"], "planner_turnover_pct at or below"),
        (["execution_safety.gate_order_pct_nav=0.2"], "gate_order_pct_nav above every planned order"),
        (["max_drawdown_pct=0.12"], "max_drawdown_pct and loss_ladder.dd_crisis to name the same limit"),
        (["crisis.vix_threshold=45"], "crisis.vix_threshold and hysteresis.vix_enter_crisis"),
        (
            ["crisis.pnl_spike_threshold_pct=0.08"],
            "crisis.pnl_spike_threshold_pct and loss_ladder.daily_crisis",
        ),
        (["trading_config.max_drawdown=-0.2"], "trading_config.max_drawdown and loss_ladder.dd_kill"),
    ],
)
def test_values_that_contradict_each_other_are_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        load_settings("fund", overrides)

    assert words in str(failure.value)


def test_both_names_of_a_limit_move_together() -> None:
    settings = load_settings("fund", ["max_drawdown_pct=0.12", "loss_ladder.dd_crisis=-0.12"])

    assert settings.max_drawdown_pct == -settings.loss_ladder.dd_crisis


def test_several_problems_are_counted() -> None:
    with pytest.raises(ConfigurationError, match=r"\(1 more problem after this one\)"):
        load_settings("fund", ["sleeves.core_index_rv=35", "sleeves.sector_rv=25"])


def test_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r'found "histori"; did you mean "history"\?'):
        load_settings("histori")


def test_profiles_are_the_four() -> None:
    assert profile_names() == ("fund", "history", "live", "paper")


def test_digest_ignores_comments_order_and_notation(tmp_path: Path) -> None:
    root = copied_configuration(tmp_path)
    before = load_settings("fund", root=root).digest
    edit(root / "settings.yaml", "vol_target_annual: 0.12 ", "# a remark\nvol_target_annual: 0.120 ")
    edit(
        root / "settings.yaml",
        "  core_index_rv: 0.35\n  sector_rv: 0.25\n",
        "  sector_rv: 0.25\n  core_index_rv: 0.35\n",
    )

    assert load_settings("fund", root=root).digest == before


@pytest.mark.parametrize(
    "override",
    [
        "vol_target_annual=0.13",
        "execution.max_replace_attempts=5",
        "costs.half_spread_bps.FUT=0.6",
        "operator.re_risk=as_soon_as_allowed",
    ],
)
def test_digest_changes_with_every_value(override: str) -> None:
    assert load_settings("fund", [override]).digest != load_settings("fund").digest


def test_every_value_has_an_origin() -> None:
    document = load_configuration("history", ["vol_target_annual=0.1"]).document

    assert str(document.origin(("mode",))).startswith("history.yaml line ")
    assert str(document.origin(("marks", "flagged_sessions_max"))).startswith("settings.yaml line ")
    assert str(document.origin(("vol_target_annual",))) == "--set vol_target_annual=0.1"


def test_schema_names_every_section_and_its_bounds() -> None:
    schema = json.loads(schema_text())

    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == set(schema["properties"])
    assert schema["$defs"]["Sleeves"]["properties"]["core_index_rv"]["maximum"] == 1


def test_every_default_tells_its_unit_or_origin() -> None:
    lines = (Path(__file__).parents[2] / "config" / "settings.yaml").read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if ": " in line and not line.lstrip().startswith("#")]
    explained = [line for line in values if "#" in line or "source: " in line]

    assert len(explained) / len(values) > 0.75
