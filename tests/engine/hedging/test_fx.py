from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.hedging.fx import (
    FxHedgeInputs,
    FxHedgeOutcome,
    FxHedgePlan,
    compute_fx_hedge_quantities,
    compute_net_fx_exposure,
    plan_fx_hedge,
    split_micros,
)
from engine.model.encoding import decode, encode
from engine.model.instruments import Contract, Instrument, InstrumentType
from engine.model.orders import Reason, TradeProposal
from engine.model.portfolio import CashBasis, LineValue, Portfolio, Position, Sleeve, Valuation
from engine.model.universe import ContractBook
from tests.engine.fund_factory import AS_OF, TODAY, book, fx_policy, instrument, marks, rates, universe

FX = rates(EURUSD="1.17", GBPUSD="1.30", USDCHF="0.80", USDSEK="10")
SIZES = {"EUR": Decimal(12_500), "GBP": Decimal(6_250), "CHF": Decimal(12_500)}
POLICY = fx_policy()
FUTURES = {"M6E": ("EUR", 12_500), "6E": ("EUR", 125_000), "M6B": ("GBP", 6_250), "6B": ("GBP", 62_500)}


def contracts(*extra: Instrument) -> ContractBook:
    futures = [
        instrument(name, "USD", "FUT", multiplier=Decimal(size), exposure_currency=currency)
        for name, (currency, size) in FUTURES.items()
    ]
    world = universe(
        *futures,
        instrument("CS51", "EUR"),
        instrument("TWO", "GBP", exposure_currency="EUR"),
        instrument("USD.SEK", "SEK", "CASH"),
        *extra,
    )
    return book(
        world, *(Contract(contract_id=f"{name}_{m}6", instrument_id=name) for name in FUTURES for m in "UZ")
    )


def valuation(lines: tuple[LineValue, ...] = (), **values: str) -> Valuation:
    return Valuation(
        as_of=AS_OF,
        trade_date=TODAY,
        basis=CashBasis.SETTLED,
        nav=Decimal(10_000_000),
        cash_usd=Decimal(0),
        accruals_usd=Decimal(0),
        lines=lines,
        currency_values={currency: Decimal(amount) for currency, amount in values.items()},
        fx={},
        long_exposure=Decimal(0),
        short_exposure=Decimal(0),
        fx_hedge_gross=Decimal(0),
        flagged_gross=Decimal(0),
        units=Decimal(1),
    )


def holding(**quantities: int) -> Portfolio:
    positions = {
        name: Position(
            contract_id=name,
            quantity=Decimal(count),
            cost=Decimal(0),
            average_price=Decimal(1),
            sleeves={Sleeve.FX_HEDGE: Decimal(count)},
        )
        for name, count in quantities.items()
    }
    return Portfolio(as_of=AS_OF, cash={}, positions=positions, accruals={}, units=Decimal(1))


def plan(values: Valuation, held: Portfolio | None = None, **changes: object) -> FxHedgePlan:
    inputs = FxHedgeInputs(
        portfolio=held or holding(),
        valuation=values,
        planned=(),
        contracts=contracts(),
        front_contracts={name: f"{name}_Z6" for name in FUTURES},
        marks=marks(TWO="200"),
        fx=FX,
    )
    return plan_fx_hedge(inputs, fx_policy(**changes))


def trades(result: FxHedgePlan) -> dict[str, Decimal]:
    return {proposal.contract_id: proposal.quantity for proposal in result.proposals}


class TestFXHedging:
    @pytest.mark.parametrize(
        ("value", "cash", "micros"),
        [(-1_400_000, 1_400_000, 0), (-1_400_000, 0, 112), (-1_260_000, 1_400_000, -11)],
    )
    def test_net_exposure_includes_cash(self, value: int, cash: int, micros: int) -> None:
        exposure = compute_net_fx_exposure(valuation(EUR=str(value + cash), USD="5"), contracts(), FX)
        assert exposure == {"EUR": value + cash}
        assert compute_fx_hedge_quantities(exposure, SIZES)["EUR"] == micros

    def test_short_exposure_gives_long_hedge(self) -> None:
        result = plan(valuation(EUR="-1400000"))
        assert trades(result) == {"6E_Z6": 11, "M6E_Z6": 2}
        assert {p.reason for p in result.proposals} == {Reason.HEDGE_FX}
        assert {p.group for p in result.proposals} == {"fx_hedge"}

    def test_hedge_ratio_and_rounding(self) -> None:
        exposures = {"EUR": Decimal(-1_400_000), "GBP": Decimal(250_000)}
        assert compute_fx_hedge_quantities(exposures, SIZES) == {"EUR": 112, "GBP": -40}
        assert compute_fx_hedge_quantities(exposures, SIZES, Decimal("0.5")) == {"EUR": 56, "GBP": -20}
        # 31,250 / 12,500 = 2.5 contracts: away from zero
        assert compute_fx_hedge_quantities({"EUR": Decimal(31_250)}, SIZES) == {"EUR": -3}


