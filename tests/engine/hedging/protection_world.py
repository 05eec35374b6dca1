"""Options, bond and volatility futures at round prices, for the tests of protection."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from engine.hedging.protection import TailInputs
from engine.model.instruments import Contract, OptionRight
from engine.model.market import Mark, OptionQuote
from engine.model.portfolio import Portfolio, Position, Sleeve
from engine.risk.regime import RiskRegime
from engine.sleeves.sizing import PriceList
from tests.engine.fund_factory import AS_OF, TODAY, book, instrument, marks, rates, universe

NAV = Decimal(10_000_000)
FUTURES = {
    "FGBL": ("EUR", 1000, "sovereign_bonds"),
    "FOAT": ("EUR", 1000, "sovereign_bonds"),
    "VX": ("USD", 1000, "volatility"),
}
OPTIONS = {
    "SPX_OPT": "index_options",
    "SPY_OPT": "index_options",
    "VIX_OPT": "vol_options",
    "HYG_OPT": "credit_options",
}


def option(
    name: str = "SPY_OPT",
    days: int = 90,
    delta: float = -0.225,
    right: OptionRight = OptionRight.PUT,
    strike: str = "600",
    day: date = TODAY,
    **changes: object,
) -> OptionQuote:
    expiry = day + timedelta(days=days)
    contract = Contract(
        contract_id=f"{name}_{expiry:%Y%m%d}_{right.value}_{strike}",
        instrument_id=name,
        last_trade_date=expiry,
        strike=Decimal(strike),
        right=right,
    )
    base = OptionQuote(
        contract=contract,
        bid=Decimal("7.8"),
        ask=Decimal("8"),
        implied_volatility=0.2,
        delta=delta,
        open_interest=1000,
        underlying_price=Decimal(660),
    )
    return replace(base, **changes)


def chains(*quotes: OptionQuote) -> dict[str, tuple[OptionQuote, ...]]:
    result: dict[str, tuple[OptionQuote, ...]] = {}
    for quote in quotes:
        name = quote.contract.instrument_id
        result[name] = (*result.get(name, ()), quote)
    return result


def prices(*quotes: OptionQuote, **changed: str) -> PriceList:
    lines = [
        instrument(name, currency, "FUT", multiplier=Decimal(size), category=category)
        for name, (currency, size, category) in FUTURES.items()
    ]
    lines += [
        instrument(name, "USD", "OPT", multiplier=Decimal(100), category=category)
        for name, category in OPTIONS.items()
    ]
    listed = [Contract(contract_id=f"{name}_{m}6", instrument_id=name) for name in FUTURES for m in "UZ"]
    levels: dict[str, Mark] = marks(**{"FGBL_Z6": "130", "FOAT_Z6": "125", "VX_Z6": "20"} | changed)
    return PriceList(
        contracts=book(
            universe(*lines), *listed, *{q.contract.contract_id: q.contract for q in quotes}.values()
        ),
        marks=levels,
        fx=rates(EURUSD="1.25"),
        front_contracts={name: f"{name}_Z6" for name in FUTURES},
    )


def holding(quantities: dict[str, int], average: str = "15") -> Portfolio:
    positions = {
        name: Position(
            contract_id=name,
            quantity=Decimal(count),
            cost=Decimal(0),
            average_price=Decimal(average),
            sleeves={Sleeve.CRISIS_ALPHA: Decimal(count)},
        )
        for name, count in quantities.items()
    }
    return Portfolio(as_of=AS_OF, cash={}, positions=positions, accruals={}, units=Decimal(1))


def tail_inputs(
    *quotes: OptionQuote,
    day: date = TODAY,
    held: dict[str, int] | None = None,
    regime: RiskRegime = RiskRegime.NORMAL,
    sales: dict[str, int] | None = None,
    **changed: str,
) -> TailInputs:
    return TailInputs(
        trade_date=day,
        nav=NAV,
        regime=regime,
        portfolio=holding(held or {}),
        prices=prices(*quotes, **changed),
        option_chains=chains(*quotes),
        sales={name: Decimal(usd) for name, usd in (sales or {}).items()},
    )
