"""The day on the terminal: within 100 columns, readable without colour, live only where a person looks."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from flows.commands.terminal import DayProgress, print_day_line, print_report
from tests.factories_report import SAMPLES, calm_day, halted_day


def printed(name: str, width: int = 100) -> str:
    file = io.StringIO()
    print_report(SAMPLES[name](), Console(file=file, width=width), "var/reports/day.html")
    return file.getvalue()


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("width", [100, 160])
def test_report_fits_a_hundred_columns(name: str, width: int) -> None:
    assert max(len(line.rstrip()) for line in printed(name, width).splitlines()) <= 100


@pytest.mark.parametrize("name", SAMPLES)
def test_report_says_what_is_missing_in_words(name: str) -> None:
    words = printed(name).split()
    assert [word for word in words if word.strip(".,;") in {"nan", "None", "NaT", "inf"}] == []


def test_report_in_a_file_is_as_wide_as_on_a_desk() -> None:
    assert printed("calm", 80) == printed("calm", 100)


def test_report_tells_summary_trades_and_reasons_without_colour() -> None:
    text = printed("calm")
    assert "\x1b[" not in text
    for fact in (
        "10,012,345.67 USD",
        "+12,345.67 USD",
        "Generated market, seed 1",
        "Next run: Monday 23 November 2026",
    ):
        assert fact in text.replace("\u00a0", " ")
    assert "below the required 9.51 USD" in text
    assert "var/reports/day.html" in text


def test_report_tells_what_stood_on_one_leg_beside_its_executions() -> None:
    [line] = [line for line in printed("calm").splitlines() if "Legs without the others" in line]
    assert line.split("others")[1].replace("\u00a0", " ").strip() == "30,354,522 USD × s"


def test_halted_report_prints_the_exact_lines_that_clear_it() -> None:
    text = printed("halted")
    assert './fund resolve H-2026-11-20-7f3a91 --choice adopt-broker --reason "why"' in text
    assert "bought 500 at 231.40 USD" in text.replace("\n  ", " ")


def test_words_from_outside_are_not_console_markup() -> None:
    file = io.StringIO()
    report = replace(calm_day(), notes=("[bold]not a style[/bold] and [/] no end",))
    print_report(report, Console(file=file, width=100))
    assert "[bold]not a style[/bold] and [/] no end" in file.getvalue()


def test_long_book_shows_the_largest_and_counts_the_rest() -> None:
    text = printed("long")
    assert "and 370 more positions with less exposure, on the page" in text
    assert "and 270 more trades, on the page" in text


@pytest.mark.parametrize("name", SAMPLES)
def test_day_line_is_one_line(name: str) -> None:
    file = io.StringIO()
    print_day_line(SAMPLES[name](), Console(file=file, width=100))
    assert file.getvalue().count("\n") == 1
    assert SAMPLES[name]().status in file.getvalue()


def ticking() -> float:
    ticking.now += 0.5
    return ticking.now


ticking.now = 0.0


def progress_text(*, silent: bool = False, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=terminal, color_system=None)
    with DayProgress(console, silent=silent, clock=ticking) as progress:
        progress.title("Friday 20 November 2026")
        with progress.step("nav") as line:
            line.fact = "NAV 10,000,000.00 USD"
        with progress.step("reconcile") as line:
            line.state, line.fact = "HALT", "XLK differs by 500 shares"
        with pytest.raises(RuntimeError, match="no route"), progress.step("own_step"):
            raise RuntimeError("no route")
    return file.getvalue()


def test_progress_in_a_file_is_plain_lines() -> None:
    assert progress_text().splitlines() == [
        "Friday 20 November 2026",
        "  done    Value the fund                 0.50 s  NAV 10,000,000.00 USD",
        "  HALT    Compare with the broker        0.50 s  XLK differs by 500 shares",
        "  failed  Own step                       0.50 s",
    ]


def test_progress_for_json_says_nothing() -> None:
    assert progress_text(silent=True) == ""
    assert progress_text(silent=True, terminal=True) == ""


def test_progress_on_a_terminal_shows_the_running_step_and_leaves_the_cursor_visible() -> None:
    text = progress_text(terminal=True)
    assert "Value the fund …" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_halted_day_line_names_its_state() -> None:
    file = io.StringIO()
    print_day_line(halted_day(), Console(file=file, width=100))
    assert "not judged" in file.getvalue()
