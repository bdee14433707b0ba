"""The stream of all journal events, as server-sent events."""

from typing import Annotated

from fastapi import Header, Query, Request
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response

from oms.api.asking import Context, Who
from oms.api.following import Follower, Wanted
from oms.api.problems import Unreadable, refusals
from oms.api.routers.shared import book_router
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
    after: Annotated[int | None, Query(ge=0, le=2**62, description="Start after this position.")] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Every journal event from now on, or after `Last-Event-ID` or `after`; none twice, none left out."""
    follower: Follower = request.app.state.follower
    wanted = Wanted(caller.reach.portfolio_ids, portfolio_id, instrument_id, state, direction)
    start = _position(last_event_id) if last_event_id else after
    events = follower.events(wanted, start)
    return EventSourceResponse(events, ping=context.settings.stream_keep_alive_seconds, sep="\n")


def _position(given: str) -> int:
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise Unreadable("Last-Event-ID is the id of an event of this stream, a whole number.")
    return int(given)
