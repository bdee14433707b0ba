"""The stream over a real socket: every event once, in order, from wherever the reader left off."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from oms.api.app import create_app
from oms.api.following import Follower, Wanted
from oms.domain.terms import Role
from tests.api.desk import Desk, serving


@dataclass
class Seen:
    """One event as it came over the wire."""

    position: int
    kind: str
    data: dict[str, Any]


@asynccontextmanager
async def reader(address: str, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Seen]]:
    secret = headers.pop("secret", "secret-viewer")
    named = {"X-API-Key": secret, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        httpx.AsyncClient(base_url=address, timeout=30) as client,
        client.stream("GET", f"/v1/stream{query}", headers=named) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


async def events(response: httpx.Response) -> AsyncIterator[Seen]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line == "" and "data" in fields:
            yield Seen(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif line:
            fields[name] = value


async def take(stream: AsyncIterator[Seen], count: int) -> list[Seen]:
    async with asyncio.timeout(15):
        return [await anext(stream) for _ in range(count)]


async def test_events_come_as_they_happen(desk: Desk, address: str) -> None:
    async with reader(address) as stream:
        order_id = (await desk.order())["order_id"]
        await desk.command(order_id, "pre-trade-compliance/request")
        first, second = await take(stream, 2)
    assert (first.kind, second.kind) == ("order_created", "pre_trade_compliance_requested")
    assert second.position == first.position + 1
    journal = (await desk.get(f"/v1/orders/{order_id}/journal")).json()["items"]
    assert [first.data, second.data] == journal


async def test_a_reader_goes_on_where_it_left_off(desk: Desk, address: str) -> None:
    start = desk.context.store.journal.head()
    for _ in range(3):
        await desk.order()
    async with reader(address, f"?after={start}") as stream:
        seen = await take(stream, 2)
    async with reader(address, f"?after={start}", Last_Event_ID=str(seen[-1].position)) as stream:
        seen += await take(stream, 1)
        await desk.order()
        seen += await take(stream, 1)
    assert [event.position for event in seen] == list(range(start + 1, start + 5))


async def test_filters_are_those_of_the_list_and_of_the_key(desk: Desk, address: str) -> None:
    start = desk.context.store.journal.head()
    await desk.order()
    sold = await desk.order(direction="Sell", portfolio_id="PORT-002")
    await desk.command(sold["order_id"], "cancel")
    for query, secret, count in (
        ("&portfolio_id=PORT-002", "secret-viewer", 2),
        ("&direction=Sell", "secret-viewer", 2),
        ("&state=CANCELED", "secret-viewer", 1),
        ("", "secret-second", 2),
    ):
        async with reader(address, f"?after={start}{query}", secret=secret) as stream:
            assert {event.data["order_id"] for event in await take(stream, count)} == {sold["order_id"]}


async def test_no_reader_misses_or_repeats_while_many_write(desk: Desk, address: str) -> None:
    start, orders = desk.context.store.journal.head(), 30

    async def read(query: str) -> list[int]:
        async with reader(address, query) as stream:
            ready.release()
            return [event.position for event in await take(stream, orders)]

    ready = asyncio.Semaphore(0)
    reading = [asyncio.create_task(read(query)) for query in ("", f"?after={start}", "", f"?after={start}")]
    for _ in reading:
        await ready.acquire()
    await asyncio.gather(*(desk.order() for _ in range(orders)))
    expected = list(range(start + 1, start + 1 + orders))
    assert await asyncio.gather(*reading) == [expected] * len(reading)


async def test_a_slow_reader_falls_back_to_the_store(desk: Desk) -> None:
    """The ring holds four events; whoever is further behind reads the store and misses nothing."""
    follower = Follower(desk.context.store, ring_events=4)
    start = desk.context.store.journal.head()
    stream = follower.events(Wanted(), start)
    fast = follower.events(Wanted(), start)
    await desk.order()
    seen = [int((await anext(stream)).id or 0)]
    for _ in range(12):
        await desk.order()
    assert [int((await anext(fast)).id or 0) for _ in range(13)] == list(range(start + 1, start + 14))
    seen += [int((await anext(stream)).id or 0) for _ in range(12)]
    assert seen == list(range(start + 1, start + 14))
    await stream.aclose()  # type: ignore[attr-defined]
    await fast.aclose()  # type: ignore[attr-defined]


async def test_an_idle_stream_is_kept_alive(desk: Desk) -> None:
    settings = replace(desk.context.settings, stream_keep_alive_seconds=1)
    async with (
        serving(create_app(replace(desk.context, settings=settings))) as address,
        httpx.AsyncClient(base_url=address, timeout=10, headers={"X-API-Key": "secret-viewer"}) as client,
        client.stream("GET", "/v1/stream?portfolio_id=PORT-none") as response,
    ):
        comment = await anext(line async for line in response.aiter_lines() if line)
    assert comment.startswith(":")


async def test_ten_megabytes_are_refused_quickly(desk: Desk, address: str) -> None:
    headers = {"X-API-Key": "secret-pm", "Content-Type": "application/json"}
    body = b'{"x": "' + b"y" * 10_000_000 + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    for content in (body, chunks()):
        async with httpx.AsyncClient(base_url=address, timeout=5) as client:
            answer = await client.post("/v1/orders", content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert (await desk.get("/v1/orders", Role.VIEWER)).status_code == 200
