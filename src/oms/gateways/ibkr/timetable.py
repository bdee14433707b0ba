"""The broker's day: when its lists are read for the last time, and when its gateway restarts itself.

Pure: every function takes the moment and answers moments, all aware. A time of day that the clocks leave out or
repeat on the day of a change is the one that `zoneinfo` means by it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from oms.gateways.ibkr.settings import IBKRSettings


class Occasion(StrEnum):
    """What is due: a last reading of the day, the minutes before a restart of IB Gateway, and the end of them."""

    LAST_READING = "last reading of the day"
    BEFORE_RESTART = "before the daily restart"
    AFTER_RESTART = "after the daily restart"


@dataclass(frozen=True)
class Due:
    """Something and when."""

    at: datetime
    occasion: Occasion


class Timetable:
    """What a session does by the clock."""

    def __init__(self, settings: IBKRSettings) -> None:
        self._zone = ZoneInfo(settings.timezone)
        self._end_of_day = settings.end_of_day
        self._restart = settings.daily_restart
        self._margin = timedelta(seconds=settings.restart_margin_seconds)

    def next(self, now: datetime) -> Due | None:
        """What is due next after `now`; None where nothing ever is."""
        return min((due for due in self._around(now) if due.at > now), key=lambda due: due.at, default=None)

    def restarts_until(self, now: datetime) -> datetime | None:
        """The end of the restart that `now` falls into; None where it falls into none."""
        if self._restart is None:
            return None
        for moment in self._instants(self._restart, now):
            if moment - self._margin <= now < moment + self._margin:
                return moment + self._margin
        return None

    def _around(self, now: datetime) -> Iterator[Due]:
        if self._end_of_day is not None:
            for moment in self._instants(self._end_of_day, now):
                yield Due(moment, Occasion.LAST_READING)
        if self._restart is not None:
            for moment in self._instants(self._restart, now):
                yield Due(moment - self._margin, Occasion.BEFORE_RESTART)
                yield Due(moment + self._margin, Occasion.AFTER_RESTART)

    def _instants(self, at: time, now: datetime) -> Iterator[datetime]:
        """That time of day yesterday, today and tomorrow."""
        today = now.astimezone(self._zone).date()
        for days in (-1, 0, 1):
            yield datetime.combine(today + timedelta(days=days), at, self._zone).astimezone(now.tzinfo)
