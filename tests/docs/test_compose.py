"""docker-compose.yml and Dockerfile: what the Compose Specification allows, and what the order book knows."""

import json
import re
from datetime import datetime, time
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from jsonschema import Draft202012Validator

from oms.gateways.ibkr.settings import IBKRSettings
from oms.workers.ibkr import ibkr_settings
from oms.workers.settings import PREFIX, Settings
from oms.workflows.contract import SEARCH_ATTRIBUTES
from tests.docs.conftest import ROOT

_VENDOR = Path(__file__).parent / "vendor"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?P<how>:[-?])?(?P<rest>[^}]*)\}")
_SECRET = re.compile(r"PASSWORD|PWD|TOKEN|API_KEY|USERID|SECRET")
_ONE_SHOT = "service_completed_successfully"
Service = dict[str, Any]


@pytest.fixture(scope="module")
def text() -> str:
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, Service]:
    found: dict[str, Service] = compose["services"]
    return found


@pytest.fixture(scope="module")
def ours(services: dict[str, Service]) -> dict[str, Service]:
    """The services that run our image."""
    return {name: service for name, service in services.items() if "build" in service}


def _filled_in(value: str, given: dict[str, str]) -> str:
    """`value` as compose would interpolate it."""
    return _VARIABLE.sub(lambda v: given.get(v["name"], v["rest"] if v["how"] == ":-" else "given"), value)


def _environment(service: Service) -> dict[str, str]:
    named: dict[str, str] = service.get("environment", {})
    return {name: _filled_in(str(value), {}) for name, value in named.items()}


