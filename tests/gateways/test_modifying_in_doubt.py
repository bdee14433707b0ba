"""Changes whose outcome was lost, or whose process died: looked for, and one effect whatever happened."""

import asyncio
from decimal import Decimal

import pytest
from tests.gateways.changing import at_the_broker, changed, modified, outcome, outcomes, placed, reason
from tests.gateways.rig import Rig, eventually, resting, status

from oms.domain.facts import ChangeInDoubt, PlacementChanged
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.records import ChangeState, record_of
from oms.paper.faults import FaultKind
from oms.store import IntentState

LOSSES = [FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST, FaultKind.CUT_REPLIES]


@pytest.mark.parametrize("fault", LOSSES)
async def test_a_lost_change_or_a_lost_answer_is_in_doubt_then_one_change(rig: Rig, fault: FaultKind) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", fault)
    change = changed(order, quantity=Decimal(7), limit_price=Decimal(6))
    assert "connection broke" in reason(await gateway.modify(change))
    assert isinstance(outcome(await modified(gateway, change)), PlacementChanged)
    assert at_the_broker(rig, order) == (7, Decimal(6))
    sent = rig.wired(order)[1:]
    assert len(set(sent)) == 1
    assert len(sent) == (2 if fault is FaultKind.LOST_BEFORE_READ else 1)
    await eventually(lambda: outcomes(rig, order) == [(ChangeInDoubt, 1), (PlacementChanged, 1)])
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_silence_is_in_doubt_and_ended_by_evidence(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=0.2)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.DELAYED, seconds=0.7)
    change = changed(order, limit_price=Decimal(6))
    assert "no answer" in reason(await gateway.modify(change))
    await eventually(lambda: outcomes(rig, order) == [(ChangeInDoubt, 1), (PlacementChanged, 1)])
    assert isinstance(outcome(await gateway.modify(change)), PlacementChanged)
    assert len(rig.wired(order)) == 2


async def test_a_change_whose_answer_was_lost_is_looked_for_before_anything_is_sent(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=0.2)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.HOLD_REPLIES, seconds=30)
    change = changed(order, limit_price=Decimal(6))
    assert "no answer" in reason(await gateway.modify(change))
    assert isinstance(outcome(await gateway.modify(change)), PlacementChanged)
    assert len(rig.wired(order)) == 2


async def test_a_refusal_that_the_broker_does_not_keep_is_shown_and_its_terms_are_believed(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.DELAYED, seconds=0.5)
    change = changed(order, limit_price=Decimal(6))
    call = asyncio.create_task(gateway.modify(change))
    await eventually(lambda: len(rig.wired(order)) == 2)
    rig.error(rig.intent(order).broker_order_id, 201, "no")
    assert reason(await call) == "201: no"
    await eventually(lambda: outcomes(rig, order)[-1:] == [(PlacementChanged, 1)])
    assert any("was refused" in shown.reason for shown in rig.orders.unreadable(order))
    assert rig.intent(order).ticket.limit_price == 6
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_a_change_that_is_late_when_it_is_sent_again_is_one_change(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=0.2)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.DELAYED, seconds=0.6)
    change = changed(order, quantity=Decimal(8))
    await gateway.modify(change)
    assert isinstance(outcome(await modified(gateway, change)), PlacementChanged)
    await eventually(lambda: at_the_broker(rig, order)[0] == 8)
    assert len(set(rig.wired(order)[1:])) == 1
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_an_order_filled_in_the_outage_of_its_change_is_what_it_became(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.LOST_BEFORE_READ)
    change = changed(order, limit_price=Decimal(6))
    await gateway.modify(change)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    answer = await modified(gateway, change)
    assert "the placement is FILLED" in reason(answer)
    await rig.fills(order)
    assert len(rig.executed(order)) == 1


async def test_a_refusal_that_was_lost_is_heard_when_it_is_sent_again(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    order = await placed(rig, gateway)
    await eventually(lambda: rig.orders.executions(order))
    rig.paper.fail_next("modify", FaultKind.EXECUTED_REPLIES_LOST)
    change = changed(order, quantity=Decimal(3))
    assert isinstance(outcome(await gateway.modify(change)), ChangeInDoubt)
    assert "201" in reason(await modified(gateway, change))
    assert at_the_broker(rig, order)[0] == 10


async def test_an_order_in_doubt_is_found_before_it_is_changed(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    rig.paper.fail_next_place(FaultKind.EXECUTED_REPLIES_LOST)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    change = changed(order, limit_price=Decimal(6))
    assert isinstance(outcome(await modified(gateway, change)), PlacementChanged)
    assert at_the_broker(rig, order) == (10, Decimal(6))


async def test_an_order_that_nobody_knows_is_not_changed(rig: Rig) -> None:
    order = resting()
    rig.persist(order)
    gateway = await rig.gateway()
    answer = await gateway.modify(changed(order, limit_price=Decimal(6)))
    assert "the order itself is in doubt" in reason(answer)
    assert rig.wired(order) == []
    assert record_of(rig.intent(order)).revision is None


async def test_a_second_order_behind_the_number_is_shown_and_nothing_is_sent_again(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.SECOND_PERM_ID)
    change = changed(order, limit_price=Decimal(6))
    for _ in range(3):
        answer = await gateway.modify(change)
        assert isinstance(outcome(answer), ChangeInDoubt)
    assert len(rig.wired(order)) == 2
    assert len(rig.intent(order).perm_ids) == 2
    (shown,) = await eventually(lambda: rig.orders.unreadable(order))
    assert "second order under our reference" in shown.reason
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(100))
    await eventually(lambda: sum(fill.quantity for fill in rig.orders.executions(order)) == 20)
    await eventually(lambda: rig.state(order) is IntentState.DONE)


async def test_the_end_of_one_of_two_orders_is_not_the_end(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.SECOND_PERM_ID)
    await gateway.modify(changed(order, limit_price=Decimal(6)))
    rig.paper.set_price("AAPL", Decimal("5.50"), Decimal("5.51"), Decimal(10))
    await eventually(lambda: rig.orders.executions(order))
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert PlacementStatus.FILLED not in rig.orders.statuses(order)
    assert any("another one works on" in shown.reason for shown in rig.orders.unreadable(order))


@pytest.mark.parametrize("which", [0, 1])
async def test_the_cancellation_of_one_of_two_orders_is_not_the_end(rig: Rig, which: int) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.SECOND_PERM_ID)
    await gateway.modify(changed(order, limit_price=Decimal(6)))
    perm_ids = rig.intent(order).perm_ids
    rig.paper.cancel_by_hand(perm_ids[which])
    await eventually(lambda: rig.orders.unreadable(order)[1:])
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert PlacementStatus.CANCELED not in rig.orders.statuses(order)
    rig.paper.cancel_by_hand(perm_ids[1 - which])
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.CANCELED])
    assert rig.state(order) is IntentState.DONE


