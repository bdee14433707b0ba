"""Answers of the real order book that are lost on the way: what was asked for happens once all the same."""

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from durable_oms import AsyncClient
from oms.domain.terms import Role
from tests.api.desk import Desk
from tests.client.conftest import QUICK, Asks
from tests.client.lossy import lossy
from tests.client.test_operations import terms

Clients = Callable[[Role], AsyncClient]


async def test_an_order_whose_answer_was_lost_is_one_order(
    desk: Desk, clients: Clients, address: str, ask: Asks
) -> None:
    """Lost whole, lost in its headers, lost in its body; then it arrives."""
    instrument = await clients(Role.ADMIN).oms.create_instrument(f"LOST{uuid.uuid4().hex[:8]}")
    asked = terms(desk, instrument_id=instrument.instrument_id)
    async with lossy(address, lambda n: (0, 40, 400)[n] if n < 3 else None) as line:
        order_id = await ask(line, lambda client: client.oms.create_order(**asked))
    made = await clients(Role.VIEWER).oms.list_orders(instrument_id=instrument.instrument_id)
    assert [order.order_id for order in made] == [order_id]


async def test_a_placement_whose_answer_was_lost_is_one_placement(
    desk: Desk, clients: Clients, address: str, ask: Asks
) -> None:
    order_id = (await desk.order())["order_id"]
    await desk.command(order_id, "pre-trade-compliance/request")
    await desk.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
    await desk.command(order_id, "send-to-trader")

    def place(client: Any) -> Any:
        return client.ems.create_placement(order_id, "IBKR", 60)

    async with lossy(address, lambda n: 0 if n < 2 else None) as line:
        placement_id = await ask(line, place, api_key="secret-trader")
    placements = await clients(Role.VIEWER).ems.list_placements(order_id)
    assert [(p.placement_id, p.quantity) for p in placements] == [(placement_id, Decimal(60))]


async def test_a_stream_over_a_line_that_keeps_breaking_is_whole(desk: Desk, address: str, ask: Asks) -> None:
    start, count = desk.context.store.journal.head(), 12
    for _ in range(count):
        await desk.order()
    broken = 0

    def carries(connection: int) -> int:
        nonlocal broken
        broken = connection
        return 2500 + 977 * connection

    def read(client: Any) -> Any:
        stream = client.oms.stream_orders(after=start)
        return (
            awaited(stream) if hasattr(stream, "__anext__") else [next(stream).position for _ in range(count)]
        )

    async def awaited(stream: Any) -> list[int]:
        async with stream:
            return [(await anext(stream)).position for _ in range(count)]

    async with lossy(address, carries) as line:
        assert await ask(line, read, retries=QUICK) == list(range(start + 1, start + 1 + count))
    assert broken >= 2
