"""Brackets: complete and in order, or not at all."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.gateways.brackets import (
    HELD,
    WORKING,
    all_working,
    family,
    flags,
    halt,
    member,
    placed_all,
    states,
)
from tests.gateways.rig import Rig, eventually, reason, status, stock

from oms.domain.handling import BracketRole
from oms.domain.terms import Direction, OrderType, PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.store import IntentState

# Together


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
async def test_members_wait_for_each_other_and_leave_the_parent_first(
    rig: Rig, order: tuple[int, ...]
) -> None:
    gateway = await rig.gateway()
    members = family()
    answers = await placed_all(gateway, [members[number] for number in order])
    assert [status(answer) for answer in answers] == [HELD, HELD, WORKING]
    assert reason(answers[0]) == "waits for 2 more of bracket B1"
    assert reason(answers[1]) == "waits for 1 more of bracket B1"
    parent, *children = flags(rig, members)
    assert parent[1:] == ("0", "0")
    assert [child[1:] for child in children] == [(parent[0], "0"), (parent[0], "1")]
    assert rig.wired(*members)[0] == rig.wired(members[0])[0]
    assert [int(number) for number, *_ in flags(rig, members)] == sorted(
        rig.intent(one).broker_order_id for one in members
    )
    await all_working(rig, members)
    assert rig.orders.statuses(members[order[0]]) == [HELD, WORKING]


async def test_a_filled_parent_wakes_its_children_and_one_ends_the_other(rig: Rig) -> None:
    gateway = await rig.gateway()
    entry, target, stop = members = family()
    await placed_all(gateway, members)
    await all_working(rig, members)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await rig.fills(entry)
    rig.paper.set_price("AAPL", Decimal(901), Decimal(902))
    await rig.fills(target)
    await eventually(lambda: rig.orders.statuses(stop)[-1:] == [PlacementStatus.CANCELED])
    assert rig.executed(stop) == []
    assert states(rig, members) == [IntentState.DONE] * 3


async def test_children_die_with_their_parent(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await placed_all(gateway, members)
    await all_working(rig, members)
    assert status(await gateway.cancel(members[0])) is PlacementStatus.CANCELED
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [PlacementStatus.CANCELED])


async def test_all_at_once_and_twice_is_one_family(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await asyncio.gather(*(gateway.place(one) for one in members * 3))
    await all_working(rig, members)
    assert len(rig.wired(*members)) == 3
    assert [status(answer) for answer in await placed_all(gateway, members)] == [WORKING] * 3
    assert len(rig.wired(*members)) == 3


async def test_families_do_not_mix(rig: Rig) -> None:
    gateway = await rig.gateway()
    first, second = family("B1"), family("B2")
    other = [one.model_copy(update={"portfolio_id": "PORT-2"}) for one in family("B1")]
    await asyncio.gather(
        *(gateway.place(one) for group in (first[:2], second[:2], other[:2]) for one in group)
    )
    assert rig.messages == []
    for group in (first, second, other):
        await gateway.place(group[2])
        await all_working(rig, group)
        assert {parent for _, parent, _ in flags(rig, group)} == {"0", flags(rig, group)[0][0]}


async def test_prices_of_members_are_rounded_before_anything_is_sent(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family(limit="5.009")
    await gateway.place(members[0])
    (fact,) = await eventually(lambda: rig.orders.rounded(members[0]))
    assert fact.roundings[0].sent == 5
    await placed_all(gateway, members[1:])
    assert rig.sent(members[0])["lmtPrice"] == "5"


async def test_a_child_that_works_can_be_changed_and_stays_a_child(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await placed_all(gateway, members)
    change = members[1].model_copy(update={"revision": 1, "limit_price": Decimal(800)})
    (fact,) = (await gateway.modify(change)).facts
    assert fact.kind == "placement_changed"
    assert rig.sent(members[1])["parentId"] == flags(rig, members)[0][0]
    queued = member(BracketRole.PARENT, "B9", order_type=OrderType.LIMIT, limit_price=Decimal(5))
    await gateway.place(queued)
    (fact,) = (await gateway.modify(queued.model_copy(update={"revision": 1, "quantity": Decimal(1)}))).facts
    assert (fact.kind, "waits for its bracket" in fact.reason) == ("change_refused", True)


# Not at all


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_member_that_is_canceled_before_the_last_came_withdraws_all(rig: Rig, number: int) -> None:
    gateway = await rig.gateway()
    members = family()
    await placed_all(gateway, members[:2])
    canceled = await gateway.cancel(members[number])
    assert status(canceled) is PlacementStatus.CANCELED
    last = await gateway.place(members[2])
    assert status(last) in (PlacementStatus.CANCELED, PlacementStatus.REJECTED)
    ends = (PlacementStatus.CANCELED, PlacementStatus.REJECTED)
    for one in members:
        await eventually(
            lambda one=one: rig.orders.statuses(one)[-1:] and rig.orders.statuses(one)[-1] in ends
        )
        assert rig.state(one) in (IntentState.WITHDRAWN, IntentState.DONE)
    assert rig.messages == []
    assert status(await gateway.cancel(members[number])) is PlacementStatus.CANCELED


REFUSED: dict[str, dict[str, Any]] = {
    "unknown contract": {"instrument": stock("NOSUCH")},
    "not for IBKR": {"order_type": OrderType.PREVIOUSLY_QUOTED},
    "another account": {"account": "DU999999"},
    "a price of nothing": {
        "direction": Direction.BUY,
        "order_type": OrderType.LIMIT,
        "limit_price": Decimal("0.00001"),
    },
    "another instrument": {"instrument": stock("MSFT")},
}


@pytest.mark.parametrize("terms", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("number", [0, 2])
async def test_a_member_that_is_refused_withdraws_all(rig: Rig, terms: dict[str, Any], number: int) -> None:
    gateway = await rig.gateway()
    members = family()
    bad = terms.get("account") is None
    members[number] = members[number].model_copy(update=terms)
    answers = await placed_all(gateway, members)
    assert rig.messages == []
    if bad:
        for one in members:
            await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [PlacementStatus.REJECTED])
        assert [status(answer) for answer in await placed_all(gateway, members)] == [
            PlacementStatus.REJECTED
        ] * 3
        told = [rig.orders.reports(one)[-1].reason for one in members]
        assert sum("bracket" in (text or "") for text in told) >= 2
    assert PlacementStatus.REJECTED in {status(answer) for answer in answers}


async def test_a_halt_refuses_the_whole_family_at_the_last_moment(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await placed_all(gateway, members[:2])
    halt(rig)
    assert "HALTED" in reason(await gateway.place(members[2]))
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [PlacementStatus.REJECTED])
        assert "HALTED" in (rig.orders.reports(one)[-1].reason or "")
    assert rig.messages == []


async def test_a_name_that_was_withdrawn_is_not_used_again(rig: Rig) -> None:
    gateway = await rig.gateway()
    await gateway.cancel(family()[0])
    answer = await gateway.place(family()[1])
    assert "another bracket_id" in reason(answer)
    anew = family("B2")
    await placed_all(gateway, anew)
    await all_working(rig, anew)


async def test_a_closed_gate_queues_nothing_and_withdraws_nothing_that_waits(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await gateway.place(members[0])
    gateway._gate.close("test", "closed for a test")
    for call in (gateway.place(members[1]), gateway.cancel(members[0])):
        with pytest.raises(GatewayNotReady):
            await call
    gateway._gate.lift("test")
    assert states(rig, members) == [IntentState.QUEUED, None, None]
    await placed_all(gateway, members[1:])
    await all_working(rig, members)
