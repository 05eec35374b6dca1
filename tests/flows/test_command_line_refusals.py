"""Bad input gets one paragraph, its exit status, and leaves nothing behind (architecture 8)."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from engine import errors
from engine.model.context import Mode, RunKey, RunKind
from engine.simulation.faults import SCENARIOS
from flows.commands import trading
from state.database import REVISIONS, open_database
from state.processes import this_process
from state.runs import RunStore
from tests.flows.command_line import (
    ACCOUNT,
    FIRST,
    PLAIN,
    SECOND,
    CommandLine,
    assert_one_paragraph,
    results,
)
from tests.real_data.build import build_store
from tests.real_data.source_folder import WEEK, write_futures, write_london_share
from tests.shared_data import REPOSITORY


def day_after(days: int) -> str:
    """Date so many days from the computer's today."""
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


# ---------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--date", day_after(30)], ["--date up to today", day_after(30), "in the future", "earlier date"]),
        (["--date", FIRST, "--to", day_after(9)], ["--to up to today", "in the future"]),
        (["--date", "2024-03-09"], ["Saturday 2024-03-09", "nearest are 2024-03-08 and 2024-03-11"]),
        (["--date", "2024-12-25"], ["2024-12-25", "nearest are 2024-12-24 and 2024-12-26"]),
        (["--date", "2024-13-01"], ["--date as a date YYYY-MM-DD", "'2024-13-01'"]),
        (["--date", "20240312"], ["--date as a date YYYY-MM-DD", "'20240312'"]),
        (["--date", FIRST, "--to", "tomorrow"], ["--to as a date YYYY-MM-DD", "'tomorrow'"]),
        (["--date", "2018-12-31"], ["from 2019-01-01", "found 2018-12-31", "--store"]),
        (["--date", "1980-01-02"], ["from 2019-01-01", "found 1980-01-02"]),
        (["--date", FIRST, "--to", "2024-03-11"], ["--to at or after 2024-03-12", "found 2024-03-11"]),
        (["--date", FIRST, "--days", "2", "--to", SECOND], ["--days or --to, found both"]),
        (["--date", FIRST, "--days", "1", "--to", SECOND], ["--days or --to, found both"]),
        (["--date", day_after(-9), "--days", "40"], ["expected 40 trading days", "take fewer days"]),
    ],
)
def test_impossible_date_is_refused(fund: CommandLine, arguments: list[str], told: list[str]) -> None:
    paragraph = fund.refuse("run", *arguments, PLAIN)

    assert [words for words in told if words not in paragraph] == []


def test_refused_date_leaves_a_home_that_runs_other_dates(fund: CommandLine) -> None:
    fund.refuse("run", "--date", "2018-12-31", PLAIN)

    assert fund("run", "--date", FIRST, PLAIN).status == 0


def test_date_before_the_account_s_time_is_refused(after_a_day: CommandLine) -> None:
    paragraph = after_a_day.refuse("run", "--date", "2024-03-11", PLAIN)

    assert "SIM-fund-1 has lived until 2024-03-12 22:30 UTC" in paragraph
    assert "found 2024-03-11" in paragraph
    assert "`fund simulated reset`" in paragraph
    assert "another FUND_HOME" in paragraph


# ---------------------------------------------------------------- profile, mode, settings, faults


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--profile", "fnd"], ['found "fnd"', 'did you mean "fund"?']),
        (["--profile", "history"], ["expected --store for the profile history"]),
        (["--mode", "dry-run"], ["FUND_IB_ACCOUNT for mode dry-run, found none", "nothing was opened"]),
        (["--profile", "history", "--mode", "dry-run"], ["the profile's mode 'simulated'", "'dry-run'"]),
        (["--mode", "fast"], ["--mode simulated, dry-run, paper, live, backtest", "'fast'"]),
        (["--profile", "history", "--mode", "live"], ["agree with the profile's mode", "'live'"]),
        (["--mode", "paper"], ["FUND_IB_ACCOUNT for mode paper, found none", "nothing was opened"]),
        (["--mode", "live"], ["FUND_IB_ACCOUNT for mode live, found none"]),
        (["--profile", "paper"], ["FUND_IB_ACCOUNT for mode paper, found none"]),
        (["--set", "sleeves.core_index_rv=35"], ["between 0 and 1, found 35", "did you mean 0.35?"]),
        (["--set", "sleeves.core_index=0.35"], ['"sleeves.core_index"', 'did you mean "core_index_rv"?']),
        (["--set", "vol_target_anual=0.1"], ['did you mean "vol_target_annual"?']),
        (["--set", "vol_target_annual"], ["--set KEY=VALUE", "vol_target_annual"]),
        (["--set", "fx.contracts.EUR.full=6EX"], ['"6EX"', 'did you mean "6E"?']),
        (["--report", "alll"], ["--report last, all, none", "'alll'"]),
        (["--fault", "missed-fil"], ["expected a fault among", *sorted(SCENARIOS), "'missed-fil'"]),
        (["--profile", "paper", "--fault", "nlv-drift"], ["--fault in simulated mode only", "'paper'"]),
        (["--profile", "live", "--fault", "nlv-drift"], ["--fault in simulated mode only", "'live'"]),
        (["--json", "no/such/folder/day.json"], ["--json to name a file", "no/such/folder/day.json"]),
    ],
)
def test_impossible_option_is_refused(fund: CommandLine, arguments: list[str], told: list[str]) -> None:
    paragraph = fund.refuse("run", "--date", FIRST, PLAIN, *arguments)

    assert [words for words in told if words not in paragraph] == []


