"""Tenants: whom signed commands are for, and in which portfolio their orders are opened."""

from typing import Annotated

from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from oms.api.access import Reach
from oms.api.asking import Context, Who
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.naming import check_accounts
from oms.api.routers.shared import book_router
from oms.api.views import ListView, View, answer
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.programs.tenants import Tenant, TenantName
from oms.domain.terms import Role
from oms.store import Store, Taken

router = book_router("/v1/tenants", "tenants")
Named = Annotated[TenantName, Path(description="The tenant's name.")]


class TenantBody(Model):
    """`portfolio_id`: where the tenant's orders are opened; it is the tenant's alone, and stays.

    `accounts`: those that its commands may name (our own ids); the portfolio's default account always is one.
    """

    portfolio_id: Name = Field(examples=["PORT-001"])
    accounts: Annotated[tuple[Name, ...], Field(max_length=100)] = ()


class TenantView(View):
    """A tenant."""

    tenant: str
    portfolio_id: str
    accounts: tuple[str, ...]

    @classmethod
    def of(cls, tenant: Tenant) -> "TenantView":
        return cls.model_construct(**dict(tenant))


@router.put(
    "/{tenant}",
    operation_id="PutTenant",
    response_model=TenantView,
    responses=refusals(Code.INVALID_PORTFOLIO, Code.INVALID_ACCOUNT, Code.TENANT_CONFLICT),
)
def put_tenant(context: Context, caller: Who, tenant: Named, body: TenantBody) -> Response:
    """Describe a tenant. One that is known takes the new accounts; its portfolio stays. For admin."""
    caller.needs("Describing a tenant", Role.ADMIN)
    store = context.store
    _check_portfolio(store, caller.reach, body.portfolio_id)
    check_accounts(store, caller.reach, ((account, body.portfolio_id) for account in body.accounts))
    try:
        kept = store.tenants.put(
            Tenant(
                tenant=tenant, portfolio_id=body.portfolio_id, accounts=tuple(dict.fromkeys(body.accounts))
            )
        )
    except Taken as taken:
        raise Refused(Code.TENANT_CONFLICT, str(taken), tenant=tenant) from taken
    return answer(TenantView.of(kept))


@router.get("", operation_id="ListTenants", response_model=ListView[TenantView], responses=refusals())
def list_tenants(context: Context, caller: Who, window: Paging) -> Response:
    """The tenants that the key may act for, by name."""
    return window_answer(context.store.tenants.list(caller.reach.portfolio_ids), window, TenantView.of)


@router.get(
    "/{tenant}",
    operation_id="GetTenant",
    response_model=TenantView,
    responses=refusals(Code.TENANT_NOT_FOUND),
)
def get_tenant(context: Context, caller: Who, tenant: Named) -> Response:
    """One tenant."""
    found = context.store.tenants.get(tenant)
    if found is None or not caller.reach.has_portfolio(found.portfolio_id):
        raise Refused(Code.TENANT_NOT_FOUND, f"There is no tenant {tenant!r}.", tenant=tenant)
    return answer(TenantView.of(found))


def _check_portfolio(store: Store, reach: Reach, portfolio_id: str) -> None:
    if store.reference.portfolio(portfolio_id) is None or not reach.has_portfolio(portfolio_id):
        raise Refused(
            Code.INVALID_PORTFOLIO, f"There is no portfolio {portfolio_id!r}.", portfolio_id=portfolio_id
        )
