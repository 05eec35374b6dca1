import pytest

from config.environment import load_environment
from engine.errors import ConfigurationError


def test_secrets_are_masked_wherever_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUND_IB_ACCOUNT", "DU1234567")
    monkeypatch.setenv("FUND_DATABASE_URL", "postgresql://fund:hidden@db/fund")

    environment = load_environment()

    assert environment.ib_account is not None
    assert environment.ib_account.get_secret_value() == "DU1234567"
    for text in (repr(environment), str(environment.shown()), environment.model_dump_json()):
        assert "DU1234567" not in text
        assert "hidden" not in text


def test_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUND_IB_PORT", "")

    assert load_environment().ib_port is None


def test_bad_variable_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUND_IB_PORT", "four-thousand")

    with pytest.raises(ConfigurationError, match="FUND_IB_PORT") as failure:
        load_environment()

    assert "four-thousand" not in str(failure.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("FUND_IB_PROT", "did you mean FUND_IB_PORT"),
        ("FUND_IB_CONTROLPORT", "did you mean FUND_IB_CONTROL_PORT"),
        ("FUND_ARM_KYE", "did you mean FUND_ARM_KEY"),
        ("fund_ib_acount", "did you mean FUND_IB_ACCOUNT"),
        ("FUND_IB_X", "correct its name, or unset it"),
    ],
)
def test_misspelt_variable_of_the_broker_is_refused_by_name_without_its_value(
    monkeypatch: pytest.MonkeyPatch, name: str, hint: str
) -> None:
    monkeypatch.setenv(name, "4002-secret")
    with pytest.raises(ConfigurationError, match=hint) as failure:
        load_environment()
    assert name.upper() in str(failure.value)
    assert "4002-secret" not in str(failure.value)
    monkeypatch.setenv(name, "")
    assert load_environment().ib_port is None
