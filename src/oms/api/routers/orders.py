"""Orders: create, list, read, change; their fills and their journal."""

from typing import Annotated, Any

import anyio
from fastapi import Body, Header, Query
from pydantic import ValidationError
from starlette.responses import Response

from oms.api.bodies import Changes, OrderPatch
from oms.api.desk import AtDesk, OrderId
from oms.api.listing import orders_answer
from oms.api.new_order import NewOrder
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.validation import LooseInstant, of_validation
from oms.api.views import FillView, JournalView, ListView, OrderView, order_answer
from oms.domain.commands import CreateOrder, OrderChanges, UpdateOrder
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import ORDER, Name
from oms.domain.terms import Direction, State
from oms.store import OrderFilter

router = book_router("/v1/orders", "orders")
_IMMUTABLE = (
    CreateOrder.model_fields.keys() | OrderView.model_fields.keys() | {"compliance", "instrument"}
) - {
    *OrderChanges.model_fields,
    "kind",
}
_CHANGING = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.VERSION_CONFLICT, Code.IDEMPOTENCY_CONFLICT)


@router.post(
    "",
    operation_id="CreateOrder",
    status_code=201,
    response_model=OrderView,
    responses=refusals(
        Code.INVALID_PORTFOLIO,
        Code.INVALID_INSTRUMENT,
        Code.INVALID_ORDER_TYPE,
        Code.INVALID_ACCOUNT,
        Code.INVALID_VENUE,
        Code.DUPLICATE_ORDER,
        Code.IDEMPOTENCY_CONFLICT,
    ),
)
async def create_order(desk: AtDesk, new: NewOrder) -> Response:
    """Open an order. The answer comes when the order is in the journal."""
    asking = desk.asking
    recorded = await desk.book.create(
        new,
        asking.caller.actor,
        order_id=asking.mint(ORDER),
        ts_event_ns=asking.ts_event_ns,
        correlation_id=asking.request_id,
        reach=asking.caller.reach,
    )
    order = await anyio.to_thread.run_sync(desk.order, recorded.order_id)
    return order_answer(order, 201, Location=f"/v1/orders/{order.order_id}")


@router.get("", operation_id="ListOrders", response_model=ListView[OrderView], responses=refusals())
def list_orders(
    desk: AtDesk,
    window: Paging,
    portfolio_id: Annotated[Name | None, Query()] = None,
    instrument_id: Annotated[Name | None, Query()] = None,
    state: Annotated[State | None, Query()] = None,
    direction: Annotated[Direction | None, Query()] = None,
    basket_id: Annotated[Name | None, Query()] = None,
    created_after: Annotated[LooseInstant | None, Query(examples=["2026-03-01"])] = None,
    created_before: Annotated[LooseInstant | None, Query(examples=["2026-03-27"])] = None,
) -> Response:
    """Orders, newest first."""
    wanted = OrderFilter(
        portfolio_id=portfolio_id,
        instrument_id=instrument_id,
        state=state,
        direction=direction,
        basket_id=basket_id,
        created_after=created_after,
        created_before=created_before,
        portfolio_ids=desk.asking.caller.reach.portfolio_ids,
    )
    return orders_answer(desk.store.orders.bodies(wanted, window.limit, window.offset, window.cursor))


@router.get(
    "/{order_id}",
    operation_id="GetOrder",
    response_model=OrderView,
    responses=refusals(Code.ORDER_NOT_FOUND),
)
async def get_order(
    desk: AtDesk, order_id: OrderId, x_oms_consistency: Annotated[str | None, Header()] = None
) -> Response:
    """The order. `X-OMS-Consistency: workflow` asks its workflow in place of the projection."""
    order = await anyio.to_thread.run_sync(desk.order, order_id)
    match x_oms_consistency:
        case None | "projection":
            return order_answer(order)
        case "workflow":
            return order_answer(await desk.book.state(order_id))
    raise Refused(
        Code.VALIDATION_FAILED,
        "X-OMS-Consistency: it is workflow or projection.",
        field="X-OMS-Consistency",
        allowed=["workflow", "projection"],
    )


@router.patch(
    "/{order_id}",
    operation_id="UpdateOrder",
    response_model=OrderView,
    responses=refusals(*_CHANGING, Code.FIELD_LOCKED, Code.INVALID_ORDER_TYPE),
)
async def update_order(
    desk: AtDesk,
    order_id: OrderId,
    body: Annotated[OrderPatch, Body(examples=[{"limit_price": "151.00"}])],
) -> Response:
    """Change the fields named; null clears one. The fields may also come under `changes`."""
    fields = body["changes"] if set(body) == {"changes"} else body
    changes = await anyio.to_thread.run_sync(_changes, desk, order_id, fields)
    return await desk.command(order_id, UpdateOrder(changes=changes))


def _changes(desk: AtDesk, order_id: str, fields: Any) -> Changes:
    """The changes asked for. Raises Refused: ORDER_NOT_FOUND, FIELD_LOCKED, VALIDATION_FAILED."""
    if not isinstance(fields, dict) or not fields:
        raise Refused(Code.VALIDATION_FAILED, "changes: name at least one field to change.", field="changes")
    order = desk.order(order_id)
    fixed = sorted(_IMMUTABLE & fields.keys())
    if fixed:
        raise Refused(
            Code.FIELD_LOCKED,
            f"{', '.join(fixed)} never change on an order.",
            fields=fixed,
            state=order.state,
        )
    try:
        return Changes.model_validate(fields)
    except ValidationError as error:
        raise of_validation(error.errors()) from error


@router.get(
    "/{order_id}/fills",
    operation_id="ListFills",
    response_model=ListView[FillView],
    responses=refusals(Code.ORDER_NOT_FOUND),
)
def list_fills(desk: AtDesk, order_id: OrderId, window: Paging) -> Response:
    """The executions that stand, in the order the venue made them."""
    desk.order(order_id)
    return window_answer(desk.store.orders.fills(order_id), window, FillView.of)


@router.get(
    "/{order_id}/journal",
    operation_id="GetJournal",
    response_model=ListView[JournalView],
    responses=refusals(Code.ORDER_NOT_FOUND),
)
def get_journal(desk: AtDesk, order_id: OrderId, window: Paging) -> Response:
    """Everything that happened to the order, from the first event on."""
    desk.order(order_id)
    return window_answer(desk.store.journal.of_order(order_id), window, JournalView.of)
