"""What most routes do: find the order the caller may see, instruct it, answer the order after it."""

from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Path
from pydantic import BaseModel
from starlette.responses import Response

from oms.api.asking import Ask, Asking, Book, Context
from oms.api.context import APIContext
from oms.api.order_book import OrderBook, no_order
from oms.api.views import order_answer
from oms.domain.commands import Command
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.order import Allocation, Order, Placement
from oms.store import Store
from oms.workflows.contract import Recorded

OrderId = Annotated[Name, Path(description="`ORD-` and a UUID.")]
PlacementId = Annotated[Name, Path(description="`PLC-` and a UUID.")]
AllocationId = Annotated[Name, Path(description="`ALC-` and a UUID.")]
RuleId = Annotated[Name, Path(description="`RUL-` and a UUID, or the name the rule was given.")]


@dataclass(frozen=True)
class Desk:
    """One caller at the order book. Methods that block say so; the others await."""

    context: APIContext
    book: OrderBook
    asking: Asking

    @property
    def store(self) -> Store:
        return self.context.store

    def order(self, order_id: str) -> Order:
        """The order as last recorded. Blocks. Raises Refused: ORDER_NOT_FOUND, also for one out of reach."""
        order = self.store.orders.get(order_id)
        if order is None or not self.asking.caller.reach.has_portfolio(order.portfolio_id):
            raise no_order(order_id)
        return order

    def placement(self, placement_id: str) -> tuple[str, Placement]:
        """The placement and its order's id. Blocks. Raises Refused: PLACEMENT_NOT_FOUND."""
        found = self.store.orders.placement(placement_id)
        if found is None or not self._may_see(found[0]):
            raise Refused(
                Code.PLACEMENT_NOT_FOUND,
                f"There is no placement {placement_id!r}.",
                placement_id=placement_id,
            )
        return found

    def allocation(self, allocation_id: str) -> tuple[str, Allocation]:
        """The allocation and its order's id. Blocks. Raises Refused: ALLOCATION_NOT_FOUND."""
        found = self.store.orders.allocation(allocation_id)
        if found is None or not self._may_see(found[0]):
            raise Refused(
                Code.ALLOCATION_NOT_FOUND,
                f"There is no allocation {allocation_id!r}.",
                allocation_id=allocation_id,
            )
        return found

    def _may_see(self, order_id: str) -> bool:
        if self.asking.caller.reach.portfolios is None:
            return True
        order = self.store.orders.get(order_id)
        return order is not None and self.asking.caller.reach.has_portfolio(order.portfolio_id)

    async def instruct(self, order_id: str, command: Command) -> tuple[Recorded, Order]:
        """Give the command; the answer and the order after it."""
        asking = self.asking
        if asking.caller.reach.portfolios is not None:
            await anyio.to_thread.run_sync(self.order, order_id)
        recorded = await self.book.instruct(
            order_id,
            command,
            asking.caller.actor,
            ts_event_ns=asking.ts_event_ns,
            correlation_id=asking.request_id,
            expected_version=asking.expected_version,
            update_id=asking.update_id(order_id),
        )
        return recorded, await anyio.to_thread.run_sync(self.order, order_id)

    async def command(self, order_id: str, command: Command) -> Response:
        """Give the command and answer the order after it; 202 while the venue has not spoken yet."""
        recorded, order = await self.instruct(order_id, command)
        return order_answer(order, status_of(recorded))


def status_of(recorded: Recorded) -> int:
    """200, or 202 while the answer waits for a venue."""
    return 200 if recorded.settled else 202


def created(view: BaseModel, order: Order, location: str) -> Response:
    """201 with where the new thing lives."""
    return order_answer(order, 201, view, Location=location)


def _desk(context: Context, book: Book, asking: Ask) -> Desk:
    return Desk(context, book, asking)


AtDesk = Annotated[Desk, Depends(_desk)]
