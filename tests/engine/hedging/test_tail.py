from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import product
from typing import ClassVar

import pytest

from engine.hedging.budget import TailMemory, TailRecord, available_today, open_month
from engine.hedging.option_hedge import choose_option, reason_to_close
from engine.hedging.protection import TailInputs
from engine.hedging.tail import TailHedgePlan, plan_tail_hedges
from engine.model.encoding import decode, encode
from engine.model.instruments import OptionRight
from engine.model.market import OptionQuote
from engine.model.orders import Reason
from engine.risk.regime import RiskRegime
from tests.engine.fund_factory import TODAY, tail_policy
from tests.engine.hedging.protection_world import NAV, option, prices, tail_inputs

NO_SPREAD = {"spread_long": None, "spread_short": None}
POLICY = tail_policy(**NO_SPREAD)
PUTS = Decimal(100_000) / 12  # 40 % of 2.5 % of 10 m, a month: 8,333.33 USD


def plan(
    inputs: TailInputs, memory: TailMemory | None = None, **changes: object
) -> tuple[TailHedgePlan, TailMemory]:
    return plan_tail_hedges(inputs, tail_policy(**{**NO_SPREAD, **changes}), memory or TailMemory())


def trades(result: TailHedgePlan) -> dict[str, int]:
    return {proposal.contract_id: int(proposal.quantity) for proposal in result.proposals}


def weekdays(first: date, last: date) -> list[date]:
    days = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
    return [day for day in days if day.weekday() < 5]


class TestSelection:
    def choose(self, *quotes: object) -> str | None:
        found = choose_option(tuple(quotes), "equity_puts", OptionRight.PUT, TODAY, POLICY)
        return None if found is None else found.contract.contract_id

    def test_nearest_delta_and_days_win(self) -> None:
        best = option(days=90, delta=-0.225)
        assert (
            self.choose(option(days=62, delta=-0.22), best, option(days=92, delta=-0.249))
            == best.contract.contract_id
        )

    @pytest.mark.parametrize(
        ("bad", "reason"),
        [
            (option(open_interest=99), "nobody holds it"),
            (option(bid=Decimal(6), ask=Decimal(8)), "spread of 29 % of the mid"),
            (option(bid=None), "no bid"),
            (option(days=59), "too short"),
            (option(delta=-0.3), "too near the money"),
            (option(right=OptionRight.CALL, delta=0.22), "a call"),
        ],
    )
    def test_unfit_option_is_not_chosen(self, bad: object, reason: str) -> None:
        assert self.choose(bad) is None, reason


