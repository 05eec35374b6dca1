"""Faults of the outside world, put into the simulated broker or into the data that the fund reads.

The primitives know no kinds of breaks: they hide an execution, add a trade, move cash, shift a reported figure, freeze
rates, poison a price. `SCENARIOS` names what `run --fault NAME` offers. Faults live in the broker's file, so they
survive a restart. Transient ones last until `clear`; the others changed the account for good. Each name strikes once
per virtual day, so a repeated command line does not strike twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from engine.errors import ConfigurationError, MissingMark, NonFiniteValue, UnknownContract
from engine.model.instruments import Instrument, InstrumentType
from engine.model.market import BASE_CURRENCY, FxRate, FxRates, MarketInputs, OptionRange
from engine.model.money import ZERO, decimal_from_float, round_money
from engine.model.orders import ChildOrder, ChildStatus, Fill, OrderType, Side, order_reference
from engine.ports import MarketDataSource
from engine.simulation.account import BrokerOrder, FaultKind
from engine.simulation.bookkeeping import book_trade, charge_tax, commission, sequence_key
from engine.simulation.broker import SimulatedBroker
from engine.simulation.desk import execution_id
from engine.simulation.interventions import change_cash, remember
from engine.simulation.margin import closing_marks, net_liquidation

TRADE_FRACTION = Decimal("0.005")
TRADE_FRACTION_MAX = Decimal("0.006")
NLV_DRIFT_FRACTION = Decimal("0.005")
STALE_FX_HOURS = Decimal(128)
"""Clock hours, of which a weekend takes at most 48: at least 80 market hours are left on every day of the week."""
CASH_BREAK_USD = Decimal(-30_000)
EMERGENCY_FRACTION = Decimal("-0.015")


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignTrade:
    """A trade that did not come through our line: signed quantity, price in quote units, the order's reference."""

    contract_id: str
    quantity: Decimal
    price: Decimal
    order_ref: str | None


# ---------------------------------------------------------------- primitives


def hide_execution(broker: SimulatedBroker, name: str, execution: str) -> None:
    """Keep an execution out of every listing until it is cleared; the account keeps its effect."""
    remember(broker, name, FaultKind.HIDDEN_EXECUTION, execution, ZERO)


def add_trade(broker: SimulatedBroker, name: str, trade: ForeignTrade) -> Fill:
    """Let the account trade without us: position, cash, commission, order and execution are all real."""
    state, terms = broker.state, broker.terms
    instrument = terms.instrument(trade.contract_id)
    number = state.head.executions + 1
    state.head = replace(state.head, executions=number, orders=state.head.orders + 1)
    quantity = abs(trade.quantity)
    charge = commission(terms.costs, instrument, quantity, abs(instrument.notional(quantity, trade.price)))
    fill = Fill(
        execution_id=execution_id(number),
        order_ref=trade.order_ref,
        contract_id=trade.contract_id,
        side=Side.of(trade.quantity),
        quantity=quantity,
        price=trade.price,
        executed_at=broker.now,
        commission=charge,
        commission_currency=instrument.currency,
    )
    state.executions.put(fill.execution_id, fill)
    book_trade(state, instrument, fill)
    charge_tax(state, terms.costs, instrument, fill)
    state.put_order(_filled_order(fill, sequence_key(state.head.orders), charge))
    remember(broker, name, FaultKind.ADDED_TRADE, fill.execution_id, trade.quantity, active=False)
    return fill


def shift_net_liquidation(broker: SimulatedBroker, name: str, fraction: Decimal) -> None:
    """Report a net liquidation that is off by a fraction, until it is cleared."""
    remember(broker, name, FaultKind.SHIFTED_NET_LIQUIDATION, BASE_CURRENCY, fraction)


def freeze_fx(broker: SimulatedBroker, name: str, hours: Decimal) -> None:
    """Let the fund read exchange rates that are that old, until it is cleared."""
    remember(broker, name, FaultKind.FROZEN_FX, "", hours)


def poison_price(broker: SimulatedBroker, name: str, contract_id: str) -> None:
    """Let the fund read a price of a contract that is no number, until it is cleared."""
    remember(broker, name, FaultKind.POISONED_PRICE, contract_id, ZERO)


# ---------------------------------------------------------------- scenarios


