"""Asking one gateway to read its venue anew, through a workflow of its own."""

from datetime import datetime, timedelta

from temporalio.client import Client

from oms.api.answering import asked_once, away
from oms.api.views import View
from oms.domain.apply import instant
from oms.domain.venues import Resynced
from oms.workflows.resync import RESYNC_WORKFLOW, ResyncInput, ResyncOutcome

_ON_TOP = timedelta(seconds=5)
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
    outcome = await asked_once(
        temporal,
        RESYNC_WORKFLOW,
        asked,
        asked.workflow_id,
        asked.within + _ON_TOP,
        ResyncOutcome,
        f"resync of {asked.name}",
    )
    if outcome.resynced is None:
        raise away(f"{asked.name} cannot be read anew now: {outcome.away}.")
    return outcome.resynced
