"""CARD-801 to CARD-815: brackets, groups and strategies."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from oms.domain.handling import Adjustment, Bracket, BracketRole, Handling, OcaType
from oms.domain.terms import Direction, OrderType, PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.gateways.ibkr.records import Record
from oms.paper.faults import FaultKind
from oms.store import IntentState
from tests.cards.doing import died, once, say_status, working
from tests.cards.line import Line
from tests.gateways.clocks import HOUR, Clock, by, delay_turns, gateway_at
from tests.gateways.rig import Rig, eventually, reason, resting, status, ticket

WORKING, FILLED = PlacementStatus.WORKING, PlacementStatus.FILLED
CANCELED, HELD = PlacementStatus.CANCELED, PlacementStatus.HELD


def bracket(name: str) -> list[PlacementTicket]:
    """Buy 10 at 5; then sell them at 9, or at the market when it is down to 3."""

    def place(role: BracketRole) -> Handling:
        return Handling(bracket=Bracket(bracket_id=name, role=role, size=3))

    child = {"direction": Direction.SELL, "handling": place(BracketRole.CHILD)}
    return [
        resting(handling=place(BracketRole.PARENT)),
        ticket(order_type=OrderType.LIMIT, limit_price=Decimal(9), **child),
        ticket(order_type=OrderType.STOP, stop_price=Decimal(3), **child),
    ]


async def sent_family(rig: Rig, gateway: IBKRGateway, name: str = "B1") -> list[PlacementTicket]:
    """A bracket that works at the broker."""
    family = bracket(name)
    for member in family:
        await gateway.place(member)
    for member in family:
        await eventually(lambda member=member: rig.orders.statuses(member)[-1:] == [WORKING])
    return family


async def test_card_801(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    family = bracket("B1")
    for member, missing in zip(family[:2], (2, 1), strict=True):
        answer = await gateway.place(member)
        assert (status(answer), f"waits for {missing} more" in reason(answer)) == (HELD, True)
        assert rig.state(member) is IntentState.QUEUED
    assert line.sent == []
    await gateway.place(family[2])
    sent = [rig.sent(member) for member in family]
    assert [fields["transmit"] for fields in sent] == ["0", "0", "1"]
    assert [fields.get("parentId", "0") for fields in sent] == ["0", sent[0]["orderId"], sent[0]["orderId"]]
    assert [fields[26] for fields in line.sent] == [member.order_ref for member in family]
    await eventually(lambda: {rig.at_the_broker(m)[0].status for m in family[1:]} == {"PreSubmitted"})
    await eventually(lambda: rig.orders.statuses(family[0])[-1:] == [WORKING])


async def test_card_802(rig: Rig) -> None:
    gateway = await rig.gateway()
    parent, profit, loss = await sent_family(rig, gateway)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await once(rig, parent)
    assert rig.executed(profit) == rig.executed(loss) == []
    rig.paper.set_price("AAPL", Decimal("9.10"), Decimal("9.11"))
    await once(rig, profit)
    await eventually(lambda: rig.orders.statuses(loss)[-1:] == [CANCELED])
    assert rig.orders.executions(loss) == []


async def test_card_803(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    family = await sent_family(rig, gateway)
    assert status(await gateway.cancel(family[0])) is CANCELED
    for member in family:
        await eventually(lambda member=member: rig.orders.statuses(member)[-1:] == [CANCELED])
    assert line.canceled == 1


async def test_card_804(rig: Rig, line: Line) -> None:
    gateway = await rig.gateway(port=line.port)
    family = bracket("B1")
    for member in family[:2]:
        await gateway.place(member)
    assert status(await gateway.cancel(family[1])) is CANCELED
    assert status(await gateway.place(family[0])) is CANCELED
    late = await gateway.place(family[2])
    assert status(late) in (CANCELED, PlacementStatus.REJECTED)
    assert line.sent == []


async def test_card_805(rig: Rig) -> None:
    first = await rig.gateway()
    family = bracket("B1")
    for member in family[:2]:
        await first.place(member)
    rig.paper.fail_next("place", FaultKind.HOLD_BEFORE_READ, order_ref=family[2].order_ref)
    call = asyncio.create_task(first.place(family[2]))
    await eventually(lambda: rig.paper.held)
    await died(rig, first)
    await asyncio.gather(call, return_exceptions=True)
    rig.paper._holds.clear()
    second = await rig.gateway(grace_seconds=0.1)

    async def known() -> bool:
        try:
            answers = [await second.place(member) for member in family]
        except GatewayNotReady:
            return False
        return all(status(answer) is WORKING for answer in answers)

    async with asyncio.timeout(20):
        while not await known():
            await second.ready()
    assert [len(rig.at_the_broker(member)) for member in family] == [1, 1, 1]
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await once(rig, family[0])


async def test_card_806(rig: Rig) -> None:
    gateway = await rig.gateway()
    group = Handling(oca_group="G1")
    orders = [await working(rig, gateway, handling=group) for _ in range(2)]
    chosen = await working(rig, gateway, handling=group, limit_price=Decimal(6))
    assert {rig.sent(order)["ocaType"] for order in orders} == {"1"}
    rig.paper.set_price("AAPL", Decimal("5.48"), Decimal("5.49"))
    await once(rig, chosen)
    for order in orders:
        await eventually(lambda order=order: rig.orders.statuses(order)[-1:] == [CANCELED])
        assert rig.orders.executions(order) == []


async def test_card_807(rig: Rig) -> None:
    gateway = await rig.gateway()
    group = Handling(oca_group="G1", oca_type=OcaType.REDUCE)
    other = await working(rig, gateway, quantity="10", handling=group)
    first = await working(rig, gateway, quantity="10", handling=group, limit_price=Decimal(6))
    rig.paper.set_price("AAPL", Decimal("5.48"), Decimal("5.49"), Decimal(4))
    await eventually(lambda: rig.orders.executions(first))
    await rig.reconciled(gateway)
    assert rig.at_the_broker(other)[0].quantity == 6
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    for order in (first, other):
        await eventually(lambda order=order: rig.state(order) is IntentState.DONE)
    await rig.reconciled(gateway)
    executed = [fill.quantity for order in (first, other) for fill in rig.orders.executions(order)]
    assert sum(executed) == 10
    for order in (first, other):
        assert PlacementStatus.IN_DOUBT not in rig.orders.statuses(order)


async def test_card_808(rig: Rig) -> None:
    gateway = await rig.gateway()
    for number in (1, 2):
        family = bracket(f"B{number}")
        rig.paper.fail_next_place(FaultKind.REJECTED, family[number].order_ref)
        for member in family:
            await gateway.place(member)
        for member in family:
            ends = [PlacementStatus.REJECTED if member is family[number] else CANCELED]
            await eventually(lambda member=member, ends=ends: rig.orders.statuses(member)[-1:] == ends)
        await names(rig, family[0], family[number])
    parent, _, loss = family = await sent_family(rig, gateway, "B3")
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await once(rig, parent)
    say_status(rig, loss, "Inactive")
    await names(rig, parent, loss)
    assert rig.state(parent) is IntentState.DONE
    await rig.reconciled(gateway)
    assert {line.order_ref for line in rig.paper.executions()} == {parent.order_ref}
    assert len(rig.messages) == 9


async def names(rig: Rig, parent: PlacementTicket, child: PlacementTicket) -> None:
    """The parent's order shows once what became of the child."""
    (shown,) = await eventually(lambda: rig.orders.unreadable(parent))
    assert child.placement_id in shown.reason


