"""CARD-201 to CARD-223: placing exactly once."""

import asyncio
import contextlib
import time
from decimal import Decimal

import pytest

from oms.domain.handling import Bracket, BracketRole, Handling
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.paper.fault_events import Operation
from oms.paper.faults import FaultKind
from oms.store import InboxStatus, IntentState
from tests.cards.doing import broker_id, died, fail, filled, once, reach, working
from tests.cards.line import Line
from tests.gateways.clocks import HOUR, Clock, by, delay_turns, gateway_at
from tests.gateways.rig import Rig, eventually, reason, resting, settled, status, ticket

LOSSES = (FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST, FaultKind.ACCEPTED_INVISIBLE)


async def test_card_201(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    fail(rig, FaultKind.DELAYED)
    call = asyncio.create_task(gateway.place(order))
    intent = await eventually(lambda: rig.intent(order))
    assert rig.at_the_broker(order) == []
    assert (intent.state, intent.ticket, intent.account) == (IntentState.SENDING, order, order.account)
    assert status(await call) is PlacementStatus.WORKING
    (there,) = rig.at_the_broker(order)
    assert (there.order_id, there.order_ref) == (intent.broker_order_id, intent.order_ref)
    assert (there.quantity, there.side, there.order_type) == (order.quantity, "BUY", "LMT")


async def test_card_202(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, fill = await filled(rig, gateway)
    (there,) = rig.executed(order)
    (charge,) = rig.orders.charges(order)
    assert (fill.exec_id, fill.quantity, fill.price) == (there.exec_id, there.quantity, there.price)
    assert (charge.exec_id, charge.commission) == (there.exec_id, there.commission)
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING, PlacementStatus.FILLED]
    assert rig.orders.reports(order)[-1].filled_quantity == 10
    assert rig.state(order) is IntentState.DONE
    await eventually(lambda: rig.store.inbox.counts("ibkr")[InboxStatus.NEW] == 0)


async def test_card_203(rig: Rig, line: Line) -> None:
    order = ticket()
    intent = rig.persist(order)
    gateway = await rig.gateway(port=line.port)
    await settled(gateway, order)
    await once(rig, order)
    assert rig.at_the_broker(order)[0].order_id == intent.broker_order_id
    assert line.placed(order.order_ref) == 1


async def test_card_204(rig: Rig, line: Line) -> None:
    first = await rig.gateway(port=line.port)
    order = ticket()
    fail(rig, FaultKind.DELAYED, order)
    call = asyncio.create_task(first.place(order))
    await eventually(lambda: line.placed(order.order_ref))
    await died(rig, first)
    await asyncio.gather(call, return_exceptions=True)
    second = await rig.gateway(port=line.port)
    await settled(second, order)
    await once(rig, order)


async def test_card_205(rig: Rig, line: Line) -> None:
    first = await rig.gateway(port=line.port)
    order = await working(rig, first)
    await died(rig, first)
    second = await rig.gateway(port=line.port)
    assert status(await second.place(order)) is PlacementStatus.WORKING
    assert line.placed(order.order_ref) == 1
    assert len(rig.at_the_broker(order)) == 1


async def lost(rig: Rig, line: Line, fault: FaultKind) -> PlacementTicket:
    """A market order that is hit by a loss, placed as its workflow does until it is known, executed and booked once."""
    gateway = await rig.gateway(port=line.port)
    order = ticket()
    fail(rig, fault)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    await settled(gateway, order)
    await once(rig, order)
    told = rig.orders.statuses(order)
    assert PlacementStatus.IN_DOUBT in told
    assert PlacementStatus.REJECTED not in told
    return order


async def test_card_206(rig: Rig, line: Line) -> None:
    order = await lost(rig, line, FaultKind.LOST_BEFORE_READ)
    assert line.placed(order.order_ref) == 2
    sent = [fields[1] for fields in line.sent]
    assert len(set(sent)) == 1


async def test_card_207(rig: Rig, line: Line) -> None:
    order = await lost(rig, line, FaultKind.EXECUTED_REPLIES_LOST)
    assert line.placed(order.order_ref) == 1


async def test_card_208(rig: Rig, line: Line) -> None:
    rig.paper.faults.invisible = (0.2, 0.2)
    order = await lost(rig, line, FaultKind.ACCEPTED_INVISIBLE)
    assert line.placed(order.order_ref) == 1


async def test_card_209(rig: Rig, line: Line) -> None:
    rig.paper.faults.invisible = (1.2, 1.2)
    order = await lost(rig, line, FaultKind.ACCEPTED_INVISIBLE)
    assert line.placed(order.order_ref) == 2
    assert any("103" in (report.reason or "") for report in rig.orders.reports(order))


async def test_card_210(rig: Rig) -> None:
    rig.paper.faults.delay = 0.5
    gateway = await rig.gateway(acknowledge_seconds=0.2)
    order = resting()
    fail(rig, FaultKind.DELAYED)
    assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    told = [PlacementStatus.IN_DOUBT, PlacementStatus.WORKING]
    await eventually(lambda: rig.orders.statuses(order) == told)
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    assert len(rig.at_the_broker(order)) == 1


async def test_card_211(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    other, _ = await filled(rig, gateway)
    order = ticket()
    used = broker_id(rig, other)
    intent = rig.persist(order)
    rig.edit(other, broker_order_id=intent.broker_order_id + 1000)
    rig.edit(order, broker_order_id=used)
    for _ in range(3):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert rig.executed(order) == []
    assert line.placed(order.order_ref) == 1
    assert any("103" in (report.reason or "") for report in rig.orders.reports(order))


async def test_card_212(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = ticket()
    answers = await asyncio.gather(*(gateway.place(order) for _ in range(8)))
    assert len({answer.model_dump_json() for answer in answers}) == 1
    await once(rig, order)
    assert line.placed(order.order_ref) == 1


async def test_card_213(rig: Rig) -> None:
    gateway = await rig.started(port=1)
    order = ticket()
    with pytest.raises(GatewayNotReady):
        await gateway.place(order)
    assert rig.intent(order) is None
    await died(rig, gateway)
    later = await rig.gateway()
    await later.place(order)
    await once(rig, order)
    assert broker_id(rig, order) == 1


async def test_card_214(rig: Rig, line: Line) -> None:
    order = ticket()
    rig.persist(order)
    rig.edit(order, created_ns=time.time_ns() - 26 * 3600 * 10**9)
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    for _ in range(2):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert line.placed(order.order_ref) == 0


async def test_card_215(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = await working(rig, gateway)
    rig.paper.fail_next(Operation.MODIFY, FaultKind.SECOND_PERM_ID)
    change = order.model_copy(update={"revision": 1, "limit_price": Decimal("5.50")})
    await gateway.modify(change)
    await eventually(lambda: len(rig.intent(order).perm_ids) == 2)
    sent = len(line.sent)
    with contextlib.suppress(GatewayNotReady):
        await gateway.modify(change)
    assert len(line.sent) == sent
    rig.paper.set_price("AAPL", Decimal("5.40"), Decimal("5.45"))
    await eventually(lambda: len(rig.orders.executions(order)) == 1)
    await rig.reconciled(gateway)
    assert PlacementStatus.FILLED not in rig.orders.statuses(order)
    reach(rig)
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.FILLED])
    theirs = {there.exec_id for there in rig.executed(order)}
    assert len(theirs) == 2
    assert [fill.exec_id in theirs for fill in rig.orders.executions(order)] == [True, True]


async def test_card_216(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    order = await working(rig, gateway, quantity="10")
    await died(rig, gateway)
    wrong = order.model_copy(update={"quantity": Decimal(99)})
    rig.edit(order, ticket=wrong.model_dump_json(), state="SENDING")
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    (shown,) = await eventually(lambda: rig.orders.unreadable(order))
    assert "quantity 10, not 99" in shown.reason
    for _ in range(2):
        assert status(await gateway.place(wrong)) is PlacementStatus.IN_DOUBT
    assert line.placed(order.order_ref) == 1


async def test_card_217(rig: Rig) -> None:
    gateway = await rig.gateway()
    for fault in LOSSES:
        order = resting()
        fail(rig, fault, order)
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
        assert (await gateway.status()).in_doubt == 1
        await settled(gateway, order)
        await eventually(lambda order=order: rig.orders.statuses(order)[-1:] == [PlacementStatus.WORKING])
        assert PlacementStatus.IN_DOUBT in rig.orders.statuses(order)
        assert rig.state(order) is IntentState.ACKNOWLEDGED
        assert (await gateway.status()).in_doubt == 0


async def test_card_218(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, acknowledge_seconds=0.2, grace_seconds=0.1)
    order, unknown = resting(), resting()
    with line.swallowing():
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    rig.persist(unknown, IntentState.IN_DOUBT)
    for each in (order, unknown):
        rig.error(broker_id(rig, each), 201, "Order rejected - reason:no room")
    await eventually(lambda: rig.state(unknown) is IntentState.DONE)
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.WORKING])
    assert PlacementStatus.REJECTED not in rig.orders.statuses(order)
    assert status(await gateway.place(unknown)) is PlacementStatus.REJECTED
    assert "no room" in (rig.orders.reports(unknown)[-1].reason or "")
    assert line.placed(unknown.order_ref) == 0


async def test_card_219(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, grace_seconds=0.1)
    order = ticket()
    rig.persist(order, IntentState.IN_DOUBT)
    rig.error(broker_id(rig, order), 104, "Cannot modify a filled order.")
    await eventually(lambda: any("104" in (r.reason or "") for r in rig.orders.reports(order)))
    for _ in range(2):
        assert status(await gateway.place(order)) is PlacementStatus.IN_DOUBT
    assert line.placed(order.order_ref) == 0
    assert PlacementStatus.REJECTED not in rig.orders.statuses(order)


async def test_card_220(rig: Rig) -> None:
    rig.paper.faults.rates = dict.fromkeys(LOSSES, 0.15)
    gateway = await rig.gateway(grace_seconds=0.25, acknowledge_seconds=0.3)
    orders = [ticket(quantity="1") for _ in range(8)]
    await asyncio.gather(*(settled(gateway, order, 45.0) for order in orders))
    rig.paper.faults.rates = {}
    await once(rig, *orders)
    assert (await gateway.status()).in_doubt == 0


async def test_card_221(rig: Rig) -> None:
    gateway = await rig.gateway()
    handling = Handling(bracket=Bracket(bracket_id="B1", role=BracketRole.PARENT, size=2))
    withdrawn, refused, waiting = orders = [resting(), resting("NOSUCH"), resting(handling=handling)]
    await gateway.cancel(withdrawn)
    for order in (refused, waiting):
        await gateway.place(order)
    await rig.reconciled(gateway)
    before = [(rig.state(order), rig.orders.statuses(order)) for order in orders]
    own = {"client_id": rig.settings.client_id, "order_type": "LMT", "price": Decimal(5)}
    refs = ("", "a former life", withdrawn.order_ref, "")
    enter = rig.paper.enter_as_other_client
    perm_ids = [enter("AAPL", order_id=n, order_ref=ref, **own) for n, ref in enumerate(refs, 1)]
    for number, perm_id in enumerate(perm_ids, 1):
        rig.say(3, number, "PreSubmitted", 0, 10, 0, perm_id, 0, 0, rig.settings.client_id, "", 0)
        rig.error(number, 77777, "something new")
    for _ in range(2):
        await rig.reconciled(gateway)
    assert [(rig.state(order), rig.orders.statuses(order)) for order in orders] == before
    assert {line.status for line in rig.paper.orders()} == {"Submitted"}
    (shown,) = rig.orders.unreadable(withdrawn)
    assert "never sent" in shown.reason
    assert rig.messages == []
    assert {one.perm_id for one in rig.store.foreign.list()} == set(perm_ids)


async def test_card_222(rig: Rig, line: Line) -> None:
    over, waits, written = orders = [by(resting(), -HOUR), by(resting()), by(resting())]
    clock = Clock(lambda: rig.state(written) is IntentState.SENDING)
    gateway = await gateway_at(rig, clock, port=line.port)
    answers = [await gateway.place(order) for order in (over, written)]
    delay_turns(gateway, clock)
    answers.insert(1, await gateway.place(waits))
    for answer, order in zip(answers, orders, strict=True):
        assert (status(answer), reason(answer)[:10]) == (PlacementStatus.REJECTED, "not sent: ")
        assert f"{order.handling.send_by:%Y-%m-%dT%H:%M:%S.%f}" in reason(answer)
    assert [await gateway.place(order) for order in orders] == answers
    await died(rig, gateway)
    later = await rig.gateway(port=line.port)
    assert [await later.place(order) for order in orders] == answers
    assert line.sent == []
    assert all(broker_id(rig, order) < 0 for order in orders)


async def test_card_223(rig: Rig, line: Line) -> None:
    first = await rig.gateway()
    there, absent = by(resting()), by(resting(), -HOUR)
    await first.place(there)
    rig.edit(there, state=IntentState.SENDING.value, detail=None)
    rig.persist(absent)
    await died(rig, first)
    clock = Clock()
    clock.ahead = HOUR
    gateway = await gateway_at(rig, clock, port=line.port, grace_seconds=0.1)
    assert status(await gateway.place(there)) is PlacementStatus.WORKING
    answer = await gateway.place(absent)
    assert (status(answer), "not sent again: " in reason(answer)) == (PlacementStatus.IN_DOUBT, True)
    assert await gateway.place(absent) == answer
    assert line.sent == []
    assert len(rig.at_the_broker(there)) == 1
