"""How many requests a key may send: no more, each key for itself, and it is told when to come again."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest

from oms.api.app import create_app
from oms.api.limits import RateLimit
from oms.domain.errors import Refused
from oms.domain.terms import Role
from oms.workers.api import api_application
from oms.workers.settings import Settings
from tests.api.desk import Desk, serving
from tests.stack import until


@asynccontextmanager
async def limited(desk: Desk, per_second: int, burst_seconds: int) -> AsyncIterator[Desk]:
    """The same order book behind an interface of its own, with a limit."""
    settings = replace(desk.context.settings, requests_per_second=per_second, burst_seconds=burst_seconds)
    context = replace(desk.context, settings=settings)
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://oms", timeout=60) as client:
        made = Desk(client, context)
        made.instrument_id = desk.instrument_id
        yield made


async def test_more_than_the_burst_is_refused_with_a_time_to_come_again(desk: Desk) -> None:
    async with limited(desk, 5, 60) as slow:
        began = time.time()
        answers = [await slow.get("/v1/orders?limit=1") for _ in range(303)]
        taken = 60 - (time.time() - began)
    assert [answer.status_code for answer in answers] == [200] * 300 + [429] * 3
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["code"], problem["status"]) == ("RATE_LIMITED", 429)
    assert (problem["limit"], problem["burst"]) == (5, 300)
    assert "'viewer'" in problem["detail"]
    assert problem["request_id"] == refused.headers["x-request-id"]
    assert taken <= int(refused.headers["retry-after"]) <= 61
    assert problem["retry_after"] == int(refused.headers["retry-after"])


async def test_it_is_taken_again_when_the_time_is_over(desk: Desk) -> None:
    async with limited(desk, 3, 1) as slow:
        began = time.monotonic()
        for _ in range(3):
            assert (await slow.get("/v1/orders")).status_code == 200
        refused = await slow.get("/v1/orders")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")

        async def taken() -> bool:
            return (await slow.get("/v1/orders")).status_code == 200

        await until(taken, "the key to be let in again", seconds=5)
        assert time.monotonic() - began >= 1


async def test_of_many_at_once_as_many_as_may(desk: Desk) -> None:
    async with limited(desk, 10, 60) as slow:
        answers = await asyncio.gather(*(slow.get("/v1/positions") for _ in range(700)))
    codes = [answer.status_code for answer in answers]
    assert (codes.count(200), codes.count(429)) == (600, 100)


async def test_each_key_counts_for_itself_however_it_is_sent(desk: Desk) -> None:
    async with limited(desk, 1, 60) as slow:
        for number in range(60):
            header = ("X-API-Key", "x-api-token")[number % 2]
            answer = await slow.client.get("/v1/halt", headers={header: "secret-viewer"})
            assert answer.status_code == 200
        assert (await slow.get("/v1/halt")).status_code == 429
        assert (await slow.get("/v1/halt", Role.PM)).status_code == 200
        assert (await slow.get("/v1/halt", "wrong")).status_code == 401


async def test_health_and_the_document_are_open_to_everybody_always(desk: Desk) -> None:
    async with limited(desk, 1, 1) as slow:
        for path in ("/healthz", "/metrics", "/openapi.json"):
            for _ in range(5):
                assert (await slow.get(path)).status_code == 200


async def test_a_refused_request_changes_nothing_and_may_come_again_under_its_key(desk: Desk) -> None:
    again, terms = uuid.uuid4().hex, desk.terms(client_order_id=uuid.uuid4().hex)
    async with limited(desk, 1, 60) as slow:
        for _ in range(60):
            await slow.get("/v1/halt", Role.PM)
        refused = await slow.post("/v1/orders", terms, Idempotency_Key=again)
        assert refused.status_code == 429
    made = await desk.post("/v1/orders", terms, Idempotency_Key=again)
    assert made.status_code == 201
    assert "idempotent-replayed" not in made.headers


async def test_a_stream_counts_once_when_it_opens(desk: Desk) -> None:
    settings = replace(desk.context.settings, requests_per_second=1, burst_seconds=3)
    app = create_app(replace(desk.context, settings=settings))
    key = {"X-API-Key": "secret-viewer"}
    async with (
        serving(app) as url,
        httpx.AsyncClient(base_url=url, headers=key, timeout=30) as client,
        client.stream("GET", "/v1/stream?after=0") as stream,
    ):
        assert stream.status_code == 200
        lines = stream.aiter_lines()
        while not (await anext(lines)).startswith("data:"):
            pass
        codes = [(await client.get("/v1/halt")).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        refused = await client.get("/v1/stream")
        assert (refused.status_code, refused.json()["code"]) == (429, "RATE_LIMITED")


async def test_without_a_limit_there_is_none(desk: Desk) -> None:
    async with limited(desk, 0, 2) as free:
        answers = [await free.get("/v1/halt") for _ in range(100)]
    assert {answer.status_code for answer in answers} == {200}


async def test_the_settings_reach_the_interface(desk: Desk) -> None:
    settings = Settings(api_requests_per_second=2, api_burst_seconds=30)
    app = api_application(settings, desk.context.store, desk.context.temporal)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://oms") as client:
        slow = Desk(client, desk.context)
        codes = [(await slow.get("/v1/halt")).status_code for _ in range(61)]
    assert codes == [200] * 60 + [429]


async def test_every_operation_of_the_document_says_so(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()
    operations = [
        operation
        for path, methods in document["paths"].items()
        if path.startswith("/v1")
        for operation in methods.values()
    ]
    assert operations
    for operation in operations:
        (media,) = operation["responses"]["429"]["content"]
        assert media == "application/problem+json", operation["operationId"]


def test_what_is_refused_does_not_count() -> None:
    limit = RateLimit(2, 1)
    assert [_is_taken(limit) for _ in range(3)] == [True, True, False]
    began, refused = time.monotonic(), 0
    while not _is_taken(limit) and time.monotonic() < began + 5:
        refused += 1
    assert refused > 10
    assert time.monotonic() < began + 2


def _is_taken(limit: RateLimit) -> bool:
    try:
        limit.take("a")
    except Refused:
        return False
    return True


def test_a_limit_of_nothing_is_no_limit() -> None:
    limit = RateLimit(0, 2)
    for _ in range(1000):
        limit.take("a")


@pytest.mark.parametrize("bad", [{"api_requests_per_second": -1}, {"api_burst_seconds": 0}])
def test_a_limit_that_makes_no_sense_is_refused_at_the_start(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Settings(**bad)
