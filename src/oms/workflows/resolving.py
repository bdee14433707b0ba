"""Looking an instrument up at a venue: one question to the gateway that serves an account, within a few seconds.

A workflow of its own, so that the gateway is reached through its queue like for everything else, a question that
several ask at once is asked once, and every look-up can be seen afterwards.
"""

import hashlib
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from oms.domain.model import Open
from oms.domain.reference import InstrumentQuestion, InstrumentsFound
from oms.domain.terms import Venue
from oms.workflows.contract import gateway_queue
from oms.workflows.ports import DESCRIBE_INSTRUMENT

RESOLVE_WORKFLOW: Final = "ResolveInstrument"
LOOKED_UP_WITHIN = timedelta(seconds=12)
"""The whole look-up, with a worker that has to be found first."""


class Lookup(Open):
    """A question to the gateway that serves the broker's `account`."""

    question: InstrumentQuestion
    account: str

    @property
    def workflow_id(self) -> str:
        """The same for the same question, so that who asks while it is being answered gets that answer."""
        mark = hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
        return f"instrument/{self.question.symbol}/{mark}"


@workflow.defn(name=RESOLVE_WORKFLOW)
class ResolveInstrument:
    """Answers what the venue knows; never fails for a venue that is away."""

    @workflow.run
    async def run(self, asked: Lookup) -> InstrumentsFound:
        question = asked.question
        try:
            return await DESCRIBE_INSTRUMENT(
                question,
                summary=f"{question.sec_type} {question.symbol}"[:200],
                queue=gateway_queue(Venue.IBKR, asked.account),
            )
        except ActivityError:
            return InstrumentsFound(away=f"no gateway answered for account {asked.account}")