def _missed_fill(broker: SimulatedBroker, name: str) -> None:
    reference = order_reference(f"{broker.account}|{name}|{broker.now.date().isoformat()}", 0)
    add_trade(broker, name, _visible_trade(broker, reference))


def _foreign_position(broker: SimulatedBroker, name: str) -> None:
    add_trade(broker, name, _visible_trade(broker, None))


def _nlv_drift(broker: SimulatedBroker, name: str) -> None:
    shift_net_liquidation(broker, name, NLV_DRIFT_FRACTION)


def _stale_fx(broker: SimulatedBroker, name: str) -> None:
    freeze_fx(broker, name, STALE_FX_HOURS)


def _nan_price(broker: SimulatedBroker, name: str) -> None:
    held = [key for key, position in broker.state.positions.items() if position.quantity != 0]
    poison_price(broker, name, held[0] if held else _priced_security(broker).contract_id)


def _cash_break(broker: SimulatedBroker, name: str) -> None:
    change_cash(broker, name, BASE_CURRENCY, CASH_BREAK_USD)


def _cash_emergency(broker: SimulatedBroker, name: str) -> None:
    change_cash(broker, name, BASE_CURRENCY, round_money(_account_value(broker) * EMERGENCY_FRACTION))


def _spread_rejected(broker: SimulatedBroker, name: str) -> None:
    remember(broker, name, FaultKind.REFUSED_SPREADS, "", ZERO)


def _spread_unfilled(broker: SimulatedBroker, name: str) -> None:
    remember(broker, name, FaultKind.UNMATCHED_SPREADS, "", ZERO)


SCENARIOS: Mapping[str, Callable[[SimulatedBroker, str], None]] = {
    "cash-break": _cash_break,
    "cash-break:emergency": _cash_emergency,
    "foreign-position": _foreign_position,
    "missed-fill": _missed_fill,
    "nan-price": _nan_price,
    "nlv-drift": _nlv_drift,
    "spread-rejected": _spread_rejected,
    "spread-unfilled": _spread_unfilled,
    "stale-fx": _stale_fx,
}


def require_known_fault(name: str) -> None:
    """Raise `ConfigurationError` for a name that is no scenario; the text lists those there are."""
    if name not in SCENARIOS:
        raise ConfigurationError(
            f"expected a fault among {', '.join(sorted(SCENARIOS))}, found {name!r}; take one of these"
        )


def inject(broker: SimulatedBroker, name: str) -> bool:
    """Let a named scenario strike, once per virtual day; whether it struck now.

    Raises `ConfigurationError` for an unknown name.
    """
    require_known_fault(name)
    if any(
        fault.name == name and fault.injected_at.date() == broker.now.date()
        for _, fault in broker.state.faults.items()
    ):
        return False
    SCENARIOS[name](broker, name)
    broker.commit()
    return True


def clear(broker: SimulatedBroker, name: str) -> bool:
    """End a transient fault; whether one was active. What changed the account for good stays changed."""
    ended = [
        (key, fault) for key, fault in broker.state.faults.items() if fault.name == name and fault.active
    ]
    for key, fault in ended:
        broker.state.faults.put(key, replace(fault, active=False))
    if ended:
        broker.commit()
    return bool(ended)


def active_faults(broker: SimulatedBroker) -> tuple[str, ...]:
    """Names of the transient faults that still last, sorted."""
    return tuple(sorted({fault.name for _, fault in broker.state.faults.items() if fault.active}))


# ---------------------------------------------------------------- the fund's data


