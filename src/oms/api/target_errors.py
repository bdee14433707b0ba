"""The target surface's own few statuses: every refusal of the order book under one of them, in the one problem document.

400 what is asked cannot be, 401 the key is missing, unknown or may not do it, 404 no such batch, 500 something that the
answer needs is away. The document's `status` is the one that was answered; its `code` is the order book's own.
"""

import json
from collections.abc import Sequence
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from oms.api.problems import MEDIA_TYPE, TYPE, problem_of
from oms.api.routing import BookRoute, Handler
from oms.domain.errors import MEANING, Code

Responses = dict[int | str, dict[str, Any]]
_OF_THE_SURFACE = {403: 401, 409: 400, 422: 400, 503: 500}
_EVERYWHERE = (
    Code.VALIDATION_FAILED,
    Code.UNAUTHENTICATED,
    Code.PAYLOAD_TOO_LARGE,
    Code.RATE_LIMITED,
    Code.UNAVAILABLE,
)


class TargetRoute(BookRoute):
    """A route of the order book that refuses in the target surface's statuses."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            return of_the_surface(await handle(request))

        return answer


class OpenTargetRoute(APIRoute):
    """A route of the surface that needs no key."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:  # noqa: BLE001 - the last resort: a problem in place of a broken connection
                return of_the_surface(problem_of(error, request.state.request_id))

        return answer


def of_the_surface(answer: Response) -> Response:
    """`answer`, a refusal under the status that the surface has for it."""
    status = _OF_THE_SURFACE.get(answer.status_code)
    if status is None or answer.headers.get("content-type") != MEDIA_TYPE:
        return answer
    told = {**json.loads(bytes(answer.body)), "status": status}
    headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="durable-oms"'
    return Response(json.dumps(told), status, headers, MEDIA_TYPE)


def surface_refusals(*codes: Code) -> Responses:
    """The OpenAPI responses for these codes beside the ones every route of the surface with a key can answer."""
    by_status: dict[int, list[Code]] = {}
    for code in dict.fromkeys((*codes, *_EVERYWHERE)):
        status = MEANING[code][0]
        by_status.setdefault(_OF_THE_SURFACE.get(status, status), []).append(code)
    documented: Responses = {
        status: _documented(status, found) for status, found in sorted(by_status.items())
    }
    return {**documented, **any_refusal()}


def any_refusal() -> Responses:
    """The OpenAPI response for whatever a route does not name."""
    return {"default": _documented(500, [Code.INTERNAL])}


def _documented(status: int, codes: Sequence[Code]) -> dict[str, Any]:
    example = {
        "type": f"{TYPE}{codes[0].lower()}",
        "title": MEANING[codes[0]][1],
        "status": status,
        "detail": MEANING[codes[0]][1],
        "code": codes[0].value,
        "request_id": "0d7bb0f5c6f84a0f8a4bb0f1f0a8c8f2",
    }
    return {
        "description": "; ".join(f"`{code}` {MEANING[code][1]}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
