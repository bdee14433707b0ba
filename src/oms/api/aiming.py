"""Asking whoever aims at a position in an account: its workflow is started, or found running."""

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from oms.api.answering import patient
from oms.domain.numbers import plain
from oms.domain.programs.targets import Aim
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.programs import AIM_SIGNAL, TARGET_WORKFLOW, TargetInput, target_workflow_id


class Targets:
    """Targets as durable workflows. Methods raise `Refused`, with UNAVAILABLE where Temporal is away."""

    def __init__(self, temporal: Client, within_seconds: float = 10.0) -> None:
        self._temporal = temporal
        self._within = within_seconds

    async def ask(self, aim: Aim) -> None:
        """Hand the aim over; what becomes of it is kept in the store. The same `aim_id` again is the same aim."""
        given = TargetInput(account=aim.account, instrument_id=aim.position_id)
        async with patient(self._within, "The target's workflow was not reached."):
            await self._temporal.start_workflow(
                TARGET_WORKFLOW,
                given,
                id=target_workflow_id(given.account, given.instrument_id),
                task_queue=DESK_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                start_signal=AIM_SIGNAL,
                start_signal_args=[aim],
                static_summary=f"{plain(aim.target)} {aim.instrument.symbol} in {aim.account}"[:200],
            )
