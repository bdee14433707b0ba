"""Reading an account while it moves: what is steady, and for how long that is known."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ib_async import IB
from tests.gateways.rig import ACCOUNT, Rig, eventually, ticket
from tests.gateways.test_accounts import counted, filled, later, only, traded

from oms.domain.terms import Direction, PlacementStatus
from oms.gateways.ibkr import IBKRGateway
from oms.paper.faults import FaultKind


@pytest.fixture
async def them(rig: Rig) -> AsyncIterator[IB]:
    """Somebody who trades on the same account without us."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=9)
    yield client
    client.disconnect()


def lagging(gateway: IBKRGateway, monkeypatch: pytest.MonkeyPatch, told: list[Any]) -> None:
    """The broker's list of positions is behind its executions: it still is `told`."""

    async def positions() -> list[Any]:
        return told

    monkeypatch.setattr(gateway._wire, "positions", positions)


async def test_a_gap_is_waited_for_once_and_then_known(
    rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway()
    await eventually(lambda: gateway._positions.last)
    await traded(them, "BUY", 5)
    positions = counted(gateway, monkeypatch, "reqPositions")
    assert only(await gateway.read_account(ACCOUNT)).steady
    assert len(positions) == 2
    assert only(await gateway.read_account(ACCOUNT)).steady
    assert len(positions) == 3
    await traded(them, "BUY", 5)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.unbooked, held.steady, len(positions)) == (10, True, 5)


async def test_a_list_that_is_behind_our_executions_shows_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is looked at: what is missing there would be bought a second time."""
    gateway = await rig.gateway(grace_seconds=0.05)
    ask = gateway._wire.positions
    lagging(gateway, monkeypatch, [])
    await filled(rig, gateway, "100")
    for _ in range(3):
        held = only(await gateway.read_account(ACCOUNT))
        assert (held.quantity, held.unbooked, held.steady) == (0, -100, False)
    monkeypatch.setattr(gateway._wire, "positions", ask)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (100, 0, True)


async def test_what_is_missing_long_after_our_executions_is_missing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway(grace_seconds=0.05)
    await filled(rig, gateway, "100")
    lagging(gateway, monkeypatch, [])
    later(gateway, monkeypatch, 15)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (0, -100, True)


async def test_what_we_have_just_sold_is_not_somebody_elses(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flat by our executions; the list still shows what we have sold."""
    gateway = await rig.gateway(grace_seconds=0.05)
    await filled(rig, gateway, "10")
    lagging(gateway, monkeypatch, await gateway._wire.positions())
    await filled(rig, gateway, "10", direction=Direction.SELL)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (10, 10, False)


async def test_a_gap_that_our_executions_do_not_change_stays_known(
    rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway(grace_seconds=0.05)
    await traded(them, "BUY", 5)
    assert only(await gateway.read_account(ACCOUNT)).steady
    ask, before = gateway._wire.positions, await gateway._wire.positions()
    await filled(rig, gateway, "30")
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (35, 5, True)
    lagging(gateway, monkeypatch, before)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (5, -25, False)
    monkeypatch.setattr(gateway._wire, "positions", ask)
    assert only(await gateway.read_account(ACCOUNT)).steady


async def test_a_gap_is_not_known_for_long(rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same quantity may be made of something else by then, such as an execution that nobody has told."""
    gateway = await rig.gateway(grace_seconds=0.05)
    await eventually(lambda: gateway._positions.last)
    await traded(them, "BUY", 5)
    assert only(await gateway.read_account(ACCOUNT)).steady
    positions = counted(gateway, monkeypatch, "reqPositions")
    later(gateway, monkeypatch, 7)
    assert only(await gateway.read_account(ACCOUNT)).steady
    assert len(positions) == 2


def growing(gateway: IBKRGateway) -> Callable[[], Any]:
    """Each reading shows one more than the last."""
    ask, times = gateway._wire.positions, iter(range(1, 1000))

    async def positions() -> Any:
        more = next(times)
        return [one._replace(position=one.position + more) for one in await ask()]

    return positions


async def test_what_moves_from_look_to_look_is_not_steady_and_ends(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway(grace_seconds=0.05)
    await filled(rig, gateway, "10")
    await eventually(lambda: gateway._positions.last)
    monkeypatch.setattr(gateway._wire, "positions", growing(gateway))
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.unbooked, held.steady) == (3, False)


async def test_what_is_executed_between_the_two_sides_is_no_gap(
    rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Theirs is read, an order is filled and booked, ours is read: the second look shows no gap."""
    gateway = await rig.gateway(grace_seconds=0.05)
    await eventually(lambda: gateway._positions.last)
    ask, looks = gateway._wire.positions, []

    async def positions() -> Any:
        looks.append(await ask())
        if len(looks) == 1:
            await filled(rig, gateway, "10")
        return looks[-1]

    monkeypatch.setattr(gateway._wire, "positions", positions)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady, len(looks)) == (10, 0, True, 2)


async def test_an_execution_that_nobody_told_of_is_asked_for(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.05)
    rig.paper.faults.rates = {FaultKind.EXECUTION_MISSING: 1.0}
    order = ticket(quantity="10")
    await gateway.place(order)
    await eventually(lambda: PlacementStatus.FILLED in rig.orders.statuses(order))
    assert rig.orders.executions(order) == []
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (10, 0, True)
    assert len(await rig.fills(order)) == 1


async def test_executions_that_do_not_come_leave_the_gap_unsteady(
    rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise ConnectionError("the connection broke before the answer")

    gateway = await rig.gateway()
    await traded(them, "BUY", 5)
    monkeypatch.setattr(gateway._accounts._executions, "_ask", broken)
    held = only(await gateway.read_account(ACCOUNT))
    assert (held.quantity, held.unbooked, held.steady) == (5, 5, False)
