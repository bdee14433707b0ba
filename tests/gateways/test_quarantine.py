"""Orders of others: kept as the broker tells of them, followed, shown, and never touched."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from ib_async import IB, LimitOrder, MarketOrder, Stock, Trade
from tests.gateways.rig import Rig, eventually, resting, status, ticket

from oms.domain.control import ControlKind
from oms.domain.reference import InstrumentTerms
from oms.domain.terms import PlacementStatus
from oms.gateways.ibkr.settings import name_lease
from oms.gateways.ibkr.tenure import account_lease
from oms.store import ForeignOrder

THEIRS = 9


@pytest.fixture
async def them(rig: Rig) -> AsyncIterator[IB]:
    """Another program on the same account."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=THEIRS)
    yield client
    client.disconnect()


def contract(symbol: str = "AAPL") -> Stock:
    return Stock(symbol, "SMART", "USD")


def foreign(rig: Rig, **wanted: Any) -> tuple[ForeignOrder, ...]:
    found = rig.store.foreign.list()
    return tuple(one for one in found if all(getattr(one, name) == value for name, value in wanted.items()))


def told(rig: Rig) -> list[str]:
    kind = ControlKind.FOREIGN_ORDER_SEEN
    return [event.subject for event in rig.store.control.stream(0, kinds=[kind])]


