"""A worker of the desk that can be stopped in the middle of any step, and orders to try it on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from oms.activities.desk import Answer, DeskActivities
from oms.api.order_book import OrderBook
from oms.domain.commands import Actor, Command
from oms.domain.decide import Opening
from oms.domain.events import RestructuringBegun, RestructuringCompleted
from oms.domain.numbers import total
from oms.domain.order import Order
from oms.domain.restructuring import Plan, Remainder, new_ids, sources_of
from oms.domain.terms import State
from oms.store import Store
from oms.workflows.batch import BatchWorkflow
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.restructuring import RestructuringWorkflow
from tests.workflows.world import World

BEFORE, AFTER = "before", "after"


class Interrupted:
    """The order book, until its call number `at`: that one never answers, `BEFORE` or `AFTER` it was done."""

    def __init__(self, book: OrderBook, at: int, when: str) -> None:
        self._book, self._at, self._when = book, at, when
        self.calls: list[str] = []
        self.hangs = asyncio.Event()

    async def instruct(self, order_id: str, command: Command, actor: Actor, **rest: Any) -> Answer:
        return await self._do(command.kind, lambda: self._book.instruct(order_id, command, actor, **rest))

    async def open(self, opening: Opening) -> Answer:
        return await self._do("open", lambda: self._book.open(opening))

    async def left_by(self, order_id: str, update_id: str) -> Order:
        return await self._do("read", lambda: self._book.left_by(order_id, update_id))

    async def _do(self, name: str, real: Callable[[], Any]) -> Any:
        if self.hangs.is_set():
            await asyncio.Event().wait()
        self.calls.append(name)
        if len(self.calls) - 1 != self._at:
            return await real()
        if self._when == AFTER:
            await real()
        self.hangs.set()
        return await asyncio.Event().wait()


@asynccontextmanager
async def desk_worker(client: Client, book: Any, **options: Any) -> AsyncIterator[Worker]:
    """A worker of the desk, sandboxed, over `book`."""
    desk = DeskActivities(book)
    async with Worker(
        client,
        task_queue=DESK_QUEUE,
        workflows=[RestructuringWorkflow, BatchWorkflow],
        activities=[desk.instruct_order, desk.read_order, desk.open_order],
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_modules("oms")
        ),
        **options,
    ) as worker:
        yield worker


def book_of(world: World, seconds: float = 30) -> OrderBook:
    return OrderBook(world.client, world.store, seconds)


def no_half(store: Store, plan: Plan) -> None:
    """Nothing is traded twice and nothing is lost, at this moment."""
    sources = [store.orders.get(order_id) for order_id in sources_of(plan)]
    made = [store.orders.get(order_id) for order_id in new_ids(plan)]
    for source in sources:
        assert source is not None
        if isinstance(plan, Remainder):
            assert not any(made) or [link.order_id for link in source.links] == [plan.order_id]
        elif source.state is State.CANCELED:
            assert all(made), "a source has ended and not every new order exists"
        elif any(made):
            assert source.restructuring is not None, "a new order exists and a source is free"


def is_whole(store: Store, plan: Plan) -> None:
    """It has happened, once: links both ways, the quantity conserved, the journal as it should be."""
    made = [store.orders.get(order_id) for order_id in new_ids(plan)]
    sources = [store.orders.get(order_id) for order_id in sources_of(plan)]
    assert total(o.ordered_quantity for o in made if o) == total(o.ordered_quantity for o in sources if o)
    for source in sources:
        assert source is not None
        assert (source.state, source.restructuring) == (State.CANCELED, None)
        assert tuple(link.order_id for link in source.links) == new_ids(plan)
        happened = [e.happening for e in store.journal.of_order(source.order_id)][1:]
        assert [type(h) for h in happened] == [RestructuringBegun, RestructuringCompleted]
    for order in made:
        assert order is not None
        assert tuple(link.order_id for link in order.links) == sources_of(plan)
        assert len(store.journal.of_order(order.order_id)) == 1
