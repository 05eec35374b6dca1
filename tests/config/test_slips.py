"""Slips of the hand in a configuration: a limit that is gone, a hundredfold, a hundredth, the other sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest
from pydantic import ValidationError

from config.key_names import POLICY_KEYS
from config.loading import Document, Value
from config.settings import Settings, load_configuration, validate
from engine.errors import ConfigurationError

CONFIGURATION = load_configuration("fund")
TREE = CONFIGURATION.document.data
Path = tuple[str, ...]

ROWS_OF_OPEN_TABLES = (
    "execution_phase2.carry_realism.",  # by currency: what a missing one would need is refused where it is needed
    "marks.jump_quarantine_pct_by_asset_class.",  # without a row the narrower limit of all classes holds
    "roll.overrides.",  # without a row the days of all futures hold
)
LIMITS = ("execution_safety.", "execution.", "reconciliation.", "loss_ladder.", "marks.", "fx.", "hysteresis.", "vol_target_annual", "gross_leverage_max", "net_leverage_max", "max_", "crisis.")  # fmt: skip
"""Where a hundredfold would loosen what stops the fund or bounds an order."""

BORNE_A_HUNDREDFOLD = {
    "execution.min_trade_notional_usd": "fewer trades, none larger",
    "fx.contracts.EUR.size": "a fact of the contract; the broker's is compared with it",
    "fx.contracts.GBP.size": "a fact of the contract; the broker's is compared with it",
    "fx.contracts.CHF.size": "a fact of the contract; the broker's is compared with it",
    "fx.full_above_micros": "more micro contracts, the same hedge",
    "reconciliation.cash_break_pct_nav": "1 % of NAV is beyond the limits on the whole account, which stop the day",
}
LOOSER_AS_A_HUNDREDTH = (
    "execution_safety.min_excess_liquidity_pct",
    "reconciliation.emergency_threshold_pct",
)


def leaves(value: Value, path: Path) -> Iterator[tuple[Path, Decimal]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        yield path, Decimal(value)


def value_at(path: Path) -> Value:
    found: Value = TREE
    for part in path:
        assert isinstance(found, dict)
        found = found[part]
    return found


def changed(tree: dict[str, Value], path: Path, value: Value | None) -> dict[str, Value]:
    """The tree with one value replaced, or left out where ``None``."""
    head, *rest = path
    if not rest:
        return {k: v for k, v in tree.items() if k != head} | ({} if value is None else {head: value})
    inner = tree[head]
    assert isinstance(inner, dict)
    return {**tree, head: changed(inner, tuple(rest), value)}


POLICY_PATHS = sorted(tuple(key.split(".")) for key in set(POLICY_KEYS.values()))
NUMBERS = [leaf for path in POLICY_PATHS for leaf in leaves(value_at(path), path)]


def is_refused(path: Path, value: Value) -> bool:
    try:
        Settings.model_validate(changed(TREE, path, value))
    except ValidationError:
        return True
    return False


def slip(value: Decimal, factor: Decimal) -> Value:
    found = value * factor
    return int(found) if value == value.to_integral_value() and found == found.to_integral_value() else found


def test_every_key_of_a_policy_is_refused_by_name_when_it_is_gone() -> None:
    for path in POLICY_PATHS:
        with pytest.raises(ConfigurationError, match="expected") as failure:
            validate(Settings, _without(path))
        assert path[-1] in str(failure.value), path


def test_every_number_of_a_policy_is_refused_by_name_when_it_is_gone() -> None:
    for path, _ in NUMBERS:
        name = ".".join(path)
        if name.startswith(ROWS_OF_OPEN_TABLES):
            continue
        with pytest.raises(ConfigurationError, match="expected") as failure:
            validate(Settings, _without(path))
        assert path[-1] in str(failure.value), name


def test_limit_a_hundred_times_too_large_is_refused() -> None:
    borne = {
        ".".join(path)
        for path, value in NUMBERS
        if ".".join(path).startswith(LIMITS)
        and value != 0
        and not is_refused(path, slip(value, Decimal(100)))
    }
    assert borne == set(BORNE_A_HUNDREDFOLD)


def test_number_of_the_other_sign_is_refused() -> None:
    borne = [
        ".".join(path)
        for path, value in NUMBERS
        if value != 0 and not is_refused(path, slip(value, Decimal(-1)))
    ]
    assert borne == []


@pytest.mark.parametrize("name", LOOSER_AS_A_HUNDREDTH)
def test_floor_of_a_hundredth_is_refused(name: str) -> None:
    path = tuple(name.split("."))
    value = value_at(path)
    assert isinstance(value, Decimal)
    assert is_refused(path, value / 100)


def _without(path: Path) -> Document:
    return replace(CONFIGURATION.document, data=changed(TREE, path, None))
