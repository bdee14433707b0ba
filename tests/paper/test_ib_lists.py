"""Lists, accounts and market data through the unmodified client, at the lowest and the highest server version."""

import math
from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import Desk, until

pytestmark = pytest.mark.parametrize("version", [157, 178])


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


async def test_several_accounts(desk: Desk) -> None:
    gateway = await desk.gateway(accounts=("DU1", "DU2"))
    client = await desk.client(gateway, account="DU2")
    assert client.ib.managedAccounts() == ["DU1", "DU2"]
    client.place(iba.MarketOrder("BUY", 1))
    await client.error(435)
    await client.status(client.place(iba.MarketOrder("BUY", 5, account="DU2")), "Filled")
    await until(lambda: [(p.account, p.position) for p in client.ib.positions()] == [("DU2", 5)])
