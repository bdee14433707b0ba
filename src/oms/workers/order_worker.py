"""The worker that runs orders: workflows outside the sandbox (ADR 0013), store and custodian activities in threads."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import structlog
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from oms.activities.book import BookActivities
from oms.activities.calendar import CalendarActivities
from oms.activities.compliance import ComplianceActivities
from oms.activities.custody import CustodyActivities
from oms.store import Store
from oms.workers.collecting import calm_the_collector
from oms.workers.settings import Settings
from oms.workers.stopping import forever
from oms.workers.temporal import connect, usable_store
from oms.workflows.contract import ORDER_QUEUE
from oms.workflows.order import OrderWorkflow

LOG = structlog.get_logger()
GRACE = timedelta(seconds=4)


def build_order_worker(
    client: Client, store: Store, settings: Settings, *, queue: str = ORDER_QUEUE
) -> Worker:
    """A worker on the orders' queue. More of them, in more processes, is how the order book grows."""
    custodian = httpx.Client(base_url=settings.custodian_url, timeout=15, trust_env=False)
    book = BookActivities(store)
    compliance = ComplianceActivities(store)
    calendar = CalendarActivities(settings.settles_after)
    custody = CustodyActivities(custodian)
    return Worker(
        client,
        task_queue=queue,
        workflows=[OrderWorkflow],
        activities=[
            book.record,
            compliance.evaluate_pre_trade,
            compliance.evaluate_post_trade,
            calendar.settlement_date,
            custody.instruct_custodian,
            custody.ask_custodian,
        ],
        activity_executor=ThreadPoolExecutor(settings.activity_threads, thread_name_prefix="activity"),
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_workflow_tasks=settings.max_workflow_tasks,
        max_concurrent_activities=settings.activity_threads,
        max_concurrent_local_activities=settings.activity_threads,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=10, initial=4),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=10, initial=2),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=settings.sticky_seconds),
        graceful_shutdown_timeout=GRACE,
    )


async def worker_process(settings: Settings) -> None:
    """`oms worker`."""
    store = usable_store(settings)
    client = await connect(settings)
    calm_the_collector()
    async with build_order_worker(client, store, settings):
        LOG.info("worker.running")
        await forever()
    store.close()