async def test_another_programs_order_is_kept_with_all_that_is_told_of_it(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    order = LimitOrder("BUY", 20, 5.0, orderRef="their own", tif="GTC", account="DU123456")
    them.placeOrder(contract(), order)
    await eventually(lambda: order.permId)
    await rig.reconciled(gateway)
    (kept,) = foreign(rig)
    assert (kept.client_id, kept.order_id, kept.perm_id) == (THEIRS, order.orderId, order.permId)
    assert (kept.key, kept.origin) == (f"perm/{order.permId}", "client 9")
    assert (kept.symbol, kept.sec_type, kept.conid, kept.order_type) == ("AAPL", "STK", 265598, "LMT")
    assert (kept.account, kept.action, kept.quantity, kept.order_ref) == ("DU123456", "BUY", 20, "their own")
    assert (kept.status, kept.is_working) == ("Submitted", True)
    assert told(rig) == [kept.key]
    assert rig.store.inbox.parked() == []
    assert (await gateway.status()).foreign_orders == 1


async def test_it_is_followed_to_its_end_and_told_of_once(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    trade = them.placeOrder(contract(), LimitOrder("BUY", 20, 5.0, account="DU123456"))
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    await rig.reconciled(gateway)
    them.cancelOrder(trade.order)
    await eventually(trade.isDone)
    await rig.reconciled(gateway)
    (kept,) = foreign(rig)
    assert (kept.status, kept.is_working, kept.origin) == ("Cancelled", False, "client 9")
    assert len(told(rig)) == 1


async def test_their_executions_are_kept_once(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    trade = them.placeOrder(contract(), MarketOrder("SELL", 7, account="DU123456"))
    await eventually(trade.isDone)
    for _ in range(2):
        await rig.reconciled(gateway)
    (execution,) = rig.store.foreign.executions()
    assert (execution.side, execution.quantity, execution.conid) == ("SELL", 7, 265598)
    assert execution.key == foreign(rig)[0].key
    assert rig.store.foreign.traded("ibkr", 0) == {("DU123456", 265598): -7}


async def test_a_cancel_of_ours_never_reaches_theirs_with_the_same_number(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    mine = resting()
    await gateway.place(mine)
    number = rig.intent(mine).broker_order_id
    theirs = LimitOrder("BUY", 20, 5.0, orderId=number, account="DU123456")
    trade = them.placeOrder(contract(), theirs)
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    await rig.reconciled(gateway)
    assert [(kept.order_id, kept.origin) for kept in foreign(rig)] == [(number, "client 9")]
    assert status(await gateway.cancel(mine)) is PlacementStatus.CANCELED
    await rig.reconciled(gateway)
    alive = [line.status for line in rig.paper.orders() if line.client_id == THEIRS]
    assert alive == ["Submitted"]
    assert foreign(rig, is_working=True)[0].order_id == number


async def test_what_becomes_of_theirs_never_moves_ours(rig: Rig) -> None:
    gateway = await rig.gateway()
    mine = resting()
    await gateway.place(mine)
    number = rig.intent(mine).broker_order_id
    rig.say(3, number, "Filled", 10, 0, 5, 777, 0, 5, THEIRS, "", 0)
    await eventually(lambda: foreign(rig, perm_id=777))
    await rig.reconciled(gateway)
    assert rig.orders.statuses(mine) == [PlacementStatus.WORKING]
    assert rig.intent(mine).perm_ids == (rig.at_the_broker(mine)[0].perm_id,)


async def test_an_order_entered_in_tws_has_no_number_and_is_told_apart(rig: Rig) -> None:
    gateway = await rig.gateway()
    for order_id, perm_id in ((0, 801), (-5, 802), (0, 0)):
        rig.say(3, order_id, "Submitted", 0, 10, 0, perm_id, 0, 0, 0, "", 0)
    await eventually(lambda: len(foreign(rig)) == 3)
    assert {kept.key: kept.origin for kept in foreign(rig)} == {
        "perm/801": "TWS",
        "perm/802": "TWS",
        "0:0": "TWS",
    }
    assert (await gateway.status()).foreign_orders == 3


@pytest.mark.parametrize("ref", ["somebody else's", "0123456789abcdef0123456789abcdef"])
async def test_a_reference_the_book_does_not_know_is_not_ours(rig: Rig, them: IB, ref: str) -> None:
    gateway = await rig.gateway()
    trade = them.placeOrder(contract(), LimitOrder("BUY", 1, 5.0, orderRef=ref, account="DU123456"))
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    await rig.reconciled(gateway)
    assert [kept.order_ref for kept in foreign(rig)] == [ref]


async def test_an_order_under_our_own_client_id_that_no_intent_knows_is_not_ours(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.say(3, 4711, "Submitted", 0, 10, 0, 905, 0, 0, 1, "", 0)
    await eventually(lambda: foreign(rig, perm_id=905))
    await rig.reconciled(gateway)
    order = ticket()
    await gateway.place(order)
    await rig.fills(order)
    assert foreign(rig)[0].origin == "client 1"


async def test_what_left_the_lists_without_a_word_works_no_more(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.say(3, 900, "Submitted", 0, 10, 0, 777, 0, 0, THEIRS, "", 0)
    await eventually(lambda: foreign(rig))
    assert (await gateway.status()).foreign_orders == 1
    await rig.reconciled(gateway)
    assert (await gateway.status()).foreign_orders == 0
    assert foreign(rig)[0].status == "Unlisted"


async def test_a_second_life_of_the_gateway_tells_of_no_order_again(rig: Rig, them: IB) -> None:
    first = await rig.gateway()
    trade = them.placeOrder(contract(), LimitOrder("BUY", 20, 5.0, account="DU123456"))
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    await rig.reconciled(first)
    await rig.died(first)
    second = await rig.gateway()
    rig.paper.set_price("AAPL", Decimal("4.98"), Decimal("4.99"))
    await eventually(trade.isDone)
    await rig.reconciled(second)
    assert len(told(rig)) == 1
    assert [(kept.status, kept.filled) for kept in foreign(rig)] == [("Filled", 20)]


async def test_what_they_may_still_trade_counts_for_a_target(rig: Rig, them: IB) -> None:
    rig.store.reference.put_instrument(InstrumentTerms(symbol="AAPL", conid=265598), "INS-AAPL")
    gateway = await rig.gateway()
    trade = them.placeOrder(contract(), LimitOrder("SELL", 20, 500.0, account="DU123456"))
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    await rig.reconciled(gateway)
    (works,) = rig.store.targets.exposure("DU123456", "INS-AAPL").working
    assert (works.order_id, works.pending, works.ours) == (f"perm/{trade.order.permId}", -20, False)
    them.cancelOrder(trade.order)
    await eventually(trade.isDone)
    await rig.reconciled(gateway)
    assert rig.store.targets.exposure("DU123456", "INS-AAPL").working == ()


@pytest.fixture
async def left_behind(rig: Rig, them: IB) -> Trade:
    """Their order, as a gateway of another name has seen it that runs no more."""
    rig.store.reference.put_instrument(InstrumentTerms(symbol="AAPL", conid=265598), "INS-AAPL")
    old = await rig.gateway(name="old", client_id=2)
    trade = them.placeOrder(contract(), LimitOrder("BUY", 20, 5.0, account="DU123456"))
    await eventually(lambda: trade.orderStatus.status == "Submitted")
    await old.reconcile()
    await old.stop()
    return trade


def works(rig: Rig) -> list[tuple[str, Decimal]]:
    """What counts for a target of AAPL."""
    return [
        (order.order_id, order.pending)
        for order in rig.store.targets.exposure("DU123456", "INS-AAPL").working
    ]


async def ended_days_ago(rig: Rig, them: IB, trade: Trade) -> None:
    """It is over, and in none of the lists of today any more."""
    them.cancelOrder(trade.order)
    await eventually(trade.isDone)
    desk = rig.paper._desk
    desk.clock = lambda: datetime.now(UTC) + timedelta(days=2)


async def test_what_a_gateway_of_another_name_left_behind_counts_until_it_is_gone(
    rig: Rig, them: IB, left_behind: Trade
) -> None:
    key = f"perm/{left_behind.order.permId}"
    assert works(rig) == [(key, 20)]
    gateway = await rig.gateway()
    assert works(rig) == [(key, 20)]
    assert [kept.gateway for kept in foreign(rig, is_working=True)] == ["ibkr"]
    await ended_days_ago(rig, them, left_behind)
    await rig.reconciled(gateway)
    assert works(rig) == []


async def test_what_a_gateway_of_another_name_left_behind_is_over_when_no_list_shows_it(
    rig: Rig, them: IB, left_behind: Trade
) -> None:
    await ended_days_ago(rig, them, left_behind)
    assert [pending for _, pending in works(rig)] == [20]
    await rig.gateway()
    assert works(rig) == []
    assert [(kept.gateway, kept.status) for kept in foreign(rig)] == [("old", "Unlisted")]


async def test_what_a_gateway_that_runs_has_seen_is_not_for_another_one_to_close(
    rig: Rig, them: IB, left_behind: Trade
) -> None:
    """It may have another login, which is shown other orders."""
    await ended_days_ago(rig, them, left_behind)
    rig.store.leases.acquire(name_lease("old"), "a process elsewhere", 60)
    gateway = await rig.gateway()
    assert [pending for _, pending in works(rig)] == [20]
    rig.store.leases.release(name_lease("old"), "a process elsewhere")
    await rig.reconciled(gateway)
    assert works(rig) == []


async def test_of_an_account_that_another_session_serves_nothing_follows_from_our_lists(
    rig: Rig, them: IB, left_behind: Trade
) -> None:
    await ended_days_ago(rig, them, left_behind)
    rig.store.leases.acquire(account_lease("DU123456"), "a process elsewhere", 60)
    gateway = await rig.gateway()
    assert [pending for _, pending in works(rig)] == [20]
    rig.store.leases.release(account_lease("DU123456"), "a process elsewhere")
    await gateway._tenure.renew()
    await rig.reconciled(gateway)
    assert works(rig) == []
