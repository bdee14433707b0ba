"""Everything that can happen to the whole paper gateway, as an unmodified ib_async client sees it."""

from decimal import Decimal
from typing import Any

import ib_async as iba
import pytest
from tests.paper.clients import Client, Desk, until
from tests.paper.test_fault_kinds import changed, lost, lowered, opened, resting, told

from oms.paper.fault_events import Operation
from oms.paper.faults import FaultPlan
from oms.paper.ib_gateway import PaperIBGateway


def planned(*events: dict[str, Any]) -> FaultPlan:
    return FaultPlan(events=events)  # type: ignore[arg-type]


def limit(reference: str = "r", order_id: int = 0) -> iba.Order:
    return iba.LimitOrder("BUY", 1, 100, orderRef=reference, orderId=order_id)


# -- When they happen ------------------------------------------------------------------------------------

NOTICE = {"do": "notice", "code": 2110}


@pytest.mark.parametrize("when", ["after_placements", "after_executions", "after_steps", "after_seconds"])
async def test_an_event_happens_at_its_moment(desk: Desk, when: str) -> None:
    gateway, client = await opened(desk)
    gateway.use_plan(planned({**NOTICE, when: 0.02 if when == "after_seconds" else 2}))
    assert "4:2110" not in told(client)
    if when == "after_placements":
        client.place(limit())
        client.place(limit())
    elif when == "after_executions":
        client.place(iba.MarketOrder("BUY", 1))
        client.place(iba.MarketOrder("BUY", 1))
    elif when == "after_steps":
        gateway.step_market(2)
    await until(lambda: "4:2110" in told(client))
    assert [(c.on, c.kind, c.nth, c.code) for c in gateway.committed] == [("session", "notice", 1, 2110)]


async def test_a_plan_that_is_taken_up_begins_anew(desk: Desk) -> None:
    gateway, client = await opened(desk, faults=planned({**NOTICE, "after_placements": 1}))
    for _ in range(2):
        client.received.clear()
        client.place(limit())
        client.place(limit())
        await client.echo()
        assert told(client) == ["5", "3", "5", "3", "4:2110"]
        gateway.use_plan(planned({**NOTICE, "after_placements": 1}))
    assert len(gateway.committed) == 2


