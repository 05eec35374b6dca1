from dataclasses import replace
from decimal import Decimal
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.encoding import decode, encode
from engine.model.market import BorrowInfo, Mark
from engine.model.orders import TargetBook, TargetLine
from engine.sleeves.holdings import structural_weights, weights_at_scale_one
from engine.sleeves.targets import TargetInputs, TargetMemory, decide_targets
from tests.engine.fund_factory import instrument, marks, risk_policy, sleeve_policy
from tests.engine.sleeves.target_world import NAV, PRICES, borrow, lenders, portfolio, target_inputs, world

POLICY, LIMITS = sleeve_policy(), risk_policy()
NO_BUFFER = {**POLICY.weights, "cash_buffer": -1.0}
"""Weights with which cash is never short, to look at the other limits alone."""


def decide(inputs: TargetInputs, **changes: object) -> TargetBook:
    return decide_targets(inputs, sleeve_policy(**changes), LIMITS, TargetMemory())[0]


def lines(book: TargetBook, sleeve: str) -> dict[str, TargetLine]:
    return {line.instrument_id: line for line in book.lines if line.sleeve == sleeve}


def exposure(book: TargetBook, inputs: TargetInputs, sleeve: str | None = None) -> tuple[Decimal, Decimal]:
    values = [
        line.quantity * inputs.prices.unit_value_usd(line.contract_id)
        for line in book.lines
        if sleeve in (None, line.sleeve)
    ]
    return sum((abs(value) for value in values), Decimal(0)), sum(values, Decimal(0))


def without(*names: str) -> dict[str, Mark]:
    return marks(**{name: price for name, price in PRICES.items() if name not in names})


def replace_prices(inputs: TargetInputs, kept: dict[str, Mark]) -> TargetInputs:
    return replace(inputs, prices=replace(inputs.prices, marks=kept))


def test_core_pair_matches_the_worked_example() -> None:
    book = decide(target_inputs(0.39090743))
    core = lines(book, "core_index_rv")
    assert float(core["CSPX"].notional_usd) == pytest.approx(684_088, abs=1)
    assert (core["CSPX"].quantity, core["CS51"].quantity) == (932, -11_694)
    assert {line.group for line in core.values()} == {"core"}


def test_sector_legs_are_equal_weights_in_their_own_currency() -> None:
    sector = lines(decide(target_inputs()), "sector_rv")
    assert sector["IUIT"].notional_usd == 250_000
    assert float(sector["EXV1"].notional_usd) == pytest.approx(-416_666.67, abs=0.01)
    # 416,666.67 / 1.17 / 25 = 14,245.01; 416,666.67 / 1.30 / 8.95 = 35,811.49
    assert (sector["EXV1"].quantity, sector["IUKD"].quantity) == (-14_245, -35_811)
    assert {line.group for line in sector.values()} == {"sector"}


def test_credit_lines_take_their_shares() -> None:
    credit = lines(decide(target_inputs()), "credit_carry")
    assert {name: int(line.notional_usd) for name, line in credit.items()} == {
        "LQDE": 600_000,
        "IHYU": 375_000,
        "FLOT": 300_000,
        "ARCC": 225_000,
    }


def test_no_screen_and_no_book_takes_the_fallback_with_a_warning() -> None:
    book = decide(target_inputs())
    names = lines(book, "single_name")
    assert set(names) == {"AAPL", "MSFT", "GOOGL", "NVDA", "AMZN", "EXV1"}
    assert all(abs(line.weight) <= 0.075 / 5 + 1e-12 for name, line in names.items() if name != "EXV1")
    assert any(note.startswith("WARNING: no screen was ever valid") for note in book.notes)


def test_company_never_exceeds_its_cap() -> None:
    names = lines(decide(target_inputs(1.8), single_name_cap=0.02), "single_name")
    assert names["AAPL"].weight == 0.02
    assert names["EXV1"].weight == pytest.approx(-0.135)


def test_buffer_stays_in_cash_at_scale_one() -> None:
    inputs = target_inputs()
    gross, _ = exposure(decide(inputs), inputs)
    assert gross == pytest.approx(NAV * Decimal("0.90"), rel=Decimal("0.001"))


def test_core_scale_applies_to_the_core_sleeve_only() -> None:
    book = decide(target_inputs(0.7, core_scale=0.5))
    assert lines(book, "core_index_rv")["CSPX"].weight == pytest.approx(0.175 * 0.5)
    assert lines(book, "sector_rv")["IUIT"].weight == pytest.approx(0.025 * 0.7)


