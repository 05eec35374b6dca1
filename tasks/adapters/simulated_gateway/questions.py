"""Questions that change nothing: orders, executions, holdings, the account's values, contracts and their ticks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.sessions import SessionTable
from tasks.adapters.simulated_gateway.accounts import AccountDesk
from tasks.adapters.simulated_gateway.forms import flag, text
from tasks.adapters.simulated_gateway.listing import Listing
from tasks.adapters.simulated_gateway.messages import Request
from tasks.adapters.simulated_gateway.orders import OrderDesk
from tasks.adapters.simulated_gateway.sessions import Answer, Session, error

OF_THE_ACCOUNT = frozenset({"positions", "account_updates_multi", "account_summary"})
"""Questions whose answer depends on the moment at which it is given."""

Question = Callable[[Session, Request], list[Answer]]


@dataclass(slots=True, kw_only=True)
class Questions:
    """Answers of one gateway; ``now`` is its time."""

    accounts: AccountDesk
    orders: OrderDesk
    listing: Listing
    hours: SessionTable
    now: Callable[[], datetime]

    def routes(self) -> Mapping[str, Question]:
        """What answers which request."""
        return {
            "open_orders": self._open_orders,
            "all_open_orders": self._open_orders,
            "completed_orders": self._completed_orders,
            "executions": self._executions,
            "positions": self._positions,
            "cancel_positions": self._cancel_positions,
            "account_updates_multi": self._account_multi,
            "account_summary": self._summary,
            "cancel_account_summary": self._cancel_summary,
            "contract_details": self._contract_details,
            "market_rule": self._market_rule,
            "cancel_account_updates_multi": self._nothing,
            "automatic_open_orders": self._nothing,
            "log_level": self._nothing,
        }

    def _nothing(self, session: Session, request: Request) -> list[Answer]:
        """Understood, and nothing to answer."""
        return []

    def _open_orders(self, session: Session, request: Request) -> list[Answer]:
        answers: list[Answer] = []
        for known in self.orders.listed(is_open=True):
            if request.name == "all_open_orders" or known.client_id == session.client_id:
                answers += [self.orders.open_order(known), self.orders.order_status(known)]
        return [*answers, Answer("open_orders_end", {})]

    def _completed_orders(self, session: Session, request: Request) -> list[Answer]:
        api_only = flag(request.record, "api_only")
        answers = [
            self.orders.completed_order(known)
            for known in self.orders.listed(is_open=False)
            if known.placed is not None or not api_only
        ]
        return [*answers, Answer("completed_orders_end", {})]

    def _executions(self, session: Session, request: Request) -> list[Answer]:
        number = request.integer("request_id")
        told = self.orders.executions(number, request.record)
        return [*told, Answer("executions_end", {"request_id": str(number)})]

    def _positions(self, session: Session, request: Request) -> list[Answer]:
        session.watches_positions = True
        return self.accounts.positions()

    def _cancel_positions(self, session: Session, request: Request) -> list[Answer]:
        session.watches_positions = False
        return []

    def _account_multi(self, session: Session, request: Request) -> list[Answer]:
        ledger_only = flag(request.record, "ledger_and_nlv")
        number, model = request.integer("request_id"), text(request.record, "model")
        return self.accounts.values_multi(number, model, ledger_only=ledger_only)

    def _summary(self, session: Session, request: Request) -> list[Answer]:
        tags = tuple(tag for tag in text(request.record, "tags").split(",") if tag)
        number = request.integer("request_id")
        session.summaries[number] = tags
        return self.accounts.summary(number, tags)

    def _cancel_summary(self, session: Session, request: Request) -> list[Answer]:
        session.summaries.pop(request.integer("request_id"), None)
        return []

    def _contract_details(self, session: Session, request: Request) -> list[Answer]:
        number = request.integer("request_id")
        found = self.listing.find(request.record, self.now().date())
        if not found:
            told = "No security definition has been found for the request"
            return [error(200, told, number)]
        fixed = {"request_id": str(number)}
        rows = [
            Answer("contract_details", self.listing.details(contract, self.now(), self.hours) | fixed)
            for contract in found
        ]
        return [*rows, Answer("contract_details_end", fixed)]

    def _market_rule(self, session: Session, request: Request) -> list[Answer]:
        rule = request.integer("rule_id")
        increments = self.listing.increments(rule)
        if not increments:
            return [error(321, f"Error validating request.-'cX' : cause - No market rule {rule}.")]
        return [Answer("market_rule", {"rule_id": str(rule), "increments": increments})]
