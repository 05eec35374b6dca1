from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from engine.hedging.crisis import CrisisInputs, CrisisMemory, CrisisPlan, crisis_triggers, plan_crisis
from engine.model.encoding import decode, encode
from engine.model.instruments import OptionRight
from engine.model.orders import Reason, TradeProposal
from engine.risk.regime import RiskRegime
from tests.engine.fund_factory import TODAY, crisis_policy
from tests.engine.hedging.protection_world import chains, holding, option, prices

POLICY = crisis_policy()
DEEP = option(strike="700", underlying_price=Decimal(600))
NEAR = option(strike="610", underlying_price=Decimal(600))
FAR = option(strike="500", underlying_price=Decimal(600))
CALL = option("VIX_OPT", strike="30", right=OptionRight.CALL, underlying_price=Decimal(45))
ALL = (DEEP, NEAR, FAR, CALL)


def crisis_inputs(held: dict[str, int] | None = None, **changes: object) -> CrisisInputs:
    base = CrisisInputs(
        trade_date=TODAY,
        vix=45.0,
        daily_return=-0.02,
        drawdown=-0.03,
        regime=RiskRegime.CRISIS,
        kill=False,
        portfolio=holding(held or {}),
        prices=prices(*ALL),
        option_chains=chains(*ALL),
        planned=(),
    )
    return replace(base, **changes)


def decide(inputs: CrisisInputs, memory: CrisisMemory | None = None) -> tuple[CrisisPlan, CrisisMemory]:
    return plan_crisis(inputs, POLICY, memory or CrisisMemory())


def sold(plan: CrisisPlan) -> dict[str, int]:
    return {proposal.contract_id: -int(proposal.quantity) for proposal in plan.proposals}


def name(quote: object) -> str:
    return quote.contract.contract_id


@pytest.mark.parametrize(
    ("vix", "daily", "drawdown", "count"),
    [
        (40.0, 0.0, 0.0, 1),
        (15.0, -0.10, 0.0, 1),
        (15.0, 0.0, -0.10, 1),
        (39.99, -0.0999, -0.0999, 0),
        (None, None, 0.0, 0),
    ],
)
def test_each_trigger_alone_is_enough(
    vix: float | None, daily: float | None, drawdown: float, count: int
) -> None:
    inputs = crisis_inputs(vix=vix, daily_return=daily, drawdown=drawdown)
    assert len(crisis_triggers(inputs, POLICY)) == count


def test_sixty_percent_of_ten_contracts_in_the_money_are_closed() -> None:
    plan, _ = decide(crisis_inputs({name(DEEP): 10, name(FAR): 5}))
    assert sold(plan) == {name(DEEP): 6}
    assert {(p.reason, p.reduce_only) for p in plan.proposals} == {(Reason.CRISIS, True)}
    assert (plan.starts, plan.cancel_risk_adding, plan.needs_review) == (True, True, True)
    assert "VIX 45.00" in (plan.alert or "")
    assert "6 hedge contracts" in (plan.alert or "")


def test_most_valuable_contracts_go_first_and_halves_round_up() -> None:
    # 7 in the money: 60 % is 4.2, so 5: 3 deep puts (10,000 USD each), then 2 calls (1,500), no near put (1,000)
    plan, _ = decide(crisis_inputs({name(DEEP): 3, name(NEAR): 2, name(CALL): 2}))
    assert sold(plan) == {name(DEEP): 3, name(CALL): 2}


def test_episode_takes_its_profit_once() -> None:
    first, memory = decide(crisis_inputs({name(DEEP): 10}))
    again, same = decide(crisis_inputs({name(DEEP): 10}), memory)
    assert (encode(again), encode(same)) == (encode(first), encode(memory))
    tomorrow = TODAY + timedelta(days=3)
    filled, memory = decide(crisis_inputs({name(DEEP): 4}, trade_date=tomorrow), memory)
    assert (sold(filled), filled.episode_id, filled.starts) == ({}, first.episode_id, False)


def test_what_was_not_filled_is_asked_for_again() -> None:
    _, memory = decide(crisis_inputs({name(DEEP): 10}))
    plan, _ = decide(crisis_inputs({name(DEEP): 7}, trade_date=TODAY + timedelta(days=3)), memory)
    assert sold(plan) == {name(DEEP): 3}


