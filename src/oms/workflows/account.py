"""Reading a broker's account on request: one question to the gateway that serves it, for as long as somebody waits.

A workflow of its own, so that the gateway is reached through its queue like for everything else, and those who ask at
the same time are one question.
"""

import asyncio
from datetime import timedelta
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError

from oms.domain.model import Open
from oms.domain.programs.targets import AccountRead
from oms.domain.terms import Venue
from oms.workflows.contract import gateway_queue
from oms.workflows.ports import READ_ACCOUNT

ACCOUNT_WORKFLOW: Final = "ReadAccount"


class AccountQuestion(Open):
    """What the broker holds in `account`, its own name of it. `within`: how long somebody waits for the answer."""

    account: str
    within: timedelta = timedelta(seconds=4)

    @property
    def workflow_id(self) -> str:
        """The same for the same account, so that who asks while it is being answered gets that answer."""
        return f"account/{self.account}"


@workflow.defn(name=ACCOUNT_WORKFLOW)
class ReadAccount:
    """Answers what the broker says; never fails for a gateway that is away."""

    @workflow.run
    async def run(self, asked: AccountQuestion) -> AccountRead:
        account = asked.account
        try:
            async with asyncio.timeout(asked.within.total_seconds()):
                return await READ_ACCOUNT(
                    account, summary=f"read {account}"[:200], queue=gateway_queue(Venue.IBKR, account)
                )
        except TimeoutError:
            return AccountRead(account=account, away="its gateway did not take the question in time")
        except ActivityError as failed:
            return AccountRead(account=account, away=str(failed.cause or failed))
