"""What a lost answer leads to: the same call again under the same key, or nothing at all, and never without end."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from durable_oms import (
    Conflict,
    Invalid,
    NotFound,
    OMSError,
    RateLimited,
    Retries,
    Unavailable,
    Unreadable,
)
from durable_oms.retries import retry_after
from tests.client.conftest import Asks, awaiting
from tests.client.scripted import answers, cuts, drops, hangs, refuses, scripted
from tests.stack import until

CREATED = answers(201, {"order_id": "ORD-7"})
AWAY = refuses(503, "UNAVAILABLE", retry_after=0)
RULE = {
    "rule_id": "R-001",
    "rule_type": "restricted_list",
    "name": "r",
    "parameters": {},
    "created_by": "compliance",
    "created_at": "2026-03-27T12:00:00Z",
}


def create(client: Any, **more: Any) -> Any:
    return client.oms.create_order(
        portfolio_id="PORT-001",
        instrument_id="INS-1",
        direction="Buy",
        ordered_quantity=1000,
        order_type="Limit",
        time_in_force="Day",
        limit_price=150.25,
        **more,
    )


async def test_one_order_comes_of_a_lost_answer_and_a_busy_server(ask: Asks) -> None:
    async with scripted(drops, cuts, AWAY, CREATED) as server:
        assert await ask(server.url, create) == "ORD-7"
    assert len(server.seen) == 4
    assert len(set(server.keys)) == 1
    assert server.keys[0]
    assert len({seen.headers["x-request-id"] for seen in server.seen}) == 1
    assert len({seen.body for seen in server.seen}) == 1
    assert json.loads(server.seen[0].body)["limit_price"] == 150.25


async def test_each_call_has_a_key_of_its_own_unless_the_caller_names_one(ask: Asks) -> None:
    async with scripted(CREATED, CREATED, CREATED) as server:
        await ask(server.url, create)
        await ask(server.url, create)
        await ask(server.url, lambda client: create(client, idempotency_key="desk-7-0001"))
    assert server.keys[2] == "desk-7-0001"
    assert len(set(server.keys)) == 3


async def test_a_server_that_is_silent_is_asked_again(ask: Asks) -> None:
    async with scripted(hangs, CREATED) as server:
        assert await ask(server.url, create, timeout=0.3) == "ORD-7"
    assert len(set(server.keys)) == 1


async def test_retry_after_is_waited_for(ask: Asks) -> None:
    async with scripted(refuses(429, "RATE_LIMITED", retry_after=1), CREATED) as server:
        began = time.monotonic()
        assert await ask(server.url, create) == "ORD-7"
        assert time.monotonic() - began >= 1


async def test_it_does_not_wait_for_longer_than_it_may(ask: Asks) -> None:
    async with scripted(refuses(429, "RATE_LIMITED", retry_after=3600)) as server:
        with pytest.raises(RateLimited) as raised:
            await ask(server.url, create)
    assert raised.value.retry_after == 3600


async def test_attempts_are_bounded_and_the_last_loss_is_the_cause(ask: Asks) -> None:
    async with scripted(drops, drops, drops) as server:
        with pytest.raises(Unavailable) as raised:
            await ask(server.url, create, retries=Retries(again=2, first_pause=0.01))
    assert (raised.value.code, raised.value.status) == ("UNAVAILABLE", None)
    assert isinstance(raised.value.__cause__, httpx.RemoteProtocolError)
    assert raised.value.request_id == server.seen[0].headers["x-request-id"]
    assert len(set(server.keys)) == 1


async def test_nobody_listens(ask: Asks) -> None:
    async with scripted() as server:
        url = server.url
    with pytest.raises(Unavailable) as raised:
        await ask(url, create, retries=Retries(again=1, first_pause=0.01))
    assert isinstance(raised.value.__cause__, httpx.ConnectError)


async def test_no_retries_at_all(ask: Asks) -> None:
    async with scripted(AWAY) as server:
        with pytest.raises(Unavailable) as raised:
            await ask(server.url, create, retries=0)
    assert (raised.value.status, raised.value.request_id) == (503, "r-1")


async def test_reads_are_asked_again(ask: Asks) -> None:
    async with scripted(cuts, AWAY, answers(200, {"items": [], "next_cursor": None})) as server:
        assert len(await ask(server.url, lambda client: client.oms.list_orders())) == 0
    assert server.keys == [None, None, None]


@pytest.mark.parametrize(
    "calls",
    [
        lambda client: client.oms.put_prices([{"instrument_id": "INS-1", "price": "1"}]),
        lambda client: client.oms.delete_rule("R-001"),
    ],
    ids=["PUT", "DELETE"],
)
async def test_nothing_else_is_asked_twice(ask: Asks, calls: Any) -> None:
    async with scripted(drops, AWAY) as server:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await ask(server.url, calls)
    assert server.keys == [None, None]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "INVALID_STATE", Conflict),
        (404, "ORDER_NOT_FOUND", NotFound),
        (422, "VALIDATION_FAILED", Invalid),
        (500, "INTERNAL", OMSError),
        (418, "NEWER_THAN_THIS_CLIENT", OMSError),
    ],
)
async def test_a_refusal_is_final_and_carries_the_numbers(
    ask: Asks, status: int, code: str, kind: type[OMSError]
) -> None:
    async with scripted(refuses(status, code, state="CREATED", allowed=["ROUTED"], limit="5.5")) as server:
        with pytest.raises(kind) as raised:
            await ask(server.url, create)
    error = raised.value
    assert (error.code, error.status, error.detail, error.request_id) == (code, status, "No.", "r-1")
    assert error.facts == {"state": "CREATED", "allowed": ["ROUTED"], "limit": "5.5"}


async def test_what_a_proxy_says_is_an_error_too(ask: Asks) -> None:
    async with scripted(answers(502, b"<html>Bad Gateway</html>")) as server:
        with pytest.raises(OMSError) as raised:
            await ask(server.url, create)
    assert (raised.value.code, raised.value.status) == ("HTTP_502", 502)


@pytest.mark.parametrize("body", [b"<html>", {"id": "ORD-7"}, []])
async def test_an_answer_that_makes_no_sense_is_unreadable(ask: Asks, body: Any) -> None:
    async with scripted(answers(201, body)) as server:
        with pytest.raises(Unreadable, match="POST /v1/orders"):
            await ask(server.url, create)


async def test_a_newer_order_book_is_understood(ask: Asks) -> None:
    newer = {**RULE, "severity": "ADVISORY", "jurisdiction": "EU"}
    async with scripted(answers(200, newer)) as server:
        rule = await ask(server.url, lambda client: client.oms.update_rule("R-001", {"active": True}))
    assert (rule.severity, hasattr(rule, "jurisdiction")) == ("ADVISORY", False)


async def test_every_page_is_fetched_and_the_offset_counts_once(ask: Asks) -> None:
    def instruments(client: Any) -> Any:
        found = client.oms.iterate_instruments(symbol="A B&C", limit=1, offset=5)
        if hasattr(found, "__anext__"):
            return collected(found)
        return [item.instrument_id for item in found]

    async def collected(found: Any) -> list[str]:
        return [item.instrument_id async for item in found]

    pages = [
        answers(200, {"items": [{"instrument_id": f"INS-{n}", "symbol": "A"}], "next_cursor": cursor})
        for n, cursor in ((1, "c/1"), (2, None))
    ]
    async with scripted(*pages) as server:
        assert await ask(server.url, instruments) == ["INS-1", "INS-2"]
    first, second = (httpx.URL(seen.path).params for seen in server.seen)
    assert dict(first) == {"symbol": "A B&C", "limit": "1", "offset": "5"}
    assert dict(second) == {"symbol": "A B&C", "limit": "1", "cursor": "c/1"}


async def test_waiting_is_given_up_when_the_caller_gives_up() -> None:
    """A cancelled task does not come back to life in a retry."""
    async with scripted(hangs) as server:
        call = asyncio.create_task(awaiting(server.url, create))
        await until(lambda: server.seen, "the call to arrive")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(server.seen) == 1


def test_pauses_double_up_to_the_longest_and_no_two_clients_keep_step() -> None:
    retries = Retries(first_pause=0.5, longest_pause=4)
    for tried, longest in ((1, 0.5), (2, 1), (3, 2), (4, 4), (5, 4), (500, 4)):
        pauses = {retries.pause(tried) for _ in range(20)}
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1


def test_retry_after_is_seconds_or_a_date() -> None:
    def asked(value: str) -> float | None:
        return retry_after(httpx.Response(503, headers={"Retry-After": value}))

    assert asked("7") == 7
    soon = asked(format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True))
    assert soon is not None
    assert 25 < soon <= 30
    assert asked("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    for nonsense in ("", "soon", "-1"):
        assert asked(nonsense) is None
    assert retry_after(httpx.Response(503)) is None
