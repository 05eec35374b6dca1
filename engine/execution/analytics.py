"""What execution really cost: implementation shortfall of each parent against the decision, split by origin.

``total = delay + trading + commission + tax + opportunity`` in USD, cost positive: delay is the move from decision
price to arrival mid on the filled quantity, trading the move from arrival to fills, opportunity the move from
decision to the last price on what was not filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import NamedTuple

from engine.accounting.charges import tax_of
from engine.execution.slippage import compute_slippage_bps
from engine.model.instruments import Instrument
from engine.model.market import FxRates
from engine.model.money import ZERO, round_money
from engine.model.orders import Fill, OrderIntent
from engine.model.policy import TransactionTax


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """Costs of one parent in USD; ``slippage_bps`` is against the arrival mid, ``None`` without a fill."""

    intent_id: str
    contract_id: str
    ordered: Decimal
    filled: Decimal
    average_price: Decimal | None
    slippage_bps: Decimal | None
    delay_usd: Decimal
    trading_usd: Decimal
    commission_usd: Decimal
    tax_usd: Decimal
    opportunity_usd: Decimal

    @property
    def total_usd(self) -> Decimal:
        """Implementation shortfall."""
        paid = self.commission_usd + self.tax_usd
        return self.delay_usd + self.trading_usd + paid + self.opportunity_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class SlippageTracker:
    """Records of a day, summed up."""

    records: tuple[ExecutionRecord, ...] = ()

    def record(self, record: ExecutionRecord) -> SlippageTracker:
        """A tracker with one record more."""
        return SlippageTracker(records=(*self.records, record))

    @property
    def total_usd(self) -> Decimal:
        """Implementation shortfall of all records."""
        return sum((record.total_usd for record in self.records), ZERO)

    @property
    def average_slippage_bps(self) -> Decimal | None:
        """Mean slippage of the filled parents, ``None`` when nothing was filled."""
        values = [r.slippage_bps for r in self.records if r.slippage_bps is not None]
        return sum(values, ZERO) / len(values) if values else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionAnalytics:
    """Analysis of parents at given rates of exchange and of taxes on trades."""

    fx: FxRates
    taxes: Sequence[TransactionTax]

    def analyse(
        self,
        intent: OrderIntent,
        instrument: Instrument,
        fills: Sequence[Fill],
        arrival_mid: Decimal | None,
        last_price: Decimal,
    ) -> ExecutionRecord:
        """Implementation shortfall of one parent; ``last_price`` values what stayed open."""
        filled = sum((fill.quantity for fill in fills), ZERO)
        paid = sum((fill.quantity * fill.price for fill in fills), ZERO)
        average = paid / filled if filled else None
        arrival = arrival_mid if arrival_mid is not None else intent.decision_price
        unit = intent.side.sign * self.fx.to_base(instrument.effective_multiplier, instrument.currency)
        return ExecutionRecord(
            intent_id=intent.intent_id,
            contract_id=intent.contract_id,
            ordered=intent.quantity,
            filled=filled,
            average_price=average,
            slippage_bps=None
            if average is None
            else round_money(compute_slippage_bps(intent.side, average, arrival)),
            delay_usd=round_money(unit * filled * (arrival - intent.decision_price)),
            trading_usd=round_money(unit * (paid - filled * arrival)),
            commission_usd=round_money(self._commission(fills)),
            tax_usd=round_money(self._taxes(fills, instrument)),
            opportunity_usd=round_money(
                unit * (intent.quantity - filled) * (last_price - intent.decision_price)
            ),
        )

    def _taxes(self, fills: Sequence[Fill], instrument: Instrument) -> Decimal:
        due = sum((tax_of(fill, instrument, self.taxes) for fill in fills), ZERO)
        return self.fx.to_base(due, instrument.currency)

    def _commission(self, fills: Sequence[Fill]) -> Decimal:
        return sum(
            (
                self.fx.to_base(fill.commission, fill.commission_currency)
                for fill in fills
                if fill.commission is not None and fill.commission_currency
            ),
            ZERO,
        )


class GroupFill(NamedTuple):
    """One execution of a leg of a group: its time, and its signed value in USD at the decision's price."""

    at: datetime
    usd: Decimal


def open_usd(planned_net: Decimal, net: Decimal) -> Decimal:
    """How far the signed net of a group's executed legs is off the way from nothing to its planned net, in USD."""
    return max(ZERO, net - max(ZERO, planned_net), min(ZERO, planned_net) - net)


def unhedged_usd_seconds(
    planned_usd: Sequence[Decimal], fills: Sequence[GroupFill], until: datetime
) -> Decimal:
    """How much a group stood open and for how long, in USD times seconds (R-117).

    ``planned_usd`` are the signed values of its legs. What is open counts from each execution to the next, and from the
    last one until the windows are over (see `open_usd`).
    """
    aim = sum(planned_usd, ZERO)
    ordered = sorted(fills)
    times = [fill.at for fill in ordered] + [max((until, *(fill.at for fill in ordered)))]
    net, total = ZERO, ZERO
    for fill, (start, end) in zip(ordered, pairwise(times), strict=True):
        net += fill.usd
        total += open_usd(aim, net) * Decimal(str((end - start).total_seconds()))
    return total
