from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.execution.caps import CappedTrades, SizedTrade, apply_caps, day_exposures, resized
from engine.model.orders import Reason, Trade
from tests.engine.execution.market import M6E_SEP, safety_policy, trade

NAV = D(10_000_000)
REBALANCE = Reason.REBALANCE


def sized(
    name: str,
    quantity: int,
    price: int = 100,
    *,
    beta: float = 1.0,
    currency: str = "USD",
    group: str | None = None,
    reason: Reason = Reason.REBALANCE,
    reduce_only: bool = False,
    largest: int | None = None,
) -> SizedTrade:
    notional = D(quantity) * price
    made = trade("CSPX", quantity, reason=reason, group=group, reduce_only=reduce_only)
    return SizedTrade(
        trade=Trade(
            contract_id=name,
            instrument_id=name,
            quantity=made.quantity,
            reason=reason,
            group=group,
            reduce_only=reduce_only,
            sleeves=made.sleeves,
        ),
        lot=D(1),
        notional_usd=notional,
        beta_usd=notional * D(str(beta)),
        currency_usd={currency: notional},
        largest_quantity=None if largest is None else D(largest),
    )


def capped(*trades: SizedTrade) -> CappedTrades:
    return apply_caps(trades, NAV, safety_policy())


def quantities(result: CappedTrades) -> dict[str, D]:
    return {t.contract_id: t.quantity for t in result.trades}


def test_day_within_its_caps_is_untouched() -> None:
    result = capped(sized("A", 1000), sized("B", -1000))
    assert quantities(result) == {"A": D(1000), "B": D(-1000)}
    assert result.deferred == ()
    assert result.turnover_usd == 200_000


def test_core_legs_are_built_over_two_days_in_equal_parts() -> None:
    # 17.5 % of NAV a leg = 17,500 pieces; 9.5 % = 9,500 on the first day, 8,000 wait
    result = capped(sized("A", 17_500, group="core"), sized("B", -17_500, group="core"))
    assert quantities(result) == {"A": D(9500), "B": D(-9500)}
    assert {d.contract_id: d.quantity for d in result.deferred} == {"A": D(8000), "B": D(-8000)}


def test_turnover_scales_all_groups_by_one_factor() -> None:
    # Six legs of 9 % are 54 %; 45 / 54 of 9,000 = 7,500 each
    legs = [sized(f"L{i}", 9000 * (-1) ** i, group=f"g{i // 2}") for i in range(6)]
    result = capped(*legs)
    assert {abs(q) for q in quantities(result).values()} == {D(7500)}
    assert result.turnover_usd == D("4500000")


def test_reductions_and_limits_come_first_and_count_for_nothing() -> None:
    result = capped(
        sized("CUT", -60_000, reduce_only=True),
        sized("BREACH", 20_000, reason=Reason.LIMIT_BREACH),
        sized("A", 9000),
    )
    assert quantities(result) == {"CUT": D(-60_000), "BREACH": D(20_000), "A": D(9000)}
    assert result.turnover_usd == 900_000


def test_group_whose_legs_all_reduce_completes_at_once() -> None:
    result = capped(
        sized("A", -30_000, group="core", reduce_only=True),
        sized("B", 30_000, group="core", reduce_only=True),
    )
    assert quantities(result) == {"A": D(-30_000), "B": D(30_000)}


def test_protection_that_is_closed_by_two_planners_is_closed_whole() -> None:
    # Recorded on 2015-09-02: the roll plan ended one leg, the tail plan the other; 11.7 % of NAV is over the order cap.
    result = quantities(
        capped(
            sized("FGBL", -9, 100_000, group="spread", reason=Reason.HEDGE_TAIL, reduce_only=True),
            sized("FOAT", 12, 100_000, group="roll:FOAT", reason=Reason.ROLL, reduce_only=True),
        )
    )
    assert result == {"FGBL": D(-9), "FOAT": D(12)}


@pytest.mark.parametrize(
    "reasons",
    [
        (Reason.HEDGE_TAIL, Reason.HEDGE_TAIL),
        (Reason.HEDGE_TAIL, Reason.ROLL),
        (Reason.CLOSE, Reason.REBALANCE),
        (Reason.CLOSE, Reason.CLOSE),
        (Reason.ROLL, Reason.REBALANCE),
    ],
)
def test_legs_of_a_group_are_scaled_alike_whatever_each_is_for(reasons: tuple[Reason, Reason]) -> None:
    # 19,000 pieces are twice the cap of one order: half of both legs, although only one is that large
    result = capped(
        sized("A", 19_000, group="g", reason=reasons[0]), sized("B", -9000, group="g", reason=reasons[1])
    )
    assert quantities(result) == {"A": D(9500), "B": D(-4500)}


