"""Brackets that a crash or a lost connection took apart: whole again, or nothing of them."""

import asyncio
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from tests.gateways.brackets import all_working, family, flags, halt, member, placed_all, settled, states
from tests.gateways.rig import Rig, eventually, fields_of, status

from oms.domain.handling import BracketRole
from oms.domain.terms import Direction, OrderType, PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.family import misfit, to_send_again
from oms.gateways.ibkr.records import record_of
from oms.paper.faults import FaultKind
from oms.store import Intent, IntentState


def left_behind(rig: Rig, members: Sequence[PlacementTicket], state: IntentState) -> list[Intent]:
    """The intents of a process that died after it had committed them."""
    intents = [rig.persist(one, state) for one in members]
    if state is IntentState.SENDING:
        ids = [one.placement_id for one in members]
        for intent, one in zip(intents, members, strict=True):
            parent_id = 0 if intent is intents[0] else intents[0].broker_order_id
            record = record_of(intent).model_copy(update={"family": tuple(ids), "parent_id": parent_id})
            rig.edit(one, detail=record.model_dump_json())
    return intents


async def test_a_complete_family_that_waits_is_sent_by_the_next_process_unasked(rig: Rig) -> None:
    members = family()
    left_behind(rig, members, IntentState.QUEUED)
    await rig.gateway()
    await all_working(rig, members)
    assert len(rig.wired(*members)) == 3


async def test_a_halt_stops_a_family_that_a_process_left_behind(rig: Rig) -> None:
    members = family()
    left_behind(rig, members, IntentState.QUEUED)
    halt(rig)
    await rig.gateway()
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [PlacementStatus.REJECTED])
    assert rig.messages == []


async def test_a_family_in_doubt_since_yesterday_goes_to_a_person(rig: Rig) -> None:
    members = family()
    left_behind(rig, members, IntentState.SENDING)
    for one in members:
        rig.edit(one, created_ns=time.time_ns() - 26 * 3600 * 10**9)
    gateway = await rig.gateway()
    for _ in range(2):
        assert [status(answer) for answer in await placed_all(gateway, members)] == [
            PlacementStatus.IN_DOUBT
        ] * 3
    assert rig.messages == []


async def test_a_family_that_waited_over_midnight_is_of_the_day_it_was_sent(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await placed_all(gateway, members[:2])
    for one in members[:2]:
        rig.edit(one, created_ns=time.time_ns() - 26 * 3600 * 10**9)
    rig.paper.fail_next_place(FaultKind.LOST_BEFORE_READ, members[0].order_ref)
    await gateway.place(members[2])
    await settled(gateway, members)
    await all_working(rig, members)


async def test_a_halt_that_comes_while_contracts_are_asked_for_stops_the_family(rig: Rig) -> None:
    members = family()
    left_behind(rig, members, IntentState.QUEUED)
    rig.paper.fail_next("contract_details", FaultKind.DELAYED, seconds=0.7)
    gateway = await rig.gateway()
    await eventually(lambda: gateway._contracts._known)
    halt(rig)
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [PlacementStatus.REJECTED])
    assert rig.messages == []


async def test_an_incomplete_family_goes_on_waiting(rig: Rig) -> None:
    members = family()
    left_behind(rig, members[:2], IntentState.QUEUED)
    gateway = await rig.gateway()
    await rig.reconciled(gateway)
    assert rig.messages == []
    await gateway.place(members[2])
    await all_working(rig, members)


async def test_a_withdrawal_that_was_interrupted_is_finished_by_the_next_process(rig: Rig) -> None:
    first = await rig.gateway()
    members = family()
    await first.cancel(members[0])
    await rig.died(first)
    left_behind(rig, members[1:], IntentState.QUEUED)
    await rig.gateway()
    for one in members:
        await eventually(lambda one=one: rig.orders.statuses(one)[-1:] == [PlacementStatus.CANCELED])
    await eventually(lambda: states(rig, members) == [IntentState.WITHDRAWN] * 3)
    assert rig.messages == []


async def test_a_family_of_which_nothing_was_written_is_sent_again_under_its_ids(rig: Rig) -> None:
    members = family()
    intents = left_behind(rig, members, IntentState.SENDING)
    gateway = await rig.gateway()
    await settled(gateway, members)
    await all_working(rig, members)
    assert [number for number, *_ in flags(rig, members)] == [str(one.broker_order_id) for one in intents]
    assert [transmit for *_, transmit in flags(rig, members)] == ["0", "0", "1"]


@pytest.mark.parametrize("lost", [0, 1, 2])
@pytest.mark.parametrize("kind", [FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST])
async def test_a_connection_that_breaks_between_members_ends_in_one_whole_family(
    rig: Rig, lost: int, kind: FaultKind
) -> None:
    gateway = await rig.gateway()
    members = family()
    rig.paper.fail_next_place(kind, members[lost].order_ref)
    await asyncio.gather(*(gateway.place(one) for one in members))
    await settled(gateway, members)
    await all_working(rig, members)
    assert len({fields_of(message)["orderId"] for message in rig.wired(*members)}) == 3
    for one in members:
        assert len(set(rig.wired(one))) == 1
        assert PlacementStatus.REJECTED not in rig.orders.statuses(one)


