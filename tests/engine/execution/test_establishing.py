from decimal import Decimal as D

import pytest

from engine.errors import InvariantError
from engine.execution.establishing import BuildGoal, GateMemory, gate_unit, next_goals, unfinished_units
from engine.execution.gating import GateCandidate, GateReason, GatingDecision, GatingOverrides
from engine.model.encoding import decode, encode
from engine.model.orders import Reason, Trade
from tests.engine.execution.market import ES_JUN, ES_SEP, PRICES, gate_policy, trade

POLICY = gate_policy()
USD = {"CSPX": D(734), "CS51": D(55), "ES": D(252_500)}
BUILD, CUT = GatingOverrides.ESTABLISHING, GatingOverrides.LOWERS_RISK


def verdict(
    of: Trade, override: GatingOverrides | None = BUILD, reason: GateReason | None = None
) -> GatingDecision:
    why = reason or (GateReason.WORTH_IT if override is None else GateReason.OVERRIDE)
    return GatingDecision(
        contract_id=of.contract_id,
        group=of.group,
        should_trade=why in (GateReason.OVERRIDE, GateReason.WORTH_IT),
        reason=why,
        override=override,
        cost_usd=D(1),
        benefit_usd=D(1),
        required_usd=D(1),
    )


def memory_of(unit: str, **goals: int) -> GateMemory:
    """A unit that is being built; a piece of CSPX is worth 734 USD, one of CS51 50 EUR at 1.10."""
    return GateMemory(
        goals={unit: {name: BuildGoal(quantity=D(q), unit_usd=USD[name]) for name, q in goals.items()}}
    )


def candidate(of: Trade) -> GateCandidate:
    return GateCandidate(
        trade=of, notional_usd=PRICES.notional_usd(of.contract_id, of.quantity), cost_usd=D(1)
    )


def goals(
    *judged: tuple[Trade, GatingDecision], held: dict[str, D] | None = None, before: GateMemory | None = None
) -> dict[str, dict[str, D]]:
    memory = next_goals(
        before or GateMemory(), [candidate(t) for t, _ in judged], [v for _, v in judged], held or {}, POLICY
    )
    assert decode(GateMemory, encode(memory)) == memory
    return {unit: {name: goal.quantity for name, goal in legs.items()} for unit, legs in memory.goals.items()}


def test_goal_of_what_is_built_is_the_holding_after_the_whole_trade() -> None:
    long, short = trade("CSPX", 60, group="core"), trade("CS51", -250, group="core")
    held = {"CSPX": D(40), "CS51": D(-150)}
    assert goals((long, verdict(long)), (short, verdict(short)), held=held) == {
        "group:core": {"CSPX": D(100), "CS51": D(-400)}
    }


def test_goal_remembers_what_a_piece_was_worth() -> None:
    item = trade("CS51", -250)
    memory = next_goals(GateMemory(), [candidate(item)], [verdict(item)], {}, POLICY)
    assert memory.goals == {"CS51": {"CS51": BuildGoal(quantity=D(-250), unit_usd=D(55))}}


def test_goal_of_a_future_counts_all_its_contracts() -> None:
    old, new = trade(ES_JUN, -5), trade(ES_SEP, 8)
    assert goals((old, verdict(old)), (new, verdict(new)), held={"ES": D(5)}) == {"ES": {"ES": D(8)}}


@pytest.mark.parametrize(
    ("override", "reason", "purpose", "why"),
    [
        (None, GateReason.NOT_WORTH_IT, Reason.REBALANCE, "the gate dropped it"),
        (None, GateReason.SMALL_DRIFT, Reason.REBALANCE, "the gate dropped it as drift"),
        (CUT, GateReason.OVERRIDE, Reason.REBALANCE, "a cut is exempt on every day"),
        (GatingOverrides.REASON, GateReason.OVERRIDE, Reason.CLOSE, "a close is exempt on every day"),
        (GatingOverrides.REASON, GateReason.OVERRIDE, Reason.HEDGE_FX, "a hedge is exempt on every day"),
    ],
)
def test_judged_unit_that_is_not_built_has_no_goal(
    override: GatingOverrides | None, reason: GateReason, purpose: Reason, why: str
) -> None:
    item = trade("CSPX", 10, reason=purpose)
    before = memory_of("CSPX", CSPX=100)
    assert goals((item, verdict(item, override, reason)), held={"CSPX": D(80)}, before=before) == {}, why


@pytest.mark.parametrize(
    ("held", "expected"),
    [(94, {"CSPX"}), (95, set()), (100, set()), (105, set()), (106, {"CSPX"}), (0, {"CSPX"})],
)
def test_unit_is_unfinished_until_it_was_within_five_percent(held: int, expected: set[str]) -> None:
    memory = memory_of("CSPX", CSPX=100)
    assert unfinished_units(memory, {"CSPX": D(held)}, POLICY) == expected


def test_one_leg_that_lags_keeps_its_group_unfinished() -> None:
    # 100 · 734 + 400 · 55 = 95,400, of which 5 % are 4,770: 86.7 pieces of CS51
    memory = memory_of("group:core", CSPX=100, CS51=-400)
    for held, expected in ((-400, set()), (-314, set()), (-313, {"group:core"})):
        assert unfinished_units(memory, {"CSPX": D(100), "CS51": D(held)}, POLICY) == expected


def test_unit_that_was_not_judged_keeps_its_goal_until_it_is_reached() -> None:
    before = GateMemory(goals={**memory_of("CSPX", CSPX=100).goals, **memory_of("CS51", CS51=-400).goals})
    assert goals(held={"CSPX": D(60), "CS51": D(-400)}, before=before) == {"CSPX": {"CSPX": D(100)}}


def test_trade_without_a_verdict_is_refused() -> None:
    with pytest.raises(InvariantError, match="one verdict"):
        next_goals(GateMemory(), [candidate(trade("CSPX", 1))], [], {}, POLICY)


def test_unit_is_the_group_or_the_instrument() -> None:
    assert gate_unit(trade("CSPX", 1, group="core")) == "group:core"
    assert gate_unit(trade(ES_SEP, 1)) == "ES"