def test_it_is_what_the_compose_specification_allows(compose: dict[str, Any]) -> None:
    schema = json.loads((_VENDOR / "compose-spec.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(compose)] == []


def test_the_schema_finds_what_is_wrong(compose: dict[str, Any]) -> None:
    schema = json.loads((_VENDOR / "compose-spec.json").read_text(encoding="utf-8"))
    broken = {**compose, "services": {**compose["services"], "api": {"comand": ["api"]}}}
    assert list(Draft202012Validator(schema).iter_errors(broken))


def test_every_part_is_there(services: dict[str, Service], ours: dict[str, Service]) -> None:
    assert {"oms-schema", "api", "worker", "gateway-ibkr"} == set(ours)
    assert {"oms-db", "temporal-db", "temporal", "temporal-ui", "ib-gateway"} <= set(services)


def test_every_setting_is_one(ours: dict[str, Service], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for service in ours.values():
        environment = _environment(service)
        assert set(environment) <= known
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            settings = Settings()
        assert settings.store_url.startswith("postgresql://")
        assert settings.temporal_namespace == "oms"


def test_the_gateways_settings_make_a_session(
    ours: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _environment(ours["gateway-ibkr"]).items():
        monkeypatch.setenv(name, value)
    session = ibkr_settings(Settings())
    assert isinstance(session, IBKRSettings)
    assert (session.host, session.port, session.client_id) == ("ib-gateway", 4004, 17)


def test_every_command_is_one(ours: dict[str, Service], tables: ModuleType) -> None:
    known = tables.oms_commands()
    for service in ours.values():
        assert f"oms {' '.join(service['command'])}" in known
        check = service.get("healthcheck", {}).get("test", ["CMD", "python"])
        assert check[1] == "python" or " ".join(check[1:]) in known


def test_every_variable_is_explained_or_has_a_default(text: str) -> None:
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for variable in _VARIABLE.finditer(text):
        assert variable["how"] in (":-", ":?"), variable[0]
        if variable["how"] == ":?":
            assert f"{variable['name']}=" in operations, variable["name"]


def test_no_secret_is_written_down(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            if _SECRET.search(variable):
                assert re.match(r"\$\{\w+:(\?|-\})", str(value)), (name, variable)
            assert not re.search(r"://[^:/]+:[^$@]+@", str(value)), (name, variable)


def test_every_port_is_published_on_loopback_only(services: dict[str, Service]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert [port for port in published if not str(port).startswith("127.0.0.1:")] == []


def test_who_waits_waits_for_something(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            awaited = services[other]
            if how["condition"] == "service_healthy":
                assert "healthcheck" in awaited, (name, other)
            if how["condition"] == _ONE_SHOT:
                assert awaited["restart"].startswith(("no", "on-failure")), (name, other)


def test_what_stays_up_says_how_it_is(services: dict[str, Service]) -> None:
    silent = {
        name for name, s in services.items() if s["restart"] == "unless-stopped" and "healthcheck" not in s
    }
    assert silent == {"temporal-ui", "ib-gateway"}


def test_workers_scale_and_a_session_has_a_standby(services: dict[str, Service]) -> None:
    """Two containers of one service need names and ports of their own, and one client id, for one lease."""
    assert services["worker"]["deploy"]["replicas"] > 1
    gateway = services["gateway-ibkr"]
    assert gateway["deploy"]["replicas"] == 2
    assert not {"container_name", "ports", "hostname"} & gateway.keys()
    assert _environment(gateway)["OMS_IBKR_CLIENT_ID"] == "17"


def test_the_gateway_knows_when_the_broker_restarts(services: dict[str, Service]) -> None:
    restarts = services["ib-gateway"]["environment"]
    closes = _environment(services["gateway-ibkr"])["OMS_IBKR_DAILY_RESTART"]
    assert f"{time.fromisoformat(closes):%I:%M %p}" == restarts["AUTO_RESTART_TIME"]
    zones = [ZoneInfo(restarts["TIME_ZONE"]), ZoneInfo(Settings().ibkr_timezone)]
    for month in (1, 7):
        assert len({datetime(2026, month, 1, tzinfo=zone).utcoffset() for zone in zones}) == 1
    assert restarts["READ_ONLY_API"] == "no"


def test_statements_are_fetched_by_the_workers(ours: dict[str, Service]) -> None:
    fetching = {name for name, service in ours.items() if "OMS_FLEX_TOKEN" in _environment(service)}
    assert fetching == {"worker"}
    assert _environment(ours["worker"])["OMS_FLEX_TOKEN"] == "", "without one in .env nothing is fetched"


def test_the_secret_of_commands_is_known_where_they_are_signed_and_verified(ours: dict[str, Service]) -> None:
    knowing = {name for name, service in ours.items() if "OMS_ENVELOPE_SECRET" in _environment(service)}
    assert knowing == {"api", "worker"}
    assert {_environment(ours[name])["OMS_ENVELOPE_SECRET"] for name in knowing} == {""}, (
        "without one in .env no command is taken"
    )
    assert "OMS_DEVELOPMENT" not in {name for service in ours.values() for name in _environment(service)}


def test_the_namespace_gets_every_search_attribute(services: dict[str, Service]) -> None:
    script = services["temporal-namespace"]["command"][0]
    names = re.search(r"for name in (?P<names>[\w ]+); do", script)
    assert names is not None
    assert set(names["names"].split()) == {key.name for key in SEARCH_ATTRIBUTES}
    assert {key.indexed_value_type.name for key in SEARCH_ATTRIBUTES} == {"KEYWORD"}


def test_our_containers_may_do_little(ours: dict[str, Service]) -> None:
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]


def test_the_image_is_built_from_what_is_locked_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    uv = re.search(r"uv==([\d.]+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert uv is not None
    assert {line.split()[1] for line in lines if line.startswith("FROM")} == {"python:3.11-slim"}
    assert any(f"uv=={uv[1]}" in line for line in lines)
    assert any("--constraints requirements/locked.txt" in line for line in lines)
    users = [line for line in lines if line.startswith("USER")]
    assert users == ["USER oms"]
    assert lines.index("USER oms") < lines.index('ENTRYPOINT ["oms"]')
    for line in lines:
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line
