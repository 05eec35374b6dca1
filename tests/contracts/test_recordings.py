"""Recorded sessions: the gateway still says the same, the decoder reads the same, the adapter ends with the same orders.

``FUND_RECORD_FRAMES=tests/contracts/recordings ./fund test tests/contracts/test_recordings.py`` records them anew, that
of a real paper account as well where ``FUND_PAPER_ACCOUNT`` names one.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import BrokerUnavailable
from tests.contracts.frames import BROKER, CLIENT, NOBODY, Recording, anonymous, first_difference, replaying
from tests.contracts.lines import PAPER_VARIABLE, paper_policy, to_a_paper_account
from tests.contracts.recorded_session import decoded, record_account, record_gateway, replay
from tests.shared_data import REPOSITORY
from tests.tasks.adapters.gateways import ACCOUNT

FOLDER = REPOSITORY / "tests/contracts/recordings"
RECORD_VARIABLE = "FUND_RECORD_FRAMES"
RENEW = f"if that is meant: {RECORD_VARIABLE}=tests/contracts/recordings ./fund test tests/contracts/test_recordings.py"


def kept(recording: Recording, name: str) -> Recording:
    """The same, written down where recordings are asked for."""
    folder = os.environ.get(RECORD_VARIABLE)
    if folder:
        recording.save(Path(folder) / f"{name}.jsonl")
    return recording


@pytest.fixture(scope="module")
def fresh() -> Recording:
    """A session with the gateway as it is now."""
    return kept(record_gateway(), "gateway")


@pytest.fixture
def recording() -> Recording:
    """The session with the gateway that was committed."""
    return Recording.load(FOLDER / "gateway.jsonl")


def test_gateway_and_adapter_say_what_they_said_when_they_were_recorded(
    fresh: Recording, recording: Recording
) -> None:
    difference = first_difference(recording, fresh)
    assert not difference, f"{difference}; {RENEW}"
    assert fresh.outcome == recording.outcome


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_recorded_frames_are_read_into_the_recorded_records(path: Path) -> None:
    recording = Recording.load(path)
    found = [repr(shown) for shown in decoded(recording)]
    assert recording.records
    for number, (expected, shown) in enumerate(zip(recording.records, found, strict=True), 1):
        assert shown == expected, f"record {number}; {RENEW}"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_adapter_that_is_told_a_recording_ends_with_the_same_orders(path: Path) -> None:
    recording = Recording.load(path)
    with replaying(recording) as gateway:
        outcome = replay(recording, gateway)
    assert not gateway.difference, f"{gateway.difference}; {RENEW}"
    assert outcome == recording.outcome


def test_session_with_a_paper_account_is_recorded_and_comes_to_the_same_again() -> None:
    with to_a_paper_account() as line:
        contract_id, distance = line.contract_id, line.distance
    recording = kept(record_account(paper_policy(os.environ[PAPER_VARIABLE]), contract_id, distance), "paper")
    with replaying(recording) as gateway:
        assert replay(recording, gateway) == recording.outcome


# ---------------------------------------------------------------- what a recording is


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.jsonl")), ids=lambda path: path.stem)
def test_recording_names_no_account_and_no_time(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ACCOUNT not in text
    assert set(re.findall(r"\b(?:DU|DF|U)\d{5,}", text)) == {NOBODY}
    assert set(re.findall(r"(\d{8})[- ]+\d\d:\d\d:\d\d", text)) == {"20000101"}


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("DU1234567", "DU0000000"),
        ("20261120 15:45:00 US/Eastern", "20000101 00:00:00 UTC"),
        ("20261120  15:45:00", "20000101 00:00:00 UTC"),
        ("20261120-15:45:00", "20000101 00:00:00 UTC"),
        ("20261218", "20261218"),
        ("20261120:0930-20261120:1600", "20261120:0930-20261120:1600"),
    ],
)
def test_account_and_times_are_replaced_and_dates_of_contracts_stay(told: str, shown: str) -> None:
    assert anonymous(("3", told), "DU1234567", CLIENT) == ("3", shown)


def test_time_of_the_broker_in_seconds_is_replaced() -> None:
    assert anonymous(("49", "1", "1795190400"), "DU1", BROKER) == ("49", "1", "946684800")
    assert anonymous(("8", "1", "14:40"), "DU1", BROKER) == ("8", "1", "00:00")


def changed(recording: Recording, way: str, name: str, position: int, text: str) -> Recording:
    """The same with one field of the first frame of a message changed."""
    index = next(
        i for i, (there, fields) in enumerate(recording.entries) if there == way and fields[0] == name
    )
    fields = list(recording.entries[index][1])
    fields[position] = text
    entries = [*recording.entries]
    entries[index] = (way, tuple(fields))
    return replace(recording, entries=entries)


ORDER, EXECUTION = "3", "11"


def test_difference_names_the_first_field_that_differs(recording: Recording) -> None:
    quantity = changed(recording, CLIENT, ORDER, 17, "6")
    number = [fields[0] for fields in recording.of(CLIENT)].index(ORDER) + 1
    assert first_difference(recording, quantity) == (
        f"frame {number} of the client: place_order.quantity: expected '5', found '6'"
    )
    shorter = replace(recording, entries=recording.entries[:-1])
    assert "and the other session has no such frame" in first_difference(recording, shorter)
    assert first_difference(recording, recording) == ""


def test_client_that_leaves_the_recording_is_stopped_at_the_field(recording: Recording) -> None:
    expected = changed(recording, CLIENT, ORDER, 17, "6")
    with replaying(expected) as gateway, pytest.raises(BrokerUnavailable):
        replay(expected, gateway)
    assert "place_order.quantity: expected '6', found '5'" in gateway.difference


def test_broker_that_tells_of_another_quantity_ends_in_another_outcome(recording: Recording) -> None:
    name = next(fields for way, fields in recording.entries if way == BROKER and fields[0] == EXECUTION)
    position = next(i for i, text in enumerate(name) if text == "5" and i > 15)
    with (
        replaying(changed(recording, BROKER, EXECUTION, position, "4")) as gateway,
        pytest.raises((AssertionError, BrokerUnavailable)),
    ):
        assert replay(recording, gateway) == recording.outcome
