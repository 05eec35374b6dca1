"""Ask the broker again before a difference that its own delay may explain stops the fund.

A broker that is late agrees a little later; one that never does stops the fund after a bounded number of questions, each
kept with what it found. Nothing is decided and nothing is sent on an account that does not agree: what is asked again
is the whole comparison, and only a pass goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from engine.accounting.asking_again import next_question
from engine.accounting.reconciliation import ReconciliationReport, ReconciliationStatus
from engine.errors import HaltError
from engine.execution.outcome import AskAgain
from engine.model.context import RunKind
from engine.model.halts import HaltKind
from state.recording_book import reconciliation_rows
from tasks.break_text import reconciliation_text
from tasks.day import TradingDay

STEP_NAME = "reconcile"


class Asking:
    """The comparisons of a run with the broker, for as long as they do not agree.

    ``after`` are the times of the further questions, from the first, and ``until`` bounds them. ``again`` says when to
    ask next and what stops the fund otherwise, ``None`` where nothing is open; ``asked_at`` is when a run waited to.
    """

    def __init__(self, day: TradingDay, after: Sequence[timedelta], until: datetime | None = None) -> None:
        self._day, self._after, self._until = day, after, until
        self._asked: list[datetime] = []
        self._told = ""
        self.asked_at: datetime | None = None
        self.again: AskAgain | None = None

    @property
    def since(self) -> datetime | None:
        """When the first comparison was made that did not agree, ``None`` where nothing is open."""
        return self._asked[0] if self._asked else None

    def heard(
        self,
        at: datetime,
        report: ReconciliationReport,
        *,
        kept_as: datetime | None = None,
        occasion: str = "",
    ) -> None:
        """Keep a comparison, under another time where one is given, and see what follows.

        ``occasion`` begins the words of its halt. Raises `HaltError` where it does not agree and nothing is left to ask
        or to wait for.
        """
        day = self._day
        rows = reconciliation_rows(day.run_id, day.claim.attempt, kept_as or at, report)
        day.world.records.save_all(rows)
        if report.can_trade:
            return self._agreed(at)
        self._asked.append(at)
        self._told = reconciliation_text(report)
        kind = report.halt_kind or HaltKind.UNANSWERED
        halt = HaltError(
            kind.value,
            f"{occasion}{self._told}{_times(self._asked)}",
            emergency=report.status is ReconciliationStatus.EMERGENCY,
        )
        following = next_question(report, self._asked, self._after, self._until)
        if following is None or trading_is_stopped(day):
            raise halt
        self.again = AskAgain(following, halt)
        day.world.observer(
            STEP_NAME, f"{at:%H:%M:%S} {report.status.value}, asked again at {following:%H:%M:%S}"
        )
        return None

    def _agreed(self, at: datetime) -> None:
        if self._asked:
            seconds = (at - self._asked[0]).total_seconds()
            self._day.alert(
                "WARNING", f"the broker was late and agreed after {seconds:.0f} seconds: {self._told}"
            )
        self._asked.clear()
        self.again = None


def asking_of(day: TradingDay) -> Asking:
    """For one run, by the configured times; a decision and a close have an end to what they may wait for."""
    after = day.world.configuration.settings.reconciliation.ask_again_after_seconds
    return Asking(day, tuple(timedelta(seconds=seconds) for seconds in after), _end_of_waiting(day))


def _end_of_waiting(day: TradingDay) -> datetime | None:
    """Until when a run may wait: a decision until the guard time of its start, everything else until its date ends.

    The broker's lists begin anew at midnight. A window has its own end, which its jobs know.
    """
    if day.key.kind is RunKind.EXECUTION:
        return None
    guard = day.world.configuration.settings.execution_phase2.session_scheduler.guard_until_utc
    latest = datetime.combine(day.trade_date, time.fromisoformat(guard), tzinfo=UTC)
    if day.key.kind is RunKind.DECISION and day.context.as_of < latest:
        return latest
    return datetime.combine(day.context.as_of.date() + timedelta(days=1), time(), tzinfo=UTC)


def trading_is_stopped(day: TradingDay) -> bool:
    """Whether somebody stopped the fund: then nobody waits for a broker."""
    account = day.key.account
    return day.world.control.control(account).kill_switch or bool(day.world.halts.open_halts(account))


def _times(asked: Sequence[datetime]) -> str:
    """How often the broker was asked, as the end of a sentence; empty for once."""
    if len(asked) == 1:
        return ""
    seconds = (asked[-1] - asked[0]).total_seconds()
    return f"; the broker was asked {len(asked)} times in {seconds:.0f} seconds"