def test_volume_of_one_leg_holds_back_the_reduction_of_its_group() -> None:
    result = capped(
        sized("A", -1000, group="core", reduce_only=True, largest=500),
        sized("B", 800, group="core", reduce_only=True),
    )
    assert quantities(result) == {"A": D(-500), "B": D(400)}


def test_leg_of_few_lots_is_rounded_to_the_nearest_lot() -> None:
    # 950,000 / 1,250,000 = 76 %: of three lots 2.28, of five 3.8; four lots are nearer than three, and 4 % too much
    result = capped(
        sized("A", 12_500, group="g"), sized("B", -3, 40_000, group="g"), sized("C", -5, 20_000, group="g")
    )
    assert quantities(result) == {"A": D(9500), "B": D(-2), "C": D(-4)}


def test_rounding_up_stops_at_the_cap_of_one_order() -> None:
    # 950,000 allows 3.8 lots of 250,000, and four would be 10 % of NAV
    assert quantities(capped(sized("ES", 7, 250_000, group="g")))["ES"] == D(3)


def test_closes_and_protection_precede_the_groups() -> None:
    # Four legs of protection of 9 % leave 9 % for the two legs of 9 %: half of each
    first = [sized(f"T{i}", 9000 * (-1) ** i, reason=Reason.HEDGE_TAIL, group=f"t{i // 2}") for i in range(4)]
    result = quantities(capped(sized("A", 9000, group="core"), sized("B", -9000, group="core"), *first))
    assert all(abs(result[f"T{i}"]) == 9000 for i in range(4))
    assert (result["A"], result["B"]) == (D(4500), D(-4500))


def test_rolls_take_nothing_of_the_turnover() -> None:
    # ROLL-05: six legs of 9 % are rolled, and 18 % of the 45 % are left to the pair
    rolls = [sized(f"R{i}", 9000 * (-1) ** i, reason=Reason.ROLL, group=f"roll{i // 2}") for i in range(6)]
    result = capped(sized("A", 9000, group="core"), sized("B", -9000, group="core"), *rolls)
    assert set(map(abs, quantities(result).values())) == {D(9000)}
    assert (result.deferred, result.turnover_usd) == ((), 1_800_000)


def test_cut_that_meets_a_roll_completes() -> None:
    # Recorded on 2020-03-02: eight contracts of 15 % of NAV end and four of 7.5 % follow; only what opens is capped.
    result = capped(
        sized("OLD", -8, 190_000, group="roll:ES", reason=Reason.ROLL, reduce_only=True),
        sized("NEW", 4, 190_000, group="roll:ES", reason=Reason.ROLL),
    )
    assert quantities(result) == {"OLD": D(-8), "NEW": D(4)}


def test_old_contract_on_its_last_day_is_closed_whole_though_the_new_one_is_capped() -> None:
    # Twenty contracts of 1 % of NAV each: 9.5 % may be opened in one order. Nine are rolled, until the old ones end.
    old = sized("OLD", -20, 100_000, group="roll:ES", reason=Reason.ROLL, reduce_only=True)
    new = sized("NEW", 20, 100_000, group="roll:ES", reason=Reason.ROLL)
    assert quantities(capped(old, new)) == {"OLD": D(-9), "NEW": D(9)}
    assert quantities(capped(replace(old, ends=True), new)) == {"OLD": D(-20), "NEW": D(9)}


def test_volume_caps_an_order() -> None:
    assert quantities(capped(sized("A", 1000, largest=250))) == {"A": D(250)}


def test_fx_hedge_follows_the_legs_that_it_hedges() -> None:
    # The legs shrink to 9,500 / 17,500; the hedge of half of their 1,750,000 EUR-USD exposure with them.
    result = quantities(
        capped(
            sized("A", 17_500, currency="EUR", group="core"),
            sized("B", -17_500, group="core"),
            sized(M6E_SEP, -17_500, beta=0, currency="EUR", reason=Reason.HEDGE_FX),
        )
    )
    assert (result["A"], result[M6E_SEP]) == (D(9500), D(-9500))


def test_hedge_of_exposure_held_before_is_kept() -> None:
    # Of 20,000 to hedge, 17,500 answer to the leg: 20,000 − 17,500 · (1 − 9,500/17,500) = 12,000
    result = quantities(
        capped(
            sized("A", 17_500, currency="EUR", group="core"),
            sized("B", -17_500, group="core"),
            sized(M6E_SEP, -20_000, beta=0, currency="EUR", reason=Reason.HEDGE_FX),
        )
    )
    assert result[M6E_SEP] == -12_000


