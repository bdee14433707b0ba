"""A batch of targets as one durable workflow: the account is read, then every row is aimed for itself."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from oms.domain.programs.aiming import Rows, RowsAimed
    from oms.domain.programs.targets import AccountRead, BrokerPosition
    from oms.domain.terms import Venue
    from oms.workflows import ports
    from oms.workflows.contract import DONE_UPDATE, gateway_queue
    from oms.workflows.programs import (
        TARGET_BATCH_WORKFLOW,
        TARGET_QUEUE,
        TargetBatchInput,
        TargetsDone,
    )

AT_ONCE = 4
"""So many portions of a batch are worked on at a time."""
PORTION = 20
READINGS = 5
"""So often an account is read while executions of it are on their way; then the rows that still move are refused."""
FRESH = timedelta(seconds=10)
"""A portion begins with a reading that is at most so old, so that it holds until its last row is planned."""
_REST = timedelta(seconds=1)


@workflow.defn(name=TARGET_BATCH_WORKFLOW)
class TargetBatchWorkflow:
    @workflow.init
    def __init__(self, given: TargetBatchInput) -> None:
        self.given = given
        self.batch = given.batch
        self.planned = 0
        self.refused: list[str] = []
        self.kept = False
        self.away: str | None = None
        self.account = AccountRead(account=given.batch.account)
        self.read_at = workflow.now()
        self.reading = asyncio.Lock()
        self.asked_before = given.kept

    @workflow.update(name=DONE_UPDATE)
    async def done(self) -> TargetsDone:
        """Answers when every row has its outcome, or after the caller's patience with where the batch is then.

        Never before it is known whether the batch was taken at all.
        """
        await workflow.wait_condition(lambda: self.kept or self.away is not None)
        try:
            await workflow.wait_condition(
                self.is_over, timeout=self.given.patience, timeout_summary="the last rows"
            )
        except TimeoutError:
            workflow.logger.info("%s is asked before it is complete", self.batch.batch_id)
        return self.said()

    @workflow.run
    async def run(self, _given: TargetBatchInput) -> TargetsDone:
        self.show()
        self.account = await self.read()
        self.away = self.too_late() or self.account.away or await self.keep()
        if self.away is None:
            self.kept = True
            await self.aim()
        self.show()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.said()

    async def keep(self) -> str | None:
        """Keep the batch; why it cannot be. It may be kept although nobody heard so: then it is gone on with."""
        try:
            await ports.KEEP_BATCH(self.batch)
        except FailureError as failed:
            workflow.logger.warning("%s may not be kept: %s", self.batch.batch_id, failed)
            return None if await self.is_kept() else "the order book's store is away"
        return None

    async def is_kept(self) -> bool:
        try:
            return await ports.BATCH_IS_KEPT(self.batch.batch_id, summary="whether it is kept")
        except ActivityError:
            return False

    def too_late(self) -> str | None:
        """A batch that waited for a worker was given up by whoever posted it."""
        waited = workflow.now() - workflow.info().workflow_start_time
        if self.given.kept or self.kept or waited <= self.given.begin_within:
            return None
        return "no worker began the batch in time"

    async def read(self) -> AccountRead:
        account, self.read_at = self.batch.account, workflow.now()
        if (late := self.too_late()) is not None:
            return AccountRead(account=account, away=late)
        try:
            queue = gateway_queue(Venue.IBKR, account)
            return await ports.READ_ACCOUNT(account, summary=f"read {account}"[:200], queue=queue)
        except ActivityError:
            return AccountRead(account=account, away=f"no gateway answers for account {account}")

    # -- rows ---------------------------------------------------------------------------------------

    async def aim(self) -> None:
        """Every row once; those that have to wait are aimed with a new reading.

        Only readings in which something moves are counted: what nobody came to in time is refused by its `send_by`.
        """
        numbers, moved = tuple(range(len(self.batch.rows))), 0
        while True:
            unsteady, stale = await self.aim_all(numbers, last=moved == READINGS - 1)
            numbers, moved = tuple(sorted((*unsteady, *stale))), moved + bool(unsteady)
            if not numbers:
                return
            self.asked_before |= bool(stale)
            why = "executions are on their way" if unsteady else "nobody came to the last rows in time"
            await workflow.sleep(_REST, summary=why)
            await self.read_again()

    async def read_again(self) -> None:
        """A new reading; where there is none the one before, whose rows that moved still count as moving."""
        read = await self.read()
        if read.away is None:
            self.account = read

    async def fresh(self) -> AccountRead:
        """The account, read again where that was a while ago, by one portion for all."""
        async with self.reading:
            if workflow.now() - self.read_at > FRESH:
                await self.read_again()
        return self.account

    async def aim_all(self, numbers: tuple[int, ...], *, last: bool) -> tuple[list[int], list[int]]:
        """Aim the rows, portion by portion, several at a time; those that move, and those that nobody came to."""
        portions = [numbers[start : start + PORTION] for start in range(0, len(numbers), PORTION)]
        unsteady: list[int] = []
        stale: list[int] = []

        async def work() -> None:
            while portions:
                portion = portions.pop(0)
                aimed = await self.aim_some(portion, await self.fresh(), last=last)
                unsteady.extend(aimed.unsteady)
                stale.extend(aimed.stale)

        await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(portions)))))
        return unsteady, stale

    async def aim_some(self, numbers: tuple[int, ...], read: AccountRead, *, last: bool) -> RowsAimed:
        rows = Rows(
            batch_id=self.batch.batch_id,
            numbers=numbers,
            read=_that_count(read),
            last=last,
            again=self.asked_before,
        )
        summary = f"rows {numbers[0] + 1} to {numbers[-1] + 1}"
        aimed = await ports.AIM_ROWS(rows, summary=summary, queue=TARGET_QUEUE)
        self.planned += aimed.planned
        self.refused.extend(aimed.refused)
        self.show()
        return aimed

    # -- for people ---------------------------------------------------------------------------------

    def is_over(self) -> bool:
        return self.away is not None or self.planned == len(self.batch.rows)

    def said(self) -> TargetsDone:
        return TargetsDone(
            batch_id=self.batch.batch_id, rows=len(self.batch.rows), planned=self.planned, away=self.away
        )

    def show(self) -> None:
        if self.away is not None:
            workflow.set_current_details(f"**Nothing was done**: {self.away}.")
            return
        said = (
            f"**{self.planned}** of {len(self.batch.rows)} targets in {self.batch.account} have their outcome"
        )
        lines = [f"{said}, {len(self.refused)} refused.", *(f"- {text}" for text in self.refused[:20])]
        workflow.set_current_details("\n".join(lines))


def _that_count(read: AccountRead) -> AccountRead:
    """The reading without the positions that our executions explain and that stand still.

    Which position is a row's is not known by its symbol, for the broker may call it otherwise. One that is explained
    stays beside another of its name, so that they are not taken for one another.
    """
    names = {_name(position) for position in read.positions if position.unbooked or not position.steady}
    positions = tuple(position for position in read.positions if _name(position) in names)
    return read.model_copy(update={"positions": positions})


def _name(position: BrokerPosition) -> tuple[str, str, str]:
    return position.symbol, position.sec_type, position.currency