def test_sleeve_without_data_keeps_its_book() -> None:
    held = portfolio(core={"CSPX": 1000, "CS51": -10_000})
    prices = world()
    blind = {name: mark for name, mark in prices.marks.items() if name != "CS51"}
    inputs = target_inputs(held=portfolio(core={"CSPX": 1000}))
    book = decide(replace_prices(inputs, blind))
    assert "short leg" in book.held["core_index_rv"]
    assert lines(book, "core_index_rv")["CSPX"].quantity == 1000
    assert "core_index_rv" not in decide(target_inputs(held=held)).held


def test_missing_credit_line_is_named_and_not_spread() -> None:
    book = decide(replace_prices(target_inputs(), without("FLOT")))
    credit = lines(book, "credit_carry")
    assert credit["LQDE"].notional_usd == 600_000
    assert any("FLOT" in note for note in book.notes)


@pytest.mark.parametrize(("shares", "traded"), [(66_000, False), (70_000, True)])
def test_sleeve_trades_only_beyond_its_drift_band(shares: int, traded: bool) -> None:
    # FLOT target 60,000 at 5 USD: half of 30,000 (50,000) USD is 1.0 % (1.7 %) of the sleeve of 1.5 m;
    # ARCC 11,250 at 20 USD: half of 20,000 USD more is another 0.7 %.
    held = portfolio(credit={"LQDE": 6000, "IHYU": 4167, "FLOT": shares, "ARCC": 10_250})
    credit = lines(decide(target_inputs(held=held)), "credit_carry")
    assert credit["FLOT"].quantity == (60_000 if traded else shares)
    assert credit["ARCC"].quantity == (11_250 if traded else 10_250)


class TestBorrow:
    def test_short_without_shares_goes_to_its_future_with_equal_value(self) -> None:
        inputs = target_inputs(borrow=lenders(deny=True))
        book = decide(inputs, short_proxies={"CS51": "FESX"})
        core = lines(book, "core_index_rv")
        assert "CS51" not in core or core["CS51"].quantity == 0
        # 1,750,000 USD / (5,700 · 10 · 1.17) = 26.24 contracts
        assert core["FESX"].quantity == -26
        assert core["FESX"].contract_id == "FESX_Z6"

    @pytest.mark.parametrize(
        ("held", "wanted", "allowed", "why"),
        [
            (0, -100, 0, "a new short finds no shares"),
            (-40, -100, 40, "what is short already stays, and grows by nothing"),
            (-100, -40, 40, "a smaller short needs no locate"),
            (70, -30, 0, "a long that would turn short finds none either"),
        ],
    )
    def test_borrow_service_denies_unavailable_short(
        self, held: int, wanted: int, allowed: int, why: str
    ) -> None:
        service = lenders(deny=True)
        assert service.allowed_short(instrument("CS51"), Decimal(wanted), Decimal(held)) == allowed, why

    def test_short_beyond_the_highest_accepted_fee_counts_as_unavailable(self) -> None:
        dear = BorrowInfo(
            instrument_id="CS51", available_shares=Decimal(900), fee_bps_annual=Decimal("1000.1")
        )
        for fee, shares in ((dear.fee_bps_annual, 0), (Decimal(1000), 900)):
            service = lenders({"CS51": replace(dear, fee_bps_annual=fee)}, deny=True)
            assert service.shares_to_borrow(instrument("CS51")) == shares

    def test_borrow_for_a_part_splits_the_short(self) -> None:
        book = decide(
            target_inputs(borrow=lenders(borrow(CS51=20_000), deny=True)),
            short_proxies={"CS51": "FESX"},
        )
        core = lines(book, "core_index_rv")
        # 9,915 shares are missing: 9,915 · 50 · 1.17 = 580,027.5 USD = 8.7 contracts
        assert (core["CS51"].quantity, core["FESX"].quantity) == (-20_000, -9)
        assert core["CS51"].weight + core["FESX"].weight == pytest.approx(-0.175)

    def test_held_short_may_stay(self) -> None:
        held = portfolio(core={"CSPX": 2384, "CS51": -29_915})
        core = lines(decide(target_inputs(held=held, borrow=lenders(deny=True))), "core_index_rv")
        assert core["CS51"].quantity == -29_915
        assert "FESX" not in core

    def test_short_that_nothing_replaces_shrinks_the_other_leg(self) -> None:
        book = decide(target_inputs(borrow=lenders(borrow(CS51=15_000), deny=True)), short_proxies={})
        core = lines(book, "core_index_rv")
        # half of the short leg can be had, so half of 2,384 shares is bought
        assert core["CS51"].quantity == -15_000
        assert float(core["CSPX"].quantity) == pytest.approx(2384 * 15_000 / 29_915, abs=1)
        assert any("no shares to borrow" in note for note in book.notes)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 12), st.floats(0, 12), st.integers(-40, 40), st.lists(st.floats(-0.5, 0.5), max_size=3))
