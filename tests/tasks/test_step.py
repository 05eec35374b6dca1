"""Steps: tasks inside a flow run, plain functions outside; never cached, and only reads are retried."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from prefect.cache_policies import NO_CACHE

import tasks
from tasks.step import Step, step

READS = {"advance the market": 0, "recover open orders": 2, "sync positions": 2}


def all_steps() -> list[Step[..., object]]:
    found = []
    for module in pkgutil.iter_modules(tasks.__path__):
        if not module.ispkg:
            members = vars(importlib.import_module(f"tasks.{module.name}")).values()
            found += [member for member in members if isinstance(member, Step)]
    return found


def test_every_daily_step_is_found() -> None:
    assert len({step.name for step in all_steps()}) >= 18


@pytest.mark.parametrize("found", all_steps(), ids=lambda found: found.name)
def test_step_is_never_cached_nor_persisted_and_retries_only_reads(found: Step[..., object]) -> None:
    assert found.task.cache_policy is NO_CACHE
    assert found.task.persist_result is False
    assert found.task.retries == READS.get(found.name, 0)


def test_step_outside_a_flow_run_is_the_plain_function() -> None:
    @step("add")
    def add(left: int, right: int) -> int:
        """Sum."""
        return left + right

    assert add(2, 3) == 5
    assert add.name == "add"
