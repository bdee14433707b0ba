"""Trading hours of the paper market."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

EASTERN = ZoneInfo("America/New_York")


@dataclass(frozen=True, slots=True)
class TradingHours:
    """One session a day, in the exchange's own time, with extended hours around it.

    ``weekdays`` counts Monday as 0. The session is open from ``opens`` (included) to ``closes`` (excluded), the
    extended one from ``early`` to ``late``.
    """

    opens: time = time(9, 30)
    closes: time = time(16, 0)
    early: time = time(4, 0)
    late: time = time(20, 0)
    zone: ZoneInfo = EASTERN
    weekdays: frozenset[int] = frozenset(range(5))
    holidays: frozenset[date] = frozenset()

    def is_open(self, moment: datetime, *, extended: bool = False) -> bool:
        """Whether the session is running at an aware moment."""
        local = moment.astimezone(self.zone)
        opens, closes = self.bounds(extended=extended)
        return self.trades_on(local.date()) and opens <= local.time() < closes

    def close_after(self, moment: datetime, *, extended: bool = False) -> datetime:
        """The end of the session that is running, or of the next one: when a DAY order expires."""
        local = moment.astimezone(self.zone)
        _, closes = self.bounds(extended=extended)
        day = local.date()
        if local.time() >= closes:
            day += timedelta(days=1)
        while not self.trades_on(day):
            day += timedelta(days=1)
        return datetime.combine(day, closes, tzinfo=self.zone)

    def bounds(self, *, extended: bool) -> tuple[time, time]:
        """From when (included) to when (excluded) a day's session runs."""
        return (self.early, self.late) if extended else (self.opens, self.closes)

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
    except (ZoneInfoNotFoundError, OSError) as problem:  # a folder of zones is no zone
        raise ValueError(f"{parts[2]!r} is not a time zone") from problem
