from dataclasses import replace
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.accounting.book import allocate
from engine.errors import MissingMark
from engine.execution.netting import NettedTrades, net_trades, proposals_from_targets
from engine.model.orders import Reason, TargetBook, TargetLine, TradeProposal
from engine.model.portfolio import Sleeve
from tests.engine.execution.market import (
    CONTRACTS,
    ES_JUN,
    ES_SEP,
    M6E_SEP,
    PRICES,
    execution_policy,
    holdings,
    portfolio,
)

CORE, SECTOR = Sleeve.CORE.value, Sleeve.SECTOR.value


def wish(
    contract_id: str,
    quantity: int,
    sleeve: str = CORE,
    reason: Reason = Reason.REBALANCE,
    group: str | None = None,
    *,
    reduce_only: bool = False,
) -> TradeProposal:
    return TradeProposal(
        sleeve=sleeve,
        contract_id=contract_id,
        quantity=D(quantity),
        reason=reason,
        group=group,
        reduce_only=reduce_only,
    )


def net(*proposals: TradeProposal, held: dict[str, int] | None = None) -> NettedTrades:
    return net_trades(proposals, portfolio(**(held or {})), PRICES, execution_policy())


class TestBasketNetting:
    FOUR = (
        wish("CSPX", 100, CORE),
        wish("CSPX", -40, SECTOR),
        wish("CS51", -200, CORE),
        wish("CS51", -50, SECTOR),
    )

    def test_opposite_trades_net_out(self) -> None:
        result = net(wish("CSPX", 40, CORE), wish("CSPX", -40, SECTOR))
        assert result.trades == ()
        assert result.crosses[0].sleeves == {CORE: D(40), SECTOR: D(-40)}

    def test_partial_netting(self) -> None:
        # +100 − 40 = BUY 60 CSPX; −200 − 50 = SELL 250 CS51: four orders become two
        quantities = {t.contract_id: t.quantity for t in net(*self.FOUR).trades}
        assert quantities == {"CSPX": D(60), "CS51": D(-250)}

    def test_netting_benefit_calculation(self) -> None:
        # Shares: |100| + |40| + |200| + |50| = 390 before, 60 + 250 = 310 after: 80 saved, all of them CSPX at 734.
        gross = sum(abs(p.quantity) for p in self.FOUR)
        result = net(*self.FOUR)
        assert gross - sum(abs(t.quantity) for t in result.trades) == 80
        assert round(D(80) / gross * 100, 1) == D("20.5")
        assert result.saved_notional_usd == 80 * D(734)

    def test_priority_ordering(self) -> None:
        trades = net(wish("MSFT", 50), wish("CSPX", 50), wish(ES_JUN, 1)).trades
        assert [t.contract_id for t in trades] == [ES_JUN, "CSPX", "MSFT"]

    def test_min_notional_filter(self) -> None:
        # 3 × 734 = 2,202 USD; 4 × 734 = 2,936 USD
        result = net(wish("CSPX", 3))
        assert result.trades == ()
        assert result.dropped[0].quantity == 3
        assert len(net(wish("CSPX", 4)).trades) == 1


@pytest.mark.parametrize(
    ("proposal", "held", "why"),
    [
        (wish("CSPX", -1), {"CSPX": 1}, "full close"),
        (wish("CSPX", -1, reduce_only=True), {"CSPX": 9}, "asked for as reduce-only"),
        (wish("CSPX", 1, reason=Reason.HEDGE_TAIL), {}, "hedge"),
        (wish("CSPX", 1, reason=Reason.ROLL), {}, "roll"),
        (wish("CSPX", -1, reason=Reason.LIMIT_BREACH), {"CSPX": 9}, "limit"),
    ],
)
def test_small_trade_is_exempt(proposal: TradeProposal, held: dict[str, int], why: str) -> None:
    assert len(net(proposal, held=held).trades) == 1, why


def test_roll_and_rebalance_of_one_contract_become_one_roll() -> None:
    result = net(
        wish(ES_JUN, -5, reason=Reason.ROLL, group="roll:ES"),
        wish(ES_SEP, 5, reason=Reason.ROLL, group="roll:ES"),
        wish(ES_SEP, -2),
        held={ES_JUN: 5},
    )
    trades = {t.contract_id: t for t in result.trades}
    assert (trades[ES_JUN].quantity, trades[ES_JUN].reduce_only) == (D(-5), True)
    assert (trades[ES_SEP].quantity, trades[ES_SEP].reason) == (D(3), Reason.ROLL)
    assert trades[ES_SEP].group == "roll:ES"


