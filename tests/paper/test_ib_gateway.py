"""The unmodified ib_async client over TCP, at the lowest and the highest server version."""

import math
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


async def test_contract_details(desk: Desk, version: int) -> None:
    client = await desk.client(await desk.gateway())
    (details,) = await client.ib.reqContractDetailsAsync(iba.Stock("AAPL", "SMART", "USD"))
    assert details.contract is not None
    assert (details.contract.conId, details.contract.symbol, details.contract.primaryExchange) == (
        265598,
        "AAPL",
        "NASDAQ",
    )
    assert details.contract.exchange == "SMART"
    assert (details.minTick, details.longName, details.timeZoneId) == (0.01, "APPLE INC", "US/Eastern")
    assert details.tradingHours.startswith("20261120:0000-20261120:2359;")
    assert (details.industry, details.category, details.stockType) == ("Technology", "Computers", "COMMON")
    assert details.validExchanges.split(",") == ["SMART", "NASDAQ", "IBKRATS"]
    if version >= 164:
        assert (details.minSize, details.sizeIncrement, details.suggestedSizeIncrement) == (1, 1, 1)
    by_id = await client.ib.reqContractDetailsAsync(iba.Contract(conId=756733))
    assert [d.contract.symbol for d in by_id if d.contract] == ["SPY"]
    (future,) = await client.ib.reqContractDetailsAsync(iba.Future("ES", exchange="CME"))
    assert future.contract is not None
    assert (future.contract.multiplier, future.minTick, future.realExpirationDate) == ("50", 0.25, "20270319")


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
        (iba.MarketOrder("BUY", 1, goodAfterTime="20261121 10:00:00"), 201),
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


