"""Stops that become trailing ones when the market touches a price, through the unmodified client."""

from decimal import Decimal
from typing import Any

import ib_async as iba
import pytest
from tests.paper.clients import Client, Desk, until

from oms.paper.ib_gateway import PaperIBGateway

pytestmark = pytest.mark.parametrize("version", [157, 178])


_CLIENT_IDS = iter(range(100, 1000))


def adjustable(**changes: Any) -> iba.Order:
    """Sell at 220 or below; from 240 on, at 5 below the best bid."""
    values: dict[str, Any] = {
        "action": "SELL",
        "totalQuantity": 10,
        "orderType": "STP",
        "auxPrice": 220.0,
        "tif": "GTC",
        "triggerPrice": 240.0,
        "adjustedOrderType": "TRAIL",
        "adjustedStopPrice": 235.0,
        "adjustedTrailingAmount": 5.0,
        "adjustableTrailingUnit": 0,
    }
    return iba.Order(**(values | changes))


def quote(gateway: PaperIBGateway, bid: str, ask: str) -> None:
    gateway.set_price("AAPL", Decimal(bid), Decimal(ask))


async def waiting(client: Client, **changes: Any) -> iba.Trade:
    trade = client.place(adjustable(**changes))
    await until(lambda: trade.orderStatus.whyHeld == "trigger")
    return trade


async def listed(desk: Desk, gateway: PaperIBGateway) -> iba.Order:
    """The one open order in full: the library keeps most fields of an order as it first saw them."""
    looking = await desk.client(gateway, next(_CLIENT_IDS))
    (found,) = await looking.ib.reqAllOpenOrdersAsync()
    looking.ib.disconnect()
    return found.order


async def test_it_is_a_stop_until_the_market_touches_its_trigger(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = await waiting(client)
    for bid in ("239.99", "225.00"):
        quote(gateway, bid, "240.50")
        order = await listed(desk, gateway)
        assert (order.orderType, order.auxPrice) == ("STP", 220)
    told = (
        order.adjustedOrderType,
        order.triggerPrice,
        order.adjustedStopPrice,
        order.adjustedTrailingAmount,
    )
    assert told == ("TRAIL", 240, 235, 5)
    quote(gateway, "220.00", "220.02")
    await client.status(trade, "Filled")
    assert trade.orderStatus.avgFillPrice == 220


async def test_from_then_on_it_trails_and_never_goes_back(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = await waiting(client)
    for bid, stop in (("240.00", 235), ("236.00", 235), ("250.00", 245), ("245.01", 245)):
        quote(gateway, bid, "251.00")
        order = await listed(desk, gateway)
        assert (order.orderType, order.auxPrice, order.trailStopPrice) == ("TRAIL", 5, stop)
        assert (trade.orderStatus.status, trade.orderStatus.whyHeld) == ("PreSubmitted", "trigger")
    quote(gateway, "245.00", "245.02")
    await client.status(trade, "Filled")
    assert trade.orderStatus.avgFillPrice == 245


async def test_the_client_is_told_when_it_begins(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    await waiting(client)
    client.received.clear()
    quote(gateway, "240.00", "240.02")
    await until(lambda: any(message[0] == "5" and "TRAIL" in message for message in client.received))
    client.received.clear()
    quote(gateway, "241.00", "241.02")
    await client.echo()
    assert not any(message[0] == "5" for message in client.received)


async def test_to_buy_it_trails_down_by_a_percentage(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = await waiting(
        client,
        action="BUY",
        auxPrice=240.0,
        triggerPrice=220.0,
        adjustedStopPrice=222.2,
        adjustedTrailingAmount=1.0,
        adjustableTrailingUnit=1,
    )
    quote(gateway, "219.98", "220.00")
    order = await listed(desk, gateway)
    assert (order.orderType, order.trailingPercent, order.trailStopPrice) == ("TRAIL", 1, 222.2)
    quote(gateway, "199.98", "200.00")
    assert (await listed(desk, gateway)).trailStopPrice == 202
    quote(gateway, "202.00", "202.02")
    await client.status(trade, "Filled")


async def test_without_a_stop_of_its_own_it_begins_behind_the_market(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    await waiting(client, adjustedStopPrice=iba.util.UNSET_DOUBLE)
    quote(gateway, "243.00", "243.02")
    assert (await listed(desk, gateway)).trailStopPrice == 238


async def test_it_stays_what_it_became_over_a_restart(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    await waiting(client)
    quote(gateway, "250.00", "250.02")
    client.ib.disconnect()
    await gateway.stop()
    gateway = await desk.gateway()
    again = await desk.client(gateway)
    (trade,) = again.ib.openTrades()
    assert (trade.order.orderType, trade.order.trailStopPrice) == ("TRAIL", 245)
    quote(gateway, "244.99", "245.01")
    await again.status(trade, "Filled")
    (done,) = await again.ib.reqCompletedOrdersAsync(False)
    assert (done.order.orderType, done.order.trailStopPrice) == ("TRAIL", 245)


async def test_sent_again_as_it_was_it_stays_what_it_became(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = await waiting(client)
    quote(gateway, "250.00", "250.02")
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, adjustable(totalQuantity=8))
    await client.echo()
    order = await listed(desk, gateway)
    assert (order.orderType, order.totalQuantity, order.trailStopPrice) == ("TRAIL", 8, 245)
    assert client.codes() == []


async def test_a_child_begins_once_its_parent_is_filled(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    parent = iba.LimitOrder("BUY", 10, 230.0, transmit=False, orderId=client.ib.client.getReqId())
    quote(gateway, "241.00", "241.02")
    entry = client.place(parent)
    child = client.place(adjustable(parentId=parent.orderId))
    await until(lambda: child.orderStatus.whyHeld == "child")
    quote(gateway, "240.00", "240.02")
    assert {t.order.orderType for t in await client.ib.reqAllOpenOrdersAsync()} == {"LMT", "STP"}
    quote(gateway, "229.98", "230.00")
    await client.status(entry, "Filled")
    assert (await listed(desk, gateway)).orderType == "STP"
    quote(gateway, "240.00", "240.02")
    assert (await listed(desk, gateway)).orderType == "TRAIL"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"triggerPrice": 240.001}, 110),
        ({"adjustedStopPrice": 235.001}, 110),
        ({"adjustedTrailingAmount": 5.001}, 110),
        ({"triggerPrice": iba.util.UNSET_DOUBLE}, 201),
        ({"adjustedTrailingAmount": iba.util.UNSET_DOUBLE}, 201),
        ({"adjustedTrailingAmount": 100.0, "adjustableTrailingUnit": 1}, 201),
        ({"adjustableTrailingUnit": 7}, 201),
        ({"adjustedOrderType": "STP LMT"}, 201),
        ({"orderType": "TRAIL", "auxPrice": 2.0}, 201),
    ],
)
async def test_what_it_does_not_take(desk: Desk, changes: dict[str, Any], code: int) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    client.place(adjustable(**changes))
    await client.error(code)
    assert all(order.status == "Inactive" for order in gateway.orders())
