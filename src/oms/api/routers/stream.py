"""The stream of all journal events, as server-sent events."""

from typing import Annotated

from fastapi import Header, Query, Request
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from oms.api.asking import Context, Who
from oms.api.following import Follower, Wanted, position_of, stream_answer
from oms.api.problems import refusals
from oms.api.routers.shared import book_router
from oms.api.validation import LooseInstant
from oms.domain.identifiers import Name
from oms.domain.terms import Direction, State

router = book_router("/v1", "stream")
_EXAMPLE = "id: 42\nevent: sent_to_trader\ndata: {...a journal event...}\n\n"


@router.get(
    "/stream",
    operation_id="Stream",
    response_class=EventSourceResponse,
    responses={
        200: {
            "description": "Events without end: `id` is the stream position, `event` the kind, `data` the event.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        **refusals(),
    },
)
async def stream(
    request: Request,
    context: Context,
    caller: Who,
    portfolio_id: Annotated[Name | None, Query()] = None,
    instrument_id: Annotated[Name | None, Query()] = None,
    state: Annotated[State | None, Query()] = None,
    direction: Annotated[Direction | None, Query()] = None,
    basket_id: Annotated[Name | None, Query()] = None,
    created_after: Annotated[LooseInstant | None, Query(examples=["2026-03-01"])] = None,
    created_before: Annotated[LooseInstant | None, Query(examples=["2026-03-27"])] = None,
    after: Annotated[int | None, Query(ge=0, le=2**62, description="Start after this position.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Every journal event from now on, or after `Last-Event-ID` or `after`; none twice, none left out."""
    follower: Follower = request.app.state.follower
    wanted = Wanted(
        caller.reach.portfolio_ids,
        portfolio_id,
        instrument_id,
        state,
        direction,
        basket_id,
        created_after,
        created_before,
    )
    start = position_of(last_event_id) if last_event_id else after
    return await stream_answer(follower, wanted, start, context.settings.stream_keep_alive_seconds)
