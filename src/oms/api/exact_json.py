"""Answers whose numbers are JSON numbers with every digit: a Decimal never becomes a float on its way out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import simplejson
from pydantic import BaseModel, PlainSerializer, WithJsonSchema
from starlette.responses import Response

from oms.domain.numbers import plain


def _shortest(value: Decimal) -> Decimal:
    return Decimal(plain(value))


def _second(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds")


Number = Annotated[Decimal, PlainSerializer(_shortest), WithJsonSchema({"type": "number"})]
"""A number as JSON knows it, in plain notation without trailing zeros."""
Second = Annotated[
    datetime,
    PlainSerializer(_second),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-03-09T14:30:00+00:00"]}),
]
"""An instant in UTC to the second, its zone written as +00:00."""


def exact_text(value: Any) -> str:
    """`value` as JSON; every Decimal in it is written with its own digits."""
    return simplejson.dumps(value, use_decimal=True, ensure_ascii=False, separators=(",", ":"))


def exact_answer(
    view: BaseModel | Mapping[str, Any] | list[Any], status: int = 200, **headers: str
) -> Response:
    """`view` as JSON with exact numbers; header names are given with underscores."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    told = view.model_dump() if isinstance(view, BaseModel) else view
    return Response(exact_text(told), status, named, "application/json")
