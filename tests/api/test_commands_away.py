"""Temporal away: nothing is acknowledged, and the same request again is the same command, once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from oms.workflows.programs import command_workflow_id
from tests.api.desk import Desk
from tests.api.programs import Body, beside, envelope, hint, order, orders, over, ping
from tests.api.test_bad_input import refused
from tests.stack import TemporalServer, free_ports


class Line:
    """A line to the Temporal server that can be cut."""

    def __init__(self, server: TemporalServer) -> None:
        self._server = server
        self._carrying: set[asyncio.Task[None]] = set()
        (self.port,) = free_ports(1)
        self._listening: asyncio.Server | None = None

    async def mend(self) -> None:
        self._listening = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._listening is not None:
            self._listening.close()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(self._server.host, self._server.port)
        pairs = ((reader, ours), (theirs, writer))
        tasks = [asyncio.create_task(_pour(source, sink)) for source, sink in pairs]
        self._carrying.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for sink in (ours, writer):
            sink.close()


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()


@pytest.fixture(scope="module")
async def line(server: TemporalServer) -> AsyncIterator[Line]:
    made = Line(server)
    await made.mend()
    yield made
    await made.cut()


@pytest.fixture(scope="module")
async def far(desk: Desk, line: Line) -> AsyncIterator[Desk]:
    """An API process that reaches Temporal by the line alone."""
    client = await Client.connect(f"127.0.0.1:{line.port}", data_converter=pydantic_data_converter)
    async with beside(desk, replace(desk.context, temporal=client), answer_within_seconds=1.0) as made:
        yield made


@asynccontextmanager
async def away(line: Line) -> AsyncIterator[None]:
    await line.cut()
    try:
        yield
    finally:
        await line.mend()


async def is_unstarted(desk: Desk, idem_key: str) -> bool:
    found = [
        run
        async for run in desk.context.temporal.list_workflows(
            f"WorkflowId = '{command_workflow_id(idem_key)}'"
        )
    ]
    return not found


@pytest.mark.parametrize(
    ("path", "body"),
    [("orders", orders()), ("ping", ping()), ("orders", {"orders": [order(totalQuantity=77)]})],
)
async def test_it_is_kept_and_not_acknowledged_and_then_the_same_command(
    desk: Desk, far: Desk, line: Line, path: str, body: Body
) -> None:
    async with away(line):
        answer = await far.post(f"/oms/{path}", body)
        refused(answer, 503, "UNAVAILABLE")
        assert answer.headers["retry-after"]
        again = await far.post(f"/oms/{path}", body)
        refused(again, 503, "UNAVAILABLE")
        (kept,) = desk.context.store.commands.list(limit=1)
        assert (kept.status, await is_unstarted(desk, kept.idem_key)) == ("ENQUEUED", True)
    first, second = await asyncio.gather(*(one.post(f"/oms/{path}", body) for one in (desk, far)))
    assert first.json() == second.json()
    assert first.json()["message_id"] == kept.message_id
    done = await over(desk, kept.message_id)
    assert done["status"] == "DONE"
    assert desk.context.store.commands.list(limit=1)[0].message_id == kept.message_id


@pytest.mark.parametrize("key", [None, "own"])
async def test_an_envelope_that_was_not_accepted_may_come_again(
    desk: Desk, far: Desk, line: Line, key: str | None
) -> None:
    signed = envelope(idem_key=f"oms:nts:{hint()}" if key else None)
    async with away(line):
        refused(await far.post("/oms/envelopes", signed), 503, "UNAVAILABLE")
    taken = await desk.post("/oms/envelopes", signed)
    assert taken.status_code == 200, taken.text
    assert (await over(desk, taken.json()["message_id"]))["status"] == "DONE"
    again = await desk.post("/oms/envelopes", signed)
    if key:
        assert again.text == taken.text
    else:
        refused(again, 409, "REPLAYED_NONCE")


async def test_an_envelope_that_was_kept_and_grew_old_is_stale(desk: Desk, far: Desk, line: Line) -> None:
    """It was never accepted, so nothing is lost, and its producer hears that it must be signed anew."""
    signed = envelope(idem_key=f"oms:nts:{hint()}")
    async with away(line):
        refused(await far.post("/oms/envelopes", signed), 503, "UNAVAILABLE")
    async with beside(desk, envelope_window_seconds=0.001) as later:
        refused(await later.post("/oms/envelopes", signed), 403, "STALE_ENVELOPE")
    assert await is_unstarted(desk, signed["idem_key"])
    anew = envelope(idem_key=signed["idem_key"])
    assert (await desk.post("/oms/envelopes", anew)).status_code == 200


async def test_a_namespace_that_does_not_exist_accepts_nothing(desk: Desk, server: TemporalServer) -> None:
    """Temporal's own "not found" is not "started before": that would acknowledge what nobody has."""
    context = replace(desk.context, temporal=await server.client("nowhere"))
    async with beside(desk, context, answer_within_seconds=1.0) as lost:
        refused(await lost.post("/oms/ping", ping()), 503, "UNAVAILABLE")


async def test_what_died_between_the_store_and_temporal_goes_on(desk: Desk) -> None:
    """Another process kept the command and died: the same request again finds it and goes on."""
    body = ping()
    nowhere = await Client.connect(
        f"127.0.0.1:{free_ports(1)[0]}", lazy=True, data_converter=pydantic_data_converter
    )
    async with beside(desk, replace(desk.context, temporal=nowhere), answer_within_seconds=1.0) as dying:
        refused(await dying.post("/oms/ping", body), 503, "UNAVAILABLE")
    ack = (await desk.post("/oms/ping", body)).json()
    assert (await over(desk, ack["message_id"]))["status"] == "DONE"
