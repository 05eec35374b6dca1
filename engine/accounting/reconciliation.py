"""Does the broker agree with our book? Snapshot and valuation in, report out (R-106, R-107).

The order is quantities, open orders, cash by currency, our quantities at the broker's marks and rates against net
liquidation, then marks and rates one by one. The difference of NAV and net liquidation is split exactly:

    NAV − NLV = fx + mark + accrual + cash + quantity + unexplained   (USD)

fx = our net currency values × rate differences; mark = our quantities × price differences; accrual, cash and
quantity = our balances less the broker's at the broker's prices (accrual with what investors are owed, which no
broker knows); unexplained = what the broker's own balances do
not say about its own net liquidation. A missed execution moves quantity and cash together: its cash leg counts as
quantity, so that only money without an explanation is a cash difference. Only quantity, cash and unexplained can
be an EMERGENCY.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from engine.accounting.answers import hollow_answers, unlisted_executions, unusable_answers
from engine.accounting.break_values import Break, ReconciliationStatus
from engine.accounting.breaks import (
    classify_difference,
    difference_fraction,
    liquidation_breaks,
    mark_breaks,
    rate_breaks,
)
from engine.accounting.cash_apart import accrual_breaks, accruals_apart, cash_breaks
from engine.accounting.differences import (
    CashDifference,
    QuantityDifference,
    cash_differences,
    quantity_differences,
)
from engine.accounting.orders_apart import blocked_orders, order_breaks, vanished_orders
from engine.accounting.positions_apart import quantity_breaks
from engine.accounting.scene import CashScene
from engine.accounting.sides import Evidence, KnownOrders, OurPrices, Sides
from engine.model.halts import HaltKind
from engine.model.money import ZERO, round_money
from engine.model.policy import ReconciliationPolicy
from engine.model.portfolio import BrokerSnapshot, Valuation

__all__ = [
    "DifferenceBuckets",
    "Evidence",
    "KnownOrders",
    "OurPrices",
    "PortfolioState",
    "ReconciliationReport",
    "ReconciliationStatus",
    "Sides",
    "classify_difference",
    "reconcile",
]

NO_EVIDENCE = Evidence()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortfolioState:
    """What is known of the book's agreement with the broker; unknown until a reconciliation of this run says it."""

    status: ReconciliationStatus = ReconciliationStatus.UNKNOWN
    run_id: str | None = None

    def can_trade(self) -> bool:
        """Whether orders may leave."""
        return self.status is ReconciliationStatus.PASS


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceBuckets:
    """Exact split of NAV less net liquidation, in USD."""

    quantity: Decimal
    cash: Decimal
    accrual: Decimal
    mark: Decimal
    fx: Decimal
    unexplained: Decimal

    @property
    def total(self) -> Decimal:
        """NAV less net liquidation."""
        return self.quantity + self.cash + self.accrual + self.mark + self.fx + self.unexplained


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationReport:
    """Outcome of one comparison. Amounts in USD; absent figures are those that the broker did not give.

    ``book_at_broker_marks`` is our book at the broker's prices and rates: its distance from ``net_liquidation``
    is what the limits apply to (``difference_fraction``). ``nav`` is the official figure, which no break changes.
    ``blocked`` are orders of unknown fate: each stops trading in its own contract only.
    """

    as_of: datetime
    trade_date: date
    status: ReconciliationStatus
    nav: Decimal
    net_liquidation: Decimal | None
    book_at_broker_marks: Decimal | None
    difference_fraction: Decimal | None
    buckets: DifferenceBuckets | None
    breaks: tuple[Break, ...]
    cash: tuple[CashDifference, ...]
    quantities: tuple[QuantityDifference, ...]
    notes: tuple[str, ...]
    blocked: tuple[Break, ...] = ()

    @property
    def can_trade(self) -> bool:
        """Whether orders may leave."""
        return self.status is ReconciliationStatus.PASS

    @property
    def halt_kind(self) -> HaltKind | None:
        """Kind of the gravest break."""
        return self.breaks[0].kind if self.breaks else None


def reconcile(
    sides: Sides,
    valuation: Valuation,
    policy: ReconciliationPolicy,
    known: KnownOrders,
    evidence: Evidence = NO_EVIDENCE,
) -> ReconciliationReport:
    """Compare our book with the broker's account.

    ``valuation`` is the official one (SETTLED on our ledger, our marks), and the prices of ``sides`` are the marks and
    rates behind it and the live quotes of contracts in session; ``known`` are our order references and booked executions;
    ``evidence`` what else is known that may explain a difference.
    """
    broker = sides.broker
    unusable = unusable_answers(sides, valuation, evidence)
    if unusable:
        return _unknown(valuation, broker, unusable)
    quantities = quantity_differences(sides, known, evidence.taxes)
    cash = cash_differences(sides, quantities)
    buckets = _buckets(sides, valuation, quantities, cash)
    book_value = valuation.nav - buckets.fx - buckets.mark - _owed_to_investors(sides)
    scene = CashScene(sides=sides, cash=cash, quantities=quantities, known=known, evidence=evidence)
    fraction = difference_fraction(book_value, broker.net_liquidation)
    hollow = (
        *hollow_answers(scene, buckets.unexplained if fraction is not None else ZERO, policy),
        *unlisted_executions(scene),
        *vanished_orders(broker, known),
    )
    if hollow:
        return _unknown(valuation, broker, hollow)
    breaks = _breaks(scene, valuation, policy, buckets, book_value)
    liquidation = broker.net_liquidation
    return ReconciliationReport(
        as_of=broker.as_of,
        trade_date=valuation.trade_date,
        status=_status(breaks, buckets, fraction, liquidation, policy),
        nav=valuation.nav,
        net_liquidation=liquidation if liquidation is not None and liquidation.is_finite() else None,
        book_at_broker_marks=book_value,
        difference_fraction=None if fraction is None else round(fraction, 10),
        buckets=None if fraction is None else buckets,
        breaks=breaks,
        cash=cash,
        quantities=quantities,
        notes=_notes(sides),
        blocked=blocked_orders(broker, known),
    )


