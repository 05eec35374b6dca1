"""``fund replay RUN_ID``: decide a finished run again from what it recorded, and compare every byte.

Nothing but the book is read: neither configuration files, nor the market, nor the broker. Exchange calendars come
from the library, which the lock fixes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from engine.composition.day import STEP_TYPES
from engine.composition.replay import Replay, replay_steps, unreadable
from engine.composition.stages import DayInputs, DaySetup
from engine.errors import ConfigurationError, FundError
from engine.model.context import RunKind, RunStatus
from engine.model.encoding import Json, decode, digest_bytes
from engine.model.policy import FundPolicy
from engine.model.universe import Universe
from flows.book import open_book
from flows.commands.errors import EXIT_DONE, EXIT_UNEXPECTED
from state.journal import InputRecord
from state.runs import RunRecord, RunStore
from tasks.adapters.calendars import FIRST_DAY, session_table
from tasks.day import INPUTS, POLICY, UNIVERSE, first_chain
from tasks.options import code_version, fund_home
from tasks.runtime import SESSIONS_AHEAD

SESSIONS_BEFORE = timedelta(days=400)
NAMED_RUNS = 5
_FINISHED = (RunStatus.COMPLETED, RunStatus.HALTED, RunStatus.EMERGENCY)
_REPLAYED = (RunKind.DECISION, RunKind.CLOSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReplay:
    """A replayed run: rows whose stored bytes no longer have their digest, and how its steps came out."""

    run: RunRecord
    altered: tuple[str, ...]
    replay: Replay
    running_code: str

    @property
    def is_identical(self) -> bool:
        """Whether everything recorded is intact and was decided again."""
        return not self.altered and self.replay.difference is None


def replay_run(run_id: str, *, as_json: bool) -> int:
    """Replay a run of this FUND_HOME and tell the outcome; 0 when every byte is the same, else 1.

    Raises `ConfigurationError` when there is no such run, or none that decided and ended, and `RefusedError` when
    nothing ever ran here.
    """
    with open_book() as book:
        result = replay_recorded(book.runs, run_id)
    print(json.dumps(to_json(result), indent=2, ensure_ascii=False) if as_json else "\n".join(lines(result)))
    return EXIT_DONE if result.is_identical else EXIT_UNEXPECTED


def replay_recorded(runs: RunStore, run_id: str) -> RunReplay:
    """Decide again from the book's rows."""
    run = replayable(runs, run_id)
    recorded = runs.inputs(run_id)
    missing = [name for name in (UNIVERSE, POLICY, INPUTS) if name not in recorded]
    if missing:
        raise ConfigurationError(
            f"expected {run_id} to have recorded {', '.join(missing)}, found "
            f"{', '.join(recorded) or 'nothing'}; it ended before it had read the world, so it decided nothing"
        )
    # A step that only an earlier attempt reached was decided from other inputs.
    steps = [row for row in runs.steps(run_id) if row.step in STEP_TYPES and row.attempt == run.attempt]
    altered = [f"input {name}" for name, row in recorded.items() if not row.is_intact]
    altered += [f"step {row.step}" for row in steps if digest_bytes(row.output) != row.output_digest]
    if not altered and steps and _led_to(recorded) != steps[0].input_digest:
        altered.append("an input, with its digest,")
    return RunReplay(
        run=run,
        altered=tuple(altered),
        replay=_decided_again(recorded, run.key.trade_date, {row.step: row.output for row in steps}),
        running_code=code_version(),
    )


def _led_to(recorded: Mapping[str, InputRecord]) -> str | None:
    """What the first step was decided from, by the inputs as they are now; ``None`` when they can not be read."""
    try:
        context = decode(DayInputs, recorded[INPUTS].payload).context
    except FundError:
        return None
    return first_chain(context, {name: row.digest for name, row in recorded.items()})


def _decided_again(recorded: Mapping[str, InputRecord], day: date, steps: Mapping[str, bytes]) -> Replay:
    try:
        setup, inputs = recorded_setup(recorded, day), decode(DayInputs, recorded[INPUTS].payload)
    except FundError as error:
        return unreadable(steps, error)
    return replay_steps(setup, inputs, steps)


def replayable(runs: RunStore, run_id: str) -> RunRecord:
    """The run, if it ended and is of a kind that decides."""
    run = runs.run(run_id)
    if run is None:
        known = [known.run_id for known in runs.runs() if known.key.kind in _REPLAYED][-NAMED_RUNS:]
        raise ConfigurationError(
            f"expected the id of a finished run, found {run_id!r}, which {fund_home()} does not hold; "
            f"the latest are {', '.join(reversed(known)) or 'none'}"
        )
    if run.key.kind not in _REPLAYED:
        raise ConfigurationError(
            f"expected a run that decides, found {run_id}, which works orders in its venues' windows; "
            f"replay the decision of {run.key.trade_date}"
        )
    if run.status not in _FINISHED:
        raise ConfigurationError(
            f"expected a finished run, found {run_id} {run.status.value}; ./fund resume finishes it"
        )
    return run


def recorded_setup(recorded: Mapping[str, InputRecord], trade_date: date) -> DaySetup:
    """Instruments and policies as they were recorded, sessions around the date from the calendar library."""
    first = max(FIRST_DAY, trade_date - SESSIONS_BEFORE)
    return DaySetup(
        universe=decode(Universe, recorded[UNIVERSE].payload),
        policy=decode(FundPolicy, recorded[POLICY].payload),
        sessions=session_table(first, trade_date + SESSIONS_AHEAD, fund_home() / "cache"),
    )


def lines(result: RunReplay) -> tuple[str, ...]:
    """What a person reads."""
    run, found = result.run, result.replay.difference
    told = [
        f"{name} of {run.run_id} was altered: its bytes are not those that were recorded"
        for name in result.altered
    ]
    if run.code_version != result.running_code:
        told.append(f"decided by code {run.code_version}, replayed by {result.running_code}")
    count = len(result.replay.identical)
    if found is None:
        told.append(f"{run.run_id}: {count} {'decision' if count == 1 else 'decisions'} identical")
    else:
        where = f", field {found.field}" if found.field else ""
        told += [
            f"{run.run_id}: step {found.step} differs{where} ({count} before it identical)",
            f"  recorded    {found.recorded}",
            f"  recomputed  {found.recomputed}",
        ]
    return tuple(told)


def to_json(result: RunReplay) -> Json:
    """The same for a program."""
    found = result.replay.difference
    difference: Json = (
        None
        if found is None
        else {
            "step": found.step,
            "field": found.field,
            "recorded": found.recorded,
            "recomputed": found.recomputed,
        }
    )
    return {
        "run_id": result.run.run_id,
        "trade_date": result.run.key.trade_date.isoformat(),
        "kind": result.run.key.kind.value,
        "identical": result.is_identical,
        "identical_steps": list(result.replay.identical),
        "altered": list(result.altered),
        "difference": difference,
        "code_version": {"recorded": result.run.code_version, "running": result.running_code},
    }
