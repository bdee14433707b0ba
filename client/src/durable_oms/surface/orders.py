"""Orders: create, change, read, list, follow; what has to be looked at."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Unpack

from durable_oms.models import Fill, JournalEvent, ListedException, Order
from durable_oms.models.record import named, page
from durable_oms.operation import Every, operation, stream
from durable_oms.requests import (
    Content,
    Number,
    OnOrder,
    Repeatable,
    asked,
    commanded,
    commanded_whole,
    followed,
    told,
)

Day = str | date | datetime
"""An instant, or a day (UTC); as text in ISO 8601, or as Python has it."""


class Orders:
    """Orders, what happened to them, and what somebody has to look at."""

    @operation("POST /v1/orders", named("order_id"))
    def create_order(
        self,
        *,
        portfolio_id: str,
        direction: str,
        ordered_quantity: Number,
        order_type: str,
        time_in_force: str,
        instrument_id: str | None = None,
        instrument: Mapping[str, Any] | None = None,
        limit_price: Number | None = None,
        stop_price: Number | None = None,
        expires_at: str | datetime | None = None,
        basket_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        client_order_id: str | None = None,
        route: Mapping[str, Any] | None = None,
        automation: str | None = None,
        compliance: str | None = None,
        handling: Mapping[str, Any] | None = None,
        **options: Unpack[Repeatable],
    ) -> Content:
        """Open an order in CREATED; its id.

        Either `instrument_id`, or `instrument`: terms (symbol, sec_type, exchange, currency ...) that fit exactly one
        known instrument. `limit_price` for Limit and StopLimit, `stop_price` for Stop and StopLimit, `expires_at` for
        GTD. `client_order_id` is yours, unique in the portfolio for ever. `automation`: manual or straight_through.
        `compliance`: builtin, or external where a plugin gives the verdict. `handling`: trail_amount or trail_percent
        and limit_offset of trailing orders, outside_rth, good_after, oca_group and oca_type, bracket.
        """
        return told(
            options,
            portfolio_id=portfolio_id,
            instrument_id=instrument_id,
            instrument=instrument,
            direction=direction,
            ordered_quantity=ordered_quantity,
            order_type=order_type,
            time_in_force=time_in_force,
            limit_price=limit_price,
            stop_price=stop_price,
            expires_at=expires_at,
            basket_id=basket_id,
            metadata=metadata,
            client_order_id=client_order_id,
            route=route,
            automation=automation,
            compliance=compliance,
            handling=handling,
        )

    @operation("PATCH /v1/orders/{order_id}", Order.model_validate)
    def update_order(self, order_id: str, changes: Mapping[str, Any], **options: Unpack[OnOrder]) -> Content:
        """Change the fields named; None clears one. The order after it."""
        return commanded_whole(options, changes)

    @operation("GET /v1/orders/{order_id}", Order.model_validate)
    def get_order(self, order_id: str, *, consistency: str | None = None) -> Content:
        """The order. `consistency="workflow"` asks its workflow in place of the projection."""
        return Content(headers={} if consistency is None else {"X-OMS-Consistency": consistency})

    @operation("GET /v1/orders", page(Order.model_validate))
    def list_orders(
        self,
        portfolio_id: str | None = None,
        instrument_id: str | None = None,
        state: str | None = None,
        direction: str | None = None,
        basket_id: str | None = None,
        created_after: Day | None = None,
        created_before: Day | None = None,
        limit: int = 100,
        offset: int = 0,
        cursor: str | None = None,
    ) -> Content:
        """A page of orders, newest first."""
        return asked(
            portfolio_id=portfolio_id,
            instrument_id=instrument_id,
            state=state,
            direction=direction,
            basket_id=basket_id,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
            offset=offset,
            cursor=cursor,
        )

    iterate_orders = Every(list_orders)

    @operation("GET /v1/orders/{order_id}/fills", page(Fill.model_validate))
    def list_fills(
        self, order_id: str, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """The executions that stand, in the order the venue made them."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("GET /v1/orders/{order_id}/journal", page(JournalEvent.model_validate))
    def get_journal(
        self, order_id: str, limit: int = 100, offset: int = 0, cursor: str | None = None
    ) -> Content:
        """Everything that happened to the order, from the first event on."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    iterate_journal = Every(get_journal)

    @stream("GET /v1/stream", JournalEvent.model_validate)
    def stream_orders(
        self,
        portfolio_id: str | None = None,
        instrument_id: str | None = None,
        state: str | None = None,
        direction: str | None = None,
        after: int | None = None,
        *,
        basket_id: str | None = None,
        created_after: Day | None = None,
        created_before: Day | None = None,
    ) -> Content:
        """Every journal event from now on, or after the position `after` (0: all of them); none twice, none left out.

        `state` is the one that the event led to; `created_after` and `created_before` are about its order.
        """
        return followed(
            after,
            portfolio_id=portfolio_id,
            instrument_id=instrument_id,
            state=state,
            direction=direction,
            basket_id=basket_id,
            created_after=created_after,
            created_before=created_before,
        )

    @operation("GET /v1/exceptions", page(ListedException.model_validate))
    def list_exceptions(self, limit: int = 100, offset: int = 0, cursor: str | None = None) -> Content:
        """Open exceptions of all orders, newest first."""
        return asked(limit=limit, offset=offset, cursor=cursor)

    @operation("POST /v1/orders/{order_id}/exceptions/{code}/resolve", Order.model_validate)
    def resolve_exception(
        self, order_id: str, code: str, reason: str, subject: str | None = None, **options: Unpack[OnOrder]
    ) -> Content:
        """Close an exception with a reason; `subject` picks one of several with the same code. The order after it."""
        return commanded(options, reason=reason, subject=subject)
