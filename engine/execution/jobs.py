"""When and where the day's trades are worked: windows by venue, and jobs that wait for them.

At 06:00 every trade becomes a parent intent in a job of its venue and group. Identities depend on the run, the
contract and the purpose, never on quantities or prices, so a recomputed day finds its own jobs again. A closed
venue is an outcome with a reason, not an error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from engine.execution.netting import DroppedTrade, PriceBook
from engine.execution.spreads import joined, spread_pairs
from engine.execution.windows import Slot, WindowRules, overlap, slot_of, style_of, together
from engine.hedging.fx import bears_other_currency
from engine.model.context import DayContext, RunKey, RunKind
from engine.model.encoding import digest
from engine.model.orders import ALONE, ExecutionJob, OrderIntent, Reason, Side, Trade, Urgency
from engine.model.windows import ExecutionStyle

_PURPOSES: Mapping[Reason, str] = {
    Reason.ROLL: "roll",
    Reason.HEDGE_FX: "fxhedge",
    Reason.HEDGE_TAIL: "tail",
    Reason.OVERLAY_OPEN: "overlay",
    Reason.OVERLAY_UNWIND: "unwind",
    Reason.ROLLBACK: "unwind",
}
_URGENCIES: Mapping[Reason, Urgency] = {
    Reason.CRISIS: Urgency.EMERGENCY,
    Reason.DERISK: Urgency.HIGH,
    Reason.LIMIT_BREACH: Urgency.HIGH,
    Reason.ROLLBACK: Urgency.HIGH,
    Reason.OVERLAY_UNWIND: Urgency.HIGH,
}
_BOOKS: Mapping[Reason, str] = {Reason.HEDGE_FX: "fx_hedge", Reason.HEDGE_TAIL: "tail"}
STRATEGY_BOOK = "strategy"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """Jobs of the day by start of window, and trades that no window takes, with the reason."""

    jobs: tuple[ExecutionJob, ...]
    skipped: tuple[DroppedTrade, ...]


def generate_job_id(context: DayContext, venue: str, style: ExecutionStyle, book: str, group: str) -> str:
    """Identity of a job: account, mode, trade date, venue, style, book and group; no quantity, price or time."""
    parts = (
        context.account,
        context.mode.value,
        context.trade_date.isoformat(),
        venue,
        style.value,
        book,
        group,
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def generate_intent_id(context: DayContext, contract_id: str, reason: Reason) -> str:
    """Identity of a parent: run key, contract and purpose; a recomputed day finds it again."""
    key = RunKey(
        account=context.account, mode=context.mode, trade_date=context.trade_date, kind=RunKind.DECISION
    )
    text = f"{key.text}|{contract_id}|{_PURPOSES.get(reason, 'rebal')}|net"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def precompute_jobs(
    trades: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> JobPlan:
    """Put every trade into a job of its venue, style and group; the FX hedge waits for the strategy's jobs.

    A group that spans venues is worked while all of them are open, and is not opened when one is closed.
    """
    slots, skipped = _placed(trades, prices, rules, context)
    pairs = spread_pairs([trade for trade in trades if trade.contract_id in slots], prices)
    jobs: dict[str, ExecutionJob] = {}
    for members in _groups(joined(trades, pairs)):
        for trade in members:
            slot = slots.get(trade.contract_id)
            if slot is None:
                continue
            intent = _intent(trade, members, prices, rules, context)
            near = pairs.get(trade.contract_id)
            if near is not None:
                intent = replace(intent, near_intent_id=generate_intent_id(context, near, Reason.ROLL))
            _add(jobs, intent, slot, prices, context)
    return JobPlan(jobs=_linked(jobs), skipped=skipped)


def unworkable(
    trades: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> tuple[DroppedTrade, ...]:
    """Trades that no window of the day takes, with the reason; legs of a group wait for each other."""
    return _placed(trades, prices, rules, context)[1]


def _placed(
    trades: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> tuple[dict[str, Slot], tuple[DroppedTrade, ...]]:
    """Where each trade is worked, and which can not be."""
    placed: dict[str, Slot] = {}
    dropped: list[DroppedTrade] = []
    for members in _groups(trades):
        own = _own_slots(members, prices, rules, context)
        bound = [trade.contract_id for trade in members if trade.reason not in ALONE]
        apart = _apart(members, own, context)
        common = None if apart is not None else together([slot for slot in own.values() if slot is not None])
        shared = {} if common is None else dict(zip(own, common, strict=True))
        for trade in members:
            name, slot = trade.contract_id, own[trade.contract_id]
            why = _refusal(slot, prices.contracts.instrument(name).venue, context)
            if why is None and name in bound and len(members) > 1 and common is None:
                why = apart or "not traded: the windows of its legs do not meet"
            if why is not None or slot is None:
                dropped.append(DroppedTrade(contract_id=name, quantity=trade.quantity, reason=why or ""))
            else:
                placed[name] = shared.get(name, slot) if name in bound else slot
    return placed, tuple(dropped)


def _own_slots(
    members: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> dict[str, Slot | None]:
    """Each leg's slot; a group joins an auction with all of its legs or with none (R-95)."""
    lines = {trade.contract_id: prices.contracts.instrument(trade.contract_id) for trade in members}
    wanted = {style_of(trade, lines[trade.contract_id], urgency_of(trade.reason), rules) for trade in members}
    style = wanted.pop() if len(wanted) == 1 else ExecutionStyle.MIDDAY
    slots = {name: slot_of(line, style, context.trade_date, rules) for name, line in lines.items()}
    if len({slot.window.style for slot in slots.values() if slot is not None}) > 1:
        return {
            name: slot_of(line, ExecutionStyle.MIDDAY, context.trade_date, rules)
            for name, line in lines.items()
        }
    return slots


