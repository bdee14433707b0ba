"""The sessions with venues, where other books differ from ours, and orders at a broker that are not ours."""

from typing import Unpack

from durable_oms.models import Break, ForeignOrder, Gateway, Resynced
from durable_oms.models.record import page
from durable_oms.operation import Every, operation
from durable_oms.requests import Content, Repeatable, asked, told


class Venues:
    """What operations look at beside the orders."""

    @operation("GET /v1/gateways", page(Gateway.model_validate))
    def list_gateways(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """Every gateway that ever reported, by name: how it is, and how old its word is."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("POST /v1/gateways/{gateway}/resync", Resynced.model_validate)
    def resync_gateway(self, gateway: str, **options: Unpack[Repeatable]) -> Content:
        """Have a gateway (`ibkr/17`) read the broker's orders, executions and positions anew; what it found."""
        return told(options)

    @operation("GET /v1/breaks", page(Break.model_validate))
    def list_breaks(
        self,
        status: str | None = None,
        account: str | None = None,
        category: str | None = None,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Content:
        """A page of breaks, newest first. `status`: OPEN, CLEARED, RESOLVED; `category`: POSITION, TRADE, CASH."""
        return asked(
            status=status, account=account, category=category, limit=limit, offset=offset, cursor=cursor
        )

    iterate_breaks = Every(list_breaks)

    @operation("GET /v1/breaks/{break_id}", Break.model_validate)
    def get_break(self, break_id: str) -> Content:
        """One break."""
        return asked()

    @operation("POST /v1/breaks/{break_id}/resolve", Break.model_validate)
    def resolve_break(self, break_id: str, reason: str, **options: Unpack[Repeatable]) -> Content:
        """End an open break by a person's word; no position and no order changes. The break after it."""
        return told(options, reason=reason)

    @operation("GET /v1/foreign-orders", page(ForeignOrder.model_validate))
    def list_foreign_orders(
        self,
        gateway: str | None = None,
        working: bool | None = None,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Content:
        """Orders at the broker that are not ours, the one heard of last first; they are never touched."""
        return asked(gateway=gateway, working=working, limit=limit, offset=offset, cursor=cursor)
