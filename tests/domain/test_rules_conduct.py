"""Rules about what must not be traded, and how often: each at its limit and just above it."""

from typing import Any

import pytest

from oms.domain.rules.book import Line
from tests.domain.books import FUTURE, book, limit_order, line, order, recent, rule, said

NO_SHORTS = rule("short_sale_ban", {})
DUPLICATES = rule("duplicate_order", {"window_seconds": 60})
RATE = rule("message_rate", {"max_per_second": 3})
COLLAR = rule("price_collar", {"max_pct": "0.05"})


# -- what must not be traded -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "issuers", "passes"),
    [
        ({}, {}, True),
        ({"instrument_ids": ["INS-MSFT"]}, {"INS-MSFT": "Microsoft"}, True),
        ({"instrument_ids": ["INS-AAPL"]}, {}, False),
        ({"issuers": ["Apple Inc."]}, {}, False),
        ({"issuers": ["Microsoft"]}, {}, True),
        ({"instrument_ids": ["INS-AAPLB"]}, {"INS-AAPLB": "Apple Inc."}, False),
        ({"instrument_ids": ["INS-AAPLB"]}, {}, True),
    ],
)
def test_a_restricted_list_names_instruments_their_issuers_and_issuers(
    parameters: dict[str, Any], issuers: dict[str, str], passes: bool
) -> None:
    result = said(rule("restricted_list", parameters), book(issuers=issuers), order(price=None))
    assert result.passed is passes
    assert ("not restricted" in result.description) is passes


def test_the_issuer_of_a_restricted_instrument_that_is_held_is_known_from_there() -> None:
    restricted = rule("restricted_list", {"instrument_ids": ["INS-AAPLB"]})
    assert not said(restricted, book(line("AAPLB", "1")), order()).passed


def test_an_instrument_without_an_issuer_is_not_restricted_by_one() -> None:
    nameless = order(instrument=FUTURE.model_copy(update={"issuer": None}))
    assert said(rule("restricted_list", {"issuers": ["None"]}), book(), nameless).passed


@pytest.mark.parametrize(
    ("held", "direction", "quantity", "passes"),
    [
        (line("AAPL", "100"), "Sell", "100", True),
        (line("AAPL", "100"), "Sell", "101", False),
        (line("AAPL", "100", selling="60"), "Sell", "40", True),
        (line("AAPL", "100", selling="60"), "Sell", "41", False),
        (line("AAPL", "100", buying="50", selling="60"), "Sell", "41", False),
        (line("AAPL", "-100"), "Sell", "1", False),
        (line("MSFT", "100"), "Sell", "1", False),
        (line("AAPL", "100"), "SellShort", "1", False),
        (line("AAPL", "-100"), "BuyToCover", "500", True),
        (line("AAPL", "-100"), "Buy", "500", True),
    ],
)
def test_nothing_is_sold_that_is_not_held(held: Line, direction: str, quantity: str, passes: bool) -> None:
    assert said(NO_SHORTS, book(held), order(direction, quantity, price=None)).passed is passes


# -- how often ---------------------------------------------------------------------------------------------

OTHER = limit_order("10", order_id="ORD-0")


@pytest.mark.parametrize(
    ("seconds", "differs", "passes"),
    [
        (0, {}, False),
        (59.999999, {}, False),
        (60, {}, True),
        (-0.5, {}, False),
        (1, {"order_id": "ORD-1"}, True),
        (1, {"instrument_id": "INS-MSFT"}, True),
        (1, {"direction": "BuyToCover"}, True),
        (1, {"quantity": "99"}, True),
        (1, {"limit_price": "10.01"}, True),
        (1, {"limit_price": None}, True),
    ],
)
def test_the_same_order_twice_within_the_window_is_one_too_many(
    seconds: float, differs: dict[str, Any], passes: bool
) -> None:
    result = said(DUPLICATES, book(recent=[recent(seconds, OTHER, **differs)]), limit_order("10"))
    assert result.passed is passes
    assert ("ORD-0 is the same order" in result.description) is not passes


@pytest.mark.parametrize(
    ("ages", "passes"), [((0.1, 0.9), True), ((0.1, 0.5, 0.9), False), ((0.1, 0.5, 1.0), True), ((), True)]
)
def test_a_message_rate_counts_the_orders_of_the_last_second_and_this_one(
    ages: tuple[float, ...], passes: bool
) -> None:
    checked = [recent(age, order(order_id=f"ORD-X{n}")) for n, age in enumerate(ages)]
    result = said(RATE, book(recent=checked), order())
    assert result.passed is passes
    assert (result.limit, int(result.used or "") + 1) == ("3", int(result.proposed or ""))


def test_an_order_that_is_checked_again_is_one_order() -> None:
    again = [recent(age, order(order_id=order_id)) for age in (0.1, 0.2) for order_id in ("ORD-1", "ORD-2")]
    assert said(RATE, book(recent=again), order()).proposed == "2"


@pytest.mark.parametrize("limit", [DUPLICATES, RATE, COLLAR])
def test_a_trade_that_is_done_is_not_asked_how_it_was_ordered(limit: Any) -> None:
    trade = limit_order("99", executed=True)
    checked = [recent(0.1, trade, order_id=f"ORD-X{n}") for n in range(9)]
    result = said(limit, book(line("AAPL"), recent=checked), trade)
    assert (result.passed, "before they trade" in result.description) == (True, True)
