"""The page in a browser, on a desk and on a telephone, in light and in dark: nothing overlaps, nothing is fetched."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tasks.adapters.report_page import render_page
from tests.factories_report import SAMPLES

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WIDTHS = (1280, 390)

# Every line of visible text with its box, its colour and the colour behind it.
TEXTS = """() => {
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange();
  const opaque = color => { const parts = color.match(/[\\d.]+/g).map(Number); return parts.length < 4 || parts[3] > 0.99; };
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (opaque(color)) return color;
    }
    return "rgb(255, 255, 255)";
  };
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest("script, style, .stack thead, .hoverlayer")) continue;
    const drawn = parent.closest("svg"), style = getComputedStyle(parent);
    if (!parent.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1 || box.height < 1) continue;
      const chart = drawn && parent.closest(".chart").getBoundingClientRect();
      const tile = parent.closest(".tile") && parent.closest(".tile").getBoundingClientRect();
      const frame = chart || tile;
      found.push({
        text: node.textContent.trim(), x: box.left, y: box.top + scrollY, width: box.width, height: box.height,
        color: drawn ? style.fill : style.color, behind: behind(drawn ? drawn.closest("section") : parent),
        outside: frame ? Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom) : 0,
        inChart: Boolean(drawn),
      });
    }
  }
  return found;
}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the browser made of one page."""

    texts: list[dict[str, object]]
    words: str
    width: int
    scroll_width: int
    drawn: str
    charts: int
    requests: list[str]
    complaints: list[str]
    tiles: list[str]


@pytest.fixture(scope="module")
def browser(chromium_path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(chromium_path), args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def look(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """Return a function that opens one sample at one width, once."""
    folder, known = tmp_path_factory.mktemp("pages"), {}

    def open_page(name: str, width: int, scheme: str = "light") -> Seen:
        if (name, width, scheme) not in known:
            path = folder / f"{name}.html"
            path.write_text(render_page(SAMPLES[name]()), encoding="utf-8")
            known[name, width, scheme] = _see(browser, path, width, scheme)
        return known[name, width, scheme]

    return open_page


def _see(browser: Browser, path: Path, width: int, scheme: str) -> Seen:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-charts]", state="attached")
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    seen = _gathered(page, width, requests, complaints)
    context.close()
    return seen


def _gathered(page: Page, width: int, requests: list[str], complaints: list[str]) -> Seen:
    return Seen(
        texts=page.evaluate(TEXTS),
        words=page.inner_text("body"),
        width=width,
        scroll_width=page.evaluate("document.documentElement.scrollWidth"),
        drawn=page.evaluate("document.documentElement.dataset.charts"),
        charts=page.locator(".chart g.subplot").count(),
        requests=requests,
        complaints=complaints,
        tiles=page.locator(".tile").all_inner_texts(),
    )


def overlapping(texts: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Pairs of lines whose boxes share more than a hair, found by sweeping down the page."""
    lines = sorted(texts, key=lambda line: line["y"])
    found, active = [], []
    for line in lines:
        active = [other for other in active if other["y"] + other["height"] - 2 > line["y"]]
        found += [(other["text"], line["text"]) for other in active if _meet(other, line)]
        active.append(line)
    return found


def _meet(one: dict[str, float], other: dict[str, float]) -> bool:
    wide = min(one["x"] + one["width"], other["x"] + other["width"]) - max(one["x"], other["x"])
    high = min(one["y"] + one["height"], other["y"] + other["height"]) - max(one["y"], other["y"])
    # Boxes of neighbouring lines touch by their leading; half a letter's height is an overlap of ink.
    return wide > 1 and high > 0.3 * min(one["height"], other["height"])


