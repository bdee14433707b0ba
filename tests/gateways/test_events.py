"""What the venue says becomes an event: once, in order, with its order where it has one; and no fill waits for it."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest
from ib_async import IB, MarketOrder, Stock
from sqlalchemy.exc import OperationalError
from tests.gateways.rig import ACCOUNT, Rig, eventually, resting, ticket

from oms.domain.programs.events import TailedEvent
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr import events as events_of_ib
from oms.gateways.ibkr import heard
from oms.paper.faults import FaultKind
from oms.store import IntentState

OTHERS = "PORT-7"
FILLED = ["openOrder", "orderStatus", "execDetails", "commissionReport"]
CALLBACKS = ("openOrder", "orderStatus", "execDetails", "commissionReport", "error", "completedOrder")


@pytest.fixture
async def them(rig: Rig) -> AsyncIterator[IB]:
    """Another program on the same account."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=9)
    yield client
    client.disconnect()


def events(rig: Rig, order: PlacementTicket | None = None, kind: str | None = None) -> list[TailedEvent]:
    """Everything that was said, or of one order, or of one kind."""
    every = rig.store.venue_events.tail(1000)
    of_order = [one for one in every if order is None or one.order_id == order.order_id]
    return [one for one in of_order if kind in (None, one.event_type)]


def kinds(rig: Rig, order: PlacementTicket) -> list[str]:
    return [one.event_type for one in events(rig, order)]


async def bought(rig: Rig, gateway: Any, **terms: Any) -> PlacementTicket:
    """An order that is filled, with everything that was said of it written down."""
    order = ticket(portfolio_id=OTHERS, **terms)
    await gateway.place(order)
    await rig.fills(order)
    await eventually(lambda: rig.orders.charges(order))
    return order


