"""Around every request: its id, its measure, the limit of its body, and the last resort."""

import time

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oms.api.metrics import Metrics
from oms.api.problems import problem_of
from oms.api.requests import request_id

_log = structlog.get_logger("oms.api")
_UNKNOWN = "(no such path)"


class Envelope:
    """ASGI middleware; the outermost of ours."""

    def __init__(self, app: ASGIApp, metrics: Metrics, max_body_bytes: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        rid = request_id(given.decode("latin-1") if given is not None else None)
        scope["state"] = {**scope.get("state", {}), "request_id": rid}
        began = time.perf_counter()
        answered = _Answered(send, rid)
        with structlog.contextvars.bound_contextvars(request_id=rid):
            try:
                _check_length(headers.get(b"content-length"), self._max_body_bytes)
                await self._app(scope, _counted(receive, self._max_body_bytes), answered)
            except Exception as error:
                if answered.status is not None:
                    raise
                await problem_of(error, rid)(scope, receive, answered)
            finally:
                self._measure(scope, answered.status or 499, time.perf_counter() - began)

    def _measure(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", None) or _UNKNOWN
        self._metrics.answered(scope["method"], route, status, seconds)
        _log.debug(
            "answered",
            method=scope["method"],
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 1),
        )


class _Answered:
    """A send that adds the request id and remembers the status."""

    def __init__(self, send: Send, rid: str) -> None:
        self._send = send
        self._rid = rid.encode()
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self._rid)]}
        await self._send(message)


def _check_length(given: bytes | None, limit: int) -> None:
    if given is not None and given.isdigit() and int(given[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The body is larger than {limit} bytes.")


def _counted(receive: Receive, limit: int) -> Receive:
    """A receive that counts what really arrives, whatever Content-Length says."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return counted
