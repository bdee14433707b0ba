"""Large states of the paper broker: built quickly, listed quickly, and as true as if they had been traded into."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import STILL, Desk

from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.seeding import seed_executions, seed_fills, seed_open_orders


def frame(*fields: object) -> bytes:
    payload = "".join(f"{field}\0" for field in fields).encode()
    return len(payload).to_bytes(4, "big") + payload


async def listed(gateway: PaperIBGateway, request: Iterable[object], end: str) -> int:
    """How many messages a plain socket reads until the end of a list."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    offer = b"v157..178"
    writer.write(b"API\0" + len(offer).to_bytes(4, "big") + offer)
    writer.write(frame(71, 2, 5, "") + frame(*request))
    count = 0
    async with asyncio.timeout(20):
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            kind = (await reader.readexactly(length)).split(b"\0")[0].decode()
            if kind == end:
                break
            count += kind in {"5", "11", "101"}
    writer.close()
    await writer.wait_closed()
    return count


async def test_seeds_are_found_like_what_was_traded(desk: Desk) -> None:
    gateway = await desk.gateway()
    first = seed_open_orders(gateway, 3, "AAPL", client_id=7, order_refs=["a", "b"])
    filled = seed_executions(gateway, 2, "IBM", client_id=7)
    assert [o.terms.order_ref for o in first] == ["a", "b", "seed-3"]
    assert [o.status for o in (*first, *filled)] == ["Submitted"] * 3 + ["Filled"] * 2
    client = await desk.client(gateway, 7)
    assert {t.order.orderRef for t in client.ib.openTrades()} == {"a", "b", "seed-3"}
    assert [(p.contract.symbol, p.position) for p in client.ib.positions()] == [("IBM", 2)]
    assert len(client.ib.fills()) == 2
    # Numbers go on from there, and the orders are as alive as others.
    fresh = client.place(iba.MarketOrder("BUY", 1))
    await client.status(fresh, "Filled")
    assert fresh.order.orderId > filled[-1].terms.order_id
    gateway.set_price("AAPL", Decimal("1.00"), Decimal("1.01"))
    await client.echo()
    assert client.ib.openTrades() == []


async def test_seeds_say_what_they_cannot_do(desk: Desk) -> None:
    gateway = await desk.gateway()
    with pytest.raises(KeyError):
        seed_open_orders(gateway, 1, "NOPE")
    with pytest.raises(ValueError, match="does not take"):
        seed_open_orders(gateway, 1, "HALTD")
    with pytest.raises(ValueError, match="too little"):
        seed_executions(gateway, 101, "THIN")
    (order,) = seed_open_orders(gateway, 1, "AAPL")
    with pytest.raises(ValueError, match="too many"):
        seed_fills(gateway, order.perm_id, 2)
    with pytest.raises(KeyError):
        seed_fills(gateway, 4711, 1)


async def test_an_order_with_many_fills(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.LimitOrder("BUY", 60, 100))
    await client.status(trade, "Submitted")
    seed_fills(gateway, trade.order.permId, 59)
    await client.echo()
    assert (trade.orderStatus.filled, trade.orderStatus.status) == (59, "Submitted")
    seed_fills(gateway, trade.order.permId, 1)
    await client.status(trade, "Filled")
    assert len({f.execution.execId for f in trade.fills}) == len(gateway.executions()) == 60


@pytest.mark.speed
async def test_large_lists_are_quick(desk: Desk) -> None:
    gateway = await desk.gateway()
    began = time.perf_counter()
    seed_open_orders(gateway, 1_000, "AAPL", client_id=5)
    seed_executions(gateway, 5_000, "IBM", client_id=5)
    assert time.perf_counter() - began < 5
    began = time.perf_counter()
    assert await listed(gateway, (5, 1), "53") == 1_000
    assert await listed(gateway, (99, 0), "102") == 5_000
    assert await listed(gateway, (7, 3, 9, 0, "", "", "", "", "", ""), "55") == 5_000
    assert time.perf_counter() - began < 2


@pytest.mark.speed
async def test_ten_thousand_fills_of_one_order_are_quick(desk: Desk) -> None:
    gateway = await desk.gateway(market=replace(STILL, displays={"MSFT": Decimal(1)}))
    client = await desk.client(gateway)
    trade = client.place(iba.MarketOrder("BUY", 10_000), "MSFT")
    await client.status(trade, "Submitted")
    client.ib.disconnect()
    began = time.perf_counter()
    gateway.step_market(5_000)
    assert time.perf_counter() - began < 10
    began = time.perf_counter()
    seed_fills(gateway, trade.order.permId, 4_999)
    assert time.perf_counter() - began < 5
    (order,) = gateway.orders()
    assert (order.filled, order.status, len(gateway.executions())) == (10_000, "Filled", 10_000)


async def test_a_market_step_looks_at_one_contract_only(desk: Desk) -> None:
    gateway = await desk.gateway(market=STILL)
    seed_open_orders(gateway, 200, "AAPL")
    (order,) = seed_open_orders(gateway, 1, "IBM")
    gateway.set_price("IBM", Decimal("1.00"), Decimal("1.01"))
    assert gateway._desk.engine.live.of_contract(order.terms.instrument.con_id) == []
    assert len(gateway._desk.engine.live) == 200