async def test_an_event_that_cannot_happen_is_named_and_passed(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    events = [{"do": "hand_cancel", "perm_id": 5}, {"do": "order_error", "code": 201}, NOTICE]
    gateway, client = await opened(desk)
    gateway.use_plan(planned(*events))
    await client.echo()
    assert told(client) == ["4:2110"]
    assert "hand_cancel could not happen" in caplog.text


# -- Words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [326, 354, 1100, 1101, 1102, *range(2103, 2111), 77_777])
async def test_any_code_about_the_session(desk: Desk, code: int) -> None:
    gateway, client = await opened(desk)
    gateway.notice(code)
    await until(lambda: [e[:2] for e in client.errors if e[1] == code and e[2]][-1:] == [(-1, code)])
    assert client.ib.isConnected()


@pytest.mark.parametrize("code", [103, 104, 110, 200, 201, 202, 354, 399, 10147, 10148, 10349, 77_777])
async def test_any_code_about_an_order_at_any_time(desk: Desk, code: int) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    client.place(iba.MarketOrder("BUY", 1))
    gateway.order_error(code, order_ref="r")
    assert (await client.error(code))[0] == trade.order.orderId
    assert gateway.orders()[0].status == "Submitted"


# -- The connection ----------------------------------------------------------------------------------------


async def test_bytes_of_a_request_are_cut(desk: Desk) -> None:
    gateway, client = await opened(desk, faults=planned({"do": "cut_request", "after_placements": 1}))
    client.place(limit("first"))
    await client.echo()
    client.place(limit("second"))
    await lost(client)
    assert [o.order_ref for o in gateway.orders()] == ["first"]


async def test_silence_for_some_time(desk: Desk) -> None:
    silence = {"do": "silence", "seconds": 0.05, "after_placements": 1}
    gateway, client = await opened(desk, faults=planned(silence))
    client.place(limit("first"))
    await client.echo()
    assert [o.order_ref for o in gateway.orders()] == ["first"]
    gateway.fall_silent(0.05)
    second = client.place(iba.MarketOrder("BUY", 1))
    await client.status(second, "Filled")


@pytest.mark.parametrize(("data_lost", "code"), [(True, 1101), (False, 1102)])
async def test_connectivity_comes_back_by_itself(desk: Desk, data_lost: bool, code: int) -> None:
    gateway, client = await opened(desk)
    gateway.connectivity_lost(0.05, data_lost=data_lost)
    trade = client.place(iba.MarketOrder("BUY", 1))
    await client.error(1100)
    await client.error(code)
    await client.status(trade, "Filled")


async def test_connectivity_is_lost_without_a_word(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.connectivity_lost(told=False)
    trade = client.place(iba.MarketOrder("BUY", 1))
    await client.echo()
    assert (client.codes(), trade.orderStatus.status) == ([], "PendingSubmit")


async def test_a_client_id_is_in_use_for_some_time(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.client_id_in_use(7, 60)
    await lost(client)
    refused = Client()
    with pytest.raises((ConnectionError, TimeoutError)):
        await refused.ib.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=0.03)
    assert refused.codes()[0] == 326
    await desk.client(gateway, 8)
    gateway.client_id_in_use(7, 0)
    await until(lambda: not gateway._ids_in_use)
    await desk.client(gateway, 7)


async def test_one_request_stays_unanswered_for_some_time(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.use_plan(planned({"do": "unanswered", "request": "positions", "seconds": 60}))
    client.ib.client.reqPositions()
    await client.echo()
    assert not any(m[0] == "62" for m in client.received)
    gateway.leave_unanswered(Operation.POSITIONS, 0)
    await until(lambda: not gateway._unanswered)
    await client.ib.reqPositionsAsync()


# -- The daily restart -------------------------------------------------------------------------------------


async def test_the_daily_restart(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    filled = client.place(iba.MarketOrder("BUY", 1, orderRef="filled"))
    held = client.place(iba.LimitOrder("BUY", 1, 100, orderRef="held", transmit=False))
    await client.status(filled, "Filled")
    port = gateway.port
    gateway.use_plan(planned({"do": "restart", "seconds": 60}))
    await lost(client)
    with pytest.raises(OSError, match="Connect call failed"):
        await Client().ib.connectAsync("127.0.0.1", port, clientId=7, timeout=1)
    lowered(gateway)
    gateway.restart(0)
    await until(lambda: gateway._server is not None and gateway._server.is_serving())
    again = await desk.client(port, fetchFields=iba.StartupFetchNONE)
    assert [m[2] for m in again.received if m[0] == "9"] == ["1"]
    assert [e[1] for e in again.errors] == [2104, 2103, 2105, 2104, 2106]
    # The broker worked on while the gateway was down, and the day's lists are whole.
    fills = await again.ib.reqExecutionsAsync()
    assert sorted(f.execution.orderRef for f in fills) == ["filled", "r"]
    completed = await again.ib.reqCompletedOrdersAsync(False)
    assert {t.order.orderRef for t in completed} == {"filled", "r"}
    # What was never transmitted is gone, and its number is free; the others are used.
    assert await again.ib.reqAllOpenOrdersAsync() == []
    again.place(limit("fresh", held.order.orderId))
    await until(lambda: [e.order_ref for e in gateway.executions()][-1] == "fresh")
    again.place(limit("again", trade.order.orderId))
    await again.error(103)


async def test_what_was_not_read_dies_with_a_restart(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "hold_before_read")
    client.place(iba.MarketOrder("BUY", 1))
    await client.echo()
    gateway.connectivity_lost()
    client.place(iba.MarketOrder("BUY", 1))
    await client.echo()
    gateway.restart(0)
    assert gateway.held == []
    await until(lambda: gateway._server is not None and gateway._server.is_serving())
    await desk.client(gateway)
    assert gateway.orders() == []


async def test_a_locate_outlasts_a_restart(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "held_for_locate", seconds=60)
    trade = client.place(iba.MarketOrder("SELL", 1, orderRef="r"))
    await client.status(trade, "Inactive")
    gateway.restart(0)
    await lost(client)
    await until(lambda: gateway._server is not None and gateway._server.is_serving())
    again = await desk.client(gateway)
    assert [t.orderStatus.whyHeld for t in again.ib.trades()] == ["locate"]
    gateway.release("r")
    await until(lambda: len(again.ib.fills()) == 1)


# -- Other hands -------------------------------------------------------------------------------------------


async def test_an_order_is_entered_by_hand(desk: Desk) -> None:
    gateway, client = await opened(desk)
    perm_id = gateway.enter_by_hand("AAPL", "BUY", Decimal(5), "LMT", Decimal(100))
    assert told(client) == []
    (trade,) = await client.ib.reqAllOpenOrdersAsync()
    order = trade.order
    assert (order.permId, order.orderId, order.clientId, order.totalQuantity) == (perm_id, 0, 0, 5)
    assert await client.ib.reqOpenOrdersAsync() == []
    gateway.change_by_hand(quantity=Decimal(3), price=Decimal(90))
    (trade,) = await client.ib.reqAllOpenOrdersAsync()
    assert (trade.order.totalQuantity, trade.order.lmtPrice) == (3, 90)
    gateway.cancel_by_hand()
    assert await client.ib.reqAllOpenOrdersAsync() == []
    completed = await client.ib.reqCompletedOrdersAsync(False)
    assert [(t.order.permId, t.orderStatus.status) for t in completed] == [(perm_id, "Cancelled")]


async def test_an_order_by_hand_fills(desk: Desk) -> None:
    gateway, client = await opened(desk)
    listener = await desk.client(gateway, 0)
    listener.received.clear()
    first = gateway.enter_by_hand("AAPL", "BUY", Decimal(5))
    second = gateway.enter_by_hand("AAPL", "BUY", Decimal(2), order_id=-4)
    await until(lambda: len(listener.ib.fills()) == 2)
    assert told(listener)[:3] == ["5", "3", "11"]
    fills = {f.execution.permId: f.execution for f in await client.ib.reqExecutionsAsync()}
    assert {p: (e.clientId, e.orderId, e.shares) for p, e in fills.items()} == {
        first: (0, 0, 5),
        second: (0, -4, 2),
    }
    assert client.ib.positions()[0].position == 7
    # Its own client heard nothing but the position.
    assert told(client) == ["11", "59", "11", "59"]


async def test_an_order_by_hand_is_refused(desk: Desk) -> None:
    gateway, _ = await opened(desk)
    with pytest.raises(KeyError):
        gateway.enter_by_hand("NONE")
    with pytest.raises(ValueError, match="does not take"):
        gateway.enter_by_hand("AAPL", quantity=Decimal(0))
    with pytest.raises(ValueError, match="negative"):
        gateway.enter_by_hand("AAPL", order_id=4)
    with pytest.raises(KeyError):
        gateway.cancel_by_hand()


async def test_hands_reach_orders_of_the_client_too(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.change_by_hand(trade.order.permId, quantity=Decimal(4))
    await until(lambda: trade.order.totalQuantity == 4)
    with pytest.raises(ValueError, match="minimum price variation"):
        gateway.change_by_hand(order_ref="r", price=Decimal("1.001"))
    gateway.cancel_by_hand(order_ref="r")
    await client.status(trade, "Cancelled")
    assert told(client)[-2:] == ["3", "4:202"]


async def test_another_client_has_our_number(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    perm_id = gateway.enter_as_other_client("AAPL", "SELL", Decimal(3), "LMT", Decimal(900), order_ref="x")
    await client.ib.reqAllOpenOrdersAsync()
    listed = {(m[24], m[1], m[23]) for m in client.received if m[0] == "5"}
    number = str(trade.order.orderId)
    assert listed == {("7", number, "r"), ("99", number, "x")}
    gateway.set_price("AAPL", Decimal("901.00"), Decimal("901.01"))
    fills = [f.execution for f in await client.ib.reqExecutionsAsync()]
    assert [(e.clientId, str(e.orderId), e.permId) for e in fills] == [(99, number, perm_id)]
    client.ib.client.cancelOrder(trade.order.orderId)
    await client.status(trade, "Cancelled")


async def test_hands_by_plan(desk: Desk) -> None:
    events = [
        {"do": "hand_order", "symbol": "IBM", "quantity": "5", "order_type": "LMT", "price": "100"},
        {"do": "hand_change", "quantity": "4"},
        {"do": "other_client_order", "symbol": "MSFT", "quantity": "2", "after_placements": 1},
        {"do": "set_price", "symbol": "IBM", "bid": "98", "ask": "99", "after_executions": 1},
        {"do": "correction", "quantity": "0", "price": "0", "after_executions": 2},
        {"do": "hand_order", "symbol": "IBM", "order_type": "LMT", "price": "1", "after_executions": 2},
        {"do": "hand_cancel", "after_executions": 2},
    ]
    gateway, client = await opened(desk, faults=planned(*events))
    await resting(client)
    await until(lambda: len(gateway.committed) == len(events))
    lines = [(o.client_id, o.symbol, o.quantity, o.status) for o in gateway.orders()]
    assert lines == [
        (0, "IBM", 4, "Filled"),
        (7, "AAPL", 10, "Submitted"),
        (99, "MSFT", 2, "Filled"),
        (0, "IBM", 1, "Cancelled"),
    ]
    assert [e.quantity for e in gateway.executions()] == [2, 0]


async def test_a_hold_is_released_by_plan(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("modify", "hold_replies")
    trade = await resting(client)
    changed(client, trade, 4)
    await client.echo()
    assert (told(client), gateway.orders()[0].quantity) == ([], 4)
    gateway.use_plan(planned({"do": "release"}))
    await until(lambda: trade.order.totalQuantity == 4)


def test_a_gateway_that_does_not_listen_cannot_restart() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        PaperIBGateway().restart()
