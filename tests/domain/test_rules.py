"""Each rule type at its limit, one above it, with orders in flight, and without what it needs to know."""

from typing import Any

import pytest

from oms.domain.errors import Code, Refused
from oms.domain.rules.book import Book, Line, Proposal
from oms.domain.rules.engine import commit, headroom
from oms.domain.rules.registry import BUILT_IN
from tests.domain.books import MICROSOFT, book, limit_order, line, numbers, order, rule, said

CONCENTRATION = rule("concentration_limit", {"max_pct": "0.05"})
BY_ISSUER = rule("concentration_limit", {"max_pct": "0.05", "scope": "issuer"})
POSITION = rule("max_position", {"max_quantity": "500"})
GROSS = rule("gross_exposure", {"max_notional": "5000"})
NET = rule("net_exposure", {"max_notional": "5000"})
COLLAR = rule("price_collar", {"max_pct": "0.05"})
TURNOVER = rule("max_daily_turnover", {"max_notional": "10000"})


# -- one order by itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["Buy", "Sell", "SellShort", "BuyToCover"])
@pytest.mark.parametrize(("quantity", "passes"), [("100", True), ("101", False), ("100.000000000001", False)])
def test_max_order_quantity(direction: str, quantity: str, passes: bool) -> None:
    result = said(
        rule("max_order_quantity", {"max_quantity": "100"}), book(), order(direction, quantity, price=None)
    )
    assert result.passed is passes
    assert numbers(result)[:3] == (100, 0, numbers(result)[2])
    assert result.inputs == {"quantity": quantity}


@pytest.mark.parametrize("direction", ["Buy", "Sell"])
@pytest.mark.parametrize(("price", "passes"), [("10", True), ("10.01", False)])
def test_max_order_notional_looks_at_the_size_whichever_way_it_goes(
    direction: str, price: str, passes: bool
) -> None:
    result = said(
        rule("max_order_notional", {"max_notional": "1000"}), book(), order(direction, "100", price=price)
    )
    assert (result.passed, result.limit) == (passes, "1000")


def test_max_order_notional_is_money_of_the_portfolio() -> None:
    """100 SAP at 10 EUR are 1100 USD, and a future counts with its multiplier."""
    notional = rule("max_order_notional", {"max_notional": "1000"})
    in_euro = said(notional, book(rates={"EUR": "1.1"}), order(symbol="SAP"))
    assert numbers(in_euro) == (1000, 0, 1100, -100)
    assert in_euro.inputs == {"quantity": "100", "price": "10", "multiplier": "1", "rate": "1.1"}
    assert numbers(said(notional, book(), order(quantity="2", symbol="ES"))) == (1000, 0, 1000, 0)
    assert not said(notional, book(), order(quantity="2", symbol="ES", price="10.01")).passed


@pytest.mark.parametrize(
    ("price", "passes"), [("10.5", True), ("10.51", False), ("9.5", True), ("9.49", False), ("10", True)]
)
def test_a_price_collar_looks_both_ways(price: str, passes: bool) -> None:
    result = said(COLLAR, book(line("AAPL")), limit_order(price))
    assert result.passed is passes
    assert result.inputs == {"last_price": "10", "limit_price": price}


def test_a_price_collar_looks_at_the_price_that_is_farthest_away() -> None:
    stop = order(order_type="StopLimit", limit_price="10.1", stop_price="11")
    result = said(COLLAR, book(line("AAPL")), stop)
    assert (result.passed, result.proposed, result.remaining) == (False, "0.1", "-0.05")
    assert "the stop price 11" in result.description
    assert said(COLLAR, book(line("AAPL")), order(order_type="Stop", stop_price="10.5")).passed


def test_a_market_order_names_no_price_that_could_be_too_far_away() -> None:
    result = said(COLLAR, book(), order())
    assert (result.passed, result.description) == (True, "the order names no price")


@pytest.mark.parametrize("held", [book(), book(line("AAPL", price=None))])
def test_a_price_collar_without_a_last_price_does_not_open(held: Book) -> None:
    result = said(COLLAR, held, limit_order("10"))
    assert (result.passed, result.description) == (False, "no price for AAPL to compare with")


