"""Allocations: which account gets which part of what was executed."""

import anyio
from starlette.responses import Response

from oms.api.bodies import AllocationBody, AllocationPatch
from oms.api.desk import AllocationId, AtDesk, OrderId, created
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import AllocationView, ListView, answer, order_answer
from oms.domain import commands as cmd
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import ALLOCATION
from oms.domain.order import Order

router = book_router("/v1", "allocations")
_USUAL = (
    Code.INVALID_STATE,
    Code.VERSION_CONFLICT,
    Code.IDEMPOTENCY_CONFLICT,
    Code.ALLOCATION_MISMATCH,
)


@router.post(
    "/orders/{order_id}/allocations",
    operation_id="CreateAllocation",
    status_code=201,
    response_model=AllocationView,
    responses=refusals(*_USUAL, Code.ORDER_NOT_FOUND, Code.INVALID_ACCOUNT, Code.INVALID_PORTFOLIO),
)
async def create_allocation(desk: AtDesk, order_id: OrderId, body: AllocationBody) -> Response:
    """Give an account a part of what was executed."""
    await anyio.to_thread.run_sync(_check_names, desk, order_id, body)
    allocation_id = desk.asking.mint(ALLOCATION)
    command = cmd.CreateAllocation(allocation_id=allocation_id, **body.model_dump())
    _, order = await desk.instruct(order_id, command)
    return created(_shown(order, allocation_id), order, f"/v1/allocations/{allocation_id}")


@router.get(
    "/orders/{order_id}/allocations",
    operation_id="ListAllocations",
    response_model=ListView[AllocationView],
    responses=refusals(Code.ORDER_NOT_FOUND),
)
def list_allocations(desk: AtDesk, order_id: OrderId, window: Paging) -> Response:
    """The order's allocations, first made first."""
    order = desk.order(order_id)
    return window_answer(order.allocations, window, lambda made: AllocationView.of(order_id, made))


@router.get(
    "/allocations/{allocation_id}",
    operation_id="GetAllocation",
    response_model=AllocationView,
    responses=refusals(Code.ALLOCATION_NOT_FOUND),
)
def get_allocation(desk: AtDesk, allocation_id: AllocationId) -> Response:
    """One allocation."""
    order_id, allocation = desk.allocation(allocation_id)
    return answer(AllocationView.of(order_id, allocation))


@router.patch(
    "/allocations/{allocation_id}",
    operation_id="UpdateAllocation",
    response_model=AllocationView,
    responses=refusals(*_USUAL, Code.ALLOCATION_NOT_FOUND),
)
async def update_allocation(desk: AtDesk, allocation_id: AllocationId, body: AllocationPatch) -> Response:
    """Change the quantity of an allocation."""
    order_id, _ = await anyio.to_thread.run_sync(desk.allocation, allocation_id)
    command = cmd.UpdateAllocation(allocation_id=allocation_id, quantity=body.quantity)
    _, order = await desk.instruct(order_id, command)
    return order_answer(order, view=_shown(order, allocation_id))


def _check_names(desk: AtDesk, order_id: str, body: AllocationBody) -> None:
    """Raise Refused: ORDER_NOT_FOUND, INVALID_ACCOUNT, INVALID_PORTFOLIO."""
    desk.order(order_id)
    reach, reference = desk.asking.caller.reach, desk.store.reference
    if not reach.has_account(body.account_id) or reference.account(body.account_id) is None:
        raise Refused(
            Code.INVALID_ACCOUNT, f"There is no account {body.account_id!r}.", account_id=body.account_id
        )
    if not reach.has_portfolio(body.portfolio_id) or reference.portfolio(body.portfolio_id) is None:
        raise Refused(
            Code.INVALID_PORTFOLIO,
            f"There is no portfolio {body.portfolio_id!r}.",
            portfolio_id=body.portfolio_id,
        )


def _shown(order: Order, allocation_id: str) -> AllocationView:
    allocation = order.allocation(allocation_id)
    if allocation is None:
        raise Refused(Code.ALLOCATION_NOT_FOUND, f"There is no allocation {allocation_id!r}.")
    return AllocationView.of(order.order_id, allocation)
