"""Refusals as `application/problem+json` (RFC 9457), for everything that can go wrong on `/v1`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from oms.api.validation import of_validation
from oms.domain.errors import MEANING, Code, Refused
from oms.store.errors import BadCursor, Taken

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:durable-oms:error:"
RETRY_STATUSES = frozenset({429, 503})
_FIXED = frozenset({"type", "title", "status", "detail", "code", "request_id"})
_log = structlog.get_logger("oms.api")


class Problem(BaseModel):
    """What every refusal answers. More members carry the numbers: state, allowed, field, limit, actual, ..."""

    model_config = ConfigDict(extra="allow", title="Problem")
    type: str = Field(examples=["urn:durable-oms:error:invalid_state"])
    title: str = Field(examples=["The command is not legal in the order's state; the answer names both."])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["SendToTrader is not possible in CREATED; it is from ..."])
    code: Code
    request_id: str = Field(examples=["0d7bb0f5c6f84a0f8a4bb0f1f0a8c8f2"])


class Unreadable(Exception):
    """A request that cannot be read: MALFORMED, 400."""


def problem_body(refused: Refused, request_id: str) -> dict[str, Any]:
    """`refused` as the members of a problem document, with the numbers behind it."""
    status, meaning = MEANING[refused.code]
    return {
        "type": f"{TYPE}{refused.code.lower()}",
        "title": meaning,
        "status": status,
        "detail": refused.message,
        "code": refused.code.value,
        "request_id": request_id,
        **{name: value for name, value in refused.facts.items() if name not in _FIXED},
    }


def problem_response(
    refused: Refused, request_id: str, headers: Mapping[str, str] | None = None, retry_after: int = 2
) -> Response:
    """`refused` as an answer, with Retry-After where trying again makes sense: its own `retry_after`, or this one."""
    status = refused.status
    answer = Response(
        json.dumps(problem_body(refused, request_id), default=str), status, dict(headers or {}), MEDIA_TYPE
    )
    if status in RETRY_STATUSES:
        answer.headers["Retry-After"] = str(refused.facts.get("retry_after", retry_after))
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="durable-oms"'
    return answer


def problem_of(error: Exception, request_id: str, retry_after: int = 2) -> Response:
    """Any exception as an answer. What nobody foresaw is INTERNAL, and its trace is in the log."""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    headers = {name: value for name, value in headers.items() if name.lower() == "allow"}
    refused = _as_refused(error)
    if refused is None:
        _log.exception("a request ended in a defect", request_id=request_id, exc_info=error)
        refused = Refused(Code.INTERNAL, "The request met a defect; it is in the log under this request id.")
    return problem_response(refused, request_id, headers, retry_after)


def _as_refused(error: Exception) -> Refused | None:
    match error:
        case Refused():
            return error
        case Unreadable():
            return Refused(Code.MALFORMED, str(error))
        case RequestValidationError():
            return of_validation(error.errors())
        case BadCursor():
            return Refused(Code.VALIDATION_FAILED, str(error), field="cursor")
        case Taken():
            return Refused(Code.VERSION_CONFLICT, str(error))
        case ArithmeticError():
            return Refused(Code.VALIDATION_FAILED, "A number in the request is out of range.")
        case HTTPException():
            return _of_http(error)
        case OperationalError() | InterfaceError() | PoolTimeout():
            _log.error("the store is away", error=str(error))
            return Refused(Code.UNAVAILABLE, "The store is away; nothing was lost.")
        case StatementError(orig=ValueError()):
            return Refused(Code.VALIDATION_FAILED, "A value in the request cannot be kept exactly.")
    return None


def _of_http(error: HTTPException) -> Refused | None:
    match error.status_code:
        case 404:
            return Refused(
                Code.PATH_NOT_FOUND, "Nothing lives at this path; GET /openapi.json lists all of them."
            )
        case 405:
            return Refused(Code.METHOD_NOT_ALLOWED, "The path exists, the method does not; see Allow.")
        case 413:
            return Refused(Code.PAYLOAD_TOO_LARGE, str(error.detail))
        case 400:
            return Refused(Code.MALFORMED, str(error.detail))
    return None


def refusals(*codes: Code) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses for these codes beside the ones every route can answer."""
    always = (
        Code.MALFORMED,
        Code.UNAUTHENTICATED,
        Code.NOT_AUTHORIZED,
        Code.PATH_NOT_FOUND,
        Code.PAYLOAD_TOO_LARGE,
        Code.VALIDATION_FAILED,
        Code.RATE_LIMITED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
    )
    by_status: dict[int, list[Code]] = {}
    for code in dict.fromkeys((*codes, *always)):
        by_status.setdefault(MEANING[code][0], []).append(code)
    return {status: _documented(found) for status, found in sorted(by_status.items())}


def _documented(codes: Sequence[Code]) -> dict[str, Any]:
    example = {
        "type": f"{TYPE}{codes[0].lower()}",
        "title": MEANING[codes[0]][1],
        "status": MEANING[codes[0]][0],
        "detail": MEANING[codes[0]][1],
        "code": codes[0].value,
        "request_id": "0d7bb0f5c6f84a0f8a4bb0f1f0a8c8f2",
    }
    return {
        "description": "; ".join(f"`{code}` {MEANING[code][1]}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
    }
