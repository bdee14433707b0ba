"""Reading a request: exact numbers, and the headers that steer it."""

import json
import re
import uuid
from decimal import Decimal
from email.message import Message
from typing import Any

from starlette.requests import Request

from oms.api.problems import Unreadable

_MAX_DEPTH = 40
_MAX_NUMBER = 200
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ETAG = re.compile(r'(?:W/)?"(\d{1,15})"')
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def _exact(text: str) -> Decimal:
    if len(text) > _MAX_NUMBER:
        raise Unreadable(f"A number of {len(text)} characters is too long.")
    return Decimal(text)


def _whole(text: str) -> int:
    if len(text) > _MAX_NUMBER:
        raise Unreadable(f"A number of {len(text)} characters is too long.")
    return int(text)


def _no_constant(text: str) -> Any:
    raise Unreadable(f"{text} is not a JSON number.")


_DECODER = json.JSONDecoder(parse_float=_exact, parse_int=_whole, parse_constant=_no_constant)


def read_json(body: bytes) -> Any:
    """The value in `body`; every number with a fraction is a Decimal, so none is rounded before it is checked.

    Raises Unreadable for what is no JSON, for NaN and the infinities, for more than 40 levels, for half a
    surrogate pair.
    """
    try:
        value = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Unreadable("The body is not UTF-8.") from error
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from error
    except RecursionError as error:
        raise Unreadable(f"The body is nested deeper than {_MAX_DEPTH} levels.") from error
    _check_depth(value)
    if "\\u" in body.decode("utf-8"):
        _check_text(value)
    return value


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise Unreadable(f"The body is nested deeper than {_MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for item in value.values():
            _check_depth(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_depth(item, depth + 1)


def _check_text(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unreadable("The body holds half of a surrogate pair.") from error


class ExactRequest(Request):
    """A request whose JSON keeps every digit."""

    async def json(self) -> Any:
        """The body's value, read once. Raises Unreadable."""
        if not hasattr(self, "_json"):
            self._json = read_json(await self.body())
        return self._json


def check_content_type(request: Request, body: bytes) -> None:
    """A body is JSON, or says nothing about itself. Raises Unreadable (400)."""
    given = request.headers.get("content-type")
    if not body or given is None:
        return
    message = Message()
    message["content-type"] = given
    subtype = message.get_content_subtype()
    if message.get_content_maintype() != "application" or not (
        subtype == "json" or subtype.endswith("+json")
    ):
        raise Unreadable(f"Content-Type {given[:100]!r} is not taken; send application/json.")


def request_id(given: str | None) -> str:
    """The caller's X-Request-ID where it is one (128 characters of A-Z a-z 0-9 . _ : / + = @ -), else a new one."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key. Raises Unreadable for one that is not 1 to 255 visible ASCII characters."""
    given = request.headers.get("idempotency-key")
    if given is not None and not _IDEMPOTENCY_KEY.fullmatch(given):
        raise Unreadable("Idempotency-Key is 1 to 255 visible ASCII characters.")
    return given


def expected_version(request: Request) -> int | None:
    """The order version in If-Match, None for none or `*`. Raises Unreadable for what is no version."""
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    found = _ETAG.fullmatch(given.strip())
    if found is None:
        raise Unreadable('If-Match is the ETag of an order, its version in quotes: "7".')
    return int(found[1])
