"""Every way in which a call can end without its answer. `code` is the order book's own: docs/errors.md lists all."""

from collections.abc import Mapping
from typing import Any

import httpx

_FIXED = frozenset({"type", "title", "status", "detail", "code", "request_id"})
_EXCERPT = 500


class OMSError(Exception):
    """The order book refused, or could not be understood.

    `code` is its code, `status` the HTTP status (None where there was no answer), `detail` a sentence for a person,
    `facts` the numbers behind it (state, allowed, field, limit, actual, ...; decimals are text), `request_id` what
    to look for in its logs, `retry_after` the seconds it asked to wait.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        facts: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.status = status
        self.facts = dict(facts or {})
        self.request_id = request_id
        self.retry_after = retry_after


class Invalid(OMSError):
    """400, 413, 422: a field is missing, unknown or out of range, or a name in the request is not known."""


class NotAuthenticated(OMSError):
    """401: the key is missing, unknown, expired or revoked."""


class NotAuthorized(OMSError):
    """403: none of the key's roles may do this; `facts` names those that may."""


class NotFound(OMSError):
    """404: nothing has this id, or the key may not see it."""


class Conflict(OMSError):
    """409: not as the order is now: its state, its version, its numbers, a halt."""


class RateLimited(OMSError):
    """429, still, after every attempt."""


class Unavailable(OMSError):
    """The order book was away at every attempt. What a call with an Idempotency-Key asked for may have happened:
    the same key again asks for it once. `__cause__` is the lost connection, where there was one."""


class Unreadable(OMSError):
    """The answer is not one this client can read."""


_BY_STATUS: dict[int, type[OMSError]] = {
    400: Invalid,
    401: NotAuthenticated,
    403: NotAuthorized,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: RateLimited,
    503: Unavailable,
}


def refusal(response: httpx.Response, retry_after: float | None = None) -> OMSError:
    """The error that `response` (read, and no success) stands for; a problem, or whatever stands in between."""
    status = response.status_code
    kind = _BY_STATUS.get(status, OMSError)
    request_id = response.headers.get("x-request-id")
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        said = response.text[:_EXCERPT] or response.reason_phrase
        return kind(f"HTTP_{status}", said, status=status, request_id=request_id, retry_after=retry_after)
    return kind(
        code,
        detail,
        status=status,
        facts={name: value for name, value in problem.items() if name not in _FIXED},
        request_id=str(problem.get("request_id") or request_id or "") or None,
        retry_after=retry_after,
    )
