"""Column types that keep numbers exact and times in UTC on both databases, and text that both can keep."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, overload

import simplejson
from sqlalchemy import DateTime, Dialect, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from oms.domain.numbers import MAX_DECIMALS, MAX_DIGITS, plain


class Exact(TypeDecorator[Decimal]):
    """A decimal of at most 18 places and 38 digits: NUMERIC(56, 18) on PostgreSQL, plain text on SQLite.

    Raises TypeError for anything but a Decimal (a float above all) and ValueError where a digit would be lost.
    Text does not sort as a number, so no query compares such a column in SQL.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Numeric(MAX_DIGITS + MAX_DECIMALS, MAX_DECIMALS))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"{value!r} is no Decimal")
        text = plain(value)
        if not value.is_finite() or len(text.partition(".")[2]) > MAX_DECIMALS:
            raise ValueError(f"{value} cannot be kept exactly")
        return value if dialect.name == "postgresql" else text

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002
        if value is None:
            return None
        return Decimal(plain(value)) if isinstance(value, Decimal) else Decimal(value)


class Instant(TypeDecorator[datetime]):
    """An instant to the microsecond: `timestamp with time zone` on PostgreSQL, UTC text that sorts on SQLite.

    Raises ValueError for a time without a zone; what comes back is always UTC.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        moved = value.astimezone(UTC)
        return moved if dialect.name == "postgresql" else moved.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if dialect.name == "postgresql" else value.replace(tzinfo=UTC)


class ExactJson(TypeDecorator[dict[str, Any]]):
    """An object as JSON text. A fraction is a Decimal that keeps every digit it was written with: 1.50 is 1.50.

    What is no number in JSON (NaN, infinity) is kept as null, text as ASCII with escapes.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else simplejson.dumps(value, use_decimal=True, ignore_nan=True)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:  # noqa: ARG002 - SQLAlchemy's signature
        return None if value is None else simplejson.loads(value, use_decimal=True)


@overload
def storable(text: str) -> str: ...
@overload
def storable(text: None) -> None: ...
def storable(text: str | None) -> str | None:
    """What a venue said, with what no database keeps (NUL, half of a surrogate pair) spelled out."""
    if text is None:
        return None
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
