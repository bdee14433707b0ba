"""Several orders as one undertaking: merges, splits, remainders, and one command for many orders."""

import contextlib
import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import anyio
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from oms.api.answering import Gone, away, patient
from oms.domain.commands import Actor, CancelPlacement
from oms.domain.errands import Reply, Step
from oms.domain.errors import Code, Refused
from oms.domain.halts import Halt, HaltScope
from oms.domain.identifiers import BATCH, identifier, uuid7
from oms.domain.order import Order
from oms.domain.restructuring import check
from oms.domain.terms import Role
from oms.store import Store
from oms.store.working import working_placements
from oms.workflows.contract import (
    BATCH_WORKFLOW,
    DESK_QUEUE,
    DONE_UPDATE,
    RESTRUCTURING_WORKFLOW,
    BatchInput,
    Replies,
    Restructured,
    RestructuringInput,
    batch_workflow_id,
    restructuring_workflow_id,
)

A = TypeVar("A")
BATCH_STEPS = 1000
MAX_BATCH_BYTES = 1_500_000
"""A batch hands all of its commands to Temporal in one payload, which may be 2 MB."""
_ANSWER_BEFORE = 0.75
"""A batch answers with what it has when this part of the time for an answer is over."""
_LATE = "It does not answer yet and goes on by itself; try again under the same Idempotency-Key."