async def test_positions_portfolio_and_account_values(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    gateway.set_price("AAPL", Decimal("100.00"), Decimal("100.00"))
    bought = client.place(iba.MarketOrder("BUY", 100))
    await client.status(bought, "Filled")
    await until(lambda: [p.position for p in client.ib.positions()] == [100])
    assert client.ib.positions()[0].avgCost == 100
    gateway.set_price("AAPL", Decimal("110.00"), Decimal("110.00"))
    sold = client.place(iba.MarketOrder("SELL", 40))
    await until(lambda: sold.fills and sold.fills[0].commissionReport.execId)
    assert sold.fills[0].commissionReport.realizedPNL == 399.0
    await until(lambda: client.ib.portfolio() and client.ib.portfolio()[0].position == 60)
    item = client.ib.portfolio()[0]
    assert (item.marketPrice, item.marketValue, item.unrealizedPNL, item.realizedPNL) == (110, 6600, 600, 399)
    gateway.step_market()
    net = Decimal(1_000_000) - 10_000 - 1 + 4_400 - 1 + 6_600
    await until(
        lambda: (
            {v.value for v in client.ib.accountValues() if v.tag == "NetLiquidation" and not v.modelCode}
            == {f"{net:.2f}"}
        )
    )
    summary = {v.tag: v.value for v in await client.ib.accountSummaryAsync()}
    assert summary["NetLiquidation"] == f"{net:.2f}"
    assert summary["GrossPositionValue"] == "6600.00"
    closed = client.place(iba.MarketOrder("SELL", 60))
    await client.status(closed, "Filled")
    await until(lambda: client.ib.positions() == [])


async def test_everything_is_listed_after_a_reconnect(desk: Desk) -> None:
    gateway = await desk.gateway()
    first = await desk.client(gateway, 3)
    filled = first.place(iba.MarketOrder("BUY", 10, orderRef="filled"))
    cancelled = first.place(iba.LimitOrder("BUY", 10, 1, orderRef="cancelled"))
    resting = first.place(iba.LimitOrder("BUY", 10, 2, orderRef="resting"))
    await first.status(filled, "Filled")
    first.ib.cancelOrder(cancelled.order)
    await first.status(cancelled, "Cancelled")
    await first.status(resting, "Submitted")
    next_id = first.ib.client.getReqId()
    first.ib.disconnect()

    again = await desk.client(gateway, 3)
    assert [t.order.orderRef for t in again.ib.openTrades()] == ["resting"]
    assert again.ib.openTrades()[0].order.permId == resting.order.permId
    assert again.ib.client.getReqId() >= resting.order.orderId + 1
    assert next_id > resting.order.orderId
    (fill,) = again.ib.fills()
    assert (fill.execution.orderRef, fill.execution.execId) == ("filled", filled.fills[0].execution.execId)
    assert fill.commissionReport.commission == 1
    completed = await again.ib.reqCompletedOrdersAsync(apiOnly=False)
    told = {t.order.orderRef: (t.orderStatus.status, t.order.filledQuantity) for t in completed}
    assert told == {"filled": ("Filled", 10), "cancelled": ("Cancelled", 0)}
    assert {t.order.permId for t in completed} == {filled.order.permId, cancelled.order.permId}
    assert {t.order.totalQuantity for t in completed} == {10}
    assert [p.position for p in again.ib.positions()] == [10]


async def test_completed_orders_and_executions_are_of_the_day(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    await client.status(client.place(iba.MarketOrder("BUY", 10)), "Filled")
    desk.clock.pass_time(hours=13, minutes=59)
    assert len(await client.ib.reqExecutionsAsync()) == 1
    desk.clock.pass_time(minutes=1)
    assert await client.ib.reqExecutionsAsync() == []
    assert await client.ib.reqCompletedOrdersAsync(False) == []
    assert len(gateway.executions()) == 1


async def test_execution_filter(desk: Desk) -> None:
    gateway = await desk.gateway()
    one, other = await desk.client(gateway, 1), await desk.client(gateway, 2)
    for client, side, symbol in ((one, "BUY", "AAPL"), (one, "SELL", "IBM"), (other, "BUY", "IBM")):
        await client.status(client.place(iba.MarketOrder(side, 1), symbol), "Filled")
        desk.clock.pass_time(minutes=10)
    wanted = [
        (iba.ExecutionFilter(), 3),
        (iba.ExecutionFilter(clientId=1), 2),
        (iba.ExecutionFilter(symbol="IBM"), 2),
        (iba.ExecutionFilter(side="BUY", symbol="IBM"), 1),
        (iba.ExecutionFilter(acctCode="DU000000"), 0),
        (iba.ExecutionFilter(time="20261120 10:05:00 US/Eastern"), 2),
        (iba.ExecutionFilter(time="20261120-15:20:00"), 1),
    ]
    for wish, count in wanted:
        assert len(await one.ib.reqExecutionsAsync(wish)) == count, wish


async def test_client_id_in_use_and_free_again(desk: Desk) -> None:
    gateway = await desk.gateway()
    first = await desk.client(gateway, 9)
    codes: list[int] = []
    second = iba.IB()
    second.errorEvent += lambda *told: codes.append(told[1])
    with pytest.raises((TimeoutError, ConnectionError)):
        await second.connectAsync("127.0.0.1", gateway.port, clientId=9, timeout=0.2)
    assert codes == [326]
    await first.echo()
    first.ib.disconnect()
    await desk.client(gateway, 9)


async def test_two_clients_do_not_share_orders(desk: Desk) -> None:
    gateway = await desk.gateway()
    one, other = await desk.client(gateway, 1), await desk.client(gateway, 2)
    mine = one.place(iba.LimitOrder("BUY", 1, 100, orderRef="one"))
    theirs = other.place(iba.LimitOrder("BUY", 2, 100, orderRef="two"))
    await one.status(mine, "Submitted")
    await other.status(theirs, "Submitted")
    assert mine.order.permId != theirs.order.permId
    assert [t.order.orderRef for t in one.ib.openTrades()] == ["one"]
    everything = await one.ib.reqAllOpenOrdersAsync()
    assert {(t.order.clientId, t.order.orderRef) for t in everything} == {(1, "one"), (2, "two")}
    one.ib.client.cancelOrder(theirs.order.orderId, "")
    await one.echo()
    assert theirs.orderStatus.status == "Submitted"


async def test_market_data_snapshot_and_subscription(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    (snapshot,) = await client.ib.reqTickersAsync(iba.Stock("AAPL", "SMART", "USD", conId=265598))
    assert (snapshot.bid, snapshot.ask, snapshot.bidSize, snapshot.last) == (228.48, 228.52, 1200, 228.5)
    assert (snapshot.close, snapshot.open, snapshot.marketDataType) == (228.5, 228.5, 1)
    contract = iba.Stock("IBM", "SMART", "USD", conId=8314)
    ticker = client.ib.reqMktData(contract)
    await until(lambda: not math.isnan(ticker.ask))
    assert ticker.minTick == 0.01
    gateway.set_price("IBM", Decimal("200.00"), Decimal("200.10"), Decimal(300))
    await until(lambda: (ticker.bid, ticker.ask, ticker.askSize) == (200, 200.1, 300))
    client.place(iba.MarketOrder("BUY", 100), "IBM")
    await until(
        lambda: (ticker.last, ticker.lastSize, ticker.askSize, ticker.volume) == (200.1, 100, 200, 100)
    )
    client.ib.cancelMktData(contract)
    await client.echo()
    client.received.clear()
    gateway.set_price("IBM", Decimal("210.00"), Decimal("210.10"))
    await client.echo()
    assert [m[0] for m in client.received] == ["49"]


async def test_what_if_places_nothing(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    state = await client.ib.whatIfOrderAsync(
        iba.Stock("AAPL", "SMART", "USD"), iba.LimitOrder("BUY", 1000, 100)
    )
    assert isinstance(state, iba.OrderState)
    assert (state.commission, state.commissionCurrency) == (5, "USD")
    assert (float(state.initMarginChange), float(state.equityWithLoanBefore)) == (25_000, 1_000_000)
    assert gateway.orders() == []
    refused = await client.ib.whatIfOrderAsync(iba.Stock("HALTD", "SMART", "USD"), iba.MarketOrder("BUY", 1))
    assert refused == []
    await client.error(201)


async def test_correction_of_an_execution(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.MarketOrder("BUY", 100))
    await client.status(trade, "Filled")
    first = trade.fills[0].execution.execId
    bumped = gateway.correct_execution(first, Decimal(100), Decimal("228.00"))
    assert bumped == first[:-2] + "02"
    await until(lambda: len(trade.fills) == 2 and trade.fills[1].commissionReport.execId)
    assert (trade.fills[1].execution.price, trade.fills[1].execution.permId) == (228, trade.order.permId)
    assert [(e.exec_id, e.price) for e in gateway.executions()] == [(bumped, Decimal(228))]
    await until(lambda: client.ib.positions()[0].avgCost == 228)
    bust = gateway.correct_execution(bumped, Decimal(0), Decimal(0))
    await until(lambda: client.ib.positions() == [])
    assert [(e.exec_id, e.quantity, e.commission) for e in gateway.executions()] == [(bust, 0, 0)]
    assert len(await client.ib.reqExecutionsAsync()) == 3
    with pytest.raises(ValueError, match="already"):
        gateway.correct_execution(first, Decimal(1), Decimal(1))
    with pytest.raises(ValueError, match="does not fit"):
        gateway.correct_execution(bust, Decimal(101), Decimal(1))
    with pytest.raises(KeyError):
        gateway.correct_execution("none.01", Decimal(1), Decimal(1))


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


async def test_several_accounts(desk: Desk) -> None:
    gateway = await desk.gateway(accounts=("DU1", "DU2"))
    client = await desk.client(gateway, account="DU2")
    assert client.ib.managedAccounts() == ["DU1", "DU2"]
    client.place(iba.MarketOrder("BUY", 1))
    await client.error(435)
    await client.status(client.place(iba.MarketOrder("BUY", 5, account="DU2")), "Filled")
    await until(lambda: [(p.account, p.position) for p in client.ib.positions()] == [("DU2", 5)])


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
