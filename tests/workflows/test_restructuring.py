"""Merges, splits and remainders that are stopped between any two steps: all of it happens, or nothing."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from oms.domain import commands as cmd
from oms.domain.errors import Code, Refused
from oms.domain.events import RestructuringAbandoned
from oms.domain.identifiers import ORDER, RESTRUCTURING, identifier, uuid7
from oms.domain.restructuring import Merge, Plan, Remainder, Split, new_ids, sources_of
from oms.domain.terms import Role, State
from oms.workflows.contract import (
    Restructured,
    RestructuringInput,
    restructuring_workflow_id,
)
from oms.workflows.restructuring import RestructuringWorkflow
from tests.domain.orders import ACTORS
from tests.stack import temporal_server, until
from tests.workflows.desk import AFTER, BEFORE, Interrupted, book_of, desk_worker, is_whole, no_half
from tests.workflows.venue import execution
from tests.workflows.world import Dealt, World, a_world, quiet, replayed

MERGE_STEPS = (
    "begin_restructuring",
    "begin_restructuring",
    "read",
    "read",
    "open",
    "complete_restructuring",
    "complete_restructuring",
)
SPLIT_STEPS = ("begin_restructuring", "read", "open", "open", "complete_restructuring")
REMAINDER_STEPS = ("create_remainder", "read", "open")


@pytest.fixture(scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world with a Temporal server of its own: the desk opens orders on the one queue that orders have."""
    quiet()
    folder: Path = tmp_path_factory.mktemp("desks")
    async with temporal_server() as server, a_world(await server.client(), folder) as made, made.working():
        yield made


