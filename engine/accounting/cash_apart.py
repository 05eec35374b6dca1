"""Why a balance differs: a posting that one side lacks or has twice, a tax, a fee, a conversion, a unit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from engine.accounting.break_values import CENT, Booking, Break, Explanation, because, money_text, ranked
from engine.accounting.corporate_actions import DIVIDEND_ACCOUNT
from engine.accounting.deliveries import is_over
from engine.accounting.differences import CashDifference
from engine.accounting.ledger import EntryKind
from engine.accounting.scene import CashScene, held_dividends
from engine.accounting.sides import Sides
from engine.accounting.taxes_apart import configured_taxes, likely_taxes
from engine.model.breaks import BreakKind
from engine.model.halts import HaltChoice, HaltKind
from engine.model.money import ZERO, round_money
from engine.model.policy import ReconciliationPolicy

_LIKE = Decimal("0.01")
_RATE_OFF_MOST = 3
_CAUSE_OF: dict[EntryKind, BreakKind] = {
    EntryKind.DIVIDEND: BreakKind.DIVIDEND,
    EntryKind.INTEREST: BreakKind.INTEREST,
    EntryKind.BORROW_FEE: BreakKind.BORROW_FEE,
    EntryKind.VARIATION: BreakKind.VARIATION,
    EntryKind.COMMISSION: BreakKind.COMMISSION,
    EntryKind.FX_CONVERSION: BreakKind.CONVERSION,
    EntryKind.EXPIRY: BreakKind.EXPIRY,
    EntryKind.TAX: BreakKind.TAX,
    EntryKind.WITHHOLDING: BreakKind.TAX,
    EntryKind.CASH_IN_LIEU: BreakKind.SPLIT,
}


def cash_breaks(scene: CashScene, nav: Decimal, policy: ReconciliationPolicy) -> tuple[Break, ...]:
    """Currencies whose balances differ by more than the limit, after what quantities explain."""
    limit = max(policy.cash_break_usd, policy.cash_break_fraction * abs(nav))
    return tuple(
        Break(
            kind=HaltKind.CASH_BREAK,
            subject=found.currency,
            ours=money_text(found.expected, found.currency),
            broker=money_text(found.broker, found.currency),
            difference_usd=found.unexplained_usd,
            explanations=ranked(_certain(_causes(found, scene))),
        )
        for found in scene.cash
        if abs(found.unexplained_usd) > limit
    )


def _certain(causes: Iterable[Explanation]) -> list[Explanation]:
    """Two facts that both explain an amount to the cent, and would be booked differently, explain nothing for certain."""
    found = list(causes)
    if len({cause.booking for cause in found if cause.is_complete}) > 1:
        return [replace(cause, is_complete=False) for cause in found]
    return found


def accrual_breaks(scene: CashScene, nav: Decimal, policy: ReconciliationPolicy) -> tuple[Break, ...]:
    """Currencies in which one side counts money as owed that the other does not, unless it was paid meanwhile."""
    limit = max(policy.cash_break_usd, policy.cash_break_fraction * abs(nav))
    found = []
    for currency, left in accruals_apart(scene.sides).items():
        usd = round_money(left * scene.sides.broker_rate(currency))
        paid = any(
            row.currency == currency and abs(row.unexplained + left) <= CENT and row.unexplained != 0
            for row in scene.cash
        )
        if abs(usd) > limit and not paid:
            text = f"{_who(left)} counts {abs(left):,.2f} {currency} as owed that {_who(-left)} does not know"
            causes = [because(BreakKind.ACCRUAL, text, usd)]
            if scene.sides.broker.accrued.get(currency, ZERO) or scene.evidence.recent:
                causes.extend(_dividend_owed(scene, currency, left, usd))
            found.append(
                Break(
                    kind=HaltKind.CASH_BREAK,
                    subject=f"{currency} owed",
                    ours=money_text(scene.sides.portfolio.accruals.get(currency, ZERO), currency),
                    broker=money_text(scene.sides.broker.accrued.get(currency, ZERO), currency),
                    difference_usd=usd,
                    explanations=ranked(causes),
                )
            )
    return tuple(found)


def accruals_apart(sides: Sides) -> dict[str, Decimal]:
    """Money owed by currency, ours less the broker's, where it differs."""
    ours, theirs = sides.portfolio.accruals, sides.broker.accrued
    left = {
        currency: ours.get(currency, ZERO) - theirs.get(currency, ZERO)
        for currency in sorted({*ours, *theirs})
    }
    return {currency: amount for currency, amount in left.items() if amount != 0}


