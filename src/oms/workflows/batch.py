"""One command each for many orders, as one durable workflow: every order answers for itself."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from oms.domain.errands import Reply, errand
    from oms.workflows import ports
    from oms.workflows.contract import BATCH_WORKFLOW, DONE_UPDATE, BatchInput, Replies

AT_ONCE = 16
MANY = 200
"""Above so many orders refusals are kept in short, so that all replies fit into one message."""
_SHORT = 300
"""How many orders are asked at a time."""


@workflow.defn(name=BATCH_WORKFLOW)
class BatchWorkflow:
    @workflow.init
    def __init__(self, batch: BatchInput) -> None:
        self.batch = batch
        self.replies: list[Reply | None] = [None] * len(batch.steps)
        self.waiting = list(range(len(batch.steps)))

    @workflow.update(name=DONE_UPDATE)
    async def done(self) -> Replies:
        """Answers when every order has, or after the batch's patience with the answers that there are."""
        try:
            await workflow.wait_condition(
                self.is_complete, timeout=self.batch.patience, timeout_summary="the last answers"
            )
        except TimeoutError:
            workflow.logger.info("%s is asked before it is complete", self.batch.batch_id)
        return self.said()

    @workflow.run
    async def run(self, batch: BatchInput) -> Replies:
        self.show()
        await asyncio.gather(*(self.work() for _ in range(min(AT_ONCE, len(batch.steps)))))
        self.show()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.said()

    def said(self) -> Replies:
        order_ids = tuple(step.order_id for step in self.batch.steps)
        return Replies(order_ids=order_ids, replies=tuple(self.replies))

    def is_complete(self) -> bool:
        return None not in self.replies

    async def work(self) -> None:
        """Ask one order after the other, until every one is somebody's."""
        while self.waiting:
            number = self.waiting.pop(0)
            self.replies[number] = await self.ask(number)

    async def ask(self, number: int) -> Reply:
        batch, step = self.batch, self.batch.steps[number]
        told = errand(
            step.order_id,
            f"{batch.batch_id}/{number}",
            step.command,
            batch.actor,
            batch.ts_event_ns,
            batch.correlation_id,
        )
        reply = await ports.INSTRUCT_ORDER(told, summary=f"{step.command.kind} {step.order_id}")
        return reply if len(batch.steps) <= MANY else _short(reply)

    def show(self) -> None:
        refused = [reply for reply in self.replies if reply is not None and reply.refusal is not None]
        answered = len(self.replies) - self.replies.count(None)
        lines = [f"**{answered}** of {len(self.replies)} orders have answered, {len(refused)} refused."]
        lines += [f"- `{reply.order_id}`: {reply.refusal.message}" for reply in refused[:20] if reply.refusal]
        workflow.set_current_details("\n".join(lines))


def _short(reply: Reply) -> Reply:
    """The reply with no more than the first words of a refusal."""
    if reply.refusal is None:
        return reply
    refusal = reply.refusal.model_copy(update={"message": reply.refusal.message[:_SHORT], "facts": {}})
    return reply.model_copy(update={"refusal": refusal})
