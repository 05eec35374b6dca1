"""Prefect never repeats an effect (REL 5.7, B3): who makes tasks and flows, with what, and who reaches the broker."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from flows.close import end_of_day
from flows.daily import daily_decision
from flows.execution import execution
from flows.operations import resolve_halt
from tasks.step import step
from tests.architecture.source_tree import LAYERS, calls, modules
from tests.shared_data import REPOSITORY

SENDER = "engine/execution/line.py"
SENDING_STEP = "tasks/execute.py"
READING_STEPS = {
    ("tasks/execute.py", "find_open_orders"),
    ("tasks/sync.py", "recover_orders"),
    ("tasks/sync.py", "sync_positions"),
}
"""Steps that ask the broker and may ask again; what they book is booked once per execution id."""


def parsed(*packages: str) -> list[tuple[str, ast.Module]]:
    return [(_place(path), ast.parse(path.read_text())) for path in modules(*packages)]


def _place(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def decorated(tree: ast.AST, name: str) -> list[tuple[str, ast.expr]]:
    """Functions with a decorator of this name, called or bare."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in node.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if ast.unparse(called).split(".")[-1] == name:
                    found.append((node.name, decorator))
    return found


def given(decorator: ast.expr, name: str) -> object:
    """Constant that a decorator gives under a name, ``None`` where it does not."""
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    return next((ast.literal_eval(word.value) for word in keywords if word.arg == name), None)


def test_only_the_step_makes_a_task() -> None:
    made = [
        place
        for place, tree in parsed(*LAYERS)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "prefect"
        if "task" in {alias.name for alias in node.names}
    ]
    assert made == ["tasks/step.py"]


def test_only_steps_that_read_are_ever_retried() -> None:
    retried = {
        (place, name)
        for place, tree in parsed("tasks", "flows")
        for name, decorator in decorated(tree, "step")
        if given(decorator, "read_retries")
    }
    assert retried == READING_STEPS


def test_only_the_executor_writes_an_order_and_only_one_step_runs_it() -> None:
    sends = [
        (place, name)
        for place, tree in parsed(*LAYERS)
        for name, _ in calls(tree)
        if name.endswith("transport.send")
    ]
    assert [place for place, _ in sends] == [SENDER]
    runs = [
        place
        for place, tree in parsed("tasks", "flows")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "engine.execution.executor"
    ]
    assert runs == [SENDING_STEP]
    tree = dict(parsed("tasks"))[SENDING_STEP]
    steps = dict(decorated(tree, "step"))
    running = [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and "execute" in {name for name, _ in calls(node)}
    ]
    assert running == ["work_jobs"]
    assert given(steps["work_jobs"], "read_retries") is None


def test_no_decorator_of_a_flow_leaves_retries_or_results_to_a_profile() -> None:
    flows = [
        (place, name, given(decorator, "retries"), given(decorator, "persist_result"))
        for place, tree in parsed("flows")
        for name, decorator in decorated(tree, "flow")
    ]
    assert len(flows) >= 4
    assert [(place, name) for place, name, retries, kept in flows if (retries, kept) != (0, False)] == []


@pytest.mark.parametrize(
    "flow", [daily_decision, execution, end_of_day, resolve_halt], ids=lambda flow: flow.name
)
def test_flow_is_never_repeated_by_prefect_nor_its_result_kept(flow) -> None:  # type: ignore[no-untyped-def]
    assert (flow.retries, flow.persist_result) == (0, False)


def test_a_step_that_says_nothing_is_not_retried() -> None:
    @step("send")
    def send() -> None:
        """An effect."""

    assert (send.task.retries, send.task.persist_result) == (0, False)
