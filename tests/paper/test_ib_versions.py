"""Every server version from 157 to 178: field counts on the wire, and one whole lifecycle over TCP."""

import asyncio
from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import Desk, until

from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings

VERSIONS = range(157, 179)


def details_count(version: int) -> int:
    return 39 if version < 163 else 40


@pytest.mark.parametrize("version", VERSIONS)
async def test_lifecycle(desk: Desk, version: int) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    (details,) = await client.ib.reqContractDetailsAsync(iba.Stock("IBM", "SMART", "USD"))
    assert (details.longName, details.minTick, details.stockType) == (
        "INTL BUSINESS MACHINES CORP",
        0.01,
        "COMMON",
    )
    assert details.suggestedSizeIncrement == (1 if version >= 163 else 0)
    order = iba.LimitOrder("BUY", 100, 12.10, orderRef="part", duration=5, autoCancelParent=True, postToAts=3)
    part = client.place(order, "THIN")
    await client.status(part, "Filled")
    resting = client.place(iba.LimitOrder("SELL", 100, 500, orderRef="rest"))
    await client.status(resting, "Submitted")
    client.ib.cancelOrder(resting.order)
    await client.status(resting, "Cancelled")
    (told,) = [m for m in client.received if m[0] == "10"]
    assert len(told) == details_count(version)
    (told,) = [m for m in client.received if m[0] == "11"]
    assert len(told) == (32 if version >= 178 else 31)
    assert {len(m) for m in client.received if m[0] == "4"} == {6 if version >= 166 else 5}
    client.ib.disconnect()
    again = await desk.client(gateway)
    completed = await again.ib.reqCompletedOrdersAsync(False)
    assert {t.order.orderRef: t.order.filledQuantity for t in completed} == {"part": 100, "rest": 0}
    (fill,) = again.ib.fills()
    assert (fill.execution.orderRef, fill.execution.shares, fill.execution.price) == ("part", 100, 12.01)


@pytest.mark.parametrize(
    ("offer", "answer"), [(b"v157..178", b"178"), (b"v100..160", b"160"), (b"v157..178 +PACEAPI", b"178")]
)
async def test_the_highest_common_version_is_answered(desk: Desk, offer: bytes, answer: bytes) -> None:
    gateway = await desk.gateway()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"API\0" + len(offer).to_bytes(4, "big") + offer)
    async with asyncio.timeout(3):
        length = int.from_bytes(await reader.readexactly(4), "big")
        fields = (await reader.readexactly(length)).split(b"\0")
    assert fields == [answer, b"20261120 10:00:00 EST", b""]
    writer.close()


async def test_the_real_market_moves_by_itself(desk: Desk) -> None:
    """With the wall clock's steps: a large order fills in parts and a subscription ticks."""
    gateway = await desk.gateway(market=MarketSettings(step_seconds=0.01))
    client = await desk.client(gateway)
    contract = iba.Stock("NFLX", "SMART", "USD", conId=15124833)
    ticker = client.ib.reqMktData(contract)
    trade = client.place(iba.MarketOrder("BUY", 2000), "NFLX")
    await client.status(trade, "Filled")
    assert len(trade.fills) > 3
    first = gateway.quote("NFLX").steps
    await until(lambda: gateway.quote("NFLX").steps > first + 5)
    await until(lambda: Decimal(str(ticker.bid)) == gateway.quote("NFLX").bid)


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="157 to 178"):
        PaperIBGateway(server_version=156)
    with pytest.raises(ValueError, match="account"):
        PaperIBGateway(accounts=())
    with pytest.raises(RuntimeError, match="not started"):
        _ = PaperIBGateway().port
