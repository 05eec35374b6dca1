"""What may still be worked of what the decision wanted, once the market has moved since (JOBS-07, R-117, SAFE-04).

A wish is frozen at 06:00 as a value at the price of then. At another price the same value is another quantity: the
smaller of the two is worked, never more than what was committed. What only reduces is never held back. A price is
believed only near the one that an index future's move since the decision implies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from engine.execution.netting import PriceBook
from engine.execution.pricing import PlanRefusal, RefusalCode, usable_quote
from engine.model.instruments import CollarClass, Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY, Quote
from engine.model.money import ZERO
from engine.model.orders import OrderIntent, Reason
from engine.model.policy import SafetyPolicy
from engine.model.universe import Universe

_SIZED_BY_VALUE = frozenset({Reason.REBALANCE, Reason.HEDGE_TAIL})
"""Trades whose quantity follows from a value: a roll, a close or a currency hedge has its quantity from a holding."""

_INDEX = "equity_index"
_EQUITY = frozenset({_INDEX, "eu_sector_etf", "us_sector_etf", "us_single_name", "eu_single_name"})
_EUROPE = "EUR"
_UNIMPLIED = frozenset({CollarClass.OPT, CollarClass.VOL_FUT})
"""Classes whose prices move with volatility: no future implies them, and a twentieth is an ordinary move."""

QuoteNow = Callable[[str], Quote | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowVerdict:
    """What a look at the market before a window leaves of the decision; it only ever takes away.

    ``scale`` multiplies the positions that the strategy wants; ``blocked`` says why none of them may be entered or
    enlarged, and is empty when they may. ``text`` says why the scale is below 1.
    """

    scale: Decimal = Decimal(1)
    blocked: str = ""
    text: str = ""

    def with_later(self, later: WindowVerdict) -> WindowVerdict:
        """The stricter of both: what was taken away does not come back on the same day."""
        lower = later if later.scale < self.scale else self
        return WindowVerdict(scale=lower.scale, blocked=self.blocked or later.blocked, text=lower.text)


UNCHANGED = WindowVerdict()


class Wanted(NamedTuple):
    """What the decision saw and wanted of a contract: signed quantity held before, and signed change wished."""

    held: Decimal
    change: Decimal


class Wish(NamedTuple):
    """A parent's wish as it was frozen: signed position held and wanted at ``price``; what moves it and by how much.

    Below a move of ``move_fraction`` the quantity stays.
    """

    held: Decimal
    position: Decimal
    price: Decimal
    move_fraction: Decimal
    verdict: WindowVerdict = UNCHANGED


class Retarget(NamedTuple):
    """Quantity that may be worked, unsigned, and why it is less; ``is_turned``: the wish is on the other side now."""

    quantity: Decimal
    text: str
    is_turned: bool


def wish_of(
    intent: OrderIntent, wanted: Wanted | None, verdict: WindowVerdict, move_fraction: Decimal
) -> Wish | None:
    """The frozen wish behind a parent, ``None`` where its quantity does not follow from a value.

    Without a known wish the trade stands for itself. Protection is bought for a premium whatever is held of it.
    """
    if intent.reason not in _SIZED_BY_VALUE or intent.reduce_only:
        return None
    own = intent.quantity * intent.side.sign
    held, change = wanted if wanted is not None else Wanted(ZERO, own)
    if intent.reason is Reason.HEDGE_TAIL:
        return Wish(ZERO, own, intent.decision_price, move_fraction)
    return Wish(held, held + change, intent.decision_price, move_fraction, verdict)


def retarget(intent: OrderIntent, wish: Wish, price: Decimal, lot: Decimal) -> Retarget | None:
    """What a parent may work at a price; ``None`` where that is all of it.

    With symbols H = held, W = wanted position, p₀ and p₁ = prices of the decision and of now, s = scale and
    q = committed quantity: ``min(q, side · (s · W · p₀/p₁ − H))`` in whole lots, and 0 where that is negative.
    """
    if wish.verdict.blocked:
        return Retarget(ZERO, wish.verdict.blocked, is_turned=False)
    if wish.price <= 0 or price <= 0:
        text = f"no quantity follows from prices of {wish.price:f} at the decision and {price:f} now"
        return Retarget(ZERO, text, is_turned=False)
    moved = price / wish.price - 1
    ratio = wish.price / price if abs(moved) > wish.move_fraction else Decimal(1)
    if ratio == 1 and wish.verdict.scale == 1:
        return None
    left = (wish.position * ratio * wish.verdict.scale - wish.held) * intent.side.sign
    if left >= intent.quantity:
        return None
    quantity = max(ZERO, left // lot * lot)
    return Retarget(quantity, _why(intent, wish, moved, quantity), is_turned=left < 0)


def _why(intent: OrderIntent, wish: Wish, moved: Decimal, quantity: Decimal) -> str:
    reasons = [wish.verdict.text] if wish.verdict.scale < 1 else []
    if abs(moved) > wish.move_fraction:
        reasons.append(f"the price moved by {moved:+.1%} since the decision")
    what = (
        f"{quantity:f} of {intent.quantity.normalize():f} still wanted" if quantity else "nothing is wanted"
    )
    return f"{'; '.join(reasons)}: {what}"


# ---------------------------------------------------------------- is a price to be believed?


class PriceReference(NamedTuple):
    """Price that the market should be near to, how far it may be away (fraction), and where it comes from."""

    price: Decimal
    tolerance_fraction: Decimal
    source: str

    def refusal(self, mid: Decimal) -> str | None:
        """Why a price is not believed, ``None`` where it is near enough."""
        gap = abs(mid / self.price - 1) if self.price > 0 else None
        if gap is not None and gap <= self.tolerance_fraction:
            return None
        found = "no positive price" if gap is None else f"one {gap:.1%} away"
        return (
            f"expected a price within {self.tolerance_fraction:.1%} of {self.price:.6g}, {self.source}, "
            f"found {mid:.6g}, {found}"
        )


IndexFutures = Mapping[str, tuple[str, ...]]
"""Exposure currency of equities → contracts of its index futures, the foremost first."""


def index_futures(universe: Universe, chains: Mapping[str, tuple[str, ...]]) -> IndexFutures:
    """Futures on equity indices by exposure currency, one priced contract a line; ``chains`` lists those by line."""
    found: dict[str, tuple[str, ...]] = {}
    for line in universe:
        if line.category == _INDEX and line.is_future and chains.get(line.instrument_id):
            name = chains[line.instrument_id][0]
            found[line.exposure_currency] = (*found.get(line.exposure_currency, ()), name)
    return found


class MarketView(NamedTuple):
    """What a price can be held against: prices of the decision, index futures, and the market's quotes now."""

    prices: PriceBook
    futures: IndexFutures
    quote: QuoteNow
    now: datetime
    age_seconds: float

    def has_market(self, contract_id: str) -> bool:
        """Whether there is a quote now of which a price could be made."""
        quote = usable_quote(self.quote(contract_id), self.now, self.age_seconds)
        return not isinstance(quote, PlanRefusal)

    def move(self, contract_id: str) -> Decimal | None:
        """Move of a contract since the decision (fraction), ``None`` without a usable quote."""
        quote = usable_quote(self.quote(contract_id), self.now, self.age_seconds)
        decided = self.prices.price(contract_id)
        if isinstance(quote, PlanRefusal) or decided <= 0:
            return None
        return quote.mid / decided - 1


