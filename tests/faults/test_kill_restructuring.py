"""`kill -9` of the worker while orders are merged and split: never half of one, and each of them comes to its end."""

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oms.api.new_order import NewOrder
from oms.api.order_book import OrderBook
from oms.domain.commands import Actor
from oms.domain.identifiers import ORDER, RESTRUCTURING, identifier, uuid7
from oms.domain.reference import InstrumentTerms
from oms.domain.restructuring import Merge, Plan, Split, new_ids, sources_of
from oms.domain.terms import Role
from oms.store import Store, rebuild
from oms.workflows.contract import Restructured, RestructuringInput
from tests.stack import temporal_server, until
from tests.workflows.desk import is_whole, no_half
from tests.workflows.world import new_store

PM = Actor(key="pm", roles=(Role.PM,))
KILLED_AT = (1, 5)
"""The worker dies as soon as so many events of a round are in the journal; a round has 4 + 2 + 4 of them.

Every single step is tried in tests/workflows; here a real process dies."""


def new_id(prefix: str) -> str:
    return identifier(prefix, uuid7(time.time_ns() // 1_000_000, uuid.uuid4().bytes))


@asynccontextmanager
async def worker(address: str, store_file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`oms worker` in a process of its own, killed with SIGKILL in the end."""
    environment = {
        **os.environ,
        "OMS_TEMPORAL_ADDRESS": address,
        "OMS_DATABASE_URL": f"sqlite:///{store_file}",
        "OMS_DATA_DIR": str(store_file.parent / "data"),
        "OMS_STICKY_SECONDS": "0.5",
    }
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "oms.cli.main", "worker", env=environment, stdout=silent, stderr=silent
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def plans(book: OrderBook, instrument_id: str) -> tuple[Plan, Plan]:
    """A merge of two new orders, and a split of another."""
    terms = {
        "portfolio_id": "PORT-001",
        "instrument_id": instrument_id,
        "direction": "Buy",
        "ordered_quantity": "100",
        "order_type": "Limit",
        "limit_price": "10",
        "time_in_force": "Day",
    }
    ids = [(await book.create(NewOrder.model_validate(terms), PM)).order_id for _ in range(3)]
    merge = Merge(source_ids=tuple(ids[:2]), order_id=new_id(ORDER))
    split = Split(source_id=ids[2], quantities=("33.3", "66.7"), order_ids=(new_id(ORDER), new_id(ORDER)))
    return merge, split


async def restructure(book: OrderBook, store: Store, plan: Plan) -> Restructured:
    wanted = RestructuringInput(
        restructuring_id=new_id(RESTRUCTURING), plan=plan, actor=PM, ts_event_ns=time.time_ns()
    )
    sources = [store.orders.get(order_id) for order_id in sources_of(plan)]
    return await book.together.restructure(wanted, [source for source in sources if source is not None])


def events_of(store: Store, wanted: tuple[Plan, ...]) -> int:
    """How many events these merges and splits have caused."""
    begun = sum(len(store.journal.of_order(order_id)) - 1 for plan in wanted for order_id in sources_of(plan))
    return begun + sum(len(store.journal.of_order(order_id)) for plan in wanted for order_id in new_ids(plan))


@pytest.mark.slow
@pytest.mark.fault
@pytest.mark.timeout(400)
async def test_a_worker_killed_between_two_steps_leaves_no_half(tmp_path: Path) -> None:
    store, file = new_store(tmp_path), tmp_path / "oms.db"
    instrument = store.reference.put_instrument(InstrumentTerms(symbol="AAPL"), "INS-1")
    done: list[Plan] = []
    async with temporal_server() as server:
        book = OrderBook(await server.client(), store, 90)
        for count in KILLED_AT:
            async with worker(server.address, file) as first:
                wanted = await plans(book, instrument.instrument_id)
                asking = [asyncio.create_task(restructure(book, store, plan)) for plan in wanted]
                await until(lambda n=count, w=wanted: events_of(store, w) >= n, f"{count} events", 60)
                first.kill()
                await first.wait()
                for plan in wanted:
                    no_half(store, plan)
            async with worker(server.address, file):
                for plan, answer in zip(wanted, await asyncio.gather(*asking), strict=True):
                    assert answer.order_ids == new_ids(plan)
            done += wanted
    for plan in done:
        is_whole(store, plan)
    assert rebuild(store, write=False).is_clean
    store.close()
