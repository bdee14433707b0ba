"""Tenants: described by an admin, one portfolio each, seen by keys to that portfolio."""

from typing import Any

import pytest

from oms.domain.reference import Portfolio
from oms.domain.terms import Role
from tests.api.desk import Desk
from tests.api.programs import hint, ping
from tests.api.test_bad_input import refused

SECOND = "secret-second"


def portfolio(desk: Desk) -> str:
    """A portfolio of nobody's yet."""
    named = f"PORT-{hint()}"
    desk.context.store.reference.put_portfolio(
        Portfolio(portfolio_id=named, name="A tenant's", default_account_id="ACCT-001")
    )
    return named


async def put(desk: Desk, tenant: str, role: Role | str = Role.ADMIN, **body: Any) -> Any:
    return await desk.ask(role, "PUT", f"/v1/tenants/{tenant}", body)


async def test_a_tenant_is_described_found_and_listed(desk: Desk) -> None:
    name, own = f"t-{hint()}", portfolio(desk)
    made = await put(desk, name, portfolio_id=own, accounts=["ACCT-001", "ACCT-002", "ACCT-001"])
    described = {"tenant": name, "portfolio_id": own, "accounts": ["ACCT-001", "ACCT-002"]}
    assert (made.status_code, made.json()) == (200, described)
    assert (await desk.get(f"/v1/tenants/{name}")).json() == described
    assert described in (await desk.get("/v1/tenants?limit=500")).json()["items"]
    again = await put(desk, name, portfolio_id=own)
    assert again.json() == {**described, "accounts": []}
    assert (await desk.post("/oms/ping", ping(tenant=name))).status_code == 200


async def test_a_portfolio_is_one_tenants_and_stays(desk: Desk) -> None:
    name, own = f"t-{hint()}", portfolio(desk)
    assert (await put(desk, name, portfolio_id=own)).status_code == 200
    refused(await put(desk, f"{name}-2", portfolio_id=own), 409, "TENANT_CONFLICT")
    refused(await put(desk, name, portfolio_id=portfolio(desk)), 409, "TENANT_CONFLICT")
    assert (await desk.get(f"/v1/tenants/{name}")).json()["portfolio_id"] == own


async def test_a_key_sees_the_tenants_of_its_portfolios(desk: Desk) -> None:
    assert [one["tenant"] for one in (await desk.get("/v1/tenants", SECOND)).json()["items"]] == ["other"]
    refused(await desk.get("/v1/tenants/nts", SECOND), 404, "TENANT_NOT_FOUND")
    refused(await desk.get("/v1/tenants/nobody"), 404, "TENANT_NOT_FOUND")
    page = (await desk.get("/v1/tenants?limit=1")).json()
    rest = (await desk.get(f"/v1/tenants?limit=500&cursor={page['next_cursor']}")).json()["items"]
    names = [one["tenant"] for one in [*page["items"], *rest]]
    assert names == sorted(names)
    assert {"nts", "other"} <= set(names)


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.SYSTEM, Role.ADMIN)])
async def test_only_an_admin_describes_one(desk: Desk, role: Role) -> None:
    refused(await put(desk, "nts", role, portfolio_id="PORT-001"), 403, "NOT_AUTHORIZED")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"portfolio_id": "PORT-404"}, "INVALID_PORTFOLIO"),
        ({"portfolio_id": "PORT-001", "accounts": ["ACCT-404"]}, "INVALID_ACCOUNT"),
        ({}, "VALIDATION_FAILED"),
        ({"portfolio_id": "PORT-001", "colour": "red"}, "VALIDATION_FAILED"),
    ],
)
async def test_what_a_tenant_cannot_be(desk: Desk, body: dict[str, Any], code: str) -> None:
    refused(await put(desk, "nts", **body), 422, code)
    refused(await put(desk, "no%20tenant", portfolio_id="PORT-001"), 422, "VALIDATION_FAILED")


async def test_an_admin_of_some_portfolios_describes_only_theirs(desk: Desk) -> None:
    secret = f"secret-{hint()}"
    desk.context.store.keys.create(secret, [Role.ADMIN], secret, portfolios=["PORT-002"])
    refused(await put(desk, "nts", secret, portfolio_id="PORT-001"), 422, "INVALID_PORTFOLIO")
    assert (await put(desk, "other", secret, portfolio_id="PORT-002")).status_code == 200
