"""What a session does by the clock, in the broker's zone, over the changes of the clocks."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from oms.gateways.ibkr import IBKRSettings
from oms.gateways.ibkr.timetable import Due, Occasion, Timetable

EASTERN = ZoneInfo("US/Eastern")
RESTART = time(23, 45)


def timetable(**changes: object) -> Timetable:
    return Timetable(IBKRSettings(**{"end_of_day": None, "daily_restart": RESTART, **changes}))


def at(day: int, hour: int, minute: int = 0, month: int = 3) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=EASTERN).astimezone(UTC)


def test_the_end_of_the_day_comes_once_a_day() -> None:
    day = timetable(end_of_day=time(16, 30), daily_restart=None)
    due = day.next(at(2, 9))
    assert due == Due(at(2, 16, 30), Occasion.LAST_READING)
    assert day.next(due.at) == Due(at(3, 16, 30), Occasion.LAST_READING)
    assert day.restarts_until(due.at) is None


def test_without_times_nothing_is_ever_due() -> None:
    assert timetable(daily_restart=None).next(at(2, 9)) is None


def test_a_restart_has_a_margin_on_both_sides() -> None:
    night = timetable()
    assert night.next(at(2, 9)) == Due(at(2, 23, 43), Occasion.BEFORE_RESTART)
    assert night.next(at(2, 23, 43)) == Due(at(2, 23, 47), Occasion.AFTER_RESTART)
    assert night.restarts_until(at(2, 23, 42)) is None
    for inside in (at(2, 23, 43), at(2, 23, 45), at(2, 23, 46)):
        assert night.restarts_until(inside) == at(2, 23, 47)
    assert night.restarts_until(at(2, 23, 47)) is None


def test_a_restart_may_lie_over_midnight() -> None:
    night = timetable(daily_restart=time(0, 1))
    assert night.next(at(2, 9)) == Due(at(2, 23, 59), Occasion.BEFORE_RESTART)
    assert night.restarts_until(at(2, 23, 59)) == at(3, 0, 3)
    assert night.restarts_until(at(3, 0, 2)) == at(3, 0, 3)


@pytest.mark.parametrize("day", [7, 8, 9])
def test_the_time_of_day_is_the_brokers_when_the_clocks_change(day: int) -> None:
    """2026-03-08 has 23 hours in New York."""
    due = timetable(end_of_day=time(16, 30), daily_restart=None).next(at(day, 0, 30))
    assert due is not None
    assert due.at.astimezone(EASTERN).time() == time(16, 30)
    assert due.at - at(day, 0, 30) < timedelta(hours=16, minutes=1)
