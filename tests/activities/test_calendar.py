"""Settlement dates at known days of the New York Stock Exchange and of London."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from oms.activities.calendar import CYCLE, CalendarActivities
from oms.domain.drafting import nanoseconds
from oms.domain.settlement import SettlementDate
from oms.domain.terms import SecType
from tests.domain.orders import AAPL, Desk

FRIDAY = datetime(2026, 1, 9, 15, 0, tzinfo=UTC)


def settles(at: datetime, calendar: CalendarActivities | None = None, **terms: Any) -> SettlementDate:
    """When an order settles that was executed at `at`."""
    instrument = AAPL.model_copy(update=terms)
    desk = Desk(instrument=instrument).fill(ts_event_ns=nanoseconds(at))
    answer: SettlementDate = ActivityEnvironment().run(
        (calendar or CalendarActivities()).settlement_date, desk.order
    )
    return answer


@pytest.mark.parametrize(
    ("executed", "traded", "settled"),
    [
        pytest.param(FRIDAY, date(2026, 1, 9), date(2026, 1, 12), id="Friday settles on Monday"),
        pytest.param(
            datetime(2026, 11, 25, 15, 0, tzinfo=UTC),
            date(2026, 11, 25),
            date(2026, 11, 27),
            id="Thanksgiving",
        ),
        pytest.param(
            datetime(2026, 12, 31, 15, 0, tzinfo=UTC), date(2026, 12, 31), date(2027, 1, 4), id="year end"
        ),
        pytest.param(
            datetime(2026, 1, 11, 15, 0, tzinfo=UTC), date(2026, 1, 12), date(2026, 1, 13), id="Sunday"
        ),
        pytest.param(
            datetime(2026, 6, 18, 15, 0, tzinfo=UTC), date(2026, 6, 18), date(2026, 6, 22), id="Juneteenth"
        ),
        pytest.param(
            datetime(2026, 6, 19, 15, 0, tzinfo=UTC), date(2026, 6, 22), date(2026, 6, 23), id="on Juneteenth"
        ),
    ],
)
def test_stocks_settle_one_session_later(executed: datetime, traded: date, settled: date) -> None:
    answer = settles(executed)
    assert (answer.trade_date, answer.settlement_date) == (traded, settled)
    assert any("T+1" in reason for reason in answer.reasons)


def test_the_day_is_that_of_the_exchange() -> None:
    """01:00 UTC on Saturday is still Friday evening in New York."""
    assert settles(datetime(2026, 1, 10, 1, 0, tzinfo=UTC)).trade_date == date(2026, 1, 9)


def test_the_instant_is_the_close_of_the_settlement_session() -> None:
    assert settles(FRIDAY).settles_at == datetime(2026, 1, 12, 21, 0, tzinfo=UTC)
    early_close = settles(datetime(2026, 11, 25, 15, 0, tzinfo=UTC))
    assert early_close.settles_at == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)


def test_a_trade_on_no_session_says_why_its_date_moved() -> None:
    answer = settles(datetime(2026, 1, 11, 15, 0, tzinfo=UTC))
    assert any("no XNYS session on that day" in reason for reason in answer.reasons)


def test_an_instrument_settles_by_its_own_exchange() -> None:
    """2026-05-04 is the early May bank holiday in London, and a session in New York."""
    thursday = datetime(2026, 5, 1, 15, 0, tzinfo=UTC)
    assert settles(thursday, mic="XLON").settlement_date == date(2026, 5, 5)
    assert settles(thursday).settlement_date == date(2026, 5, 4)


@pytest.mark.parametrize("sec_type", SecType)
def test_every_security_type_has_a_cycle(sec_type: SecType) -> None:
    assert CYCLE[sec_type][0] in (1, 2)


def test_foreign_exchange_settles_two_sessions_later() -> None:
    assert settles(FRIDAY, sec_type=SecType.CASH).settlement_date == date(2026, 1, 13)


def test_an_unknown_exchange_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match="no session calendar for exchange XXXX"):
        settles(FRIDAY, mic="XXXX")


def test_the_fast_clock_moves_the_instant_and_not_the_date() -> None:
    before = datetime.now(UTC)
    answer = settles(FRIDAY, CalendarActivities(2.5))
    assert answer.settlement_date == date(2026, 1, 12)
    assert before < answer.settles_at - timedelta(seconds=2.4) < datetime.now(UTC) + timedelta(seconds=0.1)
    assert any("fast settlement clock" in reason for reason in answer.reasons)


def test_twice_is_the_same_date() -> None:
    assert settles(FRIDAY) == settles(FRIDAY)
