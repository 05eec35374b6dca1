"""The page and the JSON of a day: nothing outside the file, every figure with its unit, both from one value."""

import base64
import json
import math
import re
import time
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from engine.errors import NonFiniteValue
from engine.report import NOT_COMPARED, BreakRow, PriceFact
from tasks.adapters import report_text
from tasks.adapters.report_charts import (
    bridge_figure,
    currency_figure,
    history_figure,
    plotly_script,
    sleeve_figure,
)
from tasks.adapters.report_html import element, join
from tasks.adapters.report_json import figure, to_result_json
from tasks.adapters.report_page import render_page
from tasks.adapters.report_text import NO_BREAK, group_name, reason_text
from tests.factories_report import SAMPLES, calm_day, crisis_day, halted_day, hostile_words, missing_values

ADDRESS = re.compile(
    r"https?://|(?:src|href|action|srcset)\s*=\s*[\"'](?!#)|url\s*\(|@import|<link|<iframe|<img", re.I
)
RESULT_KEYS = {
    "run_id", "trade_date", "mode", "status", "attempt", "nav", "cash_by_currency", "positions", "reconciliation",
    "risk", "targets", "hedges", "trades", "jobs", "orders", "fills", "costs", "halts", "report",
}  # fmt: skip
UNSAID = re.compile(r"\b(?:nan|None|NaT|inf|undefined|null)\b")
every_sample = pytest.mark.parametrize("name", SAMPLES)


