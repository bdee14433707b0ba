"""The connection: outages, 1100 and 1102, restarts, a silent peer, a client id in use, the clock, the report."""

import asyncio
from datetime import datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.gateways.rig import ACCOUNT, Relay, Rig, eventually, resting, status, ticket

from oms.domain.control import ControlKind
from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRSettings
from oms.gateways.ibkr.pacing import Urgency
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import GatewayState, IntentState, Store


async def test_fills_during_an_outage_are_booked_after_the_reconnect(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.paper.drop_connections()
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    assert len(rig.executed(order)) == 1
    (fill,) = await rig.fills(order)
    assert fill.exec_id == rig.executed(order)[0].exec_id
    (charge,) = await eventually(lambda: rig.orders.charges(order))
    assert charge.exec_id == fill.exec_id
    await asyncio.wait_for(gateway.ready(), 10)


async def test_reconnecting_books_nothing_twice(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    await eventually(lambda: rig.orders.charges(order))
    before = list(rig.orders.facts[order.order_id])
    for _ in range(3):
        rig.paper.drop_connections()
        await eventually(lambda: not gateway._gate.is_open)
        await asyncio.wait_for(gateway.ready(), 10)
        await rig.reconciled(gateway)
    assert rig.orders.facts[order.order_id] == before


async def test_the_gate_is_closed_while_disconnected(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.drop_connections()
    await eventually(lambda: not gateway._gate.is_open)
    order = ticket()
    with pytest.raises(GatewayNotReady):
        await gateway.place(order)
    assert rig.intent(order) is None


@pytest.mark.parametrize("data_lost", [True, False])
async def test_1100_closes_the_gate_and_1101_or_1102_open_it_after_a_reconciliation(
    rig: Rig, data_lost: bool
) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.paper.connectivity_lost()
    await eventually(lambda: not gateway._gate.is_open)
    for call in (gateway.place, gateway.ask):
        with pytest.raises(GatewayNotReady, match="1100"):
            await call(ticket() if call == gateway.place else order)
    with pytest.raises(GatewayNotReady):
        await gateway.cancel(order)
    assert (await gateway.status()).detail.startswith("1100")
    rig.paper.connectivity_restored(data_lost=data_lost)
    await asyncio.wait_for(gateway.ready(), 10)
    assert status(await gateway.ask(order)) is PlacementStatus.WORKING


async def test_an_order_sent_into_1100_is_in_doubt_and_then_one(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.paper._desk.online = False
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    rig.paper.connectivity_restored(data_lost=False)
    await rig.fills(order)
    assert len(rig.executed(order)) == 1


async def test_a_restart_of_the_broker_gateway_loses_nothing(store: Store, tmp_path: Path) -> None:
    market = MarketSettings(step_seconds=0.02, moving=False)
    first = PaperIBGateway(state_file=tmp_path / "restart.db", market=market)
    await first.start()
    port = first.port
    settings = IBKRSettings(port=port, grace_seconds=0.2, backoff_seconds=0.2, lease_seconds=2.0)
    rig = Rig(first, store, settings)
    gateway = await rig.gateway()
    order, later = resting(), ticket()
    await gateway.place(order)
    await first.stop()
    await eventually(lambda: not gateway._gate.is_open)
    second = PaperIBGateway(port=port, state_file=tmp_path / "restart.db", market=market)
    await second.start()
    rig.paper = second
    await asyncio.wait_for(gateway.ready(), 10)
    assert status(await gateway.ask(order)) is PlacementStatus.WORKING
    await gateway.place(later)
    await rig.fills(later)
    assert rig.intent(later).broker_order_id > rig.intent(order).broker_order_id
    await rig.close()
    await second.stop()


async def test_order_ids_do_not_roll_back_with_the_broker_gateway(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    rig.paper._desk._highest.clear()
    rig.paper.drop_connections()
    await eventually(lambda: not gateway._gate.is_open)
    await asyncio.wait_for(gateway.ready(), 10)
    later = ticket()
    await gateway.place(later)
    await rig.fills(later)
    assert rig.intent(later).broker_order_id > rig.intent(order).broker_order_id


async def test_a_silent_peer_is_noticed_and_left(rig: Rig, paper: PaperIBGateway) -> None:
    relay = Relay(paper.port)
    port = await relay.start()
    gateway = await rig.gateway(port=port, heartbeat_seconds=0.3)
    relay.silence()
    await eventually(lambda: not gateway._gate.is_open)
    relay.speak()
    await asyncio.wait_for(gateway.ready(), 15)
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    await gateway.stop()
    await relay.stop()


async def test_silence_is_noticed_within_the_interval_and_the_deadline(rig: Rig) -> None:
    gateway = await rig.gateway(heartbeat_seconds=0.3, connect_timeout_seconds=0.5)
    loop = asyncio.get_running_loop()
    rig.paper.fall_silent()
    began = loop.time()
    await eventually(lambda: not gateway._gate.is_open)
    assert loop.time() - began < 0.3 + 0.3 + 0.3
    with pytest.raises(GatewayNotReady):
        await gateway.place(ticket())
    await eventually(lambda: (gateway._gate.reason or "").startswith("not connected: "), 10)
    rig.paper.speak_again()
    await asyncio.wait_for(gateway.ready(), 10)
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)


async def test_a_question_of_the_old_connection_does_not_end_the_new_one(rig: Rig) -> None:
    """A list is out when silence is noticed: whoever waits for it is told, long before its own deadline."""
    gateway = await rig.gateway(heartbeat_seconds=0.3, request_timeout_seconds=1.5)
    rig.paper.fall_silent()
    asking = asyncio.create_task(gateway._rounds._reconciling.look())
    await eventually(lambda: not gateway._gate.is_open)
    with pytest.raises(GatewayNotReady, match="broke"):
        await asyncio.wait_for(asking, 1)
    rig.paper.speak_again()
    await asyncio.wait_for(gateway.ready(), 10)
    session = next(iter(rig.paper._desk.sessions.values()))
    await eventually(lambda: gateway._positions.last)
    await rig.reconciled(gateway)
    assert next(iter(rig.paper._desk.sessions.values())) is session


async def test_a_full_queue_of_messages_starves_no_heartbeat(rig: Rig) -> None:
    gateway = await rig.gateway(heartbeat_seconds=0.4, messages_per_second=10)
    waiting = [asyncio.create_task(gateway._wire.pacer.turn(Urgency.CANCEL)) for _ in range(60)]
    beats = []
    asked = gateway._wire._ib.reqCurrentTimeAsync

    def counted() -> Any:
        beats.append(1)
        return asked()

    gateway._wire._ib.reqCurrentTimeAsync = counted
    await eventually(lambda: len(beats) >= 2)
    assert gateway._gate.is_open
    assert (await gateway.status()).waiting > 0
    for turn in waiting:
        turn.cancel()


async def test_the_report_counts_messages_and_dates(rig: Rig) -> None:
    gateway = await rig.gateway()
    await gateway.resync()
    report = await gateway.status()
    assert (report.client_id, report.host) == (1, f"127.0.0.1:{rig.paper.port}")
    assert report.messages_per_second > 4
    assert (report.reconciled_ns or 0) > (report.connected_ns or 0) > 0
    assert report.state is GatewayState.OPEN
    (told,) = [event for event in rig.store.control.stream(0) if event.kind is ControlKind.GATEWAY_RESYNCED]
    assert told.subject == "ibkr"


def soon(seconds: float) -> time:
    return (datetime.now(ZoneInfo("US/Eastern")) + timedelta(seconds=seconds)).time()


async def test_the_gate_is_closed_around_the_daily_restart(rig: Rig) -> None:
    gateway = await rig.gateway(daily_restart=soon(1.2), restart_margin_seconds=0.6)
    rounds = gateway._rounds._done
    await eventually(lambda: "restarts about now" in (gateway._gate.reason or ""))
    with pytest.raises(GatewayNotReady, match="restarts about now"):
        await gateway.place(ticket())
    await eventually(lambda: gateway._rounds._done > rounds)
    await asyncio.wait_for(gateway.ready(), 5)
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)


async def test_a_gateway_that_starts_in_the_restart_waits_for_its_end(rig: Rig) -> None:
    gateway = await rig.started(daily_restart=soon(0.5), restart_margin_seconds=1.0)
    await eventually(lambda: gateway._rounds._done)
    assert "restarts about now" in (gateway._gate.reason or "")
    await asyncio.wait_for(gateway.ready(), 5)


async def test_the_day_is_read_for_the_last_time_at_its_end(rig: Rig) -> None:
    gateway = await rig.gateway(end_of_day=soon(1.0))
    await eventually(lambda: gateway._positions.last)
    read, compared = gateway._rounds.reconciled_ns, gateway._positions.last[ACCOUNT].at_ns
    await eventually(lambda: gateway._rounds.reconciled_ns != read)
    await eventually(lambda: gateway._positions.last[ACCOUNT].at_ns > compared)


async def test_a_client_id_in_use_is_tried_again_without_waiting_out_the_timeout(rig: Rig) -> None:
    first = await rig.gateway()
    second = await rig.started(
        name="other", port=rig.paper.port, host="localhost", connect_timeout_seconds=30
    )
    await eventually(lambda: "326" in (second._gate.reason or ""), 5)
    await first.stop()
    await asyncio.wait_for(second.ready(), 10)


async def test_the_report_tells_how_the_session_is(rig: Rig) -> None:
    gateway = await rig.gateway()
    (report,) = await eventually(lambda: [r for r in rig.store.gateways.all() if r.gate_open])
    assert (report.name, report.venue, report.connected) == ("ibkr", "IBKR", True)
    assert (report.accounts, report.detail, report.in_doubt) == (("DU123456",), None, 0)
    rig.persist(ticket(), IntentState.IN_DOUBT)
    assert (await gateway.status()).in_doubt == 1
    await gateway.stop()
    (report,) = rig.store.gateways.all()
    assert (report.connected, report.gate_open) == (False, False)
    await gateway.stop()


def test_settings_that_would_break_the_rules_are_refused() -> None:
    for changes in ({"client_id": 0}, {"messages_per_second": 0}):
        with pytest.raises(ValueError, match="must be"):
            IBKRSettings(**changes)
    assert IBKRSettings().library_limit == 45
    assert IBKRSettings(messages_per_second=44).library_limit == 49
