"""One position in one broker's account, and whoever aims at a quantity of it: one aim after the other.

What matters is in the store: an aim's plan is kept there once before anything is opened, and the next plan is made of
what the journal holds. This workflow only sees to it that no two of them are made at the same time, so it may end at
any moment and begin again.
"""

from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from oms.domain.numbers import plain
    from oms.domain.programs.aiming import Ended, Ending, Planning
    from oms.domain.programs.targets import Aim, Aimed
    from oms.workflows import ports
    from oms.workflows.programs import AIM_SIGNAL, TARGET_WORKFLOW, TargetInput

_REST = timedelta(milliseconds=500)


@workflow.defn(name=TARGET_WORKFLOW)
class TargetWorkflow:
    @workflow.init
    def __init__(self, given: TargetInput) -> None:
        self.given = given
        self.inbox = deque(given.carried)
        self.taken = 0

    @workflow.signal(name=AIM_SIGNAL)
    def aim(self, aim: Aim) -> None:
        """Once more the same aim is the same one: its plan is kept."""
        self.inbox.append(aim)

    @workflow.run
    async def run(self, given: TargetInput) -> str:
        """Take the aims in the order in which Temporal took them. Answers what the last one came to, for people."""
        came_to = "nobody asked"
        while not await self.is_left_alone():
            if self.should_hand_over():
                workflow.continue_as_new(given.model_copy(update={"carried": tuple(self.inbox)}))
            aim = self.inbox[0]
            workflow.set_current_details(_said(aim))
            came_to = f"{_said(aim)}: {_came_to(await self.bring(aim))}"
            workflow.set_current_details(came_to)
            self.inbox.popleft()
            self.taken += 1
        return came_to

    async def is_left_alone(self) -> bool:
        """Whether nobody asks: at once after a single aim, which is the most frequent life, else after a while."""
        if not self.inbox and self.taken != 1:
            with suppress(TimeoutError):
                await workflow.wait_condition(
                    lambda: bool(self.inbox), timeout=self.given.idle, timeout_summary="until nobody asks"
                )
        return not self.inbox

    def should_hand_over(self) -> bool:
        most = self.given.aims_per_run
        return workflow.info().is_continue_as_new_suggested() or (most is not None and self.taken >= most)

    # -- one aim ------------------------------------------------------------------------------------

    async def bring(self, aim: Aim) -> Aimed:
        """End what works against the target, plan, open the legs; nobody waits for a fill.

        Orders that do not end in time refuse the aim. A stale one is dropped: whoever asked reads the account again.
        """
        until: datetime | None = None
        while True:
            planning = Planning(aim=aim, last=until is not None and workflow.now() >= until)
            aimed = await ports.BRING(planning, summary=_said(aim))
            if aimed.plan is None or not aimed.plan.ends:
                return aimed
            if until is not None:
                await workflow.sleep(_REST, summary="orders that end")
            until = until or workflow.now() + self.given.patience
            await self.end(aim, aimed.plan.ends, until)

    async def end(self, aim: Aim, order_ids: tuple[str, ...], until: datetime) -> Ended:
        asked = Ending(
            order_ids=order_ids,
            prefix=aim.aim_id,
            actor=aim.actor,
            ts_event_ns=aim.ts_event_ns,
            until=until,
            correlation_id=aim.correlation_id,
        )
        return await ports.END_ORDERS(asked, summary=f"end {len(order_ids)} orders for {_said(aim)}"[:200])


def _said(aim: Aim) -> str:
    """One line: what is aimed at."""
    return f"{plain(aim.target)} {aim.instrument.symbol} in {aim.account}"[:200]


def _came_to(aimed: Aimed) -> str:
    """One line: what became of it."""
    if aimed.refusal is not None:
        return f"refused, {aimed.refusal.message}"
    if aimed.stale:
        return "not planned, the account was read too long ago"
    legs = aimed.plan.legs if aimed.plan is not None else ()
    return ", ".join(f"{leg.direction} {plain(leg.quantity)} ({leg.order_id})" for leg in legs) or "no change"
