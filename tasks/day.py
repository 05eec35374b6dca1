"""One attempt at one run of a day: who claimed it, what it read, what each step decided.

A step is decided once per input: its journal row carries the digest of everything that led to it, so a later
attempt takes the recorded output while that digest is the same, and decides anew when it is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property, partial
from typing import TypeVar

from engine.composition.stages import PreviousDay
from engine.errors import ConfigurationError, HaltError, InvariantError, NonFiniteValue, SupersededError
from engine.model.context import DayContext, Mode, RunKey, RunKind, RunStatus
from engine.model.encoding import decode, digest_bytes, encode
from engine.model.impossible import impossible, impossible_figure
from engine.model.money import ZERO, round_money
from state.database import OUTAGES
from state.gate import OrderLimits
from state.orders import OrderStore
from state.runs import ClaimOutcome, RunClaim
from tasks.leave import Leave
from tasks.runtime import World

Value = TypeVar("Value")

VALUED, CLOSED = "valued", "closed"
"""Names of the memories that hold the fund as it was valued at the last decision and at the last close."""

UNIVERSE, POLICY, INPUTS = "universe", "policy", "inputs"
"""Names under which a run records what it decides from."""

_MARK = re.compile(r"\[([^\s=\[\]]+)=([0-9.]+)\]")


def wall_clock() -> datetime:
    """Time of the computer, for leases and audit rows; decisions use the day's own time."""
    return datetime.now(UTC)


def chained(chain: str, name: str, digest: str) -> str:
    """Digest of everything that led to a step, once one more row, with its name and digest, has led to it."""
    return digest_bytes(f"{chain}|{name}|{digest}".encode())


def first_chain(context: DayContext, digests: Mapping[str, str]) -> str:
    """The chain at a run's first step, by the digests of its recorded inputs."""
    chain = digest_bytes(encode(context))
    for name in (UNIVERSE, POLICY, INPUTS):
        chain = chained(chain, name, digests[name])
    return chain


