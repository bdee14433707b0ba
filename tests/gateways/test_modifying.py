"""Changes of live orders: what is changed, what is refused, and what they leave alone."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from tests.gateways.changing import at_the_broker, changed, halted, outcome, outcomes, placed, reason
from tests.gateways.rig import Rig, eventually, resting, ticket

from oms.domain.facts import ChangeRefused, PlacementChanged, PlacementReported
from oms.domain.halts import HaltScope
from oms.domain.handling import Handling, OcaType
from oms.domain.terms import Direction, OrderType, PlacementStatus
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.records import record_of
from oms.paper.faults import FaultKind
from oms.store import IntentState

SELL_STOP = {"order_type": OrderType.STOP, "direction": Direction.SELL, "limit_price": None}


# What is changed


async def test_less_at_another_price_is_the_same_order_with_the_new_terms(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    change = changed(order, quantity=Decimal(4), limit_price=Decimal("6.25"))
    assert isinstance(outcome(await gateway.modify(change)), PlacementChanged)
    assert at_the_broker(rig, order) == (4, Decimal("6.25"))
    first, second = rig.wired(order)
    assert first.split(b"\0")[1] == second.split(b"\0")[1]
    await eventually(lambda: outcomes(rig, order) == [(PlacementChanged, 1)])
    assert rig.intent(order).ticket == change
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    await rig.reconciled(gateway)
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert rig.orders.unreadable(order) == []


async def test_one_change_after_another(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    for revision, price in ((1, "6"), (2, "7"), (3, "5.5")):
        change = changed(order, revision, limit_price=Decimal(price))
        assert isinstance(outcome(await gateway.modify(change)), PlacementChanged)
        assert at_the_broker(rig, order)[1] == Decimal(price)
    await eventually(lambda: [fact.revision for fact in rig.orders.changes(order)] == [1, 2, 3])
    assert (await gateway.modify(changed(order, 2, limit_price=Decimal(7)))).facts == ()


async def test_a_stop_and_a_trail(rig: Rig) -> None:
    gateway = await rig.gateway()
    stop = await placed(rig, gateway, **SELL_STOP, stop_price=Decimal(100))
    answer = await gateway.modify(changed(stop, stop_price=Decimal(90)))
    assert isinstance(outcome(answer), PlacementChanged)
    assert rig.sent(stop)["auxPrice"] == "90"
    terms = {**SELL_STOP, "order_type": OrderType.TRAILING_STOP, "stop_price": Decimal(100)}
    trail = await placed(rig, gateway, **terms, handling=Handling(trail_amount=Decimal(20)))
    wider = changed(trail, handling=Handling(trail_amount=Decimal(30)))
    assert isinstance(outcome(await gateway.modify(wider)), PlacementChanged)
    assert rig.sent(trail)["auxPrice"] == "30"
    assert "trailStopPrice" not in rig.sent(trail)
    moved = changed(trail, 2, stop_price=Decimal(120), handling=wider.handling)
    assert "moves with the market" in reason(await gateway.modify(moved))
    await rig.reconciled(gateway)
    assert outcomes(rig, trail) == [(PlacementChanged, 1), (ChangeRefused, 2)]


async def test_a_new_price_is_rounded_and_said_so_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    change = changed(order, limit_price=Decimal("6.019"))
    for _ in range(2):
        assert isinstance(outcome(await gateway.modify(change)), PlacementChanged)
    assert at_the_broker(rig, order)[1] == Decimal("6.01")
    (fact,) = await eventually(lambda: rig.orders.rounded(order))
    assert (fact.revision, fact.roundings[0].asked) == (1, Decimal("6.019"))
    await eventually(lambda: rig.orders.changes(order))
    assert rig.orders.facts[order.order_id].index(fact) < rig.orders.facts[order.order_id].index(
        rig.orders.changes(order)[0]
    )


async def test_a_change_that_makes_it_marketable_is_filled_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("100.00"), Decimal("100.02"), Decimal(50))
    order = await placed(rig, gateway)
    await gateway.modify(changed(order, limit_price=Decimal(101)))
    (fill,) = await rig.fills(order)
    assert (fill.quantity, len(rig.executed(order))) == (10, 1)
    await eventually(lambda: (PlacementChanged, 1) in outcomes(rig, order))


async def test_a_fill_while_the_change_is_on_its_way_is_booked(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.DELAYED, seconds=0.3)
    call = asyncio.create_task(gateway.modify(changed(order, quantity=Decimal(6))))
    await eventually(lambda: len(rig.wired(order)) == 2)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await eventually(lambda: rig.orders.executions(order))
    assert isinstance(outcome(await call), PlacementChanged)
    assert at_the_broker(rig, order)[0] == 6
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    await eventually(lambda: sum(fill.quantity for fill in rig.orders.executions(order)) == 6)
    await eventually(lambda: PlacementStatus.FILLED in rig.orders.statuses(order))


# What is refused


@pytest.mark.parametrize("code", [201, 110, 103, 104, 105])
async def test_a_change_that_the_broker_refuses_leaves_the_order_alive(rig: Rig, code: int) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.ERROR_INSTEAD, code=code, text="not so")
    change = changed(order, limit_price=Decimal(6))
    for _ in range(2):
        assert reason(await gateway.modify(change)) == f"{code}: not so"
    assert at_the_broker(rig, order) == (10, Decimal(5))
    assert rig.state(order) is IntentState.ACKNOWLEDGED
    assert len(rig.wired(order)) == 2
    await eventually(lambda: outcomes(rig, order) == [(ChangeRefused, 1)])
    again = changed(order, 2, limit_price=Decimal(6))
    assert isinstance(outcome(await gateway.modify(again)), PlacementChanged)


async def test_less_than_what_was_filled_is_refused_by_the_broker(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"), Decimal(4))
    order = await placed(rig, gateway)
    await eventually(lambda: rig.orders.executions(order))
    assert "201" in reason(await gateway.modify(changed(order, quantity=Decimal(3))))
    assert rig.state(order) is IntentState.ACKNOWLEDGED


async def test_a_finished_order_is_answered_with_what_it_is(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    answer = await gateway.modify(changed(order, quantity=Decimal(5)))
    assert reason(answer) == "the placement is FILLED"
    assert [fact.status for fact in answer.facts if isinstance(fact, PlacementReported)] == [
        PlacementStatus.FILLED
    ]
    assert len(rig.wired(order)) == 1


async def test_an_order_that_finished_meanwhile_is_answered_with_what_it_became(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    order = await placed(rig, gateway)
    rig.paper.fail_next("modify", FaultKind.DELAYED, seconds=0.2)
    call = asyncio.create_task(gateway.modify(changed(order, limit_price=Decimal(6))))
    await eventually(lambda: len(rig.wired(order)) == 2)
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    assert "the placement is FILLED" in reason(await call)
    assert len(rig.executed(order)) == 1
    assert rig.state(order) is IntentState.DONE


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ({"quantity": Decimal(11)}, "may not add"),
        ({"limit_price": Decimal("0.00001")}, "less than one tick"),
    ],
)
async def test_what_must_not_be_sent_is_refused_and_stays_so(
    rig: Rig, terms: dict[str, Any], said: str
) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    for _ in range(2):
        assert said in reason(await gateway.modify(changed(order, **terms)))
    assert len(rig.wired(order)) == 1
    await eventually(lambda: outcomes(rig, order) == [(ChangeRefused, 1)])


async def test_what_was_never_sent_has_nothing_to_change(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    assert reason(await gateway.modify(changed(order))) == "it was never sent"
    assert rig.intent(order) is None


async def test_a_halt_stops_changes_and_a_refusal_outlives_it(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    halted(rig)
    change = changed(order, limit_price=Decimal(6))
    assert "HALTED" in reason(await gateway.modify(change))
    rig.store.halts.lift(HaltScope.FIRM, "", "carol", "all clear")
    assert "HALTED" in reason(await gateway.modify(change))
    assert len(rig.wired(order)) == 1


async def test_a_halt_does_not_stop_working_less_of_an_order(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway, limit_price=Decimal("5.009"))
    halted(rig)
    assert isinstance(outcome(await gateway.modify(changed(order, quantity=Decimal(6)))), PlacementChanged)
    assert at_the_broker(rig, order) == (6, Decimal(5))


async def test_a_closed_gate_sends_no_change_and_writes_none(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    gateway._gate.close("test", "closed for a test")
    with pytest.raises(GatewayNotReady, match="closed for a test"):
        await gateway.modify(changed(order, limit_price=Decimal(6)))
    assert record_of(rig.intent(order)).revision is None
    gateway._gate.lift("test")
    assert isinstance(outcome(await gateway.modify(changed(order, limit_price=Decimal(6)))), PlacementChanged)


# With others


async def test_a_change_does_not_undo_what_the_group_took_away(rig: Rig) -> None:
    gateway = await rig.gateway()
    group = Handling(oca_group="exit", oca_type=OcaType.REDUCE)
    low = await placed(rig, gateway, handling=group, limit_price=Decimal(5))
    high = await placed(rig, gateway, handling=group, limit_price=Decimal(6))
    rig.paper.set_price("AAPL", Decimal("5.50"), Decimal("5.51"), Decimal(4))
    await eventually(lambda: rig.orders.executions(high))
    await eventually(lambda: record_of(rig.intent(low)).reduced == 6)
    assert rig.state(low) is IntentState.ACKNOWLEDGED
    assert isinstance(
        outcome(await gateway.modify(changed(low, limit_price=Decimal("4.5")))), PlacementChanged
    )
    assert at_the_broker(rig, low) == (6, Decimal("4.5"))


async def test_a_cancel_overtakes_a_change_and_nothing_works(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await placed(rig, gateway)
    change = changed(order, limit_price=Decimal(6))
    answers = await asyncio.gather(gateway.modify(change), gateway.cancel(order))
    assert isinstance(outcome(answers[0]), PlacementChanged | ChangeRefused)
    await eventually(lambda: [line.status for line in rig.at_the_broker(order)] == ["Cancelled"])
    assert rig.state(order) is IntentState.DONE
