"""Limits that break and clear, and the stream of compliance events: every one once, from wherever the reader left."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import anyio
import httpx
import pytest
import structlog

from oms.api.compliance_events import WantedEvents
from oms.api.waking import wake_the_monitor
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.terms import Role
from oms.store.breaches import standing_breaches
from oms.workers.order_worker import build_desk_worker
from oms.workers.settings import Settings
from oms.workflows.watching import LIMIT_MONITOR, MONITOR_ID, MonitorInput
from tests.api.desk import Desk
from tests.api.holding import COMPLIANCE, Held, new_held
from tests.stack import until


@pytest.fixture
async def held(desk: Desk) -> Held:
    return await new_held(desk)


@dataclass
class Seen:
    """One compliance event as it came over the wire."""

    position: int
    kind: str
    data: dict[str, Any]


@asynccontextmanager
async def reader(address: str, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Seen]]:
    secret = headers.pop("secret", "secret-viewer")
    named = {"X-API-Key": secret, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with (
        httpx.AsyncClient(base_url=address, timeout=30) as client,
        client.stream("GET", f"{COMPLIANCE}/events{query}", headers=named) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield seen(response)


async def seen(response: httpx.Response) -> AsyncIterator[Seen]:
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line == "" and "data" in fields:
            yield Seen(int(fields["id"]), fields["event"], json.loads(fields["data"]))
            fields = {}
        elif line:
            fields[name] = value


async def take(stream: AsyncIterator[Seen], count: int) -> list[Seen]:
    async with asyncio.timeout(20):
        return [await anext(stream) for _ in range(count)]


@asynccontextmanager
async def monitoring(desk: Desk, every: timedelta) -> AsyncIterator[None]:
    """The limit monitor under its own name, on a queue of this test."""
    client, queue = desk.context.temporal, f"watch-{uuid.uuid4().hex}"
    async with build_desk_worker(client, desk.context.store, Settings(), queue=queue):
        await client.start_workflow(LIMIT_MONITOR, MonitorInput(every=every), id=MONITOR_ID, task_queue=queue)
        try:
            yield
        finally:
            await client.get_workflow_handle(MONITOR_ID).terminate("the test is over")


async def woken(desk: Desk) -> None:
    """What quoting prices does in the end."""
    await anyio.to_thread.run_sync(wake_the_monitor, desk.context.temporal)


async def test_a_price_breaks_a_limit_in_the_stream_and_the_price_back_clears_it(
    held: Held, address: str
) -> None:
    """Nothing but being woken makes the monitor look: it would look by itself in an hour."""
    desk = held.desk
    rule_id = await held.rule("gross_exposure", {"max_notional": "50000"}, severity="SOFT")
    await held.holds("320")
    start = desk.context.store.control.head()
    query = f"?portfolio_id={held.portfolio_id}"
    async with monitoring(desk, timedelta(hours=1)), reader(address, query) as stream:
        await held.quote("200")
        await woken(desk)
        (breached,) = await take(stream, 1)
        assert (breached.kind, breached.data["event_type"]) == ("limit_breached", "limit_breached")
        assert {
            name: breached.data[name] for name in ("rule_id", "severity", "portfolio_id", "order_id")
        } == {
            "rule_id": rule_id,
            "severity": "SOFT",
            "portfolio_id": held.portfolio_id,
            "order_id": None,
        }
        listed = (await desk.get(f"{COMPLIANCE}/breaches?limit=500")).json()["items"]
        (breach,) = [item for item in listed if item["portfolio_id"] == held.portfolio_id]
        assert (breach["rule_id"], breach["limit"], breach["used"]) == (rule_id, "50000", "64000")
        hidden = (await desk.get(f"{COMPLIANCE}/breaches", "secret-second")).json()["items"]
        assert held.portfolio_id not in {item["portfolio_id"] for item in hidden}
        await held.quote("100")
        await woken(desk)
        (cleared,) = await take(stream, 1)
        assert (cleared.kind, cleared.data["rule_id"]) == ("limit_cleared", rule_id)
        assert cleared.position > breached.position > start
    assert held.portfolio_id not in {
        item["portfolio_id"] for item in (await desk.get(f"{COMPLIANCE}/breaches")).json()["items"]
    }
    async with reader(address, query, Last_Event_ID=str(breached.position)) as stream:
        assert await take(stream, 1) == [cleared]


async def test_a_monitor_that_nobody_runs_is_no_trouble_for_who_quotes(desk: Desk) -> None:
    with structlog.testing.capture_logs() as logged:
        await woken(desk)
        told = "the limit monitor could not be woken"
        await until(lambda: told in [line["event"] for line in logged], "the attempt in the log")


async def test_a_storm_of_prices_is_a_few_signals_and_the_last_one_counts(held: Held) -> None:
    await held.rule("gross_exposure", {"max_notional": "50000"})
    await held.holds("320")
    async with monitoring(held.desk, timedelta(hours=1)):
        for price in range(101, 161):
            await held.quote(str(price))
            await woken(held.desk)
        breaches = held.desk.context.store.database
        await until(lambda: standing_breaches(breaches, [held.portfolio_id]), "the breach at a price of 157")
        handle = held.desk.context.temporal.get_workflow_handle(MONITOR_ID)
        history = await handle.fetch_history()
        signals = [
            event
            for event in history.events
            if event.HasField("workflow_execution_signaled_event_attributes")
        ]
        assert 0 < len(signals) < 40


async def test_a_reader_goes_on_where_it_left_off_and_skips_nothing(held: Held, address: str) -> None:
    desk, start = held.desk, held.desk.context.store.control.head()
    rules = [await held.rule("max_order_quantity", {"max_quantity": n}) for n in range(1, 5)]
    async with reader(address, f"?after={start}") as stream:
        first = await take(stream, 2)
    async with reader(address, f"?after={start}", Last_Event_ID=str(first[-1].position)) as stream:
        rest = await take(stream, 2)
        await desk.ask(Role.COMPLIANCE, "DELETE", f"{COMPLIANCE}/rules/{rules[0]}")
        rest += await take(stream, 1)
    assert [event.position for event in first + rest] == list(range(start + 1, start + 6))
    assert [event.kind for event in first + rest] == [*["rule_created"] * 4, "rule_deleted"]
    assert [event.data["rule_id"] for event in first + rest] == [*rules, rules[0]]
    assert rest[-1].data["actor"] == "compliance"
    wrong = await desk.get(f"{COMPLIANCE}/events", last_event_id="x")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "MALFORMED")


async def test_orders_that_fail_warn_or_are_let_through_are_told(held: Held, address: str) -> None:
    desk, start = held.desk, held.desk.context.store.control.head()
    hard = await held.rule("max_order_quantity", {"max_quantity": "10"})
    soft = await held.rule("max_order_notional", {"max_notional": "10"}, severity="SOFT")
    terms = {"portfolio_id": held.portfolio_id, "instrument_id": held.instrument_id, "compliance": "builtin"}
    failing = (await desk.order(**terms))["order_id"]
    async with reader(address, f"?portfolio_id={held.portfolio_id}&after={start}") as stream:
        await desk.command(failing, "pre-trade-compliance/request")
        (failed,) = await take(stream, 1)
        override = {"reason": "approved", "approver_id": "USER-1"}
        await desk.command(failing, "pre-trade-compliance/override", Role.COMPLIANCE, override)
        warned_id = (await desk.order(**terms, ordered_quantity="5"))["order_id"]
        await desk.command(warned_id, "pre-trade-compliance/request")
        overridden, warned = await take(stream, 2)
    assert (failed.kind, failed.data["rule_id"], failed.data["severity"]) == ("order_failed", hard, "HARD")
    assert (failed.data["order_id"], overridden.data["order_id"]) == (failing, failing)
    assert (overridden.kind, overridden.data["reason"]) == ("order_overridden", "approved")
    assert (warned.kind, warned.data["rule_id"], warned.data["severity"]) == ("order_warned", soft, "SOFT")
    assert warned.data["order_id"] == warned_id


async def test_a_subscriber_sees_its_own_portfolios_only(held: Held, address: str) -> None:
    """A key to PORT-002 sees neither another portfolio's events nor changes of rules."""
    desk, start = held.desk, held.desk.context.store.control.head()

    async def failed(portfolio_id: str) -> str:
        order_id: str = (await desk.order(portfolio_id=portfolio_id))["order_id"]
        await desk.command(order_id, "pre-trade-compliance/request")
        violation = {"rule_id": "R-x", "rule_name": "x", "description": "no"}
        said = {"violations": [violation]}
        await desk.command(order_id, "pre-trade-compliance/fail", Role.COMPLIANCE, said)
        return order_id

    await failed(held.portfolio_id)
    first = await failed("PORT-002")
    await held.rule("short_sale_ban", {})
    second = await failed("PORT-002")
    async with reader(address, f"?after={start}", secret="secret-second") as stream:
        events = await take(stream, 2)
    assert [event.data["order_id"] for event in events] == [first, second]
    assert {event.data["portfolio_id"] for event in events} == {"PORT-002"}


def test_what_is_out_of_reach_is_never_taken() -> None:
    ours = ControlEvent(
        kind=ControlKind.LIMIT_BREACHED, subject="R-1", portfolio_id="PORT-002", actor="x", ts_ns=1
    )
    others, rule, basket = (
        ours.model_copy(update={"portfolio_id": "PORT-001"}),
        ours.model_copy(update={"portfolio_id": None, "kind": ControlKind.RULE_CREATED}),
        ours.model_copy(update={"kind": ControlKind.BASKET_CREATED}),
    )
    every = (ours, others, rule, basket)
    for wanted, seen_by in (
        (WantedEvents(), (ours, others, rule)),
        (WantedEvents(("PORT-002",)), (ours,)),
        (WantedEvents(None, "PORT-002"), (ours,)),
        (WantedEvents(("PORT-002",), "PORT-001"), ()),
        (WantedEvents(()), ()),
    ):
        assert tuple(event for event in every if wanted.takes(event)) == seen_by
