"""The broker's positions against our executions: a difference is a break, and no answer is no comparison."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from ib_async import IB, MarketOrder, Stock
from tests.gateways.rig import ACCOUNT, Rig, eventually, ticket

from oms.domain.breaks import Break, BreakStatus
from oms.domain.facts import Executed
from oms.domain.terms import Direction
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import InboxMessage, InboxStatus, IntentState

APPLE = "AAPL STK USD 265598"


@pytest.fixture
async def them(rig: Rig) -> AsyncIterator[IB]:
    """Somebody who trades on the same account without us."""
    client = IB()
    await client.connectAsync("127.0.0.1", rig.paper.port, clientId=9)
    yield client
    client.disconnect()


async def traded(client: IB, side: str, quantity: int) -> None:
    trade = client.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder(side, quantity, account=ACCOUNT))
    await eventually(trade.isDone)


async def filled(rig: Rig, gateway: IBKRGateway, quantity: str = "10", **terms: Any) -> None:
    order = ticket(quantity=quantity, **terms)
    await gateway.place(order)
    await rig.fills(order)


def breaks(rig: Rig, status: BreakStatus | None = BreakStatus.OPEN) -> tuple[Break, ...]:
    return rig.store.breaks.list(status=status)


async def test_what_we_executed_is_what_the_broker_has(rig: Rig) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "30")
    await filled(rig, gateway, "10", direction=Direction.SELL)
    assert (await gateway.resync()).differences == 0
    assert breaks(rig, None) == ()
    (health,) = (await gateway.status()).per_account
    assert (health.account, health.served, health.differences, health.detail) == (ACCOUNT, True, 0, None)
    assert health.compared_ns is not None


async def test_a_difference_is_a_break_and_names_whose_executions_made_it(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    await filled(rig, gateway, "30")
    await traded(them, "BUY", 5)
    done = await gateway.resync()
    (found,) = breaks(rig)
    assert (done.differences, done.name, done.unsettled) == (1, "ibkr", 0)
    assert (found.source, found.account, found.subject) == ("ibkr", ACCOUNT, APPLE)
    assert (found.ours, found.theirs, found.instrument_id) == ("30", "35", "INS-AAPL")
    assert found.detail.endswith("of the difference 5 was executed today by orders that are not ours")
    status = await gateway.status()
    assert (status.open_breaks, status.per_account[0].differences) == (1, 1)
    assert found.detail == status.per_account[0].detail
    assert [line.quantity for line in rig.paper.orders()] == [30, 5]


async def test_it_stays_one_break_and_ends_by_evidence(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    await traded(them, "BUY", 5)
    await gateway.resync()
    (found,) = breaks(rig)
    await filled(rig, gateway, "10")
    await gateway.resync()
    (same,) = breaks(rig)
    assert (same.break_id, same.ours, same.theirs) == (found.break_id, "10", "15")
    await traded(them, "SELL", 5)
    await gateway.resync()
    (cleared,) = breaks(rig, None)
    assert (cleared.break_id, cleared.status) == (found.break_id, BreakStatus.CLEARED)


async def test_a_resolved_break_stays_resolved_while_its_gap_stays(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    await traded(them, "BUY", 5)
    await gateway.resync()
    rig.store.breaks.resolve(breaks(rig)[0].break_id, "olga", "held before we began", 1)
    await filled(rig, gateway, "10")
    assert (await gateway.resync()).differences == 1
    assert breaks(rig) == ()
    await traded(them, "BUY", 1)
    await gateway.resync()
    assert [one.theirs for one in breaks(rig)] == ["16"]


def heard(rig: Rig, order: PlacementTicket, exec_id: str, quantity: str) -> None:
    """An execution that the gateway has kept and no order has booked yet."""
    fact = Executed(
        placement_id=order.placement_id,
        exec_id=exec_id,
        quantity=Decimal(quantity),
        price=Decimal(5),
        currency="USD",
        venue="IBKR",
        ts_event_ns=1,
        ts_init_ns=1,
    )
    row = InboxMessage(natural_key=f"exec/{exec_id}", order_id=order.order_id, fact=fact, ts_init_ns=1)
    rig.store.inbox.add(rig.settings.name, [row])


async def test_what_we_have_and_the_broker_has_not_differs_too(rig: Rig) -> None:
    gateway = await rig.gateway()
    order = ticket()
    rig.persist(order, IntentState.DONE)
    heard(rig, order, "E1.01", "10")
    assert (await gateway.resync()).differences == 1
    assert [(one.subject, one.ours, one.theirs) for one in breaks(rig)] == [("AAPL STK USD", "10", "0")]


async def test_what_no_order_has_booked_yet_is_ours_all_the_same(rig: Rig) -> None:
    """The order workflows here write nothing down, as when their worker is away."""
    gateway = await rig.gateway()
    rig.orders.open.clear()
    await gateway.place(ticket(quantity="10"))
    await eventually(lambda: rig.store.inbox.counts("ibkr")[InboxStatus.NEW] > 1)
    assert (await gateway.resync()).differences == 0
    rig.orders.open.set()
    await eventually(lambda: rig.store.inbox.counts("ibkr")[InboxStatus.NEW] == 0)
    assert (await gateway.resync()).differences == 0


async def test_one_look_alone_opens_nothing(rig: Rig, them: IB, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is executed between the two readings is a gap in one look and none in the next."""
    gateway = await rig.gateway(grace_seconds=0.5)
    await eventually(lambda: gateway._positions.last)
    await traded(them, "BUY", 10)
    looks, ask = [], gateway._wire.positions

    async def counted() -> Any:
        looks.append(await ask())
        return looks[-1]

    monkeypatch.setattr(gateway._wire, "positions", counted)
    resync = asyncio.create_task(gateway.resync())
    await eventually(lambda: len(looks) == 1)
    await traded(them, "SELL", 10)
    assert (await resync).differences == 0
    assert [[one.position for one in look] for look in looks] == [[10], []]
    assert breaks(rig, None) == ()


