"""Trading hours of the paper market."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EASTERN = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class TradingHours:
    """One session a day, in the exchange's own time.

    ``weekdays`` counts Monday as 0. The session is open from ``opens`` (included) to ``closes`` (excluded).
    """

    opens: time = time(9, 30)
    closes: time = time(16, 0)
    zone: ZoneInfo = EASTERN
    weekdays: frozenset[int] = frozenset(range(5))
    holidays: frozenset[date] = frozenset()

    def is_open(self, moment: datetime) -> bool:
        """Whether the session is running at an aware moment."""
        local = moment.astimezone(self.zone)
        return self.trades_on(local.date()) and self.opens <= local.time() < self.closes

    def close_after(self, moment: datetime) -> datetime:
        """The end of the session that is running, or of the next one: when a DAY order expires."""
        local = moment.astimezone(self.zone)
        day = local.date()
        if local.time() >= self.closes:
            day += timedelta(days=1)
        while not self.trades_on(day):
            day += timedelta(days=1)
        return datetime.combine(day, self.closes, tzinfo=self.zone)

    def trades_on(self, day: date) -> bool:
        """Whether there is a session on a day."""
        return day.weekday() in self.weekdays and day not in self.holidays


def moment_of(text: str) -> datetime:
    """The moment a TWS time text means.

    ``YYYYMMDD HH:MM:SS Zone``; ``YYYYMMDD-HH:MM:SS`` is UTC; without a zone it is New York; a bare day is
    its end. Raises ValueError for anything else.
    """
    if len(text) == 8:
        return datetime.combine(datetime.strptime(text, "%Y%m%d").date(), time.max, EASTERN)  # noqa: DTZ007
    if text[8:9] == "-":
        return datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    parts = text.split()
    if len(parts) not in {2, 3}:
        raise ValueError(f"{text!r} is not a TWS time")
    local = datetime.strptime(f"{parts[0]} {parts[1]}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007
    try:
        return local.replace(tzinfo=ZoneInfo(parts[2]) if len(parts) == 3 else EASTERN)
    except ZoneInfoNotFoundError as problem:
        raise ValueError(f"{parts[2]!r} is not a time zone") from problem
