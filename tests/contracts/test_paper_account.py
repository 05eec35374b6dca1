"""Which account the suite may be pointed at: a paper one, named in one variable."""

from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from tests.contracts.lines import PAPER_VARIABLE, paper_policy, to_a_paper_account
from tests.tasks.adapters.gateways import OPENED, make_gateway, running


def test_variable_names_host_port_and_account() -> None:
    policy = paper_policy("gateway.example:4002:DU7654321")
    assert (policy.host, policy.port, policy.account, policy.is_paper) == (
        "gateway.example", 4002, "DU7654321", True,
    )  # fmt: skip


def test_live_account_is_refused_before_anything_is_connected() -> None:
    with pytest.raises(ConfigurationError, match="expected a paper account"):
        paper_policy("127.0.0.1:4001:U1234567")


def test_account_of_the_login_has_to_be_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(lambda: make_gateway(clock=lambda: OPENED)) as gateway:
        monkeypatch.setenv(PAPER_VARIABLE, f"127.0.0.1:{gateway.port}:DU7654321")
        with pytest.raises(ConfigurationError, match="expected the account DU7654321"), to_a_paper_account():
            pass
