"""What the broker says unasked: corrections, odd codes, orders of others, messages nobody can read."""

from decimal import Decimal

import pytest
from sqlalchemy import text
from tests.gateways.rig import Rig, eventually, resting, status, ticket

from oms.domain.facts import Busted
from oms.domain.terms import Direction, PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr import reading
from oms.store import InboxStatus, IntentState


async def test_a_correction_is_one_more_execution_under_its_own_id(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket(quantity="10")
    await gateway.place(order)
    (fill,) = await rig.fills(order)
    corrected = rig.paper.correct_execution(fill.exec_id, Decimal(8), Decimal("99.5"))
    await eventually(lambda: len(rig.orders.executions(order)) == 2)
    again = rig.orders.executions(order)[1]
    assert (again.exec_id, again.quantity, again.price) == (corrected, 8, Decimal("99.5"))
    assert again.exec_id.rpartition(".")[0] == fill.exec_id.rpartition(".")[0]


async def test_a_bust_is_a_correction_to_nothing(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    (fill,) = await rig.fills(order)
    corrected = rig.paper.correct_execution(fill.exec_id, Decimal(0), Decimal(0))
    (bust,) = await eventually(
        lambda: [fact for fact in rig.orders.facts[order.order_id] if isinstance(fact, Busted)]
    )
    assert (bust.exec_id, bust.placement_id) == (corrected, order.placement_id)
    assert [execution.exec_id for execution in rig.orders.executions(order)] == [fill.exec_id]


async def test_a_correction_during_an_outage_is_booked_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    (fill,) = await rig.fills(order)
    rig.paper.drop_connections()
    rig.paper.correct_execution(fill.exec_id, Decimal(3), fill.price)
    await eventually(lambda: len(rig.orders.executions(order)) == 2)
    await rig.reconciled(gateway)
    assert [execution.quantity for execution in rig.orders.executions(order)] == [10, 3]


@pytest.mark.parametrize("code", [399, 404, 2109, 2137, 10349, 10167])
async def test_codes_that_inform_change_nothing(rig: Rig, code: int) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.error(rig.intent(order).broker_order_id, code, "for your information")
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]
    assert rig.orders.unreadable(order) == []
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED


@pytest.mark.parametrize("code", [110, 201, 321, 329])
async def test_a_rejected_change_of_a_live_order_does_not_end_it(rig: Rig, code: int) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.error(rig.intent(order).broker_order_id, code, "Order rejected - reason:a change")
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]


async def test_an_unknown_code_is_shown_and_is_no_rejection(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.error(rig.intent(order).broker_order_id, 77777, "something new")
    (shown,) = await eventually(lambda: rig.orders.unreadable(order))
    assert "something new" in shown.raw
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_202_alone_cancels_with_its_reason(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    rig.error(rig.intent(order).broker_order_id, 202, "Order Canceled - reason:by the exchange")
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.CANCELED])
    assert "by the exchange" in (rig.orders.reports(order)[-1].reason or "")


async def test_an_order_of_the_day_that_ends_has_expired(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    number = rig.intent(order).broker_order_id
    perm_id = rig.at_the_broker(order)[0].perm_id
    rig.say(3, number, "Cancelled", 0, 10, 0, perm_id, 0, 0, 1, "", 0)
    rig.error(number, 202, "Order Canceled - reason:order expired")
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.EXPIRED])
    assert rig.orders.reports(order)[-1].filled_quantity == 0
    assert len(rig.orders.reports(order)) == 2


async def test_a_locate_hold_is_held_and_revives(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(direction=Direction.SELL_SHORT, limit_price=Decimal(900))
    await gateway.place(order)
    number = rig.intent(order).broker_order_id
    perm_id = rig.at_the_broker(order)[0].perm_id
    for state, why_held in (("Inactive", "locate"), ("PreSubmitted", ""), ("PendingCancel", "")):
        rig.say(3, number, state, 0, 10, 0, perm_id, 0, 0, 1, why_held, 0)
    await eventually(lambda: len(rig.orders.reports(order)) == 3)
    assert rig.orders.statuses(order) == [
        PlacementStatus.WORKING,
        PlacementStatus.HELD,
        PlacementStatus.WORKING,
    ]


async def test_an_inactive_order_without_a_text_is_rejected_all_the_same(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    perm_id = rig.at_the_broker(order)[0].perm_id
    rig.say(3, rig.intent(order).broker_order_id, "Inactive", 0, 10, 0, perm_id, 0, 0, 1, "", 0)
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.REJECTED])


