"""Cancels of what is unsent, working, finished, unknown or in doubt."""

import asyncio
from decimal import Decimal

import pytest
from tests.gateways.rig import Rig, eventually, reason, resting, status, ticket

from oms.domain.terms import PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.paper.faults import FaultKind
from oms.store import IntentState


async def test_a_working_order_is_canceled_and_the_verdict_says_how_much_was_filled(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    order = resting(quantity="10")
    await gateway.place(order)
    await eventually(lambda: rig.orders.executions(order))
    answer = await gateway.cancel(order)
    assert status(answer) is PlacementStatus.CANCELED
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.CANCELED])
    assert rig.orders.reports(order)[-1].filled_quantity == 4
    assert rig.at_the_broker(order)[0].status == "Cancelled"
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED


async def test_canceling_at_once_is_canceling_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    answers = await asyncio.gather(*(gateway.cancel(order) for _ in range(4)))
    assert {status(answer) for answer in answers} == {PlacementStatus.CANCELED}
    await eventually(lambda: PlacementStatus.CANCELED in rig.orders.statuses(order))
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order).count(PlacementStatus.CANCELED) == 1
    assert rig.orders.refusals(order) == []


async def test_what_was_never_sent_is_withdrawn_and_a_late_place_sends_nothing(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    for _ in range(2):
        assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    assert rig.state(order) is IntentState.WITHDRAWN
    assert status(await gateway.place(order)) is PlacementStatus.CANCELED
    assert rig.at_the_broker(order) == []
    await eventually(lambda: rig.orders.statuses(order) == [PlacementStatus.CANCELED])


async def test_withdrawing_needs_no_broker(rig: Rig) -> None:
    gateway = await rig.started(port=1)
    order = ticket()
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    other = resting()
    rig.persist(other)
    with pytest.raises(GatewayNotReady):
        await gateway.cancel(other)


async def test_a_place_and_a_cancel_at_once_leave_nothing_working(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = [resting() for _ in range(10)]
    calls = [call(order) for order in orders for call in (gateway.place, gateway.cancel)]
    await asyncio.gather(*calls)
    for order in orders:
        await eventually(lambda order=order: rig.state(order) in (IntentState.DONE, IntentState.WITHDRAWN))
        assert {line.status for line in rig.at_the_broker(order)} <= {"Cancelled"}


async def test_a_filled_order_is_answered_with_what_it_is(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    assert status(await gateway.cancel(order)) is PlacementStatus.FILLED
    assert rig.orders.refusals(order) == []


async def test_an_end_that_nobody_told_is_found_by_the_cancel(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("100.00"), Decimal("100.02"), Decimal(4))
    order = resting(quantity="4")
    rig.paper.fail_next_place(FaultKind.MISSING_STATUS)
    await gateway.place(order)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await eventually(lambda: rig.orders.executions(order))
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert status(await gateway.cancel(order)) is PlacementStatus.FILLED
    assert rig.orders.refusals(order) == []


async def test_a_venue_that_will_not_cancel_is_told_as_a_refusal(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    number = rig.intent(order).broker_order_id
    rig.error(
        number, 10148, f"OrderId {number} that needs to be cancelled can not be cancelled, state: Submitted."
    )
    (refusal,) = await eventually(lambda: rig.orders.refusals(order))
    assert refusal.placement_id == order.placement_id
    assert "10148" in refusal.reason
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_a_cancel_that_is_under_way_already_is_no_refusal(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    number = rig.intent(order).broker_order_id
    rig.error(
        number,
        10148,
        f"OrderId {number} that needs to be cancelled can not be cancelled, state: PendingCancel.",
    )
    await rig.reconciled(gateway)
    await rig.reconciled(gateway)
    assert rig.orders.refusals(order) == []
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_a_cancel_of_what_never_reached_the_broker_withdraws_it(rig: Rig) -> None:
    order = ticket()
    rig.persist(order)
    gateway = await rig.gateway()
    answer = await gateway.cancel(order)
    assert status(answer) is PlacementStatus.CANCELED
    assert "10147" in reason(answer)
    assert rig.state(order) is IntentState.WITHDRAWN
    assert status(await gateway.place(order)) is PlacementStatus.CANCELED
    assert rig.at_the_broker(order) == []


async def test_a_cancel_of_an_order_in_doubt_finds_and_cancels_it(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    rig.paper.fail_next_place(FaultKind.EXECUTED_REPLIES_LOST)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    await asyncio.wait_for(gateway.ready(), 10)
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    assert [line.status for line in rig.at_the_broker(order)] == ["Cancelled"]


async def test_a_withdrawn_order_that_turns_up_alive_is_canceled(rig: Rig) -> None:
    rig.paper.faults.invisible = (1.5, 1.5)
    gateway = await rig.gateway(grace_seconds=0.1)
    order = resting()
    rig.paper.fail_next_place(FaultKind.ACCEPTED_INVISIBLE)
    await gateway.place(order)
    await asyncio.wait_for(gateway.ready(), 10)
    number = rig.intent(order).broker_order_id
    rig.error(number, 10147, f"OrderId {number} that needs to be cancelled is not found.")
    await eventually(lambda: rig.state(order) is IntentState.WITHDRAWN)

    async def canceled() -> None:
        while rig.at_the_broker(order)[0].status != "Cancelled":
            await rig.reconciled(gateway)

    await asyncio.wait_for(canceled(), 10)
