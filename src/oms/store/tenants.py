"""Tenants: whom signed commands are for."""

from collections.abc import Collection

from sqlalchemy import ColumnElement, select
from sqlalchemy.exc import IntegrityError

from oms.domain.programs.tenants import Tenant
from oms.store import tables
from oms.store.database import Database
from oms.store.errors import Taken


class Tenants:
    """Tenants by name. Putting the same one twice is putting it once; the later description replaces the earlier."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert, portfolio = database.insert(tables.tenants), tables.tenants.c.portfolio_id
        self._put = insert.on_conflict_do_update(
            index_elements=["tenant"],
            set_={"body": insert.excluded.body},
            where=portfolio == insert.excluded.portfolio_id,
        ).execution_options(preserve_rowcount=True)

    def put(self, tenant: Tenant) -> Tenant:
        """Keep the tenant. Of many who give it a portfolio at once one does, and it stays.

        Raises Taken where the tenant has another portfolio, or the portfolio is another tenant's.
        """
        row = {
            "tenant": tenant.tenant,
            "portfolio_id": tenant.portfolio_id,
            "body": tenant.model_dump_json(),
        }
        try:
            with self._database.write() as connection:
                is_kept = connection.execute(self._put, row).rowcount == 1
        except IntegrityError as error:
            raise Taken(f"Portfolio {tenant.portfolio_id!r} is another tenant's.") from error
        if not is_kept:
            raise Taken(f"Tenant {tenant.tenant!r} has another portfolio, with its orders in it.")
        return tenant

    def get(self, tenant: str) -> Tenant | None:
        """The tenant of this name."""
        return self._one(tables.tenants.c.tenant == tenant)

    def of_portfolio(self, portfolio_id: str) -> Tenant | None:
        """The tenant whose orders are opened in this portfolio."""
        return self._one(tables.tenants.c.portfolio_id == portfolio_id)

    def list(self, portfolio_ids: Collection[str] | None = None) -> tuple[Tenant, ...]:
        """The tenants by name; `portfolio_ids`: only those of these portfolios."""
        tenants = tables.tenants.c
        query = select(tenants.body).order_by(tenants.tenant)
        if portfolio_ids is not None:
            query = query.where(tenants.portfolio_id.in_([*portfolio_ids]))
        with self._database.read() as connection:
            return tuple(Tenant.model_validate_json(body) for body in connection.scalars(query))

    def _one(self, condition: ColumnElement[bool]) -> Tenant | None:
        with self._database.read() as connection:
            body = connection.execute(select(tables.tenants.c.body).where(condition)).scalar()
        return None if body is None else Tenant.model_validate_json(body)
