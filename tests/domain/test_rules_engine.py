"""The engine: what it says of many rules, of several orders together, and of a portfolio without any order."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms.domain.errors import Code, Refused
from oms.domain.rules.book import Book, Line, Proposal
from oms.domain.rules.engine import Headroom, Needs, breaches, commit, evaluate, headroom, needs
from oms.domain.rules.registry import BUILT_IN
from oms.domain.rules.rule import Rule
from tests.domain.books import EVERY, book, limit_order, line, order, rule, said

LIMITS = (
    rule("concentration_limit", {"max_pct": "0.05"}, rule_id="R-name"),
    rule("concentration_limit", {"max_pct": "0.08", "scope": "issuer"}, rule_id="R-issuer"),
    rule("concentration_limit", {"max_pct": "0.1", "scope": "sector"}, rule_id="R-sector"),
    rule("max_order_notional", {"max_notional": "3000"}, rule_id="R-notional"),
    rule("max_position", {"max_quantity": "400"}, rule_id="R-position"),
    rule("gross_exposure", {"max_notional": "12000"}, rule_id="R-gross"),
    rule("net_exposure", {"max_notional": "6000"}, rule_id="R-net"),
    rule("short_sale_ban", {}, rule_id="R-shorts"),
    rule("duplicate_order", {"window_seconds": 5}, rule_id="R-twice"),
    rule("message_rate", {"max_per_second": 3}, rule_id="R-rate"),
    rule("max_daily_turnover", {"max_notional": "9000"}, rule_id="R-turnover"),
)


def passed(results: Any) -> dict[str, bool]:
    return {result.rule_id: result.passed for result in results}


# -- evaluate ----------------------------------------------------------------------------------------------


def test_every_active_rule_says_something_in_the_order_given() -> None:
    asleep = rule("short_sale_ban", {}, rule_id="R-asleep", active=False)
    results = evaluate([*LIMITS, asleep], book(), order())
    assert [result.rule_id for result in results] == [each.rule_id for each in LIMITS]


@pytest.mark.parametrize(
    "unreadable", [rule("no_such_rule", {}), rule("max_order_notional", {"max_notional": "a lot"})]
)
def test_a_rule_that_nobody_can_read_does_not_open(unreadable: Rule) -> None:
    result = said(unreadable, book(), order())
    assert not result.passed
    assert "cannot be read" in result.description
    assert needs([unreadable]) == Needs()


def test_parameters_are_read_again_when_they_change() -> None:
    """The engine remembers what it read under a rule's id; another content under it is another rule."""
    small, large = (rule("max_order_notional", {"max_notional": limit}) for limit in ("10", "10000"))
    results = [said(each, book(), order()).passed for each in (small, large, small, large)]
    assert results == [False, True, False, True]
    assert said(rule("short_sale_ban", {}), book(), order()).passed


# -- commit ------------------------------------------------------------------------------------------------


def test_a_committed_order_is_in_flight_and_changes_nothing_else() -> None:
    before = book(line("AAPL", "100"))
    after = commit(before, limit_order("12", quantity="50"))
    assert after.lines["INS-AAPL"] == line("AAPL", "100", buying="50")
    assert (after.turnover, [each.order_id for each in after.recent]) == (600, ["ORD-1"])
    assert before == book(line("AAPL", "100"))
    assert commit(after, order("Sell", "20", price=None)).lines["INS-AAPL"].selling == 20
    assert commit(after, order("Sell", "20", price=None)).turnover == 600


def test_a_committed_order_is_counted_although_the_book_was_computed_before() -> None:
    gross = rule("gross_exposure", {"max_notional": "1500"})
    empty = book(line("MSFT", "1"))
    assert said(gross, empty, order()).passed
    assert not said(gross, commit(empty, order()), order(symbol="AAPLB")).passed
    assert not said(
        gross, empty.model_copy(update={"lines": {"INS-MSFT": line("MSFT", "51")}}), order()
    ).passed


def test_an_order_gives_a_price_to_what_it_opens_and_to_nothing_that_was_there() -> None:
    assert commit(book(), limit_order("12")).lines["INS-AAPL"].price == 12
    assert commit(book(line("AAPL", price=None)), limit_order("12")).lines["INS-AAPL"].price == 12
    assert commit(book(line("AAPL", "1", price=None)), limit_order("12")).lines["INS-AAPL"].price is None
    assert commit(book(line("AAPL", "1")), limit_order("12")).lines["INS-AAPL"].price == 10


def test_two_orders_together_meet_a_limit_that_each_alone_keeps() -> None:
    position = rule("max_position", {"max_quantity": "100"})
    one, other = order(quantity="60"), order(quantity="60", order_id="ORD-2")
    assert said(position, book(), one).passed
    assert said(position, book(), other).passed
    assert not said(position, commit(book(), one), other).passed


# -- whatever the portfolio --------------------------------------------------------------------------------

