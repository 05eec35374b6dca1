"""A thread that owns an event loop: others hand it what is to be done and wait, with a timeout, for the answer.

The library works in no other way under every kind of flow; nothing of it is touched from another thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from ib_insync.wrapper import RequestError

from engine.errors import BrokerUnavailable
from tasks.adapters.ibkr.errors import NotWritten, RequestRefused

T = TypeVar("T")
_HANG_SECONDS = 2.0
"""How much longer than its own timeout a caller waits for the thread itself."""


class OwnerThread:
    """A daemon thread with its loop, running until it is stopped."""

    def __init__(self, name: str, prepare: Callable[[], None]) -> None:
        self.loop = asyncio.new_event_loop()
        self._prepare, self._prepared = prepare, threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Run ``prepare`` on the thread, then its loop."""
        self._thread.start()
        self._prepared.wait()

    @property
    def is_alive(self) -> bool:
        """Whether anything can still be asked."""
        return self._thread.is_alive()

    def stop(self, timeout: float) -> None:
        """End the loop and the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)

    def wait(self, doing: Coroutine[object, object, T], timeout: float) -> T:
        """Let the thread do something and wait; it gives up before the caller, so what was given up is not done later.

        Raises `BrokerUnavailable` without a connection or an answer in time, `RequestRefused` when the broker refuses.
        """
        if not self.is_alive:
            doing.close()
            raise NotWritten("the session is closed")

        async def bounded() -> T:
            return await asyncio.wait_for(doing, timeout)

        future = asyncio.run_coroutine_threadsafe(bounded(), self.loop)
        try:
            return future.result(timeout + _HANG_SECONDS)
        except RequestError as error:
            raise RequestRefused(error.code, error.message) from error
        except (TimeoutError, FutureTimeout) as error:
            future.cancel()
            raise BrokerUnavailable(f"no answer of the broker in {timeout:g} seconds") from error
        except OSError as error:
            raise BrokerUnavailable(f"no connection to the broker: {error}") from error

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self._prepare()
        self._prepared.set()
        self.loop.run_forever()
        asyncio.set_event_loop(None)
        self.loop.close()
