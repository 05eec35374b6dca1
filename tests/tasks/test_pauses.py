"""What is held already is not looked at by the collector while deadlines wait."""

from __future__ import annotations

import gc
import weakref

import pytest

from tasks.pauses import without_long_pauses


class _Ring:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.own = self


def test_collector_spares_what_was_held_and_collects_what_is_made() -> None:
    gc.disable()  # no pass but those asked for here
    try:
        gc.collect()
        before = weakref.ref(_Ring())
        with without_long_pauses():
            made = weakref.ref(_Ring())
            gc.collect()
            assert before() is not None
            assert made() is None
        gc.collect()
        assert before() is None
    finally:
        gc.enable()


def test_collector_sees_everything_again_after_a_failure() -> None:
    with without_long_pauses():
        assert gc.get_freeze_count() > 0
    with pytest.raises(RuntimeError, match="a run failed"), without_long_pauses():
        raise RuntimeError("a run failed")
    assert gc.get_freeze_count() == 0