def test_episode_lasts_until_the_regime_leaves_and_then_rearms() -> None:
    first, memory = decide(crisis_inputs())
    calm = {"vix": 30.0, "daily_return": 0.01}
    plan, memory = decide(crisis_inputs(trade_date=TODAY + timedelta(days=3), **calm), memory)
    assert plan.episode_id == first.episode_id
    out = crisis_inputs(trade_date=TODAY + timedelta(days=4), regime=RiskRegime.ELEVATED, **calm)
    plan, memory = decide(out, memory)
    assert (plan.episode_id, plan.cancel_risk_adding) == (None, False)
    plan, _ = decide(crisis_inputs({name(DEEP): 10}, trade_date=TODAY + timedelta(days=5)), memory)
    assert (plan.starts, sold(plan)) == (True, {name(DEEP): 6})


def test_contracts_that_the_roll_sells_are_not_sold_twice() -> None:
    roll = TradeProposal(
        sleeve="crisis_alpha",
        contract_id=name(DEEP),
        quantity=Decimal(-10),
        reason=Reason.HEDGE_TAIL,
        group=None,
        reduce_only=True,
    )
    assert sold(decide(crisis_inputs({name(DEEP): 10}, planned=(roll,)))[0]) == {}


def test_volatility_future_in_profit_counts_as_in_the_money() -> None:
    inputs = crisis_inputs({"VX_Z6": 21}, prices=prices(*ALL, VX_Z6="40"))
    assert sold(decide(inputs)[0]) == {"VX_Z6": 13}  # 12.6 rounded up
    loss = crisis_inputs({"VX_Z6": 21}, prices=prices(*ALL, VX_Z6="14"))
    assert sold(decide(loss)[0]) == {}


def test_volatility_future_that_is_due_is_sold_under_its_successor() -> None:
    due = crisis_inputs({"VX_U6": 21}, prices=prices(*ALL, VX_U6="40", VX_Z6="38"))
    plan, memory = decide(due)
    assert sold(plan) == {"VX_Z6": 13}
    rolled = replace(due, trade_date=TODAY + timedelta(days=3), portfolio=holding({"VX_Z6": 10}))
    assert sold(decide(rolled, memory)[0]) == {"VX_Z6": 2}


def test_episode_outlives_the_contracts_that_it_began_with() -> None:
    """A crisis of months: the future was rolled twice, the option expired, and no chain lists either any more."""
    began = crisis_inputs({"VX_U6": 5, name(DEEP): 15}, prices=prices(*ALL, VX_U6="40", VX_Z6="38"))
    plan, memory = decide(began)
    assert sold(plan) == {"VX_Z6": 5, name(DEEP): 7}  # 12 of 20, the most valuable first
    listed = prices(*ALL, VX_Z6="38").contracts.contracts
    left = {key: contract for key, contract in listed.items() if key not in ("VX_U6", name(DEEP))}
    later = prices(*ALL, VX_Z6="38")
    later = replace(later, contracts=replace(later.contracts, contracts=left))
    months = replace(
        began,
        trade_date=TODAY + timedelta(days=60),
        prices=later,
        portfolio=holding({"VX_Z6": 2}),
        option_chains=chains(NEAR, FAR, CALL),
    )
    assert sold(decide(months, memory)[0]) == {
        "VX_Z6": 2
    }  # none of the futures was to stay, whatever it is called


def test_calm_day_asks_for_nothing() -> None:
    plan, _ = decide(crisis_inputs({name(DEEP): 10}, vix=15.0, regime=RiskRegime.NORMAL))
    assert plan.proposals == ()
    assert plan.alert is None
    assert not plan.cancel_risk_adding


def test_kill_asks_for_a_person() -> None:
    plan, memory = decide(crisis_inputs(drawdown=-0.15, kill=True))
    assert plan.kill
    assert plan.needs_review
    assert (plan.alert or "").startswith("KILL")
    assert encode(decode(CrisisPlan, encode(plan))) == encode(plan)
    assert encode(decode(CrisisMemory, encode(memory))) == encode(memory)
