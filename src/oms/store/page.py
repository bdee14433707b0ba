"""Pages of a list, newest first, and the opaque cursor that goes on where a page ended.

A page is ordered by (time, id), both descending, so rows that arrive while somebody pages come before the
first page and never shift the ones that follow. The cursor names the last row of a page and carries a
checksum: what this program did not write is refused. It grants nothing, every page applies its own filters.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, literal, tuple_

from oms.store.errors import BadCursor

Item = TypeVar("Item")
_CHECK_BYTES = 6
_NOT_OURS = "The cursor is not one of this list's."


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items, and the cursor of the next page; None where the list ends."""

    items: tuple[Item, ...]
    next_cursor: str | None


def write_cursor(at: datetime, key: str) -> str:
    """The cursor of the page after the row (at, key)."""
    return sealed(json.dumps([at.astimezone(UTC).isoformat(), key]).encode())


def read_cursor(cursor: str) -> tuple[datetime, str]:
    """The row a cursor names. Raises BadCursor for anything that `write_cursor` did not answer."""
    try:
        written, key = json.loads(unsealed(cursor))
        at = datetime.fromisoformat(written)
    except (ValueError, TypeError) as error:
        raise BadCursor(_NOT_OURS) from error
    if at.tzinfo is None or not isinstance(key, str):
        raise BadCursor(_NOT_OURS)
    return at, key


def sealed(body: bytes) -> str:
    """`body` as a cursor."""
    return base64.urlsafe_b64encode(_check(body) + body).rstrip(b"=").decode()


def unsealed(cursor: str) -> bytes:
    """The body of a cursor. Raises BadCursor for anything that `sealed` did not answer."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadCursor(_NOT_OURS) from error
    check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    # Written again, because base64 spells some bytes in more than one way.
    if check != _check(body) or sealed(body) != cursor:
        raise BadCursor(_NOT_OURS)
    return body


def after_cursor(at: ColumnElement[Any], key: ColumnElement[Any], cursor: str) -> ColumnElement[bool]:
    """The rows that come after the cursor in (at, key) descending. Raises BadCursor."""
    when, which = read_cursor(cursor)
    return tuple_(at, key) < tuple_(literal(when, at.type), literal(which, key.type))


def paged(
    query: Select[Any],
    at: ColumnElement[Any],
    key: ColumnElement[Any],
    limit: int,
    offset: int,
    cursor: str | None,
) -> Select[Any]:
    """`query` newest first, from `cursor` on, one row longer than the page so that its end shows. Raises BadCursor."""
    if cursor is not None:
        query = query.where(after_cursor(at, key, cursor))
    return query.order_by(at.desc(), key.desc()).limit(limit + 1).offset(offset)


def page_of(rows: Sequence[Any], limit: int, item: Callable[[Any], Item]) -> Page[Item]:
    """The page from `limit + 1` rows whose first two columns are (at, key)."""
    kept = rows[:limit]
    more = len(rows) > limit and bool(kept)
    return Page(tuple(item(row) for row in kept), write_cursor(kept[-1][0], kept[-1][1]) if more else None)


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES, person=b"oms-cursor").digest()
