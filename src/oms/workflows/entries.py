"""One entry of a signed command in its workflow: worked out once, then opened whole, or not at all."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from temporalio import workflow

from oms.domain.commands import CancelOrder
from oms.domain.decide import Opening
from oms.domain.errands import Reply, errand
from oms.domain.errors import Code
from oms.domain.programs.carrying import (
    EntryAsk,
    EntryLook,
    EntryOpening,
    Failing,
    commanded,
    not_prepared,
)
from oms.domain.programs.intake import SubmittedOrder
from oms.domain.programs.outcomes import Commanded, CommandInput, Prepared
from oms.workflows import ports
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.telling import summary

CHECKED_WITHIN = timedelta(minutes=1)
"""So long the checks of an entry with exits are watched; later a failure is for a person to see, like any order's."""
_REST = timedelta(seconds=2)


class Entry:
    """One entry under way. No position in it is state: after a crash Temporal takes the same way again.

    detail: what was asked for and has no effect.
    """

    def __init__(
        self, asked: CommandInput, tenant: str, index: int, order: SubmittedOrder, asof: datetime | None
    ) -> None:
        self.asked = asked
        self.ask = EntryAsk(asked=asked, tenant=tenant, order_index=index, order=order, asof=asof)
        self.detail: str | None = None

    async def done(self, *, dry_run: bool, last: bool) -> tuple[Commanded, ...] | None:
        """What became of its orders, or would; None where nobody can say now what its instrument is.

        `last`: then it is refused for that.
        """
        given = self.ask.order
        what = f"{given.order.action} {given.order.total_quantity} {given.contract.symbol}"
        plan = await ports.PLAN_ENTRY(self.ask, summary=what)
        if plan.prepared is not None:
            self.detail = plan.prepared.detail
            return self.tried(plan.prepared) if dry_run else await self.opened(plan.prepared)
        if plan.refusal is None or (plan.refusal.code == Code.UNAVAILABLE and not last):
            return None
        return (not_prepared(self.index, given, plan.refusal),)

    def tried(self, prepared: Prepared) -> tuple[Commanded, ...]:
        """What would be opened; nothing is."""
        would = zip(commanded(self.index, prepared), prepared.openings, strict=True)
        return tuple(
            order.model_copy(update={"order_id": None, "detail": f"would open {summary(opening)}"})
            for order, (_, opening) in would
        )

    async def opened(self, prepared: Prepared) -> tuple[Commanded, ...]:
        told = EntryOpening(
            message_id=self.asked.message_id,
            tenant=self.ask.tenant,
            order_index=self.index,
            prepared=prepared,
        )
        became = (await ports.OPEN_ENTRY(told, summary=_first(prepared))).orders
        if any(order.refusal is not None for order in became):
            return await self.taken_back(became, {})
        return await self.kept_whole(became)

    # -- the steps ----------------------------------------------------------------------------------

    @property
    def index(self) -> int:
        return self.ask.order_index

    async def kept_whole(self, became: tuple[Commanded, ...]) -> tuple[Commanded, ...]:
        """An entry with exits goes to its venue when all of it has passed its checks; one that fails ends all of it."""
        if len(became) == 1:
            return became
        look = EntryLook(order_ids=tuple(order.order_id for order in became if order.order_id is not None))
        until = workflow.now() + CHECKED_WITHIN
        while True:
            found = await ports.LOOK_AT_ENTRY(look, summary=f"the checks of {len(became)} orders")
            if found.failing and await self.never_passes(found.failing[0]):
                why = {failing.order_id: failing.why for failing in found.failing}
                return await self.taken_back(became, why)
            if not (found.failing or found.waits) or workflow.now() >= until:
                return became
            await workflow.sleep(_REST, summary="until its orders are checked")

    async def never_passes(self, failing: Failing) -> bool:
        """Whether the order is over now, while nobody has overridden its check: then nothing of its entry can leave."""
        if failing.is_over:
            return True
        return (await self.cancel(failing.order_id, failing.version)).refusal is None

    async def taken_back(
        self, became: tuple[Commanded, ...], why: Mapping[str, str]
    ) -> tuple[Commanded, ...]:
        """Cancel what was opened: nothing of it has left, because a venue gets an entry and its exits together."""
        return tuple([await self.ended(order, why.get(order.order_id or "")) for order in became])

    async def ended(self, order: Commanded, why: str | None) -> Commanded:
        if order.order_id is None:
            return order
        await self.cancel(order.order_id)
        return order.model_copy(update={"detail": f"{why}; canceled" if why else "canceled with its entry"})

    async def cancel(self, order_id: str, version: int | None = None) -> Reply:
        """One that is over already says so, and that is as good. `version`: only if the order is still at it."""
        told = errand(
            order_id,
            f"{self.asked.message_id}/back/{version or 'any'}/{order_id}",
            CancelOrder(reason="an order of the same entry was refused"),
            self.asked.actor,
            self.asked.received_ns,
            self.asked.correlation_id,
            version,
        )
        return await ports.INSTRUCT_ORDER(told, summary=f"cancel {order_id}", queue=DESK_QUEUE)


def _first(prepared: Prepared) -> str:
    openings: list[Opening] = [opening for _, opening in prepared.openings]
    more = f" and {len(openings) - 1} more" if len(openings) > 1 else ""
    return f"{summary(openings[0])}{more}"[:200]