def test_unknown_instrument_is_refused_by_the_check_of_the_configuration(fund: CommandLine) -> None:
    paragraph = fund.refuse("config", "check", "--profile", "fund", "--set", "fx.contracts.GBP.full=6BX")

    assert '"6BX"; did you mean "6B"?' in paragraph


# ---------------------------------------------------------------- the store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store of one London share, 6 to 10 March 2023."""
    source = tmp_path / "source"
    source.mkdir()
    write_london_share(source, "AAL.L", [400.0, 404.0, 404.0, 505.0, 500.0])
    build_store(source, tmp_path / "store")
    return tmp_path / "store"


def on_store(store: Path, day: str) -> list[str]:
    return ["run", "--profile", "history", "--store", str(store), "--date", day, PLAIN]


def test_missing_store_is_refused(fund: CommandLine, tmp_path: Path) -> None:
    paragraph = fund.refuse(*on_store(tmp_path / "nowhere", "2023-03-08"))

    assert f"expected a market data store at {tmp_path / 'nowhere'}, found no folder there" in paragraph


def test_half_written_store_is_refused(fund: CommandLine, store: Path) -> None:
    (store / "store.yaml").unlink()

    assert "only half written" in fund.refuse(*on_store(store, "2023-03-08"))


def test_store_with_altered_statements_is_refused(fund: CommandLine, store: Path) -> None:
    index = store / "store.yaml"
    index.write_text(index.read_text().replace("total_return: true", "total_return: false", 1))

    assert "found them altered; build the store again" in fund.refuse(*on_store(store, "2023-03-08"))


def test_store_with_a_broken_checksum_is_refused(fund: CommandLine, store: Path) -> None:
    line = store / "daily" / "AAL.L.parquet"
    line.write_bytes(line.read_bytes()[:-1] + b"X")

    paragraph = fund.refuse(*on_store(store, "2023-03-08"))

    assert "expected the checksum" in paragraph
    assert "daily/AAL.L.parquet" in paragraph


@pytest.mark.parametrize("day", ["2023-03-03", "2023-03-13"])
def test_date_that_the_store_does_not_cover_is_refused(fund: CommandLine, store: Path, day: str) -> None:
    paragraph = fund.refuse(*on_store(store, day))

    assert "from 2023-03-07 to 2023-03-10" in paragraph  # the day after the first price
    assert f"found {day}" in paragraph


def test_more_days_than_the_store_covers_are_refused(fund: CommandLine, store: Path) -> None:
    paragraph = fund.refuse(*on_store(store, "2023-03-08"), "--days", "9")

    assert "expected 9 trading days from 2023-03-08, found 3 up to 2023-03-10" in paragraph


