"""Pages of days that were really run, in a browser at both widths: the samples of the report tests are made by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from playwright.sync_api import Browser, sync_playwright

from engine.report import DayReport
from tasks.adapters.report_json import figure, to_result_json
from tasks.adapters.report_page import render_page
from tasks.options import WorldOptions
from tasks.reporting import build_report
from tasks.runtime import World
from tests.factories import DAYS, days_run, new_world, run_day
from tests.halted_days import HALTED_DAY, home_halted_by
from tests.real_data.store_fixture import built_store
from tests.shared_data import require_shared_folder
from tests.tasks.test_report_browser import FLAGS, WIDTHS, _see, overlapping
from tests.tasks.test_report_page import Page

pytestmark = pytest.mark.browser
RECORDED = (date(2020, 2, 28), date(2020, 3, 2))
"""The last day before CRISIS and its first, with rolls."""


def generated_day() -> DayReport:
    world = new_world(days_run().home)
    try:
        return build_report(world, DAYS[-1])
    finally:
        world.close()


def halted_day(fault: str) -> DayReport:
    world = new_world(home_halted_by(fault), HALTED_DAY)
    try:
        return build_report(world, HALTED_DAY)
    finally:
        world.close()


def recorded_day() -> DayReport:
    store, home = built_store(require_shared_folder() / "market_data"), Path(mkdtemp(prefix="fund-page-"))
    world = World(
        WorldOptions(profile="history", store=store, first=RECORDED[0], last=RECORDED[-1], home=home)
    )
    try:
        for day in RECORDED:
            run_day(world, day)
        return build_report(world, RECORDED[-1])
    finally:
        world.close()
        shutil.rmtree(home, ignore_errors=True)


KINDS: dict[str, Callable[[], DayReport]] = {
    "generated": generated_day,
    "foreign-position": lambda: halted_day("foreign-position"),
    "nan-price": lambda: halted_day("nan-price"),
    "recorded": recorded_day,
}


EACH_KIND = pytest.mark.parametrize(
    "kind", [pytest.param(name, marks=pytest.mark.shared if name == "recorded" else ()) for name in KINDS]
)


@cache
def report_of(kind: str) -> DayReport:
    """One kind of day, run once."""
    return KINDS[kind]()


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(chromium_path), args=list(FLAGS))
        yield opened
        opened.close()


@pytest.mark.parametrize("width", WIDTHS)
@EACH_KIND
def test_page_of_a_day_that_was_run_is_readable(
    browser: Browser, tmp_path: Path, kind: str, width: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_page(report_of(kind)), encoding="utf-8")

    seen = _see(browser, path, width, "light")

    assert (seen.drawn, seen.complaints) == ("drawn", [])
    assert [address for address in seen.requests if not address.startswith(("file:", "blob:", "data:"))] == []
    assert seen.scroll_width <= width
    assert len(seen.texts) > 100
    assert overlapping(seen.texts) == []
    assert [line["text"] for line in seen.texts if line["outside"] > 0.5] == []
    words = set(seen.words.replace("\n", " ").split())
    assert words & {"nan", "NaN", "None", "NaT", "inf", "undefined", "null", "[object"} == set()


@EACH_KIND
def test_summary_of_a_day_that_was_run_equals_its_result(kind: str) -> None:
    facts = Page(render_page(report_of(kind))).facts
    result = json.loads(json.dumps(to_result_json(report_of(kind), None)))

    shown = {path: value for path, value in facts.items() if value is not None}
    told = {path: figure(result, path) for path in shown}
    assert len(facts) >= 8
    assert shown == {path: value if isinstance(value, str) else repr(value) for path, value in told.items()}
