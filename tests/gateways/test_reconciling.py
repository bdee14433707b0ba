"""Nothing missed: what happened while nobody looked arrives, and what does not come is never taken for nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from tests.gateways.rig import Rig, eventually, resting, status, ticket

from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.store import IntentState


async def test_an_order_the_broker_no_longer_lists_is_in_doubt(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    intent = rig.persist(order, IntentState.ACKNOWLEDGED)
    await rig.reconciled(gateway)
    await eventually(lambda: rig.orders.statuses(order) == [PlacementStatus.IN_DOUBT])
    assert rig.state(order) is IntentState.IN_DOUBT
    assert intent.state is IntentState.ACKNOWLEDGED
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [PlacementStatus.IN_DOUBT]


@pytest.mark.parametrize("name", ["open_orders", "all_open_orders", "completed_orders", "executions"])
async def test_a_list_that_does_not_come_is_never_an_empty_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    gateway = await rig.gateway(reconcile_seconds=0.2, backoff_seconds=0.1)
    order = resting()
    rig.persist(order, IntentState.ACKNOWLEDGED)

    async def never() -> None:
        raise TimeoutError

    asked = getattr(gateway._wire, name)
    never.__name__ = name
    monkeypatch.setattr(gateway._wire, name, never)
    with pytest.raises(GatewayNotReady, match=f"did not answer {name}"):
        await gateway._rounds._reconciling.look()
    await eventually(lambda: not gateway._gate.is_open)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    monkeypatch.setattr(gateway._wire, name, asked)
    await asyncio.wait_for(gateway.ready(), 10)
    await eventually(lambda: rig.state(order) is IntentState.IN_DOUBT)


async def filled_meanwhile(rig: Rig) -> None:
    """The market comes down to every resting order."""
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))


async def dropped(rig: Rig) -> None:
    rig.paper.drop_connections()
    await filled_meanwhile(rig)


async def lost_and_restored(rig: Rig) -> None:
    rig.paper.connectivity_lost()
    rig.paper.connectivity_restored(data_lost=True)
    await filled_meanwhile(rig)


@pytest.mark.parametrize("outage", [dropped, lost_and_restored])
async def test_an_execution_of_an_outage_arrives(rig: Rig, outage: Callable[[Rig], Awaitable[None]]) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    await outage(rig)
    (fill,) = await rig.fills(order)
    assert fill.exec_id == rig.executed(order)[0].exec_id
    await asyncio.wait_for(gateway.ready(), 10)


async def test_the_timer_finds_what_no_message_told(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message about a fill is lost, and the session looks well all the while."""
    gateway = await rig.gateway(reconcile_seconds=0.6)
    order = resting()
    await gateway.place(order)
    with monkeypatch.context() as lost:
        lost.setattr(gateway._wire._tap, "_receive", lambda _: None)
        await filled_meanwhile(rig)
        await gateway._wire.heartbeat()
    assert rig.orders.executions(order) == []
    (fill,) = await rig.fills(order)
    assert fill.exec_id == rig.executed(order)[0].exec_id
    assert gateway._gate.is_open


async def test_a_round_asked_for_while_one_runs_is_a_round_of_its_own(rig: Rig) -> None:
    gateway = await rig.gateway()
    await asyncio.gather(gateway.reconcile(), gateway.reconcile())
    done = gateway._rounds._done
    await gateway.reconcile()
    assert gateway._rounds._done > done


async def test_what_is_placed_while_the_lists_are_read_is_not_judged(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = [ticket() for _ in range(5)]
    answers = await asyncio.gather(*(gateway.place(order) for order in orders), gateway.reconcile())
    assert PlacementStatus.IN_DOUBT not in {status(answer) for answer in answers[:5]}
    for order in orders:
        await rig.fills(order)
        assert PlacementStatus.IN_DOUBT not in rig.orders.statuses(order)


async def test_an_execution_of_today_is_no_sign_that_its_order_still_works(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lists of orders come whole and do not show it; the list of executions tells its fill again and again."""
    gateway = await rig.gateway()
    order = resting(quantity="10")
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await gateway.place(order)
    await eventually(lambda: rig.orders.executions(order))
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED

    async def nothing() -> None:
        """A list without it."""

    for name in ("open_orders", "all_open_orders", "completed_orders"):
        monkeypatch.setattr(gateway._wire, name, nothing)
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.IN_DOUBT
    assert rig.orders.statuses(order)[-1] is PlacementStatus.IN_DOUBT
    monkeypatch.undo()
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
