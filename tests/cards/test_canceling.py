"""CARD-401 to CARD-411: canceling."""

import asyncio
from decimal import Decimal

from oms.domain.terms import PlacementStatus
from oms.paper.faults import FaultKind
from oms.store import IntentState
from tests.cards.doing import broker_id, fail, filled, opened, working
from tests.cards.line import Line
from tests.gateways.rig import Rig, eventually, reason, resting, status, ticket

WORKING, CANCELED = PlacementStatus.WORKING, PlacementStatus.CANCELED


async def test_card_401(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    order = resting(quantity="10")
    await gateway.place(order)
    await eventually(lambda: rig.orders.executions(order))
    answers = [await gateway.cancel(order) for _ in range(2)]
    assert [status(answer) for answer in answers] == [CANCELED] * 2
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [CANCELED])
    assert rig.orders.reports(order)[-1].filled_quantity == 4
    assert [fill.quantity for fill in rig.orders.executions(order)] == [4]
    assert rig.at_the_broker(order)[0].status == "Cancelled"
    assert line.canceled == 1


async def test_card_402(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = ticket()
    assert status(await gateway.cancel(order)) is CANCELED
    assert rig.state(order) is IntentState.WITHDRAWN
    assert status(await gateway.place(order)) is CANCELED
    assert line.sent == []
    await eventually(lambda: rig.orders.statuses(order) == [CANCELED])


async def test_card_403(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, _ = await filled(rig, gateway)
    before = list(rig.orders.facts[order.order_id])
    assert status(await gateway.cancel(order)) is PlacementStatus.FILLED
    await rig.reconciled(gateway)
    assert rig.orders.facts[order.order_id] == before


async def test_card_404(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    never, gone = ticket(), ticket()
    rig.persist(never)
    rig.persist(gone, IntentState.ACKNOWLEDGED)
    answer = await gateway.cancel(never)
    assert (status(answer), rig.state(never)) == (CANCELED, IntentState.WITHDRAWN)
    assert "10147" in reason(answer)
    assert status(await gateway.place(never)) is CANCELED
    assert status(await gateway.cancel(gone)) is PlacementStatus.IN_DOUBT
    await eventually(lambda: rig.orders.statuses(gone) == [PlacementStatus.IN_DOUBT])
    assert line.placed(never.order_ref) == 0


async def test_card_405(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    text = "OrderId that needs to be cancelled can not be cancelled, state: Submitted."
    rig.error(broker_id(rig, order), 10148, text)
    (refusal,) = await eventually(lambda: rig.orders.refusals(order))
    assert refusal.reason == f"10148: {text}"
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert rig.orders.statuses(order) == [WORKING]


async def test_card_406(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    text = "OrderId that needs to be cancelled can not be cancelled, state: PendingCancel."
    rig.error(broker_id(rig, order), 10148, text)
    for _ in range(2):
        await rig.reconciled(gateway)
    assert rig.orders.refusals(order) == []
    assert rig.orders.statuses(order) == [WORKING]


async def test_card_407(rig: Rig) -> None:
    gateway = await rig.gateway()
    fail(rig, FaultKind.MISSING_STATUS)
    order = resting(quantity="4")
    await gateway.place(order)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await eventually(lambda: rig.orders.executions(order))
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert status(await gateway.cancel(order)) is PlacementStatus.FILLED
    assert rig.orders.refusals(order) == []


async def test_card_408(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    fail(rig, FaultKind.EXECUTED_REPLIES_LOST)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    await opened(gateway)
    assert status(await gateway.cancel(order)) is CANCELED
    assert [there.status for there in rig.at_the_broker(order)] == ["Cancelled"]


async def test_card_409(rig: Rig) -> None:
    rig.paper.faults.invisible = (1.0, 1.0)
    gateway = await rig.gateway(grace_seconds=0.1)
    order = resting()
    fail(rig, FaultKind.ACCEPTED_INVISIBLE)
    await gateway.place(order)
    await opened(gateway)
    rig.error(broker_id(rig, order), 10147, "OrderId that needs to be cancelled is not found.")
    await eventually(lambda: rig.state(order) is IntentState.WITHDRAWN)

    async def canceled() -> None:
        while rig.at_the_broker(order)[0].status != "Cancelled":
            await rig.reconciled(gateway)

    await asyncio.wait_for(canceled(), 10)


async def test_card_410(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = [resting() for _ in range(10)]
    await asyncio.gather(*(call(order) for order in orders for call in (gateway.place, gateway.cancel)))
    for order in orders:
        await eventually(lambda order=order: rig.state(order) in (IntentState.DONE, IntentState.WITHDRAWN))
        assert {there.status for there in rig.at_the_broker(order)} <= {"Cancelled"}


async def test_card_411(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, acknowledge_seconds=0.2, grace_seconds=0.1)
    order = await working(rig, gateway)
    with line.swallowing():
        assert (await gateway.cancel(order)).facts == ()
    assert rig.orders.statuses(order) == [WORKING]
    answer = await gateway.cancel(order)
    while not answer.facts:  # asked again, as the workflow does
        answer = await gateway.cancel(order)
    assert status(answer) is CANCELED
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [WORKING, CANCELED]