@pytest.mark.parametrize(
    ("quantity", "sleeves", "held", "reason", "why"),
    [
        (-40, {CORE: -40}, 100, Reason.DERISK, "it only reduces"),
        (-1, {CORE: -1}, 100, Reason.DERISK, "a cut has no minimum size: 734 USD"),
        (40, {CORE: 40}, 100, Reason.REBALANCE, "it adds"),
        (-140, {CORE: -140}, 100, Reason.REBALANCE, "it would turn the holding round"),
        (20, {CORE: -40, SECTOR: 60}, 100, Reason.REBALANCE, "one sleeve cuts, the contract grows"),
        (-40, {CORE: -40}, 0, Reason.REBALANCE, "nothing is held"),
    ],
)
def test_rebalancing_that_only_reduces_takes_the_day_s_cut(
    quantity: int, sleeves: dict[str, int], held: int, reason: Reason, why: str
) -> None:
    wishes = [wish("CSPX", part, sleeve) for sleeve, part in sleeves.items()]
    result = net_trades(wishes, portfolio(CSPX=held), PRICES, execution_policy(), cut=Reason.DERISK)
    assert [(t.quantity, t.reason) for t in result.trades] == [(D(quantity), reason)], why


@pytest.mark.parametrize("reason", [Reason.ROLL, Reason.CLOSE, Reason.HEDGE_FX, Reason.CRISIS])
def test_reduction_for_another_reason_keeps_it_on_the_day_of_a_cut(reason: Reason) -> None:
    result = net_trades(
        [wish("CSPX", -40, reason=reason)], portfolio(CSPX=100), PRICES, execution_policy(), cut=Reason.DERISK
    )
    assert [t.reason for t in result.trades] == [reason]


def test_order_already_working_is_not_ordered_again() -> None:
    result = net_trades([wish("CSPX", 100)], portfolio(), PRICES, execution_policy(), working={"CSPX": D(60)})
    assert result.trades[0].quantity == 40


def test_contract_without_price_is_refused() -> None:
    unpriced = replace(PRICES, prices={})
    with pytest.raises(MissingMark, match="CSPX"):
        net_trades([wish("CSPX", 1)], portfolio(), unpriced, execution_policy())


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["CSPX", "CS51", ES_SEP, "MSFT"]),
            st.integers(-500, 500).filter(bool),
            st.sampled_from([CORE, SECTOR, Sleeve.CREDIT.value]),
        ),
        max_size=12,
    )
)
def test_netting_keeps_the_sum_of_every_contract(wishes: list[tuple[str, int, str]]) -> None:
    result = net(*(wish(*item) for item in wishes))
    expected: dict[str, D] = {}
    for contract_id, quantity, _ in wishes:
        expected[contract_id] = expected.get(contract_id, D(0)) + quantity
    found = {t.contract_id: t.quantity for t in (*result.trades, *result.dropped)}
    assert found == {name: q for name, q in expected.items() if q}
    assert result.net_notional_usd <= result.gross_notional_usd


def line(contract_id: str, quantity: int, sleeve: str = CORE, group: str | None = None) -> TargetLine:
    return TargetLine(
        sleeve=sleeve,
        instrument_id=CONTRACTS.contract(contract_id).instrument_id,
        contract_id=contract_id,
        weight=0.1,
        notional_usd=D(1),
        quantity=D(quantity),
        group=group,
    )


def target(*lines: TargetLine, held: dict[str, str] | None = None) -> TargetBook:
    return TargetBook(lines=lines, held=held or {}, notes=())


def changes(*arguments: object, **keywords: object) -> dict[str, D]:
    proposals = proposals_from_targets(*arguments, **keywords)  # type: ignore[arg-type]
    return {p.contract_id: p.quantity for p in proposals}


def test_proposals_are_target_less_holding() -> None:
    proposals = proposals_from_targets(
        target(line("CSPX", 120, group="core")), portfolio(CSPX=100, MSFT=7), CONTRACTS
    )
    by_contract = {p.contract_id: p for p in proposals}
    assert (by_contract["CSPX"].quantity, by_contract["CSPX"].group) == (D(20), "core")
    assert (by_contract["MSFT"].quantity, by_contract["MSFT"].reason) == (D(-7), Reason.CLOSE)


def test_held_sleeve_keeps_its_book() -> None:
    assert changes(target(held={CORE: "no data"}), portfolio(CSPX=100), CONTRACTS) == {}


@pytest.mark.parametrize(("wanted", "expected"), [(60, {"CSPX": D(-40)}), (120, {}), (-5, {}), (None, {})])
def test_frozen_line_may_only_shrink(wanted: int | None, expected: dict[str, D]) -> None:
    lines = () if wanted is None else (line("CSPX", wanted),)
    assert changes(target(*lines), portfolio(CSPX=100), CONTRACTS, frozen=frozenset({"CSPX"})) == expected


def test_holding_in_an_old_expiry_counts_for_the_new_one() -> None:
    assert changes(target(line(ES_SEP, 7)), portfolio(**{ES_JUN: 5}), CONTRACTS) == {ES_SEP: D(2)}


def test_dropped_future_under_roll_is_closed_once() -> None:
    # The roll sells 5 June and buys 5 September; selling 5 September leaves nothing, and June is not sold twice.
    rolled = changes(target(), portfolio(**{ES_JUN: 5}), CONTRACTS, rolls={ES_JUN: ES_SEP})
    assert rolled == {ES_SEP: D(-5)}


