"""Orders over HTTP: created, read, listed, changed."""

import asyncio
import json

import pytest

from oms.domain.terms import PlacementStatus, Role
from tests.api.desk import Desk, executed, reported


async def test_an_order_is_created_and_reads_as_documented(desk: Desk) -> None:
    made = await desk.post("/v1/orders", desk.terms(client_order_id="reads-1", metadata={"note": 1.5}))
    assert made.status_code == 201, made.text
    order = made.json()
    assert made.headers["location"] == f"/v1/orders/{order['order_id']}"
    assert made.headers["etag"] == '"1"'
    assert order["workflow_id"] == f"order/{order['order_id']}"
    assert (order["state"], order["version"], order["owner"]) == ("CREATED", 1, "pm")
    assert order["route"] == {"venue": "IBKR", "account": "DU001456", "strategy": None, "params": {}}
    assert order["limit_price"] == "150.25"
    assert order["created_at"].endswith("Z")
    assert order["waiting_on"]["on"] == "pm"
    assert order["metadata"] == {"note": 1.5}
    read = await desk.get(f"/v1/orders/{order['order_id']}")
    assert (read.status_code, read.json()) == (200, order)
    asked = await desk.get(f"/v1/orders/{order['order_id']}", X_OMS_Consistency="workflow")
    assert asked.json() == order


async def test_an_instrument_may_be_named_by_its_terms(desk: Desk) -> None:
    terms = desk.terms(
        instrument_id=None, instrument={"symbol": "AAPL", "sec_type": "STK", "currency": "USD"}
    )
    made = await desk.post("/v1/orders", terms)
    assert made.status_code == 201, made.text
    assert made.json()["instrument_id"] == desk.instrument_id


async def test_a_route_without_an_account_gets_the_default_one(desk: Desk) -> None:
    order = await desk.order(route={"venue": "IBKR", "strategy": "VWAP"})
    assert order["route"] == {"venue": "IBKR", "account": "DU001456", "strategy": "VWAP", "params": {}}
    named = await desk.order(route={"venue": "IBKR", "account": "ACCT-002"})
    assert named["route"]["account"] == "DU002456"


async def test_no_digit_of_a_number_is_lost(desk: Desk) -> None:
    body = json.dumps(desk.terms(ordered_quantity="Q", limit_price="P"))
    body = body.replace('"Q"', "12345678901234567890.123456789012345678").replace(
        '"P"', "0.100000000000000001"
    )
    made = await desk.client.post(
        "/v1/orders", content=body, headers={"X-API-Key": "secret-pm", "Content-Type": "application/json"}
    )
    assert made.status_code == 201, made.text
    assert made.json()["ordered_quantity"] == "12345678901234567890.123456789012345678"
    assert made.json()["limit_price"] == "0.100000000000000001"


async def test_lists_page_newest_first_with_cursor_and_offset(desk: Desk) -> None:
    basket = await desk.basket()
    made = [(await desk.order(basket_id=basket))["order_id"] for _ in range(5)]
    newest_first = made[::-1]
    first = (await desk.get(f"/v1/orders?basket_id={basket}&limit=2")).json()
    assert [order["order_id"] for order in first["items"]] == newest_first[:2]
    rest = (await desk.get(f"/v1/orders?basket_id={basket}&limit=10&cursor={first['next_cursor']}")).json()
    assert [order["order_id"] for order in rest["items"]] == newest_first[2:]
    assert rest["next_cursor"] is None
    skipped = (await desk.get(f"/v1/orders?basket_id={basket}&offset=4")).json()
    assert [order["order_id"] for order in skipped["items"]] == newest_first[4:]


async def test_a_list_says_what_an_order_waits_for_as_the_order_does(desk: Desk) -> None:
    """A list is read without the executions; that a commission is missing is told without them."""
    made = await desk.order(automation="straight_through", compliance="builtin", limit_price="1.25")
    order_id = made["order_id"]
    routed = await desk.reads(order_id, lambda order: order["working_quantity"] == "100")
    placement_id = routed["placements"][0]["placement_id"]
    execution, commission = executed(placement_id, "100", "1.25")
    done = reported(placement_id, PlacementStatus.FILLED, "100")
    await desk.venue_says(order_id, execution, done)
    waits = await desk.reads(order_id, lambda order: order["state"] == "POST_TRADE_COMPLIANCE_PASSED")
    assert (waits["waiting_on"]["on"], waits["waiting_on"]["what"]) == ("venue", "commission reports")
    listed = (await desk.get(f"/v1/orders?state={waits['state']}&limit=500")).json()["items"]
    assert [order["waiting_on"] for order in listed if order["order_id"] == order_id] == [waits["waiting_on"]]
    await desk.venue_says(order_id, commission)
    goes_on = await desk.reads(order_id, lambda order: order["state"] == "CONFIRMED")
    listed = (await desk.get("/v1/orders?state=CONFIRMED&limit=500")).json()["items"]
    assert [order["waiting_on"] for order in listed if order["order_id"] == order_id] == [
        goes_on["waiting_on"]
    ]


