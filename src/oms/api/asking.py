"""What one request carries beside its body: who asks, under which id, what it may mint and what it saw."""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from oms.api.access import Caller
from oms.api.context import APIContext
from oms.api.order_book import OrderBook
from oms.api.requests import expected_version
from oms.domain.identifiers import identifier


@dataclass(frozen=True)
class Asking:
    """A request to change something. `resource` is the one UUID it may turn into a new id.

    `dedupe` names the Idempotency-Key: the same key asks Temporal under the same update id.
    """

    caller: Caller
    request_id: str
    resource: UUID
    ts_event_ns: int
    expected_version: int | None = None
    dedupe: str | None = None

    def mint(self, prefix: str) -> str:
        """The id of what this request creates; the same again when the request is repeated under its key."""
        return identifier(prefix, self.resource)

    def update_id(self, order_id: str) -> str:
        """The Temporal update id of this request for one order."""
        if self.dedupe is None:
            return uuid.uuid4().hex
        return hashlib.sha256(f"{self.caller.name}\n{self.dedupe}\n{order_id}".encode()).hexdigest()[:32]


async def context_of(request: Request) -> APIContext:
    context: APIContext = request.app.state.context
    return context


async def book_of(request: Request) -> OrderBook:
    book: OrderBook = request.app.state.book
    return book


async def caller_of(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


async def asking_of(request: Request) -> Asking:
    state = request.state
    return Asking(
        caller=state.caller,
        request_id=state.request_id,
        resource=state.resource,
        ts_event_ns=state.asked_ns,
        expected_version=expected_version(request),
        dedupe=state.dedupe,
    )


# Coroutines, although they wait for nothing: FastAPI would give each plain function a thread for every request.
Context = Annotated[APIContext, Depends(context_of)]
Book = Annotated[OrderBook, Depends(book_of)]
Who = Annotated[Caller, Depends(caller_of)]
Ask = Annotated[Asking, Depends(asking_of)]
