"""Loans, dividends and chains over TCP from the simulated gateway: what its market publishes, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import pytest

from engine.hedging.option_hedge import choose_option, option_ranges
from engine.model.instruments import OptionRight
from engine.model.market import MarketInputs, OptionRange
from engine.simulation.pointintime import PointInTimeMarket
from tasks.adapters.ibkr.market_data import MarketDesk, MarketTerms
from tasks.adapters.ibkr.quote_quality import QuoteQualityConfig
from tests.tasks.adapters.gateways import OPENED, small_world
from tests.tasks.adapters.ibkr.desks import FEE
from tests.tasks.adapters.ibkr.trading import Desk, trading

ANSWERED = 2.5
"""Seconds after which what nobody lends or pays is taken as not told; a busy machine needs more than a moment."""
PUTS = OptionRange(right=OptionRight.PUT, first_day=20, last_day=70)


@dataclass
class Rig:
    line: Desk
    desk: MarketDesk
    published: MarketInputs


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    universe, sessions, world = small_world()
    known = PointInTimeMarket(panel=world.panel, universe=universe, sessions=sessions)
    with trading() as line:
        terms = MarketTerms(
            quality=QuoteQualityConfig(answer_seconds=ANSWERED).in_virtual_time(),
            borrow_fee_bps_annual=FEE,
            generic_seconds=ANSWERED,
        )
        desk = MarketDesk(line.session, line.contracts, universe, sessions, terms)
        yield Rig(line, desk, known.inputs(OPENED.date(), OPENED, (), {"SPX_OPT": PUTS}))


def shares() -> list[str]:
    return [row.instrument_id for row in small_world()[0] if row.kind.broker_name == "STK"]


def test_shares_to_borrow_are_those_that_lenders_have(rig: Rig) -> None:
    found = rig.desk.borrow(shares())
    assert {name: info.available_shares for name, info in found.items()} == {
        name: rig.published.borrow[name].available_shares for name in shares() if name in rig.published.borrow
    }
    assert {info.fee_bps_annual for info in found.values()} == {FEE}
    assert len(found) > 10


def test_dividends_are_those_that_were_paid_and_announced(rig: Rig) -> None:
    found = rig.desk.dividend_infos(shares())
    assert {name: info.paid_annual for name, info in found.items()} == {
        name: info.paid_annual for name, info in rig.published.dividend_infos.items()
    }
    announced = {one.instrument_id: one.ex_date for one in reversed(rig.published.dividends)}
    for name, info in found.items():
        assert info.ex_date == announced.get(name)
        if info.ex_date is not None:
            assert info.payments_annual == rig.published.dividend_infos[name].payments_annual


def test_chain_of_puts_is_listed_quoted_and_named_as_the_exchange_has_it(rig: Rig) -> None:
    found = rig.desk.option_chain("SPX_OPT", PUTS, OPENED)
    assert len(found) >= 8, rig.desk.refused_options
    listed = {quote.contract.contract_id for quote in rig.published.option_chains["SPX_OPT"]}
    facts, now = rig.line.gateway.gateway.facts, rig.line.transport.now()
    for quote in found:
        assert quote.contract.right is OptionRight.PUT
        assert quote.contract.last_trade_date is not None
        assert 20 <= (quote.contract.last_trade_date - OPENED.date()).days <= 70
        shown = facts.quote(quote.contract.contract_id, now)
        assert shown is not None
        assert (quote.bid, quote.ask) == (shown.bid, shown.ask)
        assert -1 < quote.delta < 0 < quote.implied_volatility < 2
        assert quote.open_interest > 0
    ids = {quote.contract.contract_id for quote in found}
    assert len(ids & listed) > len(ids) / 2, "the strikes are those that decisions see"


def test_protection_can_be_chosen_from_the_brokers_chain(rig: Rig) -> None:
    from config.policies import fund_policy
    from config.settings import load_configuration

    policy = fund_policy(load_configuration("fund", ()).settings, OPENED.date()).tail
    wanted = option_ranges(policy, small_world()[0])["SPX_OPT"]
    category = next(name for name, lines in policy.candidates.items() if "SPX_OPT" in lines)
    chain = rig.desk.option_chain("SPX_OPT", wanted, OPENED)
    chosen = choose_option(chain, category, wanted.right, OPENED.date(), policy)
    assert chosen is not None, rig.desk.refused_options
    low, high = policy.delta[category]
    assert low <= abs(chosen.delta) <= high


def test_held_option_is_quoted_by_its_contract(rig: Rig) -> None:
    contract = rig.published.option_chains["SPX_OPT"][0].contract
    [quote] = rig.desk.option_quotes("SPX_OPT", [contract])
    assert quote.contract == contract
    assert quote.underlying_price > Decimal(1000)


def test_futures_chain_is_that_of_the_market(rig: Rig) -> None:
    panel = small_world()[2].panel
    for name in ("ES", "FESX", "VX", "FDXM", "6E", "ZN"):
        alive = [
            row for row in panel.chains[name] if row.last_trade_date and row.last_trade_date >= OPENED.date()
        ]
        assert rig.desk.futures_chain(name) == tuple(alive), name
