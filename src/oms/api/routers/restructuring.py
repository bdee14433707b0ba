"""Merging, splitting, and carrying on what stayed unfilled."""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID

import anyio
from pydantic import Field
from starlette.responses import Response

from oms.api.bodies import Nothing
from oms.api.desk import AtDesk, Desk, OrderId
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.views import View, answer
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import ORDER, RESTRUCTURING, Name, identifier, uuid7
from oms.domain.model import Model
from oms.domain.numbers import Quantity
from oms.domain.restructuring import MAX_PARTS, Merge, Plan, Remainder, Split, sources_of
from oms.workflows.contract import RestructuringInput

router = book_router("/v1/orders", "merge and split")
_USUAL = (
    Code.ORDER_NOT_FOUND,
    Code.INVALID_STATE,
    Code.VERSION_CONFLICT,
    Code.RESTRUCTURING,
    Code.HALTED,
    Code.IDEMPOTENCY_CONFLICT,
)


class SplitBody(Model):
    """The parts; together they are the order's quantity."""

    quantities: Annotated[tuple[Quantity, ...], Field(min_length=2, max_length=MAX_PARTS)] = Field(
        examples=[["60", "40"]]
    )


class MergeBody(Model):
    """`allocation`: by_source lets orders of several portfolios become one that keeps each one's share."""

    order_ids: Annotated[tuple[Name, ...], Field(min_length=2, max_length=MAX_PARTS)]
    allocation: Literal["by_source"] | None = None


class NewOrderView(View):
    order_id: str


class NewOrdersView(View):
    order_ids: tuple[str, ...]


@router.post(
    "/merge",
    operation_id="MergeOrders",
    status_code=201,
    response_model=NewOrderView,
    responses=refusals(*_USUAL, Code.MERGE_MISMATCH),
)
async def merge_orders(desk: AtDesk, body: MergeBody) -> Response:
    """Make one order of several. The sources end CANCELED with reason MERGED; orders and sources link to each other."""
    if desk.asking.expected_version is not None:
        raise Refused(
            Code.VALIDATION_FAILED,
            "If-Match names one order's version; a merge has several and takes none.",
            field="If-Match",
        )
    order_id = desk.asking.mint(ORDER)
    await _restructure(desk, Merge(source_ids=body.order_ids, order_id=order_id, allocation=body.allocation))
    return _made(order_id)


@router.post(
    "/{order_id}/split",
    operation_id="SplitOrder",
    status_code=201,
    response_model=NewOrdersView,
    responses=refusals(*_USUAL, Code.SPLIT_MISMATCH),
)
async def split_order(desk: AtDesk, order_id: OrderId, body: SplitBody) -> Response:
    """Make several orders of one. The source ends CANCELED with reason SPLIT; orders and source link to each other."""
    order_ids = _ids(desk.asking.resource, len(body.quantities))
    await _restructure(desk, Split(source_id=order_id, quantities=body.quantities, order_ids=order_ids))
    return answer(NewOrdersView(order_ids=order_ids), 201)


@router.post(
    "/{order_id}/remainder",
    operation_id="CreateRemainder",
    status_code=201,
    response_model=NewOrderView,
    responses=refusals(*_USUAL, Code.NO_REMAINDER),
)
async def create_remainder(desk: AtDesk, order_id: OrderId, body: Nothing | None = None) -> Response:  # noqa: ARG001
    """Carry the unfilled part of a closed order on in a new order, once. It goes through compliance afresh."""
    remainder_id = desk.asking.mint(ORDER)
    await _restructure(desk, Remainder(source_id=order_id, order_id=remainder_id))
    return _made(remainder_id)


async def _restructure(desk: Desk, plan: Plan) -> None:
    """Raises Refused: ORDER_NOT_FOUND for a source that is unknown or out of reach, and what the sources refuse."""
    asking = desk.asking
    ids = sources_of(plan)
    sources = await anyio.to_thread.run_sync(lambda: [desk.order(order_id) for order_id in ids])
    asked = RestructuringInput(
        restructuring_id=asking.mint(RESTRUCTURING),
        plan=plan,
        actor=asking.caller.actor,
        ts_event_ns=asking.ts_event_ns,
        correlation_id=asking.request_id,
        expected_version=asking.expected_version,
    )
    await desk.book.together.restructure(asked, sources)


def _made(order_id: str) -> Response:
    return answer(NewOrderView(order_id=order_id), 201, Location=f"/v1/orders/{order_id}")


def _ids(resource: UUID, count: int) -> tuple[str, ...]:
    """As many order ids from the one UUID of a request; the same again when the request is repeated."""
    unix_ms = resource.int >> 80
    seeds: Sequence[bytes] = [hashlib.sha256(f"{resource}/{n}".encode()).digest() for n in range(count)]
    return tuple(identifier(ORDER, uuid7(unix_ms, seed)) for seed in seeds)
