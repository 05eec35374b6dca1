"""The effective configuration: settings.yaml, a profile over it, overrides over both, validated as one.

Every refusal is a `ConfigurationError` of one paragraph with file, line, what was expected, what was found.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from config.broker_sections import Reconciliation, StatementImport
from config.execution_sections import (
    Broker,
    Execution,
    ExecutionPhase2,
    Operator,
    Research,
    Signals,
    Sizing,
    TradingConfig,
)
from config.loading import (
    Document,
    KeyPath,
    Value,
    dotted,
    nearest,
    overlay,
    parse_override,
    read_document,
)
from config.sections import (
    ByRegime,
    Costs,
    Crisis,
    ExecutionSafety,
    Fund,
    Fx,
    Hedges,
    Hysteresis,
    LossLadder,
    Marks,
    Momentum,
    Portfolio,
    Roll,
    Screener,
    Section,
    Sleeves,
    UniverseChoice,
    Volatility,
    refuse,
)
from config.units import Fraction, Multiple
from engine.errors import ConfigurationError
from engine.model.encoding import digest

CONFIG_ROOT = Path(__file__).resolve().parent
_M = typing.TypeVar("_M", bound=BaseModel)


class Settings(Section):
    """Everything that may be set, under the documents' names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="Fund settings")

    mode: Literal["simulated", "dry-run", "paper", "live", "backtest"]
    fund: Fund
    vol_target_annual: Fraction
    gross_leverage_max: Multiple
    net_leverage_max: Multiple
    max_drawdown_pct: Fraction
    max_vol_scale: Multiple
    scale_without_history_max: Multiple
    exante_gap_pct: Fraction
    sleeves: Sleeves
    momentum: Momentum
    volatility: Volatility
    hysteresis: Hysteresis
    risk_states: ByRegime[Fraction]
    loss_ladder: LossLadder
    crisis: Crisis
    reconciliation: Reconciliation
    statement: StatementImport
    marks: Marks
    fx: Fx
    universe: UniverseChoice
    portfolio: Portfolio
    screener: Screener
    hedges: Hedges
    roll: Roll
    execution_safety: ExecutionSafety
    execution: Execution
    execution_phase2: ExecutionPhase2
    costs: Costs
    signals: Signals
    sizing: Sizing
    trading_config: TradingConfig
    research: Research
    broker: Broker
    operator: Operator

    @property
    def digest(self) -> str:
        """SHA-256 of the effective values: comments and the order of keys do not matter."""
        return digest(self.model_dump(mode="python", by_alias=True))

    @model_validator(mode="after")
    def _one_meaning(self) -> Settings:
        """The documents name some limits twice; both must say the same, or one of them would be ignored."""
        ladder, trading = self.loss_ladder, self.trading_config
        pairs = (
            ("max_drawdown_pct", -self.max_drawdown_pct, "loss_ladder.dd_crisis", ladder.dd_crisis),
            (
                "crisis.pnl_spike_threshold_pct",
                -self.crisis.pnl_spike_threshold_pct,
                "loss_ladder.daily_crisis",
                ladder.daily_crisis,
            ),
            (
                "crisis.vix_threshold",
                self.crisis.vix_threshold,
                "hysteresis.vix_enter_crisis",
                self.hysteresis.vix_enter_crisis,
            ),
            (
                "trading_config.max_daily_loss",
                trading.max_daily_loss,
                "loss_ladder.daily_reduce_only",
                ladder.daily_reduce_only,
            ),
            ("trading_config.max_drawdown", trading.max_drawdown, "loss_ladder.dd_kill", ladder.dd_kill),
        )
        for first, value, second, other in pairs:
            if value != other:
                raise refuse(
                    f"expected {first} and {second} to name the same limit, found {value} and {other}; set both"
                )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Settings of one profile and where each value was written."""

    profile: str
    settings: Settings
    document: Document


def profile_names(root: Path | None = None) -> tuple[str, ...]:
    """Profiles that exist, sorted."""
    return tuple(sorted(path.stem for path in ((root or CONFIG_ROOT) / "profiles").glob("*.yaml")))


def load_configuration(
    profile: str, overrides: Sequence[str] = (), root: Path | None = None
) -> Configuration:
    """Merge and validate; raises `ConfigurationError`."""
    folder = root or CONFIG_ROOT
    if profile not in profile_names(folder):
        raise ConfigurationError(
            f'expected a profile of {folder / "profiles"}, found "{profile}"{nearest(profile, profile_names(folder))}'
        )
    document = read_document(folder / "settings.yaml")
    layers = [
        read_document(folder / "profiles" / f"{profile}.yaml"),
        *(parse_override(text) for text in overrides),
    ]
    for layer in layers:
        document = overlay(document, layer)
    return Configuration(profile=profile, settings=validate(Settings, document), document=document)


def load_settings(profile: str, overrides: Sequence[str] = (), root: Path | None = None) -> Settings:
    """Return the effective settings of a profile; raises `ConfigurationError`."""
    return load_configuration(profile, overrides, root).settings


def schema_text() -> str:
    """JSON schema of settings.yaml."""
    return json.dumps(Settings.model_json_schema(by_alias=True), indent=2, sort_keys=True)


def validate(model: type[_M], document: Document) -> _M:
    """Return a model from a document, or raise one paragraph that names the first problem and counts the rest."""
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # An unknown name explains the missing one beside it, so it is told first.
        first = min(problems, key=lambda problem: problem["type"] != "extra_forbidden")
        rest = (
            f" ({len(problems) - 1} more problem{'s' if len(problems) > 2 else ''} after this one)"
            if len(problems) > 1
            else ""
        )
        raise ConfigurationError(explain(model, document, first) + rest) from None


def explain(model: type[BaseModel], document: Document, problem: ErrorDetails) -> str:
    """One problem of a configuration in words."""
    path = _real_path(document.data, problem["loc"])
    name, origin, kind = dotted(path), document.origin(path), problem["type"]
    context: Mapping[str, object] = problem.get("ctx") or {}
    if kind == "extra_forbidden":
        return f'expected a known key, found "{name}" at {origin}{nearest(str(path[-1]), _known_keys(model, path[:-1]))}'
    if kind == "missing":
        return f'expected a value for "{name}" in {document.origin(path[:-1])}, found none; no limit has a default in code'
    if kind == "range":
        guess = f"; did you mean {context['guess']}?" if context.get("guess") else ""
        return f'{problem["msg"]} at {origin} ("{name}"){guess}'
    if kind in ("number", "clock"):
        return f'{problem["msg"]} at {origin} ("{name}")'
    if kind == "rule":
        return f"{problem['msg']} (at {origin})"
    found = f"{problem['input']}"
    if kind == "literal_error":
        guess = nearest(found, _quoted(str(context.get("expected", ""))))
        return f'expected {context.get("expected")} for "{name}" at {origin}, found {found}{guess}'
    words = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f'expected {words} for "{name}" at {origin}, found {found}'


def _quoted(text: str) -> Iterable[str]:
    return text.split("'")[1::2]


def _real_path(data: dict[str, Value], location: tuple[int | str, ...]) -> KeyPath:
    """Path in the file of an error: pydantic adds names of union members, which no file holds."""
    path: list[int | str] = []
    value: Value = data
    for part in location:
        if isinstance(value, dict) and isinstance(part, str):
            if part == "[key]":
                continue
            path.append(part)
            value = value.get(part)
        elif isinstance(value, tuple) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
    return tuple(path)


def _known_keys(model: type[BaseModel], path: KeyPath) -> tuple[str, ...]:
    found = _model_at(model, path)
    if found is None:
        return ()
    return tuple(field.alias or name for name, field in found.model_fields.items())


def _model_at(annotation: object, path: KeyPath) -> type[BaseModel] | None:
    """The model that describes a place of the configuration, ``None`` where keys are free."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return None
    if origin in (typing.Union, types.UnionType) or origin is typing.Annotated:
        found = (_model_at(argument, path) for argument in arguments)
        return next((model for model in found if model is not None), None)
    if origin is tuple and path:
        return _model_at(arguments[0], path[1:])
    if origin is dict and path:
        return _model_at(arguments[1], path[1:])
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        return None
    if not path:
        return annotation
    fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
    field = fields.get(str(path[0]))
    return None if field is None else _model_at(field.annotation, path[1:])