async def test_card_809(rig: Rig, line: Line) -> None:
    clock = Clock()
    gateway = await gateway_at(rig, clock, port=line.port, grace_seconds=0.1)
    late, waits, begun = [[by(member) for member in bracket(f"B{number}")] for number in (1, 2, 3)]
    late[2] = by(late[2], -HOUR)
    for member in late:
        await gateway.place(member)
    delay_turns(gateway, clock)
    for member in waits:
        await gateway.place(member)
    for member in (*late, *waits):
        answer = await gateway.place(member)
        assert (status(answer), "not sent: " in reason(answer)) == (PlacementStatus.REJECTED, True)
    for member in begun:
        rig.persist(member)
        record = Record(family=tuple(one.placement_id for one in begun))
        rig.edit(member, detail=record.model_dump_json())
    answers = [await gateway.place(member) for member in begun]
    assert {status(answer) for answer in answers} == {PlacementStatus.IN_DOUBT}
    assert all("not sent again: " in reason(answer) for answer in answers)
    assert [await gateway.place(member) for member in begun] == answers
    assert line.sent == []


def runner(name: str) -> list[PlacementTicket]:
    """Buy 10 at 5; sell 7 of them at 9 or 3, and 3 at 3, or 1 below the market from 9 on."""

    def place(role: BracketRole, group: str | None = None, **more: Any) -> Handling:
        there = Bracket(bracket_id=name, role=role, size=4)
        kind = OcaType.REDUCE if group else OcaType.CANCEL
        return Handling(bracket=there, oca_group=group, oca_type=kind, **more)

    pair = {"direction": Direction.SELL, "quantity": "7", "handling": place(BracketRole.CHILD, "exits")}
    trail = Adjustment(trigger_price=Decimal(9), trail_amount=Decimal(1))
    alone = {"direction": Direction.SELL, "handling": place(BracketRole.CHILD, adjustment=trail)}
    return [
        resting(handling=place(BracketRole.PARENT)),
        ticket(order_type=OrderType.LIMIT, limit_price=Decimal(9), **pair),
        ticket(order_type=OrderType.STOP, stop_price=Decimal(3), **pair),
        ticket(quantity="3", order_type=OrderType.STOP, stop_price=Decimal(3), **alone),
    ]


