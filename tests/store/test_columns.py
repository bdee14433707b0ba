"""Numbers come back digit for digit and instants in UTC, on both databases."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from tests.store.building import NOON, Tale

from oms.domain.reference import QuotedPrice
from oms.store import Store, tables
from oms.store.columns import storable

LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
DIGITS = "12345678901234567890.123456789012345678"


def numbers() -> st.SearchStrategy[Decimal]:
    """Every decimal the domain takes: at most 18 places and 38 digits."""
    return st.tuples(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(0, 18)).map(
        lambda parts: Decimal(f"{parts[0]}E-{parts[1]}")
    )


@LIGHT
@given(number=numbers())
def test_any_number_comes_back_digit_for_digit(store: Store, number: Decimal) -> None:
    row = {"instrument_id": "INS-1", "price": number, "as_of": NOON}
    with store.database.write() as connection:
        connection.execute(store.database.upsert(tables.prices), row)
        kept = connection.execute(select(tables.prices.c.price)).scalar_one()
    assert kept == number
    assert kept.as_tuple().exponent <= 0


@pytest.mark.parametrize("price", [DIGITS, "0.000000000000000001", "9" * 38, "1E+37"])
def test_the_longest_numbers_go_through_an_order(store: Store, price: str) -> None:
    tale = Tale(ordered_quantity=Decimal(DIGITS)).placed().filled(DIGITS, price).recorded(store)
    fill = store.orders.fills(tale.id)[0]
    assert (fill.quantity, fill.price) == (Decimal(DIGITS), Decimal(price))
    assert store.orders.get(tale.id) == tale.order
    assert store.holdings("PORT-001") == {"INS-AAPL": Decimal(DIGITS)}


@pytest.mark.parametrize(
    ("value", "error"),
    [(1.5, TypeError), (1, TypeError), (Decimal("1e-19"), ValueError), (Decimal("NaN"), ValueError)],
)
def test_what_cannot_be_kept_exactly_is_refused(store: Store, value: object, error: type[Exception]) -> None:
    row = {"instrument_id": "INS-1", "price": value, "as_of": NOON}
    with pytest.raises(Exception, match=r"Decimal|exactly") as caught, store.database.write() as connection:
        connection.execute(tables.prices.insert(), row)
    assert isinstance(getattr(caught.value, "orig", None) or caught.value, error)
    assert store.reference.prices() == {}


def test_an_instant_comes_back_in_utc(store: Store) -> None:
    tokyo = datetime(2026, 3, 2, 21, 0, 0, 123456, tzinfo=timezone(timedelta(hours=9)))
    store.reference.put_prices([QuotedPrice(instrument_id="INS-1", price=Decimal(1), as_of=tokyo)])
    kept = store.reference.prices()["INS-1"].as_of
    assert kept == tokyo
    assert kept.tzinfo is UTC


def test_an_instant_without_a_zone_is_refused(store: Store) -> None:
    naive = datetime(2026, 3, 2, 12, 0)  # noqa: DTZ001 - the point of the test
    unchecked = QuotedPrice.model_construct(instrument_id="INS-1", price=Decimal(1), as_of=naive)
    with pytest.raises(Exception, match="no time zone"):
        store.reference.put_prices([unchecked])


def test_storable_text() -> None:
    assert storable("a\x00b\ud800") == "a\\x00b\\ud800"
    assert storable("Zürich 東京") == "Zürich 東京"
    assert storable(None) is None
