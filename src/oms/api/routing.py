"""The way of every `/v1` request: authenticate, count, read, answer once, turn refusals into problems."""

import os
import time
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any
from uuid import UUID

import anyio
import structlog
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from oms.api.access import Caller, KeyRing
from oms.api.idempotency import Replays
from oms.api.problems import problem_of
from oms.api.requests import METHODS_WITH_BODY, ExactRequest, check_content_type, idempotency_key
from oms.domain.drafting import nanoseconds
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import uuid7

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_REPLAYABLE = frozenset({"POST", "PATCH"})
_BEARER = "bearer "


def new_uuid() -> UUID:
    """A UUIDv7 of now."""
    return uuid7(time.time_ns() // 1_000_000, os.urandom(10))


def presented_secret(request: Request) -> str | None:
    """The key in Authorization: Bearer, X-API-Key or x-api-token."""
    authorization = request.headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return request.headers.get("x-api-key") or request.headers.get("x-api-token")


async def authenticate(request: Request) -> Caller:
    """The caller behind the request. Raises Refused: UNAUTHENTICATED."""
    keys: KeyRing = request.app.state.keys
    secret = presented_secret(request)
    if not secret:
        raise Refused(
            Code.UNAUTHENTICATED, "Send a key: Authorization: Bearer KEY, X-API-Key or x-api-token."
        )
    caller = keys.remembered(secret) or await anyio.to_thread.run_sync(keys.find, secret)
    if caller is None:
        raise Refused(Code.UNAUTHENTICATED, "The key is unknown, expired or revoked.")
    return caller


class BookRoute(APIRoute):
    """A route of the order book. `authenticate` finds who calls, and raises Refused UNAUTHENTICATED."""

    authenticate = staticmethod(authenticate)

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            exact = ExactRequest(request.scope, request.receive)
            retry_after = request.app.state.context.settings.retry_after_seconds
            try:
                caller = await self.authenticate(exact)
                return await _guarded(exact, caller, handle, retry_after)
            except Exception as error:  # noqa: BLE001 - the last resort: a problem in place of a broken connection
                return problem_of(error, request.state.request_id, retry_after)

        return answer


async def _guarded(request: ExactRequest, caller: Caller, handle: Handler, retry_after: int) -> Response:
    request.app.state.context.rate_limit.take(caller.name)
    request.state.caller, request.state.dedupe = caller, None
    request.state.resource, request.state.asked_ns = new_uuid(), time.time_ns()
    structlog.contextvars.bind_contextvars(key=caller.name)
    if request.method in METHODS_WITH_BODY:
        body = await request.body()
        check_content_type(request, body)
        if body:
            await request.json()  # read here: inside FastAPI a refusal would lose its sentence
    given = idempotency_key(request) if request.method in _REPLAYABLE else None
    if given is None:
        return await handle(request)
    replays: Replays = request.app.state.replays
    request.state.dedupe = given

    async def run(resource: UUID, asked_at: datetime) -> Response:
        request.state.resource, request.state.asked_ns = resource, nanoseconds(asked_at)
        try:
            return await handle(request)
        except Exception as error:  # noqa: BLE001 - a refusal is an answer too, and is kept under the key
            return problem_of(error, request.state.request_id, retry_after)

    return await replays.answer(request, (caller.name, given), request.state.resource, run)
