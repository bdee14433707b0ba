"""Development mode: open only while nobody has a key, said at every turn, and for nothing but the ways in for programs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from oms.api.context import APIContext
from oms.domain.terms import Role
from oms.store import Store
from oms.workers.api import api_application
from oms.workers.settings import Settings
from tests.api.conftest import describe
from tests.api.desk import ENVELOPE_SECRET, Desk
from tests.api.programs import ping
from tests.api.test_bad_input import refused


@pytest.fixture
def keyless(tmp_path: Path) -> Store:
    """A store that nobody has a key to."""
    store = Store(f"sqlite:///{tmp_path / 'oms.db'}")
    store.migrate()
    describe(store)
    return store


@asynccontextmanager
async def process(context: APIContext, **settings: object) -> AsyncIterator[httpx.AsyncClient]:
    """`oms api` over the context, as its settings make it; requests carry no key."""
    app = api_application(
        Settings(envelope_secret=ENVELOPE_SECRET, **settings), context.store, context.temporal
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://oms", timeout=60) as client:
        yield client


def over(desk: Desk, store: Store) -> APIContext:
    return replace(desk.context, store=store)


async def test_it_is_open_and_says_so_until_there_is_a_key(desk: Desk, keyless: Store) -> None:
    with capture_logs() as starting:
        async with process(over(desk, keyless), development=True) as anybody:
            await check_open(anybody, keyless)
            keyless.keys.create("viewer", [Role.VIEWER], "a-first-key")
            await check_closed(anybody)
            keyless.keys.revoke("viewer")
            await check_closed(anybody)
    warned = [line for line in starting if line["event"] == "api.alarm.open"]
    assert warned[0]["log_level"] == "warning"
    assert "path" not in warned[0], "the first one is said at the start"
    assert [line["path"] for line in warned[1:]] == ["/oms/ping", "/oms/ping", "/ib/events/tail"]


async def check_open(anybody: httpx.AsyncClient, store: Store) -> None:
    for headers in ({}, {"x-api-token": "devtoken123"}):
        answer = await anybody.post("/oms/ping", json=ping(), headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["warning"].startswith("199 durable-oms ")
        assert store.commands.list(limit=1)[0].key_name == "development"
    tail = await anybody.get("/ib/events/tail")
    assert (tail.status_code, tail.json()) == (200, [])
    assert "warning" in tail.headers
    for path in ("/v1/orders", "/v1/tenants"):
        answer = await anybody.get(path)
        refused(answer, 401, "UNAUTHENTICATED")
        assert "warning" not in answer.headers


async def check_closed(anybody: httpx.AsyncClient) -> None:
    for method, path in (("POST", "/oms/ping"), ("GET", "/ib/events/tail"), ("GET", "/oms/commands")):
        answer = await anybody.request(method, path, json=ping() if method == "POST" else None)
        refused(answer, 401, "UNAUTHENTICATED")
        assert "warning" not in answer.headers


@pytest.mark.parametrize(
    "settings", [{}, {"development": False}, {"development": True, "api_tokens": "a-token"}]
)
async def test_otherwise_a_process_without_keys_lets_nobody_in(
    desk: Desk, keyless: Store, settings: dict[str, object]
) -> None:
    async with process(over(desk, keyless), **settings) as anybody:
        await check_closed(anybody)


async def test_a_token_of_the_environment_closes_it_too(
    desk: Desk, keyless: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKENS", "devtoken123, another")
    async with process(over(desk, keyless), development=True) as anybody:
        await check_closed(anybody)
        for token in ("devtoken123", "another"):
            answer = await anybody.post("/oms/ping", json=ping(), headers={"x-api-token": token})
            assert answer.status_code == 200
            assert "warning" not in answer.headers


@pytest.mark.parametrize(("secret", "told"), [("", ["api.no_envelope_secret"]), ("a-secret", [])])
def test_a_process_without_a_secret_says_so_when_it_starts(
    desk: Desk, keyless: Store, secret: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ENVELOPE_SECRET", raising=False)
    with capture_logs() as starting:
        api_application(Settings(envelope_secret=secret), keyless, desk.context.temporal)
    assert [line["event"] for line in starting] == told