async def test_lists_filter(desk: Desk) -> None:
    basket = await desk.basket()
    bought = (await desk.order(basket_id=basket))["order_id"]
    sold = (await desk.order(basket_id=basket, direction="Sell"))["order_id"]
    await desk.command(bought, "cancel")

    async def found(query: str) -> set[str]:
        listed = await desk.get(f"/v1/orders?basket_id={basket}&{query}")
        assert listed.status_code == 200, listed.text
        return {order["order_id"] for order in listed.json()["items"]}

    assert await found("direction=Sell") == {sold}
    assert await found("state=CANCELED") == {bought}
    assert await found(f"instrument_id={desk.instrument_id}&portfolio_id=PORT-001") == {bought, sold}
    assert await found("portfolio_id=PORT-002") == set()
    assert await found("created_after=2026-03-01") == {bought, sold}
    assert await found("created_before=2026-03-01") == set()


async def test_economic_fields_change_until_compliance_has_passed(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    changed = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{order_id}", {"limit_price": "151.5"})
    assert (changed.status_code, changed.json()["limit_price"]) == (200, "151.5")
    nested = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{order_id}", {"changes": {"ordered_quantity": 90}})
    assert nested.json()["ordered_quantity"] == "90"
    await desk.command(order_id, "pre-trade-compliance/request")
    await desk.command(order_id, "pre-trade-compliance/pass", Role.COMPLIANCE)
    locked = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{order_id}", {"limit_price": "152"})
    assert (locked.status_code, locked.json()["code"]) == (409, "FIELD_LOCKED")
    booked = await desk.ask(Role.OPS, "PATCH", f"/v1/orders/{order_id}", {"metadata": {"n": 0.1}})
    assert (booked.status_code, booked.json()["metadata"]) == (200, {"n": 0.1})


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"portfolio_id": "PORT-002", "limit_price": "1"}, 409, "FIELD_LOCKED"),
        ({"direction": "Sell"}, 409, "FIELD_LOCKED"),
        ({"compliance": "builtin"}, 409, "FIELD_LOCKED"),
        ({"limit": "1"}, 422, "VALIDATION_FAILED"),
        ({"changes": {"limit": "1"}}, 422, "VALIDATION_FAILED"),
        ({}, 422, "VALIDATION_FAILED"),
        ({"changes": {}}, 422, "VALIDATION_FAILED"),
        ({"changes": 5}, 422, "VALIDATION_FAILED"),
        ([], 422, "VALIDATION_FAILED"),
        ({"limit_price": None}, 422, "INVALID_ORDER_TYPE"),
        ({"ordered_quantity": None}, 422, "VALIDATION_FAILED"),
        ({"expires_at": "2027-01-01T00:00:00Z"}, 422, "INVALID_ORDER_TYPE"),
        ({"metadata": {"x": {"y": "z" * 200_000}}}, 413, "PAYLOAD_TOO_LARGE"),
    ],
)
async def test_what_an_update_may_not_change(desk: Desk, body: object, status: int, code: str) -> None:
    order_id = (await desk.order())["order_id"]
    answer = await desk.ask(Role.PM, "PATCH", f"/v1/orders/{order_id}", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_if_match_holds_a_command_to_the_version_that_was_seen(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    path = f"/v1/orders/{order_id}"
    changed = await desk.ask(Role.PM, "PATCH", path, {"limit_price": "151"}, If_Match='"1"')
    assert changed.headers["etag"] == '"2"'
    late = await desk.post(f"{path}/cancel", None, If_Match='"1"')
    assert (late.status_code, late.json()["code"]) == (409, "VERSION_CONFLICT")
    assert (late.json()["version"], late.json()["expected"]) == (2, 1)
    for malformed in ("1", '"x"', '""', "seven"):
        refused = await desk.post(f"{path}/cancel", None, If_Match=malformed)
        assert (refused.status_code, refused.json()["code"]) == (400, "MALFORMED")
    assert (await desk.post(f"{path}/cancel", None, If_Match='"2"')).json()["state"] == "CANCELED"


async def test_a_client_order_id_is_one_order(desk: Desk) -> None:
    answers = await asyncio.gather(
        *(desk.post("/v1/orders", desk.terms(client_order_id="race-1")) for _ in range(20))
    )
    made = [answer for answer in answers if answer.status_code == 201]
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert (len(made), len(refused)) == (1, 19)
    assert {problem["code"] for problem in refused} == {"DUPLICATE_ORDER"}
    assert {problem["order_id"] for problem in refused} == {made[0].json()["order_id"]}
    elsewhere = await desk.post("/v1/orders", desk.terms(client_order_id="race-1", portfolio_id="PORT-002"))
    assert elsewhere.status_code == 201


async def test_the_request_id_goes_through_to_the_journal(desk: Desk) -> None:
    made = await desk.post("/v1/orders", desk.terms(), X_Request_ID="trace-77")
    assert made.headers["x-request-id"] == "trace-77"
    journal = (await desk.get(f"/v1/orders/{made.json()['order_id']}/journal")).json()["items"]
    assert [event["correlation_id"] for event in journal] == ["trace-77"]
    assert journal[0]["kind"] == "order_created"
    assert journal[0]["actor"] == {"key": "pm", "role": "pm"}
    assert journal[0]["ts_init_ns"] >= journal[0]["ts_event_ns"] > 0
    other = await desk.get("/v1/orders", X_Request_ID="not one\t")
    assert len(other.headers["x-request-id"]) == 32