def test_order_is_target_less_held() -> None:
    assert trades(plan(valuation(EUR="-1400000"), holding(**{"6E_Z6": 11, "M6E_Z6": 2}))) == {}
    assert trades(plan(valuation(EUR="-1390000"), holding(**{"6E_Z6": 11}))) == {}
    assert trades(plan(valuation(EUR="-1400000"), holding(**{"6E_Z6": 10}))) == {"6E_Z6": 1, "M6E_Z6": 2}


def test_future_that_is_due_counts_as_its_successor() -> None:
    # The roll plan sells 11 September and buys 11 December; the hedge adds the two micros only.
    assert trades(plan(valuation(EUR="-1400000"), holding(**{"6E_U6": 11}))) == {"M6E_Z6": 2}
    assert trades(plan(valuation(), holding(**{"6E_U6": 4}))) == {"6E_Z6": -4}


def test_hedge_without_exposure_is_closed() -> None:
    assert trades(plan(valuation(), holding(**{"6E_Z6": 4}))) == {"6E_Z6": -4}


@pytest.mark.parametrize(
    ("exposure", "outcome"),
    [("0", "on_target"), ("21000", "within_band"), ("-21300", "within_band"), ("21500", "trade")],
)
def test_band_is_a_quarter_percent_of_nav(exposure: str, outcome: str) -> None:
    # 25,000 USD / 1.17 = 21,368 EUR
    assert plan(valuation(EUR=exposure)).lines[0].outcome is FxHedgeOutcome(outcome)


def test_full_size_future_alone_is_enough() -> None:
    result = plan(valuation(EUR="-1400000"), hedge_contracts={"EUR": (None, "6E")})
    assert trades(result) == {"6E_Z6": 11}


def test_line_with_another_exposure_currency_is_moved_there() -> None:
    line = LineValue(
        contract_id="TWO",
        instrument_id="TWO",
        currency="GBP",
        quantity=Decimal(1000),
        mark=Decimal(200),
        stale_sessions=0,
        value=Decimal(200_000),
        value_usd=Decimal(260_000),
        exposure=Decimal(200_000),
        exposure_usd=Decimal(260_000),
    )
    exposure = compute_net_fx_exposure(valuation((line,), GBP="0"), contracts(), FX)
    # 200,000 GBP = 260,000 USD = 222,222.22 EUR
    assert exposure["GBP"] == -200_000
    assert float(exposure["EUR"]) == pytest.approx(222_222.22, abs=0.01)


def test_planned_trade_moves_exposure_only_where_currencies_differ() -> None:
    proposals = tuple(
        TradeProposal(
            sleeve="sector_rv", contract_id=name, quantity=Decimal(100), reason=Reason.REBALANCE, group=None
        )
        for name in ("CS51", "TWO")
    )
    exposure = compute_net_fx_exposure(valuation(), contracts(), FX, proposals, marks(CS51="50", TWO="200"))
    assert exposure["GBP"] == -20_000
    assert "CS51" not in exposure
    assert float(exposure["EUR"]) == pytest.approx(20_000 * 1.30 / 1.17)


def test_currency_without_futures_is_converted_at_spot() -> None:
    result = plan(valuation(SEK="1000000"))
    # 1,000,000 SEK at 10 SEK per USD: buy 100,000 USD
    assert trades(result) == {"USD.SEK": 100_000}


def test_currency_that_nothing_serves_is_named() -> None:
    result = plan(valuation(CHF="1000000"))
    assert result.lines[0].outcome is FxHedgeOutcome.NO_INSTRUMENT
    assert "CHF: 1,250,000 USD stay unhedged" in result.notes[0]


def test_spot_line_must_be_a_currency() -> None:
    assert contracts().universe["USD.SEK"].kind is InstrumentType.CASH


def test_plan_survives_its_bytes() -> None:
    result = plan(valuation(EUR="-1400000", SEK="1000000"))
    assert encode(decode(FxHedgePlan, encode(result))) == encode(result)


@given(st.integers(-5000, 5000), st.integers(0, 50))
def test_split_micros_keeps_the_sum_and_the_side(micros: int, limit: int) -> None:
    full, rest = split_micros(Decimal(micros), limit)
    assert full * 10 + rest == micros
    assert full * micros >= 0
    assert rest * micros >= 0


@given(st.integers(-10_000_000, 10_000_000))
def test_hedge_leaves_less_than_the_band(exposure: int) -> None:
    result = plan(valuation(EUR=str(exposure)))
    left = exposure + (result.lines[0].hedge_target if result.proposals else 0)
    assert abs(left) * Decimal("1.17") <= 25_000
