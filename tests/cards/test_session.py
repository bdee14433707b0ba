"""CARD-101 to CARD-118: the session."""

import asyncio
from pathlib import Path

import pytest

from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.paper.faults import FaultKind
from oms.paper.ib_gateway import PaperIBGateway
from oms.store import IntentState, Store, tables
from tests.cards.doing import broker_id, closed, died, fail, filled, once, opened, reach, working
from tests.cards.line import Line
from tests.gateways.rig import Relay, Rig, eventually, resting, settled, status, ticket


async def test_card_101(rig: Rig) -> None:
    first = await rig.gateway()
    order = await working(rig, first)
    await died(rig, first)
    reach(rig)
    rig.orders.open.clear()
    await rig.gateway()
    kinds = [row.fact.kind for row in rig.store.inbox.undelivered("ibkr")]
    assert "executed" in kinds
    rig.orders.open.set()
    await once(rig, order)


async def test_card_102(rig: Rig) -> None:
    relay = Relay(rig.paper.port)
    gateway = await rig.gateway(port=await relay.start(), request_timeout_seconds=0.3, heartbeat_seconds=30)
    order = await working(rig, gateway)
    relay.silence()
    asking = asyncio.create_task(gateway.reconcile())
    await closed(gateway)
    relay.speak()
    await opened(gateway)
    await asyncio.wait_for(asking, 10)
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    await gateway.stop()
    await relay.stop()


async def test_card_103(rig: Rig) -> None:
    other = await rig.gateway()
    gateway = await rig.started(name="other", host="localhost", connect_timeout_seconds=30)
    await eventually(lambda: "326" in (gateway._gate.reason or ""), 5)
    await other.stop()
    await opened(gateway)


async def test_card_104(rig: Rig, line: Line) -> None:
    first = await rig.gateway(port=line.port, lease_seconds=1.5)
    order = await working(rig, first)
    second = await rig.started(port=line.port, lease_seconds=1.5)
    await eventually(lambda: "another process" in (second._gate._reasons.get("lease") or ""))
    with pytest.raises(GatewayNotReady):
        await second.place(ticket())
    assert line.connections == 1
    await rig.crash(first)
    await opened(second)
    assert status(await second.ask(order)) is PlacementStatus.WORKING
    later, _ = await filled(rig, second)
    assert [line.placed(each.order_ref) for each in (order, later)] == [1, 1]
    assert len(rig.at_the_broker(order)) == 1


