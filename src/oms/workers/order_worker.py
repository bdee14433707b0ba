"""The workers that run orders and what is done to many of them: workflows outside the sandbox (ADR 0013).

Several workers, because the desk's activities wait for orders, and an order answers only when an activity has written
to the journal: on one queue the waiting ones could take every slot that the writing ones need. Signed commands wait
for orders and for the desk, so they have a third queue; only so many of them are done at a time, and a flood of them
waits in Temporal while orders go on.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import structlog
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import PollerBehaviorAutoscaling, UnsandboxedWorkflowRunner, Worker

from oms.activities.book import BookActivities
from oms.activities.calendar import CalendarActivities
from oms.activities.commanding import CommandActivities
from oms.activities.compliance import ComplianceActivities
from oms.activities.custody import CustodyActivities
from oms.activities.desk import DeskActivities
from oms.activities.invariants import InvariantActivities
from oms.activities.monitoring import MonitoringActivities
from oms.activities.targeting import TargetActivities
from oms.activities.tracing import RunningOrders
from oms.api.order_book import OrderBook
from oms.domain.model import Open
from oms.store import Store
from oms.workers.collecting import calm_the_collector
from oms.workers.flex import flex_worker
from oms.workers.settings import Settings
from oms.workers.stopping import forever
from oms.workers.target_worker import build_target_worker
from oms.workers.temporal import connect, usable_store
from oms.workflows.account import ReadAccount
from oms.workflows.batch import BatchWorkflow
from oms.workflows.command import CommandWorkflow
from oms.workflows.contract import DESK_QUEUE, ORDER_QUEUE, STATE_QUERY
from oms.workflows.invariants import InvariantsWorkflow
from oms.workflows.monitor import MonitorWorkflow
from oms.workflows.order import OrderWorkflow
from oms.workflows.programs import COMMAND_QUEUE
from oms.workflows.resolving import ResolveInstrument
from oms.workflows.restructuring import RestructuringWorkflow
from oms.workflows.resync import ResyncGateway
from oms.workflows.target import TargetWorkflow
from oms.workflows.target_batch import TargetBatchWorkflow
from oms.workflows.watching import (
    INVARIANTS,
    INVARIANTS_ID,
    LIMIT_MONITOR,
    MONITOR_ID,
    InvariantsInput,
    MonitorInput,
)

LOG = structlog.get_logger()
GRACE = timedelta(seconds=4)
ERRANDS_AT_ONCE = 64
"""An errand only waits, on the event loop; it takes no thread but to look into the store."""
COMMANDS_AT_ONCE = 12
COMMAND_TASKS = 3
COMMANDS_CACHED = 500
"""So many steps of signed commands are under way in one process, and so many of their workflow tasks: few, because
each opens orders, and those are what the process is for."""


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


def build_desk_worker(client: Client, store: Store, settings: Settings, *, queue: str = DESK_QUEUE) -> Worker:
    """A worker on the desk's queue: merges, splits, remainders, batches and targets, and the watchers of the book."""
    book = OrderBook(client, store)
    desk, targets = DeskActivities(book), TargetActivities(store, book)
    monitoring = MonitoringActivities(store)
    invariants = InvariantActivities(store, RunningOrders(client, state_query=STATE_QUERY))
    return Worker(
        client,
        task_queue=queue,
        workflows=[
            RestructuringWorkflow,
            BatchWorkflow,
            MonitorWorkflow,
            InvariantsWorkflow,
            ResolveInstrument,
            ResyncGateway,
            ReadAccount,
            TargetWorkflow,
            TargetBatchWorkflow,
        ],
        activities=[
            desk.instruct_order,
            desk.read_order,
            desk.open_order,
            targets.keep_batch,
            targets.batch_is_kept,
            targets.bring,
            targets.end_orders,
            monitoring.watch_limits,
            invariants.check_invariants,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.max_cached_workflows,
        max_concurrent_activities=ERRANDS_AT_ONCE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=4, initial=2),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=4, initial=2),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=settings.sticky_seconds),
        graceful_shutdown_timeout=GRACE,
    )


def build_command_worker(
    client: Client, store: Store, settings: Settings, *, queue: str = COMMAND_QUEUE
) -> Worker:
    """A worker on the queue of signed commands. It knows the secrets, and verifies each command by itself."""
    secrets = settings.envelope_secrets
    if not secrets:
        LOG.warning("worker.no_envelope_secret", told="signed commands are refused: set ENVELOPE_SECRET")
    commands = CommandActivities(store, OrderBook(client, store), secrets, settings.envelope_window_seconds)
    return Worker(
        client,
        task_queue=queue,
        workflows=[CommandWorkflow],
        activities=[
            commands.verify_command,
            commands.plan_entry,
            commands.open_entry,
            commands.look_at_entry,
            commands.settle_command,
        ],
        workflow_runner=UnsandboxedWorkflowRunner(),
        max_cached_workflows=COMMANDS_CACHED,
        max_concurrent_workflow_tasks=COMMAND_TASKS,
        max_concurrent_activities=COMMANDS_AT_ONCE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=3, initial=2),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=3, initial=2),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=settings.sticky_seconds),
        graceful_shutdown_timeout=GRACE,
    )


async def start_watchers(client: Client, *, queue: str = DESK_QUEUE) -> None:
    """Have the limit monitor and the invariants run: one of each for the whole order book, whoever starts them."""
    watchers: tuple[tuple[str, str, Open], ...] = (
        (LIMIT_MONITOR, MONITOR_ID, MonitorInput()),
        (INVARIANTS, INVARIANTS_ID, InvariantsInput()),
    )
    for name, workflow_id, given in watchers:
        await client.start_workflow(
            name,
            given,
            id=workflow_id,
            task_queue=queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )


async def worker_process(settings: Settings) -> None:
    """`oms worker`."""
    store = usable_store(settings)
    client = await connect(settings)
    calm_the_collector()
    async with (
        build_order_worker(client, store, settings),
        build_desk_worker(client, store, settings),
        build_command_worker(client, store, settings),
        build_target_worker(client, store, settings),
    ):
        await start_watchers(client)
        async with flex_worker(client, store, settings):
            LOG.info("worker.running")
            await forever()
    store.close()
