"""Instants as programs write them: RFC 3339, or the two forms of the broker's library."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, BeforeValidator

_WRITTEN = re.compile(
    r"(\d{8})(?:-(\d\d:\d\d:\d\d)|\s+(\d\d:\d\d:\d\d)(?:\s+([A-Za-z][A-Za-z0-9_+/-]{0,63}))?)", re.ASCII
)
_FORMS = (
    "an instant is RFC 3339 with its offset (2026-03-09T14:30:00Z), YYYYMMDD-HH:MM:SS in UTC, or "
    "YYYYMMDD HH:MM:SS with a zone such as US/Eastern (without one it is UTC)"
)


def instant(value: Any) -> datetime:
    """`value` as an instant in UTC. Raises ValueError in words for a person.

    A local time that the clocks skip, or show twice, names no instant and is refused.
    """
    if isinstance(value, datetime):
        return _utc(value)
    if not isinstance(value, str):
        raise ValueError(_FORMS)  # noqa: TRY004 - pydantic tells ValueErrors
    ours = _WRITTEN.fullmatch(value)
    try:
        return _of_the_broker(*ours.groups()) if ours else _utc(datetime.fromisoformat(value))
    except (ValueError, OverflowError) as error:
        raise ValueError(str(error) if isinstance(error, _Told) else _FORMS) from error


class _Told(ValueError):
    """A finding that is told as it is."""


def _of_the_broker(day: str, in_utc: str | None, at: str | None, zone: str | None) -> datetime:
    local = datetime.strptime(f"{day} {in_utc or at}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - its zone is added below
    return local.replace(tzinfo=UTC) if zone is None else _in_zone(local, zone)


def _in_zone(local: datetime, zone: str) -> datetime:
    try:
        known = ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:  # unknown, leading out of the zones, or a folder of them
        raise _Told(
            f"there is no time zone {zone!r}; name one such as US/Eastern, or none for UTC"
        ) from error
    first, second = (local.replace(tzinfo=known, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise _Told(
            f"{local.isoformat()} is no one instant in {zone}: the clocks change then; write it in UTC"
        )
    return first.astimezone(UTC)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise _Told(f"{at.isoformat()} says no offset from UTC; {_FORMS}")
    return at.astimezone(UTC)


Instant = Annotated[AwareDatetime, BeforeValidator(instant)]
"""An instant in UTC, from any of the forms that programs write."""
