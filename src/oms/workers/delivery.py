"""Handing a venue's facts to the order they are about, whether its workflow runs or has ended."""

import asyncio

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from oms.domain.facts import Fact
from oms.domain.identifiers import workflow_id
from oms.domain.observe import brings_news
from oms.store import Store
from oms.workflows.contract import (
    ORDER_QUEUE,
    ORDER_WORKFLOW,
    VENUE_FACTS_SIGNAL,
    Carried,
    OrderInput,
)


class FactDelivery:
    """Signals orders. The same facts twice are one to the order: it knows every execution by its id."""

    def __init__(self, client: Client, store: Store, source: str) -> None:
        self._client = client
        self._store = store
        self._source = source

    async def __call__(self, order_id: str, facts: list[Fact]) -> bool:
        """True when the order has them, False when no order takes them; raises to be asked again."""
        handle = self._client.get_workflow_handle(workflow_id(order_id))
        try:
            await handle.signal(VENUE_FACTS_SIGNAL, args=[self._source, facts])
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return await self._reopen(order_id, facts)
        return True

    async def _reopen(self, order_id: str, facts: list[Fact]) -> bool:
        """An order that has ended is carried on from its projection, so that a late fact is still booked.

        One that takes no more facts has what only repeats what it knows; news for it is nobody's.
        """
        order = await asyncio.to_thread(self._store.orders.get, order_id)
        if order is None:
            return False
        if not order.takes_facts:
            return not brings_news(order, facts)
        try:
            await self._client.start_workflow(
                ORDER_WORKFLOW,
                OrderInput(carried=Carried(order=order)),
                id=workflow_id(order_id),
                task_queue=ORDER_QUEUE,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                start_signal=VENUE_FACTS_SIGNAL,
                start_signal_args=[self._source, facts],
                static_summary=f"{order_id} reopened for a fact that came after its end",
            )
        except WorkflowAlreadyStartedError:
            return await self(order_id, facts)
        return True
