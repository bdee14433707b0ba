"""Handling, changes of placements, gateways, breaks and foreign orders: against the real order book, in both kinds."""

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from durable_oms import AsyncClient, Conflict, Invalid, NotFound
from durable_oms.models import Bracket
from oms.domain.breaks import BreakCategory, Difference
from oms.domain.facts import PlacementChanged
from oms.domain.terms import Role
from oms.store import ForeignOrder, GatewayReport
from tests.api.desk import SECRETS, Desk
from tests.client.conftest import Asks

GATEWAY = "ibkr/81"
TRADER, OPS = SECRETS[Role.TRADER], SECRETS[Role.OPS]


async def test_handling_goes_and_comes_back(desk: Desk, address: str, ask: Asks) -> None:
    at = datetime(2030, 1, 2, 14, 30, tzinfo=UTC)
    order_id = await ask(
        address,
        lambda client: client.oms.create_order(
            portfolio_id="PORT-001",
            instrument_id=desk.instrument_id,
            direction="Sell",
            ordered_quantity=10,
            order_type="TrailingStopLimit",
            time_in_force="GTC",
            handling={
                "trail_amount": Decimal("0.50"),
                "limit_offset": 0.1,
                "good_after": at,
                "bracket": {"bracket_id": "b-9", "role": "child", "size": 2},
            },
        ),
    )
    order = await ask(address, lambda client: client.oms.get_order(order_id))
    handling = order.handling
    assert (handling.trail_amount, handling.limit_offset) == (Decimal("0.5"), Decimal("0.1"))
    assert (handling.good_after, handling.outside_rth, handling.trail_percent) == (at, False, None)
    assert handling.bracket == Bracket(bracket_id="b-9", role="child", size=2)


async def test_a_placement_is_changed(desk: Desk, address: str, ask: Asks) -> None:
    order_id, placement_id = await desk.routed()
    with pytest.raises(Invalid):
        await ask(address, lambda client: client.ems.modify_placement(placement_id), api_key=TRADER)
    asked = await ask(
        address,
        lambda client: client.ems.modify_placement(placement_id, quantity=60, limit_price="150.10"),
        api_key=TRADER,
    )
    assert asked.change is not None
    assert asked.change.terms == {"quantity": Decimal(60), "limit_price": Decimal("150.1")}
    assert (asked.change.revision, asked.change.refused, asked.revision) == (1, None, 0)
    now = time.time_ns()
    done = PlacementChanged(ts_event_ns=now, ts_init_ns=now, placement_id=placement_id, revision=1)
    await desk.venue_says(order_id, done)
    await desk.reads(order_id, lambda order: order["placements"][0]["revision"] == 1)
    changed = await ask(address, lambda client: client.ems.get_placement(placement_id))
    assert (changed.quantity, changed.limit_price, changed.change) == (Decimal(60), Decimal("150.1"), None)


async def test_gateways_are_listed_and_read_anew(desk: Desk, address: str, ask: Asks) -> None:
    desk.context.store.gateways.report(
        GatewayReport(
            name=GATEWAY,
            venue="IBKR",
            accounts=("DU001456",),
            connected=True,
            gate_open=True,
            updated_ns=time.time_ns(),
        )
    )
    page = await ask(address, lambda client: client.oms.list_gateways())
    (found,) = [one for one in page.items if one.name == GATEWAY]
    assert (found.ready, found.accounts) == (True, ("DU001456",))
    resynced = await ask(address, lambda client: client.oms.resync_gateway(GATEWAY), api_key=OPS)
    assert (resynced.name, resynced.differences) == (GATEWAY, 3)
    assert resynced.reconciled_at.tzinfo is not None
    with pytest.raises(NotFound):
        await ask(address, lambda client: client.oms.resync_gateway("ibkr/404"), api_key=OPS)


async def test_breaks_are_listed_and_resolved(desk: Desk, address: str, ask: Asks) -> None:
    source = f"test/{ask.__name__}"
    differences = [
        Difference(subject=name, ours="1", theirs="", detail="they have none") for name in ("A", "B")
    ]
    opened = desk.context.store.breaks.observe(
        source, "DU001456", BreakCategory.CASH, differences, time.time_ns()
    ).opened
    page = await ask(
        address, lambda client: client.oms.list_breaks(status="OPEN", category="CASH", account="ACCT-001")
    )
    assert {one.break_id for one in opened} <= {one.break_id for one in page.items}
    break_id = opened[0].break_id
    found = await ask(address, lambda client: client.oms.get_break(break_id))
    assert (found.ours, found.theirs, found.status) == ("1", "", "OPEN")
    done = await ask(address, lambda client: client.oms.resolve_break(break_id, "a fee"), api_key=OPS)
    assert (done.status, done.closed_by, done.reason) == ("RESOLVED", "ops", "a fee")
    with pytest.raises(Conflict):
        await ask(address, lambda client: client.oms.resolve_break(break_id, "again"), api_key=OPS)
    async with AsyncClient(address, api_key=OPS) as client:
        resolved = [one.break_id async for one in client.oms.iterate_breaks(limit=1, status="RESOLVED")]
    assert break_id in resolved
    desk.context.store.breaks.observe(source, "DU001456", BreakCategory.CASH, [], time.time_ns())


async def test_foreign_orders_are_listed(desk: Desk, address: str, ask: Asks) -> None:
    now = time.time_ns()
    order = ForeignOrder(
        key="perm/81",
        gateway=GATEWAY,
        account="DU001456",
        quantity="5",
        status="Submitted",
        origin="TWS",
        first_seen_ns=now,
        last_seen_ns=now,
    )
    desk.context.store.foreign.keep(GATEWAY, [order], [], now)
    page = await ask(address, lambda client: client.oms.list_foreign_orders(gateway=GATEWAY, working=True))
    (shown,) = page.items
    assert (shown.key, shown.origin, shown.quantity, shown.working) == ("perm/81", "TWS", Decimal(5), True)
