"""A merge, a split or a remainder, as one durable workflow that never leaves half of it.

First every source is told: held for a merge or a split, or carried on. Until the last of them has agreed, everything
can be taken back. From there on the new orders are worked out of the sources as they were held, opened, and the
sources are ended. Every step may be taken twice, so a crash between any two of them is not seen.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from oms.domain import commands as cmd
    from oms.domain.commands import SYSTEM, Actor
    from oms.domain.decide import Opening
    from oms.domain.errands import Errand, Refusal, Reply, errand
    from oms.domain.errors import Refused
    from oms.domain.order import Order
    from oms.domain.restructuring import (
        Remainder,
        first_command,
        last_command,
        new_ids,
        openings,
        sources_of,
    )
    from oms.workflows import ports
    from oms.workflows.contract import (
        DONE_UPDATE,
        REFUSED,
        RESTRUCTURING_WORKFLOW,
        Restructured,
        RestructuringInput,
    )

_REST = timedelta(seconds=30)
_FIRST, _LAST, _BACK = "first", "last", "back"


@workflow.defn(name=RESTRUCTURING_WORKFLOW)
class RestructuringWorkflow:
    @workflow.init
    def __init__(self, asked: RestructuringInput) -> None:
        self.asked = asked
        self.restructured: Restructured | None = None
        self.refusal: Refusal | None = None

    @workflow.update(name=DONE_UPDATE)
    async def done(self) -> Restructured:
        """Answers when the new orders exist and their sources know them, or with the refusal."""
        await workflow.wait_condition(lambda: self.restructured is not None or self.refusal is not None)
        return self.outcome()

    @workflow.run
    async def run(self, _asked: RestructuringInput) -> Restructured:
        try:
            await self.tell_sources()
            await self.open_all(await self.openings())
        except Refused as refused:
            await self.take_back(refused)
            self.refusal = Refusal.of(refused)
        else:
            await self.end_sources()
            self.restructured = Restructured(order_ids=new_ids(self.asked.plan))
        self.show(self.refusal.message if self.refusal else "done")
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.outcome()

    def outcome(self) -> Restructured:
        """The answer. Raises ApplicationError with the refusal."""
        if self.restructured is not None:
            return self.restructured
        refusal = self.refusal
        raise ApplicationError(refusal.message if refusal else "", refusal, type=REFUSED, non_retryable=True)

    # -- the steps ----------------------------------------------------------------------------------

    async def tell_sources(self) -> None:
        """One after the other in the order of their ids: of two restructurings that share a source one gets all.

        Raises Refused: what the first source with an objection says.
        """
        command = first_command(self.asked.plan, self.asked.restructuring_id)
        for order_id in self.source_ids():
            self.show(f"{command.kind} to {order_id}")
            reply = await self.instruct(order_id, _FIRST, command, self.asked.actor)
            if reply.refusal is not None:
                raise reply.refusal.refused()

    async def openings(self) -> tuple[Opening, ...]:
        """The new orders, from the sources as the first command left them. Raises Refused."""
        asked = self.asked
        sources = [await self.read(order_id) for order_id in sources_of(asked.plan)]
        made = openings(asked.plan, sources, asked.actor, asked.ts_event_ns)
        return tuple(opening.model_copy(update={"correlation_id": asked.correlation_id}) for opening in made)

    async def open_all(self, made: tuple[Opening, ...]) -> None:
        """Raises Refused where the very first is refused: nothing exists yet. After it all of them are opened."""
        for number, opening in enumerate(made):
            self.show(f"open {opening.order_id}")
            while (reply := await self.open(opening)).refusal is not None:
                if number == 0 and not isinstance(self.asked.plan, Remainder):
                    raise reply.refusal.refused()
                await self.rest(f"{opening.order_id} is not opened: {reply.refusal.message}")

    async def end_sources(self) -> None:
        """Every source learns what it has become; nobody else can change it before."""
        command = last_command(self.asked.plan, self.asked.restructuring_id)
        if command is None:
            return
        for order_id in self.source_ids():
            self.show(f"{command.kind} to {order_id}")
            while (reply := await self.instruct(order_id, _LAST, command, SYSTEM)).refusal is not None:
                await self.rest(f"{order_id} does not end: {reply.refusal.message}")

    async def take_back(self, refused: Refused) -> None:
        """Every source is free again, also one whose agreement never reached us; one that was not held says so."""
        if isinstance(self.asked.plan, Remainder):
            return
        command = cmd.AbandonRestructuring(
            restructuring_id=self.asked.restructuring_id, reason=refused.message[:1000]
        )
        for order_id in self.source_ids():
            self.show(f"{command.kind} to {order_id}")
            await self.instruct(order_id, _BACK, command, SYSTEM)

    # -- asking -------------------------------------------------------------------------------------

    def source_ids(self) -> list[str]:
        return sorted(set(sources_of(self.asked.plan)))

    async def instruct(self, order_id: str, step: str, command: cmd.Command, actor: Actor) -> Reply:
        told = self.errand(order_id, step, command, actor)
        return await ports.INSTRUCT_ORDER(told, summary=f"{command.kind} {order_id}")

    async def read(self, order_id: str) -> Order:
        command = first_command(self.asked.plan, self.asked.restructuring_id)
        told = self.errand(order_id, _FIRST, command, self.asked.actor)
        return await ports.READ_ORDER(told, summary=order_id)

    async def open(self, opening: Opening) -> Reply:
        return await ports.OPEN_ORDER(opening, summary=opening.order_id)

    def errand(self, order_id: str, step: str, command: cmd.Command, actor: Actor) -> Errand:
        asked = self.asked
        return errand(
            order_id,
            f"{asked.restructuring_id}/{step}/{order_id}",
            command,
            actor,
            asked.ts_event_ns,
            asked.correlation_id,
            asked.expected_version if step == _FIRST else None,
        )

    async def rest(self, why: str) -> None:
        """What must happen is asked again for as long as it takes."""
        workflow.logger.error("%s: %s, it is tried again", self.asked.restructuring_id, why)
        self.show(f"tried again: {why}")
        await workflow.sleep(_REST)

    def show(self, what: str) -> None:
        workflow.set_current_details(f"**{self.asked.plan.kind}** of {', '.join(self.source_ids())}: {what}")