def test_any_scale_ends_inside_gross_and_net_protection_included(
    scale: float, core: float, hedges: int, options: list[float]
) -> None:
    held = portfolio(crisis_alpha={"FESX_Z6": hedges})
    inputs = target_inputs(scale, core_scale=min(core, scale), held=held, option_exposures=tuple(options))
    gross, net = exposure(decide(inputs), inputs)
    unit = inputs.prices.unit_value_usd("FESX_Z6")
    protection = abs(hedges) * unit + NAV * Decimal(str(sum(abs(delta) for delta in options)))
    signed = hedges * unit + NAV * Decimal(str(sum(options)))
    assert gross + protection <= max(2 * NAV, protection) + 1
    assert abs(net + signed) <= max(NAV, protection) + 1


def test_delta_of_held_puts_takes_room_from_the_book() -> None:
    # gross of the configured book at scale 2.5: 2.5 × 0.90 = 2.25 of NAV; puts of 0.2 leave 1.8 for it
    inputs = target_inputs(2.5, option_exposures=(-0.2,))
    gross, _ = exposure(decide(inputs, weights=NO_BUFFER), inputs)
    assert gross == pytest.approx(NAV * Decimal("1.8"), rel=Decimal("0.001"))


def funded(book: TargetBook, inputs: TargetInputs) -> Decimal:
    """USD of the longs that are paid in full: everything but the futures."""
    return sum(
        (
            line.quantity * inputs.prices.unit_value_usd(line.contract_id)
            for line in book.lines
            if line.quantity > 0 and not inputs.prices.instrument(line.contract_id).is_future
        ),
        Decimal(0),
    )


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 12), st.floats(0, 12), st.floats(0, 0.2), st.integers(0, 2_000), st.booleans())
def test_funded_longs_never_touch_the_cash_buffer(
    scale: float, core: float, premium: float, adopted: int, has_gap: bool
) -> None:
    held = portfolio(unassigned={"CSPX": adopted}, credit={"LQDE": 4_000})
    inputs = target_inputs(scale, core_scale=min(core, scale), held=held, option_value=premium)
    if has_gap:
        inputs = replace_prices(inputs, without("IHYU"))
    paid = adopted * Decimal(734) + NAV * Decimal(str(premium))
    # at scales near zero what is inside its drift band, or kept for want of data, is what is held: 400,000 USD of LQDE
    assert funded(decide(inputs), inputs) + paid <= max(NAV * Decimal("0.95"), paid) + 1


def test_longs_that_cash_can_not_pay_shrink_with_their_shorts() -> None:
    # at scale 2 the longs want 2 × 0.525 = 1.05 of NAV: every sleeve is cut to 0.95 / 1.05 of itself
    inputs = target_inputs(2.0)
    book = decide(inputs)
    assert funded(book, inputs) == pytest.approx(NAV * Decimal("0.95"), rel=Decimal("0.001"))
    core = lines(book, "core_index_rv")
    assert core["CSPX"].weight == pytest.approx(0.35 * 0.95 / 1.05)
    assert core["CS51"].weight == pytest.approx(-0.35 * 0.95 / 1.05)


def test_scale_that_cash_can_pay_is_left_alone() -> None:
    assert lines(decide(target_inputs(1.8)), "core_index_rv")["CSPX"].weight == pytest.approx(0.175 * 1.8)


def test_protection_is_no_target_of_the_risk_scale() -> None:
    assert not lines(decide(target_inputs(0.3)), "crisis_alpha")


def test_weights_at_scale_one_do_not_depend_on_the_scale() -> None:
    for scale in (0.3, 1.5):
        book = decide(target_inputs(scale, core_scale=min(scale, 0.5)))
        weights = weights_at_scale_one(book, scale, min(scale, 0.5))
        assert weights["CSPX"] == pytest.approx(0.175)
        assert weights["IUKD"] == pytest.approx(-0.125 / 3)
    listed = frozenset(world().contracts.universe.ids)
    assert structural_weights(POLICY, listed)["CS51"] == pytest.approx(-0.175)
    assert not weights_at_scale_one(book, 0.0, 0.0)


def test_book_and_memory_survive_their_bytes() -> None:
    book, memory = decide_targets(target_inputs(), POLICY, LIMITS, TargetMemory())
    assert encode(decode(TargetBook, encode(book))) == encode(book)
    assert encode(decode(TargetMemory, encode(memory))) == encode(memory)


def test_targets_are_decided_quickly() -> None:
    inputs = target_inputs()
    decide(inputs)
    started = perf_counter()
    for _ in range(5):
        decide(inputs)
    assert (perf_counter() - started) / 5 < 0.05