def test_date_after_the_futures_of_a_store_is_refused_although_its_shares_go_on(
    fund: CommandLine, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    write_london_share(source, "AAL.L", [400.0, 404.0, 404.0, 505.0, 500.0])
    write_futures(source, "EUROSTX", [4000.0, 4010.0, 4020.0], dates=WEEK[:3])
    build_store(source, tmp_path / "store")

    paragraph = fund.refuse(*on_store(tmp_path / "store", WEEK[3]))

    assert f"to {WEEK[2]}, the dates that this market covers, found {WEEK[3]}" in paragraph


# ---------------------------------------------------------------- the book


def test_database_of_a_newer_schema_is_refused(after_a_day: CommandLine) -> None:
    database = open_database(None, after_a_day.home)
    with database.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()

    for command in (["run", "--date", SECOND, PLAIN], ["resume", PLAIN], ["status"], ["db", "upgrade"]):
        paragraph = after_a_day.refuse(*command)
        assert f"up to version {REVISIONS[-1]}, found version 9999" in paragraph
        assert "update the program" in paragraph


def test_second_run_while_one_runs_is_refused(after_a_day: CommandLine) -> None:
    database = open_database(None, after_a_day.home)
    key = RunKey(
        account=ACCOUNT, mode=Mode.SIMULATED, trade_date=date.fromisoformat(SECOND), kind=RunKind.DECISION
    )
    held = RunStore(database, this_process()).claim(key, datetime.now(UTC), "code", "configuration")
    database.close()

    paragraph = after_a_day.refuse("run", "--date", SECOND, PLAIN, status=5)

    assert f"expected {held.run_id} to be free, found it held by another run" in paragraph
    assert "wait until that run has ended" in paragraph


def test_run_of_a_dead_process_is_taken_over(after_a_day: CommandLine) -> None:
    database = open_database(None, after_a_day.home)
    key = RunKey(
        account=ACCOUNT, mode=Mode.SIMULATED, trade_date=date.fromisoformat(SECOND), kind=RunKind.DECISION
    )
    yesterday = datetime.now(UTC) - timedelta(days=1)
    RunStore(database, this_process()).claim(key, yesterday, "code", "configuration")
    database.close()

    assert after_a_day("run", "--date", SECOND, PLAIN).status == 0


def test_resume_without_any_run_is_refused(fund: CommandLine) -> None:
    answer = fund("resume", PLAIN)

    assert answer.status == 5
    assert_one_paragraph(answer.err)
    assert "start one with ./fund run" in answer.paragraph


def test_replay_of_an_unknown_run_names_the_latest(after_a_day: CommandLine) -> None:
    paragraph = after_a_day.refuse("replay", "2024-03-12-decision-00000000")

    assert "found '2024-03-12-decision-00000000'" in paragraph
    assert "2024-03-12-decision-" in paragraph.partition("latest are")[2]


# ---------------------------------------------------------------- the words of the command line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["runn"], "did you mean run?"),
        (["zzz"], "./fund --help lists the commands"),
        (["run", "--dat", FIRST], "--date"),
        (["run", "--bogus"], "No such option: --bogus"),
        (["run", "extra"], "Got unexpected extra argument(s) (extra)"),
        (["run", "--days", "0"], "greater than or equal to 1"),
        (["run", "--days", "three"], "'--days'"),
        (["run", "--seed", "-1"], "'--seed'"),
        (["run", "--date"], "--date"),
        (["replay"], "run_id"),
        (["config", "chekc"], "'check'"),
        (["bench", "dayy"], "expected a benchmark among"),
    ],
)
def test_misspelt_command_line_is_refused(fund: CommandLine, arguments: list[str], told: str) -> None:
    paragraph = fund.refuse(*arguments)

    assert told in paragraph


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["status"], 5, "found none yet; start one with ./fund run"),
        (["report"], 5, "found none yet; start one with ./fund run"),
        (["halt", "--reason", "a test"], 5, "found none yet; start one with ./fund run"),
        (["kill", "--reason", "a test"], 5, "found none yet; start one with ./fund run"),
        (["resolve", "H1", "--choice", "retry", "--reason", "a test", "--yes"], 5, "found none yet"),
        (["resume", PLAIN], 5, "found none yet; start one with ./fund run"),
        (["resume"], 5, "found none yet; start one with ./fund run"),
        (["replay", "2024-03-12:decision"], 5, "found none yet; start one with ./fund run"),
        (["db", "verify"], 5, "found none yet; start one with ./fund run"),
        (
            ["resolve", "H1", "--choice", "retri", "--reason", "a test"],
            2,
            "'retri' is not one of 'adopt-broker'",
        ),
        (["resolve", "H1", "--choice", "retry"], 2, "Missing option '--reason'"),
        (["report", "--date", "12.3.2024"], 2, "--date as a date YYYY-MM-DD"),
        (["simulated", "reset", "--yes"], 2, "there are none"),
    ],
)
def test_operator_s_command_in_an_empty_home_is_refused(
    fund: CommandLine, arguments: list[str], status: int, told: str
) -> None:
    assert told in fund.refuse(*arguments, status=status)
    assert list(fund.home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "--account", "SIM-fund-2"], "expected an account among SIM-fund-1, found 'SIM-fund-2'"),
        (["resolve", "H1", "--choice", "retry", "--reason", "a test", "--yes"], "open are none"),
        (["report", "--date", "2024-03-11"], "2024-03-11"),
        (["simulated", "reset", "--account", "SIM-fund-2", "--yes"], "there are SIM-fund-1"),
        (["simulated", "reset"], "nobody to ask; nothing changed"),
    ],
)
def test_operator_s_command_about_what_is_not_there_is_refused(
    after_a_day: CommandLine, arguments: list[str], told: str
) -> None:
    assert told in after_a_day.refuse(*arguments)


