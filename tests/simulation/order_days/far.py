"""The broker's end of a day's lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from tests.simulation.order_days.endings import Sight
from tests.simulation.order_days.strangers import Strangers


@dataclass
class Far:
    """The broker's end of the line, which outlives every connection: what it served, forgot and renumbered, and who else is there.

    ``is_signalled``: the process was asked to end, which breaks its next wait off. ``must_end_by`` is when it has to be over.
    ``sight`` is the newest process's.
    """

    served: dict[str, set[Decimal]] = field(default_factory=dict)
    forgotten: datetime | None = None
    renumbered: int = 0
    strangers: Strangers = field(default_factory=Strangers)
    is_signalled: bool = False
    must_end_by: datetime | None = None
    sight: Sight = field(default_factory=Sight)

    def begin_process(self) -> Sight:
        """A new process was asked for nothing and has seen nothing."""
        self.is_signalled, self.sight = False, Sight()
        return self.sight
