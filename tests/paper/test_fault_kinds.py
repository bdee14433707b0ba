"""Every fault that can hit one request, as an unmodified ib_async client sees it."""

import asyncio
from decimal import Decimal

import ib_async as iba
import pytest
from tests.paper.clients import Client, Desk, until

from oms.paper.fault_events import Operation
from oms.paper.faults import FaultKind, FaultPlan
from oms.paper.ib_gateway import PaperIBGateway

ABOUT_ORDERS = {"3", "4", "5", "11", "59"}


def told(client: Client) -> list[str]:
    """Ids of the messages about orders, in order; an error with its code."""
    return [
        f"4:{m[3]}" if m[0] == "4" else m[0]
        for m in client.received
        if m[0] in ABOUT_ORDERS and not (m[0] == "4" and m[3] == "2104")
    ]


async def opened(desk: Desk, **arguments: object) -> tuple[PaperIBGateway, Client]:
    gateway = await desk.gateway(**arguments)
    client = await desk.client(gateway)
    client.received.clear()
    return gateway, client


async def lost(client: Client) -> None:
    await until(lambda: not client.ib.isConnected())


def lowered(gateway: PaperIBGateway) -> None:
    """Let the market come down to what rests at 100."""
    gateway.set_price("AAPL", Decimal("99.00"), Decimal("99.01"))
    gateway.step_market()


async def resting(client: Client, quantity: int = 10) -> iba.Trade:
    trade = client.place(iba.LimitOrder("BUY", quantity, 100, orderRef="r"))
    await client.status(trade, "Submitted")
    client.received.clear()
    return trade


def changed(client: Client, trade: iba.Trade, quantity: int, limit: float = 100) -> None:
    """A modify with an Order of its own, as ib_async leaves the bytes of one."""
    order = iba.LimitOrder("BUY", quantity, limit, orderRef="r")
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, order)


LIVE = {
    FaultKind.DUPLICATE_STATUS: ["5", "3", "3", "11", "5", "3", "3", "5", "59"],
    FaultKind.MISSING_STATUS: ["5", "11", "5", "5", "59"],
    FaultKind.REORDERED_STATUS: ["5", "11", "5", "5", "59", "3", "3"],
    FaultKind.COMMISSION_FIRST: ["5", "3", "59", "11", "5", "3", "5"],
    FaultKind.COMMISSION_MISSING: ["5", "3", "11", "5", "3", "5"],
    FaultKind.EXECUTION_FIRST: ["11", "5", "3", "5", "59"],
    FaultKind.EXECUTION_MISSING: ["5", "3", "5", "3", "5"],
    FaultKind.UNSEEN: [],
    FaultKind.INFORMATION_399: ["5", "3", "11", "5", "3", "5", "59", "4:399"],
    FaultKind.INFORMATION_2109: ["5", "3", "11", "5", "3", "5", "59", "4:2109"],
    FaultKind.INFORMATION_10349: ["5", "3", "11", "5", "3", "5", "59", "4:10349"],
    FaultKind.CORRECTED: ["5", "3", "11", "5", "3", "5", "59", "11", "59"],
    FaultKind.BUSTED: ["5", "3", "11", "5", "3", "5", "59", "11", "59"],
    FaultKind.REJECTED: ["5", "3", "4:201"],
    FaultKind.ERROR_ALONE: ["4:201"],
    FaultKind.INACTIVE_ALONE: ["5", "3"],
    FaultKind.ERROR_INSTEAD: ["4:201"],
    FaultKind.ERROR_BEFORE: ["4:201", "5", "3", "11", "5", "3", "5", "59"],
    FaultKind.ERROR_AFTER: ["5", "3", "11", "5", "3", "5", "59", "4:201"],
}


