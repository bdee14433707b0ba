"""CARD-501 to CARD-508: changing a live order."""

import asyncio
from decimal import Decimal
from typing import Any

from oms.domain.facts import ChangeInDoubt, ChangeRefused, PlacementChanged
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.paper.fault_events import Operation
from oms.paper.faults import FaultKind
from oms.store import IntentState
from tests.cards.doing import broker_id, died, opened, working
from tests.cards.line import Line
from tests.gateways.rig import Rig, eventually, resting, status

WORKING, FILLED = PlacementStatus.WORKING, PlacementStatus.FILLED


def changed(order: PlacementTicket, revision: int = 1, **terms: Any) -> PlacementTicket:
    """The ticket of a change: the order with other terms."""
    return order.model_copy(update={"revision": revision, **terms})


def word(answer: VenueAnswer) -> PlacementChanged | ChangeRefused | ChangeInDoubt:
    """What an answer says about the change."""
    (said,) = [f for f in answer.facts if isinstance(f, PlacementChanged | ChangeRefused | ChangeInDoubt)]
    return said


async def insisted(
    gateway: IBKRGateway, ticket: PlacementTicket
) -> PlacementChanged | ChangeRefused | ChangeInDoubt:
    """Ask for a change as the workflow does: again and again, until it is not in doubt."""
    async with asyncio.timeout(20):
        while True:
            await opened(gateway)
            try:
                said = word(await gateway.modify(ticket))
            except GatewayNotReady:
                continue
            if not isinstance(said, ChangeInDoubt):
                return said


async def test_card_501(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    before = rig.at_the_broker(order)[0].perm_id
    assert isinstance(word(await gateway.modify(changed(order, limit_price=Decimal(6)))), PlacementChanged)
    rig.paper.set_price("AAPL", Decimal("5.98"), Decimal("5.99"))
    (fill,) = await rig.fills(order)
    assert fill.price <= 6
    assert [(there.perm_id, there.filled) for there in rig.at_the_broker(order)] == [(before, 10)]
    assert [fact.kind for fact in rig.orders.changes(order)] == ["placement_changed"]


async def test_card_502(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await eventually(lambda: rig.orders.executions(order))
    assert isinstance(word(await gateway.modify(changed(order, quantity=Decimal(6)))), PlacementChanged)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(9))
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [FILLED])
    assert sum(fill.quantity for fill in rig.orders.executions(order)) == 6


async def test_card_503(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    rig.paper.fail_next(Operation.MODIFY, FaultKind.ERROR_INSTEAD, code=201)
    said = word(await gateway.modify(changed(order, limit_price=Decimal(6))))
    assert isinstance(said, ChangeRefused)
    assert "201" in said.reason
    rig.error(broker_id(rig, order), 201, "Order rejected - reason:a change of somebody's")
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert rig.orders.statuses(order) == [WORKING]
    assert rig.intent(order).ticket.limit_price == 5
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED


async def test_card_504(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = await working(rig, gateway)
    rig.paper.fail_next(Operation.MODIFY, FaultKind.LOST_BEFORE_READ)
    change = changed(order, limit_price=Decimal(6))
    assert isinstance(word(await gateway.modify(change)), ChangeInDoubt)
    assert isinstance(await insisted(gateway, change), PlacementChanged)
    assert line.placed(order.order_ref) == 3
    assert len({fields[1] for fields in line.sent}) == 1
    assert len(rig.at_the_broker(order)) == 1
    assert rig.intent(order).ticket.limit_price == 6


async def test_card_505(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = await working(rig, gateway)
    rig.paper.fail_next(Operation.MODIFY, FaultKind.EXECUTED_REPLIES_LOST)
    change = changed(order, limit_price=Decimal(6))
    assert isinstance(word(await gateway.modify(change)), ChangeInDoubt)
    assert isinstance(await insisted(gateway, change), PlacementChanged)
    assert line.placed(order.order_ref) == 2
    assert len(rig.at_the_broker(order)) == 1


async def test_card_506(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    rig.paper.fail_next(Operation.MODIFY, FaultKind.ERROR_INSTEAD, code=104)
    rig.paper.fail_next(Operation.OPEN_ORDERS, FaultKind.DELAYED, seconds=0.2)
    call = asyncio.create_task(gateway.modify(changed(order, limit_price=Decimal(6))))
    await eventually(lambda: any(line.code == 104 for line in rig.paper.committed))
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    assert isinstance(word(await call), ChangeRefused)
    await rig.fills(order)
    assert len(rig.orders.executions(order)) == 1
    assert [fact.kind for fact in rig.orders.changes(order)][-1] == "change_refused"
    assert rig.state(order) is IntentState.DONE


async def test_card_507(rig: Rig) -> None:
    first = await rig.gateway()
    order = await working(rig, first)
    rig.paper.fail_next(Operation.MODIFY, FaultKind.HOLD_BEFORE_READ)
    change = changed(order, limit_price=Decimal(6))
    call = asyncio.create_task(first.modify(change))
    await eventually(lambda: rig.paper.held)
    await died(rig, first)
    await asyncio.gather(call, return_exceptions=True)
    rig.paper.release()
    second = await rig.gateway()
    assert isinstance(await insisted(second, change), PlacementChanged)
    await eventually(lambda: [f.kind for f in rig.orders.changes(order)][-1:] == ["placement_changed"])
    kinds = [fact.kind for fact in rig.orders.changes(order)]
    assert kinds.count("placement_changed") == 1
    assert len(rig.at_the_broker(order)) == 1


async def test_card_508(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = resting(quantity="10")
    await gateway.place(order)
    assert isinstance(word(await gateway.modify(changed(order, quantity=Decimal(11)))), ChangeRefused)
    assert line.placed(order.order_ref) == 1
    assert rig.intent(order).ticket.quantity == 10