def _breaks(
    scene: CashScene,
    valuation: Valuation,
    policy: ReconciliationPolicy,
    buckets: DifferenceBuckets,
    book_value: Decimal,
) -> tuple[Break, ...]:
    """Every break in the order of the comparison: quantities, orders, money, the whole, rates, prices."""
    sides, evidence = scene.sides, scene.evidence
    in_quantity = quantity_breaks(scene.quantities, sides, scene.known, evidence)
    in_cash = cash_breaks(scene, valuation.nav, policy)
    return (
        *in_quantity,
        *order_breaks(sides.broker, scene.known),
        *in_cash,
        *accrual_breaks(scene, valuation.nav, policy),
        *liquidation_breaks(
            book_value,
            sides,
            policy,
            buckets.unexplained + buckets.accrual - _owed_to_investors(sides),
            evidence,
            has_other_cause=bool(in_quantity or in_cash),
        ),
        *rate_breaks(sides, policy),
        *mark_breaks(sides, policy, evidence),
    )


def _unknown(valuation: Valuation, broker: BrokerSnapshot, breaks: tuple[Break, ...]) -> ReconciliationReport:
    """The broker's account is not known: nothing is compared, and nothing trades."""
    return ReconciliationReport(
        as_of=broker.as_of,
        trade_date=valuation.trade_date,
        status=ReconciliationStatus.UNKNOWN,
        nav=valuation.nav,
        net_liquidation=None,
        book_at_broker_marks=None,
        difference_fraction=None,
        buckets=None,
        breaks=breaks,
        cash=(),
        quantities=(),
        notes=(),
    )


def _buckets(
    sides: Sides,
    valuation: Valuation,
    quantities: tuple[QuantityDifference, ...],
    cash: tuple[CashDifference, ...],
) -> DifferenceBuckets:
    """The split; without a finite net liquidation the unexplained part is empty and the report is an EMERGENCY."""
    fx = sum(
        (
            value * (valuation.fx[currency] - sides.broker_rate(currency))
            for currency, value in valuation.currency_values.items()
        ),
        ZERO,
    )
    accrual = sum(
        (left * sides.broker_rate(currency) for currency, left in accruals_apart(sides).items()), ZERO
    )
    parts = {
        "quantity": round_money(sum((found.net_effect_usd for found in quantities), ZERO)),
        "cash": round_money(sum((found.unexplained_usd for found in cash), ZERO)),
        "accrual": round_money(accrual) + _owed_to_investors(sides),
        "mark": round_money(
            sum((sides.mark_difference_usd(name) for name in sides.portfolio.positions), ZERO)
        ),
        "fx": round_money(fx),
    }
    liquidation = sides.broker.net_liquidation
    is_finite = liquidation is not None and liquidation.is_finite()
    whole = (
        valuation.nav - liquidation if is_finite and liquidation is not None else sum(parts.values(), ZERO)
    )
    return DifferenceBuckets(**parts, unexplained=whole - sum(parts.values(), ZERO))


def _owed_to_investors(sides: Sides) -> Decimal:
    """Money in USD that lies at the broker and is not the fund's (negative): no difference with the broker."""
    owed = sides.portfolio.investors.items()
    return round_money(sum((amount * sides.broker_rate(currency) for currency, amount in owed), ZERO))


def _status(
    breaks: tuple[Break, ...],
    buckets: DifferenceBuckets,
    fraction: Decimal | None,
    liquidation: Decimal | None,
    policy: ReconciliationPolicy,
) -> ReconciliationStatus:
    if fraction is None or liquidation is None:
        return ReconciliationStatus.EMERGENCY
    limit = policy.emergency_threshold_fraction * liquidation
    if any(abs(part) > limit for part in (buckets.quantity, buckets.cash, buckets.unexplained)):
        return ReconciliationStatus.EMERGENCY
    return ReconciliationStatus.HALT if breaks else ReconciliationStatus.PASS


def _notes(sides: Sides) -> tuple[str, ...]:
    """Price differences that are no error: a live market against our prior close."""
    notes = []
    for contract_id in sorted(sides.portfolio.positions):
        mark, theirs = sides.prices.marks.get(contract_id), sides.broker_mark(contract_id)
        if mark is None or theirs is None or sides.comparable_prices(contract_id) is not None:
            continue
        if mark.price not in (theirs, ZERO):
            bps = (theirs / mark.price - 1) * 10_000
            notes.append(
                f"{contract_id}: the broker marks {theirs:f}, our close is {mark.price:f} ({bps:+.0f} bps)"
            )
    return tuple(notes)
