"""After send_by nothing leaves: what never left is rejected for good, what may have left stays in doubt."""

import asyncio
import contextlib
from datetime import timedelta
from decimal import Decimal

import pytest
from tests.gateways.clocks import HOUR, Clock, by, delay_turns, gateway_at
from tests.gateways.rig import Rig, eventually, reason, resting, status, ticket

from oms.domain.handling import Handling
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.gateways.ibkr.records import Record, record_of
from oms.paper.faults import FaultKind, FaultPlan
from oms.store import IntentState

REJECTED, IN_DOUBT = PlacementStatus.REJECTED, PlacementStatus.IN_DOUBT
WORKING = PlacementStatus.WORKING


def is_sending(rig: Rig, order: PlacementTicket) -> bool:
    return rig.state(order) is IntentState.SENDING


async def never_sent(rig: Rig, gateway: IBKRGateway, order: PlacementTicket) -> None:
    """Rejected with the reason, nothing at the broker, and the same whenever it is asked again."""
    first = await gateway.place(order)
    assert (status(first), reason(first)[:10]) == (REJECTED, "not sent: ")
    send_by = order.handling.send_by
    assert send_by is not None
    assert f"{send_by:%Y-%m-%dT%H:%M:%S.%f}" in reason(first)
    assert await gateway.place(order) == first
    assert await gateway.ask(order) == first
    assert rig.wired(order) == []
    intent = rig.intent(order)
    assert intent is not None
    assert (intent.state, intent.was_sent) == (IntentState.DONE, False)
    await eventually(lambda: rig.orders.reports(order))
    assert rig.orders.statuses(order) == [REJECTED]


# The first send


