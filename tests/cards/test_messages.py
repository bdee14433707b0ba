"""CARD-301 to CARD-323: what the broker says."""

import asyncio
from decimal import Decimal

from oms.domain.facts import Busted
from oms.domain.terms import Direction, PlacementStatus
from oms.paper.faults import FaultKind
from oms.store import InboxStatus, IntentState
from tests.cards.doing import broker_id, closed, fail, filled, once, opened, say_status, working
from tests.cards.line import Line
from tests.gateways.rig import Rig, eventually, reason, resting, status, ticket

WORKING, FILLED = PlacementStatus.WORKING, PlacementStatus.FILLED


async def odd(rig: Rig, fault: FaultKind) -> None:
    """A market order whose messages come oddly is booked as any other."""
    gateway = await rig.gateway()
    order = ticket()
    fail(rig, fault)
    await gateway.place(order)
    await eventually(lambda: rig.orders.executions(order))
    await eventually(lambda: rig.orders.charges(order))
    await rig.reconciled(gateway)
    await once(rig, order)
    assert len(rig.orders.charges(order)) == 1
    assert rig.orders.statuses(order).count(FILLED) == 1
    assert rig.orders.charges(order)[0].exec_id == rig.orders.executions(order)[0].exec_id
    assert rig.store.inbox.parked() == []


async def test_card_301(rig: Rig) -> None:
    await odd(rig, FaultKind.DUPLICATE_STATUS)


async def test_card_302(rig: Rig) -> None:
    await odd(rig, FaultKind.MISSING_STATUS)


async def test_card_303(rig: Rig) -> None:
    gateway = await rig.gateway()
    fail(rig, FaultKind.REORDERED_STATUS)
    order, _ = await filled(rig, gateway)
    say_status(rig, order, "Submitted", filled="0")
    say_status(rig, order, "PreSubmitted", filled="0")
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order)[-1] is FILLED
    assert rig.state(order) is IntentState.DONE


async def test_card_304(rig: Rig) -> None:
    await odd(rig, FaultKind.COMMISSION_FIRST)


async def test_card_305(rig: Rig) -> None:
    await odd(rig, FaultKind.EXECUTION_FIRST)