UNITS = st.sampled_from([Decimal(n) for n in (0, 1, 50, 99, 100, 101, 200, 400, 401, 900)])
PRICES = st.sampled_from([None, Decimal(1), Decimal(10), Decimal("10.01"), Decimal(25)])


@st.composite
def lines(draw: st.DrawFn) -> list[Line]:
    symbols = draw(st.lists(st.sampled_from(sorted(EVERY)), unique=True, max_size=4))
    return [
        Line(
            instrument=EVERY[symbol],
            position=draw(UNITS) * draw(st.sampled_from([1, -1])),
            buying=draw(UNITS),
            selling=draw(UNITS),
            price=draw(PRICES),
        )
        for symbol in symbols
    ]


@st.composite
def orders(draw: st.DrawFn, order_id: str = "ORD-1") -> Proposal:
    price = draw(PRICES)
    return order(
        draw(st.sampled_from(["Buy", "Sell", "SellShort", "BuyToCover"])),
        str(draw(UNITS.filter(bool))),
        draw(st.sampled_from(sorted(EVERY))),
        price=price,
        limit_price=draw(st.sampled_from([None, price])),
        order_id=order_id,
    )


RATES = {"EUR": "1.1"}


@settings(max_examples=400, deadline=None)
@given(lines(), orders("ORD-2"), orders())
def test_more_in_flight_never_passes_what_failed(held: list[Line], first: Proposal, second: Proposal) -> None:
    """Whatever is in flight, a rule that refuses an order refuses it with another order in flight as well."""
    before = book(*held, rates=RATES)
    alone, after = (passed(evaluate(LIMITS, each, second)) for each in (before, commit(before, first)))
    assert [name for name, passes in after.items() if passes and not alone[name]] == []


@settings(max_examples=400, deadline=None)
@given(lines(), st.lists(orders(), min_size=1, max_size=4))
def test_several_together_are_one_after_the_other(held: list[Line], asked: list[Proposal]) -> None:
    """What is in flight after several orders is their sum, whichever order they came in."""
    named = [each.model_copy(update={"order_id": f"ORD-{n}"}) for n, each in enumerate(asked)]
    forwards = backwards = book(*held, rates=RATES)
    for one, other in zip(named, reversed(named), strict=True):
        forwards, backwards = commit(forwards, one), commit(backwards, other)
    assert forwards.turnover == backwards.turnover
    for each in forwards.lines:
        assert forwards.lines[each].buying == backwards.lines[each].buying
        assert forwards.lines[each].selling == backwards.lines[each].selling
    fresh = Book.model_validate(forwards.model_dump())
    last = named[0].model_copy(update={"order_id": "ORD-LAST"})
    assert evaluate(LIMITS, forwards, last) == evaluate(LIMITS, fresh, last)


@settings(max_examples=300, deadline=None)
@given(lines(), orders())
def test_what_passes_leaves_no_more_than_the_limit_on_its_side(held: list[Line], asked: Proposal) -> None:
    """An order that passes keeps the limit, or adds nothing to what is over it."""
    for result in evaluate(LIMITS, book(*held, rates=RATES), asked):
        if result.passed and result.limit is not None and result.rule_id not in ("R-gross", "R-shorts"):
            within = Decimal(result.proposed or "") <= Decimal(result.limit)
            assert within or Decimal(result.proposed or "") <= Decimal(result.used or "")


# -- headroom ----------------------------------------------------------------------------------------------

HELD = book(
    line("AAPL", "200", buying="100"),
    line("AAPLB", "100"),
    line("MSFT", "-250", selling="50"),
    turnover="4000",
)


@pytest.mark.parametrize(
    ("rule_type", "parameters", "current", "limit"),
    [
        ("concentration_limit", {"max_pct": "0.05"}, 3000, 5000),
        ("concentration_limit", {"max_pct": "0.05", "scope": "issuer"}, 4000, 5000),
        ("concentration_limit", {"max_pct": "0.05", "scope": "sector"}, 3000, 5000),
        ("concentration_limit", {"max_pct": "0.05", "scope": "country"}, 4000, 5000),
        ("max_position", {"max_quantity": "1000"}, 300, 1000),
        ("gross_exposure", {"max_notional": "10000"}, 7000, 10000),
        ("net_exposure", {"max_notional": "10000"}, 1500, 10000),
        ("max_daily_turnover", {"max_notional": "5000"}, 4000, 5000),
        ("max_order_quantity", {"max_quantity": "10"}, 0, 10),
        ("max_order_notional", {"max_notional": "10"}, 0, 10),
        ("message_rate", {"max_per_second": 4}, 0, 4),
    ],
)
def test_headroom_is_the_limit_less_what_is_used(
    rule_type: str, parameters: dict[str, Any], current: int, limit: int
) -> None:
    room = headroom(rule(rule_type, parameters), HELD)
    assert room is not None
    assert (room.current_value, room.limit_value) == (current, limit)
    assert room.headroom == limit - current
    assert room.headroom_pct * limit == limit - current