async def test_no_answer_is_no_comparison_and_never_zero(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = await rig.gateway(request_timeout_seconds=0.4)
    await filled(rig, gateway, "10")

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(gateway._wire._ib, "reqPositionsAsync", never)
    with pytest.raises(GatewayNotReady, match="positions"):
        await gateway.resync()
    assert breaks(rig, None) == ()
    monkeypatch.undo()
    await asyncio.wait_for(gateway.ready(), 10)
    assert (await gateway.resync()).differences == 0


async def test_positions_are_compared_after_a_reconnect(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway()
    await eventually(lambda: gateway._positions.last)
    rig.paper.connectivity_lost()
    await eventually(lambda: not gateway._gate.is_open)
    rig.paper.connectivity_restored(data_lost=True)
    await traded(them, "BUY", 5)
    await eventually(lambda: breaks(rig))


async def test_and_on_every_nth_round_of_the_timer(rig: Rig, them: IB) -> None:
    gateway = await rig.gateway(reconcile_seconds=0.1, compare_rounds=3, grace_seconds=0.05)
    await eventually(lambda: gateway._positions.last)
    await traded(them, "BUY", 5)
    await eventually(lambda: breaks(rig))


async def test_only_accounts_that_the_login_manages_are_compared(rig: Rig) -> None:
    gateway = await rig.gateway(accounts=(ACCOUNT, "DU999999"))
    await gateway.resync()
    health = {one.account: one for one in (await gateway.status()).per_account}
    assert health[ACCOUNT].compared_ns is not None
    assert health["DU999999"].compared_ns is None
    assert "does not manage it" in (health["DU999999"].detail or "")


async def test_accounts_are_compared_one_by_one(rig: Rig, tmp_path: Any) -> None:
    market = MarketSettings(step_seconds=0.02, moving=False)
    paper = PaperIBGateway(accounts=("DU1", "DU2"), state_file=tmp_path / "two.db", market=market)
    await paper.start()
    rig.paper = paper
    gateway = await rig.gateway(port=paper.port, accounts=("DU1", "DU2"))
    await filled(rig, gateway, "10", account="DU1")
    client = IB()
    await client.connectAsync("127.0.0.1", paper.port, clientId=9)
    trade = client.placeOrder(Stock("AAPL", "SMART", "USD"), MarketOrder("SELL", 4, account="DU2"))
    await eventually(trade.isDone)
    assert (await gateway.resync()).differences == 1
    assert [(one.account, one.ours, one.theirs) for one in breaks(rig)] == [("DU2", "0", "-4")]
    client.disconnect()
    await rig.close()
    await paper.stop()


async def test_a_resync_of_a_gateway_that_is_away_says_why(rig: Rig) -> None:
    gateway = await rig.gateway()
    rig.paper.drop_connections()
    await eventually(lambda: not gateway._gate.is_open)
    with pytest.raises(GatewayNotReady, match="not connected"):
        await gateway.resync()


async def test_a_position_that_cannot_be_read_is_left_out_and_the_others_are_compared(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await rig.gateway(grace_seconds=0.1)
    await filled(rig, gateway, "10")
    rig.paper.enter_by_hand("AAPL", quantity=Decimal(5))
    await gateway.resync()
    before = breaks(rig)
    rig.paper.enter_by_hand("MSFT", quantity=Decimal(3))
    ask = gateway._wire.positions

    async def garbled() -> Any:
        found = await ask()
        return [
            one._replace(position=float("nan")) if one.contract.symbol == "AAPL" else one for one in found
        ]

    monkeypatch.setattr(gateway._wire, "positions", garbled)
    assert (await gateway.resync()).differences == 1
    new = [one for one in breaks(rig) if one not in before]
    assert [(one.ours, one.theirs) for one in new] == [("0", "3")]
    assert all(one in breaks(rig) for one in before)
    monkeypatch.undo()
    assert (await gateway.resync()).differences == 2
