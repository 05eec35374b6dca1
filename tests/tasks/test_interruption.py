"""Signals while orders work: told to the executor, and answered at the end as they always are."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from engine.errors import InterruptedRun
from tasks.interruption import heeding_signals


@pytest.fixture(autouse=True)
def _keyboard() -> Iterator[None]:
    """Control-C as a terminal's process has it: a shell lets one in the background ignore it."""
    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, found)


def handlers() -> tuple[object, object]:
    return signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)


def test_nobody_asked_nothing_changes() -> None:
    before = handlers()
    with heeding_signals() as is_ending:
        assert not is_ending()
        assert handlers() != before
    assert handlers() == before


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, InterruptedRun), (signal.SIGINT, KeyboardInterrupt)]
)
def test_signal_is_told_and_ends_the_run_only_when_its_orders_are_done(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    before, reached = handlers(), False
    with pytest.raises(raised), heeding_signals() as is_ending:  # noqa: PT012 (what stands inside is the subject)
        signal.raise_signal(number)
        assert is_ending()
        reached = True
    assert reached
    assert handlers() == before


def test_second_control_c_does_what_it_always_did() -> None:
    before, reached = handlers(), False
    with pytest.raises(KeyboardInterrupt), heeding_signals():  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        reached = True
    assert not reached
    assert handlers() == before


def test_failure_inside_is_told_and_not_the_signal() -> None:
    with pytest.raises(ZeroDivisionError), heeding_signals():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        _ = 1 / 0


def test_exit_status_is_the_one_that_a_shell_gives_for_the_signal() -> None:
    assert InterruptedRun.exit_status == 128 + signal.SIGTERM


def test_other_threads_hear_no_signals_and_work_on() -> None:
    heard: list[bool] = []

    def work() -> None:
        with heeding_signals() as is_ending:
            heard.append(is_ending())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert heard == [False]
