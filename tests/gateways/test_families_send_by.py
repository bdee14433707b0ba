"""A bracket that is to be sent by a moment: all of it in time, or none of it."""

import asyncio

import pytest
from tests.gateways.brackets import HELD, all_working, family, placed_all, states
from tests.gateways.clocks import HOUR, Clock, by, delay_turns, gateway_at
from tests.gateways.rig import Rig, eventually, reason, status

from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.paper.faults import FaultKind
from oms.store import IntentState

REJECTED, IN_DOUBT = PlacementStatus.REJECTED, PlacementStatus.IN_DOUBT


def in_half_an_hour() -> list[PlacementTicket]:
    """A family whose second member is to be sent by then: it binds the others."""
    parent, target, stop = family()
    return [parent, by(target), stop]


async def none_was_sent(rig: Rig, members: list[PlacementTicket]) -> None:
    """Each is rejected with the reason, and stays so."""
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [REJECTED])
        assert "not sent: " in (rig.orders.reports(one)[-1].reason or "")
    (gateway,) = rig.gateways
    answers = await placed_all(gateway, members)
    assert answers == await placed_all(gateway, members)
    assert {status(answer) for answer in answers} == {REJECTED}
    assert all("not sent: " in reason(answer) for answer in answers)
    assert rig.messages == []
    assert states(rig, members) == [IntentState.DONE] * 3
    assert [rig.intent(one).was_sent for one in members] == [False] * 3


async def test_in_time_it_is_sent(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = in_half_an_hour()
    await placed_all(gateway, members)
    await all_working(rig, members)


@pytest.mark.parametrize("late", [0, 1, 2])
async def test_a_member_that_comes_too_late_ends_all(rig: Rig, late: int) -> None:
    gateway = await rig.gateway()
    members = family()
    members[late] = by(members[late], -HOUR)
    await placed_all(gateway, members)
    await none_was_sent(rig, members)


async def test_a_family_that_waits_for_too_long_ends_by_itself(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    members = in_half_an_hour()
    assert [status(answer) for answer in await placed_all(gateway, members[:2])] == [HELD, HELD]
    clock.ahead = HOUR
    await rig.reconciled(gateway)
    for one in members[:2]:
        await eventually(lambda one=one: rig.orders.statuses(one) == [HELD, REJECTED])
    assert "not sent: " in (rig.orders.reports(members[0])[-1].reason or "")
    assert status(await gateway.place(members[2])) is REJECTED
    assert rig.messages == []


async def test_the_time_runs_out_while_it_waits_for_its_turns(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    delay_turns(gateway, clock)
    members = in_half_an_hour()
    await placed_all(gateway, members)
    await none_was_sent(rig, members)


async def test_the_time_runs_out_while_its_intents_are_written(rig: Rig) -> None:
    members = in_half_an_hour()
    await gateway_at(rig, Clock(lambda: rig.state(members[0]) is IntentState.SENDING))
    await placed_all(rig.gateways[0], members)
    await none_was_sent(rig, members)


async def test_a_broker_that_is_away_keeps_nobody_waiting(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    members = in_half_an_hour()
    await placed_all(gateway, members[:2])
    await rig.paper.stop()
    await eventually(lambda: not gateway._gate.is_open)
    clock.ahead = HOUR
    answer = await gateway.place(members[0])
    assert (status(answer), reason(answer)[:10]) == (REJECTED, "not sent: ")


async def test_a_family_that_may_have_left_is_not_sent_again(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    members = in_half_an_hour()
    await placed_all(gateway, members[:2])
    rig.paper.fail_next("place", FaultKind.LOST_BEFORE_READ, order_ref=members[0].order_ref)
    assert status(await gateway.place(members[2])) is IN_DOUBT
    clock.ahead = HOUR
    sent = len(rig.messages)
    await asyncio.wait_for(gateway.ready(), 10)
    answers = await placed_all(gateway, members)
    assert {status(answer) for answer in answers} == {IN_DOUBT}
    assert all("not sent again: " in reason(answer) for answer in answers)
    assert await placed_all(gateway, members) == answers
    assert len(rig.messages) == sent
    assert [rig.at_the_broker(one) for one in members] == [[]] * 3


async def test_the_time_runs_out_before_it_is_sent_again(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    members = in_half_an_hour()
    await placed_all(gateway, members[:2])
    rig.paper.fail_next("place", FaultKind.LOST_BEFORE_READ, order_ref=members[0].order_ref)
    assert status(await gateway.place(members[2])) is IN_DOUBT
    delay_turns(gateway, clock)
    sent = len(rig.messages)
    await asyncio.wait_for(gateway.ready(), 10)
    answers = await placed_all(gateway, members)
    assert all("not sent again: " in reason(answer) for answer in answers)
    assert len(rig.messages) == sent


async def test_a_process_that_died_before_it_ended_them_leaves_that_to_the_next(rig: Rig) -> None:
    first = await rig.gateway()
    members = in_half_an_hour()
    await placed_all(first, members[:2])
    await rig.died(first)
    rig.persist(members[2], IntentState.QUEUED)
    clock = Clock()
    clock.ahead = HOUR
    await gateway_at(rig, clock)
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [REJECTED])
    await eventually(lambda: states(rig, members) == [IntentState.DONE] * 3)  # kept after it was told
    assert rig.messages == []
