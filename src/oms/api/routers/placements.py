"""Placements: the parts of an order at a venue."""

import anyio
from pydantic import ValidationError
from starlette.responses import Response

from oms.api.bodies import ModifyPlacementBody, Nothing, PlacementBody, ResolvePlacementBody
from oms.api.desk import AtDesk, Desk, OrderId, PlacementId, created
from oms.api.new_order import broker_account, check_served
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.validation import of_validation
from oms.api.views import ListView, PlacementView, answer, order_answer
from oms.domain import commands as cmd
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import PLACEMENT
from oms.domain.order import Order

router = book_router("/v1", "placements")
_USUAL = (Code.INVALID_STATE, Code.VERSION_CONFLICT, Code.IDEMPOTENCY_CONFLICT)


@router.post(
    "/orders/{order_id}/placements",
    operation_id="CreatePlacement",
    status_code=201,
    response_model=PlacementView,
    responses=refusals(
        *_USUAL,
        Code.ORDER_NOT_FOUND,
        Code.PLACEMENT_EXCEEDS_ORDER,
        Code.INVALID_VENUE,
        Code.INVALID_ACCOUNT,
        Code.INVALID_ORDER_TYPE,
        Code.UNSUPPORTED_BY_VENUE,
    ),
)
async def create_placement(desk: AtDesk, order_id: OrderId, body: PlacementBody) -> Response:
    """Work a part of the order at a venue. The gateway sends it after the answer."""
    placement_id = desk.asking.mint(PLACEMENT)
    account = await anyio.to_thread.run_sync(_account, desk, order_id, body)
    terms = body.model_dump(exclude={"account"})
    _, order = await desk.instruct(
        order_id, cmd.CreatePlacement(placement_id=placement_id, account=account, **terms)
    )
    return created(_shown(order, placement_id), order, f"/v1/placements/{placement_id}")


def _account(desk: Desk, order_id: str, body: PlacementBody) -> str | None:
    """The broker's account that is named, else the order's; one that a gateway serves."""
    order = desk.order(order_id)
    named = order.route.account if order.route else None
    if body.account is not None:
        named = broker_account(desk.store, body.account, desk.asking.caller.reach)
    check_served(desk.store, body.venue, named)
    return named


@router.get(
    "/orders/{order_id}/placements",
    operation_id="ListPlacements",
    response_model=ListView[PlacementView],
    responses=refusals(Code.ORDER_NOT_FOUND),
)
def list_placements(desk: AtDesk, order_id: OrderId, window: Paging) -> Response:
    """The order's placements, first made first."""
    order = desk.order(order_id)
    return window_answer(order.placements, window, lambda placement: PlacementView.of(order_id, placement))


@router.get(
    "/placements/{placement_id}",
    operation_id="GetPlacement",
    response_model=PlacementView,
    responses=refusals(Code.PLACEMENT_NOT_FOUND),
)
def get_placement(desk: AtDesk, placement_id: PlacementId) -> Response:
    """One placement."""
    order_id, placement = desk.placement(placement_id)
    return answer(PlacementView.of(order_id, placement))


@router.post(
    "/placements/{placement_id}/modify",
    operation_id="ModifyPlacement",
    response_model=PlacementView,
    responses=refusals(*_USUAL, Code.PLACEMENT_NOT_FOUND, Code.INVALID_ORDER_TYPE, Code.UNSUPPORTED_BY_VENUE),
)
async def modify_placement(desk: AtDesk, placement_id: PlacementId, body: ModifyPlacementBody) -> Response:
    """Ask the venue to change what works: less of it, or at another price. One change at a time.

    `change` holds what was asked until the venue has spoken; until then the old terms count.
    """
    order_id, _ = await anyio.to_thread.run_sync(desk.placement, placement_id)
    try:
        change = cmd.ModifyPlacement(placement_id=placement_id, **body.model_dump(exclude_none=True))
    except ValidationError as error:
        raise of_validation(error.errors()) from error
    _, order = await desk.instruct(order_id, change)
    return order_answer(order, view=_shown(order, placement_id))


@router.post(
    "/placements/{placement_id}/cancel",
    operation_id="CancelPlacement",
    response_model=PlacementView,
    responses=refusals(*_USUAL, Code.PLACEMENT_NOT_FOUND, Code.ALREADY_CANCELED),
)
async def cancel_placement(
    desk: AtDesk,
    placement_id: PlacementId,
    body: Nothing | None = None,  # noqa: ARG001 - an empty object is a body too
) -> Response:
    """Ask the venue to cancel. The placement is CANCEL_PENDING until the venue has spoken."""
    order_id, _ = await anyio.to_thread.run_sync(desk.placement, placement_id)
    _, order = await desk.instruct(order_id, cmd.CancelPlacement(placement_id=placement_id))
    return order_answer(order, view=_shown(order, placement_id))


@router.post(
    "/placements/{placement_id}/resolve",
    operation_id="ResolvePlacement",
    response_model=PlacementView,
    responses=refusals(*_USUAL, Code.PLACEMENT_NOT_FOUND),
)
async def resolve_placement(desk: AtDesk, placement_id: PlacementId, body: ResolvePlacementBody) -> Response:
    """Say what became of a placement in doubt, having looked at the venue."""
    order_id, _ = await anyio.to_thread.run_sync(desk.placement, placement_id)
    resolved = cmd.ResolvePlacement(placement_id=placement_id, status=body.status, reason=body.reason)
    _, order = await desk.instruct(order_id, resolved)
    return order_answer(order, view=_shown(order, placement_id))


def _shown(order: Order, placement_id: str) -> PlacementView:
    placement = order.placement(placement_id)
    if placement is None:
        raise Refused(Code.PLACEMENT_NOT_FOUND, f"There is no placement {placement_id!r}.")
    return PlacementView.of(order.order_id, placement)