def price_reference(intent: OrderIntent, view: MarketView, policy: SafetyPolicy) -> PriceReference | None:
    """What an arriving price is judged by, ``None`` where nothing implies it.

    An equity's is its price at the decision times the move of its currency's index future since, an index future's
    that of another one; without a future that is quoted it is the price at the decision. A company's own news, or
    credit's, holds back what enters long before it holds back what only reduces.
    """
    instrument = view.prices.contracts.instrument(intent.contract_id)
    if instrument.collar_class in _UNIMPLIED:
        return None
    for name in _implying(instrument, intent.contract_id, view.futures):
        move = view.move(name)
        if move is not None:
            is_index = instrument.kind is not InstrumentType.STK
            fraction = _tolerance(intent, policy, is_index=is_index)
            return PriceReference(intent.decision_price * (1 + move), fraction, f"which {name} implies")
    fraction = _tolerance(intent, policy, is_index=False)
    return PriceReference(intent.decision_price, fraction, "the price of the decision")


def _tolerance(intent: OrderIntent, policy: SafetyPolicy, *, is_index: bool) -> Decimal:
    if intent.reduce_only and not is_index:
        return policy.fat_finger_reduction_fraction
    return policy.fat_finger_price_fraction


def implied_move(instrument: Instrument, contract_id: str, view: MarketView) -> Decimal | None:
    """Move since the decision that index futures imply for an equity, ``None`` where none is quoted."""
    moves = (view.move(name) for name in _implying(instrument, contract_id, view.futures))
    return next((move for move in moves if move is not None), None)


def _implying(instrument: Instrument, contract_id: str, futures: IndexFutures) -> tuple[str, ...]:
    if instrument.category not in _EQUITY:
        return ()
    own = futures.get(instrument.exposure_currency)
    if own is None and instrument.exposure_currency != BASE_CURRENCY:
        own = futures.get(
            _EUROPE
        )  # London's, Zurich's and Stockholm's shares have no future of their own here
    return tuple(name for name in own or () if name != contract_id)


def judged(
    quote: Quote | None, reference: PriceReference | None, now: datetime, age_seconds: float
) -> Quote | PlanRefusal:
    """The quote if it is usable and near its reference; else it is asked for again."""
    usable = usable_quote(quote, now, age_seconds)
    if isinstance(usable, PlanRefusal) or reference is None:
        return usable
    text = reference.refusal(usable.mid)
    return usable if text is None else PlanRefusal(code=RefusalCode.NOT_BELIEVED, text=text)
