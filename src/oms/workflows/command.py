"""A signed command as one durable workflow: verified by whoever acts on it, then done part by part, each part once.

What is refused moves nothing. Every step may be taken twice, so a crash between any two of them is not seen.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from oms.domain.drafting import nanoseconds
    from oms.domain.programs.carrying import Judging, Settling, Verified
    from oms.domain.programs.envelopes import CommandKind
    from oms.domain.programs.outcomes import Commanded, CommandInput, CommandOutcome, CommandStatus
    from oms.workflows import ports
    from oms.workflows.entries import Entry
    from oms.workflows.flattening import flatten
    from oms.workflows.programs import COMMAND_WORKFLOW, command_workflow_id
    from oms.workflows.telling_commands import outcome_in_words

RESOLVED_WITHIN = timedelta(minutes=5)
"""So long instruments that nobody described are asked for while no gateway answers."""
_REST = timedelta(seconds=2)
_LONGEST_DETAIL = 2000


@workflow.defn(name=COMMAND_WORKFLOW)
class CommandWorkflow:
    @workflow.init
    def __init__(self, asked: CommandInput) -> None:
        self.asked = asked
        self.at_home = workflow.info().workflow_id == command_workflow_id(asked.idem_key)
        self.verified = Verified()
        self.outcome = CommandOutcome(
            message_id=asked.message_id, idem_key=asked.idem_key, status=CommandStatus.ENQUEUED
        )

    @workflow.run
    async def run(self, asked: CommandInput) -> CommandOutcome:
        self.show()
        started_ns = nanoseconds(workflow.info().workflow_start_time)
        judging = Judging(asked=asked, started_ns=started_ns, at_home=self.at_home)
        self.verified = verified = await ports.VERIFY_COMMAND(judging, summary=asked.message_id)
        if verified.over is not None:
            self.became(verified.over)
            return verified.over
        await self.carry_out()
        return await self.settle()

    async def carry_out(self) -> None:
        """Do what the command asks for, where it was found good."""
        verified = self.verified
        if verified.refusal is not None or verified.kind is None:
            self.say(status=CommandStatus.REFUSED, refusal=verified.refusal)
            return
        self.say(status=CommandStatus.WORKING)
        await _CARRY_OUT[verified.kind](self)

    async def settle(self) -> CommandOutcome:
        settling = Settling(outcome=self.outcome, asked=without_envelope(self.asked), at_home=self.at_home)
        return await ports.SETTLE_COMMAND(settling, summary=self.outcome.status.value)

    # -- the kinds ----------------------------------------------------------------------------------

    async def ping(self) -> None:
        self.say(status=CommandStatus.DONE, detail="A ping: there is nothing to do.")

    async def submit(self) -> None:
        """Entry after entry, in the order in which they were given; one that has to wait holds up no other."""
        submit = self.verified.submit
        if submit is None:
            return
        asked, tenant = without_envelope(self.asked), self.verified.tenant
        entries = [
            Entry(asked, tenant, index, order, submit.asof) for index, order in enumerate(submit.orders)
        ]
        until = workflow.now() + RESOLVED_WITHIN
        became: dict[int, tuple[Commanded, ...]] = {}
        while waiting := [entry for entry in entries if entry.index not in became]:
            for entry in waiting:
                orders = await entry.done(dry_run=submit.dry_run, last=workflow.now() >= until)
                if orders is not None:
                    became[entry.index] = orders
                    self.say(orders=tuple(order for index in sorted(became) for order in became[index]))
            if len(became) < len(entries):
                await workflow.sleep(_REST, summary="until the instruments can be looked up")
        details = [f"orders.{entry.index}: {entry.detail}" for entry in entries if entry.detail]
        self.say(
            status=CommandStatus.DRY_RUN if submit.dry_run else CommandStatus.DONE,
            detail="; ".join(details)[:_LONGEST_DETAIL] or None,
        )

    async def flatten(self) -> None:
        given = self.verified.flatten
        if given is None:
            return
        became = await flatten(without_envelope(self.asked), given, self.verified.tenant)
        done = CommandStatus.DRY_RUN if given.dry_run else CommandStatus.DONE
        self.say(
            status=CommandStatus.REFUSED if became.refusal is not None else done,
            orders=became.orders,
            refusal=became.refusal,
            detail=became.detail,
        )

    # -- telling ------------------------------------------------------------------------------------

    def say(self, **changed: object) -> None:
        self.became(self.outcome.model_copy(update=changed))

    def became(self, outcome: CommandOutcome) -> None:
        self.outcome = outcome
        self.show()

    def show(self) -> None:
        workflow.set_current_details(outcome_in_words(self.outcome, self.verified, self.asked.actor.key))


def without_envelope(asked: CommandInput) -> CommandInput:
    """The command for whoever acts on a part of it: the envelope was judged, and is the largest thing about it."""
    return asked.model_copy(update={"envelope": ""})


_CARRY_OUT: Mapping[CommandKind, Callable[[CommandWorkflow], Awaitable[None]]] = {
    CommandKind.PING: CommandWorkflow.ping,
    CommandKind.SUBMIT: CommandWorkflow.submit,
    CommandKind.FLATTEN: CommandWorkflow.flatten,
}