class Together:
    """Undertakings as durable workflows of their own. Methods raise `Refused`, with UNAVAILABLE where a part is away."""

    def __init__(self, temporal: Client, store: Store, answer_within_seconds: float) -> None:
        self._temporal = temporal
        self._store = store
        self._answer_within = answer_within_seconds

    async def restructure(self, asked: RestructuringInput, sources: Sequence[Order]) -> Restructured:
        """Merge, split or carry on; answers when the new orders exist. The same id again is the same undertaking.

        `sources` are the plan's, as last recorded. What they would refuse is refused before anything begins.

        Raises Refused: INVALID_STATE, NOT_AUTHORIZED, VERSION_CONFLICT, RESTRUCTURING, HALTED, MERGE_MISMATCH,
        SPLIT_MISMATCH, NO_REMAINDER, VALIDATION_FAILED.
        """
        name = restructuring_workflow_id(asked.restructuring_id)
        if not await self._is_known(name):
            check(
                asked.plan,
                sources,
                asked.actor,
                datetime.now(UTC),
                asked.ts_event_ns,
                asked.expected_version,
                asked.restructuring_id,
            )
        return await self._undertake(
            name, RESTRUCTURING_WORKFLOW, asked, Restructured, f"{asked.plan.kind} by {asked.actor.key}"
        )

    async def each(
        self,
        batch_id: str,
        steps: Sequence[Step],
        actor: Actor,
        ts_event_ns: int,
        correlation_id: str | None = None,
    ) -> list[tuple[str, Reply | None]]:
        """Give every order its command; each order's id and reply, None where it has not answered in time.

        The same `batch_id` again is the same batch. At most `BATCH_STEPS` steps.
        """
        batch = BatchInput(
            batch_id=batch_id,
            steps=tuple(steps),
            actor=actor,
            ts_event_ns=ts_event_ns,
            correlation_id=correlation_id,
            patience=timedelta(seconds=self._answer_within * _ANSWER_BEFORE),
        )
        size = len(batch.model_dump_json().encode())
        if size > MAX_BATCH_BYTES:
            raise Refused(
                Code.PAYLOAD_TOO_LARGE,
                f"The commands are {size} bytes together, at most {MAX_BATCH_BYTES} are taken.",
                limit=MAX_BATCH_BYTES,
                actual=size,
            )
        done = await self._undertake(
            batch_workflow_id(batch_id), BATCH_WORKFLOW, batch, Replies, _summary(batch)
        )
        return list(zip(done.order_ids, done.replies, strict=True))

    async def cancel_all(
        self,
        halt: Halt,
        actor: Actor,
        *,
        batch_id: str | None = None,
        ts_event_ns: int | None = None,
        correlation_id: str | None = None,
    ) -> str:
        """Start canceling every placement that works within `halt`; answers the batch's id at once.

        Whoever may halt may take orders off the venues, so the cancels are given in the trader's role too.
        """
        found = await anyio.to_thread.run_sync(self._within, halt)
        first = batch_id or identifier(BATCH, uuid7(time.time_ns() // 1_000_000, os.urandom(10)))
        canceler = actor.model_copy(update={"roles": (*actor.roles, Role.TRADER)})
        for number, start in enumerate(range(0, max(1, len(found)), BATCH_STEPS)):
            steps = tuple(
                Step(order_id=order_id, command=CancelPlacement(placement_id=placement_id))
                for order_id, placement_id in found[start : start + BATCH_STEPS]
            )
            batch = BatchInput(
                batch_id=f"{first}.{number}" if number else first,
                steps=steps,
                actor=canceler,
                ts_event_ns=time.time_ns() if ts_event_ns is None else ts_event_ns,
                correlation_id=correlation_id,
            )
            await self._start(batch, f"cancel all of {halt.name}: {halt.reason}")
        return first

    def _within(self, halt: Halt) -> list[tuple[str, str]]:
        """(order_id, placement_id) of what works within the halt. Blocks."""
        working = working_placements(self._store.database)
        if halt.scope is HaltScope.FIRM:
            return working
        ids = dict.fromkeys(order_id for order_id, _ in working)
        orders = (order for order_id in ids if (order := self._store.orders.get(order_id)) is not None)
        covered = {order.order_id: order for order in self._store.halts.within(halt, orders)}
        return [each for each in working if each[0] in covered and _is_at(halt, covered[each[0]], each[1])]

    async def _start(self, batch: BatchInput, what: str) -> None:
        with contextlib.suppress(Gone):  # begun and ended before: the same batch
            async with patient(self._answer_within):
                await self._temporal.start_workflow(
                    BATCH_WORKFLOW,
                    batch,
                    id=batch_workflow_id(batch.batch_id),
                    task_queue=DESK_QUEUE,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=what[:200],
                )

    async def _is_known(self, name: str) -> bool:
        try:
            async with patient(self._answer_within):
                await self._temporal.get_workflow_handle(name).describe()
        except Gone:
            return False
        return True

    async def _undertake(self, name: str, workflow: str, asked: Any, answer: type[A], what: str) -> A:
        """Start the workflow, or find it started or ended, and wait for its answer. One that failed begins again."""
        operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            workflow,
            asked,
            id=name,
            task_queue=DESK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            static_summary=what[:200],
        )
        try:
            async with patient(self._answer_within, _LATE):
                done: A = await self._temporal.execute_update_with_start_workflow(
                    DONE_UPDATE, start_workflow_operation=operation, result_type=answer
                )
        except Gone:
            with contextlib.suppress(WorkflowAlreadyStartedError):
                await operation.workflow_handle()  # or asyncio would complain that nobody asked
            return await self._ended(name, answer)
        return done

    async def _ended(self, name: str, answer: type[A]) -> A:
        """What an undertaking that is over has answered."""
        handle = self._temporal.get_workflow_handle(name, result_type=answer)
        try:
            async with patient(self._answer_within, _LATE):
                done: A = await handle.result()
        except Gone:
            raise away(f"{name} has ended without an answer.") from None
        return done


def _is_at(halt: Halt, order: Order, placement_id: str) -> bool:
    """A venue's halt takes off what works there; every other one all that works for the order."""
    placement = order.placement(placement_id)
    return placement is not None and (halt.scope is not HaltScope.VENUE or placement.venue == halt.subject)


def _summary(batch: BatchInput) -> str:
    kinds = sorted({step.command.kind for step in batch.steps})
    return f"{', '.join(kinds) or 'nothing'} for {len(batch.steps)} orders by {batch.actor.key}"
