"""A daily step: a Prefect task inside a flow run, the plain function everywhere else.

``run --without-prefect``, the backtest and the tests call the same functions with nothing in between. A step is
never cached and never persisted by Prefect: what a step decided is in the fund's own journal, and only steps that
read may be retried.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from prefect import Task

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Step(Generic[Parameters, Result]):
    """One step of the day, callable inside and outside of a flow run."""

    def __init__(self, name: str, function: Callable[Parameters, Result], read_retries: int) -> None:
        self.name = name
        self.function = function
        self.read_retries = read_retries
        functools.update_wrapper(self, function)

    @functools.cached_property
    def task(self) -> Task[Parameters, Result]:
        """The step as Prefect runs it."""
        from prefect import task
        from prefect.cache_policies import NO_CACHE

        return task(
            name=self.name,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=self.read_retries,
            retry_delay_seconds=2,
            retry_condition_fn=_is_retryable,
        )(self.function)

    def __call__(self, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        """Run as a Prefect task when a flow run is active, else as the plain function."""
        return self.task(*args, **kwargs) if in_flow_run() else self.function(*args, **kwargs)


def step(
    name: str, *, read_retries: int = 0
) -> Callable[[Callable[Parameters, Result]], Step[Parameters, Result]]:
    """Make a function a step; ``read_retries`` counts retries after the broker or the data did not answer."""

    def wrap(function: Callable[Parameters, Result]) -> Step[Parameters, Result]:
        return Step(name, function, read_retries)

    return wrap


def in_flow_run() -> bool:
    """Whether Prefect runs us. Where nobody imported it, it does not; importing it to ask would cost seconds."""
    if "prefect.context" not in sys.modules:
        return False
    from prefect.context import FlowRunContext

    return FlowRunContext.get() is not None


def _is_retryable(_task: object, _run: object, state: object) -> bool:
    from engine.errors import BrokerUnavailable

    data = getattr(state, "data", None)
    return isinstance(getattr(data, "exception", data), BrokerUnavailable)