# -- one thing in the portfolio ----------------------------------------------------------------------------

SIZES = [
    ("0", "Buy", "500", True),
    ("0", "Buy", "501", False),
    ("400", "Buy", "100", True),
    ("400", "Buy", "101", False),
    ("0", "SellShort", "501", False),
    ("-400", "SellShort", "101", False),
    ("-600", "BuyToCover", "100", True),
    ("-600", "SellShort", "1", False),
    ("600", "Sell", "100", True),
    ("700", "Sell", "100", True),
    ("600", "Sell", "1100", True),
    ("600", "Sell", "1200", False),
    ("600", "Sell", "1300", False),
]
IN_FLIGHT = [
    (line("AAPL", "0", buying="400"), "Buy", "100", True),
    (line("AAPL", "0", buying="400"), "Buy", "101", False),
    (line("AAPL", "300", buying="100"), "Buy", "101", False),
    (line("AAPL", "300", selling="300"), "Buy", "201", False),
    (line("AAPL", "0", selling="400"), "SellShort", "100", True),
    (line("AAPL", "0", selling="400"), "SellShort", "101", False),
    (line("AAPL", "0", buying="300", selling="400"), "SellShort", "101", False),
    (line("AAPL", "600", buying="100"), "Sell", "600", True),
]


@pytest.mark.parametrize("limit", [POSITION, CONCENTRATION, BY_ISSUER, GROSS, NET])
@pytest.mark.parametrize(("position", "direction", "quantity", "passes"), SIZES)
def test_a_limit_looks_at_the_position_after_the_trade_long_or_short(
    limit: Any, position: str, direction: str, quantity: str, passes: bool
) -> None:
    """500 shares at 10 are 5000, or 5 % of 100000. What makes the position smaller passes even above the limit."""
    assert said(limit, book(line("AAPL", position)), order(direction, quantity)).passed is passes


@pytest.mark.parametrize("limit", [POSITION, CONCENTRATION, BY_ISSUER, GROSS, NET])
@pytest.mark.parametrize(("held", "direction", "quantity", "passes"), IN_FLIGHT)
def test_what_is_in_flight_counts_and_the_other_side_never_helps(
    limit: Any, held: Line, direction: str, quantity: str, passes: bool
) -> None:
    assert said(limit, book(held), order(direction, quantity)).passed is passes


def test_max_position_needs_no_price_and_names_its_numbers() -> None:
    result = said(
        POSITION, book(line("AAPL", "100", "200", "50", price=None)), order(quantity="250", price=None)
    )
    assert numbers(result) == (500, 300, 550, -50)
    assert result.inputs == {"position": "100", "buying": "200", "selling": "50", "quantity": "250"}
    assert result.description == "AAPL could be 550 long, the limit is 500"


def test_concentration_gives_its_numbers_as_fractions() -> None:
    result = said(CONCENTRATION, book(line("AAPL", "300")), order())
    assert (result.limit, result.used, result.proposed, result.remaining) == ("0.05", "0.03", "0.04", "0.01")
    assert result.inputs == {
        "position": "300",
        "buying": "0",
        "selling": "0",
        "quantity": "100",
        "price": "10",
        "multiplier": "1",
        "rate": "1",
        "last_price": "10",
        "value": "4000",
        "net_asset_value": "100000",
        "single_name": "INS-AAPL",
    }


def test_a_limit_is_exceeded_by_the_smallest_amount() -> None:
    result = said(CONCENTRATION, book(), order(quantity="500.00000000000001"))
    assert (result.proposed, result.passed) == ("0.05", False)


