"""Which account a mode may open, and where."""

from __future__ import annotations

import pytest

from config.settings import load_settings
from engine.errors import ConfigurationError
from engine.model.context import Mode
from tasks.broker_place import BrokerPlace, broker_place


def place(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, profile: str = "paper", **environment: str
) -> BrokerPlace:
    for name in ("ACCOUNT", "HOST", "PORT", "CONTROL_PORT"):
        monkeypatch.delenv(f"FUND_IB_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(f"FUND_IB_{name.upper()}", value)
    return broker_place(mode, load_settings(profile))


def test_environment_goes_before_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    found = place(monkeypatch, Mode.PAPER, account="DU1234567")
    assert (found.host, found.port, found.control_port) == ("127.0.0.1", 4002, None)
    assert place(monkeypatch, Mode.LIVE, "live", account="U1").port == 4001
    found = place(monkeypatch, Mode.PAPER, account="DF7", host="gateway", port="5000")
    assert (found.host, found.port, found.is_paper) == ("gateway", 5000, True)


@pytest.mark.parametrize(
    ("mode", "environment", "told"),
    [
        (Mode.PAPER, {}, "FUND_IB_ACCOUNT for mode paper, found none"),
        (Mode.PAPER, {"account": "U1234567"}, r"a paper account \(DU…, DF…\).*found U1234567"),
        (Mode.LIVE, {"account": "DU1234567"}, "real money.*found the paper account DU1234567"),
        (Mode.LIVE, {"account": "DF1234567"}, "real money.*found the paper account DF1234567"),
        (
            Mode.LIVE,
            {"account": "U1", "control_port": "4900"},
            "no FUND_IB_CONTROL_PORT for mode live, found 4900",
        ),
        (
            Mode.PAPER,
            {"account": "DU1", "host": "192.0.2.7", "control_port": "4900"},
            "gateway on this machine with FUND_IB_CONTROL_PORT, found 192.0.2.7",
        ),
    ],
)
def test_account_that_does_not_fit_the_mode_is_refused(
    monkeypatch: pytest.MonkeyPatch, mode: Mode, environment: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        place(monkeypatch, mode, **environment)


def test_dry_run_reads_either_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not place(monkeypatch, Mode.DRY_RUN, account="U1234567").is_paper
    assert place(monkeypatch, Mode.DRY_RUN, account="DU1234567").is_paper
