"""What stops trading: each disagreement of book and broker as one break with its evidence and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from engine.accounting.differences import CashDifference, KnownOrders, QuantityDifference, Sides
from engine.model.halts import ALLOWED_CHOICES, HaltChoice, HaltKind
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO, round_money
from engine.model.policy import ReconciliationPolicy
from engine.model.portfolio import BrokerSnapshot

# Our rate and the broker's say the same moment when at most this far apart; only then may they be compared.
_SAME_MOMENT_SECONDS = 900.0


class ReconciliationStatus(Enum):
    """Whether the fund may trade: on PASS only."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    HALT = "HALT"
    EMERGENCY = "EMERGENCY"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One possible cause of a break, the booking or act that would mend it, and how much it explains (USD)."""

    text: str
    choice: HaltChoice
    explains_usd: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One thing on which book and broker disagree.

    ``ours`` and ``broker`` are the two figures as text; ``difference_usd`` is ours less the broker's;
    ``explanations`` begin with the likeliest.
    """

    kind: HaltKind
    subject: str
    ours: str
    broker: str
    difference_usd: Decimal
    explanations: tuple[Explanation, ...]

    @property
    def choices(self) -> tuple[HaltChoice, ...]:
        """What a person may answer."""
        return ALLOWED_CHOICES[self.kind]


def classify_difference(
    nav: Decimal, net_liquidation: Decimal | None, policy: ReconciliationPolicy
) -> ReconciliationStatus:
    """Judge ``|NAV − NLV| / NLV`` alone: beyond the limits (strictly) it halts; an impossible figure is EMERGENCY."""
    fraction = difference_fraction(nav, net_liquidation)
    if fraction is None or fraction > policy.emergency_threshold_fraction:
        return ReconciliationStatus.EMERGENCY
    if fraction > policy.halt_threshold_fraction:
        return ReconciliationStatus.HALT
    return ReconciliationStatus.PASS


def difference_fraction(nav: Decimal, net_liquidation: Decimal | None) -> Decimal | None:
    """``|NAV − NLV| / NLV``, or ``None`` when either is no number or NLV is not positive."""
    if net_liquidation is None or not nav.is_finite():
        return None
    if not net_liquidation.is_finite() or net_liquidation <= 0:
        return None
    return abs(nav - net_liquidation) / net_liquidation


def quantity_breaks(quantities: tuple[QuantityDifference, ...], sides: Sides) -> tuple[Break, ...]:
    """Executions of ours that were not booked, then holdings that nobody of ours traded."""
    missed = tuple(
        _quantity_break(HaltKind.MISSED_FILL, found, tuple(_missed_text(found, sides)), sides)
        for found in quantities
        if found.missed
    )
    foreign = tuple(
        _quantity_break(HaltKind.FOREIGN_POSITION, found, (_foreign_text(found, sides),), sides)
        for found in quantities
        if found.foreign != 0
    )
    return (*missed, *foreign)


def _missed_text(found: QuantityDifference, sides: Sides) -> Iterator[Explanation]:
    for row in found.missed:
        fill = row.fill
        quantity = _quantity_text(fill.quantity, found, sides)
        what = "was not booked" if row.replaces is None else f"corrects {row.replaces.execution_id}"
        yield Explanation(
            text=f"execution {fill.execution_id} ({fill.order_ref}): {fill.side.value} {quantity}"
            f" at {_price_text(fill.price, found.contract_id, sides)} {what}",
            choice=HaltChoice.ADOPT_BROKER,
            explains_usd=found.net_effect_usd,
        )