async def test_a_child_that_did_not_arrive_is_sent_alone(rig: Rig) -> None:
    gateway = await rig.gateway()
    members = family()
    await placed_all(gateway, members)
    await all_working(rig, members)
    late = member(
        BracketRole.CHILD, direction=Direction.SELL, order_type=OrderType.LIMIT, limit_price=Decimal(950)
    )
    rig.persist(late)
    ids = (*(one.placement_id for one in members), late.placement_id)
    parent_id = rig.intent(members[0]).broker_order_id
    record = record_of(rig.intent(late)).model_copy(update={"family": ids, "parent_id": parent_id})
    rig.edit(late, detail=record.model_dump_json())
    await settled(gateway, [late])
    assert flags(rig, [late])[0][1:] == (str(parent_id), "1")
    assert len(rig.wired(*members)) == 3
    await all_working(rig, [*members, late])


async def test_a_crash_while_the_family_is_written_is_one_family(rig: Rig) -> None:
    first = await rig.gateway()
    members = family()
    rig.paper.fail_next_place(FaultKind.DELAYED, members[2].order_ref)
    calls = [asyncio.create_task(first.place(one)) for one in members]
    await eventually(lambda: len(rig.wired(*members)) == 3)
    await rig.died(first)
    await asyncio.gather(*calls, return_exceptions=True)
    second = await rig.gateway()
    await settled(second, members)
    await all_working(rig, members)


async def test_random_faults_end_in_whole_families(rig: Rig) -> None:
    rig.paper.faults.rates = {FaultKind.LOST_BEFORE_READ: 0.08, FaultKind.EXECUTED_REPLIES_LOST: 0.08}
    gateway = await rig.gateway(grace_seconds=0.1, acknowledge_seconds=0.3)
    families = [family(f"R{number}") for number in range(4)]
    everyone = [one for members in families for one in members]
    await asyncio.gather(*(gateway.place(one) for one in everyone), return_exceptions=True)
    await settled(gateway, everyone, 45.0)
    rig.paper.faults.rates = {}
    for members in families:
        await all_working(rig, members)


# Pure


def intent_of(one: PlacementTicket, number: int, state: IntentState, **record: Any) -> Intent:
    detail = record_of(Intent.model_construct(detail=None)).model_copy(update=record).model_dump_json()
    return Intent(
        placement_id=one.placement_id,
        order_id=one.order_id,
        gateway="g",
        client_id=1,
        broker_order_id=number,
        order_ref=one.order_ref,
        account=one.account,
        state=state,
        ticket=one,
        created_ns=1,
        updated_ns=1,
        detail=detail,
    )


@pytest.mark.parametrize(
    ("size", "roles", "said"),
    [
        (3, ["parent", "child", "child"], None),
        (2, ["child", "parent"], None),
        (2, ["child", "child"], "has no parent"),
        (3, ["parent", "parent"], "has a parent already"),
    ],
)
def test_who_fits_together(size: int, roles: list[str], said: str | None) -> None:
    members = [member(BracketRole(role), size=size) for role in roles]
    waiting = [intent_of(one, number, IntentState.QUEUED) for number, one in enumerate(members[:-1])]
    wrong = misfit(members[-1], waiting)
    assert wrong is None if said is None else said in (wrong or "")


def test_who_counts_otherwise_does_not_fit() -> None:
    waiting = [intent_of(member(BracketRole.PARENT, size=2), 1, IntentState.QUEUED)]
    assert "do not agree" in (misfit(member(BracketRole.CHILD, size=3), waiting) or "")


DOUBT, KNOWN, OVER = IntentState.IN_DOUBT, IntentState.ACKNOWLEDGED, IntentState.DONE
CANCELED = {"status": PlacementStatus.CANCELED}


@pytest.mark.parametrize(
    ("known", "absent", "sent"),
    [
        ([(DOUBT, {}), (DOUBT, {}), (DOUBT, {})], [0, 1, 2], [(0, False), (1, False), (2, True)]),
        ([(KNOWN, {}), (DOUBT, {}), (KNOWN, {})], [1], [(1, True)]),
        (
            [(OVER, {"status": PlacementStatus.FILLED}), (DOUBT, {}), (DOUBT, {})],
            [1, 2],
            [(1, True), (2, True)],
        ),
        ([(OVER, CANCELED), (DOUBT, {}), (DOUBT, {})], [1, 2], "parent is CANCELED"),
        ([(DOUBT, {}), (DOUBT, {}), (KNOWN, {})], [0, 1], "without its parent"),
        ([(DOUBT, {}), (DOUBT, {}), (IntentState.WITHDRAWN, CANCELED)], [0, 1], "without its parent"),
        ([(DOUBT, {"seen": True}), (DOUBT, {}), (DOUBT, {})], [0, 1, 2], "has seen"),
        ([(KNOWN, {"doomed": "child rejected"}), (DOUBT, {}), (KNOWN, {})], [1], "child rejected"),
    ],
)
def test_what_is_sent_again(known: list[Any], absent: list[int], sent: list[tuple[int, bool]] | str) -> None:
    members = family()
    intents = [
        intent_of(one, number, state, **record)
        for number, (one, (state, record)) in enumerate(zip(members, known, strict=True))
    ]
    plan = to_send_again(intents, [intents[number] for number in absent])
    if isinstance(sent, str):
        assert isinstance(plan, str)
        assert sent in plan
    else:
        assert [(one.intent.broker_order_id, one.transmit) for one in plan] == sent