def test_hedges_are_left_to_the_hedge_planner() -> None:
    owned = holdings({M6E_SEP: {Sleeve.FX_HEDGE: 4}})
    assert changes(target(line("CSPX", 1)), owned, CONTRACTS) == {"CSPX": D(1)}


def test_what_one_sleeve_gives_up_and_another_wants_more_of_is_a_rebalancing() -> None:
    # 188 adopted shares without an owner are closed, a sleeve wants 283: 95 are bought, and nothing is closed.
    bought = net(
        wish("MSFT", -188, Sleeve.UNASSIGNED.value, Reason.CLOSE, reduce_only=True),
        wish("MSFT", 283, SECTOR),
        held={"MSFT": 188},
    ).trades[0]
    assert (bought.quantity, bought.reason, bought.reduce_only) == (D(95), Reason.REBALANCE, False)
    sold = net(
        wish("MSFT", -188, Sleeve.UNASSIGNED.value, Reason.CLOSE, reduce_only=True),
        wish("MSFT", 50, SECTOR),
        held={"MSFT": 188},
    ).trades[0]
    assert (sold.quantity, sold.reason) == (D(-138), Reason.CLOSE)


@given(
    st.dictionaries(
        st.sampled_from([CORE, SECTOR, Sleeve.CREDIT.value]), st.integers(-900, 900).filter(bool), min_size=1
    ),
    st.lists(st.integers(1, 400), max_size=8),
)
def test_executions_of_a_netted_order_are_the_sleeves_wishes_to_the_micro(
    wishes: dict[str, int], pieces: list[int]
) -> None:
    """However the broker fills the one order, every sleeve has its share at the same prices, and the sum is the broker's."""
    trades = net(*(wish("CSPX", quantity, sleeve) for sleeve, quantity in wishes.items())).trades
    for made in trades:
        filled, shares, paid = D(0), dict.fromkeys(made.sleeves, D(0)), dict.fromkeys(made.sleeves, D(0))
        sold, broker = D(0), D(0)
        for number, piece in enumerate([*pieces, 900 * 3]):
            quantity = min(D(piece), abs(made.quantity) - abs(filled)).copy_sign(made.quantity)
            if quantity == 0:
                break
            split = allocate(quantity, made.sleeves, filled, made.quantity)
            price = D(734) + D(number) / 4
            assert sum(split.values(), D(0)) == quantity
            for sleeve, part in split.items():
                shares[sleeve] += part
                paid[sleeve] += part * price
            filled, broker, sold = filled + quantity, broker + quantity * price, sold + quantity
        assert shares == dict(made.sleeves)
        assert sum(paid.values(), D(0)) == broker
        assert sold == made.quantity


def test_least_size_is_asked_of_the_net_trade_and_of_no_part_of_it() -> None:
    """At 734 USD two wishes for 3, 2,202 USD each, are 4,404 together; 100 and −98 are large, and 1,468 together."""
    assert [made.quantity for made in net(wish("CSPX", 3, CORE), wish("CSPX", 3, SECTOR)).trades] == [D(6)]
    small = net(wish("CSPX", 100, CORE), wish("CSPX", -98, SECTOR))
    assert (small.trades, [dropped.quantity for dropped in small.dropped]) == ((), [D(2)])


def test_dust_waits_until_it_is_worth_an_order() -> None:
    """3 of 734 are 2,202 USD and stay; with 1 more on another day the wish is 4, 2,936 USD, and goes whole."""
    assert net(wish("CSPX", 3)).dropped[0].quantity == 3
    assert [trade.quantity for trade in net(wish("CSPX", 4)).trades] == [D(4)]


def test_leg_of_a_pair_is_netted_at_the_market_and_stays_in_its_pair() -> None:
    """A pair's leg of +100 meets another sleeve's −40: the order is 60, of the pair, and each sleeve has its own."""
    (made,) = net(wish("CSPX", 100, CORE, group="pair"), wish("CSPX", -40, SECTOR)).trades
    assert (made.quantity, made.group) == (D(60), "pair")
    assert made.sleeves == {CORE: D(100), SECTOR: D(-40)}


def test_pair_whose_leg_another_sleeve_meets_in_full_is_built_anew_from_what_is_left() -> None:
    """Netted first, then the pairs are those of the net legs (R-93).

    The pair buys 100 CSPX against −90 MSFT, another sleeve sells 100 CSPX. The fund as a whole has to sell 90 MSFT and
    nothing else: that order alone brings every sleeve to its target, and no leg is left open by it.
    """
    found = net(
        wish("CSPX", 100, CORE, group="pair"),
        wish("MSFT", -90, CORE, group="pair"),
        wish("CSPX", -100, SECTOR),
    )
    assert [(made.contract_id, made.quantity, made.sleeves) for made in found.trades] == [
        ("MSFT", D(-90), {CORE: D(-90)})
    ]
    assert [(cross.contract_id, cross.sleeves) for cross in found.crosses] == [
        ("CSPX", {CORE: D(100), SECTOR: D(-100)})
    ]
    assert found.saved_notional_usd == 2 * 100 * 734