def _foreign_text(found: QuantityDifference, sides: Sides) -> Explanation:
    traded = ", ".join(fill.execution_id for fill in found.foreign_executions)
    cause = f"traded outside the fund ({traded})" if traded else "no execution explains it"
    price = found.foreign_price
    at = "an unknown price" if price is None else _price_text(price, found.contract_id, sides)
    more = "more" if found.foreign > 0 else "less"
    listed = "" if found.is_listed else "; the universe does not list this contract"
    return Explanation(
        text=f"the broker holds {_quantity_text(abs(found.foreign), found, sides)} {more} than our book, at {at}: "
        f"{cause}{listed}",
        choice=HaltChoice.ADOPT_BROKER if found.is_listed else HaltChoice.RETRY,
        explains_usd=found.net_effect_usd,
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
    return f"{_plain(quantity)} {unit[:-1] if abs(quantity) == 1 else unit}"


def _price_text(price: Decimal, contract_id: str, sides: Sides) -> str:
    instrument = sides.instrument(contract_id)
    return _plain(price) if instrument is None else f"{_plain(price)} {instrument.price_unit}"


def _money_text(amount: Decimal, currency: str) -> str:
    return f"{amount:,.2f} {currency}"


def _plain(value: Decimal) -> str:
    """All digits of a number, thousands apart, without zeros at the end."""
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cash_breaks(
    cash: tuple[CashDifference, ...], nav: Decimal, policy: ReconciliationPolicy
) -> tuple[Break, ...]:
    """Currencies whose balances differ by more than the limit, after what quantities explain."""
    limit = max(policy.cash_break_usd, policy.cash_break_fraction * abs(nav))
    return tuple(
        Break(
            kind=HaltKind.CASH_BREAK,
            subject=found.currency,
            ours=_money_text(found.expected, found.currency),
            broker=_money_text(found.broker, found.currency),
            difference_usd=found.unexplained_usd,
            explanations=(
                Explanation(
                    text=f"the broker booked {-found.unexplained:+,.2f} {found.currency} that our ledger does not know",
                    choice=HaltChoice.ADOPT_BROKER,
                    explains_usd=found.unexplained_usd,
                ),
            ),
        )
        for found in cash
        if abs(found.unexplained_usd) > limit
    )


def liquidation_breaks(
    book_value: Decimal,
    broker: BrokerSnapshot,
    policy: ReconciliationPolicy,
    residue_usd: Decimal,
    *,
    has_other_cause: bool,
) -> tuple[Break, ...]:
    """Our book at the broker's marks against net liquidation.

    ``residue_usd`` is the part that neither quantities nor cash explain; it is judged alone, so that a cash break
    of the opposite sign can not hide it. The whole is judged too when no other break says where it comes from.
    """
    liquidation = broker.net_liquidation
    if liquidation is None or difference_fraction(book_value, liquidation) is None:
        text, residue_usd = "the broker's net liquidation is not a positive number", ZERO
    else:
        judged = [liquidation + residue_usd] if has_other_cause else [liquidation + residue_usd, book_value]
        statuses = [classify_difference(value, liquidation, policy) for value in judged]
        if all(status is ReconciliationStatus.PASS for status in statuses):
            return ()
        text = "the broker's own balances do not add up to its net liquidation"
    explanation = Explanation(text=text, choice=HaltChoice.RETRY, explains_usd=residue_usd)
    return (
        Break(
            kind=HaltKind.NLV_DRIFT,
            subject="net liquidation",
            ours=_money_text(book_value, BASE_CURRENCY),
            broker=_liquidation_text(liquidation),
            difference_usd=residue_usd,
            explanations=(explanation,),
        ),
    )


def _liquidation_text(liquidation: Decimal | None) -> str:
    if liquidation is None:
        return "not reported"
    return _money_text(liquidation, BASE_CURRENCY) if liquidation.is_finite() else "not a number"


def rate_breaks(sides: Sides, policy: ReconciliationPolicy) -> tuple[Break, ...]:
    """Exchange rates of the same moment that differ beyond the limit."""
    breaks = []
    for currency, theirs in sorted(sides.broker.fx.items()):
        rate = sides.prices.fx.rates.get(currency + BASE_CURRENCY)
        if (
            rate is None
            or abs((sides.broker.as_of - rate.observed_at).total_seconds()) > _SAME_MOMENT_SECONDS
        ):
            continue
        if abs(rate.rate / theirs - 1) * 10_000 > policy.fx_break_bps:
            text = f"the rates differ by {(rate.rate / theirs - 1) * 10_000:.1f} bps"
            breaks.append(
                Break(
                    kind=HaltKind.FX_DIFFERENCE,
                    subject=currency,
                    ours=f"{_plain(rate.rate)} {BASE_CURRENCY}",
                    broker=f"{_plain(theirs)} {BASE_CURRENCY}",
                    difference_usd=ZERO,
                    explanations=(Explanation(text=text, choice=HaltChoice.RETRY, explains_usd=ZERO),),
                )
            )
    return tuple(breaks)


def mark_breaks(sides: Sides, policy: ReconciliationPolicy) -> tuple[Break, ...]:
    """In session: our live mid against the broker's mark. Out of session: both must show the prior close."""
    breaks = []
    for contract_id in sorted(sides.portfolio.positions):
        pair = sides.comparable_prices(contract_id)
        if pair is None:
            continue
        ours, theirs, is_live = pair
        tick = sides.contracts.instrument(contract_id).tick_at(ours)
        live_tolerance = max(abs(ours) * policy.mark_break_bps / 10_000, policy.mark_break_ticks * tick)
        # Closes are equal when they are the same step of the price grid: stores may keep them as floats.
        tolerance = live_tolerance if is_live else tick / 2
        if abs(ours - theirs) > tolerance:
            breaks.append(
                Break(
                    kind=HaltKind.MARK_DIFFERENCE,
                    subject=contract_id,
                    ours=_price_text(ours, contract_id, sides),
                    broker=_price_text(theirs, contract_id, sides),
                    difference_usd=round_money(sides.mark_difference_usd(contract_id)),
                    explanations=(
                        Explanation(
                            text=f"prices differ by {_price_text(abs(ours - theirs), contract_id, sides)}, "
                            f"allowed {_price_text(tolerance, contract_id, sides)}",
                            choice=HaltChoice.MARK_MANUALLY,
                            explains_usd=ZERO,
                        ),
                    ),
                )
            )
    return tuple(breaks)


def order_breaks(broker: BrokerSnapshot, known: KnownOrders) -> tuple[Break, ...]:
    """Orders that work at the broker and are not ours."""
    return tuple(
        Break(
            kind=HaltKind.UNKNOWN_ORDER,
            subject=order.order_ref or order.broker_order_id,
            ours="not ours",
            broker=f"{order.side.value} {_plain(order.quantity)} {order.contract_id}, "
            f"{order.status.value.replace('_', ' ').lower()}",
            difference_usd=ZERO,
            explanations=(
                Explanation(
                    text="an order works at the broker that the fund did not send: cancel it there, then retry",
                    choice=HaltChoice.RETRY,
                    explains_usd=ZERO,
                ),
            ),
        )
        for order in broker.open_orders
        if not order.status.is_terminal and order.order_ref not in known.order_refs
    )
