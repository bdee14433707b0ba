"""The target surface without a broker: who may ask, what cannot be asked, what is listed, and what is said of an absence.

What happens at a broker is in test_examples_targets.py.
"""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from oms.domain.commands import Actor
from oms.domain.errands import Refusal
from oms.domain.programs.targets import TargetBatch, TargetRow
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Role
from oms.store import GatewayReport, tables
from tests.api.desk import Desk

ORDERS = "/api/v1/orders"
HERE = "DU001456"
"""An account with a gateway's worker behind it; nobody serves DU002456."""
NOT_HERE = "DU002456"
SECOND_KEY, BY_ACCOUNT = "secret-second", "secret-by-account"
ROW = {"symbol": "AAPL", "quantity": 100}


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """The problem document, whose status is the one that was answered."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), answer.text
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    if field is not None:
        assert problem["field"] == field, answer.text
    return problem


def batch(**changes: Any) -> TargetBatch:
    now = datetime.now(UTC)
    given = {
        "batch_id": uuid.uuid4().hex[:16],
        "account": NOT_HERE,
        "account_id": "ACCT-002",
        "portfolio_id": "PORT-002",
        "client": "a-client",
        "actor": Actor(key="a-client", roles=(Role.PM,)),
        "submitted_at": now,
        "send_by": now + timedelta(seconds=60),
        "rows": (TargetRow(symbol="AAPL", quantity="100"), TargetRow(symbol="MSFT", quantity="-5")),
    }
    return TargetBatch.model_validate({**given, **changes})


def kept(desk: Desk, **changes: Any) -> TargetBatch:
    return desk.context.store.targets.open_batch(batch(**changes))


async def post(desk: Desk, body: Any, key: Role | str = Role.PM) -> httpx.Response:
    return await desk.post(ORDERS, body, key)


# -- who ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ORDERS),
        ("GET", ORDERS),
        ("GET", f"{ORDERS}/a1b2c3d4e5f67890"),
        ("DELETE", f"{ORDERS}/a1b2c3d4e5f67890"),
        ("GET", "/api/v1/positions"),
    ],
)
async def test_every_path_but_health_needs_a_key(desk: Desk, method: str, path: str) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}):
        answer = await desk.client.request(method, path, headers=headers)
        refused(answer, 401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.SYSTEM, Role.PM)])
async def test_a_key_that_may_not_is_401_and_told_why(desk: Desk, role: Role) -> None:
    for answer in (
        await post(desk, {"account_id": HERE, "orders": [ROW]}, role),
        await desk.ask(role, "DELETE", f"{ORDERS}/a1b2c3d4e5f67890"),
    ):
        assert role in refused(answer, 401, "NOT_AUTHORIZED")["detail"]


async def test_health_is_open_and_says_which_accounts_are_connected(desk: Desk) -> None:
    store = desk.context.store
    told = {"venue": "IBKR", "connected": True, "updated_ns": int(datetime.now(UTC).timestamp() * 1e9)}
    store.gateways.report(GatewayReport(name="t/1", accounts=("DU-up",), gate_open=True, **told))
    store.gateways.report(GatewayReport(name="t/2", accounts=("DU-down",), gate_open=False, **told))
    try:
        answer = await desk.client.get("/api/v1/health")
    finally:
        with store.database.write() as connection:
            connection.execute(delete(tables.gateways).where(tables.gateways.c.name.in_(["t/1", "t/2"])))
    assert (answer.status_code, answer.json().keys()) == (200, {"status", "accounts"})
    assert answer.json()["status"] == "ok"
    assert {"DU-up": True, "DU-down": False}.items() <= answer.json()["accounts"].items()


# -- what cannot be ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "orders"),
        ({"orders": []}, "orders"),
        ({"orders": None}, "orders"),
        ({"orders": {}}, "orders"),
        ({"orders": [{"quantity": 100}]}, "orders.0.symbol"),
        ({"orders": [{"symbol": "AAPL"}]}, "orders.0.quantity"),
        ({"orders": [{**ROW, "side": "BUY"}]}, "orders.0.side"),
        ({"orders": [ROW], "dry_run": True}, "dry_run"),
        ({"orders": [{**ROW, "symbol": ""}]}, "orders.0.symbol"),
        ({"orders": [{**ROW, "symbol": 5}]}, "orders.0.symbol"),
        ({"orders": [{**ROW, "quantity": None}]}, "orders.0.quantity"),
        ({"orders": [{**ROW, "quantity": True}]}, "orders.0.quantity"),
        ({"orders": [{**ROW, "quantity": "many"}]}, "orders.0.quantity"),
        ({"orders": [{**ROW, "limit_price": 0}]}, "orders.0.limit_price"),
        ({"orders": [{**ROW, "limit_price": -1}]}, "orders.0.limit_price"),
        ({"orders": [{**ROW, "expected_price": 0, "tolerance_pct": 1}]}, "orders.0.expected_price"),
        ({"orders": [{**ROW, "expected_price": 1, "tolerance_pct": -1}]}, "orders.0.tolerance_pct"),
        ({"orders": [{**ROW, "expected_price": 1, "tolerance_pct": 100}]}, "orders.0.tolerance_pct"),
        ({"orders": [ROW, {**ROW, "symbol": "MSFT", "expected_price": 1}]}, "orders.1.tolerance_pct"),
        ({"orders": [{**ROW, "expected_price": 1, "limit_price": 1}]}, "orders.0.tolerance_pct"),
        ({"orders": [ROW, {**ROW, "quantity": 5}]}, "body"),
        ({"orders": [ROW, {**ROW, "symbol": "aapl"}]}, "body"),
        ({"orders": [{**ROW, "symbol": f"S{n}"} for n in range(1001)]}, "orders"),
        ({"orders": [ROW], "account_id": ""}, "account_id"),
        ({"orders": [ROW], "account_id": 5}, "account_id"),
    ],
)
async def test_a_batch_that_cannot_be(desk: Desk, body: Any, field: str) -> None:
    refused(await post(desk, {"account_id": HERE, **body}), 400, "VALIDATION_FAILED", field)


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-Infinity", "1" * 300, "0x10", ""])
async def test_a_body_that_cannot_be_read(desk: Desk, quantity: str) -> None:
    text = f'{{"account_id": "{HERE}", "orders": [{{"symbol": "AAPL", "quantity": {quantity}}}]}}'
    headers = {"X-API-Key": "secret-pm", "Content-Type": "application/json"}
    refused(await desk.client.post(ORDERS, content=text, headers=headers), 400, "MALFORMED")


async def test_bodies_of_another_shape_or_type(desk: Desk) -> None:
    for body in (None, [], "orders", 5, [ROW]):
        answer = await desk.ask(Role.PM, "POST", ORDERS, body)
        refused(answer, 400, "VALIDATION_FAILED")
    form = {"X-API-Key": "secret-pm", "Content-Type": "text/plain"}
    refused(await desk.client.post(ORDERS, content="{}", headers=form), 400, "MALFORMED")


async def test_an_account_that_the_key_does_not_reach(desk: Desk) -> None:
    body = {"orders": [ROW]}
    for key, account in ((Role.PM, "DU404"), (SECOND_KEY, HERE), (BY_ACCOUNT, "ACCT-001")):
        problem = refused(
            await post(desk, {**body, "account_id": account}, key), 400, "INVALID_ACCOUNT", "account_id"
        )
        assert account in problem["detail"]
        answer = await desk.get(f"/api/v1/positions?account_id={account}", key)
        refused(answer, 400, "INVALID_ACCOUNT", "account_id")


async def test_no_account_where_there_is_no_default(desk: Desk) -> None:
    refused(await post(desk, {"orders": [ROW]}), 400, "VALIDATION_FAILED", "account_id")
    refused(await desk.get("/api/v1/positions"), 400, "VALIDATION_FAILED", "account_id")


async def test_an_account_without_a_portfolio_is_nobodys(desk: Desk) -> None:
    lone = Account(account_id="ACCT-lone", name="Lone", broker_account="DU-lone")
    desk.context.store.reference.put_account(lone)
    refused(await post(desk, {"account_id": "DU-lone", "orders": [ROW]}), 400, "INVALID_ACCOUNT")


async def test_a_target_is_of_all_that_an_account_holds(desk: Desk) -> None:
    """A key for one of two portfolios that trade in an account would sell what the other one holds."""
    reference = desk.context.store.reference
    reference.put_account(Account(account_id="ACCT-T", name="Shared", broker_account="DU-T"))
    for name in ("PORT-T1", "PORT-T2"):
        reference.put_portfolio(
            Portfolio(portfolio_id=name, name="T", net_asset_value="1", default_account_id="ACCT-T")
        )
    desk.context.store.keys.create("t1", [Role.PM], "secret-t1", portfolios=["PORT-T1"])
    problem = refused(
        await post(desk, {"account_id": "DU-T", "orders": [ROW]}, "secret-t1"), 400, "INVALID_ACCOUNT"
    )
    assert "out of the key's reach" in problem["detail"]


@pytest.mark.parametrize(
    ("prices", "missing"),
    [({"expected_price": 1}, "tolerance_pct is required"), ({"tolerance_pct": 1}, "needs expected_price")],
)
async def test_a_half_of_a_protection_is_none(desk: Desk, prices: dict[str, int], missing: str) -> None:
    """It would be a market order, and whoever gave a price did not mean one."""
    answer = await post(desk, {"orders": [{**ROW, **prices}]})
    problem = refused(answer, 400, "VALIDATION_FAILED", "orders.0.tolerance_pct")
    assert [error["field"] for error in problem["errors"]] == ["orders.0.tolerance_pct"]
    assert missing in problem["detail"].replace(":", "")


# -- batches that are there --------------------------------------------------------------------------


async def test_a_batch_that_is_not_there_or_not_the_keys(desk: Desk) -> None:
    mine = kept(desk, account=HERE, account_id="ACCT-001", portfolio_id="PORT-001").batch_id
    for key, batch_id in ((Role.VIEWER, "0123456789abcdef"), (SECOND_KEY, mine), (BY_ACCOUNT, mine)):
        refused(await desk.get(f"{ORDERS}/{batch_id}", key), 404, "BATCH_NOT_FOUND")
    for batch_id in ("%00", "a" * 200, "..%2f..", "'%20OR%201=1"):
        assert (await desk.get(f"{ORDERS}/{batch_id}")).status_code in (400, 404)
    answer = await desk.ask(Role.PM, "DELETE", f"{ORDERS}/0123456789abcdef")
    refused(answer, 404, "BATCH_NOT_FOUND")


async def test_a_broker_that_is_away_leaves_what_the_book_knows(desk: Desk) -> None:
    posted = kept(desk)
    refusal = Refusal(code="INVALID_INSTRUMENT", message="'MSFT' is not one known instrument.")
    desk.context.store.targets.keep(f"{posted.batch_id}/1", refusal)
    answer = await desk.get(f"{ORDERS}/{posted.batch_id}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["warning"].startswith("110 ")
    nothing = {"filled_qty": 0, "avg_fill_price": 0, "commission": 0, "delta": None, "action": None}
    assert answer.json() == {
        "batch_id": posted.batch_id,
        "account_id": NOT_HERE,
        "submitted_at": posted.submitted_at.isoformat(timespec="seconds"),
        "orders": [
            {"symbol": "AAPL", "ibkr_order_id": None, "status": "PreSubmitted", **nothing},
            {
                "symbol": "MSFT",
                "ibkr_order_id": None,
                "status": "error",
                "error": "'MSFT' is not one known instrument.",
                **nothing,
            },
        ],
    }
    assert posted.submitted_at.isoformat(timespec="seconds").endswith("+00:00")


async def test_what_nobody_carried_out_in_its_time_is_not_said_to_be_on_its_way(desk: Desk) -> None:
    """Also after its workflow was ended by somebody; what was refused before keeps its own reason."""
    posted = kept(desk, send_by=datetime.now(UTC) - timedelta(seconds=60))
    refusal = Refusal(code="INVALID_INSTRUMENT", message="'MSFT' is not one known instrument.")
    desk.context.store.targets.keep(f"{posted.batch_id}/1", refusal)
    first, second = (await desk.get(f"{ORDERS}/{posted.batch_id}")).json()["orders"]
    assert (first["status"], second["status"], second["error"]) == ("error", "error", refusal.message)
    assert first["error"].startswith(
        f"Not carried out: nobody came to it before {posted.send_by:%Y-%m-%dT%H:%M}"
    )


async def test_the_last_hundred_newest_first_within_reach(desk: Desk) -> None:
    began = datetime.now(UTC) + timedelta(days=1)
    posted = [kept(desk, submitted_at=began + timedelta(seconds=n)) for n in range(102)]
    hidden = kept(
        desk,
        account=HERE,
        account_id="ACCT-001",
        portfolio_id="PORT-001",
        submitted_at=began + timedelta(days=1),
    )
    for key in (SECOND_KEY, BY_ACCOUNT):
        listed = (await desk.get(ORDERS, key)).json()["batches"]
        assert [one["batch_id"] for one in listed] == [one.batch_id for one in reversed(posted)][:100]
    first, second = (await desk.get(ORDERS)).json()["batches"][:2]
    assert first["batch_id"] == hidden.batch_id
    assert second == {
        "batch_id": posted[-1].batch_id,
        "account_id": NOT_HERE,
        "client": "a-client",
        "submitted_at": posted[-1].submitted_at.isoformat(timespec="seconds"),
    }
    with desk.context.store.database.write() as connection:
        batches = tables.target_batches
        connection.execute(delete(batches).where(batches.c.submitted_at >= began))


async def test_nothing_is_taken_where_the_broker_is_away(desk: Desk) -> None:
    posted = kept(desk)
    before = (await desk.get(ORDERS)).json()
    taken, canceled, positions = await asyncio.gather(
        post(desk, {"account_id": NOT_HERE, "orders": [ROW]}),
        desk.ask(Role.PM, "DELETE", f"{ORDERS}/{posted.batch_id}"),
        desk.get(f"/api/v1/positions?account_id={NOT_HERE}"),
    )
    for answer in (taken, canceled, positions):
        assert NOT_HERE in refused(answer, 500, "UNAVAILABLE")["detail"]
        assert answer.headers["retry-after"]
    assert taken.json()["detail"].startswith("Nothing was taken")
    assert (await desk.get(ORDERS)).json() == before
    assert desk.context.store.targets.aimed(posted.batch_id) == {}


# -- the document ------------------------------------------------------------------------------------


async def test_the_document_has_the_surfaces_own_statuses(desk: Desk) -> None:
    document = (await desk.client.get("/openapi.json")).json()
    paths = {path: told for path, told in document["paths"].items() if path.startswith("/api/v1/")}
    assert {path: sorted(told) for path, told in paths.items()} == {
        "/api/v1/health": ["get"],
        "/api/v1/orders": ["get", "post"],
        "/api/v1/orders/{batch_id}": ["delete", "get"],
        "/api/v1/positions": ["get"],
    }
    for path, operations in paths.items():
        for operation in operations.values():
            statuses = set(operation["responses"]) - {"default"}
            assert statuses <= {"200", "201", "400", "401", "404", "413", "429", "500"}, path
            assert ("401" in statuses) is (path != "/api/v1/health")


async def test_the_document_says_that_numbers_are_numbers(desk: Desk) -> None:
    schemas = (await desk.client.get("/openapi.json")).json()["components"]["schemas"]
    for name in ("PlacedView", "FollowedView", "HeldView", "PositionsView", "TargetBody"):
        kinds = json.dumps(schemas[name]["properties"])
        assert '"decimal"' not in kinds, name
        assert '"number"' in kinds, name


@pytest.fixture(autouse=True)
def _no_gateways(desk: Desk) -> None:
    """Reports of other tests' gateways would be asked."""
    with desk.context.store.database.write() as connection:
        connection.execute(delete(tables.gateways))
