"""Pydantic's findings as one refusal, and value types for what arrives as JSON. Nothing of HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime

from oms.domain.errors import Code, Refused
from oms.domain.programs.findings import in_words, is_inside


def of_validation(errors: Sequence[Any], root: str | None = None) -> Refused:
    """Pydantic's errors as one refusal: the first in one sentence, all of them as `errors`."""
    told = [
        {"field": _field(error, root), "message": _message(error)}
        for error in errors
        if not any(is_inside(other["loc"], error["loc"]) for other in errors)
    ]
    first = told[0]
    more = f" ({len(told) - 1} more)" if len(told) > 1 else ""
    return Refused(
        Code.VALIDATION_FAILED,
        f"{first['field']}: {first['message']}{more}.",
        field=first["field"],
        errors=told[:20],
    )


def _field(error: Any, root: str | None) -> str:
    """`route.venue` from ("body", "route", "venue"); only names and numbers of the caller's own."""
    location = [str(part) for part in error["loc"]]
    if location and location[0] in ("body", "query", "path", "header"):
        location = location[1:] or [location[0]]
    if root is not None:
        location = [root, *location]
    return ".".join(location)[:200] or "body"


def _message(error: Any) -> str:
    return in_words(error["type"], str(error["msg"]))


def json_numbers(value: Any) -> Any:
    """`value` with every Decimal as a JSON number. Raises ValueError where that would change a digit."""
    if isinstance(value, Decimal):
        number = float(value)
        if Decimal(repr(number)) != value:
            raise ValueError(f"{value} has more digits than a JSON number keeps; send it as a string")
        return number
    if isinstance(value, dict):
        return {key: json_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [json_numbers(item) for item in value]
    return value


def _utc(at: datetime) -> datetime:
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the years 1 to 9999") from error


UtcInstant = Annotated[AwareDatetime, AfterValidator(_utc)]
"""An instant with a zone, kept in UTC."""
LooseInstant = Annotated[datetime, AfterValidator(_utc)]
"""An instant or a day of a filter; without a zone it is UTC."""
