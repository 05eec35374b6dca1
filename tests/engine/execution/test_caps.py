from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from engine.execution.caps import CappedTrades, SizedTrade, apply_caps, day_exposures, resized
from engine.model.orders import Reason, Trade
from tests.engine.execution.market import M6E_SEP, safety_policy, trade

NAV = D(10_000_000)


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


def test_closes_and_rolls_precede_the_groups() -> None:
    # Rolls of four legs of 9 % leave 9 % for the two legs of 9 %: half of each
    rolls = [sized(f"R{i}", 9000 * (-1) ** i, reason=Reason.ROLL, group=f"roll{i // 2}") for i in range(4)]
    result = quantities(capped(sized("A", 9000, group="core"), sized("B", -9000, group="core"), *rolls))
    assert all(abs(result[f"R{i}"]) == 9000 for i in range(4))
    assert (result["A"], result["B"]) == (D(4500), D(-4500))


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


LEGS = st.lists(
    st.tuples(
        st.integers(-20_000, 20_000).filter(bool),
        st.sampled_from([0.0, 0.5, 1.0, 1.4]),
        st.sampled_from(["USD", "EUR", "GBP"]),
        st.sampled_from([None, "one", "two"]),
        st.sampled_from([Reason.REBALANCE, Reason.REBALANCE, Reason.DERISK]),
    ),
    min_size=1,
    max_size=10,
)


@given(LEGS)
def test_truncation_never_raises_net_beta_or_currency_exposure(
    legs: list[tuple[int, float, str, str | None, Reason]],
) -> None:
    day = [sized(f"C{i}", q, beta=b, currency=c, group=g, reason=r) for i, (q, b, c, g, r) in enumerate(legs)]
    result = capped(*day)
    kept = quantities(result)
    done = {s.trade.contract_id: kept.get(s.trade.contract_id, D(0)) / s.trade.quantity for s in day}
    urgent = {s.trade.contract_id: D(s.trade.reason is Reason.DERISK) for s in day}
    now, full, priority = (day_exposures(day, f) for f in (done, dict.fromkeys(done, D(1)), urgent))
    for name, value in now.items():
        assert abs(value) <= max(abs(full[name]), abs(priority[name])) + D("0.001")
    assert all(0 <= fraction <= 1 for fraction in done.values())
    assert result.turnover_usd <= NAV * D("0.45")


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
