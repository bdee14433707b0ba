"""Crashes and lost messages at every step of a placement end in one execution."""

import asyncio
import time

import pytest
from tests.gateways.rig import Rig, eventually, resting, settled, status, ticket

from oms.domain.terms import PlacementStatus
from oms.paper.faults import FaultKind
from oms.store import IntentState

LOSSES = [FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST, FaultKind.ACCEPTED_INVISIBLE]


@pytest.mark.parametrize("fault", LOSSES)
async def test_a_lost_send_or_a_lost_answer_is_in_doubt_then_one_execution(
    rig: Rig, fault: FaultKind
) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.paper.fail_next_place(fault)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert await settled(gateway, order) in (PlacementStatus.WORKING, PlacementStatus.FILLED)
    await rig.fills(order)
    assert len(rig.executed(order)) == 1
    assert len(rig.at_the_broker(order)) == 1
    assert PlacementStatus.REJECTED not in rig.orders.statuses(order)


@pytest.mark.parametrize("fault", LOSSES)
async def test_in_doubt_is_told_before_it_is_resolved(rig: Rig, fault: FaultKind) -> None:
    gateway = await rig.gateway()
    order = resting()
    rig.paper.fail_next_place(fault)
    await gateway.place(order)
    await settled(gateway, order)
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.WORKING])
    assert PlacementStatus.IN_DOUBT in rig.orders.statuses(order)
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_an_order_longer_invisible_than_the_grace_period_is_still_one(rig: Rig) -> None:
    rig.paper.faults.invisible = (1.2, 1.2)
    gateway = await rig.gateway(grace_seconds=0.1)
    order = ticket()
    rig.paper.fail_next_place(FaultKind.ACCEPTED_INVISIBLE)
    await gateway.place(order)
    await settled(gateway, order)
    await rig.fills(order)
    assert len(rig.executed(order)) == 1


async def test_a_crash_between_intent_and_send_is_sent_once_by_the_next_process(rig: Rig) -> None:
    order = ticket()
    intent = rig.persist(order)
    gateway = await rig.gateway()
    await settled(gateway, order)
    await rig.fills(order)
    assert len(rig.executed(order)) == 1
    assert rig.at_the_broker(order)[0].order_id == intent.broker_order_id


async def test_a_crash_after_the_send_finds_the_order_by_its_reference(rig: Rig) -> None:
    first = await rig.gateway()
    order = ticket()
    rig.paper.fail_next_place(FaultKind.DELAYED, order.order_ref)
    call = asyncio.create_task(first.place(order))
    await eventually(lambda: rig.state(order))
    await eventually(lambda: not rig.paper.faults.by_order_ref)
    await rig.died(first)
    await asyncio.gather(call, return_exceptions=True)
    second = await rig.gateway()
    await settled(second, order)
    await rig.fills(order)
    assert len(rig.executed(order)) == 1


async def test_a_crash_after_the_answer_was_heard_repeats_the_answer(rig: Rig) -> None:
    first = await rig.gateway()
    order = resting()
    await first.place(order)
    await rig.died(first)
    second = await rig.gateway()
    assert status(await second.place(order)) is PlacementStatus.WORKING
    assert len(rig.at_the_broker(order)) == 1


async def test_fills_between_two_processes_are_booked_by_the_second(rig: Rig) -> None:
    first = await rig.gateway()
    order = resting()
    await first.place(order)
    await rig.died(first)
    rig.paper.set_price("AAPL", rig.paper.quote("AAPL").bid / 100, rig.paper.quote("AAPL").ask / 100)
    await eventually(lambda: rig.executed(order))
    await rig.gateway()
    (fill,) = await rig.fills(order)
    assert fill.exec_id == rig.executed(order)[0].exec_id
    await eventually(lambda: rig.orders.charges(order))


