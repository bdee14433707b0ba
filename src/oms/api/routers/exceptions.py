"""What somebody has to look at, over all orders."""

from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from oms.api.bodies import ResolveExceptionBody
from oms.api.desk import AtDesk, OrderId
from oms.api.paging import Paging, page_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import ExceptionView, ListView, OrderView
from oms.domain.commands import ResolveException
from oms.domain.errors import Code
from oms.domain.terms import ExceptionCode

router = book_router("/v1", "exceptions")


@router.get(
    "/exceptions", operation_id="ListExceptions", response_model=ListView[ExceptionView], responses=refusals()
)
def list_exceptions(desk: AtDesk, window: Paging) -> Response:
    """Open exceptions, newest first."""
    reach = desk.asking.caller.reach.portfolio_ids
    page = desk.store.orders.exceptions(reach, window.limit, window.offset, window.cursor)
    return page_answer(page, ExceptionView.of)


@router.post(
    "/orders/{order_id}/exceptions/{code}/resolve",
    operation_id="ResolveException",
    response_model=OrderView,
    responses=refusals(
        Code.ORDER_NOT_FOUND,
        Code.EXCEPTION_NOT_FOUND,
        Code.INVALID_STATE,
        Code.VERSION_CONFLICT,
        Code.IDEMPOTENCY_CONFLICT,
    ),
)
async def resolve_exception(
    desk: AtDesk,
    order_id: OrderId,
    code: Annotated[ExceptionCode, Path(description="The exception's code.")],
    body: ResolveExceptionBody,
) -> Response:
    """Close an exception, with a reason."""
    return await desk.command(order_id, ResolveException(code=code, reason=body.reason, subject=body.subject))
