"""The worker of those who wait for targets: rows of batches, positions of a flatten.

A worker of its own, because what it does waits for targets, and a target waits for the desk and for orders: on one
queue the waiting ones could take every slot that the others need.
"""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from oms.activities.aiming import AimActivities
from oms.activities.flattening import FlattenActivities
from oms.api.aiming import Targets
from oms.api.order_book import OrderBook
from oms.store import Store
from oms.workers.settings import Settings
from oms.workflows.programs import TARGET_QUEUE

PORTIONS_AT_ONCE = 100
"""A portion of rows only waits, on the event loop; a hundred are twenty-five batches, or a hundred small ones."""
_GRACE = timedelta(seconds=4)


def build_target_worker(
    client: Client, store: Store, _settings: Settings, *, queue: str = TARGET_QUEUE
) -> Worker:
    """A worker on the queue of those who wait for targets. It runs no workflows."""
    book, targets = OrderBook(client, store), Targets(client)
    rows = AimActivities(store, book, targets)
    flattens = FlattenActivities(store, book, targets)
    return Worker(
        client,
        task_queue=queue,
        activities=[
            rows.aim_rows,
            flattens.scope_flatten,
            flattens.list_positions,
            flattens.aim_position,
        ],
        max_concurrent_activities=PORTIONS_AT_ONCE,
        activity_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, maximum=3, initial=2),
        graceful_shutdown_timeout=_GRACE,
    )