class TestBudget:
    def test_month_buys_whole_contracts_of_a_twelfth(self) -> None:
        quote = option()
        result, _ = plan(tail_inputs(quote))
        # 8 · 100 = 800 USD a contract: 8,333 buys 10
        assert trades(result) == {quote.contract.contract_id: 10}
        assert {p.reason for p in result.proposals} == {Reason.HEDGE_TAIL}
        line = next(line for line in result.budgets if line.category == "equity_puts")
        assert (line.annual, line.planned) == (100_000, 8_000)

    def test_first_choice_that_is_affordable_is_bought(self) -> None:
        dear, cheap = option("SPX_OPT", ask=Decimal(90), bid=Decimal(88)), option()
        assert trades(plan(tail_inputs(dear, cheap))[0]) == {cheap.contract.contract_id: 10}

    def test_deciding_again_spends_once_and_gives_the_same_bytes(self) -> None:
        inputs = tail_inputs(option())
        first, memory = plan(inputs)
        again, memory_again = plan(inputs, decode(TailMemory, encode(memory)))
        assert (encode(again), encode(memory_again)) == (encode(first), encode(memory))
        assert encode(decode(TailHedgePlan, encode(first))) == encode(first)

    def test_next_day_has_only_the_rest(self) -> None:
        quote = option()
        _, memory = plan(tail_inputs(quote))
        held = {quote.contract.contract_id: 10}
        result, _ = plan(tail_inputs(quote, day=TODAY + timedelta(days=1), held=held), memory)
        assert trades(result) == {}
        assert any("buy no contract yet" in note for note in result.notes)

    def test_unfilled_premium_is_given_back(self) -> None:
        quote = option()
        _, memory = plan(tail_inputs(quote))
        held = {quote.contract.contract_id: 4}
        result, _ = plan(tail_inputs(quote, day=TODAY + timedelta(days=1), held=held), memory)
        # 3,200 of 8,333 spent: 5,133 buys 6
        assert trades(result) == {quote.contract.contract_id: 6}

    def test_elevated_raises_the_month_and_crisis_buys_nothing(self) -> None:
        quote = option()
        raised, _ = plan(tail_inputs(quote, regime=RiskRegime.ELEVATED))
        assert trades(raised) == {quote.contract.contract_id: 15}  # 12,500 / 800
        assert trades(plan(tail_inputs(quote, regime=RiskRegime.CRISIS))[0]) == {}

    def test_unspent_months_are_carried_up_to_the_cap_and_never_over_a_year(self) -> None:
        record = open_month(TailMemory().closing, date(2026, 1, 5), NAV, POLICY)
        for month, allowances in ((2, 2), (4, 4), (9, 4)):
            record = open_month(record, date(2026, month, 2), NAV, POLICY)
            available = available_today(record, NAV, RiskRegime.NORMAL, POLICY)["equity_puts"]
            assert float(available) == pytest.approx(float(PUTS) * allowances, abs=1e-5)
        fresh = open_month(record, date(2027, 1, 4), NAV, POLICY)
        assert float(available_today(fresh, NAV, RiskRegime.NORMAL, POLICY)["equity_puts"]) == pytest.approx(
            float(PUTS), abs=1e-5
        )

    def test_year_of_buying_stays_within_the_cap(self) -> None:
        memory, held, spent = TailMemory(), {}, Decimal(0)
        seen: list[OptionQuote] = []
        for month, day in product(range(1, 13), (2, 12, 22)):
            today = date(2026, month, day)
            quote = option(day=today)
            seen.append(quote)
            inputs = tail_inputs(quote, day=today, held=held, regime=RiskRegime.ELEVATED)
            result, memory = plan(replace(inputs, prices=prices(*seen)), memory)
            spent += sum(line.planned for line in result.budgets)
            for proposal in result.proposals:
                held[proposal.contract_id] = held.get(proposal.contract_id, 0) + int(proposal.quantity)
        assert Decimal(95_000) < spent <= Decimal(100_000)

    def test_sales_are_credited_by_themselves_and_raise_no_budget(self) -> None:
        quote = option()
        _, memory = plan(tail_inputs(quote))
        later = TODAY + timedelta(days=1)
        sold, memory = plan(tail_inputs(quote, day=later, sales={"SPY_OPT": 3_000, "VIX_OPT": 500}), memory)
        proceeds = {line.category: line.proceeds for line in sold.budgets if line.proceeds != 0}
        assert proceeds == {"equity_puts": Decimal(3_000), "vix_calls": Decimal(500)}
        unsold, _ = plan(tail_inputs(quote, day=later), TailMemory(trade_date=TODAY, closing=memory.opening))
        assert [line.available for line in sold.budgets] == [line.available for line in unsold.budgets]
        _, memory = plan(tail_inputs(quote, day=later + timedelta(days=1), sales={"SPX_OPT": 1_000}), memory)
        assert memory.closing.proceeds_year["equity_puts"] == Decimal(4_000)
        fresh, _ = plan(tail_inputs(quote, day=date(TODAY.year + 1, 1, 4)), memory)
        assert {line.proceeds for line in fresh.budgets} == {Decimal(0)}

    def test_no_liquid_option_is_an_alert(self) -> None:
        result, _ = plan(tail_inputs(option(open_interest=0)))
        assert result.proposals == ()
        assert result.alerts == (
            "bank_puts: no option in its range of days is listed on BNP_OPT",
            "credit_puts: no option in its range of days is listed on HYG_OPT, JNK_OPT",
            "equity_puts: no liquid option in range on SPY_OPT",
            "vix_calls: no option in its range of days is listed on VIX_OPT",
        )
        assert "crisis_alpha is empty: no sovereign spread is configured for this date" in result.notes


@pytest.mark.parametrize(
    ("days", "delta", "closed", "reason"),
    [
        (22, -0.2, False, "22 days"),
        (20, -0.2, True, "20 days"),
        (90, -0.04, True, "delta"),
        (90, None, False, "no quote"),
    ],
)
def test_held_option_is_closed_before_it_loses_its_use(
    days: int, delta: float | None, closed: bool, reason: str
) -> None:
    contract = option(days=days).contract
    assert (reason_to_close(contract, delta, TODAY, POLICY) is not None) is closed, reason


def test_hard_close_holds_without_a_roll_rule() -> None:
    # Friday 2026-11-20 to Friday 2026-11-27: five business days
    late = tail_policy(roll_days_to_expiry=0)
    assert reason_to_close(option(days=7).contract, -0.5, TODAY, late) == "5 business days to expiry"
    assert reason_to_close(option(days=10).contract, -0.5, TODAY, late) is None


def test_roll_sells_the_old_and_buys_from_the_budget() -> None:
    old, new = option(days=15), option(days=90)
    result, _ = plan(tail_inputs(old, new, held={old.contract.contract_id: 3}))
    assert trades(result) == {old.contract.contract_id: -3, new.contract.contract_id: 10}


