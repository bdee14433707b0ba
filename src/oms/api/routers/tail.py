"""The end of what the venues said, as parsed: for blotters, and for whoever wants to know what became of a command."""

from typing import Annotated, Any

import anyio
from fastapi import Query
from starlette.responses import Response

from oms.api.asking import Context, Who
from oms.api.exact_json import exact_answer
from oms.api.open_door import ProgramRoute
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.tenancy import Tenants
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.programs.events import TailedEvent
from oms.domain.programs.tenants import TenantName

router = book_router("/ib/events", "venue events", ProgramRoute)
_DEFAULT = 50
_MOST = 1000
_SAID = {
    "type": "object",
    "required": ["event_type"],
    "properties": {"event_type": {"type": "string"}},
    "description": "The event's fields in the venue's own names, with event_type; further fields may come. "
    "msg_id and order_index lead to the command whose order the event is about.",
}
_SHOWN = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["id", "json"],
        "properties": {"id": {"type": "string"}, "json": _SAID},
    },
    "example": [
        {
            "id": "1764230400123-42",
            "json": {
                "event_type": "orderStatus",
                "orderId": 1234,
                "status": "Filled",
                "filled": 1,
                "remaining": 0,
                "avgFillPrice": 4800.25,
                "symbol": "ES",
                "msg_id": "1764230400100-0450931734",
                "order_index": 0,
            },
        }
    ],
}


@router.get(
    "/tail",
    operation_id="TailEvents",
    response_class=Response,
    responses={
        200: {
            "description": "The events, the newest last.",
            "content": {"application/json": {"schema": _SHOWN}},
        },
        **refusals(Code.INVALID_TENANT),
    },
)
async def tail(
    context: Context,
    caller: Who,
    tenants: Tenants,
    count: Annotated[
        int | None, Query(ge=1, le=_MOST, description="So many at most; 50 unless said.")
    ] = None,
    limit: Annotated[int | None, Query(ge=1, le=_MOST, description="The same as `count`.")] = None,
    msg_id: Annotated[Name | None, Query(description="Only of this command.")] = None,
    order_index: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Only of this entry.")] = None,
    tenant: Annotated[TenantName | None, Query(description="Only of this tenant.")] = None,
) -> Response:
    """What the venues said last of orders in the key's reach, the newest last, each as `{"id", "json"}`."""
    if tenant is not None:
        await tenants.of(tenant, caller.reach)
    events = await anyio.to_thread.run_sync(
        lambda: context.store.venue_events.tail(
            _so_many(count, limit),
            portfolio_ids=caller.reach.portfolio_ids,
            message_id=msg_id,
            order_index=order_index,
            tenant=tenant,
        )
    )
    return exact_answer([_shown(event) for event in events])


def _so_many(count: int | None, limit: int | None) -> int:
    """Raises Refused: VALIDATION_FAILED where the two names of one number say two numbers."""
    if count is not None and limit is not None and count != limit:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"count: is {count} and limit is {limit}; give one of them.",
            field="count",
        )
    return count or limit or _DEFAULT


def _shown(event: TailedEvent) -> dict[str, Any]:
    command = {"msg_id": event.message_id, "order_index": event.order_index}
    known = {name: value for name, value in command.items() if value is not None}
    return {"id": event.event_id, "json": {**event.body, **known}}
