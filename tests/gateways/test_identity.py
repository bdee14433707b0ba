"""Who a session is at the broker: the orders of another client id, and order ids that errors could not name."""

import asyncio
from decimal import Decimal

import pytest
from tests.gateways.changing import changed, placed
from tests.gateways.rig import Rig, eventually, resting, ticket

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway
from oms.store import GatewayState


async def under_another_client_id(rig: Rig, gateway: IBKRGateway) -> IBKRGateway:
    """The next life of the gateway, with its name and another client id, once it has read the lists."""
    await gateway.stop()
    second = await rig.started(client_id=2)
    await second.reconcile()
    return second


async def test_an_order_of_another_client_id_is_neither_changed_nor_canceled(rig: Rig) -> None:
    first = await rig.gateway()
    order = await placed(rig, first)
    second = await under_another_client_id(rig, first)
    change = changed(order, limit_price=Decimal(6))
    for call, asked in ((second.place, order), (second.modify, change), (second.cancel, order)):
        with pytest.raises(GatewayNotReady, match="client id 1, which alone can change or cancel it"):
            await call(asked)
    with pytest.raises(GatewayNotReady, match="client id 1"):
        await second.ask(order)
    assert [(line.client_id, line.status) for line in rig.paper.orders()] == [(1, "Submitted")]


async def test_the_gate_stays_closed_until_the_orders_of_the_other_client_id_are_over(
    rig: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await rig.gateway()
    order = await placed(rig, first)
    second = await under_another_client_id(rig, first)
    with pytest.raises(GatewayNotReady, match="OMS_IBKR_CLIENT_ID=1"):
        await second.place(ticket())
    assert (await second.status()).state is GatewayState.CLOSED
    assert capsys.readouterr().out.count("ibkr.alarm.client_id") == 1
    rig.paper.cancel_by_hand(rig.at_the_broker(order)[0].perm_id)
    await second.reconcile()
    await asyncio.wait_for(second.ready(), 5)
    later = ticket()
    await second.place(later)
    await rig.fills(later)


async def test_order_ids_that_errors_could_not_name_keep_the_gate_closed(rig: Rig) -> None:
    rig.paper._desk._highest[1] = 1_700_000_000
    gateway = await rig.started()
    await eventually(lambda: gateway._rounds.reconciled_ns)
    with pytest.raises(GatewayNotReady, match=r"1700000001.*client id .OMS_IBKR_CLIENT_ID.*never used"):
        await gateway.place(ticket())
    assert rig.paper.orders() == []


async def test_so_do_those_that_were_handed_out_here(rig: Rig) -> None:
    rig.store.intents.next_broker_order_id(rig.settings.order_ids_key, 1_000_000_000)
    gateway = await rig.started()
    await gateway.reconcile()
    with pytest.raises(GatewayNotReady, match="never used"):
        await gateway.place(resting())
