"""A fund of the configured legs at round prices, for target tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from engine.carry.borrow import BorrowService
from engine.model.instruments import CollarClass, Contract
from engine.model.market import BorrowInfo
from engine.model.portfolio import Portfolio, Position, Sleeve
from engine.sleeves.sizing import PriceList
from engine.sleeves.targets import TargetInputs
from tests.engine.accounting.policies import CARRY
from tests.engine.fund_factory import AS_OF, TODAY, book, history, instrument, marks, rates, universe

NAV = Decimal(10_000_000)
PRICES = {
    "CSPX": "734", "CS51": "50", "IUIT": "30", "CNDX": "1000", "SEMI": "10", "IUHC": "12", "IUQA": "15",
    "EXV1": "25", "EXS1": "150", "IUKD": "895", "LQDE": "100", "IHYU": "90", "FLOT": "5", "ARCC": "20",
    "AAPL": "250", "MSFT": "400", "GOOGL": "200", "NVDA": "180", "AMZN": "220",
    "FESX_Z6": "5700", "FDXM_Z6": "24000",
}  # fmt: skip
COMPANIES = {"AAPL", "MSFT", "GOOGL", "NVDA", "AMZN", "ARCC"}
EUROS = {"CS51", "EXV1", "EXS1", "FESX", "FDXM"}
FUTURES = {"FESX": Decimal(10), "FDXM": Decimal(5)}


def share_class(name: str) -> CollarClass:
    return CollarClass.STK if name in COMPANIES else CollarClass.ETF


def world() -> PriceList:
    shares = [
        instrument(name, "EUR" if name in EUROS else "USD", collar_class=share_class(name))
        for name in PRICES
        if not name.endswith("_Z6") and name != "IUKD"
    ]
    pence = {"price_magnifier": Decimal(100), "price_unit": "GBX", "collar_class": CollarClass.ETF}
    shares.append(instrument("IUKD", "GBP", **pence))
    futures = [instrument(name, "EUR", "FUT", multiplier=size) for name, size in FUTURES.items()]
    contracts = [Contract(contract_id=f"{name}_Z6", instrument_id=name) for name in FUTURES]
    return PriceList(
        contracts=book(universe(*shares, *futures), *contracts),
        marks=marks(**PRICES),
        fx=rates(EURUSD="1.17", GBPUSD="1.30"),
        front_contracts={name: f"{name}_Z6" for name in FUTURES},
    )


def portfolio(**sleeves: dict[str, int]) -> Portfolio:
    """Holdings by sleeve name (enum member in lower case) and contract."""
    split: dict[str, dict[Sleeve, Decimal]] = {}
    for sleeve, lines in sleeves.items():
        for contract, quantity in lines.items():
            split.setdefault(contract, {})[Sleeve[sleeve.upper()]] = Decimal(quantity)
    positions = {
        contract: Position(
            contract_id=contract,
            quantity=sum(parts.values(), Decimal(0)),
            cost=Decimal(0),
            average_price=Decimal(1),
            sleeves=parts,
        )
        for contract, parts in split.items()
    }
    return Portfolio(as_of=AS_OF, cash={}, positions=positions, accruals={}, units=Decimal(100_000))


def target_inputs(scale: float = 1.0, held: Portfolio | None = None, **changes: object) -> TargetInputs:
    base = TargetInputs(
        trade_date=TODAY,
        nav=NAV,
        portfolio=held or portfolio(),
        prices=world(),
        history=history({}),
        fundamentals=(),
        borrow=lenders(),
        scaling_factor=scale,
        core_scale=scale,
        expected_carry_annual={},
        option_exposures=(),
        option_value=0.0,
    )
    return replace(base, **changes)


def borrow(**shares: int) -> dict[str, BorrowInfo]:
    return {
        name: BorrowInfo(instrument_id=name, available_shares=Decimal(count), fee_bps_annual=Decimal(50))
        for name, count in shares.items()
    }


def lenders(infos: Mapping[str, BorrowInfo] | None = None, *, deny: bool = False) -> BorrowService:
    """Return the lenders' word; with ``deny`` no new short goes without it."""
    return BorrowService(infos=infos or {}, config=replace(CARRY.borrow, deny_short_without_borrow=deny))