def _who(left: Decimal) -> str:
    return "our book" if left > 0 else "the broker"


def _dividend_owed(scene: CashScene, currency: str, left: Decimal, usd: Decimal) -> Iterator[Explanation]:
    for text, amount in held_dividends(scene, currency):
        if abs(abs(left) - abs(amount)) <= CENT:
            yield because(BreakKind.DIVIDEND, f"{text}, which only {_who(left)} counts", usd)


def _causes(found: CashDifference, scene: CashScene) -> Iterator[Explanation]:
    """Causes of what the broker has more (or less) than we expect, from the most telling to the last resort."""
    more, usd = -found.unexplained, found.unexplained_usd
    yield from _paid_accrual(found.currency, more, usd, scene)
    yield from configured_taxes(found.currency, more, usd, scene)
    yield from _postings(found.currency, more, usd, scene)
    yield from _dividend_facts(found.currency, more, usd, scene)
    yield from _commissions(found.currency, more, usd, scene)
    yield from _settlements(found.currency, more, usd, scene)
    yield from likely_taxes(found.currency, more, usd, scene)
    yield from _units(found, usd)
    yield from _conversions(found, scene)
    yield from _ends(found.currency, usd, scene)
    yield from _carry(found.currency, more, usd, scene)
    text = f"the broker booked {more:+,.2f} {found.currency} that our ledger does not know"
    yield because(BreakKind.CASH_MOVEMENT, text, usd)