class Page(HTMLParser):
    """What a reader sees, the facts behind the summary, and the tables."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.facts: dict[str, str | None] = {}
        self.headings: list[str] = []
        self.tables = self.captions = self.bare_headings = 0
        self._hidden = 0
        self._in_heading = False
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._hidden += tag in ("script", "style")
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.bare_headings += tag == "th" and not given.get("scope")
        if tag == "th" and given.get("scope") == "col" and given.get("class") == "number":
            self._in_heading = True
        path = given.get("data-field")
        if path is not None:
            self.facts[path] = given.get("data-value")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)
        if self._in_heading:
            self.headings.append(data)
            self._in_heading = False

    @property
    def text(self) -> str:
        return " ".join(self.words)


@every_sample
def test_page_names_no_address_outside_itself(name: str) -> None:
    source = render_page(SAMPLES[name]())
    assert ADDRESS.findall(source) == []
    assert "default-src 'none'" in source


@every_sample
def test_page_says_what_is_missing_in_words(name: str) -> None:
    assert UNSAID.findall(Page(render_page(SAMPLES[name]())).text) == []


@every_sample
def test_every_table_has_a_caption_and_scopes(name: str) -> None:
    page = Page(render_page(SAMPLES[name]()))
    assert page.tables == page.captions > 0
    assert page.bare_headings == 0


@every_sample
def test_every_column_of_figures_names_its_unit(name: str) -> None:
    own_units = {"Price", "Value", "Amount", "Commission", "Slippage", "USD"}  # the unit stands in each cell
    headings = set(Page(render_page(SAMPLES[name]())).headings) - own_units
    assert [heading for heading in headings if not re.search(r"\(.+\)$", heading)] == []


@every_sample
def test_figures_of_the_summary_equal_the_json_result(name: str) -> None:
    report = SAMPLES[name]()
    facts = Page(render_page(report)).facts
    result = json.loads(json.dumps(to_result_json(report, None)))
    assert {"nav", "change.usd", "exposure.gross_usd", "risk.scale", "costs.traded_usd", "next_run"} <= set(
        facts
    )
    shown = {path: value for path, value in facts.items() if value is not None}
    expected = {path: figure(result, path) for path in shown}
    assert shown == {
        path: value if isinstance(value, str) else repr(value) for path, value in expected.items()
    }
    assert [
        path for path in facts if path not in shown and path != "status" and figure(result, path) is not None
    ] == []


def test_summary_carries_nav_to_the_last_digit_and_change_by_hand() -> None:
    facts = Page(render_page(calm_day())).facts
    assert facts["nav"] == "10012345.67"
    assert facts["change.usd"] == "12345.67"  # 10,012,345.67 - 10,000,000.00
    assert facts["change.fraction"] == "0.001234567"
    assert facts["total_cost_usd"] == "21.37"  # 8.75 + 12.62


def test_money_that_came_in_is_a_change_of_nav_and_no_return() -> None:
    day = calm_day()
    assert day.bridge is not None
    # 10,012,345.67 / 10,000,000.00, of which 12,000 were subscribed: the unit price rose by 345.67 / 10,000,000.00
    report = replace(day, bridge=replace(day.bridge, unit_return=Decimal("0.000034567")))
    facts = Page(render_page(report)).facts
    assert facts["change.usd"] == "12345.67"
    assert facts["change.fraction"] == "3.4567e-05"
    first = replace(day, bridge=replace(day.bridge, unit_return=None))
    assert "nothing to compare with" in " ".join(Page(render_page(first)).words)


def test_page_tells_the_instruments_that_moved_nav_most_and_sums_the_others() -> None:
    day = calm_day()
    assert day.bridge is not None
    results = {f"LINE{number:02}": Decimal(number * (-1) ** number) for number in range(1, 21)}
    page = " ".join(Page(render_page(replace(day, bridge=replace(day.bridge, by_instrument=results)))).words)
    assert "Change of NAV by instrument, the largest first" in page
    assert all(f"LINE{number:02}" in page for number in range(9, 21))
    assert not any(f"LINE{number:02}" in page for number in range(1, 9))
    # −1 + 2 − 3 + 4 − 5 + 6 − 7 + 8
    assert "8 others +4.00" in page
    assert to_result_json(replace(day, bridge=replace(day.bridge, by_instrument=results)), None)["bridge"]


@every_sample
def test_result_has_the_agreed_keys_and_money_as_text(name: str) -> None:
    result = to_result_json(SAMPLES[name](), "reports/day.html")
    assert set(result) >= RESULT_KEYS
    assert result["report"] == "reports/day.html"
    assert all(isinstance(value, str) for value in result["cash_by_currency"].values())
    assert [
        row for row in result["trades"] if not {"instrument", "quantity", "decision", "reason"} <= set(row)
    ] == []
    assert json.loads(json.dumps(result, allow_nan=False)) == result


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (30354522.1718, f"{30_354_522:,}{NO_BREAK}USD × s"),
        (0.0, f"0{NO_BREAK}USD × s"),
        (None, "not known before the windows end"),
    ],
)
def test_legs_that_stood_without_the_others_are_told_with_the_executions(
    value: float | None, told: str
) -> None:
    report = replace(calm_day(), unhedged_usd_seconds=value)
    orders = render_page(report).partition('id="orders"')[2].partition("<details")[0]
    assert f"Legs that stood without the others of their group, by value and time: {told}." in orders
    assert to_result_json(report, None)["unhedged_usd_seconds"] == value


def test_result_says_null_where_nothing_was_valued() -> None:
    result = to_result_json(missing_values(), None)
    assert (result["nav"], result["report"], result["next_run"]) == (None, None, None)
    assert result["exposure"] == {
        "gross_usd": None,
        "net_usd": None,
        "gross_fraction": None,
        "net_fraction": None,
    }


def test_words_from_outside_are_never_markup() -> None:
    source = render_page(hostile_words())
    assert "<script>alert" not in source
    assert "<b onmouseover" not in source
    assert "&lt;script&gt;alert" in source


def test_text_inside_a_chart_can_not_end_its_script() -> None:
    assert "</script><" not in json.dumps(sleeve_figure(hostile_words().exposures))
    embedded = re.findall(
        r'<script type="application/json">(.*?)</script>', render_page(hostile_words()), re.S
    )
    assert len(embedded) == 4
    assert all(isinstance(json.loads(tree), dict) for tree in embedded)


def test_element_escapes_texts_and_attributes_and_keeps_markup() -> None:
    inner = element("b", "1 < 2")
    assert (
        element("p", inner, ' & "', title='a"b', hidden=None)
        == '<p title="a&quot;b"><b>1 &lt; 2</b> &amp; &quot;</p>'
    )
    assert join("<", inner, ["&"]) == "&lt;<b>1 &lt; 2</b>&amp;"


def test_number_that_is_not_finite_is_refused() -> None:
    risk = calm_day().risk
    assert risk is not None
    broken = replace(calm_day(), risk=replace(risk, scale=math.nan))
    with pytest.raises(NonFiniteValue):
        render_page(broken)
    with pytest.raises(NonFiniteValue):
        to_result_json(replace(calm_day(), nav=Decimal("NaN")), None)


def test_halted_page_shows_evidence_and_the_exact_lines_that_clear_it() -> None:
    text = Page(render_page(halted_day())).text
    assert "one execution at the broker is not in our book: bought 500 at 231.40 USD" in text
    joined = re.sub(r"\s+", " ", text)
    assert './fund resolve H-2026-11-20-7f3a91 --choice adopt-broker --reason "why"' in joined
    assert "./fund resume" in joined
    assert joined.index("What stopped the day") < joined.index("What happened to NAV")


def test_answered_halt_offers_no_line_to_clear_it() -> None:
    cleared = replace(crisis_day(), halts=crisis_day().halts[1:])
    text = Page(render_page(cleared)).text
    assert "was answered with retry by anna. Reason: the feed is back." in text
    assert "./fund resolve" not in text


@pytest.mark.parametrize("generated", [True, False])
def test_page_says_plainly_whether_the_market_is_generated(generated: bool) -> None:
    text = Page(render_page(replace(calm_day(), generated=generated))).text
    assert ("Generated market, seed 1" in text) is generated


def test_trades_not_done_stand_with_their_reason() -> None:
    text = Page(render_page(calm_day())).text
    assert "5 considered: 3 done, 1 partly done, 1 not done." in text
    assert "The benefit of 1.20 USD is below the required 9.51 USD" in text


def test_page_stays_below_five_megabytes_and_renders_fast() -> None:
    report = SAMPLES["long"]()
    size = len(render_page(report).encode())
    times = []
    for _ in range(5):
        started = time.process_time()
        render_page(report)
        times.append(time.process_time() - started)
    assert size < 5_000_000
    assert min(times) < 0.5  # 0.08 s alone; the bound leaves room for a slow machine


def test_packed_script_is_plotlys_own_to_the_byte() -> None:
    import plotly

    packaged = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    assert zlib.decompress(base64.b64decode(plotly_script())) == packaged.read_bytes()


def test_waterfall_ends_at_the_change_of_nav() -> None:
    bridge = calm_day().bridge
    assert bridge is not None
    trace = bridge_figure(bridge)["data"][0]
    assert trace["measure"] == ["relative"] * 6 + ["total"]
    assert sum(trace["x"][:-1]) == pytest.approx(12345.67, abs=0.005)
    assert trace["x"][-1] == 12345.67


def test_bridge_tells_prices_first_and_unknown_causes_last() -> None:
    bridge = calm_day().bridge
    assert bridge is not None
    shuffled = replace(bridge, rows=(replace(bridge.rows[0], component="rounding"), *reversed(bridge.rows)))
    told = [row.component for row in report_text.bridge_rows(shuffled)]
    assert told == ["price", "fx", "dividends", "interest", "borrow", "fees", "rounding"]


@every_sample
def test_bars_lie_inside_their_axis(name: str) -> None:
    report = SAMPLES[name]()
    for drawn in (sleeve_figure(report.exposures), currency_figure(report.currencies)):
        low, high = drawn["layout"]["xaxis"]["range"]
        assert all(low <= value <= high for trace in drawn["data"] for value in trace["x"])


def test_history_shades_each_stressed_spell_once() -> None:
    shapes = history_figure(crisis_day())["layout"]["shapes"]
    days = [point.trade_date.isoformat() for point in crisis_day().history if point.regime == "CRISIS"]
    assert [(shape["x0"], shape["x1"]) for shape in shapes] == [(days[0], days[-1])]


def test_equal_names_of_a_chart_stay_apart() -> None:
    row = calm_day().exposures[0]
    named = [replace(row, name="a" * 40), replace(row, name="a" * 40)]
    first, second = sleeve_figure(named)["data"][0]["y"]
    assert first != second
    assert len(first) == 18


@pytest.mark.parametrize(
    ("written", "expected", "reason"),
    [
        (report_text.amount(Decimal("-1234567.891")), "−1,234,567.89", "separators and a real minus sign"),
        (report_text.amount(Decimal("0.004")), "0.004", "a non-zero number never reads as zero"),
        (report_text.amount(Decimal("-0.00")), "0.00", "zero has no sign"),
        (report_text.amount(Decimal(5), 0, signed=True), "+5", "a gain carries its plus"),
        (report_text.amount(Decimal("8999999999999.999999")), "9,000,000,000,000.00", "half-even at the end"),
        (report_text.amount(Decimal("123456789012345678901234567890.5"), 1), "123,456,789,012,345,678,901,234,567,890.5", "wider than the context"),
        (report_text.plain(Decimal("1.173600")), "1.1736", "no trailing zeros"),
        (report_text.plain(Decimal("-180000")), "−180,000", "quantities are separated too"),
        (report_text.signed_quantity(Decimal(8)), "+8", "a purchase"),
        (report_text.percent(-0.0123), "−1.23\u00a0%", "unit kept on the line"),
        (report_text.bps(1.09), "1.1\u00a0bps", "one decimal"),
        (report_text.usd(Decimal("0.5"), 2), "0.50\u00a0USD", "cents are padded"),
        (report_text.compact(Decimal(-1502)), "−1.5\u00a0k", "thousands"),
        (report_text.compact(999_999), "1.00\u00a0M", "rounding changes the letter"),
        (report_text.share(Decimal(1), None), "NAV not yet valued", "no NAV, no share"),
        (report_text.share(Decimal(1), Decimal(4)), "25.0\u00a0% of NAV", "a quarter"),
        (report_text.sleeve_name("core_index_rv"), "Core index RV", "known sleeve"),
        (report_text.sleeve_name("new_sleeve"), "New sleeve", "unknown sleeve"),
        (report_text.opened("prices are old"), "Prices are old", "a sentence starts with a capital"),
        (report_text.opened("core_index_rv: held"), "core_index_rv: held", "a technical name stays as it is"),
        (report_text.counted(1, "line"), "1 line", "one"),
        (report_text.counted(1200, "line"), "1,200 lines", "many"),
        (report_text.minute_text(datetime(2026, 1, 2, 9, 5, tzinfo=UTC)), "09:05\u00a0UTC", "zone said"),
    ],
)  # fmt: skip
def test_figure_is_written(written: str, expected: str, reason: str) -> None:
    assert written == expected, reason


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), math.nan, -math.inf])
def test_amount_that_is_not_finite_is_refused(value: Decimal | float) -> None:
    with pytest.raises(NonFiniteValue):
        report_text.amount(value)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("hedge_tail", "Tail hedge"),
        ("rebalance; 4 left unfilled at the collar", "Rebalance; 4 left unfilled at the collar"),
        ("gate: cost_exceeds_benefit", "Gate: the cost exceeds the benefit"),
        ("venue: venue closed: LSE does not trade", "Venue closed: LSE does not trade"),
        ("the benefit of 1.20 USD is too small", "The benefit of 1.20 USD is too small"),
    ],
)
def test_reason_is_told_in_words(reason: str, words: str) -> None:
    assert reason_text(reason) == words


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("strategy/single:AAPL", "Single name AAPL"),
        ("tail/tail", "Tail hedges"),
        ("tail/sovereign_spread", "Sovereign spread"),
    ],
)
def test_group_of_orders_is_told_in_words(group: str, words: str) -> None:
    assert group_name(group) == words


def test_abandoned_day_says_that_only_reductions_are_traded() -> None:
    day = calm_day()
    assert day.risk is not None
    page = Page(render_page(replace(day, risk=replace(day.risk, abandoned=True)))).text
    assert "the day was abandoned by an operator: only reductions are traded" in page
    assert "increases are allowed" not in page


def test_doubted_price_stands_with_age_limit_last_price_and_exposure() -> None:
    fact = PriceFact(
        age=5.0,
        age_unit="sessions",
        limit="3 sessions",
        last_price=Decimal("5800.25"),
        unit="USD",
        last_date=date(2026, 11, 13),
        exposure_usd=Decimal("-290012.5"),
        nav_fraction=0.029,
    )
    row = BreakRow(
        kind="stale-mark",
        subject="ES_20261218",
        ours="5 sessions",
        broker=NOT_COMPARED,
        difference_usd=None,
        explanation="its venue held 5 sessions without a price of it",
        proposed_choice="abandon-day",
        price=fact,
    )
    day = halted_day()
    halt = replace(day.halts[0], kind="stale-mark", evidence=(row,), choices=("abandon-day", "mark-manually"))
    page = Page(render_page(replace(day, halts=(halt,)))).text.replace("\u00a0", " ")
    for told in (
        "Stale prices",
        "5 sessions old",
        "3 sessions",
        "5,800.25 USD of 2026-11-13",
        "\u2212290,012.50",
        "2.90",
        "--mark ES_20261218=PRICE",
    ):
        assert told in page, told
