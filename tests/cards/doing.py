"""What cards do again and again."""

import asyncio
from decimal import Decimal
from typing import Any

from oms.domain.facts import Executed
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr import IBKRGateway
from oms.paper.faults import FaultKind
from tests.gateways.rig import Rig, eventually, resting, status, ticket


async def working(rig: Rig, gateway: IBKRGateway, **changes: Any) -> PlacementTicket:
    """A limit order that works at the broker, and whose order knows it."""
    order = resting(**changes)
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    await eventually(lambda: rig.orders.statuses(order))
    return order


async def filled(rig: Rig, gateway: IBKRGateway, **changes: Any) -> tuple[PlacementTicket, Executed]:
    """A market order, filled in one execution and charged."""
    order = ticket(**changes)
    await gateway.place(order)
    (fill,) = await rig.fills(order)
    await eventually(lambda: rig.orders.charges(order))
    return order, fill


def fail(rig: Rig, kind: FaultKind, order: PlacementTicket | None = None) -> None:
    """Commit a fault on the next placeOrder, or on the next one of this order."""
    rig.paper.fail_next_place(kind, order.order_ref if order else "")


def say_status(
    rig: Rig, order: PlacementTicket, state: str, *, filled: str = "0", why_held: str = "", perm_id: int = 0
) -> None:
    """Let the broker send an orderStatus about an order."""
    number = perm_id or rig.at_the_broker(order)[0].perm_id
    left = order.quantity - Decimal(filled)
    client = rig.settings.client_id
    rig.say(3, broker_id(rig, order), state, filled, left, 0, number, 0, 0, client, why_held, 0)


def reach(rig: Rig, symbol: str = "AAPL") -> None:
    """Bring the market down to where resting orders are."""
    rig.paper.set_price(symbol, Decimal("4.98"), Decimal("4.99"))


def broker_id(rig: Rig, order: PlacementTicket) -> int:
    """The order id under which the order is at the broker."""
    intent = rig.intent(order)
    assert intent is not None
    return intent.broker_order_id


async def died(rig: Rig, gateway: IBKRGateway) -> None:
    """The process is killed, and its lease has run out."""
    await rig.died(gateway)


async def closed(gateway: IBKRGateway) -> None:
    """Return when the gate is closed."""
    await eventually(lambda: not gateway._gate.is_open)


async def opened(gateway: IBKRGateway) -> None:
    """Return when the gate is open."""
    await asyncio.wait_for(gateway.ready(), 10)


async def once(rig: Rig, *orders: PlacementTicket) -> None:
    """Each order is one order at the broker, and its executions there are those that it booked, one by one."""
    for order in orders:
        await rig.fills(order)
        theirs = {line.exec_id: (line.quantity, line.price) for line in rig.executed(order)}
        booked = rig.orders.executions(order)
        assert {fill.exec_id: (fill.quantity, fill.price) for fill in booked} == theirs
        assert len(booked) == len(theirs)
        assert len(rig.at_the_broker(order)) == 1
