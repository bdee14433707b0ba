"""A command whose worker stops before, during or after any step of it: each of its orders is opened once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from oms.domain.commands import OverridePreTradeCompliance
from oms.domain.programs.outcomes import CommandStatus
from oms.domain.terms import ComplianceStatus, Role, State
from tests.domain.orders import ACTORS
from tests.stack import temporal_server, until
from tests.workflows.commanding import (
    REFUSED,
    SMALL_ORDERS,
    Admitting,
    Given,
    StopsAt,
    bracketed,
    commanding,
    commanding_over,
    commands_only,
    entry,
    hand_in,
    prepare,
    signed,
    small_orders_only,
    submit,
)
from tests.workflows.desk import AFTER, BEFORE, book_of
from tests.workflows.world import World, a_world, quiet

STEPS = (
    "verify_command",
    "plan_entry",
    "open_entry",
    "look_at_entry",
    "plan_entry",
    "open_entry",
    "settle_command",
)
_TOGETHER = 3


@pytest.fixture(scope="module")
async def desks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A world with orders, and without a worker of commands."""
    quiet()
    folder: Path = tmp_path_factory.mktemp("crashes")
    async with temporal_server() as server, a_world(await server.client(), folder) as made, made.working():
        prepare(made)
        yield made


async def went_on(given: Given) -> None:
    """Everything of a bracket and a plain entry is there once, and told of once."""
    ended = await asyncio.wait_for(given.outcome(), 30)
    assert ended.status is CommandStatus.DONE
    orders = given.orders()
    assert {order.order_id for order in orders} == {told.order_id for told in ended.orders}
    assert len(orders) == len(ended.orders) == 4
    for order in orders:
        created = [e for e in given.world.store.journal.of_order(order.order_id) if e.kind == "order_created"]
        assert len(created) == 1
    assert [event["event_type"] for event in given.events()] == [
        "oms.submit",
        "ib.order_received",
        "ib.order_received",
    ]
    assert given.alarms() == []
    assert given.kept().orders == ended.orders


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("at", range(len(STEPS)))
async def test_a_command_survives_a_stop_at_any_step(desks: World, at: int, when: str) -> None:
    stop = StopsAt(at, when)
    async with commanding_over(desks, book_of(desks), stop):
        given = await hand_in(desks, submit(bracketed(), entry()))
        await asyncio.wait_for(stop.hangs.wait(), 20)
    assert tuple(stop.calls) == STEPS[: at + 1]
    async with commanding(desks):
        await went_on(given)


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("at", range(_TOGETHER))
async def test_a_bracket_survives_a_stop_between_its_orders(desks: World, at: int, when: str) -> None:
    book = Admitting(book_of(desks), at, when)
    async with commanding_over(desks, book):
        given = await hand_in(desks, submit(bracketed(), entry()))
        await asyncio.wait_for(book.hangs.wait(), 20)
        assert len(given.orders()) == at + (when == AFTER)
    async with commanding(desks):
        await went_on(given)


@pytest.mark.parametrize("at", range(_TOGETHER))
async def test_an_order_that_is_refused_takes_all_of_its_entry_with_it(desks: World, at: int) -> None:
    async with commanding_over(desks, Admitting(book_of(desks), at, REFUSED)):
        given = await hand_in(desks, submit(bracketed(), entry()))
        ended = await given.outcome()
    assert ended.status is CommandStatus.DONE
    assert [told.refusal is not None for told in ended.orders] == [n == at for n in range(_TOGETHER)] + [
        False
    ]
    assert [told.order_id is not None for told in ended.orders] == [n < at for n in range(_TOGETHER)] + [True]
    await until(lambda: is_canceled(given, at), "what was opened of it is canceled")
    (other,) = [order for order in given.orders() if order.metadata["order_index"] == 1]
    assert not other.is_terminal


def is_canceled(given: Given, count: int) -> bool:
    """Whether the first entry's `count` orders are over, and none of them was executed."""
    orders = [order for order in given.orders() if order.metadata["order_index"] == 0]
    ended = [order for order in orders if order.state is State.CANCELED and not order.live_placements]
    return len(ended) == len(orders) == count and not any(order.executed_quantity for order in ended)


async def test_an_exit_that_is_overridden_while_nobody_is_there_keeps_its_entry(desks: World) -> None:
    """The failure was seen, then the worker died, then compliance overrode it: the entry is at its venue by now."""
    small_orders_only(desks)
    try:
        async with commands_only(desks):
            given = await hand_in(desks, submit(bracketed()))
            await until(lambda: waits_for(given, "instruct_order"), "an order is about to be canceled")
    finally:
        desks.store.rules.deactivate(SMALL_ORDERS)
    failed = [order for order in given.orders() if order.pre_trade.status is ComplianceStatus.FAILED]
    assert 0 < len(failed) < _TOGETHER
    override = OverridePreTradeCompliance(reason="small enough", approver_id="jane", override_id="OVR-1")
    for order in failed:
        await book_of(desks).instruct(order.order_id, override, ACTORS[Role.COMPLIANCE])
    await until(lambda: all(order.placements for order in given.orders()), "all of it is at the venue")
    async with commanding(desks):
        ended = await given.outcome()
    assert [told.detail for told in ended.orders] == [None, None, None]
    assert not any(order.is_terminal or order.cancel_requested for order in given.orders())


async def waits_for(given: Given, activity: str) -> bool:
    described = await given.handle.describe()
    return any(
        pending.activity_type.name == activity for pending in described.raw_description.pending_activities
    )


@pytest.mark.parametrize("when", [BEFORE, AFTER])
@pytest.mark.parametrize("at", [0, 1])
async def test_a_refusal_survives_a_stop(desks: World, at: int, when: str) -> None:
    """It is written down once, also where the worker that wrote it never said so."""
    stop = StopsAt(at, when)
    async with commanding_over(desks, book_of(desks), stop):
        given = await hand_in(desks, signed("oms.submit", {"orders": [entry()]}, tenant="nobody"))
        await asyncio.wait_for(stop.hangs.wait(), 20)
    assert stop.calls == ["verify_command", "settle_command"][: at + 1]
    async with commanding(desks):
        await given.is_refused("INVALID_TENANT")