async def test_a_second_order_behind_one_reference_is_kept_with_both_ids(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    number = rig.intent(order).broker_order_id
    rig.say(3, number, "Submitted", 0, 10, 0, 424242, 0, 0, 1, "", 0)
    await eventually(lambda: 424242 in rig.intent(order).perm_ids)
    assert len(rig.intent(order).perm_ids) == 2


@pytest.mark.parametrize(
    "fields",
    [
        (3, "x", "Submitted", 0, 10, 0, 5, 0, 0, 1, "", 0),
        (3, 1, "Sideways", 0, 10, 0, 0, 0, 0, 1, "", 0),
        (3, 1, "Submitted", "nan", 10, 0, 0, 0, 0, 1, "", 0),
        (11, -1, 1, "torn"),
        (5, 1),
        (59, 1, "exec", "not a number", "USD", "", "", ""),
    ],
)
async def test_a_message_nobody_can_read_is_kept_and_stops_nothing(
    rig: Rig, fields: tuple[object, ...]
) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    rig.say(*fields)
    (kept,) = await eventually(rig.store.inbox.parked)
    assert kept.status is InboxStatus.UNREADABLE
    assert kept.reason
    later = ticket()
    await gateway.place(later)
    await rig.fills(later)


async def test_an_order_at_the_broker_that_is_not_what_was_sent_stops_for_a_person(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(quantity="10")
    await gateway.place(order)
    await rig.died(gateway)
    wrong = order.model_copy(update={"quantity": Decimal(99)})
    rig.edit(order, ticket=wrong.model_dump_json(), state="SENDING")
    gateway = await rig.gateway()
    (shown,) = await eventually(lambda: rig.orders.unreadable(order))
    assert "quantity 10, not 99" in shown.reason
    assert status(await gateway.place(wrong)) is PlacementStatus.IN_DOUBT
    assert len(rig.at_the_broker(order)) == 1


async def test_a_store_that_fails_for_a_while_loses_nothing(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.1)
    order = resting()
    await gateway.place(order)
    await eventually(lambda: rig.orders.statuses(order))
    with rig.store.database.write() as connection:
        connection.execute(text("ALTER TABLE inbox RENAME TO away"))
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await eventually(lambda: gateway._inbound.waiting or rig.executed(order))
    await eventually(lambda: gateway._inbound.failures > 0)
    with rig.store.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO inbox"))
    (fill,) = await rig.fills(order)
    assert fill.exec_id == rig.executed(order)[0].exec_id
    await eventually(lambda: rig.orders.charges(order))


def say(rig: Rig, order: PlacementTicket, state: str) -> None:
    """Let the broker send an orderStatus."""
    intent = rig.intent(order)
    number, perm_id = intent.broker_order_id, rig.at_the_broker(order)[0].perm_id
    rig.say(3, number, state, 0, 10, 0, perm_id, 0, 0, intent.client_id, "", 0)


async def test_each_revival_of_a_rejected_order_is_news(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    working, rejected = PlacementStatus.WORKING, PlacementStatus.REJECTED
    expected = [working]
    for _ in range(3):
        for state, told in (("Inactive", rejected), ("Submitted", working)):
            say(rig, order, state)
            expected.append(told)
            await eventually(lambda: rig.orders.statuses(order) == expected)
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == expected
    assert rig.state(order) is IntentState.ACKNOWLEDGED


@pytest.mark.parametrize("then", ["PreSubmitted", "Submitted"])
async def test_what_waits_for_its_text_comes_before_what_was_said_later(rig: Rig, then: str) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    say(rig, order, "Inactive")
    say(rig, order, then)
    await gateway._inbound.drained()
    await eventually(lambda: len(rig.orders.statuses(order)) == 3)
    assert rig.orders.statuses(order)[1:] == [PlacementStatus.REJECTED, PlacementStatus.WORKING]
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_an_order_whose_status_nobody_knows_is_known_to_the_broker(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(reading.STATUS, "Submitted")
    gateway = await rig.gateway()
    order = resting()
    for _ in range(4):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    await rig.reconciled(gateway)
    assert len(rig.wired(order)) == 1
    (kept,) = rig.store.inbox.parked()
    assert "Submitted" in (kept.reason or "")


async def test_the_same_unreadable_message_is_kept_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    for fields in ((3, "x", "Submitted"), (59, 1, "exec", "none", "USD", "", "", ""), (3, "y", "Submitted")):
        for _ in range(2):
            rig.say(*fields)
    await rig.reconciled(gateway)
    assert len(rig.store.inbox.parked()) == 3


async def test_another_text_of_an_unknown_code_is_shown_too(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    for said in ("margin low", "margin low", "the order will be liquidated"):
        rig.error(rig.intent(order).broker_order_id, 77777, said)
    await rig.reconciled(gateway)
    assert [shown.raw.partition(": ")[2] for shown in rig.orders.unreadable(order)] == [
        "margin low",
        "the order will be liquidated",
    ]


@pytest.mark.parametrize("crash_after", [0, 1, 2, 3])
async def test_a_charge_that_goes_and_comes_back_ends_where_the_broker_is(rig: Rig, crash_after: int) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    (fill,) = await rig.fills(order)
    (first,) = await eventually(lambda: rig.orders.charges(order))
    other = first.commission + 1
    for number, amount in enumerate((other, first.commission, other)):
        if number == crash_after:
            await rig.died(gateway)
            gateway = await rig.gateway()
            number_of = len(rig.orders.charges(order))
            rig.say(59, 1, fill.exec_id, str(rig.orders.charges(order)[-1].commission), "USD", "", "", "")
            await gateway._inbound.drained()
            assert len(rig.orders.charges(order)) == number_of
        for _ in range(2):
            rig.say(59, 1, fill.exec_id, str(amount), "USD", "", "", "")
        await eventually(lambda amount=amount: rig.orders.charges(order)[-1].commission == amount)
    told = [charge.commission for charge in rig.orders.charges(order)]
    assert told[-3:] == [other, first.commission, other]


async def test_an_order_that_is_over_and_listed_as_alive_is_shown(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    say(rig, order, "Cancelled")
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.CANCELED])
    rig.edit(order, updated_ns=rig.intent(order).updated_ns - 10**9)
    await rig.reconciled(gateway)
    await rig.reconciled(gateway)
    (shown,) = rig.orders.unreadable(order)
    assert "the placement is CANCELED, and the broker lists it as Submitted" in shown.reason
    assert rig.state(order) is IntentState.DONE
