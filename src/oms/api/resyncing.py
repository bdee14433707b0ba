"""Asking one gateway to read its venue anew, through a workflow of its own."""

from datetime import datetime, timedelta

from temporalio.client import Client, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy

from oms.api.answering import Gone, away, patient
from oms.api.views import View
from oms.domain.apply import instant
from oms.domain.venues import Resynced
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.resync import RESYNC_WORKFLOW, ResyncInput, ResyncOutcome

_ON_TOP_SECONDS = 5.0
"""For a worker of the workflow itself to be found."""


class ResyncedView(View):
    """What the gateway found. `unsettled`: placements whose state at the broker is not known; `differences`: what
    the broker's positions say otherwise than ours. A limited key gets no counts: they are those of the session."""

    name: str
    reconciled_at: datetime
    unsettled: int | None
    foreign_orders: int | None
    differences: int | None

    @classmethod
    def of(cls, done: Resynced, *, counted: bool) -> "ResyncedView":
        return cls(
            name=done.name,
            reconciled_at=instant(done.reconciled_ns),
            unsettled=done.unsettled if counted else None,
            foreign_orders=done.foreign_orders if counted else None,
            differences=done.differences if counted else None,
        )


async def resync(temporal: Client, asked: ResyncInput) -> Resynced:
    """What the gateway found. Twice is looking twice, and nothing more.

    Raises Refused: UNAVAILABLE where nobody takes the request, or the gateway cannot look, in time.
    """
    seconds = asked.within.total_seconds()
    try:
        async with patient(seconds + _ON_TOP_SECONDS, f"{asked.name} did not answer in time."):
            outcome: ResyncOutcome = await temporal.execute_workflow(
                RESYNC_WORKFLOW,
                asked,
                id=asked.workflow_id,
                task_queue=DESK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                execution_timeout=asked.within + timedelta(seconds=_ON_TOP_SECONDS),
                static_summary=f"resync {asked.name}"[:200],
                result_type=ResyncOutcome,
            )
    except (Gone, WorkflowFailureError):
        raise away(f"The resync of {asked.name} ended without an answer; try again.") from None
    if outcome.resynced is None:
        raise away(f"{asked.name} cannot be read anew now: {outcome.away}.")
    return outcome.resynced
