"""Orders made of orders, baskets, allocation by scheme, limits, halts, files: against the real order book."""

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import pytest

from durable_oms import AsyncClient, Client, Conflict, NotFound, Severity
from oms.domain.terms import Role
from tests.api.desk import Desk

Clients = Callable[[Role], AsyncClient]


@pytest.fixture
async def limited(desk: Desk, clients: Clients) -> AsyncIterator[tuple[str, str]]:
    """A portfolio and a rule that lets it have one million of each name."""
    compliance, admin = clients(Role.COMPLIANCE), clients(Role.ADMIN)
    await admin.oms.create_portfolio("PORT-L", "Limited", "ACCT-001", net_asset_value=10_000_000)
    await admin.oms.put_prices([{"instrument_id": desk.instrument_id, "price": "100"}])
    rule_id = await compliance.oms.create_rule(
        "concentration_limit", {"max_pct": 0.1}, target_accounts=["PORT-L"], name="Ten per cent"
    )
    yield "PORT-L", rule_id
    await compliance.oms.delete_rule(rule_id, "the test is over")


async def orders(desk: Desk, count: int, **changes: Any) -> list[str]:
    return [(await desk.order(**changes))["order_id"] for _ in range(count)]


async def test_orders_are_merged_and_split_again(desk: Desk, clients: Clients) -> None:
    pm = clients(Role.PM)
    sources = await orders(desk, 2)
    merged = await pm.oms.get_order(await pm.oms.merge_orders(sources))
    assert merged.ordered_quantity == Decimal(200)
    assert [(link.kind, link.order_id, link.source) for link in merged.links] == [
        ("MERGED", source, True) for source in sources
    ]
    parts = await pm.oms.split_order(merged.order_id, [150.5, "49.25", Decimal("0.25")])
    assert [(await pm.oms.get_order(part)).ordered_quantity for part in parts] == [
        Decimal("150.5"),
        Decimal("49.25"),
        Decimal("0.25"),
    ]
    assert (await pm.oms.get_order(merged.order_id)).reason == "SPLIT"
    with pytest.raises(Conflict) as raised:
        await pm.oms.split_order(parts[0], [1, 2])
    assert (raised.value.code, raised.value.facts["sum"]) == ("SPLIT_MISMATCH", "3")


async def test_what_stayed_unfilled_is_carried_on_once(desk: Desk, clients: Clients) -> None:
    pm, trader = clients(Role.PM), clients(Role.TRADER)
    order_id, _ = await desk.filled("75")
    closed = await trader.ems.close_order(order_id)
    remainder_id = await pm.oms.create_remainder(order_id)
    remainder = await pm.oms.get_order(remainder_id)
    assert (remainder.state, remainder.ordered_quantity) == ("CREATED", closed.unfilled_quantity)
    with pytest.raises(Conflict) as raised:
        await pm.oms.create_remainder(order_id)
    assert raised.value.code == "NO_REMAINDER"


async def test_each_order_of_a_basket_answers_for_itself(desk: Desk, clients: Clients) -> None:
    pm = clients(Role.PM)
    first, second, third = await orders(desk, 3)
    basket_id = await pm.oms.create_basket("Tech Rebalance 2026-03-27", [first, second, third])
    basket = await pm.oms.get_basket(basket_id)
    assert {member.order_id for member in basket.orders} == {first, second, third}
    assert basket_id in [listed.basket_id for listed in await pm.oms.list_baskets()]
    assert {order.order_id for order in await pm.oms.list_orders(basket_id=basket_id)} == {
        first,
        second,
        third,
    }
    await pm.oms.cancel_order(third)
    asked = await pm.oms.request_basket_pre_trade_compliance(basket_id)
    results = {result.order_id: result for result in asked.results}
    assert (asked.refused, results[first].ok, results[third].status) == (1, True, 409)
    told = results[first].order, results[third].problem
    assert told[0] is not None
    assert told[1] is not None
    assert (told[0].state, told[1]["code"]) == ("PENDING_PRE_TRADE_COMPLIANCE", "INVALID_STATE")
    assert (await pm.oms.cancel_basket(basket_id, "not today")).refused == 1
    assert (await pm.oms.get_basket(basket_id)).counts == {"CANCELED": 3}
    with pytest.raises(NotFound):
        await pm.oms.send_basket_to_trader("BSK-unknown")


async def test_what_was_executed_is_spread_by_a_scheme(desk: Desk, clients: Clients) -> None:
    admin, trader = clients(Role.ADMIN), clients(Role.TRADER)
    order_id, _ = await desk.filled("100")
    await trader.oms.close_order(order_id)
    group_id = await admin.oms.create_account_group(
        "Both", [{"account_id": f"ACCT-00{n}", "portfolio_id": f"PORT-00{n}", "weight": n} for n in (1, 2)]
    )
    group = await admin.oms.get_account_group(group_id)
    assert group in await admin.oms.list_account_groups()
    assert [member.weight for member in group.members] == [Decimal(1), Decimal(2)]
    spread = await trader.oms.allocate(order_id, "hierarchy", [{"group_id": group_id, "weight": 1}])
    assert sum(item.quantity for item in spread.items) == Decimal(100)
    assert sum(item.principal or 0 for item in spread.items) == Decimal(15025)
    assert [item.scheme for item in spread.items] == ["hierarchy", "hierarchy"]
    assert {item.allocation_id for item in spread.items} == {
        listed.allocation_id for listed in await trader.oms.list_allocations(order_id)
    }