async def test_a_life_is_told_in_the_words_and_numbers_of_the_venue(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await bought(rig, gateway, quantity="10")
    shown, *_, status = [one.body for one in events(rig, order) if one.event_type in FILLED[:2]]
    (intent, execution) = (rig.intent(order), rig.executed(order)[0])
    assert {name: shown[name] for name in ("orderId", "symbol", "secType", "action", "orderType")} == {
        "orderId": intent.broker_order_id,
        "symbol": "AAPL",
        "secType": "STK",
        "action": "BUY",
        "orderType": "MKT",
    }
    assert (shown["totalQuantity"], shown["orderRef"]) == (10, order.order_ref)
    assert status == {
        "event_type": "orderStatus",
        "orderId": intent.broker_order_id,
        "permId": intent.perm_ids[0],
        "clientId": 1,
        "status": "Filled",
        "filled": 10,
        "remaining": 0,
        "avgFillPrice": execution.price,
        "whyHeld": "",
        "symbol": "AAPL",
        "account": ACCOUNT,
    }
    (details,), (fee,) = (events(rig, order, kind) for kind in FILLED[2:])
    assert (details.body["execId"], details.body["side"], details.body["shares"]) == (
        execution.exec_id,
        "BOT",
        10,
    )
    assert (details.body["price"], details.body["account"]) == (execution.price, ACCOUNT)
    assert details.body["time"].endswith("+00:00")
    assert fee.body == {
        "event_type": "commissionReport",
        "execId": execution.exec_id,
        "commission": execution.commission,
        "currency": "USD",
    }
    assert {one.portfolio_id for one in events(rig, order)} == {OTHERS}


async def test_each_thing_is_said_once_and_in_order(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await bought(rig, gateway)
    said = events(rig, order)
    assert [one.position for one in said] == sorted(one.position for one in said)
    assert [one.ts_init_ns for one in said] == sorted(one.ts_init_ns for one in said)
    assert kinds(rig, order)[0] == "openOrder"
    ends = [one.body["status"] for one in said if one.event_type == "orderStatus"]
    assert ends[-1] == "Filled"
    assert len(ends) == len(set(ends))
    assert kinds(rig, order).index("execDetails") < kinds(rig, order).index("commissionReport")
    assert all(isinstance(value, str | int | Decimal) for one in said for value in one.body.values())


async def test_a_rejection_is_a_status_and_an_error(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.faults.rates = {FaultKind.REJECTED: 1.0}
    order = ticket()
    await gateway.place(order)
    await eventually(lambda: events(rig, order, "error"))
    (error,) = events(rig, order, "error")
    number = rig.intent(order).broker_order_id
    assert (error.body["orderId"], error.body["errorCode"]) == (number, 201)
    assert error.body["errorString"]
    assert events(rig, order, "orderStatus")[-1].body["status"] == "Inactive"


async def test_the_completed_list_is_told_too(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await bought(rig, gateway)
    await rig.reconciled(gateway)
    (done,) = events(rig, order, "completedOrder")
    assert (done.body["status"], done.body["filledQuantity"], done.body["permId"]) == (
        "Filled",
        10,
        rig.intent(order).perm_ids[0],
    )


async def a_whole_day(rig: Rig, gateway: Any) -> list[TailedEvent]:
    """Every callback that there is, of orders that are over and of one that works."""
    await bought(rig, gateway)
    works = resting(portfolio_id=OTHERS)
    await gateway.place(works)
    rig.error(rig.intent(works).broker_order_id, 399, "it will be sent later")
    await rig.reconciled(gateway)
    told = events(rig)
    assert {one.event_type for one in told} == set(CALLBACKS)
    return told


async def test_a_reconnect_says_nothing_twice(rig: Rig) -> None:
    gateway = await rig.gateway()
    told = await a_whole_day(rig, gateway)
    connected = gateway._session.connected_ns
    rig.paper.drop_connections()
    await eventually(lambda: gateway._session.connected_ns not in (None, connected))
    await gateway.ready()
    await rig.reconciled(gateway)
    assert events(rig) == told


async def test_nor_does_another_process(rig: Rig) -> None:
    told = await a_whole_day(rig, gateway := await rig.gateway())
    await rig.died(gateway)
    await rig.reconciled(await rig.gateway())
    assert events(rig) == told


async def test_what_the_process_forgets_the_store_knows(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_of_ib, "_KEPT", 0)
    gateway = await rig.gateway()
    told = await a_whole_day(rig, gateway)
    for _ in range(2):
        await rig.reconciled(gateway)
    assert events(rig) == told


async def test_what_happened_meanwhile_is_told_afterwards(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting(portfolio_id=OTHERS)
    await gateway.place(order)
    before = kinds(rig, order)
    await rig.died(gateway)
    quote = rig.paper.quote("AAPL")
    rig.paper.set_price("AAPL", quote.bid / 100, quote.ask / 100)
    await eventually(lambda: rig.executed(order))
    await rig.reconciled(await rig.gateway())
    news = Counter(kinds(rig, order)[len(before) :])
    assert (news["execDetails"], news["commissionReport"], news["completedOrder"]) == (1, 1, 1)


async def test_an_order_of_others_is_told_without_an_order_of_ours(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    trade = them.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder("SELL", 7, account=ACCOUNT))
    await eventually(trade.isDone)
    await rig.reconciled(gateway)
    told = events(rig)
    assert {one.event_type for one in told} >= {"execDetails", "commissionReport"}
    assert {(one.order_id, one.portfolio_id) for one in told} == {(None, None)}
    assert rig.store.venue_events.tail(10, portfolio_ids=[OTHERS]) == []
    await rig.reconciled(gateway)
    assert events(rig) == told


async def test_another_sessions_order_is_told_by_that_session(rig: Rig) -> None:
    first = await rig.gateway()
    second = await rig.gateway(client_id=2, name="second", accounts=("DU999999",))
    order = await bought(rig, first)
    works = resting()
    await first.place(works)
    await second.reconcile()
    await eventually(lambda: not rig.store.inbox.undelivered("ibkr"))
    assert Counter(kinds(rig, order))["execDetails"] == 1
    assert {one.order_id for one in events(rig)} == {order.order_id, works.order_id}


async def test_a_status_that_comes_back_is_news_and_one_that_is_repeated_is_not(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    number, (perm_id, *_) = rig.intent(order).broker_order_id, rig.intent(order).perm_ids
    for status in ("PreSubmitted", "PreSubmitted", "Submitted", "Submitted", "PreSubmitted"):
        rig.say(3, number, status, 0, 10, 0, perm_id, 0, 0, 1, "", 0)
    await rig.reconciled(gateway)
    told = [one.body["status"] for one in events(rig, order, "orderStatus")]
    assert told == ["Submitted", "PreSubmitted", "Submitted", "PreSubmitted", "Submitted"]


async def test_a_figure_that_is_none_stops_nothing(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = resting()
    await gateway.place(order)
    number, (perm_id, *_) = rig.intent(order).broker_order_id, rig.intent(order).perm_ids
    rig.say(3, number, "Cancelled", 0, 1.7976931348623157e308, "nan", perm_id, 0, 0, 1, "", 0)
    await eventually(lambda: PlacementStatus.CANCELED in rig.orders.statuses(order))
    (end,) = [one.body for one in events(rig, order, "orderStatus") if one.body["status"] == "Cancelled"]
    assert not end.keys() & {"remaining", "avgFillPrice"}


async def test_a_commission_before_its_execution_is_told_once(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.faults.rates = {FaultKind.COMMISSION_FIRST: 1.0}
    order = await bought(rig, gateway)
    await rig.reconciled(gateway)
    assert Counter(kinds(rig, order))["commissionReport"] == 1


async def test_a_correction_is_an_execution_of_its_own(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = await bought(rig, gateway)
    (first,) = rig.executed(order)
    corrected = rig.paper.correct_execution(first.exec_id, Decimal(8), Decimal("99.5"))
    await eventually(lambda: len(events(rig, order, "execDetails")) == 2)
    again = events(rig, order, "execDetails")[1].body
    assert (again["execId"], again["shares"], again["price"]) == (corrected, 8, Decimal("99.5"))


# When something goes wrong in between


def failing(times: int, error: Exception, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call`, which fails so many times first."""
    left = iter(range(times))

    def calling(*arguments: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return call(*arguments)

    return calling


AWAY = OperationalError("INSERT", {}, Exception("the store is away"))


@pytest.mark.parametrize("room", ["venue_events", "inbox"])
async def test_a_store_that_fails_is_tried_again_and_nothing_is_lost_or_doubled(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    gateway = await rig.gateway()
    writes = getattr(rig.store, room)
    monkeypatch.setattr(writes, "add", failing(2, AWAY, writes.add))
    monkeypatch.setattr("oms.gateways.ibkr.inbound._RETRY_SECONDS", 0.01)
    order = await bought(rig, gateway)
    assert len(rig.orders.executions(order)) == 1
    assert gateway._inbound.failures == 2
    assert [Counter(kinds(rig, order))[kind] for kind in ("execDetails", "commissionReport")] == [1, 1]
    assert kinds(rig, order)[0] == "openOrder"


@pytest.mark.parametrize("room", ["venue_events", "inbox", "intents"])
async def test_a_process_that_dies_between_two_writes_tells_all_of_it_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    """It dies before the events are kept, between them and the inbox, or between the inbox and the intents."""
    gateway = await rig.gateway()
    order = ticket(portfolio_id=OTHERS)
    writes, name = getattr(rig.store, room), "update_all" if room == "intents" else "add"
    monkeypatch.setattr(writes, name, failing(10_000, AWAY, getattr(writes, name)))
    with contextlib.suppress(OperationalError):
        await gateway.place(order)
    await eventually(lambda: gateway._inbound.failures and rig.executed(order))
    await rig.died(gateway)
    monkeypatch.undo()
    gateway = await rig.gateway()
    await rig.reconciled(gateway)
    await rig.fills(order)
    await eventually(lambda: rig.orders.charges(order))
    # What was delivered and not marked so is delivered again: the order knows its executions.
    assert len({execution.exec_id for execution in rig.orders.executions(order)}) == 1
    assert rig.state(order) is IntentState.DONE
    told = Counter(kinds(rig, order))
    assert (told["execDetails"], told["commissionReport"], told["completedOrder"]) == (1, 1, 1)
    keys = [(one.event_type, tuple(sorted(one.body.items()))) for one in events(rig, order)]
    assert len(keys) == len(set(keys))


async def test_an_event_that_cannot_be_made_keeps_no_fill_back(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(heard, "event_of", broken)
    order = await bought(rig, await rig.gateway())
    assert (len(rig.orders.executions(order)), events(rig)) == (1, [])
