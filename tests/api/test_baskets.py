"""Baskets over HTTP: who is in one, and commands that every order answers for itself."""

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import httpx
import pytest

from oms.api.app import create_app
from oms.api.context import Settings as APISettings
from oms.domain.control import ControlKind
from oms.domain.terms import Role
from tests.api.desk import Desk


async def some(desk: Desk, count: int, **terms: Any) -> list[str]:
    return [(await desk.order(**terms))["order_id"] for _ in range(count)]


async def create(
    desk: Desk, order_ids: list[str], role: Role | str = Role.PM, name: str = "rebalance", **headers: str
) -> Any:
    return await desk.post("/v1/baskets", {"name": name, "order_ids": order_ids}, role, **headers)


async def basket_of(desk: Desk, order_ids: list[str]) -> str:
    made = await create(desk, order_ids)
    assert (made.status_code, made.json()["refused"]) == (201, 0), made.text
    return str(made.json()["basket_id"])


async def tell(
    desk: Desk, basket_id: str, command: str, role: Role | str = Role.PM, body: Any = None, **headers: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """The status of the whole, and each order's result."""
    done = await desk.post(f"/v1/baskets/{basket_id}/{command}", body, role, **headers)
    assert done.status_code in (200, 202), done.text
    results = done.json()["results"]
    assert done.json()["refused"] == sum(not result["ok"] for result in results)
    return done.status_code, {result["order_id"]: result for result in results}


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_basket_groups_orders_and_is_found_again(desk: Desk) -> None:
    orders = await some(desk, 3)
    made = await create(desk, orders, name="Tech Rebalance 2026-03-27")
    assert made.status_code == 201, made.text
    basket_id = made.json()["basket_id"]
    assert made.headers["location"] == f"/v1/baskets/{basket_id}"
    assert [(r["order_id"], r["ok"], r["order"]["basket_id"]) for r in made.json()["results"]] == [
        (order_id, True, basket_id) for order_id in orders
    ]
    found = (await desk.get(f"/v1/baskets/{basket_id}")).json()
    assert (found["name"], found["created_by"], found["counts"]) == (
        "Tech Rebalance 2026-03-27",
        "pm",
        {"CREATED": 3},
    )
    assert [member["order_id"] for member in found["orders"]] == orders
    listed = (await desk.get("/v1/baskets")).json()["items"]
    assert listed[0]["basket_id"] == basket_id
    assert listed[0]["counts"] == {"CREATED": 3}
    members = (await desk.get(f"/v1/orders?basket_id={basket_id}")).json()["items"]
    assert {member["order_id"] for member in members} == set(orders)
    told = desk.context.store.control.stream(0, 10_000, kinds=[ControlKind.BASKET_CREATED])[-1]
    assert (told.subject, told.actor, told.data) == (basket_id, "pm", {"name": "Tech Rebalance 2026-03-27"})


async def test_an_order_is_opened_into_a_basket_that_there_is(desk: Desk) -> None:
    basket_id = await basket_of(desk, [])
    order = await desk.order(basket_id=basket_id)
    assert order["basket_id"] == basket_id
    refused = problem(
        await desk.post("/v1/orders", desk.terms(basket_id="BSK-nowhere")), 404, "BASKET_NOT_FOUND"
    )
    assert refused["basket_id"] == "BSK-nowhere"


async def test_nothing_is_made_where_one_order_cannot_join(desk: Desk) -> None:
    taken, free = await some(desk, 2)
    mine = await basket_of(desk, [taken])
    before = len((await desk.get("/v1/baskets?limit=500")).json()["items"])
    refused = problem(await create(desk, [free, taken]), 409, "ALREADY_IN_BASKET")
    assert (refused["order_id"], refused["basket_id"]) == (taken, mine)
    problem(await create(desk, [free, "ORD-nobody"]), 404, "ORDER_NOT_FOUND")
    assert problem(await create(desk, [free, free]), 422, "VALIDATION_FAILED")["order_ids"] == [free]
    (over,) = await some(desk, 1)
    await desk.command(over, "cancel")
    problem(await create(desk, [free, over]), 409, "INVALID_STATE")
    for role in (Role.TRADER, Role.VIEWER):
        problem(await create(desk, [free], role), 403, "NOT_AUTHORIZED")
    assert len((await desk.get("/v1/baskets?limit=500")).json()["items"]) == before
    assert (await desk.get(f"/v1/orders/{free}")).json()["version"] == 1


async def test_two_baskets_that_race_for_an_order(desk: Desk) -> None:
    orders = await some(desk, 4)
    answers = await asyncio.gather(create(desk, orders), create(desk, orders[::-1]))
    won = dict.fromkeys(orders, 0)
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "ALREADY_IN_BASKET"
            continue
        for result in answer.json()["results"]:
            won[result["order_id"]] += result["ok"]
            assert result["ok"] or result["problem"]["code"] == "ALREADY_IN_BASKET"
    assert set(won.values()) == {1}, "each is in one basket"


async def test_the_same_basket_under_one_key_is_one_basket(desk: Desk) -> None:
    orders, again = await some(desk, 2), uuid.uuid4().hex
    answers = await asyncio.gather(*(create(desk, orders, Idempotency_Key=again) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["basket_id"] for answer in answers}) == 1


async def test_every_order_answers_for_itself(desk: Desk) -> None:
    orders = await some(desk, 3)
    basket_id = await basket_of(desk, orders)
    await desk.command(orders[1], "cancel")
    status, results = await tell(desk, basket_id, "pre-trade-compliance/request")
    assert status == 200
    assert [results[order_id]["status"] for order_id in orders] == [200, 409, 200]
    refused = results[orders[1]]
    assert (refused["order"], refused["problem"]["code"], refused["problem"]["state"]) == (
        None,
        "INVALID_STATE",
        "CANCELED",
    )
    assert refused["problem"]["request_id"]
    assert results[orders[0]]["order"]["state"] == "PENDING_PRE_TRADE_COMPLIANCE"
    _, wrong_role = await tell(desk, basket_id, "pre-trade-compliance/request", Role.TRADER)
    assert {result["status"] for result in wrong_role.values()} == {409}
    await desk.command(orders[0], "pre-trade-compliance/pass", Role.COMPLIANCE)
    _, sent = await tell(desk, basket_id, "send-to-trader", Role.TRADER)
    assert [sent[order_id]["status"] for order_id in orders] == [403, 409, 409]
    _, sent = await tell(desk, basket_id, "send-to-trader")
    assert [sent[order_id]["status"] for order_id in orders] == [200, 409, 409]
    found = (await desk.get(f"/v1/baskets/{basket_id}")).json()
    assert found["counts"] == {"PENDING_PRE_TRADE_COMPLIANCE": 1, "SENT_TO_TRADER": 1, "CANCELED": 1}


async def test_a_basket_goes_all_the_way(desk: Desk) -> None:
    orders = [(await desk.filled())[0] for _ in range(2)]
    basket_id = await basket_of(desk, orders)
    reason = {"reason": "by hand"}
    for command, role, body, state in (
        ("close", Role.TRADER, None, "CLOSED"),
        ("send-to-operations", Role.TRADER, None, "SENT_TO_OPERATIONS"),
        ("post-trade-compliance/request", Role.OPS, None, "PENDING_POST_TRADE_COMPLIANCE"),
        ("confirm", Role.OPS, None, "CONFIRMED"),
        ("settle", Role.OPS, reason, "SETTLED"),
        ("reconcile", Role.OPS, reason, "RECONCILED"),
    ):
        if command == "confirm":
            for order_id in orders:
                await desk.command(order_id, "post-trade-compliance/pass", Role.COMPLIANCE)
        status, results = await tell(desk, basket_id, command, role, body)
        assert (status, {r["order"]["state"] for r in results.values()}) == (200, {state}), command
    allocations = {r["order"]["allocations"][0]["allocation_id"] for r in results.values()}
    assert len(allocations) == 2


async def test_canceling_at_a_silent_venue_is_told_as_such(desk: Desk) -> None:
    """The venue says nothing: its order waits and says 202, and the others are done."""
    context = replace(desk.context, settings=APISettings(verdict_seconds=0.5))
    transport = httpx.ASGITransport(create_app(context))
    async with httpx.AsyncClient(transport=transport, base_url="http://oms", timeout=60) as client:
        hurried = Desk(client, context)
        hurried.instrument_id = desk.instrument_id
        routed, _ = await hurried.routed()
    (fresh,) = await some(desk, 1)
    basket_id = await basket_of(desk, [routed, fresh])
    status, results = await tell(desk, basket_id, "cancel", Role.TRADER, {"reason": "no longer wanted"})
    assert status == 202
    assert (results[routed]["status"], results[routed]["order"]["state"]) == (202, "ROUTED")
    assert (results[fresh]["status"], results[fresh]["problem"]["code"]) == (403, "CANCEL_NOT_AUTHORIZED")


async def test_the_same_command_under_one_key_is_given_once(desk: Desk) -> None:
    orders, again = await some(desk, 2), uuid.uuid4().hex
    basket_id = await basket_of(desk, orders)
    first = await tell(desk, basket_id, "pre-trade-compliance/request", Idempotency_Key=again)
    second = await tell(desk, basket_id, "pre-trade-compliance/request", Idempotency_Key=again)
    assert first == second
    assert {result["order"]["version"] for result in first[1].values()} == {3}


async def test_who_sees_a_basket(desk: Desk) -> None:
    (mine,), (theirs,) = await some(desk, 1), await some(desk, 1, portfolio_id="PORT-002")
    mixed, hidden = await basket_of(desk, [mine, theirs]), await basket_of(desk, await some(desk, 1))
    seen = (await desk.get(f"/v1/baskets/{mixed}", "secret-second")).json()
    assert [member["order_id"] for member in seen["orders"]] == [theirs]
    assert seen["counts"] == {"CREATED": 1}
    problem(await desk.get(f"/v1/baskets/{hidden}", "secret-second"), 404, "BASKET_NOT_FOUND")
    problem(await desk.post(f"/v1/baskets/{hidden}/cancel", role="secret-second"), 404, "BASKET_NOT_FOUND")
    listed = (await desk.get("/v1/baskets?limit=500", "secret-second")).json()["items"]
    assert mixed in {basket["basket_id"] for basket in listed}
    assert hidden not in {basket["basket_id"] for basket in listed}
    _, results = await tell(desk, mixed, "cancel", "secret-second")
    assert list(results) == [theirs]
    assert (await desk.get(f"/v1/orders/{mine}")).json()["state"] == "CREATED"
    own = await create(desk, [], "secret-second")
    assert own.status_code == 201
    assert (await desk.get(f"/v1/baskets/{own.json()['basket_id']}", "secret-second")).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "x", "order_ids": "ORD-1"}, {"name": "x", "of": 1}]
)
async def test_what_is_no_basket(desk: Desk, body: dict[str, Any]) -> None:
    problem(await desk.post("/v1/baskets", body), 422, "VALIDATION_FAILED")


async def test_a_basket_that_nobody_knows(desk: Desk) -> None:
    problem(await desk.get("/v1/baskets/BSK-none"), 404, "BASKET_NOT_FOUND")
    problem(await desk.post("/v1/baskets/BSK-none/cancel"), 404, "BASKET_NOT_FOUND")
    problem(await desk.get("/v1/baskets?cursor=tampered"), 422, "VALIDATION_FAILED")
