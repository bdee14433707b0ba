"""Options, futures, currencies and market rules through the unmodified client."""

from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import Desk, until

pytestmark = pytest.mark.parametrize("version", [157, 178])

CALL = iba.Option("AAPL", "20270115", 230, "C", "SMART", "100", "USD")


async def test_an_option_by_description_and_by_number(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    (found,) = await client.ib.reqContractDetailsAsync(CALL)
    contract = found.contract
    assert contract is not None
    assert (contract.conId, contract.secType, contract.strike, contract.right) == (990100003, "OPT", 230, "C")
    assert (contract.multiplier, contract.lastTradeDateOrContractMonth) == ("100", "20270115")
    assert (contract.localSymbol, contract.tradingClass) == ("AAPL  270115C00230000", "AAPL")
    assert (found.underConId, found.underSymbol, found.underSecType) == (265598, "AAPL", "STK")
    assert (found.minTick, found.contractMonth, found.realExpirationDate) == (0.01, "202701", "20270115")
    (again,) = await client.ib.reqContractDetailsAsync(iba.Contract(conId=990100003))
    assert again.contract == contract
    (named,) = await client.ib.reqContractDetailsAsync(
        iba.Option(localSymbol=contract.localSymbol, exchange="SMART")
    )
    assert named.contract == contract


async def test_a_chain_is_what_a_loose_description_fits(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    for sought, count in (
        (iba.Option("AAPL", exchange="SMART"), 8),
        (iba.Option("AAPL", "202703", exchange="SMART"), 2),
        (iba.Option("SPY", "20270115", right="PUT", exchange="SMART"), 3),
        (iba.Option("AAPL", "20270115", 230, exchange="SMART", multiplier="100"), 2),
        (iba.Option("AAPL", "20270115", 230, "C", exchange="SMART", multiplier="10"), 0),
        (iba.Option("AAPL", "20270115", 235, "C", exchange="SMART"), 0),
        (iba.Option("MSFT", exchange="SMART"), 0),
        (iba.Stock("AAPL", "SMART", "USD"), 1),
    ):
        found = await client.ib.reqContractDetailsAsync(sought)
        assert len(found) == count, sought


async def test_a_future_of_every_quarter_by_its_month(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    for sought, days in (
        (iba.Future("ES", "202503", "CME"), ["20250321"]),
        (iba.Future("ES", "202606"), ["20260618"]),
        (iba.Future("ES", "20270319", "CME"), ["20270319"]),
        (iba.Future("ES", "2028", "CME"), ["20280317", "20280616", "20280915", "20281215"]),
        (iba.Future(localSymbol="ESZ5", exchange="CME"), ["20251219"]),
        (iba.Future("ES", exchange="CME"), ["20270319"]),
        (iba.Future("ES", "202504", "CME"), []),
        (iba.Future("ES", "202503", "SMART"), []),
    ):
        found = await client.ib.reqContractDetailsAsync(sought)
        assert [details.realExpirationDate for details in found] == days, sought
    (found,) = await client.ib.reqContractDetailsAsync(iba.Future("ES", "202503", "CME"))
    assert (found.contractMonth, found.contract and found.contract.localSymbol) == ("202503", "ESH5")
    trade = client.ib.placeOrder(iba.Future("ES", "202503", "CME"), iba.LimitOrder("BUY", 1, 5900.25))
    await client.status(trade, "Submitted")
    gateway.set_price("ESH5", Decimal("5900.00"), Decimal("5900.25"))
    await client.status(trade, "Filled")
    await until(client.ib.positions)
    assert client.ib.positions()[0].contract.localSymbol == "ESH5"


async def test_every_message_about_an_option_names_it_fully(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    (contract,) = await client.ib.qualifyContractsAsync(CALL)
    assert contract is not None
    trade = client.ib.placeOrder(contract, iba.MarketOrder("BUY", 2))
    await client.status(trade, "Filled")
    await until(lambda: trade.fills and trade.fills[0].commissionReport.execId and client.ib.portfolio())
    named = (990100003, "OPT", "20270115", 230, "C", "100", "AAPL  270115C00230000")
    (fill,) = await client.ib.reqExecutionsAsync()
    (done,) = await client.ib.reqCompletedOrdersAsync(False)
    low = client.ib.placeOrder(contract, iba.LimitOrder("BUY", 1, 2.74))
    await client.status(low, "Submitted")
    client.ib.disconnect()
    again = await desk.client(gateway)
    (listed,) = again.ib.openTrades()
    (position,) = again.ib.positions()
    (item,) = again.ib.portfolio()
    for told in (fill.contract, done.contract, listed.contract, position.contract, item.contract):
        assert (
            told.conId,
            told.secType,
            told.lastTradeDateOrContractMonth,
            told.strike,
            told.right[:1],
            told.multiplier,
            told.localSymbol,
        ) == named
    assert (position.position, position.avgCost) == (2, 845)
    assert (item.marketPrice, item.marketValue, item.unrealizedPNL) == (8.4, 1680, -10)
    assert [e.symbol for e in gateway.executions()] == ["AAPL"]
    cash = {v.tag: v.value for v in again.ib.accountValues() if not v.modelCode}["TotalCashValue"]
    assert cash == "998309.00"


async def test_an_option_order_by_number_alone(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    trade = client.ib.placeOrder(iba.Contract(conId=990100014, exchange="SMART"), iba.MarketOrder("SELL", 1))
    await client.status(trade, "Filled")
    await until(client.ib.positions)
    assert client.ib.positions()[0].contract.right == "P"


async def test_a_price_on_the_wrong_side_of_a_band(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    for price, code in ((2.99, None), (3.05, None), (3.04, 110)):
        trade = client.ib.placeOrder(CALL, iba.LimitOrder("BUY", 1, price))
        await client.status(trade, "Cancelled" if code else "Submitted")
    assert client.codes() == [110]


async def test_market_rules(desk: Desk) -> None:
    client = await desk.client(await desk.gateway())
    for sought, rule in (
        (iba.Stock("AAPL", "SMART", "USD"), [(0, 0.0001), (1, 0.01)]),
        (CALL, [(0, 0.01), (3, 0.05)]),
        (iba.Future("ES", "20270319", "CME"), [(0, 0.25)]),
        (iba.Forex("EURUSD"), [(0, 0.00005)]),
        (iba.Forex("USDJPY"), [(0, 0.005)]),
    ):
        (details,) = await client.ib.reqContractDetailsAsync(sought)
        rules = {int(text) for text in details.marketRuleIds.split(",")}
        assert len(rules) == 1
        assert len(details.marketRuleIds.split(",")) == len(details.validExchanges.split(","))
        bands = await client.ib.reqMarketRuleAsync(rules.pop())
        assert bands is not None
        assert [(band.lowEdge, band.increment) for band in bands] == rule
    client.ib.client.reqMarketRule(4711)
    assert (await client.error(321))[0] == -1


async def test_a_currency_pair(desk: Desk, version: int) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    (details,) = await client.ib.reqContractDetailsAsync(iba.Forex("EURUSD"))
    assert (details.minTick, details.validExchanges, details.orderTypes.count("MOC")) == (
        0.00005,
        "IDEALPRO",
        0,
    )
    if version >= 163:
        assert details.suggestedSizeIncrement == 25_000
    trade = client.ib.placeOrder(iba.Forex("EURUSD"), iba.LimitOrder("BUY", 100_000, 1.05605))
    await client.status(trade, "Filled")
    assert (trade.orderStatus.avgFillPrice, client.codes()) == (1.0551, [])
    odd = client.ib.placeOrder(iba.Forex("EURUSD"), iba.LimitOrder("BUY", 100, 1.00005))
    await client.error(399)
    await client.ib.reqOpenOrdersAsync()
    assert gateway.orders()[-1].status == "Submitted"
    assert odd.order.permId
    await until(lambda: [p.contract.localSymbol for p in client.ib.positions()] == ["EUR.USD"])


async def test_money_in_yen_counts_in_dollars(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.ib.placeOrder(iba.Forex("USDJPY"), iba.MarketOrder("BUY", 100_000))
    await until(lambda: trade.fills and trade.fills[0].commissionReport.execId and client.ib.portfolio())
    gateway.set_price("USD", Decimal("156.000"), Decimal("156.010"))
    gateway.step_market()
    values = {
        v.tag: Decimal(v.value) for v in await client.ib.accountSummaryAsync() if v.tag == "NetLiquidation"
    }
    # 1.49 yen on 100,000 dollars, at 0.0065 dollars for a yen, less the commission.
    gain = (Decimal("156.005") - Decimal("154.515")) * 100_000 * Decimal("0.0065")
    assert values["NetLiquidation"] == 1_000_000 + gain - Decimal(
        str(trade.fills[0].commissionReport.commission)
    )


async def test_a_future_with_a_stop_that_trails(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    order = iba.Order(action="SELL", totalQuantity=1, orderType="TRAIL", auxPrice=10.25)
    trade = client.ib.placeOrder(iba.Future("ES", "20270319", "CME"), order)
    await until(lambda: trade.orderStatus.whyHeld == "trigger")
    gateway.set_price("ES", Decimal("5980.00"), Decimal("5980.25"))
    gateway.set_price("ES", Decimal("5969.75"), Decimal("5970.00"))
    await client.status(trade, "Filled")


async def test_what_an_option_order_would_cost(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    state = await client.ib.whatIfOrderAsync(CALL, iba.LimitOrder("BUY", 10, 8.40))
    assert isinstance(state, iba.OrderState)
    assert (float(state.initMarginChange), state.commission) == (2100, 1)
    assert gateway.orders() == []