async def test_limits_are_asked_before_anything_is_ordered(
    desk: Desk, clients: Clients, limited: tuple[str, str]
) -> None:
    pm, (portfolio_id, rule_id) = clients(Role.PM), limited
    headroom = await pm.oms.query_compliance_headroom(portfolio_id=portfolio_id, rule_id=rule_id)
    assert (headroom.current_value, headroom.limit_value, headroom.headroom, headroom.headroom_pct) == (
        Decimal(0),
        Decimal(1_000_000),
        Decimal(1_000_000),
        Decimal(1),
    )
    assert headroom in await pm.oms.list_compliance_headroom(portfolio_id)
    proposed = {"portfolio_id": portfolio_id, "instrument_id": desk.instrument_id, "direction": "Buy"}
    results = await pm.oms.check_compliance_what_if(
        proposed_orders=[{**proposed, "ordered_quantity": quantity} for quantity in (6000, 5000)]
    )
    assert [result.passed for result in results] == [True, False]
    (violation,) = results[1].violations
    assert (violation.rule_id, violation.severity) == (rule_id, Severity.HARD)
    assert rule_id in [said.rule_id for said in results[0].rules]


async def test_compliance_events_come_while_orders_fail(
    desk: Desk, clients: Clients, address: str, limited: tuple[str, str]
) -> None:
    portfolio_id, rule_id = limited
    start = desk.context.store.control.head()

    def follow() -> Any:
        with (
            Client(address, api_key="secret-viewer") as client,
            client.oms.subscribe_compliance(portfolio_id, after=start) as stream,
        ):
            return next(stream)

    following = asyncio.create_task(asyncio.to_thread(follow))
    async with clients(Role.COMPLIANCE).oms.subscribe_compliance(portfolio_id, after=start) as stream:
        made = await desk.order(portfolio_id=portfolio_id, ordered_quantity="20000", compliance="builtin")
        await clients(Role.PM).oms.request_pre_trade_compliance(made["order_id"])
        async with asyncio.timeout(20):
            event = await anext(stream)
    assert (event.event_type, event.rule_id, event.severity) == ("order_failed", rule_id, "HARD")
    assert (event.order_id, event.portfolio_id) == (made["order_id"], portfolio_id)
    assert await following == event


async def test_requests_and_breaches_are_listed(desk: Desk, clients: Clients) -> None:
    pm, compliance = clients(Role.PM), clients(Role.COMPLIANCE)
    (order_id,) = await orders(desk, 1)
    pending = await pm.oms.request_pre_trade_compliance(order_id)
    (waiting,) = [r for r in await compliance.oms.list_compliance_requests() if r.order_id == order_id]
    assert (waiting.gate, waiting.order_version) == ("pre_trade", pending.pre_trade.version)
    assert waiting.age_seconds >= 0
    assert list(await compliance.oms.list_compliance_breaches()) == []


async def test_rule_types_and_versions(clients: Clients, limited: tuple[str, str]) -> None:
    compliance, (_, rule_id) = clients(Role.COMPLIANCE), limited
    assert "concentration_limit" in [kind.rule_type for kind in await compliance.oms.list_rule_types()]
    await compliance.oms.update_rule(rule_id, {"parameters": {"max_pct": "0.2"}}, reason="wider")
    first, second = await compliance.oms.list_rule_versions(rule_id)
    assert (first.version, second.version, second.reason) == (1, 2, "wider")
    assert (await compliance.oms.get_rule(rule_id)).version == 2


async def test_trading_is_halted_and_resumed(desk: Desk, clients: Clients) -> None:
    compliance, pm = clients(Role.COMPLIANCE), clients(Role.PM)
    halt = await compliance.oms.halt("portfolio", "PORT-002", reason="prices look wrong")
    try:
        assert (halt.scope, halt.subject, halt.by) == ("portfolio", "PORT-002", "compliance")
        assert [h.subject for h in await pm.oms.list_halts()] == ["PORT-002"]
        with pytest.raises(Conflict) as raised:
            await pm.oms.create_order(**{**desk.terms(), "portfolio_id": "PORT-002"})
        assert (raised.value.code, raised.value.facts["reason"]) == ("HALTED", "prices look wrong")
    finally:
        ended = await compliance.oms.resume("portfolio", "PORT-002", reason="they are right")
    assert ended.since == halt.since
    assert list(await pm.oms.list_halts()) == []


async def test_files_are_kept_line_by_line(clients: Clients) -> None:
    admin = clients(Role.ADMIN)
    report = await admin.oms.import_instruments("symbol,currency\nCSV1,USD\nCSV2,dollar\n")
    assert (report.accepted, report.rejected) == (1, 1)
    good, bad = report.lines
    assert bad.problem is not None
    assert (good.ok, bad.problem.field) == (True, "currency")
    accounts = [{"account_id": "ACCT-F", "name": "File", "broker_account": "DU00F"}]
    assert (await admin.oms.import_accounts(accounts)).accepted == 1
    portfolios = [{"portfolio_id": "PORT-F", "name": "File", "default_account_id": "ACCT-F"}]
    assert (await admin.oms.import_portfolios(portfolios)).accepted == 1
    assert (await admin.oms.import_prices([{"symbol": "CSV1", "price": Decimal("7.5")}])).accepted == 1
    assert (await admin.oms.resolve_instrument("CSV1")).instrument_id == good.id


async def test_invariants_are_told(clients: Clients) -> None:
    assert all(not invariant.broken for invariant in await clients(Role.ADMIN).oms.list_invariants())