def _groups(trades: Sequence[Trade]) -> list[list[Trade]]:
    groups: dict[str, list[Trade]] = {}
    for trade in trades:
        groups.setdefault(_group_name(trade), []).append(trade)
    return [groups[name] for name in sorted(groups)]


def _group_name(trade: Trade | OrderIntent) -> str:
    return trade.group if trade.group is not None else f"single:{trade.instrument_id}"


def _apart(members: Sequence[Trade], slots: Mapping[str, Slot | None], context: DayContext) -> str | None:
    """Why the legs of a group are not traded together: a venue that is closed today, or has closed already."""
    for name in sorted(trade.contract_id for trade in members):
        slot = slots[name]
        if slot is None:
            return f"venue closed: not traded without {name}, whose venue is closed on {context.trade_date}"
        if slot.last_send <= context.as_of:
            return f"not traded without {name}, whose window ended at {slot.last_send:%H:%M}Z"
    return None


def _refusal(slot: Slot | None, venue: str, context: DayContext) -> str | None:
    if slot is None:
        return f"venue closed: {venue} does not trade on {context.trade_date}"
    if slot.last_send <= context.as_of:
        return f"the window of {venue} ended at {slot.last_send:%H:%M}Z"
    return None


def _add(
    jobs: dict[str, ExecutionJob],
    intent: OrderIntent,
    slot: Slot,
    prices: PriceBook,
    context: DayContext,
) -> None:
    window = slot.window
    book, group = _BOOKS.get(intent.reason, STRATEGY_BOOK), _group_name(intent)
    job_id = generate_job_id(context, window.venue, window.style, book, group)
    job = jobs.get(job_id)
    if job is not None:
        window = overlap(job.window, window)
    intents = (*(job.intents if job is not None else ()), intent)
    jobs[job_id] = ExecutionJob(
        job_id=job_id,
        trade_date=context.trade_date,
        venue=window.venue,
        venue_group=prices.contracts.instrument(intent.contract_id).venue_group,
        style=window.style,
        window=window,
        group=f"{book}/{group}",
        after=(),
        intents=intents,
        content_digest=digest(intents),
        fallback=slot.fallback if job is None else job.fallback,
    )


