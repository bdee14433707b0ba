"""The unmodified ib_async client over TCP, at the lowest and the highest server version."""

from datetime import UTC, datetime
from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import Desk, until
from tests.paper.test_order_layout import NOT_COMPLETED, differences, full_order, left_out

from oms.paper.market import MarketSettings

pytestmark = pytest.mark.parametrize("version", [157, 178])

ACCOUNT = "DU123456"


async def test_connect_and_full_sync(desk: Desk, version: int) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    ib = client.ib
    assert ib.client.serverVersion() == version
    assert ib.managedAccounts() == [ACCOUNT]
    assert ib.client.getReqId() >= 1
    values = {v.tag: v.value for v in ib.accountValues() if v.modelCode == ""}
    assert values["NetLiquidation"] == "1000000.00"
    assert values["AccountType"] == "INDIVIDUAL"
    assert {2104} <= {code for _, code, _ in client.errors}
    assert await ib.reqCurrentTimeAsync() == datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


async def test_an_unknown_contract(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    assert await client.ib.reqContractDetailsAsync(iba.Stock("NOPE", "SMART", "USD")) == []
    assert client.codes() == [200]
    trade = client.place(iba.MarketOrder("BUY", 1), "NOPE")
    await client.status(trade, "Cancelled")
    assert client.codes() == [200, 200]
    client.ib.reqMktData(iba.Stock("NOPE", "SMART", "USD", conId=1))
    await until(lambda: client.codes() == [200, 200, 200])


async def test_market_order_lifecycle_in_the_recorded_order(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    client.received.clear()
    trade = client.place(iba.MarketOrder("BUY", 100, orderRef="ref-1"))
    await until(lambda: trade.fills and trade.fills[0].commissionReport.execId)
    statuses = {"5": lambda m: m[93 if len(m) == 135 else 94], "3": lambda m: m[2]}
    told = [(m[0], statuses.get(m[0], lambda _: "")(m)) for m in client.received]
    assert told[:7] == [
        ("5", "PreSubmitted"),
        ("3", "PreSubmitted"),
        ("11", ""),
        ("5", "Filled"),
        ("3", "Filled"),
        ("5", "Filled"),
        ("59", ""),
    ]
    execution = trade.fills[0].execution
    assert (execution.side, execution.shares, execution.price, execution.cumQty) == ("BOT", 100, 228.52, 100)
    assert (execution.orderRef, execution.acctNumber, execution.exchange) == ("ref-1", ACCOUNT, "NASDAQ")
    assert execution.permId == trade.order.permId > 0
    assert (execution.avgPrice, execution.lastLiquidity, execution.clientId) == (228.52, 2, 7)
    assert execution.execId.endswith(".01.01")
    assert execution.time == datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
    report = trade.fills[0].commissionReport
    assert (report.commission, report.currency, report.realizedPNL) == (1.0, "USD", 0.0)
    (own,) = gateway.executions()
    assert (own.exec_id, own.order_ref, own.quantity, own.price) == (
        execution.execId,
        "ref-1",
        100,
        Decimal("228.52"),
    )
    assert (own.commission, own.symbol, own.side, own.order_id) == (1, "AAPL", "BUY", trade.order.orderId)


async def test_large_market_order_fills_in_parts(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.MarketOrder("SELL", 3000))
    await until(lambda: trade.orderStatus.filled == 1200)
    assert trade.orderStatus.status == "Submitted"
    gateway.step_market(2)
    await client.status(trade, "Filled")
    await until(lambda: len(trade.fills) == 3)
    assert [f.execution.cumQty for f in trade.fills] == [1200, 2400, 3000]
    assert trade.orderStatus.avgFillPrice == 228.48


async def test_limit_rests_is_modified_and_fills_when_the_price_comes(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order = iba.LimitOrder("BUY", 50, 200.00, orderRef="lmt")
    trade = client.place(order)
    await client.status(trade, "Submitted")
    perm_id = trade.order.permId
    order.lmtPrice, order.totalQuantity = 201.00, 60
    client.place(order)
    await until(
        lambda: any(entry.message == "Modified" for entry in trade.log) or trade.orderStatus.remaining == 60
    )
    assert trade.order.permId == perm_id
    gateway.set_price("AAPL", Decimal("199.90"), Decimal("200.95"))
    await client.status(trade, "Filled")
    # It rested, so it trades at its own price, and adds liquidity.
    assert [(f.execution.price, f.execution.shares, f.execution.lastLiquidity) for f in trade.fills] == [
        (201, 60, 1)
    ]
    assert [o.status for o in gateway.orders()] == ["Filled"]


async def test_limit_fills_in_part_and_the_rest_stays(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.LimitOrder("BUY", 250, 12.10), "THIN")
    await until(lambda: trade.orderStatus.filled == 100)
    gateway.step_market(5)
    await client.echo()
    assert (trade.orderStatus.status, trade.orderStatus.remaining) == ("Submitted", 150)
    gateway.set_price("THIN", Decimal("11.99"), Decimal("12.05"), Decimal(70))
    await until(lambda: trade.orderStatus.filled == 170)
    gateway.set_price("THIN", Decimal("11.99"), Decimal("12.05"), Decimal(500))
    await client.status(trade, "Filled")
    assert sum(f.execution.shares for f in trade.fills) == 250


async def test_stop_orders_trigger(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    stop = client.place(iba.StopOrder("SELL", 10, 220.00))
    stop_limit = client.place(iba.StopLimitOrder("SELL", 10, 219.50, 220.00))
    await until(lambda: stop_limit.orderStatus.whyHeld == stop.orderStatus.whyHeld == "trigger")
    assert stop.orderStatus.status == stop_limit.orderStatus.status == "PreSubmitted"
    gateway.set_price("AAPL", Decimal("219.00"), Decimal("219.02"))
    await client.status(stop, "Filled")
    await client.status(stop_limit, "Submitted")
    assert stop_limit.orderStatus.whyHeld == ""
    gateway.set_price("AAPL", Decimal("219.60"), Decimal("219.62"))
    await client.status(stop_limit, "Filled")
    buy_stop = client.place(iba.StopOrder("BUY", 10, 225.00))
    await until(lambda: buy_stop.orderStatus.whyHeld == "trigger")
    gateway.set_price("AAPL", Decimal("224.98"), Decimal("225.00"))
    await client.status(buy_stop, "Filled")


async def test_cancel_and_what_cannot_be_cancelled(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    trade = client.place(iba.LimitOrder("SELL", 5, 400))
    await client.status(trade, "Submitted")
    client.ib.cancelOrder(trade.order)
    await client.status(trade, "Cancelled")
    _, _, text = await client.error(202)
    assert text == "Order Canceled - reason:"
    client.ib.client.cancelOrder(trade.order.orderId, "")
    _, _, text = await client.error(10148)
    assert text.endswith("can not be cancelled, state: Cancelled.")
    client.ib.client.cancelOrder(4711, "")
    request, _, text = await client.error(10147)
    assert (request, text) == (4711, "OrderId 4711 that needs to be cancelled is not found.")


async def test_global_cancel_reaches_every_client(desk: Desk) -> None:
    gateway = await desk.gateway()
    one, other = await desk.client(gateway, 1), await desk.client(gateway, 2)
    trades = [c.place(iba.LimitOrder("BUY", 1, 100)) for c in (one, other)]
    await until(lambda: all(t.orderStatus.status == "Submitted" for t in trades))
    one.ib.reqGlobalCancel()
    await until(lambda: all(t.orderStatus.status == "Cancelled" for t in trades))


async def test_a_finished_id_is_refused_as_duplicate(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.MarketOrder("BUY", 1))
    await client.status(trade, "Filled")
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, iba.MarketOrder("BUY", 1))
    assert await client.error(103) == (trade.order.orderId, 103, "Duplicate order id")
    assert len(gateway.executions()) == 1


async def test_a_price_off_the_tick(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.LimitOrder("BUY", 1, 100.005))
    await client.status(trade, "Cancelled")
    assert client.codes() == [110]
    assert gateway.orders() == []
    # A live order stays live when its modify is off the tick.
    order = iba.LimitOrder("BUY", 1, 100)
    live = client.place(order)
    await client.status(live, "Submitted")
    order.lmtPrice = 100.005
    client.place(order)
    await until(lambda: client.codes() == [110, 110])
    await client.ib.reqOpenOrdersAsync()
    assert [(o.status, o.quantity) for o in gateway.orders()] == [("Submitted", 1)]


async def test_a_rejected_order_is_inactive(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    client.received.clear()
    trade = client.place(iba.MarketOrder("BUY", 1), "HALTD")
    _, _, text = await client.error(201)
    assert text == "Order rejected - reason:The contract is not available for trading."
    assert [m[0] for m in client.received] == ["5", "3", "4"]
    assert trade.isDone()
    assert [o.status for o in gateway.orders()] == ["Inactive"]


async def test_configured_rejects_and_displays(desk: Desk) -> None:
    market = MarketSettings(
        step_seconds=None, moving=False, rejects={"KO": "Not today."}, displays={"IBM": Decimal(30)}
    )
    client = await desk.client(await desk.gateway(market=market))
    client.place(iba.MarketOrder("BUY", 1), "KO")
    assert (await client.error(201))[2] == "Order rejected - reason:Not today."
    trade = client.place(iba.MarketOrder("BUY", 100), "IBM")
    await until(lambda: trade.orderStatus.filled == 30)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        (iba.Order(action="BUY", totalQuantity=1, orderType="REL", lmtPrice=1), 387),
        (iba.MarketOrder("BUY", 1, tif="GTX"), 201),
        (iba.LimitOrder("BUY", 1, 1, tif="GTD", goodTillDate="soon"), 201),
        (iba.LimitOrder("BUY", 1, 1, tif="GTD", goodTillDate="20200101 10:00:00 US/Eastern"), 201),
        (iba.MarketOrder("HOLD", 1), 201),
        (iba.MarketOrder("BUY", 0), 434),
        (iba.LimitOrder("BUY", 1, -1), 201),
        (iba.MarketOrder("BUY", 1, account="DU999999"), 435),
        (iba.MarketOrder("BUY", 1, goodAfterTime="soon"), 201),
        (iba.MarketOrder("BUY", 1, conditions=[iba.TimeCondition(3, "a", True, "20261121 10:00:00")]), 201),
        (iba.MarketOrder("BUY", 1, parentId=999), 201),
    ],
)
async def test_orders_that_are_not_accepted(desk: Desk, order: iba.Order, code: int) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order.orderId = 0
    client.place(order)
    await client.error(code)
    assert not [o for o in gateway.orders() if o.status != "Inactive"]


async def test_modify_below_the_filled_quantity_leaves_the_order_alive(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order = iba.LimitOrder("BUY", 250, 12.10)
    trade = client.place(order, "THIN")
    await until(lambda: trade.orderStatus.filled == 100)
    order.totalQuantity = 90
    client.place(order, "THIN")
    await client.error(201)
    assert [(o.status, o.quantity) for o in gateway.orders()] == [("Submitted", 250)]


async def test_time_in_force(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    ioc = client.place(iba.LimitOrder("BUY", 250, 12.10, tif="IOC"), "THIN")
    await client.status(ioc, "Cancelled")
    assert ioc.orderStatus.filled == 100
    gateway.set_price("THIN", Decimal("11.99"), Decimal("12.01"), Decimal(100))
    fok = client.place(iba.LimitOrder("BUY", 101, 12.10, tif="FOK"), "THIN")
    await client.status(fok, "Cancelled")
    assert fok.orderStatus.filled == 0
    fok = client.place(iba.LimitOrder("BUY", 100, 12.10, tif="FOK"), "THIN")
    await client.status(fok, "Filled")
    gtd = client.place(iba.LimitOrder("BUY", 1, 5, tif="GTD", goodTillDate="20261120 10:30:00 US/Eastern"))
    day = client.place(iba.LimitOrder("BUY", 1, 5, tif="DAY"))
    await client.status(day, "Submitted")
    desk.clock.pass_time(minutes=29)
    gateway.step_market()
    await client.echo()
    assert gtd.orderStatus.status == "Submitted"
    desk.clock.pass_time(minutes=1)
    gateway.step_market()
    await client.status(gtd, "Cancelled")
    assert day.orderStatus.status == "Submitted"
    moc = client.place(iba.Order(action="BUY", totalQuantity=9000, orderType="MOC"))
    await client.status(moc, "PreSubmitted")
    gateway.step_market()
    await client.status(moc, "Filled")


async def test_all_or_none_and_minimum_quantity(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    whole = client.place(iba.LimitOrder("BUY", 150, 12.10, allOrNone=True), "THIN")
    await client.status(whole, "Submitted")
    gateway.set_price("THIN", Decimal("12.00"), Decimal("12.01"), Decimal(150))
    await client.status(whole, "Filled")
    assert len(whole.fills) == 1
    gateway.set_price("THIN", Decimal("12.00"), Decimal("12.01"), Decimal(40))
    least = client.place(iba.LimitOrder("BUY", 150, 12.10, minQty=50), "THIN")
    await client.status(least, "Submitted")
    gateway.set_price("THIN", Decimal("12.00"), Decimal("12.01"), Decimal(60))
    await until(lambda: least.orderStatus.filled == 60)
    gateway.set_price("THIN", Decimal("12.00"), Decimal("12.01"), Decimal(10))
    await until(lambda: least.orderStatus.filled == 70)


async def test_bracket(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    bracket = client.ib.bracketOrder("BUY", 10, 200.00, 240.00, 190.00)
    parent, profit, loss = [client.place(order) for order in bracket]
    await client.status(parent, "Submitted")
    await until(lambda: profit.orderStatus.whyHeld == loss.orderStatus.whyHeld == "child")
    assert {t.order.orderRef for t in await client.ib.reqOpenOrdersAsync()} == {""}
    gateway.set_price("AAPL", Decimal("199.00"), Decimal("199.90"))
    await client.status(parent, "Filled")
    await client.status(profit, "Submitted")
    await until(lambda: loss.orderStatus.whyHeld == "trigger")
    gateway.set_price("AAPL", Decimal("240.00"), Decimal("240.02"))
    await client.status(profit, "Filled")
    await client.status(loss, "Cancelled")
    assert client.codes() == [202]


async def test_held_orders_are_not_listed_and_cancel_takes_the_children(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    bracket = client.ib.bracketOrder("BUY", 10, 200.00, 240.00, 190.00)
    for order in bracket[:2]:
        client.place(order)
    assert await client.ib.reqOpenOrdersAsync() == []
    trades = [client.place(bracket[2])]
    await until(lambda: len(client.ib.openTrades()) == 3)
    await until(lambda: trades[0].orderStatus.whyHeld == "child")
    client.ib.cancelOrder(bracket[0])
    await until(lambda: [o.status for o in gateway.orders()] == ["Cancelled"] * 3)


async def test_oca_group(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    one = client.place(iba.LimitOrder("BUY", 200, 12.10, ocaGroup="g", ocaType=3), "THIN")
    await until(lambda: one.orderStatus.filled == 100)
    two = client.place(iba.LimitOrder("BUY", 200, 100, ocaGroup="g", ocaType=3))
    await client.status(two, "Submitted")
    gateway.set_price("THIN", Decimal("11.99"), Decimal("12.05"), Decimal(60))
    await until(lambda: two.orderStatus.remaining == 140)
    gateway.set_price("THIN", Decimal("11.99"), Decimal("12.05"), Decimal(60))
    await client.status(one, "Filled")
    await client.status(two, "Cancelled")


async def test_every_attribute_survives_the_gateway_and_its_ledger(desk: Desk, version: int) -> None:
    """All attributes distinct but those that steer what the paper market does with the order."""
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    sent = full_order()
    sent.action, sent.account, sent.lmtPrice, sent.tif = "BUY", ACCOUNT, 101.25, "GTC"
    sent.transmit, sent.whatIf, sent.parentId, sent.orderId = True, False, 0, 0
    sent.conditions, sent.goodAfterTime = [], ""
    sent.algoStrategy, sent.algoParams = "", []
    trade = client.ib.placeOrder(iba.Stock("IBM", "IBKRATS", "USD"), sent)
    await client.status(trade, "Submitted")
    client.ib.disconnect()
    await gateway.stop()
    again = await desk.client(await desk.gateway())
    (listed,) = again.ib.openTrades()
    computed = {"clientId", "permId", "conditionsIgnoreRth", "conditionsCancelOrder"}
    missing = left_out(sent, version) | computed
    assert differences(sent, listed.order, missing) == {}
    assert (listed.order.permId, listed.contract.conId) == (trade.order.permId, 8314)
    again.ib.cancelOrder(listed.order)
    await again.status(listed, "Cancelled")
    (done,) = await again.ib.reqCompletedOrdersAsync(False)
    assert differences(sent, done.order, missing | NOT_COMPLETED) == {}


async def test_a_request_that_is_not_offered_is_answered(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    client.ib.client.reqScannerParameters()
    request, _, text = await client.error(321)
    assert (request, "24" in text) == (-1, True)
    client.ib.client.send(7, 3, "x")
    await client.error(320)
    client.ib.client.send(3, 5, "too short")
    await until(lambda: [e[0] for e in client.errors if e[1] == 320] == [-1, 5])
    await client.echo()