@pytest.mark.parametrize(
    ("scope", "held", "passes"),
    [
        ("single_name", line("AAPLB", "450"), True),
        ("issuer", line("AAPLB", "400"), True),
        ("issuer", line("AAPLB", "401"), False),
        ("issuer", line("AAPLB", "0", buying="401"), False),
        ("issuer", line("MSFT", "450"), True),
        ("sector", line("MSFT", "400"), True),
        ("sector", line("MSFT", "401"), False),
        ("sector", line("AAPLB", "450"), True),
        ("country", line("AAPLB", "401"), False),
        ("country", line("SAP", "450"), True),
        ("issuer", line("AAPLB", "-900"), True),
    ],
)
def test_concentration_adds_up_what_belongs_together(scope: str, held: Line, passes: bool) -> None:
    limit = rule("concentration_limit", {"max_pct": "0.05", "scope": scope})
    assert said(limit, book(held, rates={"EUR": "1"}), order()).passed is passes


def test_an_order_that_adds_nothing_to_its_side_of_a_group_passes() -> None:
    """The issuer is over its limit by its bond; covering the short in its share does not add to it."""
    held = book(line("AAPLB", "600"), line("AAPL", "-200"))
    assert said(BY_ISSUER, held, order("BuyToCover", "200")).passed
    assert not said(BY_ISSUER, held, order("BuyToCover", "201")).passed


def test_what_is_held_counts_at_the_last_price_and_the_order_at_its_own() -> None:
    held = book(line("AAPL", "300", price="10"))
    assert numbers(said(CONCENTRATION, held, limit_order("1", quantity="100")))[2] * 100000 == 3100
    assert numbers(said(CONCENTRATION, held, limit_order("20", quantity="100")))[2] * 100000 == 5000
    assert not said(CONCENTRATION, held, limit_order("20.01", quantity="100")).passed
    short = book(line("AAPL", "-100", price="10"))
    assert numbers(said(CONCENTRATION, short, limit_order("20", quantity="150")))[2] * 100000 == 1000


@pytest.mark.parametrize("scope", ["issuer", "sector", "country"])
def test_an_instrument_that_belongs_to_nothing_known_does_not_open(scope: str) -> None:
    nameless = order(instrument=MICROSOFT.model_copy(update={scope: None}))
    result = said(rule("concentration_limit", {"max_pct": "0.05", "scope": scope}), book(), nameless)
    assert (result.passed, result.description) == (False, f"no {scope} for MSFT")


# -- the whole portfolio -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "quantity", "passes"),
    [(GROSS, "100", True), (GROSS, "101", False), (NET, "500", True), (NET, "501", False)],
)
def test_gross_adds_what_net_sets_off(limit: Any, quantity: str, passes: bool) -> None:
    """200 long and 200 short: 4000 gross, 0 net."""
    held = book(line("AAPL", "200"), line("MSFT", "-200"))
    assert said(limit, held, order(quantity=quantity)).passed is passes


@pytest.mark.parametrize("limit", [GROSS, NET])
def test_exposure_is_money_of_the_portfolio(limit: Any) -> None:
    held = book(line("SAP", "100"), line("ES", "4"), rates={"EUR": "1.1"})
    assert numbers(said(limit, held, order(quantity="190"))) == (5000, 3100, 5000, 0)
    assert not said(limit, held, order(quantity="190.0001")).passed


def test_buys_in_flight_elsewhere_count_for_net_and_sells_do_not_help() -> None:
    held = book(line("MSFT", "100", buying="300", selling="900"))
    assert said(NET, held, order(quantity="100")).passed
    assert not said(NET, held, order(quantity="101")).passed
    assert not said(NET, held, order("SellShort", "1")).passed


@pytest.mark.parametrize("limit", [GROSS, NET])
def test_an_order_that_leads_back_passes_above_the_limit(limit: Any) -> None:
    assert said(limit, book(line("AAPL", "900")), order("Sell", "100")).passed
    assert said(limit, book(line("AAPL", "-900")), order("BuyToCover", "100")).passed
    assert not said(limit, book(line("AAPL", "900")), order("Buy", "1")).passed


def test_a_turnover_that_cannot_be_valued_passes_nothing() -> None:
    unknown = book(line("AAPL", "5000"), turnover=None)
    result = said(TURNOVER, unknown, order())
    assert not result.passed
    assert "cannot be valued" in result.description
    with pytest.raises(Refused) as refused:
        headroom(TURNOVER, unknown)
    assert refused.value.code is Code.NOT_COMPUTABLE
    assert commit(unknown, order()).turnover is None


