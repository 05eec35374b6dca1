"""Why a quantity differs: executions not booked, trades of others, splits, exercises, ends of contracts."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.accounting.break_values import Booking, Break, Explanation, because, plain, ranked
from engine.accounting.corporate_actions import is_share, snapped_split_ratio
from engine.accounting.deliveries import exercised_options, is_over
from engine.accounting.differences import MissedExecution, QuantityDifference
from engine.accounting.ledger import EntryKind
from engine.accounting.sides import Evidence, KnownOrders, Sides
from engine.model.breaks import BreakKind
from engine.model.halts import HaltChoice, HaltKind
from engine.model.market import Split
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill

_SPLIT_LARGEST = 20
_SPLIT_PRICE_TOLERANCE = Decimal("0.1")
_SAME_PRICE_TOLERANCE = Decimal("0.2")


def quantity_breaks(
    quantities: tuple[QuantityDifference, ...], sides: Sides, known: KnownOrders, evidence: Evidence
) -> tuple[Break, ...]:
    """Executions of ours that were not booked, then holdings that nobody of ours traded."""
    missed = tuple(
        _quantity_break(
            HaltKind.MISSED_FILL,
            found,
            tuple(_missed_cause(row, found, sides, known) for row in found.missed),
            sides,
        )
        for found in quantities
        if found.missed
    )
    foreign = tuple(
        _quantity_break(
            HaltKind.FOREIGN_POSITION,
            found,
            ranked(_foreign_causes(found, quantities, sides, known, evidence)),
            sides,
        )
        for found in quantities
        if found.foreign != 0
    )
    return (*missed, *foreign)


def _missed_cause(
    row: MissedExecution, found: QuantityDifference, sides: Sides, known: KnownOrders
) -> Explanation:
    fill = row.fill
    quantity = _quantity_text(fill.quantity, found, sides)
    told = (
        f"execution {fill.execution_id} ({fill.order_ref}): {fill.side.value} {quantity}"
        f" at {price_text(fill.price, found.contract_id, sides)}"
    )
    cause, what = BreakKind.MISSED_FILL, "was not booked"
    if row.replaces is not None:
        cause, what = BreakKind.CORRECTED_EXECUTION, f"corrects {row.replaces.execution_id}"
        if fill.quantity == 0:
            cause, what = BreakKind.BUSTED_EXECUTION, f"takes back {row.replaces.execution_id}"
    else:
        twin = _twin(fill, (*known.booked, *sides.broker.executions))
        if twin is not None:
            held = "executed twice" if found.foreign == 0 else "told twice, and held once"
            cause, what = BreakKind.DUPLICATE_FILL, f"repeats {twin.execution_id}: {held}"
    return because(
        cause,
        f"{told} {what}",
        found.net_effect_usd,
        is_complete=found.foreign == 0 and found.is_listed and cause is not BreakKind.DUPLICATE_FILL,
    )


def _twin(fill: Fill, others: tuple[Fill, ...]) -> Fill | None:
    """Another execution that says the same of the same moment."""
    return next((one for one in others if one.root != fill.root and _same_trade(one, fill)), None)


def _same_trade(one: Fill, other: Fill) -> bool:
    return (one.order_ref, one.contract_id, one.side, one.quantity, one.price, one.executed_at) == (
        other.order_ref,
        other.contract_id,
        other.side,
        other.quantity,
        other.price,
        other.executed_at,
    )


def _foreign_causes(
    found: QuantityDifference,
    quantities: tuple[QuantityDifference, ...],
    sides: Sides,
    known: KnownOrders,
    evidence: Evidence,
) -> Iterator[Explanation]:
    """Causes of a quantity that no execution of ours explains, from the most telling to the last resort."""
    if found.is_listed:
        yield from _exercise(found, sides)
        yield from _split(found, sides, evidence)
        yield from _end(found, sides)
        yield from _multiplied(found, sides)
        yield from _taken_back(found, sides, known)
    yield from _renamed(found, quantities, sides)
    if not found.is_listed:
        cause = "traded outside the fund" if found.foreign_executions else "no execution explains it"
        text = f"{_surplus(found, sides)}: {cause}; the universe does not list this contract"
        yield because(BreakKind.UNKNOWN_CONTRACT, text, found.net_effect_usd, choice=HaltChoice.RETRY)
        return
    yield from _traded(found, sides)
    yield from _moved(found, sides)


def _exercise(found: QuantityDifference, sides: Sides) -> Iterator[Explanation]:
    for option, underlying in exercised_options(sides).items():
        if found.contract_id in (option, underlying):
            strike = sides.contracts.contract(option).strike
            booking = Booking(kind=EntryKind.EXPIRY, contract_id=option, price=ZERO)
            yield because(
                BreakKind.ASSIGNMENT,
                f"{option} was exercised or assigned: {underlying} changed hands at its strike of {strike}",
                found.net_effect_usd,
                booking=booking if found.contract_id == option else None,
                is_complete=True,
            )


def _split(found: QuantityDifference, sides: Sides, evidence: Evidence) -> Iterator[Explanation]:
    instrument = sides.instrument(found.contract_id)
    if instrument is None or not is_share(instrument) or found.ours * found.broker <= 0:
        return
    for split in evidence.splits:
        if split.instrument_id == instrument.instrument_id and split.ex_date <= sides.broker.as_of.date():
            ratio = Decimal(split.new_shares) / split.old_shares
            left = round_money(found.ours * ratio) - found.broker
            if abs(left) < 1:
                text = f"a split of {split.new_shares} for {split.old_shares} on {split.ex_date}"
                whole = "" if left == 0 else f"; the fraction of {plain(left)} is paid in cash"
                yield because(
                    BreakKind.SPLIT,
                    text + whole,
                    found.net_effect_usd,
                    booking=_split_booking(found, split) if left == 0 else None,
                    is_complete=left == 0,
                )
    terms = snapped_split_ratio(found.broker / found.ours)
    if terms is not None and max(terms) <= _SPLIT_LARGEST and _prices_moved_by(terms, found, sides):
        yield because(
            BreakKind.SPLIT,
            f"looks like a split of {terms[0]} for {terms[1]}: quantity and price moved by the same ratio",
            found.net_effect_usd,
        )


def _split_booking(found: QuantityDifference, split: Split) -> Booking:
    return Booking(kind=EntryKind.SPLIT, contract_id=found.contract_id, split=split)


def _prices_moved_by(terms: tuple[int, int], found: QuantityDifference, sides: Sides) -> bool:
    mark, held = sides.prices.marks.get(found.contract_id), sides.broker.positions.get(found.contract_id)
    if mark is None or held is None or held.mark is None or held.mark <= 0:
        return False
    return abs(mark.price * terms[1] / terms[0] / held.mark - 1) <= _SPLIT_PRICE_TOLERANCE


def _end(found: QuantityDifference, sides: Sides) -> Iterator[Explanation]:
    if found.broker != 0 or found.ours == 0 or not is_over(sides, found.contract_id):
        return
    instrument = sides.contracts.instrument(found.contract_id)
    last = sides.contracts.contract(found.contract_id).last_trade_date
    handed_over = instrument.exposure_currency
    is_delivered = (
        instrument.is_future and handed_over != instrument.currency and handed_over in found.cash_effects
    )
    if is_delivered:
        yield because(
            BreakKind.DELIVERY,
            f"its last trade was on {last} and it was delivered: {handed_over} changed hands",
            found.net_effect_usd,
        )
    price = sides.broker_mark(found.contract_id)
    booking = Booking(kind=EntryKind.EXPIRY, contract_id=found.contract_id, price=price)
    yield because(
        BreakKind.EXPIRY,
        f"its last trade was on {last}: it ended at the broker and not in our book",
        found.net_effect_usd,
        booking=None if price is None else booking,
        is_complete=price is not None and not is_delivered,
    )


def _multiplied(found: QuantityDifference, sides: Sides) -> Iterator[Explanation]:
    instrument = sides.contracts.instrument(found.contract_id)
    factor = instrument.multiplier
    if (
        factor != 1
        and found.ours * found.broker > 0
        and found.ours in (found.broker * factor, found.broker / factor)
    ):
        yield because(
            BreakKind.MULTIPLIER,
            f"the two quantities differ by the contract's multiplier of {plain(factor)}",
            found.net_effect_usd,
            choice=HaltChoice.RETRY,
        )


def _taken_back(found: QuantityDifference, sides: Sides, known: KnownOrders) -> Iterator[Explanation]:
    listed = {fill.root for fill in sides.broker.executions}
    for fill in known.booked:
        if fill.contract_id != found.contract_id or fill.signed_quantity != -found.foreign:
            continue
        twin = _twin(fill, known.booked)
        if twin is not None:
            text = f"our book holds {fill.execution_id} and {twin.execution_id}, which are one execution"
            yield because(BreakKind.DUPLICATE_FILL, text, found.net_effect_usd)
        elif fill.root not in listed:
            text = (
                f"the broker no longer lists execution {fill.execution_id}: the venue may have taken it back"
            )
            yield because(BreakKind.BUSTED_EXECUTION, text, found.net_effect_usd)
    if any(-row.quantity == found.foreign and _twin(row.fill, known.booked) for row in found.missed):
        text = "the broker lists one execution twice and holds its quantity once"
        yield because(BreakKind.DUPLICATE_FILL, text, found.net_effect_usd, choice=HaltChoice.RETRY)


def _renamed(
    found: QuantityDifference, quantities: tuple[QuantityDifference, ...], sides: Sides
) -> Iterator[Explanation]:
    """One line vanished and another of the same size came: the same holding under another name."""
    for other in quantities:
        old, new = (found, other) if found.broker == 0 else (other, found)
        same = other is not found and old.ours == new.broker and old.ours != 0
        if not same or old.broker != 0 or new.ours != 0 or not _same_price(old, new, sides):
            continue
        yield because(
            BreakKind.SYMBOL_CHANGE,
            f"{old.contract_id} may be called {new.contract_id} now: the same quantity at a like price",
            found.net_effect_usd,
            choice=HaltChoice.ADOPT_BROKER if new.is_listed and old.is_listed else HaltChoice.RETRY,
        )


def _same_price(old: QuantityDifference, new: QuantityDifference, sides: Sides) -> bool:
    before, after = sides.broker_mark(old.contract_id), sides.broker_mark(new.contract_id)
    return (
        before is not None
        and after is not None
        and before > 0
        and abs(after / before - 1) <= _SAME_PRICE_TOLERANCE
    )


def _traded(found: QuantityDifference, sides: Sides) -> Iterator[Explanation]:
    if not found.foreign_executions:
        return
    names = ", ".join(fill.execution_id for fill in found.foreign_executions)
    excess = sides.broker.excess_liquidity
    marked = any(fill.execution_id in sides.broker.liquidations for fill in found.foreign_executions)
    reduces = abs(found.broker) < abs(found.ours)
    if marked or (reduces and excess is not None and excess <= 0):
        yield because(
            BreakKind.BROKER_LIQUIDATION,
            f"{_surplus(found, sides)}: the broker closed it ({names}); look at margin before anything else",
            found.net_effect_usd,
        )
    yield because(
        BreakKind.MANUAL_TRADE,
        f"{_surplus(found, sides)}: traded outside the fund ({names})",
        found.net_effect_usd,
    )


def _moved(found: QuantityDifference, sides: Sides) -> Iterator[Explanation]:
    if found.foreign_executions:
        return
    text = f"{_surplus(found, sides)}: no execution explains it"
    if _may_be_left_out(found, sides):
        yield because(
            BreakKind.PARTIAL_ANSWER,
            f"the broker may have left {found.contract_id} out of its list: the money says nothing of its end; ask again",
            found.net_effect_usd,
            choice=HaltChoice.RETRY,
        )
    unlisted = because(
        BreakKind.UNLISTED_TRADE, f"{text}; its money moved as in a trade", found.net_effect_usd
    )
    transfer = because(
        BreakKind.POSITION_TRANSFER, f"{text}, and no money moved with it", found.net_effect_usd
    )
    yield from (unlisted, transfer) if any(found.cash_effects.values()) else (transfer, unlisted)


def _may_be_left_out(found: QuantityDifference, sides: Sides) -> bool:
    """Whether a future is absent without a trace: it is worth nothing by itself, so no figure tells whether it is held."""
    instrument = sides.instrument(found.contract_id)
    is_absent = found.contract_id not in sides.broker.positions and found.ours != 0
    is_traceless = not any(found.cash_effects.values()) and not is_over(sides, found.contract_id)
    return instrument is not None and instrument.is_future and is_absent and is_traceless


def _surplus(found: QuantityDifference, sides: Sides) -> str:
    price = found.foreign_price
    at = "an unknown price" if price is None else price_text(price, found.contract_id, sides)
    more = "more" if found.foreign > 0 else "less"
    return (
        f"the broker holds {_quantity_text(abs(found.foreign), found, sides)} {more} than our book, at {at}"
    )


def _quantity_break(
    kind: HaltKind, found: QuantityDifference, explanations: tuple[Explanation, ...], sides: Sides
) -> Break:
    return Break(
        kind=kind,
        subject=found.contract_id,
        ours=_quantity_text(found.ours, found, sides),
        broker=_quantity_text(found.broker, found, sides),
        difference_usd=found.net_effect_usd,
        explanations=explanations,
    )


def _quantity_text(quantity: Decimal, found: QuantityDifference, sides: Sides) -> str:
    instrument = sides.instrument(found.contract_id)
    unit = "units" if instrument is None else instrument.quantity_unit
    return f"{plain(quantity)} {unit[:-1] if abs(quantity) == 1 else unit}"


def price_text(price: Decimal, contract_id: str, sides: Sides) -> str:
    """A price with its unit."""
    instrument = sides.instrument(contract_id)
    return plain(price) if instrument is None else f"{plain(price)} {instrument.price_unit}"
