"""Writes docs/reliability.md: what is promised, what it rests on, and what was measured, from the recorded results.

``python -m tests.simulation.reliability`` after a campaign, or after a change of promises, faults or invariants.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.simulation.order_days.canaries import CANARIES
from tests.simulation.order_days.drawing import Fault
from tests.simulation.order_days.judging import CALM_TURNS

DOCS = Path(__file__).resolve().parents[2] / "docs"
CAMPAIGN, REAL_KILLS, PAGE = DOCS / "campaign.json", DOCS / "real-kills.json", DOCS / "reliability.md"

Document = Mapping[str, Any]

PROMISES = (
    "An order is written to the broker at most once. Its reference follows from the decision, the claim of it is compared and set in one transaction that commits before the write, and nothing is ever written again under a reference that was claimed.",
    "No execution is lost: each is booked once, with its postings, by its id; corrections replace what they correct. What the process did not hear it reads again when it starts, before each window and in the evening.",
    "What can not be known stays UNKNOWN: its quantity stays reserved, its contract is blocked and somebody is told.",
    "After a HALT only cancels leave.",
    "A run that was taken over sends nothing more; a restored database halts before it sends, and until a person has taken the broker's statement in; what works and it has lost is taken back.",
)

ASSUMPTIONS = (
    "The broker does not make two orders of one write, and its word that an order is cancelled, expired or rejected is its last; an execution after it is booked and told, and stops the parent when it is more than was ordered.",
    "The broker lists open and completed orders and executions of its day under our reference once it has taken an order. How long that may take is bounded by the quiet time of the proof of absence: an order that becomes visible later than that was wrongly proved absent. Over its midnight only a statement proves.",
    "A second session under our client id is refused by the broker, so a line that we hold is the only one.",
    "The database keeps what it committed, and commits in one order. A copy that lost a claim of a run or a change of control is noticed by the marks in FUND_HOME, which are kept outside the database and must not be restored with it; orders that a copy of the middle of a run lost after its claim are noticed by what the broker shows. Where FUND_HOME is brought back together with the database, or the run goes on from another machine, only what the broker shows is left: then whoever restores runs `./fund halt` before anything else.",
    "Clocks may step by minutes in both directions; deadlines stand still while a clock that stepped back catches up.",
)

INVARIANTS = (
    ("I1", "at most one acceptance of a reference at the broker", "judging._accepted_once reads the broker's own orders"),
    ("I2", "what traded and may trade of a parent is within its quantity", "judging._within_the_parent reads executions and open orders of the broker"),
    ("I3", "no limit outside the collar of its parent, whose anchor is a good quote; no order beyond the limits on new risk", "judging._inside_the_collar; count, size and turnover: judging._within_the_limits adds up the orders of the broker"),
    ("I4", "cash of each currency to the micro-unit", "judging._same_cash compares the ledger with the broker's balances"),
    ("I5", "positions as at the broker", "judging._same_positions in the evening, comparing.compare before every window"),
    ("I6", "no leg stays alone without an alarm", "tests/engine/execution/test_spreads.py, test_legging.py; a spread's parents count in I2; judging._lone_legs_are_told on days that roll by legs"),
    ("I7", "nothing but cancels leaves after a HALT", "judging._nothing_after_the_halt by the broker's order numbers"),
    ("I8", "live code reads no research price", "import contracts; tests/architecture"),
    ("I9", "no secret in logs, database or artifacts", "tests/architecture, tests/tasks: planted secrets"),
    ("I10", "a job has its effect once", "judging._ends by the job table, I1 and I2 by the broker's"),
    ("I11", "every execution id booked once, in its last version", "judging._booked_once compares the broker's list with the fills"),
    ("I12", "every doubt is told, and everybody else's order or trade in the account", "judging._doubt_is_told, judging._strangers_are_told"),
    ("A15 A16", "nothing leaves from the moment in which somebody else's order or trade was shown, until a person settled it", "judging._nothing_after_a_stranger by the broker's order numbers"),
    ("A28", "no order for an auction leaves after its cut-off", "judging._auctions_in_time by the broker's clock"),
    ("B7", "nothing leaves once the process was asked to end, and neither it nor a run that stops leaves what it could have taken back", "judging._nothing_after_the_end_was_asked_for, judging._nothing_left_alone"),
    ("I13", f"with the faults gone the day is over within {CALM_TURNS} turns of the loop", "judging._ends"),
    ("I13", "also while faults strike, no process waits longer than an hour after its begin and the end of the day's last job", "judging._every_process_ends"),
    ("I14", "the same seed gives the same events", "tests/simulation/order_days/digests.json, compared in every run on whatever Python runs it"),
)  # fmt: skip

CATALOGUE = (
    ("A1 A2 A12 A13", "SEND_LOST, SEND_UNKNOWN, SEND_SILENT, CANCEL_LOST, DISCONNECT, DEATH after a send"),
    ("A3", "IDS_REISSUED"),
    ("A4", "MESSAGE_LOST, LINE_DOWN, DISCONNECT"),
    ("A6 A17", "FALSE_CANCEL with the codes 10349, 161, 202 and 404"),
    ("A7", "LATE_FILL, MESSAGE_SWAPPED, MESSAGE_LATE"),
    ("A8", "QUERY_FAILS, QUERY_EMPTY, QUERY_LAGS"),
    ("A9 A10", "MESSAGE_LATE, MESSAGE_SWAPPED, MESSAGE_TWICE"),
    ("A11", "CORRECTION, BUST"),
    ("A14", "SESSION_TAKEN"),
    ("A15 A16", "FOREIGN_ORDER, FOREIGN_TRADE"),
    ("A18", "REJECT, REJECT_LATE, LEG_REFUSED"),
    ("A20", "COMMISSION_LATE"),
    ("A26", "HALF_OPEN"),
    ("A28 E7", "AUCTION_UNHEARD, AUCTION_MOVED, CUTOFF_DEATH, LATE_START on days with orders for auctions"),
    ("B1", "DEATH; every effect singly and in ordered pairs"),
    ("B2 B4 B5 C2", "SECOND_WRITER; with real processes in docs/real-kills.json and tests/scenarios"),
    ("B6 C3 C4", "STATEMENT at any single statement"),
    ("B7", "TERMINATE; a day of thirty orders asked to end at every effect"),
    ("C1", "COMMIT_LOST, COMMIT_UNKNOWN"),
    ("C5 C6", "RESTORE of the morning or of the last attempt"),
    ("D1 D4 D7", "QUOTE_STALE, QUOTE_DELAYED, QUOTE_NAN, QUOTE_NEGATIVE, QUOTE_ZERO, QUOTE_CROSSED, QUOTE_ONE_SIDED, QUOTE_WIDE, QUOTE_MISSING"),
    ("E2", "CLOCK_STEP, CLOCK_BACK"),
    ("E4", "MIDNIGHT"),
    ("F1", "HALT, REDUCING"),
)  # fmt: skip


def page(campaign: Document | None, kills: Document | None) -> str:
    """The page as text."""
    return "\n".join(_lines(campaign, kills)) + "\n"


def _lines(campaign: Document | None, kills: Document | None) -> Iterator[str]:
    yield "# Reliability of order execution"
    yield ""
    yield "Generated by `python -m tests.simulation.reliability` from `docs/campaign.json` and `docs/real-kills.json`."
    yield from ("", "## What is promised", "")
    yield from (f"- {text}" for text in PROMISES)
    yield from ("", "## What it rests on", "")
    yield from (f"- {text}" for text in ASSUMPTIONS)
    yield from ("", "## What was measured", "")
    yield from _campaign(campaign)
    yield from _real_kills(kills)
    yield from ("", "## Who judges what", "", "| | invariant | judge |", "|---|---|---|")
    yield from (f"| {name} | {text} | {judge} |" for name, text, judge in INVARIANTS)
    yield from ("", "## Faults", "", "| fault | what it does | struck |", "|---|---|---|")
    fired = {} if campaign is None else campaign["seeds"]["faults_fired"]
    yield from (f"| {fault.name} | {fault.value} | {_count(fired.get(fault.name))} |" for fault in Fault)
    yield from ("", "| of the catalogue | is drawn as |", "|---|---|")
    yield from (f"| {entries} | {text} |" for entries, text in CATALOGUE)
    yield ""
    yield f"{len(CANARIES)} bugs put in on purpose, each caught (tests/simulation/test_order_days.py):"
    yield ", ".join(canary.name for canary in CANARIES) + "."


def _count(number: int | None) -> str:
    return "not recorded" if number is None else f"{number:,}"


def _campaign(found: Document | None) -> Iterator[str]:
    if found is None:
        yield "The whole campaign (`./fund simulate --campaign`) has no recorded result."
        return
    seeds, size = found["seeds"], found["seeds"]["size"]
    days = seeds["days"]
    yield f"Commit {found['commit'][:12]}, sources {found['sources'][:12]}, Python {found['python']}, {found['machine']}."
    yield ""
    yield f"- **{days:,} faulted days**: {seeds['violations']} violations; digest of all events {seeds['log_digest'][:16]}."
    yield f"- A day has {size['orders'] / days:.1f} orders, {size['messages'] / days:.1f} messages, {size['transactions'] / days:.1f} write transactions, {size['statements'] / days:.0f} statements and {sum(seeds['faults_fired'].values()) / days:.1f} faults; {days / seeds['cpu_seconds']:.1f} days a second and core."
    yield f"- Faults that never struck: {', '.join(seeds['faults_never_fired']) or 'none'}. Arrows of the child's table that no day took: {', '.join(seeds['transitions_unvisited']) or 'none'}."
    if since := [fault.name for fault in Fault if fault.name not in seeds["faults_fired"]]:
        yield f"- Faults that came after this commit, which this run did not draw: {', '.join(since)}."
    yield ""
    yield "| day of thirty orders, killed | singly | in ordered pairs | of them in a state met before | violations |"
    yield "|---|---|---|---|---|"
    for name, one in found["kills"].items():
        yield f"| {name} | {one['singles']:,} | {one['pairs']:,} | {one['equal']:,} | {one['violations']} |"


def _real_kills(found: Document | None) -> Iterator[str]:
    yield ""
    if found is None:
        yield "Kills of real processes have no recorded result."
        return
    counts = ", ".join(f"{number} on {name}" for name, number in found["kills"].items())
    yield f"Real processes ended by SIGKILL (`{found['command']}`, commit {found['commit'][:12]}): {counts}; {found['killed_twice']} of them twice; {len(found['violations'])} violations."
    for name, seconds in found["recovery_seconds"].items():
        yield f"Recovery after a kill, {name}: median {seconds['p50']:.1f} s, 99 % within {seconds['p99']:.1f} s ({seconds['count']} kills)."
    if (start := found.get("of_which_start_seconds", {"count": 0}))["count"]:
        yield f"Of the command line's, starting the process took: median {start['p50']:.1f} s, 99 % within {start['p99']:.1f} s."


def read(path: Path) -> Document | None:
    """A recorded result, ``None`` where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def main() -> None:
    """Write the page anew."""
    PAGE.write_text(page(read(CAMPAIGN), read(REAL_KILLS)), encoding="utf-8")


if __name__ == "__main__":
    main()
