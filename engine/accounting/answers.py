"""Is the broker's answer known at all? What is late, empty, partial or no number is UNKNOWN, never flat."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from engine.accounting.break_values import Break, unknown_break
from engine.accounting.deliveries import is_over
from engine.accounting.differences import expected_cash
from engine.accounting.ledger import EntryKind
from engine.accounting.scene import CashScene
from engine.accounting.sides import Evidence, Sides
from engine.model.breaks import BreakKind
from engine.model.market import BASE_CURRENCY
from engine.model.money import ZERO
from engine.model.policy import ReconciliationPolicy
from engine.model.portfolio import BrokerSnapshot, Valuation

REQUIRED_QUERIES = ("account", "cash", "completed_orders", "executions", "open_orders", "positions")
LATE_SECONDS = 900.0
"""An answer that tells of a time further from the valuation's than this tells of another account."""


def unusable_answers(sides: Sides, valuation: Valuation, evidence: Evidence) -> tuple[Break, ...]:
    """What forbids any comparison: no answer, another account's, another time's, no number, no rate."""
    return tuple(_unusable(sides, valuation, evidence))


def _unusable(sides: Sides, valuation: Valuation, evidence: Evidence) -> Iterator[Break]:
    broker = sides.broker
    for name in REQUIRED_QUERIES:
        if name not in broker.answered:
            text = "the broker did not answer: ask again"
            yield unknown_break(name, "known", "no answer", (BreakKind.UNANSWERED, text))
    if evidence.account is not None and broker.account != evidence.account:
        text = f"the answer is that of account {broker.account}, not of {evidence.account}"
        yield unknown_break("account name", evidence.account, broker.account, (BreakKind.WRONG_ACCOUNT, text))
    if abs((broker.as_of - valuation.as_of).total_seconds()) > LATE_SECONDS:
        text = f"the answer tells of {broker.as_of:%Y-%m-%d %H:%M}Z, not of {valuation.as_of:%Y-%m-%d %H:%M}Z"
        times = f"{valuation.as_of:%H:%M}Z", f"{broker.as_of:%H:%M}Z"
        yield unknown_break("time of the answer", *times, (BreakKind.LATE_ANSWER, text))
    for name in impossible_numbers(broker):
        text = f"the broker's {name} is not a number"
        yield unknown_break(name, "a number", "not a number", (BreakKind.IMPOSSIBLE_NUMBER, text))
    for currency in _currencies(broker):
        if currency != BASE_CURRENCY and not sides.has_rate(currency):
            text = (
                f"the broker counts money in {currency}, of which nobody names a rate: it can not be valued"
            )
            yield unknown_break(currency, "no rate", "an amount", (BreakKind.CURRENCY_WITHOUT_RATE, text))


def _currencies(broker: BrokerSnapshot) -> list[str]:
    """Currencies in which the broker's answer counts any money, that of commissions included."""
    counted = {name for amounts in (broker.cash, broker.accrued) for name, amount in amounts.items() if amount != 0}  # fmt: skip
    counted |= {
        fill.commission_currency for fill in broker.executions if fill.commission_currency and fill.commission
    }
    return sorted(counted)


def impossible_numbers(broker: BrokerSnapshot) -> tuple[str, ...]:
    """Figures of an answer that are no finite number, or rates that are not positive, by name."""
    figures = {
        **{f"cash of {name}": amount for name, amount in broker.cash.items()},
        **{f"accrual of {name}": amount for name, amount in broker.accrued.items()},
        **{f"quantity of {name}": row.quantity for name, row in broker.positions.items()},
        **{f"mark of {name}": row.mark for name, row in broker.positions.items() if row.mark is not None},
        **{f"average cost of {name}": row.average_cost for name, row in broker.positions.items()},
        **{f"quantity of execution {row.execution_id}": row.quantity for row in broker.executions},
        **{f"price of execution {row.execution_id}": row.price for row in broker.executions},
        **{
            f"commission of {x.execution_id}": x.commission
            for x in broker.executions
            if x.commission is not None
        },
        **{f"quantity of order {row.broker_order_id}": row.quantity for row in broker.open_orders},
    }
    bad = [name for name, figure in figures.items() if not figure.is_finite()]
    rates = [f"rate of {name}" for name, rate in broker.fx.items() if not (rate.is_finite() and rate > 0)]
    return tuple(sorted((*bad, *rates)))


