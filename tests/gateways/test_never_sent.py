"""Intents of which nothing was sent: their numbers are no numbers of the broker's."""

import pytest
from ib_async import IB, LimitOrder, Stock
from tests.gateways.brackets import family, states
from tests.gateways.rig import ACCOUNT, Rig, eventually, resting, status

from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.store import IntentState


async def former_life(rig: Rig, ref: str = "a former life") -> int:
    """An order with id 1 of our own client id that this order book has never heard of; its permId."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=rig.settings.client_id)
    order = LimitOrder("BUY", 10, 5.0, orderId=1, orderRef=ref, tif="GTC", account=ACCOUNT)
    trade = client.placeOrder(Stock("AAPL", "SMART", "USD"), order)
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    client.disconnect()
    await eventually(lambda: not rig.paper._desk.sessions)
    return trade.order.permId


def tell(rig: Rig, perm_id: int) -> None:
    """The broker says more of that order, by number and in every way."""
    rig.say(3, 1, "PreSubmitted", 0, 10, 0, perm_id, 0, 0, rig.settings.client_id, "", 0)
    rig.error(1, 202, "Order Canceled - reason:of the other")
    rig.error(1, 77777, "something new")


@pytest.mark.parametrize("what", ["withdrawn", "refused", "queued", "marker"])
async def test_a_foreign_order_is_not_taken_for_them(rig: Rig, what: str) -> None:
    perm_id = await former_life(rig)
    gateway = await rig.gateway()
    order = await unsent(rig, what)
    before, told = rig.state(order), rig.orders.statuses(order)
    tell(rig, perm_id)
    await rig.reconciled(gateway)
    await rig.reconciled(gateway)
    assert (rig.state(order), rig.orders.statuses(order)) == (before, told)
    assert rig.orders.unreadable(order) == []
    assert [line.status for line in rig.paper.orders()] == ["Submitted"]
    assert [one.perm_id for one in rig.store.foreign.list()] == [perm_id]


async def unsent(rig: Rig, what: str) -> PlacementTicket:
    (gateway,) = rig.gateways
    if what == "withdrawn":
        order = resting()
        assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED
    elif what == "refused":
        order = resting("NOSUCH")
        assert status(await gateway.place(order)) is PlacementStatus.REJECTED
    else:
        order = family()[0]
        assert status(await gateway.place(order)) is PlacementStatus.HELD
        if what == "marker":
            await gateway.cancel(order)
    await eventually(lambda: rig.orders.statuses(order))
    return order


async def test_a_queued_family_leaves_under_numbers_of_its_own(rig: Rig) -> None:
    await former_life(rig)
    gateway = await rig.gateway()
    members = family()
    for one in members:
        await gateway.place(one)
        await rig.reconciled(gateway)
    assert states(rig, members) == [IntentState.ACKNOWLEDGED] * 3
    assert min(rig.intent(one).broker_order_id for one in members) > 1


async def test_a_known_stranger_is_not_matched_by_number(rig: Rig) -> None:
    perm_id = await former_life(rig)
    gateway = await rig.gateway()
    await rig.reconciled(gateway)
    order = resting()
    await gateway.place(order)
    rig.edit(order, broker_order_id=1)
    rig.say(3, 1, "Cancelled", 0, 10, 0, perm_id, 0, 0, rig.settings.client_id, "", 0)
    await rig.reconciled(gateway)
    assert rig.intent(order).perm_ids == (rig.at_the_broker(order)[0].perm_id,)
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING]


async def test_an_order_under_our_reference_that_we_never_sent_is_shown_and_left_alone(rig: Rig) -> None:
    waits, gone = family()[0], resting()
    await former_life(rig, gone.order_ref)
    gateway = await rig.gateway()
    assert status(await gateway.cancel(gone)) is PlacementStatus.CANCELED
    await rig.reconciled(gateway)
    (shown,) = rig.orders.unreadable(gone)
    assert "never sent" in shown.reason
    assert rig.state(gone) is IntentState.WITHDRAWN
    assert [line.status for line in rig.paper.orders()] == ["Submitted"]
    assert rig.state(waits) is None


async def test_a_queued_member_whose_reference_is_at_the_broker_is_not_sent_beside_it(rig: Rig) -> None:
    members = family()
    await former_life(rig, members[0].order_ref)
    gateway = await rig.gateway()
    await gateway.place(members[0])
    await rig.reconciled(gateway)
    for one in members[1:]:
        await gateway.place(one)
    assert status(await gateway.cancel(members[0])) is PlacementStatus.IN_DOUBT
    assert rig.messages[1:] == []
    assert [line.status for line in rig.paper.orders()] == ["Submitted"]
