"""What nobody foresaw: an exception in the session's own steps costs an attempt, or the process, never the standby."""

import asyncio
from typing import Any

import pytest
from tests.gateways.rig import ACCOUNT, Rig, eventually, resting, status, ticket

from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.rounds import Rounds


def failing(*_: Any, **__: Any) -> Any:
    raise RuntimeError("nobody foresaw this")


async def test_a_gateway_that_dies_of_a_defect_makes_room_for_the_standby(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await rig.gateway(lease_seconds=30)
    order = resting()
    await first.place(order)
    second = await rig.started(lease_seconds=30)
    await eventually(lambda: "another process" in (second._gate.reason or ""))
    monkeypatch.setattr(first._rounds, "connected", failing)
    rig.paper.drop_connections()
    await asyncio.wait({first.failed}, timeout=5)
    with pytest.raises(RuntimeError, match=r"the gateway has stopped.*nobody foresaw"):
        first.failed.result()
    await asyncio.wait_for(second.ready(), 5)
    assert (first.served, second.served) == (frozenset(), {ACCOUNT})
    assert not first._gate.is_open
    assert status(await second.cancel(order)) is PlacementStatus.CANCELED


async def test_a_step_that_is_cut_off_from_within_is_a_defect_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(_: Rounds) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(Rounds, "keep_time", cut_off)
    gateway = await rig.started()
    await asyncio.wait({gateway.failed}, timeout=5)
    assert gateway.failed.done()


@pytest.mark.parametrize("error", [ValueError("a handshake nobody can read"), asyncio.CancelledError()])
async def test_an_attempt_to_connect_that_fails_in_an_odd_way_is_one_that_fails(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    gateway = await rig.gateway()
    attempts = []

    async def odd(*_: Any, **__: Any) -> None:
        attempts.append(1)
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(gateway._wire._ib, "connectAsync", odd)
        rig.paper.drop_connections()
        await eventually(lambda: len(attempts) > 1)
        assert "not connected" in (gateway._gate.reason or "")
    await asyncio.wait_for(gateway.ready(), 5)


async def test_a_store_that_fails_during_a_look_costs_no_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    connected = gateway._session.connected_ns
    sweeps = gateway._rounds._reconciling._sweeps
    for place, question in ((rig.store.intents, "in_state"), (sweeps, "_swept")):
        with monkeypatch.context() as away:
            away.setattr(place, question, failing)
            gateway._rounds._now.set()
            await eventually(lambda: gateway._rounds.trouble)
            assert gateway._gate.is_open
        await eventually(lambda: gateway._rounds.trouble is None)
    assert gateway._session.connected_ns == connected


@pytest.mark.parametrize(("room", "question"), [("held", "by"), ("breaks", "observe")])
async def test_a_comparison_that_fails_is_made_again_and_costs_no_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, room: str, question: str
) -> None:
    gateway = await rig.gateway(grace_seconds=0.1)
    await gateway.resync()
    connected = gateway._session.connected_ns
    with monkeypatch.context() as away:
        away.setattr(getattr(rig.store, room), question, failing)
        with pytest.raises(GatewayNotReady, match="nobody foresaw"):
            await gateway.resync()
    compared = gateway._positions.last[ACCOUNT].at_ns
    await gateway.reconcile()
    assert gateway._positions.last[ACCOUNT].at_ns > compared
    assert gateway._session.connected_ns == connected


async def test_a_failing_look_at_the_start_opens_the_gate_once_it_succeeds(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as away:
        away.setattr(rig.store.intents, "in_state", failing)
        gateway = await rig.started()
        await eventually(lambda: gateway._rounds.trouble)
        with pytest.raises(GatewayNotReady, match="lists"):
            await gateway.place(ticket())
    await asyncio.wait_for(gateway.ready(), 5)
