"""Tenants at the door: a key acts for those whose portfolio it may touch, and learns nothing of the others."""

import time
from typing import Annotated

import anyio
from fastapi import Depends, Request

from oms.api.access import Reach
from oms.domain.programs.judging import no_tenant
from oms.domain.programs.tenants import Tenant
from oms.store import Store

_REMEMBERED_SECONDS = 1.0
_MAX_REMEMBERED = 1000


class Tenancy:
    """The tenants of the order book, each remembered for a second at most."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, Tenant]] = {}

    async def of(self, name: str, reach: Reach) -> Tenant:
        """The tenant. Raises Refused: INVALID_TENANT, the same for one that is out of reach."""
        until, tenant = self._known.get(name, (0.0, None))
        if tenant is None or time.monotonic() >= until:
            tenant = await anyio.to_thread.run_sync(self._store.tenants.get, name)
            self._remember(tenant)
        if tenant is None or not reach.has_portfolio(tenant.portfolio_id):
            raise no_tenant(name)
        return tenant

    def _remember(self, tenant: Tenant | None) -> None:
        if tenant is None:
            return
        if len(self._known) >= _MAX_REMEMBERED:
            self._known.clear()
        self._known[tenant.tenant] = (time.monotonic() + _REMEMBERED_SECONDS, tenant)


async def _tenancy(request: Request) -> Tenancy:
    tenancy: Tenancy = request.app.state.tenancy
    return tenancy


Tenants = Annotated[Tenancy, Depends(_tenancy)]


def tenants_within(store: Store, reach: Reach) -> frozenset[str] | None:
    """The names of the tenants that a key may act for, None for all. Blocks."""
    if reach.portfolio_ids is None:
        return None
    return frozenset(tenant.tenant for tenant in store.tenants.list(reach.portfolio_ids))
