"""How fast a session is back with a full book, and how long a cancel waits behind a full queue."""

import asyncio
import time
from dataclasses import replace

import pytest
from ib_async import IB, LimitOrder, MarketOrder, Order, Stock
from tests.gateways.rig import ACCOUNT, Rig, eventually, resting, status, ticket

from oms.domain.terms import PlacementStatus
from oms.store import InboxStatus, IntentState

OPEN_ORDERS = 1_000
FILLED_ORDERS = 100
EXECUTIONS = 5_000
RECONNECT_SECONDS = 15.0
CANCEL_SECONDS = 1.0
QUEUED = 300

pytestmark = pytest.mark.speed


async def full_book(rig: Rig) -> None:
    """A thousand working orders and a hundred filled ones with fifty executions each, all of them ours."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=rig.settings.client_id)
    client.client.MaxRequests = 0
    aapl = Stock("AAPL", "SMART", "USD")
    for _ in range(OPEN_ORDERS):
        mine = resting()
        place(rig, client, aapl, LimitOrder("BUY", 10, 5.0, orderRef=mine.order_ref, account=ACCOUNT), mine)
    for _ in range(FILLED_ORDERS):
        mine = ticket(quantity="50")
        place(rig, client, aapl, MarketOrder("BUY", 50, orderRef=mine.order_ref, account=ACCOUNT), mine)
    await eventually(lambda: len(rig.paper.orders()) == OPEN_ORDERS + FILLED_ORDERS, 60)
    await eventually(lambda: sum(line.quantity for line in rig.paper.executions()) == 50 * FILLED_ORDERS, 60)
    client.disconnect()
    ledger = rig.paper._desk.ledger
    told = ledger.executions()
    for number in range(EXECUTIONS - len(told)):
        before = told[number % len(told)]
        head, _, last = before.exec_id.rpartition(".")
        ledger.put_execution(replace(before, exec_id=f"{head}.x{number:05d}.{last}"))
    ledger.commit()
    assert len(ledger.executions()) == EXECUTIONS


def place(rig: Rig, client: IB, contract: Stock, order: Order, mine: object) -> None:
    """Send an order as an earlier life of the gateway did, with its intent."""
    intent = rig.persist(mine, IntentState.SENDING)
    order.orderId = intent.broker_order_id
    client.client.placeOrder(order.orderId, contract, order)


async def test_a_session_with_a_full_book_is_back_in_fifteen_seconds(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    await full_book(rig)
    began, worked = time.monotonic(), time.process_time()
    gateway = await rig.started(request_timeout_seconds=10, heartbeat_seconds=5, lease_seconds=10)
    await asyncio.wait_for(gateway.ready(), 120)
    first, work = time.monotonic() - began, time.process_time() - worked
    booked = rig.store.inbox.counts(rig.settings.name)
    rig.paper.drop_connections()
    await eventually(lambda: not gateway._gate.is_open)
    began = time.monotonic()
    await asyncio.wait_for(gateway.ready(), 120)
    again = time.monotonic() - began
    with capsys.disabled():
        print(f"\n  gate open after a start: {first:.1f} s ({work:.1f} s of work, the broker's included)")  # noqa: T201
        print(f"  gate open after a reconnect: {again:.1f} s")  # noqa: T201
    assert booked[InboxStatus.NEW] + booked[InboxStatus.DELIVERED] >= 2 * EXECUTIONS
    states = {line.order_ref for line in rig.paper.orders() if line.status == "Submitted"}
    assert len(states) == OPEN_ORDERS
    assert rig.store.intents.in_state(1, IntentState.IN_DOUBT, IntentState.SENDING) == []
    assert first < RECONNECT_SECONDS
    assert again < RECONNECT_SECONDS


async def test_a_cancel_waits_behind_at_most_a_second_of_queue(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = await rig.gateway(messages_per_second=40, acknowledge_seconds=5, lease_seconds=10)
    order = resting()
    await gateway.place(order)
    placements = [asyncio.create_task(gateway.place(resting())) for _ in range(QUEUED)]
    await eventually(lambda: gateway._wire.pacer.waiting > QUEUED // 2)
    left: list[float] = []
    cancel = gateway._wire.cancel
    began = time.monotonic()

    def timed(order_id: int) -> None:
        cancel(order_id)
        left.append(time.monotonic() - began)

    gateway._wire.cancel = timed
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    waiting = gateway._wire.pacer.waiting
    with capsys.disabled():
        print(f"\n  a cancel left after {left[0]:.2f} s, with {waiting} messages still waiting")  # noqa: T201
    assert waiting > QUEUED // 3
    assert left[0] < CANCEL_SECONDS
    for placement in placements:
        placement.cancel()
