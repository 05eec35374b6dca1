"""What a person clicks on Prefect's pages, as requests to the same API."""

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

FINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
WAIT_SECONDS = 120.0
# Prefect's answer to a transaction that met a locked SQLite file: rolled back whole, and meant to be asked again
# (Prefect's own client does, as a person does who presses the button once more).
ASK_AGAIN = 503
ASKED_AT_MOST = 20


@dataclass(frozen=True)
class RunState:
    type: str
    name: str
    message: str


@dataclass(frozen=True)
class PrefectClient:
    api: str

    def start(self, deployment: str, parameters: dict[str, str], planned: datetime | None = None) -> str:
        """Quick run, or a run of the schedule that was ``planned`` for a time and waited."""
        found = self._ask("GET", f"/deployments/name/{deployment}/{deployment}")
        wanted: dict[str, Any] = {"parameters": parameters}
        if planned is not None:
            at = {"scheduled_time": planned.isoformat()}
            wanted["state"] = {"type": "SCHEDULED", "state_details": at}
        started = self._ask("POST", f"/deployments/{found['id']}/create_flow_run", wanted)
        return str(started["id"])

    def state(self, run: str) -> RunState:
        state = self._ask("GET", f"/flow_runs/{run}")["state"]
        return RunState(state["type"], state["name"], state["message"] or "")

    def attempts(self, run: str) -> int:
        return int(self._ask("GET", f"/flow_runs/{run}")["run_count"])

    def retry(self, run: str) -> None:
        """Prefect's Retry button."""
        wanted = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry"}, "force": False}
        assert self._ask("POST", f"/flow_runs/{run}/set_state", wanted)["status"] == "ACCEPT"

    def resume(self, run: str, answer: dict[str, bool]) -> None:
        assert self._ask("POST", f"/flow_runs/{run}/resume", {"run_input": answer})["status"] == "ACCEPT"

    def artifacts(self, run: str) -> dict[str, str]:
        wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
        return {row["key"]: str(row["data"]) for row in self._ask("POST", "/artifacts/filter", wanted)}

    def await_end(self, run: str, after_attempts: int = 0) -> RunState:
        """The final state of a run that started more often than ``after_attempts``."""
        return self._await(run, FINAL, after_attempts)

    def await_pause(self, run: str) -> RunState:
        """The paused state with its form: Prefect stores the form after the state, and answers need it."""
        state = self._await(run, FINAL | {"PAUSED"}, 0)
        until = time.monotonic() + WAIT_SECONDS
        while state.type == "PAUSED" and not self._has_form(run):
            assert time.monotonic() < until, f"{run} paused without its form"
            time.sleep(0.2)
        return state

    def _has_form(self, run: str) -> bool:
        keys = self._ask("GET", f"/flow_runs/{run}")["state"]["state_details"]["run_input_keyset"]
        wanted = {"prefix": keys["schema"]} if keys else None
        return wanted is not None and bool(self._ask("POST", f"/flow_runs/{run}/input/filter", wanted))

    def _await(self, run: str, types: set[str], after_attempts: int) -> RunState:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            state = self.state(run)
            if state.type in types and self.attempts(run) > after_attempts:
                return state
            time.sleep(0.5)
        raise AssertionError(f"{run} did not end within {WAIT_SECONDS} s: {self.state(run)}")

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self.api + path, data, headers, method=method)  # noqa: S310 (the loopback)
        for asked in range(1, ASKED_AT_MOST + 1):
            try:
                with urlopen(request, timeout=20) as answer:  # noqa: S310 (the loopback)
                    return json.loads(answer.read() or b"null")
            except HTTPError as refusal:
                if refusal.code != ASK_AGAIN or asked == ASKED_AT_MOST:
                    raise
                time.sleep(0.5)
        raise AssertionError("the loop above answers or raises")
