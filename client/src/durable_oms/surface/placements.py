"""Placements: the parts of an order at a venue."""

from collections.abc import Mapping
from typing import Any, Unpack

from durable_oms.models import Placement
from durable_oms.models.record import named, page
from durable_oms.operation import operation
from durable_oms.requests import Content, Number, OnOrder, asked, commanded
from durable_oms.surface.lifecycle import Lifecycle


class Placements:
    """What the trading desk does at venues."""

    @operation("POST /v1/orders/{order_id}/placements", named("placement_id"))
    def create_placement(
        self,
        order_id: str,
        venue: str,
        quantity: Number,
        strategy: str | None = None,
        params: Mapping[str, str] | None = None,
        *,
        account: str | None = None,
        order_type: str | None = None,
        limit_price: Number | None = None,
        stop_price: Number | None = None,
        time_in_force: str | None = None,
        handling: Mapping[str, Any] | None = None,
        **options: Unpack[OnOrder],
    ) -> Content:
        """Work a part of the order at a venue; the placement's id. Terms that are absent are the order's own.

        `handling`: trail_amount, trail_percent, limit_offset, outside_rth, good_after, oca_group, oca_type, bracket.
        """
        return commanded(
            options,
            venue=venue,
            quantity=quantity,
            strategy=strategy,
            params=params,
            account=account,
            order_type=order_type,
            limit_price=limit_price,
            stop_price=stop_price,
            time_in_force=time_in_force,
            handling=handling,
        )

    @operation("POST /v1/placements/{placement_id}/modify", Placement.model_validate)
    def modify_placement(
        self,
        placement_id: str,
        *,
        quantity: Number | None = None,
        limit_price: Number | None = None,
        stop_price: Number | None = None,
        trail_amount: Number | None = None,
        trail_percent: Number | None = None,
        **options: Unpack[OnOrder],
    ) -> Content:
        """Ask the venue to change what works: less of it, or at another price. The placement with its pending `change`.

        `quantity` is the placement's new total. What is absent stays as it is.
        """
        return commanded(
            options,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
            trail_amount=trail_amount,
            trail_percent=trail_percent,
        )

    @operation("POST /v1/placements/{placement_id}/cancel", Placement.model_validate)
    def cancel_placement(self, placement_id: str, **options: Unpack[OnOrder]) -> Content:
        """Ask the venue to cancel. The placement is CANCEL_PENDING until the venue has spoken."""
        return commanded(options)

    @operation("GET /v1/placements/{placement_id}", Placement.model_validate)
    def get_placement(self, placement_id: str) -> Content:
        """One placement."""
        return asked()

    @operation("GET /v1/orders/{order_id}/placements", page(Placement.model_validate))
    def list_placements(
        self, order_id: str, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """The order's placements, first made first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("POST /v1/placements/{placement_id}/resolve", Placement.model_validate)
    def resolve_placement(
        self, placement_id: str, status: str, reason: str, **options: Unpack[OnOrder]
    ) -> Content:
        """Say what became of a placement in doubt (WORKING, REJECTED, CANCELED, EXPIRED), having looked at the venue."""
        return commanded(options, status=status, reason=reason)

    close_order = Lifecycle.close_order
