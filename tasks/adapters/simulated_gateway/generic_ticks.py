"""Ticks that come only on request, by the numbers of their requests: loans of shares, dividends, options.

A request is refused when it names one that its kind of contract does not have. What is legal and not simulated stays
without an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from engine.model.instruments import Contract, Instrument, OptionRight
from engine.model.market import MarketInputs, Quote
from tasks.adapters.simulated_gateway.option_figures import Computed, OptionDesk
from tasks.adapters.simulated_gateway.sessions import Answer, plain

OPEN_INTEREST, SHORTABLE, DIVIDENDS = 101, 236, 456
_OF_OPTIONS = frozenset({100, 101, 104, 105, 106})
_OF_SHARES = _OF_OPTIONS | {
    165,
    221,
    225,
    232,
    233,
    236,
    258,
    292,
    293,
    294,
    295,
    318,
    375,
    411,
    456,
    577,
    586,
    595,
    619,
}
_OF_OTHERS = frozenset({165, 221, 225, 232, 233, 293, 294, 295, 318, 375, 411, 460, 577, 586, 588, 595, 619})
CALL_INTEREST, PUT_INTEREST, SHORTABLE_LEVEL, DIVIDEND_TEXT, SHORTABLE_SHARES = 27, 28, 46, 59, 89
_COMPUTATIONS = {"bid": 10, "ask": 11, "last": 12, "model": 13}
_DELAYED_COMPUTATIONS = 70
"""Added to the number of a computation on delayed data."""

_AT_ONCE, _TO_BE_LOCATED, _NONE = "3.0", "2.0", "1.0"
_NUMBER = re.compile(r"[0-9]{1,4}")
_MANY_SHARES = Decimal(1000)


def legal(instrument: Instrument) -> frozenset[int]:
    """Generic ticks that a kind of contract has."""
    if instrument.is_option:
        return _OF_OPTIONS | {165, 221, 225, 232, 233, 293, 294, 295, 318, 375, 411, 577, 586, 595, 619}
    return _OF_SHARES if instrument.kind.broker_name == "STK" else _OF_OTHERS


def read_generic(text: str) -> frozenset[int] | None:
    """Numbers of a comma list; ``None`` for what is no list of numbers."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    return frozenset(int(word) for word in words) if all(_NUMBER.fullmatch(word) for word in words) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What is told beside the quote of one contract at one time."""

    instrument: Instrument
    contract: Contract
    quote: Quote | None
    at: datetime
    request_id: int
    is_delayed: bool

    def ticks(
        self, wanted: frozenset[int], published: MarketInputs, options: OptionDesk
    ) -> Iterator[tuple[str, Answer]]:
        """Ticks by what they are about."""
        name = self.instrument.instrument_id
        if SHORTABLE in wanted:
            yield from self._shortable(name, published)
        if DIVIDENDS in wanted:
            yield "string 59", self._answer("string", DIVIDEND_TEXT, {"text": dividend_text(name, published)})
        if self.instrument.is_option:
            computed = options.computations(self.instrument, self.contract, self.quote, self.at)
            yield from self._computations(computed)
        if self.instrument.is_option and OPEN_INTEREST in wanted:
            yield from self._interest(options)

    def _shortable(self, name: str, published: MarketInputs) -> Iterator[tuple[str, Answer]]:
        known = published.borrow.get(name)
        if known is None:
            return
        shares = known.available_shares
        level = _AT_ONCE if shares >= _MANY_SHARES else _TO_BE_LOCATED if shares > 0 else _NONE
        yield "generic 46", self._answer("generic", SHORTABLE_LEVEL, {"value": level})
        yield "size 89", self._answer("size", SHORTABLE_SHARES, {"size": plain(shares)})

    def _computations(self, computed: Mapping[str, Computed]) -> Iterator[tuple[str, Answer]]:
        """Volatility and delta; the model's other sensitivities are not told (−2), dividends neither (−1)."""
        for name, one in computed.items():
            number = _COMPUTATIONS[name] + (_DELAYED_COMPUTATIONS if self.is_delayed else 0)
            said = {
                "volatility": repr(one.volatility), "delta": repr(one.delta), "price": plain(one.price),
                "dividends": "-1", "gamma": "-2", "vega": "-2", "theta": "-2", "underlying": plain(one.underlying),
            }  # fmt: skip
            yield f"computation {name}", self._answer("option_computation", number, said)

    def _interest(self, options: OptionDesk) -> Iterator[tuple[str, Answer]]:
        model = options.last_model(self.instrument, self.contract.contract_id, self.at)
        if model is not None:
            number = CALL_INTEREST if self.contract.right is OptionRight.CALL else PUT_INTEREST
            yield f"size {number}", self._answer("size", number, {"size": str(model.open_interest)})

    def _answer(self, name: str, number: int, said: Mapping[str, str]) -> Answer:
        return Answer(name, {"request_id": str(self.request_id), "type": str(number), **said})


def dividend_text(name: str, published: MarketInputs) -> str:
    """``paid,expected,next date,next amount`` per share: of a year back, of a year ahead, and of the next one announced.

    Expected are as many payments as last year of the amount that is announced, else what was paid; what is not known is
    left empty.
    """
    known = published.dividend_infos.get(name)
    following = next((one for one in published.dividends if one.instrument_id == name), None)
    paid = "" if known is None else plain(known.paid_annual)
    expected = paid
    if known is not None and following is not None:
        expected = plain(following.amount * known.payments_annual)
    upcoming = "," if following is None else f"{following.ex_date:%Y%m%d},{plain(following.amount)}"
    return f"{paid},{expected},{upcoming}"