def new_id(prefix: str) -> str:
    return identifier(prefix, uuid7(time.time_ns() // 1_000_000, uuid.uuid4().bytes))


def asked(plan: Plan, restructuring_id: str | None = None) -> RestructuringInput:
    return RestructuringInput(
        restructuring_id=restructuring_id or new_id(RESTRUCTURING),
        plan=plan,
        actor=ACTORS[Role.PM],
        ts_event_ns=time.time_ns(),
    )


def merge_of(*sources: Dealt) -> Merge:
    return Merge(source_ids=tuple(s.order_id for s in sources), order_id=new_id(ORDER))


async def restructure(world: World, wanted: RestructuringInput, seconds: float = 30) -> Restructured:
    sources = [world.store.orders.get(order_id) for order_id in sources_of(wanted.plan)]
    return await book_of(world, seconds).together.restructure(wanted, [s for s in sources if s is not None])


async def interrupted(world: World, wanted: RestructuringInput, at: int, when: str) -> Sequence[str]:
    """Stop the worker in call `at`, look, and let another worker go on; the calls the first one saw."""
    first = Interrupted(book_of(world), at, when)
    asking = asyncio.create_task(restructure(world, wanted))
    async with desk_worker(world.client, first):
        await asyncio.wait_for(first.hangs.wait(), 20)
        no_half(world.store, wanted.plan)
    async with desk_worker(world.client, book_of(world)):
        answer = await asyncio.wait_for(asking, 30)
    assert answer.order_ids == new_ids(wanted.plan)
    handle = world.client.get_workflow_handle(restructuring_workflow_id(wanted.restructuring_id))
    await replayed(await handle.fetch_history(), workflow=RestructuringWorkflow)
    return first.calls


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("at", range(len(MERGE_STEPS)))
async def test_a_merge_survives_a_stop_in_any_step(desks: World, at: int, when: str) -> None:
    plan = merge_of(await desks.open(), await desks.open(ordered_quantity="50"))
    calls = await interrupted(desks, asked(plan), at, when)
    assert tuple(calls) == MERGE_STEPS[: at + 1]
    is_whole(desks.store, plan)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("at", range(len(SPLIT_STEPS)))
async def test_a_split_survives_a_stop_in_any_step(desks: World, at: int, when: str) -> None:
    source = await desks.open()
    plan = Split(source_id=source.order_id, quantities=("60", "40"), order_ids=(new_id(ORDER), new_id(ORDER)))
    calls = await interrupted(desks, asked(plan), at, when)
    assert tuple(calls) == SPLIT_STEPS[: at + 1]
    is_whole(desks.store, plan)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("at", range(len(REMAINDER_STEPS)))
async def test_a_remainder_survives_a_stop_in_any_step(desks: World, at: int, when: str) -> None:
    source = await closed(desks, "40")
    plan = Remainder(source_id=source.order_id, order_id=new_id(ORDER))
    assert tuple(await interrupted(desks, asked(plan), at, when)) == REMAINDER_STEPS[: at + 1]
    rest = desks.store.orders.get(plan.order_id)
    assert rest is not None
    assert rest.ordered_quantity == 60
    assert [link.order_id for link in source.order.links] == [plan.order_id]


async def closed(world: World, executed: str) -> Dealt:
    source = await (await world.open()).sent_to_trader()
    placement_id = await source.place(executed)
    await source.hear(*execution(placement_id, executed))
    await source.is_in(State.PARTIALLY_FILLED)
    await source.do(cmd.CloseOrder(), Role.TRADER)
    return source


async def test_a_remainder_is_what_was_unfilled_when_it_was_asked_for(desks: World) -> None:
    """A fill that comes late, after the source was told and before the new order exists, changes nothing."""
    source = await closed(desks, "40")
    plan = Remainder(source_id=source.order_id, order_id=new_id(ORDER))
    book = Interrupted(book_of(desks), 1, BEFORE)
    asking = asyncio.create_task(restructure(desks, asked(plan)))
    async with desk_worker(desks.client, book):
        await asyncio.wait_for(book.hangs.wait(), 20)
    await source.hear(*execution(source.placement_id, "60", number=2))
    await source.becomes(lambda o: o.executed_quantity == 100, "filled late")
    async with desk_worker(desks.client, book_of(desks)):
        await asking
    rest = desks.store.orders.get(plan.order_id)
    assert rest is not None
    assert rest.ordered_quantity == 60


async def test_a_refusal_halfway_frees_what_was_held(desks: World) -> None:
    """The second source goes to the trader after the first is held: nothing is merged and both are as they were."""
    one, other = sorted([await desks.open(), await desks.open()], key=lambda d: d.order_id)
    wanted = asked(merge_of(one, other))
    book = Interrupted(book_of(desks), 1, BEFORE)
    asking = asyncio.create_task(restructure(desks, wanted))
    async with desk_worker(desks.client, book):
        await asyncio.wait_for(book.hangs.wait(), 20)
        assert one.order.restructuring is not None
        held = await one.refused(cmd.RequestPreTradeCompliance(), Role.PM)
        assert held.code == Code.RESTRUCTURING
    await other.sent_to_trader()
    async with desk_worker(desks.client, book_of(desks)):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code is Code.INVALID_STATE
        assert refused.value.facts["state"] == "SENT_TO_TRADER"
        with pytest.raises(Refused) as again:
            await restructure(desks, wanted)
        assert again.value.facts == refused.value.facts, "asked again it is refused for the same reason"
    assert (one.order.state, one.order.restructuring) == (State.CREATED, None)
    happened = [e.happening for e in desks.store.journal.of_order(one.order_id)]
    assert isinstance(happened[-1], RestructuringAbandoned)
    assert desks.store.orders.get(wanted.plan.order_id) is None
    await one.do(cmd.RequestPreTradeCompliance(), Role.PM)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_what_is_taken_back_survives_a_stop(desks: World, when: str) -> None:
    one, other = sorted([await desks.open(), await desks.open()], key=lambda d: d.order_id)
    wanted = asked(merge_of(one, other))
    holding = Interrupted(book_of(desks), 1, BEFORE)
    asking = asyncio.create_task(restructure(desks, wanted))
    async with desk_worker(desks.client, holding):
        await asyncio.wait_for(holding.hangs.wait(), 20)
    await other.do(cmd.CancelOrder(), Role.PM)
    releasing = Interrupted(book_of(desks), 1, when)
    async with desk_worker(desks.client, releasing):
        await asyncio.wait_for(releasing.hangs.wait(), 20)
        assert releasing.calls == ["begin_restructuring", "abandon_restructuring"]
    async with desk_worker(desks.client, book_of(desks)):
        with pytest.raises(Refused):
            await asking
    assert (one.order.state, one.order.restructuring) == (State.CREATED, None)


async def test_of_two_merges_that_share_a_source_exactly_one_wins(desks: World) -> None:
    async with desk_worker(desks.client, book_of(desks)):
        for _ in range(3):
            sources = [await desks.open() for _ in range(3)]
            plans = [merge_of(sources[0], sources[1]), merge_of(sources[2], sources[1])]
            done = await asyncio.gather(
                *(restructure(desks, asked(plan)) for plan in plans), return_exceptions=True
            )
            won = [plan for plan, answer in zip(plans, done, strict=True) if isinstance(answer, Restructured)]
            assert len(won) == 1
            is_whole(desks.store, won[0])
            (lost,) = [plan for plan in plans if plan not in won]
            assert desks.store.orders.get(lost.order_id) is None
            free = sources[0] if won[0] is plans[1] else sources[2]
            assert (free.order.state, free.order.restructuring) == (State.CREATED, None)


async def test_a_pending_check_waits_for_the_end_of_the_hold(desks: World) -> None:
    """Held while the verdict is due: no verdict is taken; released it is checked as if nothing had been."""
    one = await desks.open(compliance="external")
    other = await desks.open(compliance="external")
    held, free = sorted([one, other], key=lambda d: d.order_id)
    await held.do(cmd.RequestPreTradeCompliance(), Role.PM)
    book = Interrupted(book_of(desks), 1, BEFORE)
    wanted = asked(merge_of(held, free))
    asking = asyncio.create_task(restructure(desks, wanted))
    async with desk_worker(desks.client, book):
        await asyncio.wait_for(book.hangs.wait(), 20)
        refused = await held.refused(cmd.PassPreTradeCompliance(), Role.COMPLIANCE)
        assert refused.code == Code.RESTRUCTURING
    await free.do(cmd.CancelOrder(), Role.PM)
    async with desk_worker(desks.client, book_of(desks)):
        with pytest.raises(Refused):
            await asking
    assert held.order.state is State.PENDING_PRE_TRADE_COMPLIANCE
    await held.do(cmd.PassPreTradeCompliance(), Role.COMPLIANCE)


async def test_a_merge_nobody_works_on_is_unavailable_and_not_lost(desks: World) -> None:
    plan = merge_of(await desks.open(), await desks.open())
    wanted = asked(plan)
    with pytest.raises(Refused) as late:
        await restructure(desks, wanted, seconds=0.5)
    assert late.value.code is Code.UNAVAILABLE
    async with desk_worker(desks.client, book_of(desks)):
        assert (await restructure(desks, wanted)).order_ids == (plan.order_id,)
        assert (await restructure(desks, wanted)).order_ids == (plan.order_id,), "asked again after its end"
    is_whole(desks.store, plan)


async def test_straight_through_orders_made_by_a_split_go_their_way(desks: World) -> None:
    source = await desks.open(compliance="external", automation="straight_through")
    await source.is_in(State.PENDING_PRE_TRADE_COMPLIANCE)
    plan = Split(source_id=source.order_id, quantities=("60", "40"), order_ids=(new_id(ORDER), new_id(ORDER)))
    async with desk_worker(desks.client, book_of(desks)):
        await restructure(desks, asked(plan))
    for order_id in plan.order_ids:
        await until(
            lambda o=order_id: desks.store.orders.get(o).state is State.PENDING_PRE_TRADE_COMPLIANCE,
            f"{order_id} asks for its verdict",
        )
