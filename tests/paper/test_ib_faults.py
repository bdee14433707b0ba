"""What goes wrong between a client and its gateway: named faults, lost connectivity, hostile bytes."""

import asyncio
import logging
from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import Client, Desk, until

from oms.paper import ib_session
from oms.paper.faults import FaultKind, FaultPlan
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.ledger import StateFileInUseError
from oms.paper.wire import LARGEST_FRAME, frame


async def lost(client: Client) -> None:
    await until(lambda: not client.ib.isConnected())


async def test_lost_before_read(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    gateway.fail_next_place("lost_before_read")
    trade = client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await lost(client)
    assert gateway.orders() == []
    # The id was never read: sending the same again is a first time.
    again = await desk.client(gateway)
    order = iba.MarketOrder("BUY", 1, orderRef="r", orderId=trade.order.orderId)
    await again.status(again.place(order), "Filled")
    assert [e.order_ref for e in gateway.executions()] == ["r"]


async def test_executed_but_replies_lost(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    gateway.fail_next_place("executed_replies_lost", order_ref="r")
    other = client.place(iba.MarketOrder("BUY", 2, orderRef="other"))
    trade = client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await lost(client)
    assert (other.orderStatus.status, trade.orderStatus.status) == ("Filled", "PendingSubmit")
    again = await desk.client(gateway)
    assert [f.execution.orderRef for f in again.ib.fills()] == ["other", "r"]
    again.place(iba.MarketOrder("BUY", 1, orderRef="r", orderId=trade.order.orderId))
    await again.error(103)
    assert len(gateway.executions()) == 2


async def test_accepted_but_invisible_for_a_while(desk: Desk) -> None:
    gateway = await desk.gateway(faults=FaultPlan(invisible=(60, 60)))
    client = await desk.client(gateway)
    gateway.fail_next_place("accepted_invisible")
    trade = client.place(iba.LimitOrder("BUY", 1, 100, orderRef="r"))
    await lost(client)
    again = await desk.client(gateway)
    assert again.ib.openTrades() == []
    assert await again.ib.reqAllOpenOrdersAsync() == []
    again.place(iba.LimitOrder("BUY", 1, 100, orderRef="r", orderId=trade.order.orderId))
    await again.error(103)
    gateway.set_price("AAPL", Decimal("99.00"), Decimal("99.01"))
    await again.echo()
    assert await again.ib.reqExecutionsAsync() == []
    desk.clock.pass_time(seconds=61)
    assert [f.execution.orderRef for f in await again.ib.reqExecutionsAsync()] == ["r"]
    assert len(gateway.executions()) == 1


async def test_delayed(desk: Desk) -> None:
    gateway = await desk.gateway(faults=FaultPlan(delay=0.05))
    client = await desk.client(gateway)
    gateway.fail_next_place(FaultKind.DELAYED)
    late = client.place(iba.MarketOrder("BUY", 1))
    prompt = client.place(iba.MarketOrder("BUY", 1))
    await client.status(prompt, "Filled")
    assert late.orderStatus.status == "PendingSubmit"
    await client.status(late, "Filled")


async def test_status_and_commission_faults(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    expected = {
        FaultKind.DUPLICATE_STATUS: ["5", "3", "3", "11", "5", "3", "3", "5", "59"],
        FaultKind.MISSING_STATUS: ["5", "11", "5", "5", "59"],
        FaultKind.COMMISSION_FIRST: ["5", "3", "59", "11", "5", "3", "5"],
        FaultKind.INFORMATION_10349: ["5", "3", "11", "5", "3", "5", "59", "4"],
    }
    for kind, messages in expected.items():
        gateway.fail_next_place(kind)
        client.received.clear()
        client.place(iba.MarketOrder("BUY", 1))
        await client.echo()
        assert [m[0] for m in client.received if m[0] in {"3", "4", "5", "11", "59"}] == messages


async def test_orders_under_1100_wait_for_1102(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    resting = client.place(iba.LimitOrder("BUY", 1, 100))
    await client.status(resting, "Submitted")
    gateway.connectivity_lost()
    await client.error(1100)
    waiting = client.place(iba.MarketOrder("BUY", 1))
    gateway.set_price("AAPL", Decimal("99.00"), Decimal("99.01"))
    await client.echo()
    assert waiting.orderStatus.status == "PendingSubmit"
    assert resting.orderStatus.status == "Submitted"
    gateway.connectivity_restored(data_lost=False)
    await client.error(1102)
    await client.status(waiting, "Filled")
    gateway.step_market()
    await client.status(resting, "Filled")


async def test_1101_loses_subscriptions(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    contract = iba.Stock("IBM", "SMART", "USD", conId=8314)
    ticker = client.ib.reqMktData(contract)
    await until(lambda: ticker.ask == 214.62)
    gateway.connectivity_lost()
    late = await desk.client(gateway, 8)
    await late.error(1100)
    gateway.connectivity_restored(data_lost=True)
    await client.error(1101)
    gateway.set_price("IBM", Decimal("200.00"), Decimal("200.10"))
    await client.echo()
    assert ticker.ask == 214.62


async def test_a_silent_peer(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    resting = client.place(iba.LimitOrder("BUY", 1, 100))
    await client.status(resting, "Submitted")
    gateway.fall_silent()
    trade = client.place(iba.MarketOrder("BUY", 1))
    gateway.set_price("AAPL", Decimal("99.00"), Decimal("99.01"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.ib.reqCurrentTimeAsync(), 0.05)
    assert client.ib.isConnected()
    assert (trade.orderStatus.status, resting.orderStatus.status) == ("PendingSubmit", "Submitted")
    assert len(gateway.executions()) == 1
    gateway.speak_again()
    await client.status(trade, "Filled")
    await client.status(resting, "Filled")


async def test_ids_roll_back_but_stay_used(desk: Desk) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    trade = client.place(iba.MarketOrder("BUY", 1, orderId=50))
    await client.status(trade, "Filled")
    gateway.roll_back_ids()
    client.ib.disconnect()
    again = await desk.client(gateway, fetchFields=iba.StartupFetchNONE)
    assert again.received[1] == ["9", "1", "1"]
    again.place(iba.MarketOrder("BUY", 1, orderId=50))
    await again.error(103)
    await again.ib.reqExecutionsAsync()
    assert len(gateway.executions()) == 1


async def test_one_book_has_one_gateway(desk: Desk) -> None:
    first = await desk.gateway()
    with pytest.raises(StateFileInUseError):
        await desk.gateway()
    await first.stop()
    await desk.gateway()


async def test_a_client_that_never_reads_is_disconnected(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ib_session, "MOST_UNREAD", 100_000)
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1000)
    contract = [265598, *[""] * 11]
    question = frame([9, 8, 1, *contract, 0, "", "", ""])
    writer.write(HELLO + frame([71, 2, 4, ""]))

    async def ask_for_ever() -> None:
        while True:
            writer.write(question * 1000)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(ask_for_ever(), 10)
    writer.close()
    assert "bytes unread" in caplog.text
    assert not reader.at_eof()
    await client.echo()


async def test_drop_connections(desk: Desk) -> None:
    gateway = await desk.gateway()
    clients = [await desk.client(gateway, number) for number in (1, 2)]
    gateway.drop_connections()
    for client in clients:
        await lost(client)
    await desk.client(gateway, 1)


HELLO = b"API\0\x00\x00\x00\x09v157..178"
HOSTILE = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "oversized frame": HELLO + (LARGEST_FRAME + 1).to_bytes(4, "big"),
    "empty frame": HELLO + bytes(4),
    "too new": b"API\0\x00\x00\x00\x09v900..950",
    "no version": b"API\0\x00\x00\x00\x04abcd",
    "not UTF-8": HELLO + b"\x00\x00\x00\x03\xff\xfe\x00",
    "no NUL at the end": HELLO + b"\x00\x00\x00\x0271",
    "an order before startApi": HELLO + frame([3, 1, ""]),
    "a client id that is none": HELLO + frame([71, 2, "x", ""]),
    "a negative client id": HELLO + frame([71, 2, -5, ""]),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_bytes_end_their_own_connection_only(
    desk: Desk, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await desk.gateway()
    client = await desk.client(gateway)
    with caplog.at_level(logging.WARNING, "oms.paper"):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(HOSTILE[name])
        async with asyncio.timeout(3):
            await reader.read()
        writer.close()
    assert "closing the connection" in caplog.text
    await client.echo()
    await client.status(client.place(iba.MarketOrder("BUY", 1)), "Filled")


async def test_bytes_that_come_one_by_one(desk: Desk) -> None:
    gateway = await desk.gateway()
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for byte in HELLO + frame([71, 2, 4, ""]):
        writer.write(bytes([byte]))
        await writer.drain()
    async with asyncio.timeout(3):
        assert await reader.readuntil(b"EST\0")
        assert await reader.readuntil(b"DU123456\0")
    writer.close()


async def test_exactly_once_under_random_faults(desk: Desk) -> None:
    """The rule a client needs: query; if absent send the same id again; after 103 only ever query."""
    rates = {
        FaultKind.LOST_BEFORE_READ: 0.15,
        FaultKind.EXECUTED_REPLIES_LOST: 0.15,
        FaultKind.ACCEPTED_INVISIBLE: 0.15,
    }
    gateway = await desk.gateway(faults=FaultPlan(rates, seed=42, invisible=(5, 20)))
    client = await desk.client(gateway)
    for number in range(1, 61):
        reference = f"order-{number}"
        while not any(f.execution.orderRef == reference for f in client.ib.fills()):
            if not client.ib.isConnected():
                client = await desk.client(gateway)
                continue
            client.errors.clear()
            trade = client.place(iba.MarketOrder("BUY", 1, orderRef=reference, orderId=number))
            await until(lambda t=trade, c=client: t.isDone() or not c.ib.isConnected())  # type: ignore[misc]
            if 103 in client.codes():
                desk.clock.pass_time(seconds=21)
                await client.ib.reqExecutionsAsync()
    references = [e.order_ref for e in gateway.executions()]
    assert references == [f"order-{number}" for number in range(1, 61)]


async def test_the_gateway_stops_rather_than_tell_what_it_cannot_keep(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway: PaperIBGateway = await desk.gateway()
    client = await desk.client(gateway)
    ledger = gateway._desk.ledger
    ledger._db.execute("PRAGMA query_only = ON")
    trade = client.place(iba.MarketOrder("BUY", 1))
    await lost(client)
    assert trade.orderStatus.status == "PendingSubmit"
    ledger._db.execute("PRAGMA query_only = OFF")
