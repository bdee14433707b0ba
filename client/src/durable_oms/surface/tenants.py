"""Tenants: whom signed commands are for."""

from collections.abc import Iterable

from durable_oms.models import Tenant
from durable_oms.models.record import page
from durable_oms.operation import Every, operation
from durable_oms.requests import Content, asked, told


class Tenants:
    """Who may send signed commands for whom. The commands themselves are for programs, which have their own clients."""

    @operation("PUT /v1/tenants/{tenant}", Tenant.model_validate)
    def put_tenant(self, tenant: str, portfolio_id: str, accounts: Iterable[str] = ()) -> Content:
        """Describe a tenant; one that is known takes the new `accounts`, and keeps its portfolio. For admin."""
        return told({}, portfolio_id=portfolio_id, accounts=list(accounts))

    @operation("GET /v1/tenants", page(Tenant.model_validate))
    def list_tenants(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """A page of the tenants that the key may act for, by name."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    iterate_tenants = Every(list_tenants)

    @operation("GET /v1/tenants/{tenant}", Tenant.model_validate)
    def get_tenant(self, tenant: str) -> Content:
        """One tenant."""
        return asked()