@pytest.mark.parametrize(
    ("traded", "quantity", "passes"), [("9000", "100", True), ("9000", "100.1", False), ("0", "1000", True)]
)
@pytest.mark.parametrize("direction", ["Buy", "Sell"])
def test_turnover_grows_whichever_way_an_order_goes(
    traded: str, direction: str, quantity: str, passes: bool
) -> None:
    result = said(TURNOVER, book(line("AAPL", "5000"), turnover=traded), order(direction, quantity))
    assert result.passed is passes
    assert (result.used, result.inputs["turnover"]) == (traded, traded)


# -- what is not known -------------------------------------------------------------------------------------

OF_MONEY = [rule("max_order_notional", {"max_notional": "1000"}), CONCENTRATION, GROSS, NET, TURNOVER]


@pytest.mark.parametrize("limit", OF_MONEY, ids=lambda each: each.rule_type)
def test_without_a_price_a_rule_about_money_does_not_open(limit: Any) -> None:
    result = said(limit, book(), order(price=None))
    assert (result.passed, result.description) == (False, "no price for AAPL")


@pytest.mark.parametrize("limit", OF_MONEY, ids=lambda each: each.rule_type)
def test_without_a_rate_a_rule_about_money_does_not_open(limit: Any) -> None:
    result = said(limit, book(), order(symbol="SAP"))
    assert (result.passed, result.description) == (False, "no rate from EUR to USD")


@pytest.mark.parametrize(
    "limit", [GROSS, NET, rule("concentration_limit", {"max_pct": "1", "scope": "sector"})]
)
def test_a_position_without_a_price_keeps_a_limit_over_several_closed(limit: Any) -> None:
    assert said(limit, book(line("MSFT", "1", price=None)), order()).description == "no price for MSFT"
    assert said(limit, book(line("MSFT", "0", price=None)), order()).passed
    assert said(CONCENTRATION, book(line("MSFT", "1", price=None)), order()).passed


def test_an_own_position_without_a_price_counts_at_the_orders_own() -> None:
    result = said(GROSS, book(line("AAPL", "100", price=None)), limit_order("20"))
    assert numbers(result) == (5000, 2000, 4000, 1000)


@pytest.mark.parametrize("nav", ["0", "-5"])
def test_without_net_asset_value_a_concentration_limit_does_not_open(nav: str) -> None:
    result = said(CONCENTRATION, book(net_asset_value=nav), order(quantity="1"))
    assert (result.passed, result.description) == (False, "the portfolio has no net asset value")


# -- all of them -------------------------------------------------------------------------------------------

PARAMETERS: dict[str, dict[str, Any]] = {
    "concentration_limit": {"max_pct": "1"},
    "max_order_quantity": {"max_quantity": "1e9"},
    "max_order_notional": {"max_notional": "1e9"},
    "max_position": {"max_quantity": "1e9"},
    "gross_exposure": {"max_notional": "1e9"},
    "net_exposure": {"max_notional": "1e9"},
    "price_collar": {"max_pct": "1"},
    "duplicate_order": {"window_seconds": 1},
    "message_rate": {"max_per_second": 1},
    "max_daily_turnover": {"max_notional": "1e9"},
}


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
def test_every_type_passes_an_order_far_below_its_limit(kind: Any) -> None:
    result = said(rule(kind.name, PARAMETERS.get(kind.name, {}), version=7), book(line("AAPL")), order())
    assert (result.passed, result.rule_id, result.rule_type, result.rule_version) == (
        True,
        "R-1",
        kind.name,
        7,
    )


@pytest.mark.parametrize("kind", BUILT_IN, ids=lambda kind: kind.name)
@pytest.mark.parametrize("proposal", [order("Buy"), order("Sell", price=None)])
def test_every_limit_names_all_its_numbers(kind: Any, proposal: Proposal) -> None:
    result = said(rule(kind.name, PARAMETERS.get(kind.name, {})), book(line("AAPL", "5")), proposal)
    if result.limit is not None:
        limit, _, proposed, remaining = numbers(result)
        assert remaining == limit - proposed
