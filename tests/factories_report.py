"""Sample day reports: what a portfolio manager may meet, from a calm day to a book of 400 lines."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from random import Random

from engine.report import BreakRow, CostView, CurrencyRow, DayReport, ExposureRow, HaltView, OrderRow
from tests.factories_report_parts import (
    AS_OF,
    DAY,
    NO_COSTS,
    bridge,
    fill,
    flagged,
    history,
    job,
    position,
    reconciliation,
    risk,
    trade,
)

D = Decimal

CALM_POSITIONS = (
    position("core_index_rv", "CSPX", "932", "940", "734.13", "USD", "684209.16", name="iShares Core S&P 500 UCITS"),
    position("core_index_rv", "FESX", "-21", "-22", "5631", "EUR", "-1372342", contract_id="FESX_20261218", name="EURO STOXX 50 future"),
    position("sector_rv", "XLK", "2100", "2100", "231.4", "USD", "485940", name="Technology Select Sector SPDR"),
    position("sector_rv", "EXV1", "-9000", "-8800", "27.315", "EUR", "-285291.3", name="iShares STOXX Europe 600 Banks"),
    position("single_name", "MSFT", "410", "420", "498.02", "USD", "204188.2", name="Microsoft Corporation"),
    position("single_name", "VOD", "-180000", "-180000", "74.46", "GBX", "-176284.1", name="Vodafone Group", note="mark of the previous session", stale_sessions=1),
    position("credit_carry", "LQD", "5200", "5200", "109.9", "USD", "571480", name="iShares USD Investment Grade Corporate Bond"),
    position("crisis_alpha", "VX", "6", "6", "18.75", "USD", "112500", contract_id="VX_20261216", name="VIX future"),
    position("fx_hedge", "M6E", "-4", "-5", "1.1736", "USD", "-58680", contract_id="M6E_20261214", name="Micro EUR/USD future"),
)  # fmt: skip

CALM_TRADES = (
    trade("CSPX", "8", "8", "5873.04", "done", "within the collar at the first limit"),
    trade("FESX_20261218", "-1", "-1", "65350", "done", "filled at the second limit"),
    trade("MSFT", "10", "6", "4980.2", "partly done", "the window closed with 4 shares unfilled", sleeve="single_name"),
    trade("EXV1", "200", "0", "6339.8", "not done", "the benefit of 1.20 USD is below the required 9.51 USD", sleeve="sector_rv"),
    trade("M6E_20261214", "-1", "-1", "14670", "done", "hedges 14,500 EUR of new exposure", purpose="hedge_fx", sleeve="fx_hedge"),
)  # fmt: skip


def calm_day() -> DayReport:
    """A generated day that went as planned."""
    moved = bridge("10000000.00", price="11840.25", fx="-1502.11", interest="402.90", dividends="1820.00", borrow="-88.40", fees="-126.97")  # fmt: skip
    return DayReport(
        run_id="2026-11-20-decision-5c1f09ab",
        account="SIM-fund-1",
        profile="fund",
        trade_date=DAY,
        mode="simulated",
        status="COMPLETED",
        attempt=1,
        seed=1,
        market="generated from seed 1",
        generated=True,
        as_of=AS_OF,
        nav=D("10012345.67"),
        closing_nav=D("10018121.04"),
        unit_price=D("1001.2346"),
        cash_by_currency={"USD": D("9103204.17"), "EUR": D("612040.5"), "GBP": D("-41200.25")},
        gross_exposure=D("3950914.76"),
        net_exposure=D("165720.06"),
        bridge=moved,
        exposures=(
            ExposureRow(name="core_index_rv", long_usd=D("684209.16"), short_usd=D("1372342"), target_gross_usd=D("2100000")),
            ExposureRow(name="sector_rv", long_usd=D("485940"), short_usd=D("285291.3"), target_gross_usd=D("770000")),
            ExposureRow(name="single_name", long_usd=D("204188.2"), short_usd=D("176284.1"), target_gross_usd=D("380000")),
            ExposureRow(name="credit_carry", long_usd=D("571480"), short_usd=D(0), target_gross_usd=D("571480")),
            ExposureRow(name="crisis_alpha", long_usd=D("112500"), short_usd=D(0), target_gross_usd=D("112500")),
            ExposureRow(name="fx_hedge", long_usd=D(0), short_usd=D("58680"), target_gross_usd=None),
        ),
        currencies=(
            CurrencyRow(currency="USD", cash=D("9103204.17"), net_value_usd=D("9561204.22"), hedge_usd=D(0), remaining_usd=D("9561204.22")),
            CurrencyRow(currency="EUR", cash=D("612040.5"), net_value_usd=D("432968.43"), hedge_usd=D("-58680"), remaining_usd=D("374288.43")),
            CurrencyRow(currency="GBP", cash=D("-41200.25"), net_value_usd=D("-230117.05"), hedge_usd=D("218400"), remaining_usd=D("-11717.05")),
        ),
        risk=risk(),
        positions=CALM_POSITIONS,
        trades=CALM_TRADES,
        hedges=(
            "EUR: 432,968 USD of exposure against a band of 50,000 USD; one M6E contract sold.",
            "Tail hedges: 0.61 % of NAV of the year's 2.50 % budget is spent.",
        ),
        jobs=(job("XETRA", "sector_rv", 9, 1, "DONE"), job("LSE", "core_index_rv", 9, 1, "DONE"), job("CME", "fx_hedge", 15, 1, "DONE"), job("NYSE", "single_name", 16, 1, "DONE")),
        orders=(
            OrderRow(order_ref="AF1.00000000000000000001.0", contract_id="CSPX", side="BUY", quantity=D(8), filled=D(8), limit_price=D("734.3"), status="FILLED"),
            OrderRow(order_ref="AF1.00000000000000000002.0", contract_id="FESX_20261218", side="SELL", quantity=D(1), filled=D(1), limit_price=D(5629), status="FILLED"),
            OrderRow(order_ref="AF1.00000000000000000003.0", contract_id="MSFT", side="BUY", quantity=D(10), filled=D(6), limit_price=D("498.1"), status="CANCELLED"),
        ),
        fills=(
            fill(1, "CSPX", "BUY", "8", "734.21", 1.09, "2.89"),
            fill(2, "FESX_20261218", "SELL", "1", "5630", 1.78, "13.85"),
            fill(3, "MSFT", "BUY", "6", "498.06", -0.4, "2.13"),
        ),
        unhedged_usd_seconds=30354522.1718,
        costs=CostView(traded_usd=D("88872.96"), turnover_fraction=0.0088763, commission_usd=D("8.75"), tax_usd=D("0"), slippage_usd=D("12.62"), netting_saved_usd=D("3.1")),
        reconciliation=reconciliation(),
        closing_reconciliation=reconciliation(nlv="10018100.00", difference="21.04"),
        halts=(),
        flagged_prices=(flagged("VOD", "74.46", "-176284.1", age=1),),
        notes=("VOD: the mark is of the previous session; its venue was closed.",),
        operator_acts=(),
        history=history(60),
        next_run=date(2026, 11, 23),
    )  # fmt: skip


FOREIGN = BreakRow(
    kind="missed-fill",
    subject="XLK",
    ours="2,100 shares",
    broker="2,600 shares",
    difference_usd=D("-115700"),
    explanation="one execution at the broker is not in our book: bought 500 at 231.40 USD at 19:42:10 UTC",
    proposed_choice="adopt-broker",
)


def halted_day() -> DayReport:
    """A reconciliation break: nothing was decided after it, nothing was sent."""
    halt = HaltView(
        halt_id="H-2026-11-20-7f3a91",
        kind="missed-fill",
        severity="HALT",
        message="expected 2,100 shares of XLK as in our book, found 2,600 shares at the broker, a difference of "
        "-115,700.00 USD; compare with the broker's statement, then adopt the broker to book the execution",
        status="OPEN",
        choices=("adopt-broker", "retry"),
        choice=None,
        operator=None,
        reason=None,
        evidence=(FOREIGN,),
    )
    return replace(
        calm_day(),
        status="HALTED",
        closing_nav=None,
        risk=None,
        trades=(),
        hedges=(),
        jobs=(),
        orders=(),
        fills=(),
        costs=NO_COSTS,
        reconciliation=reconciliation("HALT", "10128045.67", "-115700", (FOREIGN,)),
        closing_reconciliation=None,
        halts=(halt,),
        positions=tuple(replace(row, target_quantity=None, target_weight=None) for row in CALM_POSITIONS),
    )


def crisis_day() -> DayReport:
    """A crash with an emergency halt, one earlier halt that was resolved, and real past data."""
    gap = BreakRow(
        kind="cash-break",
        subject="USD",
        ours="8,803,204.17 USD",
        broker="8,662,704.17 USD",
        difference_usd=D("140500"),
        explanation="no posting, fee or settlement explains it",
        proposed_choice="adopt-broker",
    )
    emergency = HaltView(
        halt_id="H-2026-11-20-c04e55",
        kind="cash-break",
        severity="EMERGENCY",
        message="Cash in USD differs by 140,500.00 USD, 1.5 % of NAV.",
        status="OPEN",
        choices=("adopt-broker", "retry"),
        choice=None,
        operator=None,
        reason=None,
        evidence=(gap,),
    )
    cleared = replace(
        emergency,
        halt_id="H-2026-11-20-11aa02",
        kind="stale-fx",
        severity="HALT",
        message="EUR.USD is older than its limit of 15 minutes.",
        status="CONSUMED",
        choices=("retry", "abandon-day"),
        choice="retry",
        operator="anna",
        reason="the feed is back",
        evidence=(),
    )
    return replace(
        calm_day(),
        status="EMERGENCY",
        attempt=3,
        profile="history",
        account="SIM-history-9b1c44d0",
        market="store of real history: no quotes, paths drawn from each day's prices",
        generated=False,
        nav=D("9366200.00"),
        closing_nav=None,
        bridge=bridge("9722014.77", price="-402118.93", fx="48220.15", interest="331.02", borrow="-120.88", fees="-2126.13"),
        risk=replace(risk("CRISIS", 0.3, -0.1187, ("VIX 82.69 is above 40: the regime is CRISIS.", "The scale is 0.30 until the regime has been better for ten sessions.")), vix=82.69, volatility=0.412, daily_return=-0.0366, reduce_only=True),
        reconciliation=reconciliation("EMERGENCY", "9225700.00", "140500", (gap,)),
        closing_reconciliation=None,
        halts=(emergency, cleared),
        operator_acts=("06:12 UTC anna resolved H-2026-11-20-11aa02 with retry: the feed is back",),
        trades=(
            trade("CSPX", "-650", "-650", "477184.5", "done", "reduces exposure in CRISIS", purpose="derisk"),
            trade("FESX_20261218", "15", "9", "980000", "partly done", "the limit reached its collar; 6 contracts left", purpose="crisis"),
            trade("XLK", "-1500", "0", "347100", "not done", "halted before its window", purpose="derisk", sleeve="sector_rv"),
        ),
        history=history(120, crisis=range(95, 120)),
        flagged_prices=(flagged("MSFT", "4980.2", "2041882", told="MSFT: its price moved by +900% without a corporate action (+1,837,694 USD of NAV); it may only be reduced"),),
        notes=("Intraday paths are drawn, not recorded: the store has no quotes for this day.", "VX: no depth recorded; spread × 5 assumed."),
    )  # fmt: skip


def empty_book() -> DayReport:
    """The first day of a new account: nothing held, nothing traded, no earlier valuation."""
    return replace(
        calm_day(),
        nav=D(10000000),
        closing_nav=D(10000000),
        bridge=None,
        cash_by_currency={"USD": D(10000000)},
        gross_exposure=D(0),
        net_exposure=D(0),
        exposures=(),
        currencies=(),
        positions=(),
        trades=(),
        hedges=(),
        jobs=(),
        orders=(),
        fills=(),
        costs=NO_COSTS,
        flagged_prices=(),
        notes=(),
        history=(),
    )


def long_day() -> DayReport:
    """400 positions in five sleeves, 300 trades, 400 fills and 400 days of history."""
    random, sleeves = Random(3), ("core_index_rv", "sector_rv", "single_name", "credit_carry", "crisis_alpha")
    rows = tuple(
        position(
            sleeves[number % 5],
            f"S{number:03d}",
            str(random.randint(-4000, 4000) or 1),
            str(random.randint(-4000, 4000)),
            f"{random.uniform(3, 900):.2f}",
            random.choice(("USD", "EUR", "GBX")),
            f"{random.uniform(-2e5, 2e5):.2f}",
            name=f"Company number {number} Holdings",
        )
        for number in range(400)
    )
    decisions = ("done", "done", "partly done", "not done", "planned")
    trades = tuple(
        trade(row.contract_id, str(1 + number), "0", "1234.5", decisions[number % 5], "as the gate judged it", sleeve=row.sleeve)
        for number, row in enumerate(rows[:300])
    )  # fmt: skip
    fills = tuple(fill(number, f"S{number:03d}", "BUY", "12", "101.25", 1.5, "2.25") for number in range(400))
    return replace(
        calm_day(), positions=rows, trades=trades, fills=fills, history=history(400, crisis=range(150, 210))
    )


def negative_numbers() -> DayReport:
    """Everything that can be negative is."""
    return replace(
        calm_day(),
        nav=D("-1234567.89"),
        closing_nav=D("-1300000.01"),
        net_exposure=D("-3950914.76"),
        bridge=bridge("-1000000.00", price="-250000.10", fx="-100.20", fees="-0.01", residual="-0.01"),
        cash_by_currency={"USD": D("-5000000.5"), "JPY": D("-1")},
        costs=CostView(traded_usd=D("100"), turnover_fraction=0.00001, commission_usd=D("-1.25"), tax_usd=D("0"), slippage_usd=D("-12.62"), netting_saved_usd=D("-0.5")),
        reconciliation=reconciliation(nlv="-1234000.00", difference="-567.89"),
    )  # fmt: skip


def extreme_numbers() -> DayReport:
    """Amounts at both ends of what a ledger may hold."""
    return replace(
        calm_day(),
        nav=D("8999999999999.999999"),
        closing_nav=D("8999999999999.999999"),
        gross_exposure=D("27000000000000"),
        net_exposure=D("0.000001"),
        bridge=bridge("8999999000000.000001", price="999999.999997", fx="0.000001"),
        cash_by_currency={"USD": D("8999999999999.999999"), "EUR": D("0.000001")},
        positions=(
            position("core_index_rv", "HUGE", "9000000000000", "9000000000000", "0.0001", "USD", "900000000"),
            position("core_index_rv", "TINY", "0.000001", "0", "1234567.123456789012", "USD", "0.000001"),
        ),
        exposures=(
            ExposureRow(name="core_index_rv", long_usd=D("26999999999999"), short_usd=D("0.000001"), target_gross_usd=D(1)),
        ),
        history=(),
    )  # fmt: skip


def missing_values() -> DayReport:
    """A run that stopped before anything was valued."""
    return replace(
        halted_day(),
        nav=None,
        unit_price=None,
        bridge=None,
        gross_exposure=D(0),
        net_exposure=D(0),
        exposures=(),
        currencies=(),
        reconciliation=reconciliation("UNKNOWN", nlv=None, difference=None),
        positions=tuple(
            replace(row, price=None, target_quantity=None, target_weight=None) for row in CALM_POSITIONS[:3]
        ),
        risk=replace(risk(), volatility=None, vix=None, daily_return=None),
        fills=(fill(1, "CSPX", "BUY", "8", "734.21", None, "0"),),
        history=(),
        next_run=None,
    )


def hostile_words() -> DayReport:
    """Texts from outside that would be markup, if a page let them."""
    attack = "<script>alert('x')</script><b onmouseover=\"y()\">&amp;"
    return replace(
        calm_day(),
        account=attack,
        market=attack,
        flagged_prices=(flagged(attack, "1", "1", told=attack),),
        notes=(attack,),
        hedges=(attack,),
        operator_acts=(attack,),
        exposures=(ExposureRow(name=attack, long_usd=D(1), short_usd=D(2), target_gross_usd=None),),
        positions=(position(attack, "X", "1", "1", "1", attack, "1", name=attack, note=attack),),
        trades=(trade(attack, "1", "0", "1", "not done", attack, sleeve=attack),),
    )


SAMPLES: dict[str, Callable[[], DayReport]] = {
    "calm": calm_day,
    "crisis": crisis_day,
    "empty": empty_book,
    "halted": halted_day,
    "long": long_day,
    "negative": negative_numbers,
    "extreme": extreme_numbers,
    "missing": missing_values,
    "hostile": hostile_words,
}
