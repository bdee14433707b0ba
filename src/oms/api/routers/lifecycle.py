"""The commands that move an order along its lifecycle."""

from typing import Any

from starlette.responses import Response

from oms.api.bodies import CancelBody, Nothing, ReasonBody
from oms.api.desk import AtDesk, OrderId, status_of
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ClosedView, OrderView, order_answer
from oms.domain import commands as cmd
from oms.domain.errors import Code
from oms.domain.identifiers import ALLOCATION

router = book_router("/v1/orders/{order_id}", "lifecycle")
_USUAL = (Code.ORDER_NOT_FOUND, Code.INVALID_STATE, Code.VERSION_CONFLICT, Code.IDEMPOTENCY_CONFLICT)
_WAITING: dict[int | str, dict[str, Any]] = {
    202: {"model": OrderView, "description": "The venue has not spoken yet; the order as it is."}
}


@router.post(
    "/cancel",
    operation_id="CancelOrder",
    response_model=OrderView,
    responses={**_WAITING, **refusals(*_USUAL, Code.CANCEL_NOT_AUTHORIZED)},
)
async def cancel_order(desk: AtDesk, order_id: OrderId, body: CancelBody | None = None) -> Response:
    """Cancel the order. At a venue the venue decides: a fill that wins leaves the order filled, and the answer says so."""
    return await desk.command(order_id, cmd.CancelOrder(reason=body.reason if body else None))


@router.post(
    "/close",
    operation_id="CloseOrder",
    response_model=ClosedView,
    responses={
        202: {"model": ClosedView, "description": "The venue has not spoken yet; the order as it is."},
        **refusals(*_USUAL),
    },
)
async def close_order(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """End execution: cancel what still works at a venue, then close."""
    recorded, order = await desk.instruct(order_id, cmd.CloseOrder())
    view = ClosedView(
        executed_quantity=order.executed_quantity,
        unfilled_quantity=order.unfilled_quantity,
        order=OrderView.of(order),
    )
    return order_answer(order, status_of(recorded), view)


@router.post(
    "/send-to-trader", operation_id="SendToTrader", response_model=OrderView, responses=refusals(*_USUAL)
)
async def send_to_trader(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """Hand the order to the trading desk."""
    return await desk.command(order_id, cmd.SendToTrader())


@router.post(
    "/send-to-operations",
    operation_id="SendToOperations",
    response_model=OrderView,
    responses=refusals(*_USUAL, Code.ALLOCATION_MISMATCH),
)
async def send_to_operations(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """Hand the order to operations. Without allocations all of it goes to the portfolio's default account."""
    return await desk.command(order_id, cmd.SendToOperations(allocation_id=desk.asking.mint(ALLOCATION)))


@router.post(
    "/confirm",
    operation_id="ConfirmOrder",
    response_model=OrderView,
    responses=refusals(*_USUAL, Code.ALLOCATION_MISMATCH),
)
async def confirm_order(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """Confirm the trade."""
    return await desk.command(order_id, cmd.ConfirmOrder())


@router.post("/settle", operation_id="SettleOrder", response_model=OrderView, responses=refusals(*_USUAL))
async def settle_order(desk: AtDesk, order_id: OrderId, body: ReasonBody) -> Response:
    """Settle by hand, with a reason."""
    return await desk.command(order_id, cmd.SettleOrder(reason=body.reason))


@router.post(
    "/reconcile",
    operation_id="ReconcileOrder",
    response_model=OrderView,
    responses=refusals(*_USUAL, Code.BREAK_OPEN),
)
async def reconcile_order(desk: AtDesk, order_id: OrderId, body: ReasonBody) -> Response:
    """Reconcile by hand, with a reason; not while a break is open."""
    return await desk.command(order_id, cmd.ReconcileOrder(reason=body.reason))
