"""Why a balance differs by a tax: on a trade as configured, forgotten or doubled, or withheld of a dividend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

from engine.accounting.break_values import CENT, Booking, Charge, Explanation, because, money_text
from engine.accounting.charges import TAX_ACCOUNT, tax_of
from engine.accounting.ledger import EntryKind
from engine.accounting.scene import CashScene, held_dividends
from engine.model.breaks import BreakKind
from engine.model.money import ZERO
from engine.model.orders import Fill

_INTEREST_MOST = Decimal("0.0015")
"""What an amount may have earned or cost since it moved, as a fraction of it: five days at ten percent a year."""
_WITHHELD_MOST = Decimal("0.5")
_TRADE_TAX = (Decimal("0.0009"), Decimal("0.01"))


def likely_taxes(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    """What looks like a tax that no rule names: a share of a dividend, a rate on a trade."""
    yield from _withheld(currency, more, usd, scene)
    for fill in scene.known.booked:
        instrument = scene.sides.instrument(fill.contract_id)
        if instrument is None or instrument.currency != currency or fill.quantity == 0:
            continue
        share = -more / abs(instrument.notional(fill.quantity, fill.price))
        if _TRADE_TAX[0] <= share <= _TRADE_TAX[1]:
            yield because(
                BreakKind.TAX, f"a tax of {share:.3%} on execution {fill.execution_id}, as no rule says", usd
            )


def configured_taxes(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    """Taxes by rule that one side has and the other has not, or has twice; ``more`` is what the broker has more.

    First each taxed execution, then those together of which our side counts the tax, or does not.
    """
    due, counted = _due(currency, scene), _counted(scene)
    groups: list[tuple[Fill, ...]] = [(fill,) for fill in due]
    for taxed in (True, False):
        together = tuple(fill for fill in due if (fill.execution_id in counted) is taxed)
        if len(together) > 1:
            groups.append(together)
    for fills in groups:
        tax = sum((due[fill] for fill in fills), ZERO)
        beyond = abs(more) - tax
        if -CENT <= beyond <= max(CENT, tax * _INTEREST_MOST):
            is_counted = all(fill.execution_id in counted for fill in fills)
            yield _cause_of({fill: due[fill] for fill in fills}, more, usd, currency, is_counted=is_counted)


def _counted(scene: CashScene) -> frozenset[str]:
    """Executions whose tax our side of the comparison holds: booked, or to be booked with the execution."""
    missed = {row.fill.execution_id for found in scene.quantities for row in found.missed}
    return scene.known.taxed | missed


def _due(currency: str, scene: CashScene) -> dict[Fill, Decimal]:
    """What is due by rule on each execution in a currency that is booked or was missed."""
    found = {}
    missed = [row.fill for quantity in scene.quantities for row in quantity.missed]
    for fill in (*scene.known.booked, *missed):
        instrument = scene.sides.instrument(fill.contract_id)
        if instrument is not None and instrument.currency == currency:
            tax = tax_of(fill, instrument, scene.evidence.taxes)
            if tax != 0:
                found[fill] = tax
    return found


def _cause_of(
    taxes: Mapping[Fill, Decimal], more: Decimal, usd: Decimal, currency: str, *, is_counted: bool
) -> Explanation:
    """Only what our ledger lacks is certain, to the cent; what the broker forgot or took twice it may put right."""
    whole = sum(taxes.values(), ZERO).copy_sign(more)
    names = ", ".join(fill.execution_id for fill in taxes)
    tax = f"the transaction tax of {money_text(abs(whole), currency)} on {names}"
    if more > 0:
        text = f"the broker did not charge {tax}, which our side holds"
    else:
        text = f"the broker charged {tax}{' twice' if is_counted else ', which our ledger does not hold'}"
    is_ours = more < 0 and not is_counted
    interest = more - whole
    if abs(interest) > CENT:
        text += f"; {money_text(interest, currency)} more are like its interest since"
    charges = tuple(
        Charge(execution_id=fill.execution_id, contract_id=fill.contract_id, amount=-due)
        for fill, due in taxes.items()
    )
    booking = Booking(
        kind=EntryKind.TAX,
        contract_id=charges[0].contract_id if len(charges) == 1 else None,
        account=TAX_ACCOUNT,
        currency=currency,
        amount=whole,
        charges=charges if is_ours else (),
    )
    return because(BreakKind.TAX, text, usd, booking=booking, is_complete=is_ours and abs(interest) <= CENT)


def _withheld(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    for text, amount in held_dividends(scene, currency):
        share = -more / amount if amount != 0 else ZERO
        if ZERO < share <= _WITHHELD_MOST:
            yield because(BreakKind.TAX, f"{share:.2%} withheld of {text}", usd)
