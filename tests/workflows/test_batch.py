"""One command for many orders: each answers for itself, once, whatever stops in between."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.domain import commands as cmd
from oms.domain.errands import Step
from oms.domain.errors import Code
from oms.domain.halts import Halt, HaltScope
from oms.domain.identifiers import BATCH, identifier, uuid7
from oms.domain.terms import PlacementStatus, Role, State
from oms.workflows.batch import AT_ONCE, BatchWorkflow
from oms.workflows.contract import Replies, batch_workflow_id
from tests.domain.orders import ACTORS, NOW
from tests.stack import temporal_server, until
from tests.workflows.desk import AFTER, BEFORE, Interrupted, book_of, desk_worker
from tests.workflows.world import Dealt, World, a_world, quiet, replayed

PM = ACTORS[Role.PM]
REQUEST = cmd.RequestPreTradeCompliance()


@pytest.fixture(scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    quiet()
    folder: Path = tmp_path_factory.mktemp("batches")
    async with temporal_server() as server, a_world(await server.client(), folder) as made, made.working():
        yield made


def new_id() -> str:
    return identifier(BATCH, uuid7(time.time_ns() // 1_000_000, uuid.uuid4().bytes))


def times(dealt: Dealt, kind: str) -> int:
    events = dealt.world.store.journal.of_order(dealt.order_id)
    return sum(event.kind == kind for event in events)


async def some(world: World, count: int) -> list[Dealt]:
    return [await world.open(compliance="external") for _ in range(count)]


def steps(orders: list[Dealt], command: cmd.Command = REQUEST) -> list[Step]:
    return [Step(order_id=order.order_id, command=command) for order in orders]


async def test_each_order_answers_for_itself(desks: World) -> None:
    orders = await some(desks, AT_ONCE + 4)
    await orders[1].do(cmd.CancelOrder(), Role.PM)
    given = [*steps(orders), Step(order_id="ORD-nobody", command=REQUEST)]
    batch_id = new_id()
    async with desk_worker(desks.client, book_of(desks)):
        replies = await book_of(desks).together.each(batch_id, given, PM, time.time_ns(), "REQ-9")
        again = await book_of(desks).together.each(batch_id, given[:1], PM, time.time_ns())
    assert [order_id for order_id, _ in replies] == [step.order_id for step in given]
    assert again == replies, "the same batch, however it is asked for"
    codes = {order_id: reply.refusal.code for order_id, reply in replies if reply and reply.refusal}
    assert codes == {orders[1].order_id: Code.INVALID_STATE, "ORD-nobody": Code.ORDER_NOT_FOUND}
    for order in [orders[0], *orders[2:]]:
        assert order.order.state is State.PENDING_PRE_TRADE_COMPLIANCE
        asked = desks.store.journal.of_order(order.order_id)[-1]
        assert (asked.actor.key, asked.correlation_id) == (PM.key, "REQ-9")
    handle = desks.client.get_workflow_handle(batch_workflow_id(batch_id))
    await replayed(await handle.fetch_history(), workflow=BatchWorkflow)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_a_stop_in_the_middle_loses_and_doubles_nothing(desks: World, when: str) -> None:
    orders = await some(desks, 30)
    first = Interrupted(book_of(desks), 9, when)
    asking = asyncio.create_task(book_of(desks).together.each(new_id(), steps(orders), PM, time.time_ns()))
    async with desk_worker(desks.client, first):
        await asyncio.wait_for(first.hangs.wait(), 20)
    async with desk_worker(desks.client, book_of(desks)):
        replies = await asking
    assert all(reply is not None and reply.refusal is None for _, reply in replies)
    assert {times(order, "pre_trade_compliance_requested") for order in orders} == {1}


async def test_who_waits_too_long_gets_the_answers_that_there_are(desks: World) -> None:
    orders = await some(desks, 3)
    batch_id = new_id()
    stuck = Interrupted(book_of(desks), 2, BEFORE)
    async with desk_worker(desks.client, stuck, max_concurrent_activities=1):
        replies = await book_of(desks, 4).together.each(batch_id, steps(orders), PM, time.time_ns())
    assert sorted(reply is not None for _, reply in replies) == [False, True, True]
    async with desk_worker(desks.client, book_of(desks)):
        done = await desks.client.get_workflow_handle(
            batch_workflow_id(batch_id), result_type=Replies
        ).result()
    assert None not in done.replies


async def routed(world: World) -> Dealt:
    order = await (await world.open()).sent_to_trader()
    await order.place("60")
    await order.place("40")
    await order.becomes(lambda o: all(p.venue_order_ids for p in o.placements), "working")
    return order


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (HaltScope.FIRM, ""),
        (HaltScope.PORTFOLIO, "PORT-001"),
        (HaltScope.ACCOUNT, "ACCT-001"),
        (HaltScope.ACCOUNT, "DU123456"),
        (HaltScope.VENUE, "IBKR"),
    ],
)
async def test_cancel_all_cancels_every_placement_that_works(
    desks: World, scope: HaltScope, subject: str
) -> None:
    order = await routed(desks)
    halt = Halt(scope=scope, subject=subject, reason="enough", by="risk", since=NOW)
    risk = cmd.Actor(key="risk", roles=(Role.COMPLIANCE,))
    book, batch_id = book_of(desks), new_id()
    async with desk_worker(desks.client, book):
        assert await book.cancel_all(halt, risk, batch_id=batch_id) == batch_id
        await order.becomes(
            lambda o: all(p.cancel_requested or p.has_ended for p in o.placements), "is canceled"
        )
        await desks.client.get_workflow_handle(batch_workflow_id(batch_id)).result()
        assert await book.cancel_all(halt, risk, batch_id=batch_id) == batch_id, "twice is once"
    asked = [e for e in desks.store.journal.of_order(order.order_id) if e.actor.key == "risk"]
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("scope", "subject"),
    [(HaltScope.PORTFOLIO, "PORT-777"), (HaltScope.ACCOUNT, "ACCT-777"), (HaltScope.VENUE, "OPTIONS")],
)
async def test_cancel_all_leaves_alone_what_is_elsewhere(
    desks: World, scope: HaltScope, subject: str
) -> None:
    order = await routed(desks)
    halt = Halt(scope=scope, subject=subject, reason="enough", by="risk", since=NOW)
    async with desk_worker(desks.client, book_of(desks)):
        batch_id = await book_of(desks).cancel_all(halt, cmd.Actor(key="risk", roles=(Role.ADMIN,)))
        handle = desks.client.get_workflow_handle(batch_workflow_id(batch_id), result_type=Replies)
        assert (await handle.result()).replies == ()
    assert {p.status for p in order.order.placements} == {PlacementStatus.WORKING}


async def test_the_web_ui_says_who_refused(desks: World) -> None:
    orders = await some(desks, 2)
    await orders[0].do(cmd.CancelOrder(), Role.PM)
    batch_id = new_id()
    handle = desks.client.get_workflow_handle(batch_workflow_id(batch_id))
    async with desk_worker(desks.client, book_of(desks)):
        await book_of(desks).together.each(batch_id, steps(orders), PM, time.time_ns())

        async def ended() -> bool:
            return (await handle.describe()).close_time is not None

        await until(ended, "the batch to end")
        described = await handle.describe()
    assert await described.static_summary() == f"{REQUEST.kind} for 2 orders by {PM.key}"