async def test_card_306(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, fill = await filled(rig, gateway)
    first = rig.paper.correct_execution(fill.exec_id, Decimal(8), Decimal("99.5"))
    await eventually(lambda: len(rig.orders.executions(order)) == 2)
    rig.paper.drop_connections()
    await closed(gateway)
    second = rig.paper.correct_execution(first, Decimal(7), Decimal("99.5"))
    await opened(gateway)
    await rig.reconciled(gateway)
    booked = rig.orders.executions(order)
    assert [(each.exec_id, each.quantity) for each in booked] == [(fill.exec_id, 10), (first, 8), (second, 7)]
    assert len({each.exec_id.rpartition(".")[0] for each in booked}) == 1


async def test_card_307(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, fill = await filled(rig, gateway)
    busted = rig.paper.correct_execution(fill.exec_id, Decimal(0), Decimal(0))

    def busts() -> list[str]:
        return [fact.exec_id for fact in rig.orders.facts[order.order_id] if isinstance(fact, Busted)]

    await eventually(busts)
    for _ in range(2):
        await rig.reconciled(gateway)
    assert busts() == [busted]
    assert rig.store.inbox.parked() == []


async def informed(rig: Rig, code: int) -> None:
    """A code that informs changes neither a filled order nor a live one."""
    gateway = await rig.gateway()
    order, _ = await filled(rig, gateway)
    live = await working(rig, gateway)
    for each in (order, live):
        rig.error(broker_id(rig, each), code, "for your information")
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order)[-1] is FILLED
    assert rig.orders.statuses(live) == [WORKING]
    assert rig.orders.unreadable(order) == rig.orders.unreadable(live) == []
    assert status(await gateway.cancel(live)) is PlacementStatus.CANCELED


async def test_card_308(rig: Rig) -> None:
    await informed(rig, 399)


async def test_card_309(rig: Rig) -> None:
    await informed(rig, 2109)


async def test_card_310(rig: Rig) -> None:
    gateway = await rig.gateway()
    fail(rig, FaultKind.INFORMATION_10349)
    order = await working(rig, gateway)
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [WORKING]
    assert rig.orders.unreadable(order) == []
    assert status(await gateway.cancel(order)) is PlacementStatus.CANCELED


async def test_card_311(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket("HALTD")
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.REJECTED
    assert "201" in reason(answer)
    await eventually(lambda: rig.orders.statuses(order) == [PlacementStatus.REJECTED])
    assert "not available for trading" in (rig.orders.reports(order)[0].reason or "")
    assert rig.orders.executions(order) == []


async def test_card_312(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, acknowledge_seconds=30)
    order = ticket()
    line.refuse_next(201, "Order rejected - reason:no margin")
    answer = await asyncio.wait_for(gateway.place(order), 5)
    assert status(answer) is PlacementStatus.REJECTED
    assert reason(answer) == "201: Order rejected - reason:no margin"
    assert rig.at_the_broker(order) == []


async def test_card_313(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway, direction=Direction.SELL_SHORT, limit_price=Decimal(900))
    say_status(rig, order, "Inactive", why_held="locate")
    say_status(rig, order, "PreSubmitted")
    told = [WORKING, PlacementStatus.HELD, WORKING]
    await eventually(lambda: rig.orders.statuses(order) == told)
    rig.paper.set_price("AAPL", Decimal(901), Decimal(902))
    await once(rig, order)


async def test_card_314(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    live = await working(rig, gateway)
    text = "The price does not conform to the minimum price variation for this contract."
    rig.error(broker_id(rig, live), 110, text)
    order = resting()
    line.refuse_next(110, text)
    answer = await gateway.place(order)
    assert (status(answer), reason(answer)) == (PlacementStatus.REJECTED, f"110: {text}")
    await rig.reconciled(gateway)
    assert rig.orders.statuses(live) == [WORKING]
    assert rig.state(live) is IntentState.ACKNOWLEDGED


async def test_card_315(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = ticket("NOSUCH")
    answers = [await gateway.place(order) for _ in range(2)]
    assert [status(answer) for answer in answers] == [PlacementStatus.REJECTED] * 2
    assert "No security definition" in reason(answers[0])
    assert answers[0] == answers[1]
    assert line.placed(order.order_ref) == 0
    await eventually(lambda: rig.orders.statuses(order) == [PlacementStatus.REJECTED])


async def test_card_316(rig: Rig) -> None:
    gateway = await rig.gateway()
    order, expiring = await working(rig, gateway), await working(rig, gateway)
    rig.error(broker_id(rig, order), 202, "Order Canceled - reason:by the exchange")
    say_status(rig, expiring, "Cancelled")
    rig.error(broker_id(rig, expiring), 202, "Order Canceled - reason:order expired")
    await eventually(lambda: rig.orders.statuses(order) == [WORKING, PlacementStatus.CANCELED])
    await eventually(lambda: rig.orders.statuses(expiring) == [WORKING, PlacementStatus.EXPIRED])
    assert "by the exchange" in (rig.orders.reports(order)[-1].reason or "")


async def test_card_317(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port, acknowledge_seconds=0.2)
    live, doubtful = await working(rig, gateway), resting()
    with line.swallowing():
        await gateway.place(doubtful)
    for order in (live, doubtful):
        rig.error(broker_id(rig, order), 77777, "something new")
    for order in (live, doubtful):
        (shown,) = await eventually(lambda order=order: rig.orders.unreadable(order))
        assert "something new" in shown.raw
    # Nobody asked: the code itself makes the gateway look, and the look settles the doubt.
    await eventually(lambda: rig.orders.statuses(doubtful)[-1:] == [WORKING])
    assert rig.state(live) is rig.state(doubtful) is IntentState.ACKNOWLEDGED
    assert rig.orders.statuses(live) == [WORKING]


async def test_card_318(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await working(rig, gateway)
    say_status(rig, order, "Sideways")
    (kept,) = await eventually(rig.store.inbox.parked)
    assert "Sideways" in f"{kept.raw}{kept.reason}"
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [WORKING]
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_card_319(rig: Rig) -> None:
    gateway = await rig.gateway()
    torn: list[tuple[object, ...]] = [
        (3, "x", "Submitted", 0, 10, 0, 5, 0, 0, 1, "", 0),
        (3, 1, "Submitted", "nan", 10, 0, 0, 0, 0, 1, "", 0),
        (11, -1, 1, "torn"),
        (5, 1),
        (59, 1, "exec", "not a number", "USD", "", "", ""),
    ]
    await filled(rig, gateway)
    for fields in torn:
        rig.say(*fields)
    kept = await eventually(lambda: rows if len(rows := rig.store.inbox.parked()) == len(torn) else None)
    assert {row.status for row in kept} == {InboxStatus.UNREADABLE}
    order, _ = await filled(rig, gateway)
    await once(rig, order)


async def test_card_320(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    order = ticket()
    with line.swallowing(frozenset({"59"})):
        await gateway.place(order)
        (fill,) = await rig.fills(order)
        await eventually(lambda: line.dropped)
    rig.say(59, 1, fill.exec_id, "-1", "USD", "", "", "")
    rig.say(59, 1, fill.exec_id, "1.7976931348623157E308", "USD", "", "", "")
    rig.say(59, 1, fill.exec_id, "1.25", "USD", "", "", "")
    (charge,) = await eventually(lambda: rig.orders.charges(order))
    assert (charge.exec_id, charge.commission) == (fill.exec_id, Decimal("1.25"))


async def test_card_321(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=30)
    order = ticket()
    fail(rig, FaultKind.INACTIVE_ALONE)
    answer = await asyncio.wait_for(gateway.place(order), 5)
    assert status(answer) is PlacementStatus.REJECTED
    await rig.reconciled(gateway)
    assert rig.orders.statuses(order) == [PlacementStatus.REJECTED]


async def test_card_322(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    fail(rig, FaultKind.COMMISSION_MISSING)
    await gateway.place(order)
    await rig.fills(order)
    assert rig.orders.charges(order) == []
    await rig.reconciled(gateway)
    await eventually(lambda: len(rig.orders.charges(order)) == 1)
    await once(rig, order)


async def test_card_323(rig: Rig) -> None:
    gateway = await rig.gateway(grace_seconds=0.0)
    order = await working(rig, gateway)
    say_status(rig, order, "Cancelled")
    await eventually(lambda: rig.orders.statuses(order)[-1:] == [PlacementStatus.CANCELED])
    for _ in range(2):
        await rig.reconciled(gateway)
    (shown,) = rig.orders.unreadable(order)
    assert "is CANCELED, and the broker lists it as Submitted" in shown.reason
    assert rig.state(order) is IntentState.DONE