def _paid_accrual(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    owed = accruals_apart(scene.sides).get(currency, ZERO)
    if owed != 0 and abs(owed - more) <= CENT:
        booking = Booking(
            kind=EntryKind.DIVIDEND, account=DIVIDEND_ACCOUNT, currency=currency, amount=round_money(more)
        )
        text = f"the broker paid the {money_text(more, currency)} that our book still counts as owed"
        yield because(BreakKind.DIVIDEND, text, usd, booking=booking, is_complete=True)


def _postings(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    for entry in scene.evidence.recent:
        amount, cause = entry.cash.get(currency, ZERO), _CAUSE_OF.get(entry.kind)
        if amount == 0 or cause is None:
            continue
        if abs(more + amount) <= CENT:
            yield because(cause, f"the broker does not have our posting {entry.entry_id}", usd)
        elif abs(more - amount) <= CENT:
            yield because(cause, f"the broker has our posting {entry.entry_id} twice", usd)


def _dividend_facts(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    today = scene.sides.broker.as_of.date()
    booked = {entry.entry_id for entry in scene.evidence.recent}
    for row in scene.evidence.dividends:
        instrument = scene.sides.instrument(row.instrument_id)
        amount = round_money(scene.sides.portfolio.quantity(row.instrument_id) * row.amount)
        if instrument is None or instrument.currency != currency or abs(more - amount) > CENT or amount == 0:
            continue
        name = f"{row.instrument_id}:{row.ex_date.isoformat()}"
        is_known = not booked.isdisjoint({f"dividend:{name}", f"dividend-paid:{name}"})
        booking = Booking(
            kind=EntryKind.DIVIDEND,
            contract_id=row.instrument_id,
            account="income:dividend",
            currency=currency,
            amount=round_money(more),
        )
        text = f"the dividend of {row.instrument_id} ex {row.ex_date}, of {row.amount} a share, was paid"
        is_due = row.pay_date <= today and not is_known
        yield because(BreakKind.DIVIDEND, text, usd, booking=booking if is_due else None, is_complete=is_due)


def _commissions(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    """Commissions that were reported late or changed after we booked the execution."""
    booked = {fill.execution_id: fill for fill in scene.known.booked}
    apart = ZERO
    for fill in scene.sides.broker.executions:
        ours = booked.get(fill.execution_id)
        if ours is not None and fill.commission_currency == currency:
            apart += (fill.commission or ZERO) - (ours.commission or ZERO)
    if apart != 0 and abs(more + apart) <= CENT:
        booking = Booking(
            kind=EntryKind.COMMISSION,
            account="expense:commission",
            currency=currency,
            amount=round_money(more),
        )
        text = f"commissions of {money_text(apart, currency)} came after their executions were booked"
        yield because(BreakKind.COMMISSION, text, usd, booking=booking, is_complete=True)


def _units(found: CashDifference, usd: Decimal) -> Iterator[Explanation]:
    if found.expected == 0:
        return
    ratio = found.broker / found.expected
    if abs(ratio - 2) * abs(found.expected) <= CENT:
        text = f"the broker's {found.currency} is to the cent twice ours: swept cash counted twice"
        yield because(BreakKind.SWEEP_CASH, text, usd, choice=HaltChoice.RETRY)
    if any(abs(ratio / factor - 1) <= Decimal("0.0001") for factor in (Decimal(100), Decimal("0.01"))):
        text = f"the two balances of {found.currency} differ a hundredfold, as pence and pounds do"
        yield because(BreakKind.PENCE, text, usd, choice=HaltChoice.RETRY)


def _settlements(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    """Gains of futures since their settlement: left out of the broker's cash, or counted twice."""
    gains: dict[str, Decimal] = {}
    for contract_id, held in scene.sides.portfolio.positions.items():
        instrument, mark = scene.sides.contracts.instrument(contract_id), scene.sides.broker_mark(contract_id)
        if instrument.is_future and instrument.currency == currency and mark is not None:
            gains[contract_id] = instrument.notional(held.quantity, mark) - held.cost
    for name, gain in (*gains.items(), ("all futures", sum(gains.values(), ZERO))):
        if gain != 0 and abs(abs(more) - abs(gain)) <= CENT:
            how = "twice in" if more * gain > 0 else "not in"
            yield because(
                BreakKind.VARIATION, f"the gain of {name} since settlement is {how} the broker's cash", usd
            )


def _conversions(found: CashDifference, scene: CashScene) -> Iterator[Explanation]:
    for other in scene.cash:
        both = found.unexplained_usd + other.unexplained_usd
        opposite = found.unexplained_usd * other.unexplained_usd < 0
        if opposite and abs(both) <= abs(found.unexplained_usd) * _LIKE:
            text = (
                f"{-found.unexplained:+,.2f} {found.currency} against {-other.unexplained:+,.2f} {other.currency}: "
                "an exchange of currencies outside the fund"
            )
            yield because(BreakKind.CONVERSION, text, found.unexplained_usd)


def _ends(currency: str, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    for row in scene.quantities:
        instrument = scene.sides.instrument(row.contract_id)
        ended = row.foreign != 0 and row.broker == 0 and is_over(scene.sides, row.contract_id)
        if instrument is not None and instrument.currency == currency and ended:
            yield because(
                BreakKind.EXPIRY, f"{row.contract_id} ended at another price than our last one", usd
            )


def _carry(currency: str, more: Decimal, usd: Decimal, scene: CashScene) -> Iterator[Explanation]:
    """Interest and fees of the size of ours: another rate, or other days."""
    for kind in (EntryKind.INTEREST, EntryKind.BORROW_FEE):
        booked = sum((x.cash.get(currency, ZERO) for x in scene.evidence.recent if x.kind is kind), ZERO)
        if booked != 0 and abs(more) <= _RATE_OFF_MOST * abs(booked):
            ours = f"{kind.value.lower().replace('_', ' ')} of {money_text(booked, currency)}"
            text = f"of the size of our {ours}: another rate or other days"
            yield because(_CAUSE_OF[kind], text, usd)
