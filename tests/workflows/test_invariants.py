"""The business invariants against real workflows: found, confirmed, told once, told again when they hold."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import update
from temporalio.client import Client

from oms.activities.invariants import InvariantActivities
from oms.activities.tracing import RunningOrders
from oms.domain import commands as cmd
from oms.domain.control import ControlKind
from oms.domain.findings import Invariant, Round, Rounded, Suspect, confirmed, out_of_step
from oms.domain.order import Order
from oms.domain.terms import Role, State
from oms.store import tables
from oms.workers.order_worker import build_desk_worker
from oms.workers.settings import Settings
from oms.workflows.contract import STATE_QUERY
from oms.workflows.invariants import InvariantsWorkflow
from oms.workflows.watching import INVARIANTS, LAST_QUERY, LOOK_SIGNAL, InvariantsInput
from tests.domain import orders
from tests.stack import until
from tests.workflows.venue import fills
from tests.workflows.world import Dealt, World, a_world, quiet, replayed

BRISK = Round(after=0, confirm=timedelta(milliseconds=200))
KINDS = (ControlKind.INVARIANT_BROKEN, ControlKind.INVARIANT_RESTORED)


@pytest.fixture
async def alone(client: Client, tmp_path: Path) -> AsyncIterator[World]:
    """A world without an order worker, on queues of its own."""
    name = uuid4().hex
    async with a_world(client, tmp_path, queue=f"queue-{name}", account=f"account-{name}") as made:
        yield made


def checking(world: World) -> InvariantActivities:
    return InvariantActivities(world.store, RunningOrders(world.client, state_query=STATE_QUERY))


class Counting(RunningOrders):
    """Keeps what it found."""

    def __init__(self, client: Client, *, state_query: str) -> None:
        super().__init__(client, state_query=state_query)
        self.found: list[Suspect] = []

    async def compared(self, order: Order) -> Suspect | None:
        suspect = await super().compared(order)
        self.found += [suspect] if suspect else []
        return suspect


def broken(world: World) -> set[Invariant]:
    return {finding.name for finding in world.store.findings.all() if finding.broken}


def told(world: World) -> list[tuple[ControlKind, str]]:
    return [(event.kind, event.subject) for event in world.store.control.stream(0, kinds=KINDS)]


def rewrite(dealt: Dealt, order: Order) -> None:
    """Put `order` in the place of the projected one, in its row and in what the row is searched by."""
    values = {"body": order.model_dump_json(), "state": order.state.value, "version": order.version}
    with dealt.world.store.database.write() as connection:
        rows = tables.orders
        connection.execute(update(rows).where(rows.c.order_id == dealt.order_id).values(**values))


async def test_a_whole_book_holds(alone: World) -> None:
    async with alone.working():
        placed = await (await alone.open()).sent_to_trader()
        await placed.place()
        done = await alone.open(script={"place": [fills()]}, automation="straight_through")
        await done.ends(State.RECONCILED)
        rounded = await checking(alone).check_invariants(BRISK)
    assert (rounded.orders, rounded.broken) == (2, ())
    assert rounded.next.after == alone.store.journal.head()
    assert [finding.broken for finding in alone.store.findings.all()] == [False] * len(Invariant)
    assert told(alone) == []


async def test_a_workflow_that_is_not_what_its_projection_says(alone: World) -> None:
    async with alone.working():
        dealt, other = await alone.open(), await alone.open()
        await other.do(cmd.CancelOrder(), Role.PM)
        order, check = dealt.order, checking(alone).check_invariants
        rewrite(dealt, order.model_copy(update={"reason": "edited by hand"}))
        with structlog.testing.capture_logs() as logged:
            rounded = await check(BRISK)
            assert set(rounded.broken) == {Invariant.WORKFLOW, Invariant.PROJECTION}
            await check(rounded.next)
        assert [line["invariant"] for line in logged if line["event"] == "invariant.broken"] == [
            "projection",
            "workflow",
        ]
        (finding,) = (f for f in alone.store.findings.all() if f.name is Invariant.WORKFLOW)
        assert [example.order_id for example in finding.examples] == [dealt.order_id]
        assert "they differ in reason" in finding.examples[0].detail
        rewrite(dealt, order)
        assert (await check(rounded.next)).broken == ()
    assert told(alone) == [
        (ControlKind.INVARIANT_BROKEN, "projection"),
        (ControlKind.INVARIANT_BROKEN, "workflow"),
        (ControlKind.INVARIANT_RESTORED, "projection"),
        (ControlKind.INVARIANT_RESTORED, "workflow"),
    ]


async def test_a_working_placement_without_a_workflow(alone: World) -> None:
    async with alone.working():
        dealt = await (await alone.open()).sent_to_trader()
        await dealt.place()
        await alone.open()
        check = checking(alone).check_invariants
        assert (await check(BRISK)).broken == ()
        await dealt.handle.terminate("by an operator")
        rounded = await check(BRISK)
    assert set(rounded.broken) == {Invariant.WORKFLOW, Invariant.PLACEMENTS}
    details = {f.name: f.examples[0].detail for f in alone.store.findings.all() if f.broken}
    assert "the workflow is TERMINATED" in details[Invariant.PLACEMENTS]
    assert "its workflow is TERMINATED" in details[Invariant.WORKFLOW]


async def test_a_projection_that_is_only_on_its_way_is_no_breach(alone: World) -> None:
    """The first look finds the projection a version behind, the second one finds it where it belongs."""
    async with alone.working():
        dealt = await alone.open()
        behind = dealt.order
        await dealt.do(cmd.RequestPreTradeCompliance(), Role.PM)
        order = await dealt.is_in(State.PRE_TRADE_COMPLIANCE_PASSED)
        rewrite(dealt, behind)
        workflows = Counting(alone.client, state_query=STATE_QUERY)
        check = InvariantActivities(alone.store, workflows).check_invariants
        looking = asyncio.create_task(check(Round(after=0, confirm=timedelta(seconds=2))))
        (suspect,) = await until(lambda: workflows.found, "the first look")
        assert suspect.moves
        rewrite(dealt, order)
        assert (await looking).broken == ()
    assert told(alone) == []


async def test_nobody_answers_and_nothing_is_judged(alone: World) -> None:
    """Without a worker no workflow can be asked: what was whole stays whole, what was broken stays broken."""
    quiet()
    async with alone.working():
        dealt = await alone.open()
        order, check = dealt.order, checking(alone).check_invariants
        rewrite(dealt, order.model_copy(update={"reason": "edited by hand"}))
        await check(BRISK)
        assert broken(alone) == {Invariant.WORKFLOW, Invariant.PROJECTION}
        rewrite(dealt, order)
        await alone.open()
    rounded = await check(BRISK)
    assert rounded.broken == (Invariant.WORKFLOW,)
    assert [e.order_id for f in alone.store.findings.all() for e in f.examples] == [dealt.order_id]
    async with alone.working():
        assert (await check(BRISK)).broken == ()


async def test_the_workflow_goes_round_and_keeps_its_place(alone: World) -> None:
    queue = f"watch-{uuid4().hex}"
    given = InvariantsInput(
        every=timedelta(milliseconds=50), round=Round(after=0, confirm=timedelta(0)), events_per_run=40
    )
    async with alone.working(), build_desk_worker(alone.client, alone.store, Settings(), queue=queue):
        dealt = await alone.open()
        started = await alone.client.start_workflow(
            INVARIANTS, given, id=f"invariants/{uuid4().hex}", task_queue=queue
        )
        handle = alone.client.get_workflow_handle(started.id)
        try:

            async def seen(met: Any) -> Rounded | None:
                found: Rounded | None = await handle.query(LAST_QUERY, result_type=Rounded)
                return found if found is not None and met(found) else None

            head = alone.store.journal.head()
            await until(lambda: seen(lambda r: r.next.after == head), "a round up to the head")
            rewrite(dealt, dealt.order.model_copy(update={"reason": "edited by hand"}))
            await handle.signal(LOOK_SIGNAL)
            await until(lambda: broken(alone), "a breach")

            async def is_another_run() -> bool:
                return (await handle.describe()).run_id != started.first_execution_run_id

            await until(is_another_run, "another run")
            assert (await until(lambda: seen(lambda r: r.broken), "a round")).next.after == head
            await replayed(await handle.fetch_history(), workflow=InvariantsWorkflow)
        finally:
            await handle.terminate("the test is over")
    assert told(alone)[:2] == [
        (ControlKind.INVARIANT_BROKEN, "projection"),
        (ControlKind.INVARIANT_BROKEN, "workflow"),
    ]


def test_only_what_does_not_move_is_confirmed() -> None:
    def suspect(detail: str, *, moves: bool, order_id: str = "ORD-1") -> Suspect:
        return Suspect(name=Invariant.WORKFLOW, order_id=order_id, detail=detail, moves=moves)

    still, stood = suspect("1 and 2", moves=True), suspect("a and b", moves=False, order_id="ORD-2")
    assert confirmed([still, stood], [still, stood]) == (still, stood)
    moved = suspect("2 and 3", moves=True)
    other = suspect("a and c", moves=False, order_id="ORD-2")
    assert confirmed([still, stood], [moved, other]) == (other,)
    assert confirmed([], [stood]) == ()
    assert confirmed([stood], []) == ()


def test_at_the_same_version_nothing_excuses_a_difference() -> None:
    order = orders.in_state(State.CREATED).order
    assert out_of_step(order, order) is None
    ahead = out_of_step(order.model_copy(update={"version": order.version + 1}), order)
    other = out_of_step(order.model_copy(update={"reason": "x"}), order)
    assert ahead is not None
    assert other is not None
    assert (ahead.moves, other.moves) == (True, False)