def hollow_answers(
    scene: CashScene, unexplained_usd: Decimal, policy: ReconciliationPolicy
) -> tuple[Break, ...]:
    """Lists that lack what the broker's own net liquidation value still holds: an empty or a partial answer.

    What is absent from its lists is worth what its balances do not explain. Currency futures and index futures are
    worth nothing by themselves: a list without any position that would be flat in futures alone, at cash that agrees,
    counts as empty too.
    """
    sides = scene.sides
    absent = _absent(scene)
    worth = sum(absent.values(), ZERO)
    limit = policy.cash_break_usd
    held = [name for name, position in sides.portfolio.positions.items() if position.quantity != 0]
    is_hollow = abs(worth) > limit and abs(worth + unexplained_usd) <= max(limit, abs(worth) / 1000)
    if not is_hollow:
        only_futures = bool(held) and all(sides.contracts.instrument(name).is_future for name in held)
        agrees = all(abs(row.unexplained_usd) <= limit for row in scene.cash)
        if not (only_futures and agrees and not sides.broker.positions and set(held) <= set(absent)):
            return ()
    is_empty = not sides.broker.positions if any(name in held for name in absent) else not sides.broker.cash
    cause = BreakKind.EMPTY_ANSWER if is_empty else BreakKind.PARTIAL_ANSWER
    return tuple(
        unknown_break(
            name,
            "held",
            "not listed",
            (cause, f"the broker does not list {name}, and nothing says that it is gone: ask again"),
        )
        for name in sorted(absent)
    )


def unlisted_executions(scene: CashScene) -> tuple[Break, ...]:
    """Executions of today that we booked, that the broker does not list, and whose quantity it holds nevertheless.

    Only those of its own day, for the list may roll over at midnight; and not where the broker's holding was adopted
    since: a person has looked at what the venue took back.
    """
    broker = scene.sides.broker
    listed = {fill.root for fill in broker.executions}
    settled = {found.contract_id for found in scene.quantities if found.foreign != 0}
    settled |= {
        x.contract_id for x in scene.evidence.recent if x.kind is EntryKind.ADOPTION and x.contract_id
    }
    lacking = [
        fill
        for fill in scene.known.booked
        if fill.root not in listed
        and fill.executed_at.date() == broker.as_of.date()
        and fill.contract_id not in settled
        and fill.quantity != 0
    ]
    cause = BreakKind.PARTIAL_ANSWER if listed else BreakKind.EMPTY_ANSWER
    return tuple(
        unknown_break(
            fill.execution_id,
            "booked",
            "not listed",
            (
                cause,
                f"the broker does not list execution {fill.execution_id}, and holds what it moved: ask again",
            ),
        )
        for fill in lacking
    )


def _absent(scene: CashScene) -> dict[str, Decimal]:
    """Worth in USD, at the broker's figures, of what we hold and the broker does not list, and no trade explains."""
    sides = scene.sides
    booked = {fill.execution_id for fill in scene.known.booked}
    traded = {fill.contract_id for fill in sides.broker.executions if fill.execution_id not in booked}
    new = {
        row.quantity for name, row in sides.broker.positions.items() if sides.portfolio.quantity(name) == 0
    }
    found: dict[str, Decimal] = {}
    for contract_id, position in sides.portfolio.positions.items():
        if position.quantity == 0 or contract_id in sides.broker.positions or contract_id in traded:
            continue
        instrument, mark = sides.contracts.instrument(contract_id), sides.broker_mark(contract_id)
        if mark is None or is_over(sides, contract_id) or position.quantity in new:
            continue
        value = ZERO if instrument.is_future else instrument.notional(position.quantity, mark)
        found[contract_id] = value * sides.broker_rate(instrument.currency)
    for currency, amount in expected_cash(sides).items():
        if currency not in sides.broker.cash and amount != 0:
            found[f"cash in {currency}"] = amount * sides.broker_rate(currency)
    return found
