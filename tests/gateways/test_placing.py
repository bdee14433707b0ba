"""Placing: the usual course, twice, at once, and what is refused before it is sent."""

import asyncio
from decimal import Decimal

import pytest
from tests.gateways.rig import OVER, Rig, eventually, reason, resting, status, stock, ticket

from oms.domain.terms import Direction, OrderType, PlacementStatus, TimeInForce
from oms.gateways.errors import GatewayNotReady
from oms.paper.faults import FaultKind
from oms.store import InboxStatus, IntentState


async def test_a_market_order_is_acknowledged_filled_charged_and_delivered_in_order(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket(quantity="10")
    assert status(await gateway.place(order)) in (PlacementStatus.WORKING, PlacementStatus.FILLED)
    (fill,) = await rig.fills(order)
    (there,) = rig.executed(order)
    assert (fill.exec_id, fill.quantity, fill.price) == (there.exec_id, there.quantity, there.price)
    assert (fill.placement_id, fill.currency, fill.venue) == (order.placement_id, "USD", "IBKR")
    (charge,) = await eventually(lambda: rig.orders.charges(order))
    assert (charge.exec_id, charge.commission, charge.currency) == (fill.exec_id, there.commission, "USD")
    assert rig.orders.statuses(order) == [PlacementStatus.WORKING, PlacementStatus.FILLED]
    report = rig.orders.reports(order)[-1]
    assert report.filled_quantity == 10
    assert report.venue_order_ids == (str(there.perm_id),)
    assert rig.state(order) is IntentState.DONE
    await eventually(lambda: rig.store.inbox.counts("ibkr")[InboxStatus.NEW] == 0)


async def test_the_execution_carries_the_brokers_time_and_ours(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    await gateway.place(order)
    (fill,) = await rig.fills(order)
    assert fill.ts_event_ns % 1_000_000_000 == 0
    assert 0 <= fill.ts_init_ns - fill.ts_event_ns < 5_000_000_000


async def test_a_limit_order_works_then_fills_in_parts(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("100.00"), Decimal("100.02"), Decimal(4))
    order = ticket(quantity="10", order_type=OrderType.LIMIT, limit_price=Decimal("100.02"))
    await gateway.place(order)
    await eventually(lambda: len(rig.orders.executions(order)) == 1)
    rig.paper.set_price("AAPL", Decimal("100.00"), Decimal("100.02"), Decimal(6))
    fills = await rig.fills(order)
    await eventually(lambda: len(rig.orders.executions(order)) == 2)
    fills = rig.orders.executions(order)
    assert [fill.quantity for fill in fills] == [4, 6]
    filled = [report.filled_quantity for report in rig.orders.reports(order)]
    assert filled[-1] == 10
    assert Decimal(4) in filled


async def test_placing_twice_is_one_order_and_one_answer(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    answers = [await gateway.place(order), await gateway.place(order)]
    assert [status(answer) for answer in answers] == [PlacementStatus.WORKING] * 2
    assert len(rig.at_the_broker(order)) == 1
    assert rig.at_the_broker(order)[0].order_id == rig.intent(order).broker_order_id


async def test_placing_at_once_is_one_order(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    answers = await asyncio.gather(*(gateway.place(order) for _ in range(8)))
    assert len({answer.model_dump_json() for answer in answers}) == 1
    await rig.fills(order)
    assert len(rig.executed(order)) == 1


async def test_a_caller_that_gives_up_does_not_stop_the_placement(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    call = asyncio.create_task(gateway.place(order))
    await eventually(lambda: rig.state(order))
    call.cancel()
    await rig.fills(order)
    assert len(rig.executed(order)) == 1


async def test_many_orders_at_once_are_each_executed_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    orders = [ticket(quantity="1") for _ in range(30)]
    await asyncio.gather(*(gateway.place(order) for order in orders))
    for order in orders:
        await rig.fills(order)
        assert len(rig.executed(order)) == 1
    ids = [rig.intent(order).broker_order_id for order in orders]
    assert len(set(ids)) == len(ids)


async def test_a_rejection_carries_the_brokers_text(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket("HALTD")
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.REJECTED
    assert "201" in reason(answer)
    assert "not available for trading" in reason(answer)
    assert status(await gateway.place(order)) is PlacementStatus.REJECTED
    await eventually(lambda: rig.orders.reports(order))
    assert "not available for trading" in (rig.orders.reports(order)[0].reason or "")
    assert rig.orders.executions(order) == []


async def test_a_price_off_the_tick_is_rounded_to_the_safe_side_and_said_so(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(limit_price=Decimal("5.019"))
    assert status(await gateway.place(order)) is PlacementStatus.WORKING
    (fact,) = await eventually(lambda: rig.orders.rounded(order))
    (rounding,) = fact.roundings
    assert (rounding.field, rounding.asked, rounding.sent) == (
        "limit_price",
        order.limit_price,
        Decimal("5.01"),
    )
    assert (fact.revision, rounding.tick) == (0, Decimal("0.01"))
    assert rig.sent(order)["lmtPrice"] == "5.01"
    assert rig.orders.facts[order.order_id][0] == fact
    assert rig.intent(order).ticket.limit_price == Decimal("5.01")
    await gateway.place(order)
    assert rig.orders.rounded(order) == [fact]


async def test_a_price_that_would_round_to_nothing_is_refused_unsent(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(limit_price=Decimal("0.00001"))
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.REJECTED
    assert "less than one tick" in reason(answer)
    assert rig.at_the_broker(order) == []


async def test_a_broker_with_another_tick_rejects_by_an_error_alone(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.fail_next("place", FaultKind.ERROR_INSTEAD, code=110)
    answer = await gateway.place(resting())
    assert status(answer) is PlacementStatus.REJECTED
    assert reason(answer).startswith("110")


async def test_an_unknown_contract_is_rejected_and_stays_so(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket("NOSUCH")
    for _ in range(2):
        answer = await gateway.place(order)
        assert status(answer) is PlacementStatus.REJECTED
        assert "No security definition" in reason(answer)
    assert rig.at_the_broker(order) == []
    await eventually(lambda: rig.orders.statuses(order) == [PlacementStatus.REJECTED])


async def test_an_account_of_another_login_is_rejected_unsent(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket(account="DU999999")
    answer = await gateway.place(order)
    assert status(answer) is PlacementStatus.REJECTED
    assert "DU999999" in reason(answer)
    assert rig.at_the_broker(order) == []


async def test_an_immediate_order_that_finds_no_price_has_expired(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(time_in_force=TimeInForce.IOC)
    await gateway.place(order)
    await eventually(lambda: PlacementStatus.EXPIRED in rig.orders.statuses(order))
    assert rig.orders.executions(order) == []


async def test_nothing_is_sent_before_the_session_is_ready(rig: Rig) -> None:
    gateway = await rig.started(port=1)
    order = ticket()
    with pytest.raises(GatewayNotReady):
        await gateway.place(order)
    assert rig.intent(order) is None


async def test_asking_knows_what_was_sent_and_nothing_of_what_was_not(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    assert (await gateway.ask(order)).facts == ()
    await gateway.place(order)
    assert status(await gateway.ask(order)) is PlacementStatus.WORKING
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await rig.fills(order)
    assert status(await gateway.ask(order)) in OVER


async def test_a_short_sale_is_a_sell_at_the_broker(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket(direction=Direction.SELL_SHORT)
    await gateway.place(order)
    await rig.fills(order)
    assert rig.executed(order)[0].side == "SELL"


async def test_a_known_contract_id_decides(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket(instrument=stock("AAPL").model_copy(update={"conid": 265598}))
    await gateway.place(order)
    await rig.fills(order)
    assert rig.executed(order)[0].symbol == "AAPL"


async def test_a_stop_waits_for_the_first_word_about_what_is_in_the_air(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=3.0)
    rig.paper.faults.delay = 0.3
    order = resting()
    rig.paper.fail_next_place(FaultKind.DELAYED)
    call = asyncio.create_task(gateway.place(order))
    await eventually(lambda: rig.state(order))
    await gateway.stop()
    assert status(await call) is PlacementStatus.WORKING
    with pytest.raises(GatewayNotReady, match="stopping"):
        await gateway.place(ticket())


async def test_a_stop_that_waits_no_longer_leaves_the_order_to_the_next_process(rig: Rig) -> None:
    gateway = await rig.gateway(acknowledge_seconds=0.2)
    rig.paper.faults.delay = 0.6
    order = ticket()
    rig.paper.fail_next_place(FaultKind.DELAYED)
    call = asyncio.create_task(gateway.place(order))
    await eventually(lambda: rig.state(order))
    await gateway.stop()
    await asyncio.wait([call])
    later = await rig.gateway()
    await later.reconcile()
    await eventually(lambda: rig.executed(order))
    await rig.fills(order)
    assert len(rig.executed(order)) == 1
