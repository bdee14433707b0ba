"""Reading a venue anew on request: one question to the gateway process, for as long as somebody waits for it.

A workflow of its own, so that the gateway is reached through its queue like for everything else, and every resync can
be seen afterwards with who asked for it.
"""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from oms.domain.model import Open
from oms.domain.venues import Resynced
from oms.workflows.contract import gateway_queue
from oms.workflows.ports import RESYNC

RESYNC_WORKFLOW: Final = "ResyncGateway"


class ResyncInput(Open):
    """A request to the gateway `name`, through the queue of the broker's `account`, one of those it serves.

    `within`: how long somebody waits for the answer.
    """

    name: str
    venue: str
    account: str
    request_id: str
    within: timedelta = timedelta(seconds=25)

    @property
    def workflow_id(self) -> str:
        """The same for the same request, so that a request that is repeated is one resync."""
        return f"resync/{self.name}/{self.request_id}"


class ResyncOutcome(Open):
    """What the gateway found, or why it did not look."""

    resynced: Resynced | None = None
    away: str | None = None


@workflow.defn(name=RESYNC_WORKFLOW)
class ResyncGateway:
    """Answers what the gateway found; never fails for a gateway that is away."""

    @workflow.run
    async def run(self, asked: ResyncInput) -> ResyncOutcome:
        queue = gateway_queue(asked.venue, asked.account)
        try:
            async with asyncio.timeout(asked.within.total_seconds()):
                resynced = await RESYNC(asked.name, summary=f"resync {asked.name}"[:200], queue=queue)
        except TimeoutError:
            return ResyncOutcome(away="it did not take the request in time, or its gate is closed")
        except ActivityError as failed:
            return ResyncOutcome(away=str(failed.cause or failed))
        return ResyncOutcome(resynced=resynced)