class FaultedMarketData:
    """The fund's market data (a `MarketDataSource`) with the account's active data faults in it.

    ``given`` are contracts whose price a person gave: what the source says of them is not looked at.
    """

    def __init__(
        self, source: MarketDataSource, broker: SimulatedBroker, given: Collection[str] = ()
    ) -> None:
        self._source, self._broker, self._given = source, broker, frozenset(given)

    def inputs(
        self, trade_date: date, as_of: datetime, held: Sequence[str], options: Mapping[str, OptionRange]
    ) -> MarketInputs:
        """What the source knows, through the faults; raises `NonFiniteValue` on a poisoned price."""
        inputs = self._source.inputs(trade_date, as_of, held, options)
        for _, fault in self._broker.state.faults.items():
            if not fault.active or fault.subject in self._given:
                continue
            if fault.kind is FaultKind.POISONED_PRICE:
                _read_poisoned(inputs, fault.subject)
            if fault.kind is FaultKind.FROZEN_FX:
                inputs = replace(inputs, fx=self._frozen(inputs.fx, as_of, fault.amount))
        return inputs

    def _frozen(self, fx: FxRates, as_of: datetime, hours: Decimal) -> FxRates:
        observed = as_of - timedelta(hours=float(hours))
        old = self._broker.terms.facts.fx(observed).rates
        return replace(
            fx,
            rates={
                pair: FxRate(
                    pair=pair,
                    rate=old[pair].rate if pair in old else rate.rate,
                    observed_at=min(rate.observed_at, observed),
                    source=rate.source,
                )
                for pair, rate in fx.rates.items()
            },
        )


def _read_poisoned(inputs: MarketInputs, contract_id: str) -> None:
    mark = inputs.marks.get(contract_id)
    row = inputs.as_of.date() if mark is None else mark.session_date
    try:
        decimal_from_float(float("nan"))
    except NonFiniteValue as error:
        raise NonFiniteValue(
            f"expected a finite daily close of {contract_id}, found one that is not a number in the row of "
            f"{row.isoformat()}",
            subject=contract_id,
        ) from error


# ---------------------------------------------------------------- choosing what to trade


def _filled_order(fill: Fill, broker_order_id: str, charged: Decimal) -> BrokerOrder:
    child = ChildOrder(
        order_ref=fill.order_ref or "",
        intent_id="",
        attempt=0,
        contract_id=fill.contract_id,
        side=fill.side,
        quantity=fill.quantity,
        order_type=OrderType.LIMIT,
        limit_price=fill.price,
        time_in_force="DAY",
        good_till=fill.executed_at,
    )
    return BrokerOrder(
        broker_order_id=broker_order_id,
        child=child,
        status=ChildStatus.FILLED,
        accepted_at=fill.executed_at,
        next_match=None,
        expires_at=None,
        auction_date=None,
        cancel_at=None,
        last_event_at=fill.executed_at,
        completed_at=fill.executed_at,
        filled=fill.quantity,
        notional=ZERO,
        charged=charged,
    )


def _account_value(broker: SimulatedBroker) -> Decimal:
    state, terms = broker.state, broker.terms
    return net_liquidation(state, terms, closing_marks(state, terms), terms.facts.fx(broker.now))


def _visible_trade(broker: SimulatedBroker, order_ref: str | None) -> ForeignTrade:
    return replace(_priced_security(broker), order_ref=order_ref)


def _priced_security(broker: SimulatedBroker) -> ForeignTrade:
    """A purchase worth about half a percent of the account: held shares first, then any listed one."""
    wanted = _account_value(broker) * TRADE_FRACTION
    universe = broker.terms.universe
    held = [key for key, position in broker.state.positions.items() if position.quantity > 0]
    for contract_id in [*(key for key in held if key in universe), *universe.ids]:
        instrument = universe[contract_id]
        price = _last_price(broker, instrument)
        if price is None:
            continue
        lot_value = broker.terms.facts.fx(broker.now).to_base(
            instrument.notional(instrument.lot, price), instrument.currency
        )
        lots = max(Decimal(1), wanted // lot_value)
        if lots * lot_value <= wanted * TRADE_FRACTION_MAX / TRADE_FRACTION:
            return ForeignTrade(
                contract_id=contract_id, quantity=lots * instrument.lot, price=price, order_ref=None
            )
    raise MissingMark(
        "expected a share or fund with an official close to trade half a percent of the account in, found none; "
        "the market data must hold at least one security"
    )


def _last_price(broker: SimulatedBroker, instrument: Instrument) -> Decimal | None:
    """Positive last close on the tick grid; ``None`` for what is no tradeable security or has no market here."""
    if not instrument.tradeable or instrument.kind not in (InstrumentType.STK, InstrumentType.ETF):
        return None
    try:
        closing = broker.terms.last_closing(instrument.instrument_id, broker.now)
    except UnknownContract:
        return None
    price = ZERO if closing is None else instrument.floor_to_tick(closing.price)
    return price if price > 0 else None
