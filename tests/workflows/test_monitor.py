"""The limit monitor: one durable loop that looks in time, looks at once when woken, and never gives up."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import RetryPolicy
from temporalio.service import RPCError

from oms.domain.control import ControlKind
from oms.domain.findings import Looked
from oms.domain.reference import QuotedPrice
from oms.domain.rules.rule import Rule
from oms.store import Store
from oms.workers.order_worker import build_desk_worker, start_watchers
from oms.workers.settings import Settings
from oms.workflows import ports
from oms.workflows.monitor import MonitorWorkflow
from oms.workflows.ports import Port
from oms.workflows.watching import (
    INVARIANTS_ID,
    LAST_QUERY,
    LIMIT_MONITOR,
    LOOK_SIGNAL,
    MONITOR_ID,
    MonitorInput,
)
from tests.stack import TemporalServer, until
from tests.store.building import APPLE, straight_through
from tests.workflows.world import new_store, quiet, replayed

HOUR = timedelta(hours=1)
TOLD = (ControlKind.LIMIT_BREACHED, ControlKind.LIMIT_CLEARED)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """PORT-001 holds 100 AAPL of ten millions, and may hold 1 % of that in one name."""
    made = new_store(tmp_path)
    made.reference.put_instrument(APPLE, APPLE.instrument_id)
    straight_through().recorded(made)
    made.rules.put(
        Rule(
            rule_id="R-1",
            rule_type="concentration_limit",
            name="one name",
            parameters={"max_pct": "0.01"},
            created_by="compliance",
            created_at=datetime.now(UTC),
        )
    )
    quote(made, "150")
    return made


@pytest.fixture
async def queue(client: Client, store: Store) -> AsyncIterator[str]:
    name = f"watch-{uuid4().hex}"
    async with build_desk_worker(client, store, Settings(), queue=name):
        yield name


@asynccontextmanager
async def monitoring(client: Client, queue: str, **given: Any) -> AsyncIterator[WorkflowHandle[Any, Any]]:
    handle = await client.start_workflow(
        LIMIT_MONITOR, MonitorInput(**given), id=f"monitor/{uuid4().hex}", task_queue=queue
    )
    try:
        yield client.get_workflow_handle(handle.id)
    finally:
        await client.get_workflow_handle(handle.id).terminate("the test is over")


def quote(store: Store, price: str) -> None:
    now = datetime.now(UTC)
    store.reference.put_prices(
        [QuotedPrice(instrument_id=APPLE.instrument_id, price=Decimal(price), as_of=now)]
    )


def told(store: Store) -> list[tuple[ControlKind, str, str | None]]:
    return [(e.kind, e.subject, e.portfolio_id) for e in store.control.stream(0, kinds=TOLD)]


async def until_told(store: Store, count: int) -> list[tuple[ControlKind, str, str | None]]:
    await until(lambda: len(told(store)) >= count, f"{count} event(s)")
    return told(store)


async def last(handle: WorkflowHandle[Any, Any]) -> Looked | None:
    found: Looked | None = await handle.query(LAST_QUERY, result_type=Looked)
    return found


async def looked(handle: WorkflowHandle[Any, Any]) -> Looked:
    found: Looked = await until(lambda: last(handle), "a look")
    return found


async def test_a_price_breaks_a_limit_and_the_price_back_clears_it(
    client: Client, store: Store, queue: str
) -> None:
    async with monitoring(client, queue, every=timedelta(milliseconds=100)) as handle:
        assert (await looked(handle)).over == 0
        quote(store, "1100")
        assert await until_told(store, 1) == [(ControlKind.LIMIT_BREACHED, "R-1", "PORT-001")]
        quote(store, "150")
        events = await until_told(store, 2)
        assert events[1:] == [(ControlKind.LIMIT_CLEARED, "R-1", "PORT-001")]
        await replayed(await handle.fetch_history(), workflow=MonitorWorkflow)


async def test_it_looks_at_once_when_it_is_woken(client: Client, store: Store, queue: str) -> None:
    """Nothing but the signal makes it look within the hour."""
    async with monitoring(client, queue, every=HOUR) as handle:
        await looked(handle)
        quote(store, "1100")
        await handle.signal(LOOK_SIGNAL)
        await until_told(store, 1)
        quote(store, "150")
        for _ in range(20):
            await handle.signal(LOOK_SIGNAL)
        await until_told(store, 2)
        assert (await looked(handle)).over == 0


async def test_a_long_history_goes_on_in_another_run(client: Client, store: Store, queue: str) -> None:
    async with monitoring(client, queue, every=timedelta(milliseconds=20), events_per_run=30) as handle:
        first = (await handle.describe()).run_id
        quote(store, "1100")
        await until_told(store, 1)

        async def is_another_run() -> bool:
            return (await handle.describe()).run_id != first

        await until(is_another_run, "another run")
        await looked(handle)
        quote(store, "150")
        assert [kind for kind, *_ in await until_told(store, 2)] == list(TOLD)


async def test_it_survives_its_worker(client: Client, store: Store) -> None:
    queue = f"watch-{uuid4().hex}"
    async with monitoring(client, queue, every=timedelta(milliseconds=100)) as handle:
        async with build_desk_worker(client, store, Settings(), queue=queue):
            await looked(handle)
        quote(store, "1100")
        assert told(store) == []
        async with build_desk_worker(client, store, Settings(sticky_seconds=0.5), queue=queue):
            await until_told(store, 1)


async def test_two_workers_have_one_monitor_between_them(
    client: Client, server: TemporalServer, store: Store
) -> None:
    queue, other = f"watch-{uuid4().hex}", await server.client()
    handles = [client.get_workflow_handle(name) for name in (MONITOR_ID, INVARIANTS_ID)]
    try:
        async with (
            build_desk_worker(client, store, Settings(), queue=queue),
            build_desk_worker(other, store, Settings(), queue=queue),
        ):
            await start_watchers(client, queue=queue)
            runs = [(await handle.describe()).run_id for handle in handles]
            await start_watchers(other, queue=queue)
            assert [(await handle.describe()).run_id for handle in handles] == runs
            quote(store, "1100")
            await handles[0].signal(LOOK_SIGNAL)
            await until_told(store, 1)
            quote(store, "150")
            await handles[0].signal(LOOK_SIGNAL)
            assert len(await until_told(store, 2)) == 2
            await handles[0].terminate("by an operator")
            await start_watchers(client, queue=queue)
            again = await handles[0].describe()
            assert (again.status, again.run_id == runs[0]) == (WorkflowExecutionStatus.RUNNING, False)
    finally:
        for handle in handles:
            with suppress(RPCError):
                await handle.terminate("the test is over")


async def test_a_look_that_fails_is_tried_again_and_shown(
    client: Client, store: Store, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet()
    real: Callable[..., Any] = store.compliance.watch

    def away(*_: Any) -> Any:
        raise OperationalError("watch", {}, Exception("the database is away"))

    hurried = Port("watch_limits", Looked, timedelta(seconds=5), RetryPolicy(maximum_attempts=2))
    monkeypatch.setattr(ports, "WATCH_LIMITS", hurried)
    monkeypatch.setattr(store.compliance, "watch", away)
    async with monitoring(client, queue, every=timedelta(milliseconds=100)) as handle:

        async def details() -> str:
            metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
            return str(metadata.current_details)

        async def says_why() -> bool:
            return "the database is away" in await details()

        await until(says_why, "the trouble in the details")
        quote(store, "1100")
        monkeypatch.setattr(store.compliance, "watch", real)
        await until_told(store, 1)

        async def says_what_is_over() -> bool:
            return "1 limit(s) over" in await details()

        await until(says_what_is_over, "the limit in the details")