async def test_card_105(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    with rig.store.database.write() as connection:
        connection.execute(tables.leases.update().values(holder="another"))
    await closed(gateway)
    with pytest.raises(GatewayNotReady, match="another process"):
        await gateway.place(ticket())
    assert line.sent == []


async def test_card_106(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, _ = await filled(rig, gateway)
    rig.paper.roll_back_ids()
    rig.paper.drop_connections()
    await closed(gateway)
    await opened(gateway)
    later, _ = await filled(rig, gateway)
    assert broker_id(rig, later) > broker_id(rig, order)
    await once(rig, order, later)


async def test_card_107(rig: Rig, store: Store, tmp_path: Path) -> None:
    def broker(port: int = 0) -> PaperIBGateway:
        return PaperIBGateway(port=port, state_file=tmp_path / "restarted.db", market=rig.paper._settings)

    rig.paper = broker()
    await rig.paper.start()
    port = rig.paper.port
    gateway = await rig.gateway(port=port)
    order = await working(rig, gateway)
    await rig.paper.stop()
    await closed(gateway)
    rig.paper = broker(port)
    rig.paper.roll_back_ids()
    await rig.paper.start()
    await opened(gateway)
    later, _ = await filled(rig, gateway, symbol="MSFT")
    assert broker_id(rig, later) > broker_id(rig, order)
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]
    reach(rig)
    await once(rig, order, later)
    await rig.close()
    rig.gateways.clear()
    await rig.paper.stop()


async def test_card_108(rig: Rig) -> None:
    relay = Relay(rig.paper.port)
    gateway = await rig.gateway(port=await relay.start(), heartbeat_seconds=0.3)
    relay.silence()
    await eventually(lambda: not gateway._gate.is_open, 0.3 * 2 + 0.5)
    relay.speak()
    await opened(gateway)
    order, _ = await filled(rig, gateway)
    await once(rig, order)
    await gateway.stop()
    await relay.stop()


async def test_card_109(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = ticket()
    fail(rig, FaultKind.CUT_REPLIES)
    await gateway.place(order)
    await eventually(lambda: line.connections == 2)
    await settled(gateway, order)
    await once(rig, order)
    assert rig.store.inbox.parked() == []
    assert rig.orders.unreadable(order) == []


async def test_card_110(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order, later = await working(rig, gateway), ticket()
    rig.paper.connectivity_lost()
    await closed(gateway)
    sent = len(line.sent)
    for call, about in ((gateway.place, later), (gateway.ask, order), (gateway.cancel, order)):
        with pytest.raises(GatewayNotReady, match="1100"):
            await call(about)
    assert rig.intent(later) is None
    assert len(line.sent) == sent
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]


async def restored(rig: Rig, *, data_lost: bool) -> None:
    """1100, a fill that nobody is told of, and the connection restored."""
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    rig.paper.connectivity_lost()
    await closed(gateway)
    session = rig.paper._desk.sessions.pop(rig.settings.client_id)
    rig.paper._desk.online = True
    reach(rig)
    rig.paper._desk.sessions[rig.settings.client_id] = session
    assert len(rig.executed(order)) == 1
    rig.orders.open.clear()
    rig.paper.connectivity_restored(data_lost=data_lost)
    await opened(gateway)
    assert "executed" in [row.fact.kind for row in rig.store.inbox.undelivered("ibkr")]
    rig.orders.open.set()
    later, _ = await filled(rig, gateway, symbol="MSFT")
    await once(rig, order, later)


async def test_card_111(rig: Rig) -> None:
    await restored(rig, data_lost=True)


async def test_card_112(rig: Rig) -> None:
    await restored(rig, data_lost=False)


async def test_card_113(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.paper._desk.online = False
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    rig.paper.connectivity_restored(data_lost=False)
    await once(rig, order)
    assert PlacementStatus.IN_DOUBT in rig.orders.statuses(order)


async def test_card_114(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    for code in range(2103, 2111):
        rig.error(-1, code, "A farm is what it is:usfarm")
    later, _ = await filled(rig, gateway, symbol="MSFT")
    assert gateway._gate.is_open
    assert len(rig.orders.facts[order.order_id]) == 1
    await once(rig, later)


async def test_card_115(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    rig.error(-1, 1300, "TWS socket port has been reset and this connection is being dropped.")
    await eventually(lambda: line.connections == 2)
    await opened(gateway)
    order, _ = await filled(rig, gateway)
    await once(rig, order)


async def test_card_116(rig: Rig) -> None:
    gateway = await rig.gateway(messages_per_second=20)
    first = resting()
    await gateway.place(first)
    calls = [asyncio.create_task(gateway.place(resting())) for _ in range(45)]
    await eventually(lambda: gateway._wire.pacer.waiting >= 15)
    assert status(await gateway.cancel(first)) is PlacementStatus.CANCELED
    assert sum(1 for call in calls if not call.done()) > 5
    answers = await asyncio.gather(*calls)
    assert {status(answer) for answer in answers} == {PlacementStatus.WORKING}
    assert not gateway._wire._client._isThrottling


async def test_card_117(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    for number in (-1, broker_id(rig, order)):
        rig.error(number, 354, "Requested market data is not subscribed.")
    await rig.reconciled(gateway)
    assert rig.orders.unreadable(order) == []
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]


async def test_card_118(rig: Rig) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway)
    order = ticket()
    rig.paper.cut_request()
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert rig.at_the_broker(order) == []
    await settled(gateway, order)
    await once(rig, order)