def test_headroom_as_it_is_documented() -> None:
    """A concentration limit's headroom is money: 3.2 million of 5 million leave 0.36 of the limit."""
    held = book(line("AAPL", "320000"), net_asset_value="100000000")
    assert headroom(rule("concentration_limit", {"max_pct": "0.05"}), held) == Headroom(
        rule_id="R-1",
        portfolio_id="PORT-001",
        current_value=Decimal(3200000),
        limit_value=Decimal(5000000),
        headroom=Decimal(1800000),
        headroom_pct=Decimal("0.36"),
    )


def test_headroom_is_negative_above_the_limit_and_whole_where_nothing_is_held() -> None:
    position = rule("max_position", {"max_quantity": "100"})
    over, empty = headroom(position, book(line("AAPL", "-130"))), headroom(position, book())
    assert over is not None
    assert empty is not None
    assert (over.headroom, over.headroom_pct) == (-30, Decimal("-0.3"))
    assert (empty.headroom, empty.headroom_pct) == (100, 1)


@pytest.mark.parametrize("rule_type", ["restricted_list", "short_sale_ban"])
def test_what_has_no_limit_has_no_headroom(rule_type: str) -> None:
    assert headroom(rule(rule_type, {}), HELD) is None
    assert headroom(rule("duplicate_order", {"window_seconds": 5}), HELD) is None
    assert headroom(rule("price_collar", {"max_pct": "1"}), HELD) is None


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (book(line("AAPL", "1", price=None)), "no price for AAPL."),
        (book(line("SAP", "1")), "no rate from EUR to USD."),
        (book(net_asset_value="0"), "the portfolio has no net asset value."),
    ],
)
def test_headroom_that_is_not_known_is_refused(held: Book, sentence: str) -> None:
    with pytest.raises(Refused) as refused:
        headroom(rule("concentration_limit", {"max_pct": "0.05"}), held)
    assert (refused.value.code, refused.value.message) == (Code.NOT_COMPUTABLE, sentence)


@pytest.mark.parametrize("quantity", ["200", "201"])
def test_an_order_of_the_headroom_passes_and_one_unit_more_does_not(quantity: str) -> None:
    concentration = rule("concentration_limit", {"max_pct": "0.05"})
    room = headroom(concentration, book(line("AAPL", "300")))
    assert room is not None
    fits = Decimal(quantity) * 10 <= room.headroom
    assert said(concentration, book(line("AAPL", "300")), order(quantity=quantity)).passed is fits


# -- breaches ----------------------------------------------------------------------------------------------


def test_a_price_that_moves_breaches_a_limit_without_an_order() -> None:
    quiet = book(line("AAPL", "300"), line("MSFT", "-100"))
    assert breaches(LIMITS, quiet) == ()
    moved = book(line("AAPL", "300", price="20"), line("MSFT", "-100"))
    (name,) = breaches(LIMITS, moved)
    assert (name.rule_id, name.passed, name.limit, name.used, name.remaining) == (
        "R-name",
        False,
        "5000",
        "6000",
        "-1000",
    )
    assert name.description == "AAPL uses 6000 of a limit of 5000"


def test_what_is_in_flight_breaches_nothing() -> None:
    assert breaches(LIMITS, book(line("AAPL", "300", buying="9000", selling="9000"))) == ()


def test_each_passive_limit_can_be_breached() -> None:
    held = book(line("AAPL", "9000"), turnover="9001")
    passive = {kind.name for kind in BUILT_IN if kind.passive}
    assert {result.rule_type for result in breaches(LIMITS, held)} == passive


def test_a_limit_that_cannot_be_watched_is_told() -> None:
    (result, *_) = breaches(LIMITS, book(line("AAPL", "1", price=None)))
    assert (result.rule_id, result.description) == ("R-name", "no price for AAPL")


def test_an_inactive_rule_watches_nothing() -> None:
    asleep = [each.model_copy(update={"active": False}) for each in LIMITS]
    assert breaches(asleep, book(line("AAPL", "9000"))) == ()


# -- needs -------------------------------------------------------------------------------------------------


def test_a_set_of_rules_says_what_it_needs() -> None:
    restricted = [
        rule("restricted_list", {"instrument_ids": ids}) for ids in (["INS-B", "INS-A"], ["INS-A", "INS-C"])
    ]
    assert needs([]) == Needs(window_seconds=0, turnover=False, instrument_ids=())
    assert needs(LIMITS) == Needs(window_seconds=5, turnover=True)
    assert needs(restricted) == Needs(instrument_ids=("INS-A", "INS-B", "INS-C"))
    assert needs([LIMITS[9], LIMITS[10].model_copy(update={"active": False})]) == Needs(window_seconds=1)