def test_group_without_a_command_shows_its_help(fund: CommandLine) -> None:
    answer = fund("config")

    assert answer.status == 2
    assert "check" in answer.out
    assert answer.err == ""


def test_error_is_json_where_json_was_asked_for(fund: CommandLine) -> None:
    answer = fund("run", "--date", "2024-03-09", PLAIN, "--json", "-")

    told = json.loads(answer.out)
    assert (answer.status, told["exit_status"], told["error"]) == (2, 2, "ConfigurationError")
    assert answer.paragraph == f"fund: {told['message']}"


def test_error_with_a_result_file_is_told_on_stderr_only(fund: CommandLine, tmp_path: Path) -> None:
    wanted = tmp_path / "day.json"

    answer = fund("run", "--date", "2024-03-09", PLAIN, "--json", str(wanted))

    assert (answer.status, answer.out) == (2, "")
    assert_one_paragraph(answer.err)
    assert not wanted.exists()


# ---------------------------------------------------------------- what no one foresaw


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.FundError, 1),
        (errors.ConfigurationError, 2),
        (errors.DataError, 1),
        (errors.MissingMark, 1),
        (errors.MissingQuote, 1),
        (errors.StaleQuote, 1),
        (errors.NonFiniteValue, 1),
        (errors.UnknownContract, 1),
        (errors.StoreError, 2),
        (errors.BrokerError, 1),
        (errors.BrokerUnavailable, 1),
        (errors.BrokerRejected, 1),
        (errors.RefusedError, 5),
        (errors.InvariantError, 1),
        (errors.IllegalTransition, 1),
    ],
)
def test_each_failure_of_the_fund_has_its_exit_status(
    fund: CommandLine, monkeypatch: pytest.MonkeyPatch, error: type[errors.FundError], status: int
) -> None:
    sentence = "expected a world that works, found one that does not; mend it and run again"
    raise_from_run(monkeypatch, error(sentence))

    assert fund.refuse("run", "--date", FIRST, status=status) == f"fund: {sentence}"


@pytest.mark.parametrize(("emergency", "status"), [(False, 3), (True, 4)])
def test_halt_has_its_exit_status(
    fund: CommandLine, monkeypatch: pytest.MonkeyPatch, emergency: bool, status: int
) -> None:
    sentence = "the broker holds 30,000 USD less than the book; look at the evidence"
    raise_from_run(monkeypatch, errors.HaltError("cash-break", sentence, emergency=emergency))

    assert fund.refuse("run", "--date", FIRST, status=status) == f"fund: {sentence}"


def test_unforeseen_error_is_one_paragraph_and_its_traceback_is_asked_for(
    fund: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_from_run(monkeypatch, ZeroDivisionError("division\n\nby zero"))

    quiet, loud = fund("run", "--date", FIRST), fund("run", "--date", FIRST, "--debug")

    assert (quiet.status, loud.status) == (1, 1)
    assert quiet.paragraph == (
        "fund: unexpected ZeroDivisionError: division by zero; run again with --debug to see where"
    )
    assert "Traceback" in loud.err


def test_keyboard_stops_with_a_word_on_how_to_go_on(
    fund: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_from_run(monkeypatch, KeyboardInterrupt())

    answer = fund("run", "--date", FIRST)

    assert answer.status == 1
    assert answer.err == "fund: stopped by the keyboard; ./fund resume goes on from here\n"


def raise_from_run(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let `fund run` fail with this error once its options are read."""

    def fail(_text: str | None, _option: str) -> None:
        raise error

    monkeypatch.setattr(trading, "parse_day", fail)


def test_error_inside_a_day_frees_its_run_for_the_next_attempt(
    after_a_day: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tasks.runtime.World.inputs", _no_market)
        failed = after_a_day("run", "--date", SECOND, PLAIN)
    again = after_a_day("run", "--date", SECOND, PLAIN)

    assert failed.status == 1
    assert "the market's file is gone" in failed.paragraph
    assert again.status == 0, again


def _no_market(*_arguments: object) -> None:
    raise OSError("the market's file is gone")


# ---------------------------------------------------------------- as a program


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--date", day_after(30)], "in the future"),
        (["run", "--date", FIRST, PLAIN, "--set", "sleeves.core_index_rv=35"], "did you mean 0.35?"),
        (["run", "--bogus"], "No such option"),
    ],
)
def test_program_ends_with_the_same_words_and_status(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "flows.commands", *arguments],
        env={**os.environ, "FUND_HOME": str(tmp_path)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert_one_paragraph(done.stderr)
    assert told in " ".join(done.stderr.split())
    assert results(tmp_path) == {}
