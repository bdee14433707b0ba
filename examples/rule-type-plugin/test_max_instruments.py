"""What the rule says at its limit and above it."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from oms.domain.reference import Instrument
from oms.domain.rules.book import Book, Line, Proposal
from oms.domain.rules.engine import breaches, evaluate, headroom
from oms.domain.rules.registry import check_parameters
from oms.domain.rules.rule import Rule
from oms.domain.terms import Direction, OrderType

NOW = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def instrument(symbol: str) -> Instrument:
    return Instrument(instrument_id=f"INS-{symbol}", symbol=symbol)


def book(**positions: int) -> Book:
    return Book(
        portfolio_id="PORT-001",
        base_currency="USD",
        net_asset_value=Decimal(1_000_000),
        lines={
            f"INS-{symbol}": Line(instrument=instrument(symbol), position=Decimal(position))
            for symbol, position in positions.items()
        },
        at=NOW,
    )


def buy(symbol: str) -> Proposal:
    return Proposal(
        order_id="ORD-1",
        instrument=instrument(symbol),
        direction=Direction.BUY,
        quantity=Decimal(100),
        order_type=OrderType.MARKET,
    )


RULE = Rule(
    rule_id="RUL-1",
    rule_type="max_instruments",
    name="Two names",
    parameters={"max_count": 2},
    created_by="compliance",
    created_at=NOW,
)


@pytest.mark.parametrize(
    ("held", "symbol", "passes"),
    [
        ({"AAPL": 100}, "MSFT", True),
        ({"AAPL": 100, "MSFT": -100}, "NVDA", False),
        ({"AAPL": 100, "MSFT": -100}, "AAPL", True),
        ({"AAPL": 100, "MSFT": 0}, "NVDA", True),
        ({"AAPL": 100, "MSFT": 100, "NVDA": 100}, "AAPL", True),
    ],
)
def test_a_new_instrument_needs_room(held: dict[str, int], symbol: str, passes: bool) -> None:
    (result,) = evaluate([RULE], book(**held), buy(symbol))
    assert result.passed is passes


def test_the_room_that_is_left_and_a_limit_that_is_over() -> None:
    room = headroom(RULE, book(AAPL=100))
    assert room is not None
    assert (room.current_value, room.limit_value, room.headroom) == (1, 2, 1)
    assert breaches([RULE], book(AAPL=100, MSFT=100)) == ()
    assert len(breaches([RULE], book(AAPL=100, MSFT=100, NVDA=100))) == 1


def test_its_parameters_are_read() -> None:
    assert check_parameters("max_instruments", {"max_count": "7"}).model_dump() == {"max_count": 7}
