"""From the inbox to the orders, with a real store and without a broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.gateways.rig import Orders, eventually

from oms.domain.facts import Executed
from oms.gateways.ibkr import delivery as delivery_room
from oms.gateways.ibkr.delivery import Delivery
from oms.store import InboxMessage, InboxStatus, Store


def fact(number: int) -> Executed:
    return Executed(
        placement_id="PLC-1",
        exec_id=f"{number:05}",
        quantity=1,
        price=1,
        currency="USD",
        venue="IBKR",
        ts_event_ns=number,
        ts_init_ns=number,
    )


def put(store: Store, order_id: str, numbers: range) -> None:
    rows = [InboxMessage(f"{order_id}/{n}", order_id, fact(n), n) for n in numbers]
    store.inbox.add("ibkr", rows)


@asynccontextmanager
async def delivering(store: Store, orders: Orders) -> AsyncIterator[Delivery]:
    delivery = Delivery(store, "ibkr", orders.deliver)
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def waiting(store: Store) -> int:
    return store.inbox.counts("ibkr")[InboxStatus.NEW]


async def test_facts_arrive_in_order_in_batches_of_at_most_200(store: Store) -> None:
    orders = Orders()
    put(store, "A", range(450))
    async with delivering(store, orders):
        await eventually(lambda: waiting(store) == 0)
    assert [f.exec_id for f in orders.facts["A"]] == [f"{n:05}" for n in range(450)]
    assert orders.batches["A"] == [200, 200, 50]


async def test_a_wake_delivers_at_once_not_at_the_next_poll(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_room, "_BACKSTOP_SECONDS", 3600.0)
    orders = Orders()
    async with delivering(store, orders) as delivery:
        await eventually(lambda: not delivery._news.is_set())
        put(store, "A", range(1))
        delivery.wake()
        await eventually(lambda: orders.facts["A"])


async def test_an_order_nobody_knows_is_parked(store: Store) -> None:
    orders = Orders()
    orders.unknown.add("A")
    put(store, "A", range(2))
    put(store, "B", range(2))
    async with delivering(store, orders):
        await eventually(lambda: waiting(store) == 0)
    assert store.inbox.counts("ibkr")[InboxStatus.ORPHAN] == 2
    assert len(orders.facts["B"]) == 2


async def test_a_failing_order_is_tried_again_and_holds_up_no_other(store: Store) -> None:
    orders = Orders()
    orders.failures["A"] = 3
    put(store, "A", range(700))
    put(store, "B", range(3))
    async with delivering(store, orders):
        await eventually(lambda: len(orders.facts["B"]) == 3)
        assert orders.failures["A"] > 0
        await eventually(lambda: waiting(store) == 0)
    assert [f.exec_id for f in orders.facts["A"]] == [f"{n:05}" for n in range(700)]


async def test_a_crash_before_the_mark_delivers_again(store: Store) -> None:
    orders = Orders()
    orders.open.clear()
    put(store, "A", range(3))
    async with delivering(store, orders) as delivery:
        await eventually(lambda: "A" in delivery._busy)
    assert waiting(store) == 3
    orders.open.set()
    async with delivering(store, orders):
        await eventually(lambda: waiting(store) == 0)
    assert len(orders.facts["A"]) == 3


async def test_many_orders_are_served_at_a_time_but_not_all_at_once(store: Store) -> None:
    now, most = 0, 0

    async def deliver(_order_id: str, _facts: list[object]) -> bool:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return True

    orders = Orders()
    orders.deliver = deliver  # type: ignore[method-assign]
    for n in range(60):
        put(store, f"ORD-{n}", range(2))
    async with delivering(store, orders):
        await eventually(lambda: waiting(store) == 0)
    assert 1 < most <= 16
