"""Every operation against the real order book: what it answers is what it means."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from durable_oms import (
    AsyncClient,
    Client,
    Conflict,
    Invalid,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    State,
)
from durable_oms.models import Violation
from oms.domain.terms import PlacementStatus, Role
from tests.api.desk import Desk, executed, reported

Clients = Callable[[Role], AsyncClient]


def terms(desk: Desk, **changes: Any) -> dict[str, Any]:
    given = {
        "portfolio_id": "PORT-001",
        "instrument_id": desk.instrument_id,
        "direction": "Buy",
        "ordered_quantity": 100,
        "order_type": "Limit",
        "time_in_force": "Day",
        "limit_price": 150.25,
        "compliance": "external",
    }
    return {**given, **changes}


async def filled(
    desk: Desk, order_id: str, placement_id: str, quantity: str, status: PlacementStatus
) -> None:
    """The venue executes `quantity`, and then nothing works any more."""
    await desk.venue_says(
        order_id, *executed(placement_id, quantity), reported(placement_id, status, quantity)
    )
    await desk.reads(order_id, lambda order: order["executed_quantity"] == quantity)


async def test_a_whole_life_by_hand(desk: Desk, clients: Clients) -> None:
    pm, trader, ops = clients(Role.PM), clients(Role.TRADER), clients(Role.OPS)
    compliance, viewer = clients(Role.COMPLIANCE), clients(Role.VIEWER)
    order_id = await pm.oms.create_order(**terms(desk, ordered_quantity="1000", metadata={"desk": 7}))
    order = await viewer.oms.get_order(order_id)
    assert (order.state, order.ordered_quantity, order.limit_price) == (
        State.CREATED,
        Decimal(1000),
        Decimal("150.25"),
    )
    assert order.metadata == {"desk": 7}
    assert (await pm.oms.update_order(order_id, {"limit_price": 151.00})).limit_price == Decimal(151)
    pending = await pm.oms.request_pre_trade_compliance(order_id)
    passed = await compliance.oms.pass_pre_trade_compliance(order_id, pending.pre_trade.version)
    assert passed.pre_trade.status == "PASSED"
    assert (await pm.oms.send_to_trader(order_id)).owner == "trader"

    placement_id = await trader.ems.create_placement(order_id, venue="IBKR", quantity=1000)
    await filled(desk, order_id, placement_id, "750", PlacementStatus.CANCELED)
    closed = await trader.oms.close_order(order_id)
    assert (closed.executed_quantity, closed.unfilled_quantity) == (Decimal(750), Decimal(250))
    assert closed.order.state == "CLOSED"
    (placement,) = await viewer.ems.list_placements(order_id)
    assert placement == await viewer.ems.get_placement(placement_id)
    assert (placement.venue, placement.executed_quantity) == ("IBKR", Decimal(750))
    (fill,) = await viewer.oms.list_fills(order_id)
    assert (fill.quantity, fill.price, fill.commission) == (Decimal(750), Decimal("150.25"), Decimal("1.05"))

    allocation_id = await trader.oms.create_allocation(order_id, "ACCT-001", "PORT-001", 500)
    with pytest.raises(Conflict) as raised:
        await trader.oms.send_to_operations(order_id)
    assert raised.value.code == "ALLOCATION_MISMATCH"
    assert (await trader.oms.update_allocation(allocation_id, 750)).quantity == Decimal(750)
    assert (await viewer.oms.get_allocation(allocation_id)).account_id == "ACCT-001"
    assert [a.allocation_id for a in await viewer.oms.list_allocations(order_id)] == [allocation_id]
    await trader.oms.send_to_operations(order_id)
    await ops.oms.request_post_trade_compliance(order_id)
    await compliance.oms.pass_post_trade_compliance(order_id)
    assert (await ops.oms.confirm_order(order_id)).state == "CONFIRMED"
    assert (await ops.oms.settle_order(order_id, "the custodian called")).state == "SETTLED"
    assert (await ops.oms.reconcile_order(order_id, "the statement agrees")).state == "RECONCILED"
    kinds = [event.kind async for event in viewer.oms.iterate_journal(order_id, limit=3)]
    assert kinds[0] == "order_created"
    assert len(kinds) == (await viewer.oms.get_order(order_id, consistency="workflow")).version


async def test_verdicts_against_an_order_and_their_overrides(desk: Desk, clients: Clients) -> None:
    pm, compliance = clients(Role.PM), clients(Role.COMPLIANCE)
    order_id = await pm.oms.create_order(**terms(desk))
    await pm.oms.request_pre_trade_compliance(order_id)
    told = {
        "rule_id": "R-001",
        "rule_name": "Max Position Size",
        "severity": "HARD",
        "description": "Would exceed 5% single-name limit",
    }
    failed = await compliance.oms.fail_pre_trade_compliance(order_id, [told])
    assert failed.pre_trade.violations == (Violation(**told),)
    again = await pm.oms.request_pre_trade_compliance(order_id)
    failed = await compliance.oms.fail_pre_trade_compliance(order_id, failed.pre_trade.violations)
    assert failed.pre_trade.version >= again.pre_trade.version
    override_id = await compliance.oms.override_pre_trade_compliance(
        order_id, reason="CIO approved exception for concentrated position", approver_id="USER-0042"
    )
    order = await pm.oms.get_order(order_id)
    assert order.pre_trade.override is not None
    assert (order.state, order.pre_trade.override.override_id) == ("PRE_TRADE_COMPLIANCE_PASSED", override_id)


async def test_a_command_given_twice_under_one_key_happens_once(desk: Desk, clients: Clients) -> None:
    pm = clients(Role.PM)
    first, second = [
        await pm.oms.create_order(**terms(desk), idempotency_key="client-once-1") for _ in range(2)
    ]
    assert first == second
    with pytest.raises(Invalid) as raised:
        await pm.oms.create_order(**terms(desk, ordered_quantity=7), idempotency_key="client-once-1")
    assert raised.value.code == "IDEMPOTENCY_CONFLICT"


async def test_a_version_that_has_passed_refuses(desk: Desk, clients: Clients) -> None:
    pm = clients(Role.PM)
    order_id = await pm.oms.create_order(**terms(desk))
    order = await pm.oms.update_order(order_id, {"limit_price": "149.50"}, expected_version=1)
    with pytest.raises(Conflict) as raised:
        await pm.oms.cancel_order(order_id, expected_version=1)
    assert raised.value.code == "VERSION_CONFLICT"
    canceled = await pm.oms.cancel_order(order_id, "changed my mind", expected_version=order.version)
    assert (canceled.state, canceled.reason) == ("CANCELED", "changed my mind")


async def test_refusals_carry_their_code_and_the_numbers(desk: Desk, clients: Clients, address: str) -> None:
    pm, ops = clients(Role.PM), clients(Role.OPS)
    order_id = await pm.oms.create_order(**terms(desk))
    with pytest.raises(Conflict) as state:
        await pm.oms.send_to_trader(order_id)
    assert (state.value.code, state.value.facts["state"]) == ("INVALID_STATE", "CREATED")
    with pytest.raises(NotAuthorized) as role:
        await ops.oms.cancel_order(order_id)
    assert role.value.code == "CANCEL_NOT_AUTHORIZED"
    with pytest.raises(NotFound) as missing:
        await pm.oms.get_order("ORD-unknown")
    assert (missing.value.code, missing.value.status) == ("ORDER_NOT_FOUND", 404)
    assert missing.value.request_id
    with pytest.raises(Invalid) as invalid:
        await pm.oms.create_order(**terms(desk, ordered_quantity="-5"))
    assert (invalid.value.code, invalid.value.facts["field"]) == ("VALIDATION_FAILED", "ordered_quantity")
    async with AsyncClient(address, api_key="nobody") as nobody:
        with pytest.raises(NotAuthenticated):
            await nobody.oms.list_orders()


async def test_lists_and_their_filters(desk: Desk, clients: Clients) -> None:
    pm = clients(Role.PM)
    instrument = await pm.oms.create_instrument("CLNT", mic="XNAS", multiplier=Decimal(1))
    before = datetime.now(UTC) - timedelta(seconds=1)
    made = [
        await pm.oms.create_order(
            **terms(desk, instrument_id=instrument.instrument_id, direction=direction, order_type="Market")
            | {"limit_price": None}
        )
        for direction in ("Buy", "Sell", "Buy")
    ]
    await pm.oms.cancel_order(made[0])
    mine = {"portfolio_id": "PORT-001", "instrument_id": instrument.instrument_id}

    async def ids(**filters: Any) -> list[str]:
        return [order.order_id for order in await pm.oms.list_orders(**mine, **filters)]

    assert await ids() == made[::-1]
    assert await ids(state="CANCELED") == [made[0]]
    assert await ids(direction="Sell") == [made[1]]
    assert await ids(created_after=before) == made[::-1]
    assert await ids(created_before=before) == []
    assert (
        await ids(created_after="2026-03-01", created_before=before.date() + timedelta(days=2)) == made[::-1]
    )
    assert await ids(limit=1, offset=1) == [made[1]]
    first = await pm.oms.list_orders(**mine, limit=2)
    assert (len(first), first[0].order_id, first.next_cursor is None) == (2, made[2], False)
    assert [o.order_id for o in await pm.oms.list_orders(**mine, cursor=first.next_cursor)] == [made[0]]
    assert [o.order_id async for o in pm.oms.iterate_orders(**mine, limit=1, offset=1)] == made[1::-1]


async def test_reference_data_and_positions(desk: Desk, clients: Clients) -> None:
    admin, viewer = clients(Role.ADMIN), clients(Role.VIEWER)
    option = await admin.oms.create_instrument(
        "AAPL",
        sec_type="OPT",
        expiry="2027-01-15",
        strike=150.5,
        right="C",
        multiplier=100,
        sector="Technology",
        country="US",
    )
    assert (option.strike, option.multiplier) == (Decimal("150.5"), Decimal(100))
    assert await viewer.oms.get_instrument(option.instrument_id) == option
    assert option in await viewer.oms.list_instruments(symbol="AAPL")
    assert option in [i async for i in viewer.oms.iterate_instruments(limit=1)]
    account = await admin.oms.create_account("ACCT-C", "Client", broker_account="DU00C")
    portfolio = await admin.oms.create_portfolio("PORT-C", "Client", "ACCT-C", net_asset_value=1e6)
    assert await viewer.oms.get_account("ACCT-C") == account
    assert await viewer.oms.get_portfolio("PORT-C") == portfolio
    assert account in await viewer.oms.list_accounts()
    assert portfolio in await viewer.oms.list_portfolios()
    (price,) = await admin.oms.put_prices([{"instrument_id": option.instrument_id, "price": Decimal("7.35")}])
    assert price.price == Decimal("7.35")
    await desk.filled("100")
    held = await viewer.oms.get_positions("PORT-001")
    assert desk.instrument_id in [position.instrument_id for position in held]
    assert all(isinstance(position.cost, Decimal) for position in held)
    assert [p async for p in viewer.oms.iterate_positions("PORT-001", limit=1)] == [*held]


async def test_rules(desk: Desk, clients: Clients) -> None:
    compliance = clients(Role.COMPLIANCE)
    rule_id = await compliance.oms.create_rule(
        rule_type="concentration_limit",
        parameters={"max_pct": 0.05, "scope": "single_name"},
        target_accounts=["PORT-C2"],
        active=True,
    )
    changed = await compliance.oms.update_rule(rule_id, changes={"parameters": {"max_pct": 0.10}})
    assert (changed.version, changed.parameters["max_pct"]) == (2, "0.1")
    found = await compliance.oms.list_rules(portfolio_id="PORT-C2", rule_type="concentration_limit")
    assert changed in found
    deleted = await compliance.oms.delete_rule(rule_id)
    assert not deleted.active
    assert deleted == (await compliance.oms.delete_rule(rule_id))
    assert deleted in await compliance.oms.list_rules(active=False)


async def test_exceptions_and_placements_in_doubt(desk: Desk, clients: Clients) -> None:
    trader, ops = clients(Role.TRADER), clients(Role.OPS)
    order_id, placement_id = await desk.filled("60")
    await trader.oms.close_order(order_id)
    await desk.venue_says(order_id, *executed(placement_id, "40"))
    await desk.reads(order_id, lambda order: order["exceptions"])
    assert order_id in [listed.order_id for listed in await ops.oms.list_exceptions()]
    order = await ops.oms.resolve_exception(order_id, "LATE_FILL", "the trade is ours")
    assert "LATE_FILL" not in [exception.code for exception in order.exceptions]
    with pytest.raises(Conflict):
        await trader.ems.resolve_placement(placement_id, "CANCELED", "nobody doubts it")
    with pytest.raises(Conflict):
        await trader.ems.cancel_placement(placement_id)


async def test_the_stream_is_the_journal(desk: Desk, clients: Clients, address: str) -> None:
    """Read by both kinds of client while orders are made."""
    viewer, start = clients(Role.VIEWER), desk.context.store.journal.head()

    def follow() -> list[int | None]:
        with (
            Client(address, api_key="secret-viewer") as client,
            client.oms.stream_orders(after=start) as stream,
        ):
            return [next(stream).position for _ in range(6)]

    following = asyncio.create_task(asyncio.to_thread(follow))
    orders = [(await desk.order())["order_id"] for _ in range(6)]
    async with asyncio.timeout(20):
        async with viewer.oms.stream_orders(portfolio_id="PORT-001", after=start) as stream:
            seen = [await anext(stream) for _ in range(6)]
            assert stream.position == seen[-1].position
        assert await following == [event.position for event in seen]
    assert [event.order_id for event in seen] == orders
    assert [event.position for event in seen] == list(range(start + 1, start + 7))
    (first,) = await viewer.oms.get_journal(orders[0])
    assert seen[0].model_copy(update={"position": None}) == first


async def test_the_stream_shows_the_orders_asked_for(desk: Desk, clients: Clients, address: str) -> None:
    """By the basket they are in and by when they were created, as both kinds of client ask."""
    pm, start = clients(Role.PM), desk.context.store.journal.head()
    basket_id = await pm.oms.create_basket("Followed")
    first, second, third = [
        await pm.oms.get_order(await pm.oms.create_order(**terms(desk, basket_id=basket)))
        for basket in (None, basket_id, None)
    ]
    for wanted, order in (
        ({"basket_id": basket_id}, second),
        ({"created_after": second.created_at}, third),
        ({"created_before": second.created_at.isoformat()}, first),
        ({"created_after": first.created_at, "created_before": third.created_at}, second),
    ):

        def follow(wanted: dict[str, Any] = wanted) -> str:
            with (
                Client(address, api_key="secret-viewer") as client,
                client.oms.stream_orders(after=start, **wanted) as stream,
            ):
                return next(stream).order_id

        async with asyncio.timeout(20), pm.oms.stream_orders(after=start, **wanted) as stream:
            assert (await anext(stream)).order_id == order.order_id
        assert await asyncio.to_thread(follow) == order.order_id


async def test_a_blocking_client_in_many_threads(desk: Desk, address: str) -> None:
    with Client(address, api_key="secret-pm") as client:
        made = await asyncio.gather(
            *(asyncio.to_thread(client.oms.create_order, **terms(desk)) for _ in range(12))
        )
        assert len(set(made)) == 12
        states = await asyncio.to_thread(lambda: {client.oms.get_order(order_id).state for order_id in made})
    assert states == {"CREATED"}
