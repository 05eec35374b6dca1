"""What an order would cost and take in margin, without placing it."""

from __future__ import annotations

from decimal import Decimal

from engine.model.money import ZERO
from engine.model.orders import ChildOrder
from engine.simulation.account import AccountState
from engine.simulation.bookkeeping import commission
from engine.simulation.margin import closing_marks, margin_requirement, margin_total, net_liquidation
from engine.simulation.matching import refusal
from engine.simulation.terms import BrokerTerms
from tasks.adapters.simulated_gateway.forms import Record, names, text
from tasks.adapters.simulated_gateway.order_forms import OPEN_ORDER
from tasks.adapters.simulated_gateway.order_reading import OrderRefused
from tasks.adapters.simulated_gateway.sessions import Answer, plain

_NAMES = names(OPEN_ORDER)


def preview(record: Record, child: ChildOrder, state: AccountState, terms: BrokerTerms) -> Answer:
    """Margin before, change and after, and the commission; raises `OrderRefused` for what would be rejected."""
    refused = refusal(child, state, terms)
    if refused is not None:
        raise OrderRefused(201, f"Order rejected - reason:{refused.text}")
    instrument = terms.instrument(child.contract_id)
    marks, fx = closing_marks(state, terms), terms.facts.fx(state.head.virtual_time)
    before, equity = margin_total(state, terms, marks, fx), net_liquidation(state, terms, marks, fx)
    change = fx.to_base(_margin_change(child, state, terms), instrument.currency)
    charge = commission(
        terms.costs, instrument, child.quantity, abs(instrument.notional(child.quantity, child.limit_price))
    )
    cost = -fx.to_base(charge, instrument.currency)
    kept = {name: value for name, value in record.items() if name in _NAMES and value not in ("", ())}
    margins = _margins(before, change, equity, cost)
    return Answer(
        "open_order",
        kept
        | margins
        | {"what_if": "1", "status": "PreSubmitted", "commission": plain(charge),
           "commission_currency": instrument.currency, "order_id": text(record, "order_id")},
    )  # fmt: skip


def _margins(before: Decimal, change: Decimal, equity: Decimal, cost: Decimal) -> dict[str, str]:
    rows = {
        "initial_before": before, "maintenance_before": before, "equity_before": equity,
        "initial_change": change, "maintenance_change": change, "equity_change": cost,
        "initial_after": before + change, "maintenance_after": before + change, "equity_after": equity + cost,
    }  # fmt: skip
    return {name: f"{amount:.2f}" for name, amount in rows.items()}


def _margin_change(child: ChildOrder, state: AccountState, terms: BrokerTerms) -> Decimal:
    """Margin that the order's legs add to what is held, in the instrument's currency."""
    instrument, added = terms.instrument(child.contract_id), ZERO
    signed = child.quantity * child.side.sign
    legs = [(child.contract_id, signed, child.limit_price if child.near is None else child.arrival_mid)]
    if child.near is not None:
        legs.append((child.near.contract_id, -signed, child.near.arrival_mid))
    for contract_id, change, price in legs:
        contract, held = terms.facts.contract(contract_id), state.quantity(contract_id)
        added += margin_requirement(instrument, contract, held + change, price or ZERO)
        if held != 0:
            mark = terms.required_closing(contract_id, state.head.virtual_time)
            added -= margin_requirement(instrument, contract, held, mark)
    return added
