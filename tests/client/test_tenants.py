"""Tenants through the client, in both kinds."""

import uuid

import pytest

from durable_oms import Conflict, NotAuthorized, NotFound
from durable_oms.models import Tenant
from oms.domain.reference import Portfolio
from oms.domain.terms import Role
from tests.api.desk import SECRETS, Desk
from tests.client.conftest import Asks

ADMIN = SECRETS[Role.ADMIN]


async def test_a_tenant_is_described_read_and_listed(desk: Desk, address: str, ask: Asks) -> None:
    named, own = f"t-{uuid.uuid4().hex}", f"PORT-{uuid.uuid4().hex}"
    portfolio = Portfolio(portfolio_id=own, name="A tenant's", default_account_id="ACCT-001")
    desk.context.store.reference.put_portfolio(portfolio)
    wanted = Tenant(tenant=named, portfolio_id=own, accounts=("ACCT-001",))
    described = await ask(
        address, lambda client: client.oms.put_tenant(named, own, ["ACCT-001"]), api_key=ADMIN
    )
    assert described == wanted
    assert await ask(address, lambda client: client.oms.get_tenant(named)) == wanted
    listed = await ask(address, lambda client: client.oms.list_tenants(limit=500))
    assert wanted in listed.items
    with pytest.raises(Conflict) as taken:
        await ask(address, lambda client: client.oms.put_tenant(f"{named}-2", own), api_key=ADMIN)
    assert taken.value.code == "TENANT_CONFLICT"
    with pytest.raises(NotAuthorized):
        await ask(address, lambda client: client.oms.put_tenant(named, own))
    with pytest.raises(NotFound):
        await ask(address, lambda client: client.oms.get_tenant("nobody"))
