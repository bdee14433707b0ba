"""Secrets reach the processes that use them and no other."""

import pytest

from oms.workers.settings import Settings
from oms.workers.stack import SECRET_SETTINGS, environment_for

GIVEN = {
    "api_tokens": "tokens-of-the-api",
    "envelope_secret": "secret-of-commands",
    "temporal_api_key": "key-of-temporal",
    "flex_token": "token-of-flex",
    "database_url": "postgresql://oms:password-of-the-store@db/oms",
}
MAY_KNOW = {
    "temporal": set(),
    "paper": set(),
    "gateway-ibkr": {"temporal_api_key", "database_url"},
}


@pytest.mark.parametrize("child", MAY_KNOW)
def test_a_child_of_the_stack_is_told_what_it_needs(child: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(**GIVEN)
    for name, value in GIVEN.items():
        monkeypatch.setenv(f"OMS_{name.upper()}", value)
    for name in ("ENVELOPE_SECRET", "API_TOKENS", "OMS_API_KEY"):
        monkeypatch.setenv(name, f"{name}-of-the-shell")
    monkeypatch.setenv("PATH_OF_SOMEBODY", "inherited")
    environment = environment_for(child, settings)
    told = {name for name, value in GIVEN.items() if environment.get(f"OMS_{name.upper()}") == value}
    assert told == MAY_KNOW[child]
    for name in set(GIVEN) - told:
        assert GIVEN[name] not in environment.values()
    assert not {"ENVELOPE_SECRET", "API_TOKENS", "OMS_API_KEY"} & environment.keys()
    assert environment["PATH_OF_SOMEBODY"] == "inherited"
    assert environment["OMS_IBKR_ACCOUNT"] == settings.ibkr_account


def test_every_setting_that_is_hidden_is_a_secret() -> None:
    assert set(GIVEN) == SECRET_SETTINGS
    shown = repr(Settings(**GIVEN))
    assert not [name for name, value in GIVEN.items() if name != "database_url" and value in shown]


@pytest.mark.parametrize(
    ("setting", "variable", "known"),
    [
        ("", None, ()),
        ("a", "b", ("a",)),
        ("", "b", ("b",)),
        (" new , old,", None, ("new", "old")),
        (",", " , ", ()),
    ],
)
def test_the_secrets_are_a_list_of_the_setting_or_the_variable(
    setting: str, variable: str | None, known: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENVELOPE_SECRET", raising=False)
    if variable is not None:
        monkeypatch.setenv("ENVELOPE_SECRET", variable)
    assert Settings(envelope_secret=setting).envelope_secrets == known
