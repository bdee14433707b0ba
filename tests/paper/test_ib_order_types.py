"""Order types, brackets, groups and algorithms through the unmodified client, and over a restart."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import ib_async as iba
import pytest
from tests.paper.clients import Client, Desk, until

from oms.paper.hours import TradingHours

pytestmark = pytest.mark.parametrize("version", [157, 178])


def trail(**changes: Any) -> iba.Order:
    values: dict[str, Any] = {"action": "SELL", "totalQuantity": 10, "orderType": "TRAIL", "auxPrice": 2.0}
    return iba.Order(**(values | changes))


async def test_a_trailing_stop_is_listed_where_it_stands(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(trail(trailStopPrice=220.0, orderRef="trail"))
    await until(lambda: trade.orderStatus.whyHeld == "trigger")
    assert trade.orderStatus.status == "PreSubmitted"
    told = next(m for m in client.received if m[0] == "5")
    assert told.count("220") == 2
    gateway.set_price("AAPL", Decimal("230.00"), Decimal("230.02"))
    client.ib.disconnect()
    await gateway.stop()
    gateway = await desk.gateway()
    again = await desk.client(gateway)
    (listed,) = again.ib.openTrades()
    assert (listed.order.orderType, listed.order.auxPrice, listed.order.trailStopPrice) == (
        "TRAIL",
        2.0,
        228.0,
    )
    gateway.set_price("AAPL", Decimal("227.90"), Decimal("228.10"))
    await again.status(listed, "Filled")
    (done,) = await again.ib.reqCompletedOrdersAsync(False)
    assert (done.order.trailStopPrice, done.order.orderRef) == (228.0, "trail")


async def test_a_trailing_stop_limit_shows_its_distances(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order = trail(
        action="BUY",
        orderType="TRAIL LIMIT",
        auxPrice=iba.util.UNSET_DOUBLE,
        trailingPercent=1.0,
        lmtPriceOffset=0.25,
    )
    trade = client.place(order)
    await until(lambda: trade.orderStatus.whyHeld == "trigger")
    (listed,) = await client.ib.reqAllOpenOrdersAsync()
    assert (listed.order.trailingPercent, listed.order.lmtPriceOffset) == (1.0, 0.25)
    # What was rebuilt from openOrder can be sent back and changes nothing.
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, listed.order)
    await client.echo()
    assert (client.codes(), gateway.orders()[0].status) == ([], "PreSubmitted")
    gateway.set_price("AAPL", Decimal("230.80"), Decimal("230.82"))
    await client.status(trade, "Filled")
    assert trade.orderStatus.avgFillPrice == 230.82


async def test_a_midprice_order(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.Order(action="BUY", totalQuantity=10, orderType="MIDPRICE", lmtPrice=228.0))
    await client.status(trade, "Submitted")
    gateway.set_price("AAPL", Decimal("227.90"), Decimal("228.00"))
    await client.status(trade, "Filled")
    assert trade.orderStatus.avgFillPrice == 227.95
    refused = client.ib.placeOrder(
        iba.Forex("EURUSD"), iba.Order(action="BUY", totalQuantity=1, orderType="MIDPRICE")
    )
    await client.status(refused, "Cancelled")
    assert client.codes() == [387]


async def test_hours_and_times(desk: Desk) -> None:
    desk.clock.now = datetime(2026, 11, 20, 22, 0, tzinfo=UTC)  # 17:00 in New York
    gateway = await desk.gateway(hours=TradingHours())
    client = await desk.client(gateway)
    (details,) = await client.ib.reqContractDetailsAsync(iba.Stock("AAPL", "SMART", "USD"))
    assert details.tradingHours.startswith("20261120:0400-20261120:2000;20261121:CLOSED")
    assert details.liquidHours.startswith("20261120:0930-20261120:1600;20261121:CLOSED")
    inside = client.place(iba.LimitOrder("BUY", 10, 300))
    outside = client.place(iba.LimitOrder("BUY", 10, 300, outsideRth=True))
    market = client.place(iba.MarketOrder("BUY", 10, outsideRth=True))
    later = client.place(iba.LimitOrder("BUY", 10, 300, outsideRth=True, goodAfterTime="20261120-22:30:00"))
    await client.status(outside, "Filled")
    await until(lambda: {399, 2109} <= {code for _, code, _ in client.errors})
    await client.ib.reqOpenOrdersAsync()
    assert {t.orderStatus.status for t in (inside, market, later)} == {"PreSubmitted"}
    assert later.order.goodAfterTime == "20261120-22:30:00"
    desk.clock.pass_time(minutes=30)
    gateway.step_market()
    await client.status(later, "Filled")
    desk.clock.now = datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    gateway.step_market()
    await client.status(inside, "Filled")
    await client.status(market, "Filled")


async def placed_family(client: Client, profit: float = 240.0, quantity: float = 10) -> list[iba.Trade]:
    bracket = client.ib.bracketOrder("BUY", quantity, 200.00, profit, 190.00)
    for number, order in enumerate(bracket):
        order.orderRef = f"leg-{number}"
    return [client.place(order) for order in bracket]


async def test_a_family_that_is_sent_again(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trades = await placed_family(client)
    await until(lambda: trades[2].orderStatus.whyHeld == "child")
    before = gateway.orders()
    for trade in trades:
        client.ib.client.placeOrder(trade.order.orderId, trade.contract, trade.order)
    await client.echo()
    assert gateway.orders() == before
    listed = await client.ib.reqOpenOrdersAsync()
    assert {(t.order.orderRef, t.order.permId) for t in listed} == {(o.order_ref, o.perm_id) for o in before}
    assert [t.order.parentId for t in sorted(listed, key=lambda t: t.order.orderId)] == [
        0,
        *[trades[0].order.orderId] * 2,
    ]
    assert client.codes() == []


async def test_half_a_family_is_not_listed_and_completes_after_a_restart(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    bracket = client.ib.bracketOrder("BUY", 10, 200.00, 240.00, 190.00)
    for order in bracket[:2]:
        client.place(order)
    assert await client.ib.reqAllOpenOrdersAsync() == []
    client.ib.disconnect()
    await gateway.stop()
    gateway = await desk.gateway()
    again = await desk.client(gateway)
    assert again.ib.openTrades() == []
    trades = [again.place(order) for order in bracket]
    await until(lambda: trades[2].orderStatus.whyHeld == "child")
    assert [o.status for o in gateway.orders()] == ["Submitted", "PreSubmitted", "PreSubmitted"]
    assert again.codes() == []


async def test_a_rejected_parent_takes_its_children(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    bracket = client.ib.bracketOrder("BUY", 10, 8.00, 9.00, 7.00)
    trades = [client.place(order, "HALTD") for order in bracket]
    await until(lambda: all(trade.isDone() for trade in trades))
    assert [o.status for o in gateway.orders()] == ["Inactive", "Cancelled", "Cancelled"]
    assert client.codes() == [201, 202, 202]


async def test_a_trailing_child_starts_with_its_parents_fill(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    parent = iba.LimitOrder("BUY", 10, 200, orderId=client.ib.client.getReqId(), transmit=False)
    client.place(parent)
    child = client.place(trail(parentId=parent.orderId))
    await until(lambda: child.orderStatus.whyHeld == "child")
    gateway.set_price("AAPL", Decimal("199.00"), Decimal("199.50"))
    await until(lambda: child.orderStatus.whyHeld == "trigger")
    await client.ib.reqOpenOrdersAsync()
    (listed,) = client.ib.openTrades()
    gateway.set_price("AAPL", Decimal("197.00"), Decimal("197.10"))
    await client.status(listed, "Filled")


@pytest.mark.parametrize(("oca_type", "left"), [(1, None), (2, 140), (3, 140)])
async def test_an_oca_group_of_each_type(desk: Desk, oca_type: int, left: float | None) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    gateway.set_price("THIN", Decimal("11.99"), Decimal("12.05"), Decimal(60))
    rests = client.place(iba.LimitOrder("BUY", 200, 100, ocaGroup="g", ocaType=oca_type))
    await client.status(rests, "Submitted")
    trades = client.place(iba.LimitOrder("BUY", 200, 12.10, ocaGroup="g", ocaType=oca_type), "THIN")
    await until(lambda: trades.orderStatus.filled == 60)
    if left is None:
        await client.status(rests, "Cancelled")
        assert await client.error(202) == (rests.order.orderId, 202, "Order Canceled - reason:OCA Group")
    else:
        await until(lambda: rests.orderStatus.remaining == left)
        gateway.set_price("THIN", Decimal("11.99"), Decimal("12.05"), Decimal(500))
        await client.status(trades, "Filled")
        await client.status(rests, "Cancelled")


async def test_an_algorithm_is_worked_over_a_restart_and_shows_its_tags(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order = iba.MarketOrder("BUY", 1000, algoStrategy="Vwap", orderRef="vwap")
    order.algoParams = [iba.TagValue("maxPctVol", "0.3"), iba.TagValue("noTakeLiq", "0")]
    trade = client.place(order)
    await client.status(trade, "Submitted")
    gateway.step_market(4)
    await until(lambda: len(trade.fills) == 4)
    client.ib.disconnect()
    await gateway.stop()
    gateway = await desk.gateway()
    again = await desk.client(gateway)
    (listed,) = again.ib.openTrades()
    assert listed.order.algoStrategy == "Vwap"
    assert [(p.tag, p.value) for p in listed.order.algoParams] == [("maxPctVol", "0.3"), ("noTakeLiq", "0")]
    gateway.step_market(6)
    await again.status(listed, "Filled")
    assert len(gateway.executions()) == 10
    assert sum(e.quantity for e in gateway.executions()) == 1000
    (done,) = await again.ib.reqCompletedOrdersAsync(False)
    assert (done.order.algoStrategy, len(done.order.algoParams)) == ("Vwap", 2)


async def test_an_algorithm_that_is_refused(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    for name, tag, value, code in (
        ("Vwap", "maxPctVol", "0.9", 441),
        ("Vwap", "speed", "1", 443),
        ("Iceberg", "tip", "1", 439),
    ):
        order = iba.MarketOrder("BUY", 10, algoStrategy=name, algoParams=[iba.TagValue(tag, value)])
        await client.status(client.place(order), "Cancelled")
        assert client.codes()[-1] == code


async def test_modifies_of_every_kind(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order = iba.StopLimitOrder("SELL", 100, 219.0, 220.0)
    trade = client.place(order)
    await until(lambda: trade.orderStatus.whyHeld == "trigger")
    perm_id = trade.order.permId
    order.totalQuantity, order.auxPrice, order.lmtPrice = 80, 221.0, 220.5
    client.place(order)
    await until(lambda: trade.orderStatus.remaining == 80)
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, iba.StopOrder("BUY", 80, 230))
    assert (await client.error(105))[0] == trade.order.orderId
    (listed,) = await client.ib.reqAllOpenOrdersAsync()
    assert (listed.order.permId, listed.order.auxPrice, listed.order.lmtPrice) == (perm_id, 221.0, 220.5)
    gateway._desk.engine.modify_after = timedelta(seconds=10)
    client.ib.client.placeOrder(order.orderId, trade.contract, iba.StopLimitOrder("SELL", 70, 220.5, 221.0))
    await client.error(103)
    desk.clock.pass_time(seconds=10)
    client.ib.client.placeOrder(order.orderId, trade.contract, iba.StopLimitOrder("SELL", 70, 220.5, 221.0))
    await until(lambda: gateway.orders()[0].quantity == 70)
    assert client.codes() == [105, 103]