class TestSovereignSpread:
    legs: ClassVar = {"spread_long": "FGBL", "spread_short": "FOAT"}

    def test_spread_is_opened_dv01_neutral_at_its_loss_budget(self) -> None:
        result, _ = plan(tail_inputs(), **self.legs)
        # 37,500 USD / 1.25 = 30,000 EUR / (90 · 50) = 6.67 contracts; 6 · 90 / 85 = 6.35
        assert trades(result) == {"FGBL_Z6": 6, "FOAT_Z6": -6}
        assert {p.group for p in result.proposals} == {"sovereign_spread"}

    def test_spread_is_left_alone_within_the_month(self) -> None:
        _, memory = plan(tail_inputs(), **self.legs)
        held = {"FGBL_Z6": 6, "FOAT_Z6": -6}
        result, _ = plan(tail_inputs(day=TODAY + timedelta(days=1), held=held), memory, **self.legs)
        assert result.proposals == ()

    def test_leg_that_was_not_filled_is_asked_for_again(self) -> None:
        _, memory = plan(tail_inputs(), **self.legs)
        alone = tail_inputs(day=TODAY + timedelta(days=1), held={"FGBL_Z6": 6, "FOAT_Z6": -2})
        assert trades(plan(alone, memory, **self.legs)[0]) == {"FOAT_Z6": -4}

    def test_leg_that_is_due_counts_as_its_successor(self) -> None:
        _, memory = plan(tail_inputs(), **self.legs)
        due = tail_inputs(day=TODAY + timedelta(days=1), held={"FGBL_U6": 6, "FOAT_U6": -6})
        assert trades(plan(due, memory, **self.legs)[0]) == {}

    def test_spread_that_lost_its_budget_is_closed_until_next_year(self) -> None:
        _, memory = plan(tail_inputs(), **self.legs)
        held = {"FGBL_Z6": 6, "FOAT_Z6": -6}
        _, memory = plan(tail_inputs(day=TODAY + timedelta(days=3), held=held), memory, **self.legs)
        # 6 · 1000 · 5 EUR · 1.25 = 37,500 USD lost
        later = TODAY + timedelta(days=4)
        result, memory = plan(tail_inputs(day=later, held=held, FGBL_Z6="125"), memory, **self.legs)
        assert trades(result) == {"FGBL_Z6": -6, "FOAT_Z6": 6}
        december = tail_inputs(day=date(2026, 12, 1), FGBL_Z6="125")
        result, memory = plan(december, memory, **self.legs)
        assert trades(result) == {}
        assert trades(plan(tail_inputs(day=date(2027, 1, 4)), memory, **self.legs)[0]) == {
            "FGBL_Z6": 6,
            "FOAT_Z6": -6,
        }

    def test_spread_that_is_no_longer_configured_is_closed(self) -> None:
        result, _ = plan(tail_inputs(held={"FGBL_Z6": 6, "FOAT_Z6": -6}))
        assert trades(result) == {"FGBL_Z6": -6, "FOAT_Z6": 6}


