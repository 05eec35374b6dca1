"""Leave to trade real money, as a run sees it while it works: it may end in the middle of a window, and be given again.

Where there is none the send gate is closed before an order is claimed, so that none is in doubt, and what works is
taken back as under a halt. The line asks once more with each order (`tasks.adapters.guarded_transport`).
"""

from __future__ import annotations

from collections.abc import Callable

from tasks.adapters.guarded_transport import refusal_of


class Leave:
    """Whether orders may leave now. That they no longer may is told, once each time that it begins."""

    def __init__(self, require: Callable[[], object], tell: Callable[[str], None]) -> None:
        self._require, self._tell = require, tell
        self._is_given = True

    def __call__(self) -> bool:
        """Ask anew."""
        refusal, was_given = refusal_of(self._require), self._is_given
        self._is_given = refusal is None
        if refusal is not None and was_given:
            self._tell(f"no order leaves any more, and what works is taken back: {refusal}")
        return self._is_given
