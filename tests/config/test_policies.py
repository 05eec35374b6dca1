import dataclasses
import typing
from datetime import date
from decimal import Decimal

import pytest

from config.key_names import POLICY_KEYS
from config.policies import fund_policy, sleeve_policy
from config.settings import load_settings
from engine.model.encoding import decode, encode, from_json, to_json
from engine.model.instruments import CollarClass
from engine.model.policy import FundPolicy
from engine.model.portfolio import CashBasis

DAY = date(2026, 11, 20)
DATED = {
    "sleeves.core_long",
    "sleeves.core_short",
    "sleeves.sector_long",
    "sleeves.sector_short",
    "sleeves.credit_weights",
    "sleeves.single_long_universe",
    "sleeves.single_short_universe",
    "tail.spread_long",
    "tail.spread_short",
    "tail.volatility_future",
}
RESHAPED = {
    "fx.hedge_contracts",
    "execution.collar_bps",
    "roll.overrides",
    "costs.transaction_taxes",
    "carry.dividends.withholding",
    "carry.settlement",
}


def policy_fields(record: type, prefix: str = "") -> typing.Iterator[str]:
    """Dotted names of all plain fields of a policy."""
    hints = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from policy_fields(hint, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def value_of(record: object, path: str) -> object:
    for name in path.split("."):
        record = getattr(record, name) if dataclasses.is_dataclass(record) else record[name]  # type: ignore[index]
    return record


def test_table_names_every_policy_field_once() -> None:
    assert set(policy_fields(FundPolicy)) == set(POLICY_KEYS) | DATED | {"windows", "resets"}


@pytest.mark.parametrize("field", sorted(set(POLICY_KEYS) - RESHAPED))
def test_policy_field_has_the_value_of_its_key(field: str) -> None:
    settings = load_settings("fund")
    setting = value_of(settings.model_dump(by_alias=True), POLICY_KEYS[field])

    value = value_of(fund_policy(settings, DAY), field)

    assert comparable(value) == comparable(setting)


def comparable(value: object) -> object:
    tree = to_json(value)

    def numbers(item: object) -> object:
        if isinstance(item, dict):
            return {key: numbers(part) for key, part in item.items()}
        if isinstance(item, list):
            return [numbers(part) for part in item]
        if isinstance(item, bool) or item is None:
            return item
        try:
            return Decimal(str(item))
        except ArithmeticError:
            return item

    return numbers(tree)


def test_policy_round_trips_through_the_canonical_encoding() -> None:
    for profile in ("fund", "history"):
        policy = fund_policy(load_settings(profile), DAY)
        assert decode(FundPolicy, encode(policy)) == policy
        assert from_json(FundPolicy, to_json(policy)) == policy


def test_money_is_exact_and_enums_are_enums() -> None:
    policy = fund_policy(load_settings("fund"), DAY)

    assert policy.initial_capital == Decimal(10_000_000)
    assert policy.reconciliation.cash_basis is CashBasis.SETTLED
    assert policy.execution.collar_bps[CollarClass.FX_FUT] == 2
    assert CollarClass.OPT not in policy.execution.collar_bps


def test_crisis_loss_is_negative_like_the_ladder() -> None:
    policy = fund_policy(load_settings("fund"), DAY)

    assert policy.crisis.daily_loss == policy.risk.daily_crisis == -0.10
    assert policy.crisis.drawdown == -0.10


def test_hedge_contracts_name_micro_and_full() -> None:
    fund, history = (fund_policy(load_settings(name), DAY) for name in ("fund", "history"))

    assert fund.fx.hedge_contracts == {"EUR": ("M6E", "6E"), "GBP": ("M6B", "6B"), "CHF": ("MSF", "6S")}
    assert history.fx.hedge_contracts == {"EUR": (None, "6E"), "GBP": (None, "6B")}


def test_roll_overrides_use_the_categories_of_the_instruments() -> None:
    assert fund_policy(load_settings("fund"), DAY).roll.overrides == {"equity_index": 5, "sovereign_bonds": 5}


def test_fund_legs_are_those_of_the_requirements() -> None:
    sleeves = sleeve_policy(load_settings("fund"), DAY)

    assert (sleeves.core_long, sleeves.core_short) == (("CSPX",), ("CS51",))
    assert sleeves.sector_long == ("IUIT", "CNDX", "SEMI", "IUHC", "IUQA")
    assert sleeves.sector_short == ("EXV1", "EXS1", "IUKD")
    assert sleeves.credit_weights == {"LQDE": 0.40, "IHYU": 0.25, "FLOT": 0.20, "ARCC": 0.15}
    assert sleeves.short_proxies == {"CS51": "FESX", "EXS1": "FDXM", "EXV1": "FESB", "IUKD": "Z"}
    assert sum(sleeves.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("day", "core_short", "sector_long", "sector_short"),
    [
        (date(1999, 12, 31), ("DAX",), ("NQ",), ("DAX",)),
        (date(2000, 5, 26), ("DAX",), ("NQ", "IWM"), ("DAX",)),
        (date(2005, 6, 9), ("DAX",), ("NQ", "IWM"), ("DAX",)),
        (date(2005, 6, 10), ("DAX",), ("NQ", "IWM"), ("FESB", "DAX")),
        (date(2011, 3, 23), ("DAX",), ("NQ", "IWM", "QQQ"), ("FESB", "DAX")),
        (date(2014, 3, 12), ("DAX",), ("NQ", "IWM", "QQQ"), ("FESB", "DAX")),
        (date(2014, 3, 13), ("FESX",), ("NQ", "IWM", "QQQ"), ("FESB", "DAX")),
    ],
)
def test_history_legs_change_on_their_dates(
    day: date, core_short: tuple[str, ...], sector_long: tuple[str, ...], sector_short: tuple[str, ...]
) -> None:
    sleeves = sleeve_policy(load_settings("history"), day)

    assert sleeves.core_long == ("ES",)
    assert (sleeves.core_short, sleeves.sector_long, sleeves.sector_short) == (
        core_short,
        sector_long,
        sector_short,
    )


@pytest.mark.parametrize(
    ("day", "names"),
    [(date(2015, 1, 11), 3), (date(2015, 1, 12), 387), (date(2018, 12, 30), 387), (date(2018, 12, 31), 3)],
)
def test_history_single_names_follow_the_recorded_file(day: date, names: int) -> None:
    sleeves = sleeve_policy(load_settings("history"), day)

    assert len(sleeves.single_long_universe) == names
    assert len(sleeves.single_short_universe) == 54


@pytest.mark.parametrize(
    ("day", "spread", "future"),
    [
        (date(2005, 11, 24), (None, None), None),
        (date(2005, 11, 25), (None, None), "VX"),
        (date(2013, 4, 15), ("FGBL", "FOAT"), "VX"),
        (date(2020, 3, 17), ("FGBL", "FOAT"), "VX"),
        (date(2020, 3, 18), (None, None), "VX"),
    ],
)
def test_history_crisis_alpha_by_date(
    day: date, spread: tuple[str | None, str | None], future: str | None
) -> None:
    tail = fund_policy(load_settings("history"), day).tail

    assert (tail.spread_long, tail.spread_short) == spread
    assert tail.volatility_future == future
    assert tail.candidates == {}


def test_override_reaches_the_policy() -> None:
    policy = fund_policy(load_settings("fund", ["execution_phase2.gating.min_drift_pct=0.003"]), DAY)

    assert policy.gate.minimum_drift_fraction == 0.003
