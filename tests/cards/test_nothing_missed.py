"""CARD-601 to CARD-615: nothing missed."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from oms.domain.breaks import BreakStatus
from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.paper.fault_events import Operation
from oms.store import InboxStatus, IntentState
from tests.cards.doing import broker_id, closed, died, filled, once, opened, reach, working
from tests.cards.line import Line
from tests.gateways.rig import Rig, eventually, status, ticket

WORKING = PlacementStatus.WORKING


async def test_card_601(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    rig.paper.drop_connections()
    reach(rig)
    assert len(rig.executed(order)) == 1
    await once(rig, order)
    (charge,) = await eventually(lambda: rig.orders.charges(order))
    assert charge.exec_id == rig.executed(order)[0].exec_id
    await opened(gateway)


async def test_card_602(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    rig.paper.connectivity_lost()
    await closed(gateway)
    reach(rig)
    rig.paper.connectivity_restored(data_lost=False)
    rig.paper.step_market()
    await once(rig, order)
    await opened(gateway)


async def unheard(rig: Rig, line: Line) -> None:
    """Fill what rests, and lose every message about it."""
    with line.swallowing():
        reach(rig)
        await eventually(lambda: {"3", "5", "11", "59"} <= line.dropped)


async def test_card_603(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, reconcile_seconds=0.5)
    order = await working(rig, gateway)
    await unheard(rig, line)
    assert rig.orders.executions(order) == []
    await once(rig, order)
    await eventually(lambda: rig.orders.charges(order))
    assert line.connections == 1


async def test_card_604(rig: Rig, line: Line) -> None:
    soon = datetime.now(ZoneInfo(rig.settings.timezone)) + timedelta(seconds=1)
    gateway = await rig.gateway(port=line.port, reconcile_seconds=3600, end_of_day=soon.time())
    order = await working(rig, gateway)
    await unheard(rig, line)
    await once(rig, order)
    assert line.connections == 1


async def test_card_605(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.1)
    order = ticket()
    rig.persist(order, IntentState.ACKNOWLEDGED)
    for _ in range(2):
        await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [PlacementStatus.IN_DOUBT]
    assert rig.state(order) is IntentState.IN_DOUBT


async def test_card_606(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, _ = await filled(rig, gateway)
    live = await working(rig, gateway)
    before = {each.order_id: list(rig.orders.facts[each.order_id]) for each in (order, live)}
    for _ in range(3):
        rig.paper.drop_connections()
        await closed(gateway)
        await opened(gateway)
        await rig.reconciled(gateway)
    assert {each.order_id: rig.orders.facts[each.order_id] for each in (order, live)} == before


async def test_card_607(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    mine = await working(rig, gateway)
    alive = rig.paper.enter_by_hand("MSFT", order_type="LMT", price=Decimal(5))
    traded = rig.paper.enter_by_hand("MSFT", quantity=Decimal(7))
    for _ in range(2):
        await rig.reconciled(gateway)
    kept = {order.perm_id: order for order in rig.store.foreign.list()}
    assert {perm_id: order.origin for perm_id, order in kept.items()} == dict.fromkeys((alive, traded), "TWS")
    assert (kept[alive].is_working, kept[traded].is_working) == (True, False)
    (execution,) = rig.store.foreign.executions()
    assert (execution.key, execution.quantity) == (kept[traded].key, 7)
    assert len(line.sent) == 1
    assert rig.orders.statuses(mine) == [WORKING]


async def test_card_608(rig: Rig) -> None:
    gateway = await rig.gateway()
    mine = await working(rig, gateway)
    number = broker_id(rig, mine)
    traded = rig.paper.enter_as_other_client("MSFT", quantity=Decimal(3), client_id=9, order_id=number)
    alive = rig.paper.enter_as_other_client(
        "MSFT", order_type="LMT", price=Decimal(5), client_id=8, order_id=number
    )
    await rig.reconciled(gateway)
    kept = {order.perm_id: (order.origin, order.order_id) for order in rig.store.foreign.list()}
    assert kept == {traded: ("client 9", number), alive: ("client 8", number)}
    assert status(await gateway.cancel(mine)) is PlacementStatus.CANCELED
    await rig.reconciled(gateway)
    assert rig.orders.executions(mine) == []
    assert {there.perm_id: there.status for there in rig.paper.orders() if there.perm_id == alive} == {
        alive: "Submitted"
    }


async def test_card_610(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.1)
    await filled(rig, gateway, quantity="10")
    before = len(rig.paper.orders())
    rig.paper.enter_by_hand("AAPL", quantity=Decimal(5))
    done = await gateway.resync()
    (found,) = rig.store.breaks.list()
    assert (done.differences, found.status) == (1, BreakStatus.OPEN)
    assert (found.ours, found.theirs) == ("10", "15")
    assert "5 was executed today by orders that are not ours" in found.detail
    await gateway.resync()
    assert len(rig.store.breaks.list()) == 1
    assert len(rig.paper.orders()) == before + 1


async def test_card_611(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.1)
    rig.paper.enter_by_hand("AAPL", quantity=Decimal(5))
    await gateway.resync()
    (found,) = rig.store.breaks.list()
    rig.paper.enter_by_hand("AAPL", "SELL", Decimal(5))
    await gateway.resync()
    (cleared,) = rig.store.breaks.list()
    assert (cleared.break_id, cleared.status) == (found.break_id, BreakStatus.CLEARED)


async def test_card_612(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.1, request_timeout_seconds=0.3)
    rig.paper.enter_by_hand("MSFT", quantity=Decimal(5))
    await gateway.resync()
    before = rig.store.breaks.list()
    rig.paper.enter_by_hand("MSFT", "SELL", Decimal(5))
    await filled(rig, gateway)
    rig.paper.leave_unanswered(Operation.POSITIONS, 30)
    with pytest.raises(GatewayNotReady):
        await gateway.resync()
    assert rig.store.breaks.list() == before


async def test_card_613(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.orders.failures[order.order_id] = 1_000_000
    await gateway.place(order)
    await eventually(lambda: len(rig.store.inbox.undelivered("ibkr")) >= 3)
    await died(rig, gateway)
    assert rig.orders.facts[order.order_id] == []
    del rig.orders.failures[order.order_id]
    await rig.gateway()
    await once(rig, order)
    await eventually(lambda: len(rig.orders.charges(order)) == 1)
    await eventually(lambda: rig.store.inbox.counts("ibkr")[InboxStatus.NEW] == 0)


async def test_card_614(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.orders.unknown.add(order.order_id)
    await gateway.place(order)
    parked = await eventually(lambda: rows if len(rows := rig.store.inbox.parked()) >= 3 else None)
    assert {(row.order_id, row.status) for row in parked} == {(order.order_id, InboxStatus.ORPHAN)}
    assert {row.fact.kind for row in parked} == {"placement_reported", "executed", "charged"}
    later, _ = await filled(rig, gateway)
    await once(rig, later)


async def test_card_615(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    order = await working(rig, gateway)
    await unheard(rig, line)
    done = await gateway.resync()
    assert (done.unsettled, done.differences) == (0, 0)
    await once(rig, order)
