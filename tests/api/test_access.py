"""Keys: how they are presented, what each role may do, what a limited key sees."""

from datetime import UTC, datetime, timedelta

import pytest

from oms.domain.terms import Role
from tests.api.desk import TOKEN, Desk
from tests.stack import until

SECOND, BY_ACCOUNT = "secret-second", "secret-by-account"


@pytest.mark.parametrize("header", ["Authorization", "X-API-Key", "x-api-token"])
@pytest.mark.parametrize("secret", ["secret-viewer", TOKEN])
async def test_a_key_is_taken_in_three_headers(desk: Desk, header: str, secret: str) -> None:
    value = f"Bearer {secret}" if header == "Authorization" else secret
    assert (await desk.client.get("/v1/orders", headers={header: value})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic c2VjcmV0"},
        {"X-API-Key": ""},
        {"X-API-Key": "é"},
    ],
)
async def test_without_a_key_nothing_is_said(desk: Desk, headers: dict[str, str]) -> None:
    for path in ("/v1/orders", "/v1/orders/ORD-none", "/v1/stream", "/v1/positions"):
        answer = await desk.client.get(path, headers=[(k.encode(), v.encode()) for k, v in headers.items()])
        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_an_expired_or_revoked_key_is_no_key(desk: Desk) -> None:
    keys = desk.context.store.keys
    keys.create("expired", [Role.PM], "secret-expired", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await desk.get("/v1/orders", "secret-expired")).status_code == 401
    keys.create("revoked", [Role.PM], "secret-revoked")
    assert (await desk.get("/v1/orders", "secret-revoked")).status_code == 200
    keys.revoke("revoked")

    async def gone() -> bool:
        return (await desk.get("/v1/orders", "secret-revoked")).status_code == 401

    await until(gone, "the revoked key to stop working", seconds=2)


async def test_the_token_from_the_environment_trades(desk: Desk) -> None:
    made = await desk.post("/v1/orders", desk.terms(), TOKEN)
    assert made.status_code == 201
    assert made.json()["created_by"].startswith("env-")
    assert TOKEN not in made.text


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.SYSTEM, Role.PM)])
async def test_only_a_pm_creates_orders(desk: Desk, role: Role) -> None:
    answer = await desk.post("/v1/orders", desk.terms(), role)
    assert (answer.status_code, answer.json()["code"]) == (403, "NOT_AUTHORIZED")


async def test_a_viewer_reads_and_changes_nothing(desk: Desk) -> None:
    order_id = (await desk.order())["order_id"]
    attempts: list[tuple[str, str, object]] = [
        ("POST", f"/v1/orders/{order_id}/pre-trade-compliance/request", None),
        ("PATCH", f"/v1/orders/{order_id}", {"metadata": {}}),
        ("POST", "/v1/instruments", {"symbol": "X"}),
        ("POST", "/v1/accounts", {"account_id": "A", "name": "A", "broker_account": "B"}),
        ("POST", "/v1/portfolios", {"portfolio_id": "A", "name": "A", "default_account_id": "ACCT-001"}),
        ("PUT", "/v1/prices", {"prices": [{"instrument_id": desk.instrument_id, "price": "1"}]}),
        ("POST", "/v1/compliance/rules", {"rule_type": "restricted_list", "name": "n", "parameters": {}}),
    ]
    for method, path, body in attempts:
        answer = await desk.ask(Role.VIEWER, method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "NOT_AUTHORIZED"), path
    cancel = await desk.post(f"/v1/orders/{order_id}/cancel", None, Role.VIEWER)
    assert (cancel.status_code, cancel.json()["code"]) == (403, "CANCEL_NOT_AUTHORIZED")
    assert (await desk.get(f"/v1/orders/{order_id}")).json()["version"] == 1


async def test_a_key_for_one_portfolio_sees_nothing_of_another(desk: Desk) -> None:
    order_id, placement_id = await desk.routed()
    for path in (f"/v1/orders/{order_id}", f"/v1/orders/{order_id}/journal", f"/v1/orders/{order_id}/fills"):
        assert (await desk.get(path, SECOND)).json()["code"] == "ORDER_NOT_FOUND"
    assert (await desk.get(f"/v1/placements/{placement_id}", SECOND)).json()["code"] == "PLACEMENT_NOT_FOUND"
    cancel = await desk.post(f"/v1/orders/{order_id}/cancel", None, SECOND)
    assert (cancel.status_code, cancel.json()["code"]) == (404, "ORDER_NOT_FOUND")
    refused = await desk.post("/v1/orders", desk.terms(), SECOND)
    assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_PORTFOLIO")


@pytest.mark.parametrize("secret", [SECOND, BY_ACCOUNT])
async def test_a_limited_key_works_in_its_own_portfolio(desk: Desk, secret: str) -> None:
    made = await desk.post("/v1/orders", desk.terms(portfolio_id="PORT-002"), secret)
    assert made.status_code == 201, made.text
    order_id = made.json()["order_id"]
    assert (await desk.post(f"/v1/orders/{order_id}/cancel", None, secret)).json()["state"] == "CANCELED"
    seen = (await desk.get("/v1/orders?limit=500", secret)).json()["items"]
    assert {order["portfolio_id"] for order in seen} == {"PORT-002"}
    assert [p["portfolio_id"] for p in (await desk.get("/v1/portfolios", secret)).json()["items"]] == [
        "PORT-002"
    ]
    assert (await desk.get("/v1/portfolios/PORT-001", secret)).status_code == 404


async def test_a_key_for_one_account_may_not_route_to_another(desk: Desk) -> None:
    assert [a["account_id"] for a in (await desk.get("/v1/accounts", BY_ACCOUNT)).json()["items"]] == [
        "ACCT-002"
    ]
    assert (await desk.get("/v1/accounts/ACCT-001", BY_ACCOUNT)).status_code == 404
    route = {"venue": "IBKR", "account": "DU001456"}
    refused = await desk.post("/v1/orders", desk.terms(portfolio_id="PORT-002", route=route), BY_ACCOUNT)
    assert (refused.status_code, refused.json()["code"]) == (422, "INVALID_ACCOUNT")