def luminance(color: str) -> float:
    """Relative luminance of an ``rgb(...)`` colour."""
    parts = [float(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, from 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_overlap_check_tells_meeting_from_separate_lines() -> None:
    line = {"text": "a", "x": 0.0, "y": 0.0, "width": 50.0, "height": 16.0}
    assert overlapping([line, {**line, "x": 40.0, "text": "b"}]) == [("a", "b")]
    assert overlapping([line, {**line, "y": 8.0, "text": "b"}]) == [("a", "b")]
    assert overlapping([line, {**line, "x": 50.0}, {**line, "y": 16.0}]) == []


def test_contrast_check_knows_black_white_and_grey() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SAMPLES)
def test_page_is_readable(look, name: str, width: int) -> None:
    seen = look(name, width)
    assert seen.drawn == "drawn"
    assert seen.complaints == []
    assert [address for address in seen.requests if not address.startswith(("file:", "blob:", "data:"))] == []
    assert len([address for address in seen.requests if address.startswith("file:")]) == 1
    assert seen.scroll_width <= width
    assert len(seen.texts) > 50
    assert overlapping(seen.texts) == []
    assert [line["text"] for line in seen.texts if line["outside"] > 0.5] == []
    words = set(seen.words.replace("\n", " ").split())
    assert words & {"nan", "NaN", "None", "NaT", "inf", "undefined", "null", "[object"} == set()


@pytest.mark.parametrize(("name", "charts"), [("calm", 5), ("empty", 0), ("missing", 0)])
def test_charts_are_drawn_where_there_is_something_to_draw(look, name: str, charts: int) -> None:
    seen = look(name, 1280)
    assert seen.charts == charts  # the history has two panels
    labels = {line["text"] for line in seen.texts if line["inChart"]}
    assert {"Change of NAV", "Core index RV", "EUR"} <= labels or charts == 0


@pytest.mark.parametrize("name", SAMPLES)
def test_every_tile_of_a_figure_has_a_unit_or_says_why_not(look, name: str) -> None:
    units = ("USD", "× targets", "UTC", "NORMAL", "CRISIS", "PASS", "HALT", "EMERGENCY", "UNKNOWN", "not yet", "no earlier", "not scheduled")  # fmt: skip
    tiles = look(name, 1280).tiles
    assert len(tiles) == 10
    assert [tile for tile in tiles if not any(unit in tile for unit in units)] == []


# Every number in a tile or a table cell, with the words that may carry its unit: its own, its column's, its caption's.
FIGURES = """() => {
  const said = element => element ? element.textContent : "";
  const cells = [...document.querySelectorAll("td")].map(cell => {
    const table = cell.closest("table");
    return { text: cell.textContent, head: cell.dataset.label || "", row: said(cell.parentElement.querySelector("th")),
             caption: said(table.querySelector("caption")) };
  });
  const tiles = [...document.querySelectorAll(".tile .value, .tile .under")].map(part =>
    ({ text: part.textContent, head: said(part.parentElement.querySelector("dt")), row: "", caption: "" }));
  return [...cells, ...tiles].filter(cell => /^[\\s+\u2212-]*[\\d,.]+/.test(cell.text));
}"""
IDENTITIES = ("Execution", "Order reference", "Job")
UNIT = re.compile(
    r"USD|EUR|GBP|GBX|CHF|own currency|%|bps|shares|contracts|points|×|UTC|quote units|number|sessions|hours|"
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "hostile"])  # its units are hostile too
def test_every_figure_has_its_unit_in_its_cell_its_heading_or_its_caption(
    browser: Browser, tmp_path: Path, name: str, width: int
) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_page(SAMPLES[name]()), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    figures = page.evaluate(FIGURES)
    page.close()
    assert len(figures) > 10 or name in ("missing",)
    figures = [cell for cell in figures if cell["head"] not in IDENTITIES]
    bare = [cell for cell in figures if not UNIT.search(f"{cell['text']} {cell['head']} {cell['caption']}")]
    assert bare == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["calm", "crisis"])
def test_every_text_stands_out_from_what_is_behind_it(look, name: str, scheme: str) -> None:
    seen = look(name, 1280, scheme)
    faint = {
        (line["text"], line["color"], line["behind"])
        for line in seen.texts
        if contrast(line["color"], line["behind"]) < 4.5
    }
    assert faint == set()
    page_is_dark = luminance(seen.texts[0]["behind"]) < 0.2
    assert page_is_dark is (scheme == "dark")


def test_printed_page_keeps_every_section(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(render_page(SAMPLES["crisis"]()), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-charts]", state="attached")
    printed = page.pdf()
    opened = page.evaluate("[...document.querySelectorAll('details')].every(part => part.open)")
    context.close()
    assert printed.startswith(b"%PDF")
    assert opened
