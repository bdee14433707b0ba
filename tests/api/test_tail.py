"""The tail of venue events: exact numbers, the newest last, each leading to its command, of one's own portfolios only."""

import json
import time
from decimal import Decimal
from typing import Any

import pytest

from oms.domain.programs.events import VenueEvent
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Account, Portfolio
from tests.api.desk import Desk
from tests.api.programs import hint, order, orders, over
from tests.api.test_bad_input import refused

SECOND = "secret-second"
FILLED: dict[str, Any] = {
    "event_type": "orderStatus",
    "orderId": 1234,
    "status": "Filled",
    "filled": 1,
    "remaining": 0,
    "avgFillPrice": Decimal("4800.250"),
    "symbol": "ES",
}


def heard(desk: Desk, portfolio_id: str | None, *bodies: dict[str, Any], **more: Any) -> None:
    """A venue says something of an order in the portfolio."""
    told = [
        VenueEvent(
            natural_key=hint(),
            event_type=body["event_type"],
            body=body,
            ts_init_ns=time.time_ns(),
            portfolio_id=portfolio_id,
            **more,
        )
        for body in bodies
    ]
    assert desk.context.store.venue_events.add("ibkr/99", told) == len(told)


def a_tenant(desk: Desk) -> str:
    """A tenant with a portfolio and an account of its own, of which nobody else says anything."""
    name, reference = hint(), desk.context.store.reference
    reference.put_account(Account(account_id=f"ACCT-{name}", name="Alone", broker_account=f"DU-{name}"))
    reference.put_portfolio(
        Portfolio(portfolio_id=f"PORT-{name}", name="Alone", default_account_id=f"ACCT-{name}")
    )
    desk.context.store.tenants.put(Tenant(tenant=name, portfolio_id=f"PORT-{name}"))
    return name


async def tail(desk: Desk, query: str = "", key: str = "secret-viewer") -> list[dict[str, Any]]:
    answer = await desk.get(f"/ib/events/tail{query}", key)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    listed: list[dict[str, Any]] = json.loads(answer.text, parse_float=Decimal)
    assert all(set(event) == {"id", "json"} for event in listed)
    return listed


async def test_the_shape_and_the_exact_numbers(desk: Desk) -> None:
    heard(desk, "PORT-001", FILLED)
    answer = await desk.client.get("/ib/events/tail?count=1", headers={"x-api-token": "secret-viewer"})
    (event,) = json.loads(answer.text, parse_float=Decimal)
    assert event["json"] == {**FILLED, "avgFillPrice": Decimal("4800.25")}
    assert "4800.25" in answer.text
    milliseconds, _, position = event["id"].partition("-")
    assert int(milliseconds) <= time.time_ns() // 1_000_000
    assert position.isdigit()


async def test_the_newest_is_last_and_so_many_come(desk: Desk) -> None:
    alone = a_tenant(desk)
    heard(desk, f"PORT-{alone}", *({**FILLED, "orderId": n} for n in range(60)))
    for query, count in (
        ("", 50),
        ("&count=3", 3),
        ("&limit=3", 3),
        ("&count=3&limit=3", 3),
        ("&count=60", 60),
    ):
        found = [event["json"]["orderId"] for event in await tail(desk, f"?tenant={alone}{query}")]
        assert found == list(range(60 - count, 60)), query
    ids = [event["id"] for event in await tail(desk, f"?tenant={alone}")]
    assert len(set(ids)) == 50


@pytest.mark.parametrize(
    "query",
    ["count=0", "count=1001", "count=x", "limit=0", "count=3&limit=4", "order_index=-1", "msg_id=%00"],
)
async def test_queries_that_make_no_sense(desk: Desk, query: str) -> None:
    refused(await desk.get(f"/ib/events/tail?{query}"), 422, "VALIDATION_FAILED")


async def test_only_ones_own_portfolios_are_heard(desk: Desk) -> None:
    ours, theirs, nobodys = hint(), hint(), hint()
    for portfolio_id, symbol in (("PORT-001", ours), ("PORT-002", theirs), (None, nobodys)):
        heard(desk, portfolio_id, {**FILLED, "symbol": symbol})

    async def told(query: str, key: str = "secret-viewer") -> set[str]:
        found = {event["json"].get("symbol") for event in await tail(desk, query, key)}
        return found & {ours, theirs, nobodys}

    assert await told("?count=1000") == {ours, theirs, nobodys}
    for key in (SECOND, "secret-by-account"):
        assert await told("?count=1000", key) == {theirs}
    assert await told("?tenant=other") == {theirs}
    refused(await desk.get("/ib/events/tail?tenant=nobody"), 422, "INVALID_TENANT")


async def test_a_command_is_followed_by_its_id_and_entry(desk: Desk) -> None:
    ack = (await desk.post("/oms/orders", orders(order(), order(totalQuantity=2)))).json()
    done = await over(desk, ack["message_id"])
    taken = await tail(desk, f"?msg_id={ack['message_id']}")
    kinds = [event["json"]["event_type"] for event in taken]
    assert kinds == ["oms.submit", "ib.order_received", "ib.order_received"]
    assert {event["json"]["msg_id"] for event in taken} == {ack["message_id"]}
    second = done["orders"][1]["order_id"]
    heard(desk, "PORT-001", {**FILLED, "orderId": 7}, order_id=second)
    of_second = await tail(desk, f"?msg_id={ack['message_id']}&order_index=1")
    assert [event["json"]["event_type"] for event in of_second] == ["ib.order_received", "orderStatus"]
    last = of_second[-1]["json"]
    assert (last["msg_id"], last["order_index"], last["orderId"]) == (ack["message_id"], 1, 7)
    assert await tail(desk, f"?msg_id={ack['message_id']}", SECOND) == []
