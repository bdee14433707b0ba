"""Merging, splitting, and carrying on what stayed unfilled."""

from collections.abc import Iterable
from typing import Any, Unpack

from durable_oms.models.record import named
from durable_oms.operation import operation
from durable_oms.requests import Content, Number, OnOrder, Repeatable, commanded, told


def _order_ids(answer: Any) -> list[str]:
    return [str(order_id) for order_id in answer["order_ids"]]


class Restructuring:
    """New orders of old ones, linked both ways."""

    @operation("POST /v1/orders/merge", named("order_id"))
    def merge_orders(
        self, order_ids: Iterable[str], allocation: str | None = None, **options: Unpack[Repeatable]
    ) -> Content:
        """Make one order of several; its id. The sources end CANCELED with reason MERGED.

        `allocation="by_source"` lets orders of several portfolios become one that keeps each one's share.
        """
        return told(options, order_ids=list(order_ids), allocation=allocation)

    @operation("POST /v1/orders/{order_id}/split", _order_ids)
    def split_order(self, order_id: str, quantities: Iterable[Number], **options: Unpack[OnOrder]) -> Content:
        """Make several orders of one, whose quantities add up to its own; their ids. The source ends CANCELED."""
        return commanded(options, quantities=list(quantities))

    @operation("POST /v1/orders/{order_id}/remainder", named("order_id"))
    def create_remainder(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """Carry the unfilled part of a closed order on in a new order, once; the new order's id."""
        return commanded(options)