# Twice, at once, and after a crash


async def test_changing_twice_and_at_once_is_one_change(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    change = changed(order, limit_price=Decimal(6))
    answers = await asyncio.gather(*(gateway.modify(change) for _ in range(5)))
    answers.append(await gateway.modify(change))
    assert len({answer.model_dump_json() for answer in answers}) == 1
    assert len(rig.wired(order)) == 2
    await eventually(lambda: outcomes(rig, order) == [(PlacementChanged, 1)])


async def test_a_crash_between_the_record_and_the_send_is_sent_by_the_next_process(rig: Rig) -> None:
    first = await rig.gateway()
    order = await placed(rig, first)
    change = changed(order, limit_price=Decimal("6.019"))
    await rig.died(first)
    left_behind(rig, change)
    second = await rig.gateway()
    assert isinstance(outcome(await modified(second, change)), PlacementChanged)
    assert at_the_broker(rig, order)[1] == Decimal("6.01")
    await eventually(lambda: [fact.revision for fact in rig.orders.rounded(order)] == [1])


async def test_a_crash_after_the_send_finds_the_new_terms(rig: Rig) -> None:
    first = await rig.gateway()
    order = await placed(rig, first)
    rig.paper.fail_next("modify", FaultKind.HOLD_REPLIES, seconds=0.3)
    change = changed(order, limit_price=Decimal(6))
    call = asyncio.create_task(first.modify(change))
    await eventually(lambda: at_the_broker(rig, order)[1] == 6)
    await rig.died(first)
    await asyncio.gather(call, return_exceptions=True)
    assert record_of(rig.intent(order)).open_revision is not None
    second = await rig.gateway()
    await eventually(lambda: outcomes(rig, order) == [(PlacementChanged, 1)])
    assert isinstance(outcome(await second.modify(change)), PlacementChanged)
    assert len(rig.wired(order)) == 2


async def test_a_crash_after_the_answer_repeats_the_answer(rig: Rig) -> None:
    first = await rig.gateway()
    order = await placed(rig, first)
    change = changed(order, limit_price=Decimal(6))
    answer = await first.modify(change)
    await rig.died(first)
    second = await rig.gateway()
    assert await second.modify(change) == answer
    assert len(rig.wired(order)) == 2


async def test_a_random_plan_of_faults_ends_in_one_change_each(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.1, acknowledge_seconds=0.3)
    orders = [await placed(rig, gateway) for _ in range(6)]
    kinds = (FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST, FaultKind.DELAYED)
    rig.paper.faults.modify_rates = dict.fromkeys(kinds, 0.15)
    changes = [changed(order, quantity=Decimal(3), limit_price=Decimal("5.5")) for order in orders]
    answers = await asyncio.gather(*(modified(gateway, change, 45.0) for change in changes))
    rig.paper.faults.modify_rates = {}
    assert {type(outcome(answer)) for answer in answers} == {PlacementChanged}
    for order in orders:
        assert at_the_broker(rig, order) == (3, Decimal("5.5"))
        assert len(set(rig.wired(order)[1:])) == 1
        assert rig.state(order) is IntentState.ACKNOWLEDGED


def left_behind(rig: Rig, change: PlacementTicket) -> None:
    """What a process that died right after it wrote a change has left in the intent."""
    intent = rig.intent(change)
    sent = change.model_copy(update={"limit_price": Decimal("6.01")})
    rounding = {"field": "limit_price", "asked": "6.019", "sent": "6.01", "tick": "0.01"}
    revision = {"number": 1, "ticket": sent, "before": intent.ticket, "roundings": [rounding], "at_ns": 5}
    record = record_of(intent).model_validate({**dict(record_of(intent)), "revision": revision})
    assert record.revision.state is ChangeState.SENDING
    rig.edit(change, detail=record.model_dump_json())
