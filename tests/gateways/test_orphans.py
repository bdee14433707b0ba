"""Brackets whose child the broker rejects after they have left: the parent never goes on without it unseen."""

import asyncio
from decimal import Decimal

import pytest
from tests.gateways.brackets import WORKING, all_working, family, placed_all, settled
from tests.gateways.rig import OVER, Rig, eventually, status

from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.records import record_of
from oms.paper.faults import FaultKind
from oms.store import IntentState

CANCELED, REJECTED = PlacementStatus.CANCELED, PlacementStatus.REJECTED


def rejects(rig: Rig, order: PlacementTicket) -> None:
    rig.paper.fail_next_place(FaultKind.REJECTED, order.order_ref)


def why(rig: Rig, order: PlacementTicket, child: PlacementTicket) -> list[str]:
    """What was shown on an order that names the child."""
    return [shown.reason for shown in rig.orders.unreadable(order) if child.placement_id in shown.reason]


def reject_later(rig: Rig, child: PlacementTicket) -> None:
    """The broker ends a child that it had taken."""
    perm_id = rig.at_the_broker(child)[0].perm_id
    number = rig.intent(child).broker_order_id
    rig.say(3, number, "Inactive", 0, 10, 0, perm_id, 0, 0, rig.settings.client_id, "", 0)
    rig.error(number, 201, "Order rejected - reason:no margin")


@pytest.mark.parametrize("number", [1, 2])
async def test_the_rest_of_the_family_is_canceled_and_says_why(rig: Rig, number: int) -> None:
    gateway = await rig.gateway()
    members = family()
    child = members[number]
    rest = [one for one in members if one is not child]
    rejects(rig, child)
    await placed_all(gateway, members)
    await eventually(lambda: all(rig.orders.statuses(one)[-1:] == [CANCELED] for one in rest))
    assert rig.orders.statuses(child)[-1] is REJECTED
    (shown,) = await eventually(lambda: why(rig, members[0], child))
    assert "what is unfilled of this order is canceled" in shown
    assert child.placement_id in (rig.orders.reports(members[0])[-1].reason or "")
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await rig.reconciled(gateway)
    assert rig.executed(members[0]) == []
    assert [len(rig.wired(one)) for one in members] == [1, 1, 1]
    answers = [status(answer) for answer in await placed_all(gateway, members)]
    assert all(answer in OVER for answer in answers)
    assert [len(rig.wired(one)) for one in members] == [1, 1, 1]


async def test_what_is_unfilled_of_the_parent_is_canceled_when_a_child_ends_later(rig: Rig) -> None:
    gateway = await rig.gateway()
    entry, _, stop = members = family()
    await placed_all(gateway, members)
    await all_working(rig, members)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await eventually(lambda: rig.orders.executions(entry))
    reject_later(rig, stop)
    await eventually(lambda: rig.orders.statuses(entry)[-1:] == [CANCELED])
    assert sum(fill.quantity for fill in rig.orders.executions(entry)) < 10
    assert await eventually(lambda: why(rig, entry, stop))


async def test_a_filled_parent_is_shown_to_stand_without_its_child(rig: Rig) -> None:
    gateway = await rig.gateway()
    entry, target, stop = members = family()
    await placed_all(gateway, members)
    await all_working(rig, members)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await rig.fills(entry)
    reject_later(rig, stop)
    (shown,) = await eventually(lambda: why(rig, entry, stop))
    assert "stands without it" in shown
    await rig.reconciled(gateway)
    assert len(why(rig, entry, stop)) == 1
    assert rig.state(entry) is IntentState.DONE
    assert rig.orders.statuses(target)[-1] is WORKING


@pytest.mark.parametrize("written", [True, False])
async def test_a_crash_after_the_rejection_is_gone_on_with(rig: Rig, written: bool) -> None:
    first = await rig.gateway()
    members = family()
    rejects(rig, members[2])
    rig.paper.fail_next("cancel", FaultKind.LOST_BEFORE_READ)
    rig.paper._ids_in_use.add(rig.settings.client_id)  # this process will not come back to go on with it
    calls = [asyncio.create_task(placed_all(first, members))]
    await eventually(lambda: record_of(rig.intent(members[1])).doomed if rig.intent(members[1]) else None)
    await rig.died(first)
    rig.paper._ids_in_use.clear()
    await asyncio.gather(*calls, return_exceptions=True)
    assert CANCELED not in rig.orders.statuses(members[0])
    for one in members if not written else ():
        record = record_of(rig.intent(one)).model_copy(update={"doomed": None})
        rig.edit(one, detail=record.model_dump_json())
    await rig.gateway()
    for one in members[:2]:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [CANCELED])
        assert members[2].placement_id in (rig.orders.reports(one)[-1].reason or "")


async def test_a_broken_family_is_not_sent_again(rig: Rig) -> None:
    first = await rig.gateway()
    members = family()
    rejects(rig, members[2])
    rig.paper.fail_next("cancel", FaultKind.LOST_BEFORE_READ)
    await asyncio.gather(placed_all(first, members), return_exceptions=True)
    await settled(first, members)
    assert [len(rig.wired(one)) for one in members] == [1, 1, 1]
    await eventually(lambda: all(rig.orders.statuses(one)[-1] in OVER for one in members))
