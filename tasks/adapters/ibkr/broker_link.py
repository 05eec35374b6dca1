"""What the gateway says of its own link to the broker: whether there is one, and what was read while it was there."""

from __future__ import annotations

from tasks.adapters.ibkr.errors import LINK_LOST, LINK_RESTORED


class BrokerLink:
    """The gateway's link over one connection. ``turn`` is another one after each loss and each return.

    What was read in one turn while the link was there is the account as it is; what was begun in an earlier one may
    lack what happened meanwhile. A gateway that says nothing has its broker.
    """

    def __init__(self) -> None:
        self.is_lost, self.turn = False, 0

    def begin(self) -> None:
        """A new connection: what the old one said is over."""
        self.is_lost, self.turn = False, self.turn + 1

    def hear(self, code: int) -> bool:
        """Take in a code; whether the link is lost with it and was there before."""
        if code in LINK_RESTORED:
            self.is_lost, self.turn = False, self.turn + 1
        elif code in LINK_LOST and not self.is_lost:
            self.is_lost, self.turn = True, self.turn + 1
            return True
        return False

    def stood_since(self, turn: int) -> bool:
        """Whether the link is there and was all the time since a turn."""
        return not self.is_lost and self.turn == turn
