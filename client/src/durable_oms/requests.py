"""What a call says, apart from how it is sent: both clients send the same values."""

import json
import operator
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Generic, TypedDict, TypeVar

from pydantic import BaseModel

T = TypeVar("T")
_JSON = "application/json"
Number = Decimal | int | float | str
"""A number of the order book. It is kept exactly: a Decimal, an int or text as it is, a float as Python prints it."""


class Repeatable(TypedDict, total=False):
    """`idempotency_key`: yours in place of a new one, so that the call is the same one also after a restart."""

    idempotency_key: str | None


class OnOrder(Repeatable, total=False):
    """`expected_version`: refused with VERSION_CONFLICT where the order has moved on since that version."""

    expected_version: int | None


@dataclass(frozen=True)
class Content:
    """What a call says beside its path. `after`: the position behind which a stream begins."""

    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    after: int | None = None


@dataclass(frozen=True)
class Request(Generic[T]):
    """One call: `read` makes its result of the JSON that is answered. Headers are the same at every attempt."""

    method: str
    path: str
    read: Callable[[Any], T]
    content: Content

    @property
    def is_repeatable(self) -> bool:
        """Whether asking twice is asking once."""
        return self.method == "GET" or "Idempotency-Key" in self.content.headers

    def with_query(self, **changed: str | None) -> "Request[T]":
        """The same call with other query parameters; None leaves one out."""
        query = {k: v for k, v in {**self.content.query, **changed}.items() if v is not None}
        return replace(self, content=replace(self.content, query=query))


def asked(**query: Any) -> Content:
    """What a GET asks for; parameters that are None are left out."""
    return Content(query={name: _text(value) for name, value in query.items() if value is not None})


def followed(after: int | None, **query: Any) -> Content:
    """What a stream asks for."""
    return replace(asked(**query), after=after)


def told(options: Repeatable, **fields: Any) -> Content:
    """A body of the fields that are given. Raises TypeError, ValueError for what no JSON says exactly."""
    return _told(options, {"idempotency_key"}, given(**fields))


def commanded(options: OnOrder, **fields: Any) -> Content:
    """As `told`, for a command on an order that may expect a version."""
    return _told(options, {"idempotency_key", "expected_version"}, given(**fields))


def commanded_whole(options: OnOrder, body: Mapping[str, Any]) -> Content:
    """As `commanded`; None in `body` is said as null, which clears a field."""
    return _told(options, {"idempotency_key", "expected_version"}, body)


def filed(options: Repeatable, file: str | Iterable[Mapping[str, Any]]) -> Content:
    """A file: CSV where it is text, else a list of items."""
    if isinstance(file, str):
        return _sent(options, {"idempotency_key"}, file.encode(), "text/csv; charset=utf-8")
    return _sent(options, {"idempotency_key"}, encode(list(file)), _JSON)


def given(**fields: Any) -> dict[str, Any]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}


def encode(value: Any) -> bytes:
    """`value` as JSON, Decimals as text. Raises TypeError, ValueError for NaN, infinities and other types."""
    return json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False).encode()


def _told(options: Mapping[str, Any], known: set[str], body: Mapping[str, Any]) -> Content:
    return _sent(options, known, encode(body), _JSON)


def _sent(options: Mapping[str, Any], known: set[str], body: bytes, kind: str) -> Content:
    if unknown := sorted(options.keys() - known):
        raise TypeError(f"unexpected arguments: {', '.join(unknown)}")
    headers = {"Content-Type": kind, "Idempotency-Key": options.get("idempotency_key") or str(uuid.uuid4())}
    if (version := options.get("expected_version")) is not None:
        headers["If-Match"] = f'"{version}"'
    return Content(body=body, headers=headers)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | Decimal) else str(_plain(value))


def _plain(value: Any) -> Any:
    """What json cannot say by itself."""
    match value:
        case Decimal():
            if not value.is_finite():
                raise ValueError(f"{value} is not a finite number")
            return str(value)
        case datetime() | date():
            return value.isoformat()
        case Enum():
            return value.value
        case BaseModel():
            return value.model_dump(mode="json", exclude_unset=True)
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value)
    if hasattr(value, "__index__"):
        return operator.index(value)
    raise TypeError(f"{type(value).__name__} is not a value that the order book takes")
