"""Pictures of the report for docs/pictures: ``python -m tests.report_pictures [--folder DIR] [PAGE.html ...]``.

Without pages, the sample days are drawn. Each picture shows the page from its top, on a desk and on a telephone.
"""

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tasks.adapters.report_page import render_page
from tests.factories_report import SAMPLES
from tests.shared_data import REPOSITORY, browser_path

SIZES = {1280: 2100, 390: 2800}
KINDS = {"calm": "light", "crisis": "dark", "halted": "light", "empty": "light", "long": "light"}
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")  # fmt: skip


def draw(browser: Browser, page_file: Path, scheme: str, folder: Path) -> list[Path]:
    """Write one picture of a page per width; the bottom is cut, nothing else."""
    written = []
    for width, height in SIZES.items():
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-charts]", state="attached")
        high = min(height, page.evaluate("document.documentElement.scrollHeight"))
        path = folder / f"report-{page_file.stem}-{width}.png"
        page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": high})
        context.close()
        written.append(path)
    return written


def main() -> None:
    """Draw the given pages, or the samples."""
    parser = argparse.ArgumentParser(description="pictures of the report")
    parser.add_argument("pages", nargs="*", type=Path)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "docs" / "pictures")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        pages = {path.resolve(): "light" for path in given.pages}
        for kind, scheme in () if pages else KINDS.items():
            path = Path(scratch) / f"{kind}.html"
            path.write_text(render_page(SAMPLES[kind]()), encoding="utf-8")
            pages[path] = scheme
        browser = playwright.chromium.launch(executable_path=str(browser_path()), args=list(FLAGS))
        for path, scheme in pages.items():
            for picture in draw(browser, path, scheme, given.folder):
                print(f"{picture.name}: {picture.stat().st_size // 1000} kB")
        browser.close()


if __name__ == "__main__":
    main()
