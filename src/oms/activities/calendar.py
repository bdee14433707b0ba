"""Settlement dates from exchange sessions. Calendars change with the library, so the answer is kept in history."""

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from temporalio import activity

from oms.domain.order import Order
from oms.domain.settlement import SettlementDate
from oms.domain.terms import SecType

# How the library computes holidays is no news to who runs an order book.
warnings.filterwarnings("ignore", message="Non-vectorized DateOffset")
DEFAULT_MIC = "XNYS"
CYCLE: dict[SecType, tuple[int, str]] = {
    SecType.STOCK: (1, "stocks settle T+1 (SEC rule 15c6-1, since 2024-05-28)"),
    SecType.OPTION: (1, "options settle T+1 (Options Clearing Corporation)"),
    SecType.FUTURE: (1, "futures settle their variation margin on the next session"),
    SecType.CASH: (2, "spot foreign exchange settles T+2"),
}
"""Sessions from trade to settlement, and why."""


@lru_cache(maxsize=8)
def exchange_calendar(mic: str) -> Any:
    """The sessions of an exchange, by its market identifier code (ISO 10383). Unknown ones raise ValueError."""
    import exchange_calendars

    try:
        return exchange_calendars.get_calendar(mic)
    except exchange_calendars.errors.InvalidCalendarName as error:
        raise ValueError(f"no session calendar for exchange {mic}") from error


def settlement_sessions(trade_day: date, mic: str, sessions: int) -> tuple[date, date, datetime]:
    """Trade date (moved to a session if it is none), settlement date `sessions` later, and that session's close."""
    calendar = exchange_calendar(mic)
    traded = calendar.date_to_session(trade_day.isoformat(), direction="next")
    settled = calendar.session_offset(traded, sessions)
    close = calendar.session_close(settled).to_pydatetime().astimezone(UTC)
    return traded.date(), settled.date(), close


@dataclass(frozen=True)
class CalendarActivities:
    """`fast_seconds`: for demonstrations, settle that many seconds from now in place of the real instant."""

    fast_seconds: float | None = None

    @activity.defn(name="settlement_date")
    def settlement_date(self, order: Order) -> SettlementDate:
        """When the order settles, from its last execution. Reads only: twice gives the same date."""
        executions = order.ledger.executions.values()
        last_ns = max((e.ts_event_ns for e in executions), default=0)
        mic = order.instrument.mic or DEFAULT_MIC
        zone = ZoneInfo(str(exchange_calendar(mic).tz))
        executed_on = datetime.fromtimestamp(last_ns / 1e9, UTC).astimezone(zone).date()
        sessions, why = CYCLE[order.instrument.sec_type]
        traded, settled, close = settlement_sessions(executed_on, mic, sessions)
        reasons = [f"last execution on {executed_on.isoformat()} in {zone.key}"]
        if traded != executed_on:
            reasons.append(f"no {mic} session on that day, so the trade date is {traded.isoformat()}")
        reasons += [why, f"{settled.isoformat()} is {sessions} {mic} session(s) after the trade date"]
        if self.fast_seconds is not None:
            close = datetime.now(UTC) + timedelta(seconds=self.fast_seconds)
            reasons.append(f"fast settlement clock: due {self.fast_seconds:g} s after confirmation")
        return SettlementDate(
            trade_date=traded, settlement_date=settled, settles_at=close, reasons=tuple(reasons)
        )