@pytest.mark.parametrize("version", [157, 178])
@pytest.mark.parametrize("kind", LIVE)
async def test_what_is_told_of_a_market_order(desk: Desk, kind: FaultKind) -> None:
    gateway, client = await opened(desk, faults=FaultPlan(correction_after=0))
    gateway.fail_next_place(kind)
    client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await client.echo()
    assert told(client) == LIVE[kind]
    assert [(c.on, c.kind, c.nth, c.order_ref) for c in gateway.committed] == [("place", kind, 1, "r")]


async def test_a_status_that_is_out_of_date_comes_last(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next_place(FaultKind.REORDERED_STATUS)
    trade = client.place(iba.LimitOrder("BUY", 1, 100))
    await client.status(trade, "Submitted")
    lowered(gateway)
    await client.echo()
    assert [m[2] for m in client.received if m[0] == "3"] == ["Submitted", "Filled", "Submitted"]
    assert trade.orderStatus.status == "Submitted"
    assert gateway.orders()[0].status == "Filled"


async def test_a_missing_commission_is_there_for_the_asking(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next_place(FaultKind.COMMISSION_MISSING)
    trade = client.place(iba.MarketOrder("BUY", 1))
    await client.status(trade, "Filled")
    assert "59" not in told(client)
    await client.ib.reqExecutionsAsync()
    assert told(client)[-1] == "59"


async def test_nothing_is_said_of_an_order_before_its_first_execution(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next_place(FaultKind.EXECUTION_FIRST)
    trade = client.place(iba.LimitOrder("BUY", 1, 100))
    await client.echo()
    assert (told(client), trade.orderStatus.status) == ([], "PendingSubmit")
    lowered(gateway)
    await client.status(trade, "Filled")
    assert told(client)[0] == "11"


@pytest.mark.parametrize(("kind", "quantity", "price"), [("corrected", 1, 228.53), ("busted", 0, 0)])
async def test_a_correction_comes_some_executions_later(
    desk: Desk, kind: str, quantity: int, price: float
) -> None:
    gateway, client = await opened(desk)
    gateway.set_price("AAPL", Decimal("228.51"), Decimal("228.52"))
    gateway.fail_next("place", kind, after=2)
    for _ in range(3):
        assert all(e.exec_id.endswith(".01") for e in gateway.executions())
        trade = client.place(iba.MarketOrder("BUY", 1))
        await client.status(trade, "Filled")
    await until(lambda: len(client.ib.fills()) == 4)
    first, _, _, correction = (f.execution for f in client.ib.fills())
    assert correction.execId == first.execId[:-2] + "02"
    assert (correction.shares, correction.price) == (quantity, price)
    assert sum(e.quantity for e in gateway.executions()) == 2 + quantity


async def test_information_comes_at_the_start_and_at_the_fill(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next_place(FaultKind.INFORMATION_2109)
    trade = client.place(iba.LimitOrder("BUY", 1, 100))
    await client.echo()
    assert told(client) == ["5", "3", "4:2109"]
    lowered(gateway)
    await client.echo()
    assert told(client)[3:] == ["11", "5", "3", "5", "59", "4:2109"]
    # What the library makes of a warning after a fill.
    assert trade.orderStatus.status == "ValidationError"


async def test_an_error_alone_leaves_a_rejected_order_behind(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next_place(FaultKind.ERROR_ALONE)
    trade = client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await client.error(201)
    completed = await client.ib.reqCompletedOrdersAsync(False)
    assert [(t.order.orderRef, t.orderStatus.status) for t in completed] == [("r", "Inactive")]
    assert gateway.executions() == []
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, iba.MarketOrder("BUY", 1))
    await client.error(103)


@pytest.mark.parametrize("code", [103, 104, 110, 200, 202, 354, 10147, 10148, 10349, 77_777])
async def test_any_code_in_place_of_a_reply(desk: Desk, code: int) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "error_instead", code=code)
    trade = client.place(iba.MarketOrder("BUY", 1))
    number, _, text = await client.error(code)
    assert number == trade.order.orderId
    assert text
    assert gateway.orders() == []


async def test_a_modify_refused_leaves_the_order_as_it_was(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.fail_next("modify", "error_instead", order_ref="r")
    changed(client, trade, 5)
    await client.error(201)
    assert [(o.status, o.quantity) for o in gateway.orders()] == [("Submitted", 10)]
    changed(client, trade, 5)
    await client.echo()
    assert [o.quantity for o in gateway.orders()] == [5]
    assert [(c.on, c.code) for c in gateway.committed] == [("modify", 201)]


async def test_a_modify_is_no_placement(desk: Desk) -> None:
    gateway, client = await opened(desk, faults=FaultPlan({FaultKind.ERROR_INSTEAD: 0}, seed=1))
    gateway.faults.modify_rates = {FaultKind.ERROR_AFTER: 1.0}
    trade = await resting(client)
    changed(client, trade, 4)
    await client.error(201)
    assert [o.quantity for o in gateway.orders()] == [4]
    assert [c.on for c in gateway.committed] == ["modify"]


@pytest.mark.parametrize("code", [10147, 10148])
async def test_a_cancel_answered_with_an_error_while_the_order_lives(desk: Desk, code: int) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.fail_next("cancel", "error_instead", code=code, symbol="AAPL")
    client.ib.cancelOrder(trade.order)
    assert (await client.error(code))[0] == trade.order.orderId
    assert [o.status for o in gateway.orders()] == ["Submitted"]


@pytest.mark.parametrize("on", ["modify", "cancel"])
@pytest.mark.parametrize("kind", ["lost_before_read", "executed_replies_lost"])
async def test_a_modify_or_cancel_is_lost_before_or_after(desk: Desk, on: str, kind: str) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.fail_next(on, kind)
    if on == "modify":
        changed(client, trade, 4)
    else:
        client.ib.cancelOrder(trade.order)
    await lost(client)
    assert told(client) == []
    taken = kind == "executed_replies_lost"
    (line,) = gateway.orders()
    assert (line.quantity == 4, line.status == "Cancelled") == (
        taken and on == "modify",
        taken and on == "cancel",
    )


async def test_replies_cut_inside_a_frame(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next_place(FaultKind.CUT_REPLIES)
    client.place(iba.MarketOrder("BUY", 1))
    await lost(client)
    assert len(gateway.executions()) == 1
    assert "59" not in told(client)
    assert len(told(client)) < 7


@pytest.mark.parametrize("kind", ["hold_before_read", "hold_replies"])
@pytest.mark.parametrize("how", ["released", "in time", "with its name"])
async def test_a_placement_is_held(desk: Desk, kind: str, how: str) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", kind, order_ref="r", seconds=0.02 if how == "in time" else None)
    trade = client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    other = client.place(iba.MarketOrder("BUY", 2, orderRef="other"))
    await client.status(other, "Filled")
    if how != "in time":
        assert gateway.held == ["r"]
        assert trade.orderStatus.status == "PendingSubmit"
        booked = {"hold_before_read": ["other"], "hold_replies": ["r", "other"]}
        assert [e.order_ref for e in gateway.executions()] == booked[kind]
        if how == "with its name":
            assert gateway.release("another") == 0
        assert gateway.release("r" if how == "with its name" else "") == 1
    await client.status(trade, "Filled")
    assert gateway.held == []
    assert len(trade.fills) == 1


async def test_a_message_held_is_read_although_its_client_has_gone(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "hold_before_read")
    trade = client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await client.echo()
    gateway.drop_connections()
    await lost(client)
    again = await desk.client(gateway)
    assert (gateway.orders(), again.ib.fills()) == ([], [])
    gateway.release()
    await until(lambda: [f.execution.orderRef for f in again.ib.fills()] == ["r"])
    again.ib.client.placeOrder(trade.order.orderId, trade.contract, iba.MarketOrder("BUY", 1))
    await again.error(103)


async def test_replies_withheld_from_a_client_that_left_are_lost(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "hold_replies")
    client.place(iba.MarketOrder("BUY", 1, orderRef="r"))
    await client.echo()
    gateway.drop_connections()
    await lost(client)
    again = await desk.client(gateway)
    assert [f.execution.orderRef for f in again.ib.fills()] == ["r"]
    again.received.clear()
    gateway.release()
    await again.echo()
    assert told(again) == []


async def test_a_locate_is_waited_for(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "held_for_locate", seconds=60)
    trade = client.place(iba.MarketOrder("SELL", 1, orderRef="r"))
    await client.status(trade, "Inactive")
    assert (trade.orderStatus.whyHeld, trade.order.permId > 0) == ("locate", True)
    (listed,) = await client.ib.reqAllOpenOrdersAsync()
    assert (listed.orderStatus.status, listed.orderStatus.whyHeld) == ("Inactive", "locate")
    perm_id = trade.order.permId
    gateway.release()
    await until(lambda: [f.execution.permId for f in client.ib.fills()] == [perm_id])
    await client.status(trade, "Filled")


async def test_a_locate_comes_in_time(desk: Desk) -> None:
    gateway, client = await opened(desk, faults=FaultPlan(locate=0.02))
    gateway.fail_next_place(FaultKind.HELD_FOR_LOCATE)
    await client.status(client.place(iba.MarketOrder("SELL", 1)), "Filled")
    assert [m[2] for m in client.received if m[0] == "3"] == ["Inactive", "PreSubmitted", "Filled"]


async def test_an_order_that_waits_for_a_locate_can_be_canceled(desk: Desk) -> None:
    gateway, client = await opened(desk, faults=FaultPlan(locate=60))
    gateway.fail_next_place(FaultKind.HELD_FOR_LOCATE)
    trade = client.place(iba.MarketOrder("SELL", 1))
    await client.status(trade, "Inactive")
    client.ib.client.cancelOrder(trade.order.orderId)
    await client.error(202)
    assert trade.orderStatus.status == "Cancelled"
    gateway.release()
    await client.echo()
    assert gateway.executions() == []


async def test_a_modify_leaves_a_second_order_under_one_id(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.connectivity_lost()
    gateway.fail_next("modify", "second_perm_id")
    changed(client, trade, 4, 101)
    gateway.connectivity_restored(data_lost=False)
    await client.echo()
    first, second = gateway.orders()
    assert (first.quantity, second.quantity) == (10, 4)
    assert (first.client_id, first.order_id) == (second.client_id, second.order_id)
    assert second.perm_id > first.perm_id
    await client.ib.reqAllOpenOrdersAsync()
    listed = {(m[1], m[25]) for m in client.received if m[0] == "5"}
    assert listed == {(str(trade.order.orderId), str(each.perm_id)) for each in (first, second)}
    # A cancel reaches the second, then the first.
    client.ib.client.cancelOrder(trade.order.orderId)
    await client.echo()
    assert [o.status for o in gateway.orders()] == ["Submitted", "Cancelled"]
    client.ib.client.cancelOrder(trade.order.orderId)
    await client.echo()
    assert [o.status for o in gateway.orders()] == ["Cancelled", "Cancelled"]


async def test_both_orders_under_one_id_fill(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.fail_next("modify", "second_perm_id")
    changed(client, trade, 4)
    await client.echo()
    lowered(gateway)
    await until(lambda: len(client.ib.fills()) == 2)
    ids = {(f.execution.clientId, f.execution.orderId, f.execution.orderRef) for f in client.ib.fills()}
    assert ids == {(7, trade.order.orderId, "r")}
    assert sorted(e.quantity for e in gateway.executions()) == [4, 10]
    assert len({e.perm_id for e in gateway.executions()}) == 2
    again = await desk.client(gateway, 8)
    assert sorted(f.execution.shares for f in again.ib.fills()) == [4, 10]


async def test_the_second_order_is_there_after_a_restart(desk: Desk) -> None:
    gateway, client = await opened(desk)
    trade = await resting(client)
    gateway.fail_next("modify", "second_perm_id")
    changed(client, trade, 4)
    await client.echo()
    await gateway.stop()
    gateway = await desk.gateway()
    again = await desk.client(gateway)
    again.ib.client.cancelOrder(trade.order.orderId)
    await again.echo()
    assert [(o.order_id, o.status) for o in gateway.orders()] == [
        (trade.order.orderId, "Submitted"),
        (trade.order.orderId, "Cancelled"),
    ]


async def test_an_order_is_unseen_for_a_while(desk: Desk) -> None:
    gateway, client = await opened(desk, faults=FaultPlan(invisible=(60, 60)))
    gateway.fail_next_place(FaultKind.UNSEEN)
    trade = client.place(iba.LimitOrder("BUY", 1, 100, orderRef="r"))
    await client.echo()
    assert (told(client), await client.ib.reqAllOpenOrdersAsync()) == ([], [])
    client.ib.client.placeOrder(trade.order.orderId, trade.contract, iba.LimitOrder("BUY", 1, 100))
    await client.error(103)
    desk.clock.pass_time(seconds=61)
    assert [t.order.orderRef for t in await client.ib.reqAllOpenOrdersAsync()] == ["r"]
    lowered(gateway)
    await client.status(trade, "Filled")


REQUESTS = {
    Operation.OPEN_ORDERS: lambda ib: ib.reqOpenOrdersAsync(),
    Operation.ALL_OPEN_ORDERS: lambda ib: ib.reqAllOpenOrdersAsync(),
    Operation.COMPLETED_ORDERS: lambda ib: ib.reqCompletedOrdersAsync(False),
    Operation.EXECUTIONS: lambda ib: ib.reqExecutionsAsync(),
    Operation.POSITIONS: lambda ib: ib.reqPositionsAsync(),
    Operation.CURRENT_TIME: lambda ib: ib.reqCurrentTimeAsync(),
    Operation.CONTRACT_DETAILS: lambda ib: ib.reqContractDetailsAsync(iba.Stock("AAPL", "SMART", "USD")),
    Operation.ACCOUNT_UPDATES: lambda ib: ib.reqAccountUpdatesAsync("DU123456"),
}


@pytest.mark.parametrize("on", REQUESTS)
async def test_a_list_is_answered_late_or_never(desk: Desk, on: Operation) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next(on, "unanswered")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(REQUESTS[on](client.ib), 0.03)
    if on is not Operation.CURRENT_TIME:
        await client.echo()
    gateway.fail_next(on, "delayed", seconds=60)
    asked = asyncio.ensure_future(REQUESTS[on](client.ib))
    await until(lambda: gateway.held)
    assert not asked.done()
    gateway.release()
    await asyncio.wait_for(asked, 3)


async def test_a_list_breaks_off(desk: Desk) -> None:
    gateway, client = await opened(desk)
    for _ in range(4):
        client.place(iba.LimitOrder("BUY", 1, 100))
    await client.echo()
    client.received.clear()
    gateway.fail_next(Operation.OPEN_ORDERS, FaultKind.PARTIAL_LIST)
    with pytest.raises(ConnectionError):
        await client.ib.reqOpenOrdersAsync()
    assert told(client) == ["5", "3", "5", "3"]


async def test_a_list_is_refused(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next(Operation.CONTRACT_DETAILS, "error_instead", code=200)
    assert await client.ib.reqContractDetailsAsync(iba.Stock("AAPL", "SMART", "USD")) == []
    assert client.codes() == [200]


async def test_rules_choose_by_symbol_and_number(desk: Desk) -> None:
    gateway, client = await opened(desk)
    gateway.fail_next("place", "error_instead", symbol="IBM", nth=2, times=2)
    for symbol in ("IBM", "AAPL", "IBM", "AAPL", "IBM", "IBM"):
        client.place(iba.MarketOrder("BUY", 1), symbol)
    await client.echo()
    assert [e.symbol for e in gateway.executions()] == ["IBM", "AAPL", "AAPL", "IBM"]
    assert [c.nth for c in gateway.committed] == [3, 5]