def test_resized_trade_splits_exactly() -> None:
    whole = Trade(
        contract_id="A",
        instrument_id="A",
        quantity=D(3),
        reason=Reason.REBALANCE,
        group=None,
        reduce_only=False,
        sleeves={"x": D(1), "y": D(2)},
    )
    assert sum(resized(whole, D(1)).sleeves.values()) == 1


Leg = tuple[int, int, float, str, str | None, Reason, bool]
LEGS = st.lists(
    st.tuples(
        st.integers(-20_000, 20_000).filter(bool),
        st.sampled_from([1, 100, 5000]),
        st.sampled_from([0.0, 0.5, 1.0, 1.4]),
        st.sampled_from(["USD", "EUR", "GBP"]),
        st.sampled_from([None, "one", "two"]),
        st.sampled_from(
            [Reason.REBALANCE, Reason.REBALANCE, Reason.DERISK, Reason.CLOSE, Reason.ROLL, Reason.HEDGE_TAIL]
        ),
        st.booleans(),
    ),
    min_size=1,
    max_size=10,
)


def drawn_day(legs: list[Leg]) -> list[SizedTrade]:
    """Trades of up to 2,000,000 USD in lots of 100 to 500,000 USD."""
    return [
        sized(
            f"C{i}",
            max(abs(quantity) // lot, 1) * (1 if quantity > 0 else -1),
            100 * lot,
            beta=beta,
            currency=currency,
            group=group,
            reason=reason,
            reduce_only=reduce,
        )
        for i, (quantity, lot, beta, currency, group, reason, reduce) in enumerate(legs)
    ]


def fractions(day: list[SizedTrade], result: CappedTrades) -> dict[str, D]:
    kept = quantities(result)
    return {s.trade.contract_id: kept.get(s.trade.contract_id, D(0)) / s.trade.quantity for s in day}


@given(LEGS)
def test_truncation_never_raises_net_beta_or_currency_exposure(legs: list[Leg]) -> None:
    # One purpose to a group, so that it is plain which trades come before the groups.
    parted = [
        (
            *leg[:4],
            None if leg[4] is None else f"{leg[4]}-{leg[5].value}",
            leg[5],
            leg[6] and leg[5] is not REBALANCE,
        )
        for leg in legs
    ]
    day = drawn_day(parted)
    result = capped(*day)
    done = fractions(day, result)
    first = {n: D(0) if s.trade.reason is REBALANCE else done[n] for s in day for n in [s.trade.contract_id]}
    now, full, priority = (day_exposures(day, f) for f in (done, dict.fromkeys(done, D(1)), first))
    for name, value in now.items():
        assert abs(value) <= max(abs(full[name]), abs(priority[name])) + D("0.001")
    assert all(0 <= fraction <= 1 for fraction in done.values())
    assert result.turnover_usd <= NAV * D("0.45")


@given(LEGS)
def test_legs_of_a_group_get_one_fraction_up_to_a_lot_each(legs: list[Leg]) -> None:
    day = drawn_day(legs)
    done = fractions(day, capped(*day))
    for group in ("group:one", "group:two"):
        # Urgent legs go alone and at once; the others share a fraction f: |granted - f| is at most a lot of each.
        rest = [s for s in day if s.unit == group and s.trade.reason is not Reason.DERISK]
        least = max((done[s.trade.contract_id] - 1 / s.lots for s in rest), default=D(0))
        most = min((done[s.trade.contract_id] + 1 / s.lots for s in rest), default=D(1))
        assert least <= most + D("1e-20")
    assert all(done[s.trade.contract_id] == 1 for s in day if s.trade.reason is Reason.DERISK)


@given(st.integers(1, 60_000), st.integers(1, 60_000))
def test_hedged_leg_leaves_no_more_currency_than_the_whole_day(leg: int, hedge: int) -> None:
    day = [
        sized("A", leg, currency="EUR"),
        sized(M6E_SEP, -hedge, beta=0, currency="EUR", reason=Reason.HEDGE_FX),
    ]
    kept = quantities(capped(*day))
    left = (kept.get("A", D(0)) + kept.get(M6E_SEP, D(0))) * 100
    # The hedge alone may be larger than its own cap of 25 % of NAV; then what it can not do stays open.
    existing = max(hedge - leg, 0) * 100
    assert abs(left) <= max(abs(leg - hedge) * 100, existing)
