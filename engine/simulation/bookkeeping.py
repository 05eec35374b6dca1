"""How the simulated broker books what happened: cash movements, trades, commissions, splits.

Every amount is rounded once, half-even to six decimals, when it is posted. A share or option costs
``quantity × price × multiplier`` in cash at the trade; a future moves no cash at the trade, its cost waits in
``futures_cost`` for the next settlement; a currency pair moves both currencies and leaves no position.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

from engine.errors import InvariantError
from engine.model.instruments import Instrument, InstrumentType
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill
from engine.model.policy import CostPolicy
from engine.simulation.account import AccountPosition, AccountState, Posting, PostingKind
from engine.simulation.loans import note_unsettled

_UNIT_COST = Decimal("0.000000000001")
_QUANTITY = Decimal("0.000001")


def is_currency_pair(instrument: Instrument) -> bool:
    """Whether a trade exchanges two currencies instead of making a position."""
    return instrument.kind in (InstrumentType.CASH, InstrumentType.FX_SPOT)


def base_currency(instrument: Instrument) -> str:
    """Currency that a unit of a pair buys: the first one of its id (``USD.CHF`` is dollars, paid in francs)."""
    base, _, quoted = instrument.instrument_id.partition(".")
    if quoted != instrument.currency:
        raise InvariantError(
            f"expected a currency pair named BASE.{instrument.currency}, found {instrument.instrument_id}"
        )
    return base


def sequence_key(number: int) -> str:
    """Key of a counter that sorts as its number."""
    return f"{number:010d}"


def post(state: AccountState, kind: PostingKind, currency: str, amount: Decimal, reference: str) -> None:
    """Move settled cash and record why; an amount of zero leaves no trace."""
    rounded = round_money(amount)
    if rounded == 0:
        return
    state.cash.put(currency, state.balance(currency) + rounded)
    state.head = replace(state.head, postings=state.head.postings + 1)
    posting = Posting(
        at=state.head.virtual_time, kind=kind, currency=currency, amount=rounded, reference=reference
    )
    state.postings.archive(sequence_key(state.head.postings), posting)


def commission(costs: CostPolicy, instrument: Instrument, quantity: Decimal, notional: Decimal) -> Decimal:
    """Commission of a whole order, positive, in the instrument's currency; 0 while nothing traded.

    max(minimum, quantity × per unit + notional × bps/10⁴), rounded once.
    """
    return round_money(costs.commission(instrument.collar_class, quantity, notional))


def book_trade(state: AccountState, instrument: Instrument, fill: Fill) -> None:
    """Book one execution and its commission."""
    value = round_money(instrument.notional(fill.signed_quantity, fill.price))
    if is_currency_pair(instrument):
        post(
            state,
            PostingKind.CONVERSION,
            base_currency(instrument),
            fill.signed_quantity * instrument.effective_multiplier,
            fill.execution_id,
        )
        post(state, PostingKind.CONVERSION, instrument.currency, -value, fill.execution_id)
    else:
        _change_position(state, instrument, fill, value)
        note_unsettled(state, instrument, fill)
        if not instrument.is_future:
            post(state, PostingKind.TRADE, instrument.currency, -value, fill.execution_id)
    if fill.commission is not None and fill.commission_currency is not None:
        post(state, PostingKind.COMMISSION, fill.commission_currency, -fill.commission, fill.execution_id)


def charge_tax(
    state: AccountState, costs: CostPolicy, instrument: Instrument, fill: Fill, *, refund: bool = False
) -> None:
    """Pass on what the listing's country takes of a trade in shares, at once and apart from the commission."""
    if instrument.kind is not InstrumentType.STK:
        return
    value = abs(instrument.notional(fill.quantity, fill.price))
    for tax in costs.transaction_taxes:
        if tax.applies(instrument.venue, fill.side, fill.executed_at.date()):
            amount = value * tax.rate if refund else -value * tax.rate
            post(state, PostingKind.TAX, instrument.currency, amount, fill.execution_id)


def _change_position(state: AccountState, instrument: Instrument, fill: Fill, value: Decimal) -> None:
    held = state.positions.get(fill.contract_id) or AccountPosition(
        contract_id=fill.contract_id,
        quantity=ZERO,
        average_cost=ZERO,
        futures_cost=ZERO,
        last_settlement=None,
    )
    changed = replace(
        held,
        quantity=held.quantity + fill.signed_quantity,
        average_cost=_average_cost(held, instrument, fill),
        futures_cost=held.futures_cost + value if instrument.is_future else ZERO,
    )
    store_position(state, changed)


def _average_cost(held: AccountPosition, instrument: Instrument, fill: Fill) -> Decimal:
    """Average of what was paid per unit: changed by additions only, made anew when the position turns."""
    added, after = fill.signed_quantity, held.quantity + fill.signed_quantity
    # A commission makes a long dearer and a short's proceeds smaller.
    paid = instrument.notional(added, fill.price) + (fill.commission or ZERO)
    if after == 0:
        return ZERO
    if held.quantity * added >= 0:
        return ((held.quantity * held.average_cost + paid) / after).quantize(
            _UNIT_COST, rounding=ROUND_HALF_EVEN
        )
    if held.quantity * after > 0:
        return held.average_cost
    return (paid / added).quantize(_UNIT_COST, rounding=ROUND_HALF_EVEN)


def store_position(state: AccountState, position: AccountPosition) -> None:
    """Keep a position while it holds a quantity or an unsettled futures result."""
    state.positions.put(position.contract_id, position)
    if position.quantity == 0 and position.futures_cost == 0:
        state.positions.retire(position.contract_id)


def apply_split(state: AccountState, instrument_id: str, new_shares: int, old_shares: int) -> Decimal:
    """Turn a holding of shares into its new whole number; the signed fraction that is left, to be paid in cash.

    The unit cost is restated; that of the fraction goes with it.
    """
    held = state.positions.get(instrument_id)
    if held is None:
        return ZERO
    quantity = (held.quantity * new_shares / old_shares).quantize(_QUANTITY, rounding=ROUND_HALF_EVEN)
    unit_cost = (held.average_cost * old_shares / new_shares).quantize(_UNIT_COST, rounding=ROUND_HALF_EVEN)
    whole = quantity.to_integral_value(rounding=ROUND_DOWN)
    store_position(state, replace(held, quantity=whole, average_cost=unit_cost))
    return quantity - whole


def rename_position(state: AccountState, instrument_id: str, new_instrument_id: str) -> None:
    """Carry a holding on under another id; the old one is only history.

    Raises `InvariantError` when the new id is held already: a company's shares have one id at a time.
    """
    held = state.positions.get(instrument_id)
    if held is None:
        return
    if state.positions.get(new_instrument_id) is not None:
        raise InvariantError(
            f"expected no holding of {new_instrument_id} before {instrument_id} takes its name"
        )
    state.positions.retire(instrument_id)
    store_position(state, replace(held, contract_id=new_instrument_id))