async def test_a_random_plan_of_faults_ends_in_one_execution_each(rig: Rig) -> None:
    rig.paper.faults.rates = dict.fromkeys(LOSSES, 0.15)
    gateway = await rig.gateway(grace_seconds=0.25, acknowledge_seconds=0.4)
    orders = [ticket(quantity="1") for _ in range(9)]
    await asyncio.gather(*(settled(gateway, order, 45.0) for order in orders))
    rig.paper.faults.rates = {}
    for order in orders:
        await rig.fills(order)
        assert len(rig.executed(order)) == 1
        assert len({fill.exec_id for fill in rig.orders.executions(order)}) == 1


async def test_an_order_in_doubt_since_yesterday_goes_to_a_person(rig: Rig) -> None:
    order = ticket()
    yesterday = time.time_ns() - 26 * 3600 * 10**9
    rig.store.intents.open(
        rig.persist(ticket()).model_copy(
            update={
                "placement_id": order.placement_id,
                "order_id": order.order_id,
                "order_ref": order.order_ref,
                "ticket": order,
                "created_ns": yesterday,
                "broker_order_id": 77,
            }
        )
    )
    gateway = await rig.gateway()
    for _ in range(2):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert rig.at_the_broker(order) == []


async def test_an_id_the_broker_has_seen_is_never_sent_again(rig: Rig) -> None:
    gateway = await rig.gateway()
    other, order = ticket(), ticket()
    await gateway.place(other)
    used = rig.intent(other).broker_order_id
    await rig.fills(other)
    intent = rig.persist(order)
    rig.edit(other, broker_order_id=intent.broker_order_id + 1000)
    rig.edit(order, broker_order_id=used)
    for _ in range(3):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert rig.executed(order) == []
    assert any("103" in (report.reason or "") for report in rig.orders.reports(order))


async def test_an_order_that_vanishes_from_every_list_is_in_doubt_and_never_sent_again(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    key = (rig.settings.client_id, rig.intent(order).broker_order_id)
    rig.paper._desk.hide(key, 60)
    await rig.reconciled(gateway)
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.IN_DOUBT])
    for _ in range(2):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    # A second send of a hidden order is answered with 103: nothing was sent.
    assert not any("103" in (report.reason or "") for report in rig.orders.reports(order))
    rig.paper._desk._hidden.clear()
    await rig.reconciled(gateway)
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.WORKING])
    assert len(rig.at_the_broker(order)) == 1


async def test_a_silent_acknowledgement_is_in_doubt_and_is_resolved_when_it_comes(rig: Rig) -> None:
    rig.paper.faults.delay = 0.9
    gateway = await rig.gateway(acknowledge_seconds=0.2)
    order = resting()
    rig.paper.fail_next_place(FaultKind.DELAYED)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.WORKING])
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    assert len(rig.at_the_broker(order)) == 1


@pytest.mark.parametrize(
    "fault", [FaultKind.DUPLICATE_STATUS, FaultKind.MISSING_STATUS, FaultKind.COMMISSION_FIRST]
)
async def test_odd_orders_of_messages_book_the_same_facts(rig: Rig, fault: FaultKind) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.paper.fail_next_place(fault)
    await gateway.place(order)
    await eventually(lambda: rig.orders.executions(order))
    await eventually(lambda: rig.orders.charges(order))
    await rig.reconciled(gateway)
    await eventually(lambda: PlacementStatus.FILLED in rig.orders.statuses(order))
    assert len(rig.orders.executions(order)) == len(rig.orders.charges(order)) == 1
    assert rig.orders.statuses(order).count(PlacementStatus.FILLED) == 1


async def test_two_gateways_on_one_store_keep_to_their_own_orders(rig: Rig) -> None:
    first = await rig.gateway()
    second = await rig.gateway(name="ibkr-2", client_id=2)
    mine, theirs = resting(), resting("MSFT")
    await first.place(mine)
    await second.place(theirs)
    await first.reconcile()
    await second.reconcile()
    assert rig.state(mine) is rig.state(theirs) is IntentState.ACKNOWLEDGED
    assert rig.intent(mine).gateway == "ibkr"
    assert [fact.placement_id for fact in rig.orders.reports(theirs)] == [theirs.placement_id]
    assert [fact.placement_id for fact in rig.orders.reports(mine)] == [mine.placement_id]