class TestVolatilityFuture:
    stand_in: ClassVar = {"volatility_future": "VX"}

    def test_future_stands_in_for_options_by_its_roll_loss(self) -> None:
        # 85 % of 250,000 = 212,500 USD a year; 20,000 · 0.5 = 10,000 a contract
        assert trades(plan(tail_inputs(), **self.stand_in)[0]) == {"VX_Z6": 21}

    def test_only_categories_without_a_chain_are_stood_in_for(self) -> None:
        result, _ = plan(tail_inputs(option(open_interest=0)), **self.stand_in)
        assert trades(result) == {"VX_Z6": 11}  # 112,500 / 10,000

    def test_rising_price_does_not_sell_it_within_the_month(self) -> None:
        _, memory = plan(tail_inputs(), **self.stand_in)
        tomorrow = TODAY + timedelta(days=1)
        result, _ = plan(tail_inputs(day=tomorrow, held={"VX_Z6": 21}, VX_Z6="40"), memory, **self.stand_in)
        assert trades(result) == {}

    def test_elevated_adds_and_crisis_leaves_it(self) -> None:
        _, memory = plan(tail_inputs(), **self.stand_in)
        tomorrow, held = TODAY + timedelta(days=1), {"VX_Z6": 21}
        raised = tail_inputs(day=tomorrow, held=held, regime=RiskRegime.ELEVATED)
        assert trades(plan(raised, memory, **self.stand_in)[0]) == {"VX_Z6": 10}  # 318,750 / 10,000 = 31
        crisis = tail_inputs(day=tomorrow, held=held, regime=RiskRegime.CRISIS)
        assert trades(plan(crisis, memory, **self.stand_in)[0]) == {}

    def test_crisis_sells_nothing_back_into_the_old_size(self) -> None:
        _, memory = plan(tail_inputs(regime=RiskRegime.ELEVATED), **self.stand_in)
        tomorrow, later = TODAY + timedelta(days=1), TODAY + timedelta(days=4)
        crisis = tail_inputs(day=tomorrow, held={"VX_Z6": 31}, regime=RiskRegime.CRISIS, VX_Z6="60")
        _, memory = plan(crisis, memory, **self.stand_in)
        after = tail_inputs(day=later, held={"VX_Z6": 12}, regime=RiskRegime.ELEVATED, VX_Z6="60")
        # 318,750 / (60,000 · 0.5) = 10 at the price after the crisis, not 31 again
        assert trades(plan(after, memory, **self.stand_in)[0]) == {"VX_Z6": -2}

    def test_year_in_elevated_spends_the_budget_faster_and_never_more(self) -> None:
        memory, held, spent, sizes = TailMemory(), 0, [], []
        for day in weekdays(date(2026, 1, 2), date(2026, 12, 31)):
            inputs = tail_inputs(day=day, held={"VX_Z6": held} if held else {}, regime=RiskRegime.ELEVATED)
            result, memory = plan(inputs, memory, **self.stand_in)
            held += trades(result).get("VX_Z6", 0)
            spent.append(memory.closing.spent_year.get("volatility_future", Decimal(0)))
            sizes.append(held)
        # 31 contracts lose 1,230.16 a day; 151 days to August leave 26,746 USD, of which a month's 913 buys 29.
        assert sizes[:152] == [31] * 151 + [29]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] < 3
        assert Decimal(210_000) < max(spent) <= Decimal(212_500)
        january = tail_inputs(day=date(2027, 1, 4), regime=RiskRegime.ELEVATED)
        assert trades(plan(january, memory, **self.stand_in)[0]) == {"VX_Z6": 31}

    def test_future_is_closed_on_the_day_that_its_loss_no_longer_fits_the_year(self) -> None:
        # 21 contracts lose 833.33 a day; the day's loss is counted first.
        for spent, expected in (("210833.33", {}), ("210833.35", {"VX_Z6": -21})):
            record = TailRecord(
                month=TODAY.replace(day=1),
                spent_year={"volatility_future": Decimal(spent)},
                sized_for=RiskRegime.NORMAL,
                volatility_contracts=Decimal(21),
            )
            memory = TailMemory(trade_date=TODAY - timedelta(days=1), closing=record)
            result, _ = plan(tail_inputs(held={"VX_Z6": 21}), memory, **self.stand_in)
            assert trades(result) == expected, spent

    def test_premium_paid_for_a_category_is_not_spent_again_by_the_future(self) -> None:
        record = TailRecord(
            month=TODAY.replace(day=1),
            spent_year={"equity_puts": Decimal(100_000), "vix_calls": Decimal(50_000)},
            sized_for=RiskRegime.NORMAL,
        )
        memory = TailMemory(trade_date=TODAY - timedelta(days=1), closing=record)
        result, _ = plan(tail_inputs(regime=RiskRegime.ELEVATED), memory, **self.stand_in)
        # 212,500 - 150,000 left; a contract loses 10,000 * 23 / 252 = 913 a month: 68 would fit, the pace gives 31.
        assert trades(result) == {"VX_Z6": 31}
        record = replace(record, spent_year={"equity_puts": Decimal(210_000)})
        memory = replace(memory, closing=record)
        # 2,500 left: 2 contracts for a month.
        assert trades(plan(tail_inputs(regime=RiskRegime.ELEVATED), memory, **self.stand_in)[0]) == {
            "VX_Z6": 2
        }

    def test_future_without_configuration_is_closed(self) -> None:
        assert trades(plan(tail_inputs(held={"VX_Z6": 5}))[0]) == {"VX_Z6": -5}


class TestEmptySleeve:
    def test_sleeve_without_anything_to_buy_says_what_is_missing(self) -> None:
        result, _ = plan(tail_inputs(regime=RiskRegime.CRISIS), volatility_future="VX", spread_long="OATX")
        (note,) = (note for note in result.notes if note.startswith("crisis_alpha is empty"))
        assert note == (
            "crisis_alpha is empty: nothing is bought in CRISIS; no option chain is recorded; "
            "no sovereign spread is configured for this date; OATX has no contract with a price"
        )

    def test_sleeve_that_holds_or_buys_something_is_not_called_empty(self) -> None:
        buying, _ = plan(tail_inputs(), volatility_future="VX")
        holding, _ = plan(tail_inputs(held={"VX_Z6": 5}, regime=RiskRegime.CRISIS), volatility_future="VX")
        assert not [note for note in (*buying.notes, *holding.notes) if "empty" in note]
