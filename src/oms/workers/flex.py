"""The worker that reconciles with the broker's statements; it runs where there is a token, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import time

import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from oms.activities.flex import FlexActivities
from oms.gateways.flex import FlexClient, FlexPace, FlexSettings
from oms.store import Store
from oms.workers.settings import Settings
from oms.workflows.flex import (
    CONFIGURE_SIGNAL,
    FLEX_ID,
    FLEX_QUEUE,
    FLEX_WORKFLOW,
    FlexInput,
    FlexReconciliation,
    FlexSchedule,
)

LOG = structlog.get_logger()


@asynccontextmanager
async def flex_worker(
    client: Client,
    store: Store,
    settings: Settings,
    *,
    queue: str = FLEX_QUEUE,
    workflow_id: str = FLEX_ID,
    pace: FlexPace | None = None,
) -> AsyncIterator[None]:
    """Reconcile with the statements inside the block; without a token and a query nothing happens."""
    if settings.flex_token and not settings.flex_query_id:
        LOG.error("flex.alarm.no_query", detail="OMS_FLEX_TOKEN is set and OMS_FLEX_QUERY_ID is not")
    if not (settings.flex_token and settings.flex_query_id):
        yield
        return
    service = FlexClient(FlexSettings(settings.flex_url, settings.flex_query_id, settings.flex_token), pace)
    flex = FlexActivities(store, service, settings.flex_query_id, settings.ibkr_timezone)
    worker = Worker(
        client,
        task_queue=queue,
        workflows=[FlexReconciliation],
        activities=[flex.fetch_statement, flex.compare_statement],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    try:
        async with worker:
            await _have_it_run(client, settings, queue, workflow_id)
            LOG.info("flex.running", url=settings.flex_url, query=settings.flex_query_id, at=settings.flex_at)
            yield
    finally:
        await service.close()


async def _have_it_run(client: Client, settings: Settings, queue: str, workflow_id: str) -> None:
    """One for the whole order book, whoever starts it; one that runs takes the schedule of the last to start."""
    schedule = FlexSchedule(at=time.fromisoformat(settings.flex_at), zone=settings.ibkr_timezone)
    await client.start_workflow(
        FLEX_WORKFLOW,
        FlexInput(schedule=schedule),
        id=workflow_id,
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal=CONFIGURE_SIGNAL,
        start_signal_args=[schedule],
        static_summary="Reconciliation with the broker's statements",
    )
