"""Allocations: which account gets which part of what was executed."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from durable_oms.models import Allocation, Spread
from durable_oms.models.record import named, page
from durable_oms.operation import operation
from durable_oms.requests import Content, Number, OnOrder, asked, commanded


class Allocations:
    """The parts of an executed quantity."""

    @operation("POST /v1/orders/{order_id}/allocations", named("allocation_id"))
    def create_allocation(
        self, order_id: str, account_id: str, portfolio_id: str, quantity: Number, **options: Unpack[OnOrder]
    ) -> Content:
        """Give an account a part of what was executed; the allocation's id."""
        return commanded(options, account_id=account_id, portfolio_id=portfolio_id, quantity=quantity)

    @operation("POST /v1/orders/{order_id}/allocations", Spread.model_validate)
    def allocate(
        self,
        order_id: str,
        scheme: str,
        accounts: Iterable[Mapping[str, Any]],
        *,
        residual_account_id: str | None = None,
        residual_portfolio_id: str | None = None,
        **options: Unpack[OnOrder],
    ) -> Content:
        """Spread what is left to allocate over accounts; the allocations, and who has what rounding left over.

        Each of `accounts` names `account_id`, `portfolio_id` and, by `scheme`: `quantity` (quantity, and step_down:
        the most it takes), `weight` (pro_rata, average_price, hierarchy), `percentage` (percentage). `minimum`: at
        least so much or nothing. In a hierarchy, `group_id` and `weight` name a group of accounts.
        """
        return commanded(
            options,
            scheme=scheme,
            accounts=list(accounts),
            residual_account_id=residual_account_id,
            residual_portfolio_id=residual_portfolio_id,
        )

    @operation("PATCH /v1/allocations/{allocation_id}", Allocation.model_validate)
    def update_allocation(self, allocation_id: str, quantity: Number, **options: Unpack[OnOrder]) -> Content:
        """Change the quantity of an allocation."""
        return commanded(options, quantity=quantity)

    @operation("GET /v1/allocations/{allocation_id}", Allocation.model_validate)
    def get_allocation(self, allocation_id: str) -> Content:
        """One allocation."""
        return asked()

    @operation("GET /v1/orders/{order_id}/allocations", page(Allocation.model_validate))
    def list_allocations(
        self, order_id: str, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """The order's allocations, first made first."""
        return asked(limit=limit, offset=offset, cursor=cursor)