async def test_in_time_it_is_sent(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = by(resting())
    assert status(await gateway.place(order)) is WORKING
    assert len(rig.wired(order)) == 1


async def test_too_late_it_is_rejected_for_good(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = by(resting(), -timedelta(microseconds=1))
    await never_sent(rig, gateway, order)
    await rig.died(gateway)
    await never_sent(rig, await rig.gateway(), order)


async def test_the_time_runs_out_while_it_waits_for_its_turn(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    delay_turns(gateway, clock)
    await never_sent(rig, gateway, by(resting()))


async def test_the_time_runs_out_while_its_intent_is_written(rig: Rig) -> None:
    order = by(resting())
    gateway = await gateway_at(rig, Clock(lambda: is_sending(rig, order)))
    await never_sent(rig, gateway, order)


async def test_many_that_wait_are_sent_or_rejected_one_by_one(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock, messages_per_second=6)
    orders = [by(resting()) for _ in range(16)]
    waiting = [asyncio.create_task(gateway.place(order)) for order in orders]
    await eventually(lambda: rig.wired(*orders))
    clock.ahead = HOUR
    answers = await asyncio.gather(*waiting)
    late = [status(answer) is REJECTED for answer in answers]
    assert sum(late) >= 3
    assert [rig.wired(order) == [] for order in orders] == late


async def test_nobody_at_the_broker_need_answer_for_that(rig: Rig) -> None:
    gateway = await rig.started(port=1)
    await asyncio.wait_for(gateway._tenure.held.wait(), 10)
    await never_sent(rig, gateway, by(resting(), -HOUR))
    with pytest.raises(GatewayNotReady):
        await gateway.place(by(resting()))


async def test_without_the_lease_nobody_judges(rig: Rig) -> None:
    gateway = await rig.gateway()
    gateway._gate.close("lease", "another process acts")
    order = by(resting(), -HOUR)
    with pytest.raises(GatewayNotReady, match="another process acts"):
        await gateway.place(order)
    assert rig.intent(order) is None


async def test_a_gate_that_closes_before_the_wire_leaves_no_doubt(rig: Rig) -> None:
    """Its intent says that it was being sent, and that nothing of it was written."""
    order = by(resting())
    gateway: IBKRGateway

    def closes() -> bool:
        if is_sending(rig, order) and gateway._gate.is_open:
            gateway._gate.close("test", "closed for a test")
        return False

    clock = Clock(closes)
    gateway = await gateway_at(rig, clock)
    with pytest.raises(GatewayNotReady, match="closed for a test"):
        await gateway.place(order)
    clock.jumps = lambda: False
    assert rig.state(order) is IntentState.SENDING
    clock.ahead = HOUR
    await never_sent(rig, gateway, order)
    gateway._gate.lift("test")
    await never_sent(rig, gateway, order)


async def test_in_time_such_an_order_is_sent_once_the_gate_is_open(rig: Rig) -> None:
    order = by(resting())
    rig.persist(order)
    rig.edit(order, detail=Record(unwritten=True).model_dump_json())
    gateway = await rig.gateway()
    assert status(await gateway.place(order)) is WORKING
    intent = rig.intent(order)
    assert intent is not None
    assert (len(rig.wired(order)), record_of(intent).unwritten) == (1, False)


async def test_the_time_of_such_an_order_runs_out_before_its_next_attempt(rig: Rig) -> None:
    order = by(resting())
    rig.persist(order)
    rig.edit(order, detail=Record(unwritten=True).model_dump_json())
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    delay_turns(gateway, clock)
    answer = await gateway.place(order)
    assert (status(answer), reason(answer)[:10]) == (REJECTED, "not sent: ")
    assert await gateway.place(order) == answer
    assert rig.wired(order) == []


# The next send


async def test_what_may_have_left_is_not_sent_again_and_stays_in_doubt(rig: Rig) -> None:
    order = by(resting(), -HOUR)
    rig.persist(order)
    gateway = await rig.gateway()
    first = await gateway.place(order)
    assert status(first) is IN_DOUBT
    assert "not sent again: " in reason(first)
    assert await gateway.place(order) == first
    assert rig.state(order) is IntentState.IN_DOUBT
    assert rig.wired(order) == []
    await eventually(lambda: rig.orders.reports(order))
    assert set(rig.orders.statuses(order)) == {IN_DOUBT}
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED


async def test_the_time_runs_out_before_the_next_send(rig: Rig) -> None:
    order = by(resting())
    rig.persist(order)
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    delay_turns(gateway, clock)
    answer = await gateway.place(order)
    assert (status(answer), "not sent again: " in reason(answer)) == (IN_DOUBT, True)
    assert rig.wired(order) == []


async def test_what_did_leave_is_found_however_late(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    order = by(resting())
    rig.paper.fail_next_place(FaultKind.EXECUTED_REPLIES_LOST, order.order_ref)
    assert status(await gateway.place(order)) is IN_DOUBT
    clock.ahead = HOUR
    await asyncio.wait_for(gateway.ready(), 10)
    assert status(await gateway.place(order)) is WORKING
    assert len(rig.wired(order)) == 1


# What it does not bind


async def test_what_works_may_be_changed_and_canceled_later(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    order = by(resting())
    await gateway.place(order)
    clock.ahead = HOUR
    change = order.model_copy(update={"revision": 1, "limit_price": Decimal("4.50")})
    (fact,) = (await gateway.modify(change)).facts
    assert fact.kind == "placement_changed"
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED


async def test_others_are_not_bound(rig: Rig) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock)
    clock.ahead = HOUR
    order = resting(handling=Handling(outside_rth=True))
    assert status(await gateway.place(order)) is WORKING


# In bad weather


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_is_lost_each_is_sent_in_time_or_never(rig: Rig, seed: int) -> None:
    """Nearly half of the sends end in doubt; at some moment the time of all of them is over."""
    losses = (FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST, FaultKind.ACCEPTED_INVISIBLE)
    rig.paper.use_plan(FaultPlan(seed=seed, rates=dict.fromkeys(losses, 0.15), invisible=(0.05, 0.1)))
    clock = Clock()
    gateway = await gateway_at(rig, clock, messages_per_second=20, grace_seconds=0.1)
    orders = [by(ticket(quantity="1")) for _ in range(16)]
    working = [asyncio.create_task(known(gateway, order)) for order in orders]
    await eventually(lambda: len(rig.messages) > 5)
    clock.ahead = HOUR
    rig.paper.use_plan(FaultPlan())
    answers = list(zip(orders, await asyncio.gather(*working), strict=True))
    sent = len(rig.messages)
    await rig.reconciled(gateway)
    for order, first in answers:
        again = await known(gateway, order)
        executed = rig.executed(order)
        if first is REJECTED:
            assert (again, rig.wired(order), executed) == (REJECTED, [], [])
        elif first is IN_DOUBT:
            assert (again, rig.at_the_broker(order), executed) == (IN_DOUBT, [], [])
        else:
            await rig.fills(order)
            assert len(executed) == len(rig.orders.executions(order)) == len(rig.at_the_broker(order)) == 1
    assert len(rig.messages) == sent
    outcomes = {first for _, first in answers}
    assert REJECTED in outcomes
    assert outcomes - {REJECTED, IN_DOUBT}


async def known(gateway: IBKRGateway, order: PlacementTicket) -> PlacementStatus:
    """Asked as a workflow asks, until it is known, or its time is over and the doubt stays."""
    while True:
        await asyncio.wait_for(gateway.ready(), 20)
        with contextlib.suppress(GatewayNotReady):
            answer = await gateway.place(order)
            if status(answer) is not IN_DOUBT or "not sent again" in reason(answer):
                return status(answer)