class TradingDay:
    """A claimed run. Prefect sees an opaque object: values stay in the fund's own journal."""

    def __init__(self, world: World, key: RunKey, as_of: datetime) -> None:
        self.world = world
        self.key = key
        self.claim: RunClaim = world.runs.claim(key, wall_clock(), world.code_version, world.config_digest)
        self.policy = world.policy(key.trade_date)
        self.setup = world.setup(key.trade_date)
        self.context = DayContext(
            run_id=self.claim.run_id,
            account=key.account,
            mode=key.mode,
            trade_date=key.trade_date,
            as_of=as_of,
            config_digest=world.config_digest,
            code_version=world.code_version,
            seed=world.seed,
        )
        self._chain = digest_bytes(encode(self.context))
        self._alerts = 0

    @property
    def run_id(self) -> str:
        """Identity of the run, the same for all its attempts."""
        return self.claim.run_id

    @property
    def trade_date(self) -> date:
        """The day that is decided."""
        return self.key.trade_date

    @property
    def is_completed(self) -> bool:
        """Whether an earlier attempt finished this run: nothing may change any more."""
        return self.claim.outcome is ClaimOutcome.COMPLETED

    @property
    def is_held(self) -> bool:
        """Whether a living attempt of another process holds this run."""
        return self.claim.outcome is ClaimOutcome.HELD

    @cached_property
    def orders(self) -> OrderStore:
        """Order book of this run, behind its send gate."""
        guard = self.world.configuration.settings.execution_safety
        # A fund that is worth nothing may send nothing; that it is stopped says the comparison with the broker.
        nav = max(ZERO, self.world.latest_nav() or self.policy.initial_capital)
        limits = OrderLimits(
            max_orders=guard.max_orders_per_day,
            max_order_usd=round_money(nav * guard.gate_order_pct_nav),
            max_turnover_usd=round_money(nav * Decimal(str(self.policy.risk.gross_leverage_max))),
        )
        book = OrderStore(
            self.world.database,
            self.key.account,
            self.run_id,
            self.claim.epoch,
            limits,
            self.world.contracts,
            self.policy.costs.transaction_taxes,
        ).over(self.world.client_id)
        if self.key.mode is not Mode.LIVE:
            return book
        return book.under(Leave(self.world.require_leave, partial(self.alert, "CRITICAL")))

    # ------------------------------------------------------------ journal

    def read(self, name: str, value: Value) -> Value:
        """Record what the run read, and hand on what the record gives back: a replay sees nothing else.

        The instruments and the policies are recorded with it, so that a replay needs no configuration file.
        """
        payload, told = self._recordable(value)
        payloads = {
            UNIVERSE: self.world.record_of(self.setup.universe),
            POLICY: self.world.record_of(self.setup.policy),
            name: payload,
        }
        told_by = self.claim.attempt
        for read, digest in self.world.runs.record_inputs(self.run_id, payloads, told_by).items():
            self._chain = chained(self._chain, read, digest)
        return told

    def read_again(self, name: str, value: Value) -> Value:
        """Record what the run reads in the place of what it had read: its steps are decided anew from here on."""
        self._chain = digest_bytes(encode(self.context))
        return self.read(name, value)

    def _recordable(self, value: Value) -> tuple[bytes, Value]:
        """The record of a value and what it gives back; raises `NonFiniteValue` naming a figure that is no number."""
        try:
            payload = encode(value)
            return payload, self.world.recorded(type(value), payload)
        except (NonFiniteValue, InvariantError) as error:
            place = impossible_figure(value)
            if place is None:
                raise
            raise impossible(place) from error

    def decide(self, step: str, kind: type[Value], function: Callable[[], Value]) -> Value:
        """The step's value: recorded when its inputs are unchanged, else decided now and recorded.

        Either way it is the value that the record gives back, so that later steps see the same digits.
        """
        known = self.world.runs.step(self.run_id, step)
        if known is not None and known.input_digest == self._chain:
            output = known.output
        else:
            output = encode(function())
        if known is None or (known.attempt, known.input_digest) != (self.claim.attempt, self._chain):
            self.world.runs.record_step(self.run_id, step, self.claim.attempt, self._chain, output)
        self._chain = chained(self._chain, step, digest_bytes(output))
        self.take_in_alarms()
        self.world.observer(step, "")
        return decode(kind, output)

    def finish(self, status: RunStatus, summary: bytes) -> None:
        """End this attempt.

        What the line said is taken in before, so that whoever sees the end sees the alarms; and once more after it,
        for a book that was locked may just have become free, and the line may have said more.
        """
        self.take_in_alarms()
        self.world.runs.finish(self.run_id, status, wall_clock(), summary, self.claim.attempt)
        self.take_in_alarms()

    def fail(self) -> None:
        """End this attempt after an unforeseen error; one that has ended, or was never ours, stays as it is.

        Raises `SupersededError` when another attempt has the run by now: that is why this one failed. Its alarms are
        taken in all the same: an alert only tells people, and another process would never hear what this line said.
        """
        if not self.claim.is_owner:
            return
        run = self.world.runs.run(self.run_id)
        if run is None:
            return
        is_superseded = run.attempt != self.claim.attempt
        if run.status.is_held and not is_superseded:
            self.finish(RunStatus.FAILED, b"")
            return
        self.take_in_alarms()
        if is_superseded:
            raise SupersededError(
                f"{self.run_id}: attempt {self.claim.attempt} was taken over by attempt {run.attempt}; it has stopped"
            )

    # ------------------------------------------------------------ memories

    def memory(self, name: str, kind: type[Value]) -> Value | None:
        """What the last decision left under a name: the one before this date, or this date's after it was made."""
        decided = self.key.kind is not RunKind.DECISION
        before = self.trade_date + timedelta(days=1) if decided else self.trade_date
        payload = self.world.runs.memory(self.key.account, name, before)
        return None if payload is None else decode(kind, payload)

    def remember(self, name: str, value: object) -> None:
        """Leave a value to the next date."""
        self.world.runs.record_memory(self.key.account, name, self.trade_date, encode(value))

    def previous(self) -> PreviousDay | None:
        """The last valued day, with everything that was booked since: a close follows on the close before it."""
        valued = self.last_close() or self.memory(VALUED, PreviousDay)
        if valued is None:
            return None
        after = valued.valuation.as_of
        booked = self.world.ledger.entries(self.key.account, until=self.context.as_of, since=after)
        return PreviousDay(
            valuation=valued.valuation,
            portfolio=valued.portfolio,
            marks=valued.marks,
            fx=valued.fx,
            entries=tuple(entry for entry in booked if entry.booked_at > after),
            net_liquidation=valued.net_liquidation,
        )

    def last_close(self) -> PreviousDay | None:
        """The fund at the close before this date, for a close; decisions follow on decisions."""
        if self.key.kind is not RunKind.CLOSE:
            return None
        payload = self.world.runs.memory(self.key.account, CLOSED, self.trade_date)
        return None if payload is None else decode(PreviousDay, payload)

    # ------------------------------------------------------------ halts

    def answers(self) -> Mapping[str, str]:
        """Choices with which halts of this run were resolved, by kind; taking them uses them up."""
        found = {}
        for halt in self.world.halts.resolved_halts(self.key.account):
            if halt.choice is None or halt.run_id != self.run_id:
                continue
            if self.world.halts.consume(halt.halt_id, self.run_id, self.claim.attempt, wall_clock()) or (
                halt.consumed_run_id == self.run_id
            ):
                found[halt.kind] = halt.choice.value
        return found

    def manual_marks(self) -> Mapping[str, Decimal]:
        """Prices that a person gave when resolving a halt of this run: ``[CONTRACT=PRICE]`` in the reason."""
        marks: dict[str, Decimal] = {}
        for halt in self.world.halts.halts(self.key.account):
            if halt.run_id == self.run_id and halt.reason is not None:
                marks |= marks_in(halt.reason)
        return marks

    # ------------------------------------------------------------ records

    def alert(self, level: str, message: str) -> None:
        """Tell the people who watch; repeating a run repeats no alert."""
        self._alerts += 1
        alert_id = digest_bytes(f"{self.run_id}|{message}".encode())[:16]
        self.world.records.save(
            "alerts",
            [
                {
                    "alert_id": alert_id,
                    "account": self.key.account,
                    "at": self.context.as_of,
                    "level": level,
                    "kind": "day",
                    "message": message,
                    "delivered": False,
                    "run_id": self.run_id,
                }
            ],
        )

    def take_in_alarms(self) -> bool:
        """Tell what the connection to the broker raised an alarm about; whether the book took all of it.

        The connection lets go of an alarm once it is written: what the book did not take is there for the next time,
        also for that of the next run of this world.
        """
        outside = self.world.outside
        with suppress(*OUTAGES):
            for alarm in outside.alarms():
                self.alert("CRITICAL", alarm)
                outside.alarm_kept()
            return True
        return False


def marks_in(reason: str) -> Mapping[str, Decimal]:
    """Prices that a reason names as ``[CONTRACT=PRICE]``; raises `ConfigurationError` on one that is no number."""
    try:
        return {name: Decimal(price) for name, price in _MARK.findall(reason)}
    except InvalidOperation as error:
        raise ConfigurationError(
            f"expected prices such as [ES_20261218=5800.25] in the reason, found {reason!r}"
        ) from error


def halted_status(halt: HaltError) -> RunStatus:
    """Status of a run that a halt ended."""
    return RunStatus.EMERGENCY if halt.emergency else RunStatus.HALTED


def run_key(world: World, trade_date: date, kind: RunKind) -> RunKey:
    """Key of a run in this world."""
    return RunKey(account=world.account, mode=world.mode, trade_date=trade_date, kind=kind)