async def test_card_810(rig: Rig) -> None:
    gateway = await rig.gateway()
    parent, profit, loss, runs = family = runner("B1")
    for member in family:
        await gateway.place(member)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await once(rig, parent)
    groups = [rig.sent(member).get("ocaGroup", "") for member in (profit, loss, runs)]
    assert (groups[0], groups[2]) == (groups[1], "")
    assert groups[0].startswith("exits-")
    rig.paper.set_price("AAPL", Decimal("9.00"), Decimal("9.01"))
    await once(rig, profit)
    await eventually(lambda: rig.orders.statuses(loss)[-1:] == [CANCELED])
    rig.paper.set_price("AAPL", Decimal("12.00"), Decimal("12.01"))
    assert rig.orders.statuses(runs)[-1:] == [WORKING]
    rig.paper.set_price("AAPL", Decimal("10.90"), Decimal("10.91"))
    await once(rig, runs)
    sold = [fill.quantity for order in (profit, loss, runs) for fill in rig.orders.executions(order)]
    assert sum(sold) == 10


WINDOW = {"start": datetime.now(UTC) + timedelta(minutes=1), "end": datetime.now(UTC) + timedelta(hours=1)}
PARAMS = {name: at.isoformat() for name, at in WINDOW.items()}
TOLD = {f"{name}Time": at.strftime("%Y%m%d-%H:%M:%S") for name, at in WINDOW.items()}


async def strategic(
    rig: Rig, strategy: str, params: dict[str, str], algorithm: str, told: dict[str, Any]
) -> PlacementTicket:
    """A strategy at the broker: its name and parameters as the broker read them."""
    gateway = rig.gateways[0] if rig.gateways else await rig.gateway()
    order = ticket(strategy=strategy, params=params)
    assert status(await gateway.place(order)) is not PlacementStatus.REJECTED
    fields = rig.sent(order)
    assert fields["algoStrategy"] == algorithm
    assert {name: fields.get(name) for name in told} == told
    return order


async def refused(rig: Rig, strategy: str, params: dict[str, str]) -> None:
    gateway = rig.gateways[0]
    order = ticket(strategy=strategy, params=params)
    assert status(await gateway.place(order)) is PlacementStatus.REJECTED
    assert rig.orders.executions(order) == []


async def test_card_811(rig: Rig) -> None:
    for priority in ("Urgent", "Normal", "Patient"):
        order = await strategic(
            rig, "Adaptive", {"priority": priority}, "Adaptive", {"adaptivePriority": priority}
        )
        await once(rig, order)
    await refused(rig, "Adaptive", {"priority": "Sleepy"})


async def test_card_812(rig: Rig) -> None:
    params = {"max_percent": "10", "allow_past_end": "true", "no_take_liquidity": "false", **PARAMS}
    told = {"maxPctVol": "0.1", "allowPastEndTime": "1", "noTakeLiq": "0", **TOLD}
    await strategic(rig, "VWAP", params, "Vwap", told)
    await refused(rig, "VWAP", {"max_percent": "51"})


async def test_card_813(rig: Rig) -> None:
    params = {"kind": "Matching Midpoint", "allow_past_end": "false", **PARAMS}
    told = {"strategyType": "Matching Midpoint", "allowPastEndTime": "0", **TOLD}
    await strategic(rig, "TWAP", params, "Twap", told)


async def test_card_814(rig: Rig) -> None:
    params = {"max_percent": "5", "urgency": "Passive", "force_completion": "true", "allow_past_end": "true"}
    told = {
        "maxPctVol": "0.05",
        "riskAversion": "Passive",
        "forceCompletion": "1",
        "allowPastEndTime": "1",
    }
    await strategic(rig, "ArrivalPrice", params, "ArrivalPx", told)


async def test_card_815(rig: Rig) -> None:
    params = {"percent": "12.5", "no_take_liquidity": "true"}
    await strategic(rig, "PercentOfVolume", params, "PctVol", {"pctVol": "0.125", "noTakeLiq": "1"})