def _intent(
    trade: Trade, members: Sequence[Trade], prices: PriceBook, rules: WindowRules, context: DayContext
) -> OrderIntent:
    """Parent order of a trade; both legs of a roll whose old contract is about to end may pay more to finish.

    Until then a roll waits for its price as any other trade: what is left of it today is planned anew tomorrow. On its
    last sessions it must not stay behind, for nothing is held past the earlier of last trade and first notice: at the
    very end the old contract is closed at the prices of an emergency, whether the new one can be bought or not.
    """
    made = intent_of(trade, prices.price(trade.contract_id), context)
    if trade.reason is not Reason.ROLL:
        return made
    ends = [prices.contracts.contract(leg.contract_id).roll_deadline for leg in members]
    end = min((day for day in ends if day is not None), default=None)
    venue = prices.contracts.instrument(trade.contract_id).venue
    if end is None or end > rules.sessions.last:
        return made
    left = rules.sessions.sessions_between(venue, context.trade_date, end)
    ends_now = prices.contracts.contract(trade.contract_id).roll_deadline == end and trade.reduce_only
    if ends_now and left <= rules.last_roll_days:
        return replace(made, urgency=Urgency.EMERGENCY)
    return replace(made, urgency=Urgency.HIGH) if left <= rules.urgent_roll_days else made


def urgency_of(reason: Reason) -> Urgency:
    """How much a trade may pay to finish, by its reason."""
    return _URGENCIES.get(reason, Urgency.NORMAL)


def intent_of(trade: Trade, decision_price: Decimal, context: DayContext) -> OrderIntent:
    """Parent order of a net trade."""
    return OrderIntent(
        intent_id=generate_intent_id(context, trade.contract_id, trade.reason),
        contract_id=trade.contract_id,
        instrument_id=trade.instrument_id,
        side=Side.of(trade.quantity),
        quantity=abs(trade.quantity),
        reason=trade.reason,
        urgency=urgency_of(trade.reason),
        group=trade.group,
        reduce_only=trade.reduce_only,
        sleeves=trade.sleeves,
        decision_price=decision_price,
    )


def _linked(jobs: Mapping[str, ExecutionJob]) -> tuple[ExecutionJob, ...]:
    """Jobs in order of their windows; FX hedges come after every job of the strategy."""
    first = tuple(sorted(j.job_id for j in jobs.values() if j.group.startswith(f"{STRATEGY_BOOK}/")))
    linked = [
        replace(job, after=first) if job.group.startswith("fx_hedge/") else job for job in jobs.values()
    ]
    return tuple(sorted(linked, key=lambda job: (job.window.start, bool(job.after), job.venue, job.group)))


def followed_fraction(
    hedge: OrderIntent, legs: Sequence[tuple[OrderIntent, Decimal]], prices: PriceBook
) -> Decimal:
    """Fraction of an FX hedge that is still wanted after ``legs`` (parent, filled quantity) were worked.

    Of the hedge, the part that answers to the legs' exposure in its currency shrinks with what they left
    unfilled; what hedges exposure held before is never given up. A line that is paid in the currency to which it
    exposes changes places with cash of it: filled or not, the hedge stays.
    """
    instrument = prices.contracts.instrument(hedge.contract_id)
    if hedge.reason is not Reason.HEDGE_FX or not instrument.is_future:
        return Decimal(1)
    wanted = prices.notional_usd(hedge.contract_id, hedge.quantity) * hedge.side.sign
    planned = executed = Decimal(0)
    for leg, filled in legs:
        line = prices.contracts.instrument(leg.contract_id)
        if line.exposure_currency == instrument.exposure_currency and bears_other_currency(line):
            planned += prices.notional_usd(leg.contract_id, leg.quantity) * leg.side.sign
            executed += prices.notional_usd(leg.contract_id, filled) * leg.side.sign
    if planned * wanted >= 0:
        return Decimal(1)
    share = min(abs(planned / wanted), Decimal(1))
    done = min(max(executed / planned, Decimal(0)), Decimal(1))
    return 1 - share * (1 - done)
