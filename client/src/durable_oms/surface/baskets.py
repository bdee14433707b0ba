"""Baskets: orders that are worked together. A command on a basket is answered by each of its orders for itself."""

from collections.abc import Iterable
from typing import Unpack

from durable_oms.models import Basket, Results
from durable_oms.models.record import named, page
from durable_oms.operation import operation
from durable_oms.requests import Content, Repeatable, asked, told


class Baskets:
    """Groups of orders, and commands for all of a group."""

    @operation("POST /v1/baskets", named("basket_id"))
    def create_basket(
        self, name: str, order_ids: Iterable[str] = (), **options: Unpack[Repeatable]
    ) -> Content:
        """Group orders that are in no other basket; its id. `get_basket` tells who is in it."""
        return told(options, name=name, order_ids=list(order_ids))

    @operation("GET /v1/baskets/{basket_id}", Basket.model_validate)
    def get_basket(self, basket_id: str) -> Content:
        """The basket, its orders and their states."""
        return asked()

    @operation("GET /v1/baskets", page(Basket.model_validate))
    def list_baskets(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """Baskets, newest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("POST /v1/baskets/{basket_id}/pre-trade-compliance/request", Results.model_validate)
    def request_basket_pre_trade_compliance(self, basket_id: str, **options: Unpack[Repeatable]) -> Content:
        """Ask for the pre-trade verdict on every order."""
        return told(options)

    @operation("POST /v1/baskets/{basket_id}/send-to-trader", Results.model_validate)
    def send_basket_to_trader(self, basket_id: str, **options: Unpack[Repeatable]) -> Content:
        """Hand every order to the trading desk."""
        return told(options)

    @operation("POST /v1/baskets/{basket_id}/close", Results.model_validate)
    def close_basket(self, basket_id: str, **options: Unpack[Repeatable]) -> Content:
        """End the execution of every order."""
        return told(options)

    @operation("POST /v1/baskets/{basket_id}/send-to-operations", Results.model_validate)
    def send_basket_to_operations(self, basket_id: str, **options: Unpack[Repeatable]) -> Content:
        """Hand every order to operations."""
        return told(options)

    @operation("POST /v1/baskets/{basket_id}/post-trade-compliance/request", Results.model_validate)
    def request_basket_post_trade_compliance(self, basket_id: str, **options: Unpack[Repeatable]) -> Content:
        """Ask for the post-trade verdict on every order."""
        return told(options)

    @operation("POST /v1/baskets/{basket_id}/confirm", Results.model_validate)
    def confirm_basket(self, basket_id: str, **options: Unpack[Repeatable]) -> Content:
        """Confirm every trade."""
        return told(options)

    @operation("POST /v1/baskets/{basket_id}/cancel", Results.model_validate)
    def cancel_basket(
        self, basket_id: str, reason: str | None = None, **options: Unpack[Repeatable]
    ) -> Content:
        """Cancel every order."""
        return told(options, reason=reason)

    @operation("POST /v1/baskets/{basket_id}/settle", Results.model_validate)
    def settle_basket(self, basket_id: str, reason: str, **options: Unpack[Repeatable]) -> Content:
        """Settle every order by hand, with a reason."""
        return told(options, reason=reason)

    @operation("POST /v1/baskets/{basket_id}/reconcile", Results.model_validate)
    def reconcile_basket(self, basket_id: str, reason: str, **options: Unpack[Repeatable]) -> Content:
        """Reconcile every order by hand, with a reason."""
        return told(options, reason=reason)
