"""What waits in Temporal for a worker: a good command stays good, and a batch that was given up is not begun."""

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from oms.domain.programs.outcomes import CommandStatus
from oms.workers.order_worker import build_command_worker
from oms.workflows.contract import DESK_QUEUE
from oms.workflows.programs import (
    TARGET_BATCH_WORKFLOW,
    TargetBatchInput,
    TargetsDone,
    target_batch_workflow_id,
)
from tests.stack import temporal_server, until
from tests.workflows.aiming import Range, a_range
from tests.workflows.commanding import hand_in, prepare, settings_of, signed
from tests.workflows.world import quiet

QUEUE = "oms-commands-that-wait"
WINDOW_SECONDS = 1.0


@pytest.fixture(scope="module")
async def aims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Range]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("waiting")
    async with temporal_server() as server, a_range(await server.client(), folder) as made:
        prepare(made.world)
        yield made


async def the_window_to_pass() -> None:
    over = time.monotonic() + 1.5 * WINDOW_SECONDS
    await until(lambda: time.monotonic() > over, "the window to pass")


async def test_a_command_is_judged_by_when_temporal_took_it(aims: Range) -> None:
    """Work of an hour may lie before it: that makes no good command old."""
    world = aims.world
    settings = settings_of(world).model_copy(update={"envelope_window_seconds": WINDOW_SECONDS})
    good = await hand_in(world, signed("oms.ping", {"echo": "hello"}), queue=QUEUE)
    old_ms = time.time_ns() // 1_000_000 - int(2000 * WINDOW_SECONDS)
    old = await hand_in(world, signed("oms.ping", {"echo": "hello"}, ts_ms=old_ms), queue=QUEUE)
    await the_window_to_pass()
    async with build_command_worker(world.client, world.store, settings, queue=QUEUE):
        assert (await good.outcome()).status is CommandStatus.DONE
        await old.is_refused("STALE_ENVELOPE")


async def test_a_batch_that_no_worker_began_in_time_is_not_begun(aims: Range) -> None:
    stock = aims.stock()
    batch = aims.batch((stock, 100))
    handle = await aims.world.client.start_workflow(
        TARGET_BATCH_WORKFLOW,
        TargetBatchInput(batch=batch, begin_within=timedelta(seconds=WINDOW_SECONDS)),
        id=target_batch_workflow_id(batch.batch_id),
        task_queue=DESK_QUEUE,
        result_type=TargetsDone,
    )
    await the_window_to_pass()
    async with aims.desk():
        done: TargetsDone = await handle.result()
    assert (done.away, done.planned) == ("no worker began the batch in time", 0)
    assert aims.store.targets.batch(batch.batch_id) is None
    assert aims.orders(stock) == []
