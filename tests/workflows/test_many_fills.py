"""An order with very many fills: each is booked once, run after run, and what one more costs does not grow with it.

`pytest -m speed tests/workflows/test_many_fills.py` books ten thousand.
"""

import os
import time
from collections.abc import Iterator

import psutil
import pytest
from sqlalchemy import func, select
from temporalio.client import WorkflowHistory

from oms.domain import commands as cmd
from oms.domain.errors import Code
from oms.domain.facts import Fact
from oms.domain.terms import Role, State
from oms.store import tables
from tests.stack import until
from tests.workflows.telling import by_hand_to_the_end
from tests.workflows.venue import execution
from tests.workflows.world import Dealt, World

MANY, VERY_MANY = 800, 10_000
LIMIT_S = 120
LIMIT_BYTES = 500 * 2**20
HISTORY_LIMIT_BYTES = 8 * 2**20
"""A run hands over at four megabytes; what arrives while it ends its task comes on top."""


async def _working(world: World, quantity: int, events_per_run: int | None = None) -> Dealt:
    dealt = await world.open(
        ordered_quantity=str(quantity),
        order_type="Market",
        limit_price=None,
        symbol="FILLS",
        events_per_run=events_per_run,
    )
    await dealt.sent_to_trader()
    await dealt.place(str(quantity))
    await dealt.becomes(lambda o: o.placements[0].venue_order_ids, "working")
    return dealt


def _batches(dealt: Dealt, count: int) -> Iterator[list[Fact]]:
    """Executions of one share each with their commissions, two hundred facts at a time as a gateway sends them."""
    placement_id = dealt.placement_id
    for first in range(0, count, 100):
        numbers = range(first + 1, min(first + 100, count) + 1)
        yield [fact for number in numbers for fact in execution(placement_id, "1", number=number)]


async def _booked(dealt: Dealt, count: int, seconds: float) -> float:
    """Send them all, wait until all are booked, and say how many seconds that took."""
    began = time.monotonic()
    for batch in _batches(dealt, count):
        await dealt.hear(*batch)
    await until(lambda: _charged(dealt) == count, "every fill booked and charged", seconds)
    return time.monotonic() - began


async def _several_runs(dealt: Dealt) -> list[WorkflowHistory]:
    runs = await dealt.runs()
    return runs if len(runs) > 1 else []


def _charged(dealt: Dealt) -> int:
    """How many commissions are in the journal: counted there, as to read ten thousand fills takes time itself."""
    journal = tables.journal.c
    query = select(func.count()).where(
        journal.order_id == dealt.order_id, journal.kind == "commission_booked"
    )
    with dealt.world.store.database.read() as connection:
        return int(connection.execute(query).scalar_one())


async def _is_whole(dealt: Dealt, count: int) -> None:
    order = dealt.order
    assert (order.executed_quantity, len(order.ledger.executions)) == (count, count)
    assert len(dealt.world.store.orders.fills(dealt.order_id)) == count
    assert not order.exceptions
    glanced = dealt.world.store.orders.glance(dealt.order_id)
    assert glanced is not None
    assert (glanced.executed_quantity, glanced.ledger.executions) == (count, {})
    await dealt.is_sound()


@pytest.mark.parametrize("world", ["cached"], indirect=True)
async def test_many_fills_are_booked_once_over_several_runs(world: World) -> None:
    dealt = await _working(world, MANY, events_per_run=30)
    await _booked(dealt, MANY, 60)
    assert len(await dealt.runs()) > 1
    for batch in list(_batches(dealt, MANY))[:3]:
        await dealt.hear(*batch)
    await by_hand_to_the_end(dealt)
    await _is_whole(dealt, MANY)


@pytest.mark.parametrize("world", ["cached"], indirect=True)
async def test_a_command_behind_a_flood_of_fills_is_judged_after_them(world: World) -> None:
    """The worker was away, and a thousand facts and a command wait for it: the close is legal once they are booked."""
    dealt = await _working(world, 600)
    batches = list(_batches(dealt, 600))
    for batch in batches:
        await dealt.hear(*batch)
    closed = await dealt.do(cmd.CloseOrder(), Role.TRADER)
    assert (closed.state, dealt.order.executed_quantity) == (State.CLOSED, 600)
    for batch in batches:
        await dealt.hear(*batch)
    too_late = await dealt.refused(cmd.CancelOrder(), Role.TRADER)
    assert too_late.code == Code.INVALID_STATE
    await dealt.is_sound()


@pytest.mark.speed
@pytest.mark.timeout(600)
@pytest.mark.parametrize("world", ["cached"], indirect=True)
async def test_ten_thousand_fills_within_two_minutes(world: World, record_property: object) -> None:
    dealt = await _working(world, VERY_MANY)
    seconds = await _booked(dealt, VERY_MANY, 300)
    memory = psutil.Process(os.getpid()).memory_info().rss
    runs = await until(lambda: _several_runs(dealt), "handed over to another run", 30)
    sizes = [run.events[-1].event_id for run in runs]
    print(f"\n{VERY_MANY} fills in {seconds:.1f} s, {memory / 2**20:.0f} MB, runs of {sizes} events")  # noqa: T201
    assert seconds < LIMIT_S
    assert memory < LIMIT_BYTES
    assert max(sum(event.ByteSize() for event in run.events) for run in runs) < HISTORY_LIMIT_BYTES
    await by_hand_to_the_end(dealt)
    await _is_whole(dealt, VERY_MANY)
