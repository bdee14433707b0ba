"""Allocation schemes: nothing is lost or made up, lots and minimums are kept, and every step is put in words."""

import itertools
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from oms.domain.allocating import MAX_ACCOUNTS, Portion, Scheme, leaves, spread
from oms.domain.dividing import divide, odd_part
from oms.domain.errors import Code, Refused

SCHEMES = TypeAdapter[Scheme](Scheme)
ONE = Decimal(1)


def scheme(kind: str, *accounts: Any, **rest: Any) -> Scheme:
    return SCHEMES.validate_python({"scheme": kind, "accounts": accounts, **rest})


def account(name: str, **terms: Any) -> dict[str, Any]:
    return {"account_id": name, "portfolio_id": "P", **terms}


def weighted(*weights: Any, kind: str = "pro_rata", **rest: Any) -> Scheme:
    """Accounts A1, A2, ... with these weights; (weight, minimum) gives one a minimum."""
    accounts = []
    for number, terms in enumerate(weights, start=1):
        weight, minimum = terms if isinstance(terms, tuple) else (terms, None)
        accounts.append(account(f"A{number}", weight=weight, minimum=minimum))
    return scheme(kind, *accounts, **rest)


def quantities(asked: Scheme, quantity: str | int, lot: str | int = 1) -> dict[str, Decimal]:
    return {p.account_id: p.quantity for p in spread(asked, Decimal(quantity), Decimal(lot))}


def residuals(portions: tuple[Portion, ...]) -> dict[str, Decimal]:
    return {p.account_id: p.residual for p in portions if p.residual is not None}


def refusal(asked: Scheme, quantity: str | int = 100, lot: str | int = 1) -> Refused:
    with pytest.raises(Refused) as refused:
        spread(asked, Decimal(quantity), Decimal(lot))
    return refused.value


# -- by weight ---------------------------------------------------------------------------------------------------


def test_the_largest_remainder_gets_the_lot_that_is_left() -> None:
    assert quantities(weighted(5, 3, 2), 7) == {"A1": 4, "A2": 2, "A3": 1}
    assert quantities(weighted(1, 2), 100) == {"A1": 33, "A2": 67}


def test_equal_remainders_are_served_in_the_order_given() -> None:
    assert quantities(weighted(1, 1, 1), 100) == {"A1": 34, "A2": 33, "A3": 33}
    assert quantities(weighted(1, 1, 1), 101) == {"A1": 34, "A2": 34, "A3": 33}


def test_whole_lots_are_given_out() -> None:
    assert quantities(weighted(1, 1, 1), 700, 100) == {"A1": 300, "A2": 200, "A3": 200}


def test_who_gets_nothing_is_left_out() -> None:
    assert quantities(weighted(99, 1), 10) == {"A1": 10}


def test_a_piece_smaller_than_a_lot_goes_to_the_next_in_the_line_of_remainders() -> None:
    portions = spread(weighted(1, 1, 1), Decimal("105.5"), Decimal(10))
    assert [p.quantity for p in portions] == [40, Decimal("35.5"), 30]
    assert residuals(portions) == {"A2": Decimal("5.5")}
    assert quantities(weighted(1, 3), "0.5", 1) == {"A2": Decimal("0.5")}


def test_the_residual_goes_to_the_account_that_is_named_for_it() -> None:
    asked = weighted(1, 1, 1, residual_account_id="A3")
    portions = spread(asked, Decimal("105.5"), Decimal(10))
    assert [p.quantity for p in portions] == [40, 30, Decimal("35.5")]
    assert residuals(portions) == {"A3": Decimal("5.5")}
    assert "5.5 left over has its home here" in portions[2].why
    assert residuals(spread(asked, Decimal(100), Decimal(10))) == {}


def test_the_residuals_home_may_be_none_of_the_accounts() -> None:
    asked = weighted(1, 1, residual_account_id="HOUSE", residual_portfolio_id="P-HOUSE")
    last = spread(asked, Decimal(25), Decimal(10))[-1]
    assert (last.account_id, last.portfolio_id, last.quantity, last.residual) == ("HOUSE", "P-HOUSE", 5, 5)
    assert [leaf.account_id for leaf in leaves(asked)] == ["A1", "A2", "HOUSE"]
    assert quantities(asked, 5, 10) == {"HOUSE": 5}


def test_a_home_that_cannot_be_found_is_refused() -> None:
    nowhere = refusal(weighted(1, 1, residual_account_id="HOUSE"))
    assert (nowhere.code, nowhere.facts["field"]) == (Code.VALIDATION_FAILED, "residual_account_id")
    no_account = refusal(weighted(1, 1, residual_portfolio_id="P"))
    assert (no_account.code, no_account.facts["field"]) == (Code.VALIDATION_FAILED, "residual_portfolio_id")


def test_every_portion_says_how_it_was_reckoned() -> None:
    first, second = spread(weighted(2, 1), Decimal(100), ONE)
    assert first.why == "weight 2 of 3, 66.666666666667 rounded up to 67 by the largest remainder"
    assert second.why == "weight 1 of 3, 33.333333333333 rounded down to 33"
    assert spread(weighted(3, 1), Decimal(100), ONE)[0].why == "weight 3 of 4"


def test_average_price_is_pro_rata_and_says_so() -> None:
    block = spread(weighted(2, 1, kind="average_price"), Decimal(100), ONE)
    assert [p.quantity for p in block] == [67, 33]
    assert all(p.why.endswith("; at the block's average price") for p in block)


# -- minimums ----------------------------------------------------------------------------------------------------


def test_below_its_minimum_an_account_gets_nothing_and_the_rest_share_it() -> None:
    assert quantities(weighted(6, 3, (1, 20)), 100) == {"A1": 67, "A2": 33}
    assert quantities(weighted(6, 3, (1, 10)), 100) == {"A1": 60, "A2": 30, "A3": 10}


def test_who_is_furthest_below_goes_first_so_that_another_may_reach_its_minimum() -> None:
    assert quantities(weighted((1, 45), (1, 70), (1, 20)), 100) == {"A1": 50, "A3": 50}
    assert quantities(weighted((1, 60), (1, 60)), 100) == {"A1": 100}
    assert "1 below their minimum get nothing" in spread(weighted((1, 60), (1, 60)), Decimal(100), ONE)[0].why


def test_where_nobody_reaches_a_minimum_it_is_refused_with_the_numbers() -> None:
    refused = refusal(weighted((1, 600), (1, 200)))
    assert refused.code is Code.ALLOCATION_MISMATCH
    assert refused.facts == {"quantity": "100", "minimums": ["600", "200"]}


# -- percentages -------------------------------------------------------------------------------------------------


def by_percentage(*percentages: str, **rest: Any) -> Scheme:
    accounts = [account(f"A{n}", percentage=p) for n, p in enumerate(percentages, start=1)]
    return scheme("percentage", *accounts, **rest)


def test_percentages() -> None:
    assert quantities(by_percentage("33.3", "33.3", "33.4"), 100) == {"A1": 33, "A2": 33, "A3": 34}
    assert quantities(by_percentage("12.5", "87.5"), 8) == {"A1": 1, "A2": 7}


@pytest.mark.parametrize(
    ("percentages", "added_up"),
    [(("50", "49.999999999999999999"), "99.999999999999999999"), (("60", "60"), "120"), (("1",), "1")],
)
def test_percentages_are_a_hundred_or_refused(percentages: tuple[str, ...], added_up: str) -> None:
    refused = refusal(by_percentage(*percentages))
    assert refused.code is Code.VALIDATION_FAILED
    assert refused.facts == {"field": "accounts", "sum": added_up, "expected": "100"}


# -- by quantity -------------------------------------------------------------------------------------------------


def by_quantity(*asked: str) -> Scheme:
    return scheme("quantity", *(account(f"A{n}", quantity=q) for n, q in enumerate(asked, start=1)))


def test_by_quantity_each_gets_what_it_names_and_some_may_be_left() -> None:
    assert quantities(by_quantity("60", "40"), 100) == {"A1": 60, "A2": 40}
    assert quantities(by_quantity("60", "0.25"), 100, 10) == {"A1": 60, "A2": Decimal("0.25")}


def test_by_quantity_more_than_there_is_is_refused_with_the_numbers() -> None:
    refused = refusal(by_quantity("60", "40.5"))
    assert refused.code is Code.ALLOCATION_MISMATCH
    assert refused.facts == {"asked": "100.5", "quantity": "100"}


# -- step down ---------------------------------------------------------------------------------------------------


def in_line(*most: Any, **rest: Any) -> Scheme:
    accounts = []
    for number, terms in enumerate(most, start=1):
        quantity, minimum = terms if isinstance(terms, tuple) else (terms, None)
        accounts.append(account(f"A{number}", quantity=quantity, minimum=minimum))
    return scheme("step_down", *accounts, **rest)


def test_accounts_are_filled_one_after_another() -> None:
    assert quantities(in_line(60, 30, 30), 100) == {"A1": 60, "A2": 30, "A3": 10}
    assert quantities(in_line(60, 30, 30), 60) == {"A1": 60}


def test_what_nobody_in_line_takes_goes_to_its_home() -> None:
    home = {"residual_account_id": "A1"}
    portions = spread(in_line(60, 30, **home), Decimal(100), ONE)
    assert [(p.account_id, p.quantity) for p in portions] == [("A1", 70), ("A2", 30)]
    assert residuals(portions) == {"A1": 10}


def test_what_nobody_takes_is_refused_with_the_numbers() -> None:
    refused = refusal(in_line(60, 30))
    assert refused.code is Code.ALLOCATION_MISMATCH
    assert refused.facts == {"quantity": "100", "taken": "90", "left_over": "10"}


def test_in_line_lots_are_kept_and_the_last_piece_goes_where_there_is_room() -> None:
    assert quantities(in_line(65, 50), 105, 10) == {"A1": 65, "A2": 40}
    assert quantities(in_line(60, 50), 105, 10) == {"A1": 60, "A2": 45}
    assert refusal(in_line(65, 35), 100, 10).facts["left_over"] == "10"


def test_in_line_a_minimum_is_kept() -> None:
    assert quantities(in_line(60, (50, 45), 40), 100) == {"A1": 60, "A3": 40}
    with pytest.raises(ValidationError, match="minimum 50 is above quantity 40"):
        in_line((40, 50))


# -- hierarchy ---------------------------------------------------------------------------------------------------


def group(name: str, weight: Any, *members: dict[str, Any]) -> dict[str, Any]:
    return {"group_id": name, "weight": weight, "members": members}


FAMILY = (
    group("G1", 2, account("A1", weight=1), group("G2", 1, account("A2", weight=3), account("A3", weight=1))),
    account("A4", weight=1),
)


def test_each_level_is_spread_by_its_own_weights() -> None:
    assert quantities(scheme("hierarchy", *FAMILY), 120) == {"A1": 40, "A2": 30, "A3": 10, "A4": 40}


def test_a_group_gets_its_own_part_before_its_accounts_do() -> None:
    portions = spread(scheme("hierarchy", *FAMILY), Decimal(100), ONE)
    found = {p.account_id: p.quantity for p in portions}
    assert found["A1"] + found["A2"] + found["A3"] == 67
    assert portions[1].why == (
        "G1: weight 2 of 3, 66.666666666667 rounded up to 67 by the largest remainder; "
        "G2: weight 1 of 2, 33.5 rounded down to 33; "
        "weight 3 of 4, 24.75 rounded up to 25 by the largest remainder"
    )


def test_of_a_deep_tree_the_first_and_the_last_level_are_told() -> None:
    tree = account("A1", weight=1)
    for level in range(4, 0, -1):
        tree = group(f"G{level}", 1, tree)
    (only,) = spread(scheme("hierarchy", tree), Decimal(100), ONE)
    assert only.why == "G1: weight 1 of 1; 3 groups between; weight 1 of 1"


def test_what_a_minimum_frees_stays_in_the_group_until_it_is_empty() -> None:
    tree = group("G1", 1, account("A1", weight=1, minimum=60), account("A2", weight=1))
    assert quantities(scheme("hierarchy", tree, account("A3", weight=1)), 100) == {"A2": 50, "A3": 50}
    lonely = group("G1", 1, group("G2", 1, account("A1", weight=1, minimum=60)))
    assert quantities(scheme("hierarchy", lonely, account("A3", weight=1)), 100) == {"A3": 100}


# -- what cannot be meant ------------------------------------------------------------------------------------------


def test_an_account_is_named_once_for_a_portfolio() -> None:
    twice = account("A1", weight=1)
    for asked in (
        scheme("pro_rata", twice, twice),
        scheme("hierarchy", group("G1", 1, twice), twice),
        scheme("quantity", account("A1", quantity=1), account("A1", quantity=2)),
    ):
        refused = refusal(asked)
        assert (refused.code, refused.facts["account_id"]) == (Code.VALIDATION_FAILED, "A1")
    other = {**twice, "portfolio_id": "P-2"}
    assert len(spread(scheme("pro_rata", twice, other), Decimal(100), ONE)) == 2


def test_a_tree_holds_no_more_accounts_than_a_list() -> None:
    half = [account(f"A{n}", weight=1) for n in range(MAX_ACCOUNTS)]
    other = [account(f"B{n}", weight=1) for n in range(MAX_ACCOUNTS)]
    refused = refusal(scheme("hierarchy", group("G1", 1, *half), group("G2", 1, *other)))
    assert (refused.code, refused.facts["actual"]) == (Code.VALIDATION_FAILED, 2 * MAX_ACCOUNTS)


def test_a_scheme_survives_the_journey_to_a_workflow() -> None:
    for asked in (scheme("hierarchy", *FAMILY), weighted(1, (2, 3)), in_line(5), by_percentage("100")):
        assert SCHEMES.validate_json(SCHEMES.dump_json(asked)) == asked


# -- whatever is asked ---------------------------------------------------------------------------------------------

LOTS = st.sampled_from([Decimal(lot) for lot in ("1", "10", "100", "0.01", "0.3", "7")])
QUANTITIES = st.decimals("0.001", 10**9, places=3)
WEIGHTS = st.lists(st.decimals("0.01", 10**6, places=2), min_size=1, max_size=12)
MINIMUMS = st.none() | st.decimals("0.5", 10**5, places=1)


@st.composite
def trees(draw: st.DrawFn) -> Scheme:
    names = iter(range(1000))

    def leaf() -> dict[str, Any]:
        terms = {"weight": draw(st.integers(1, 9)), "minimum": draw(MINIMUMS)}
        return account(f"A{next(names)}", **terms)

    def member(depth: int) -> dict[str, Any]:
        if depth == 0 or draw(st.booleans()):
            return leaf()
        below = [member(depth - 1) for _ in range(draw(st.integers(1, 3)))]
        return group(f"G{next(names)}", draw(st.integers(1, 9)), *below)

    members = [member(3) for _ in range(draw(st.integers(1, 3)))]
    home = {"residual_account_id": "HOUSE", "residual_portfolio_id": "P"} if draw(st.booleans()) else {}
    return scheme("hierarchy", *members, **home)


@st.composite
def flat(draw: st.DrawFn) -> Scheme:
    weights = [(weight, draw(MINIMUMS)) for weight in draw(WEIGHTS)]
    home = {"residual_account_id": "A1"} if draw(st.booleans()) else {}
    return weighted(*weights, kind=draw(st.sampled_from(["pro_rata", "average_price"])), **home)


@st.composite
def lines(draw: st.DrawFn) -> Scheme:
    most = draw(st.lists(st.decimals("0.1", 10**8, places=1), min_size=1, max_size=8))
    home = {"residual_account_id": "A1"} if draw(st.booleans()) else {}
    return in_line(*((m, draw(st.none() | st.just(m))) for m in most), **home)


def _is(refused: Refused, code: Code) -> None:
    assert refused.code is code


@given(asked=trees() | flat() | lines(), quantity=QUANTITIES, lot=LOTS)
def test_nothing_is_lost_or_made_up_and_lots_and_minimums_are_kept(
    asked: Scheme, quantity: Decimal, lot: Decimal
) -> None:
    try:
        portions = spread(asked, quantity, lot)
    except Refused as unfit:
        _is(unfit, Code.ALLOCATION_MISMATCH)
        return
    assert portions == spread(asked, quantity, lot)
    assert sum((Fraction(p.quantity) for p in portions), Fraction(0)) == Fraction(quantity)
    homes = [p for p in portions if p.residual is not None]
    assert len(homes) <= 1
    minimums = {leaf.account_id: getattr(leaf, "minimum", None) or 0 for leaf in leaves(asked)}
    named = getattr(asked, "residual_account_id", None)
    for portion in portions:
        assert portion.quantity > 0
        assert portion.why
        assert odd_part(portion.quantity - (portion.residual or 0), lot) == 0
        assert portion.account_id == named or portion.quantity >= minimums[portion.account_id]


@given(weights=WEIGHTS, quantity=QUANTITIES, lot=LOTS)
def test_who_weighs_more_gets_no_less_and_nobody_is_a_lot_off_its_share(
    weights: list[Decimal], quantity: Decimal, lot: Decimal
) -> None:
    found = quantities(weighted(*weights), str(quantity), str(lot))
    got = [found.get(f"A{number}", Decimal(0)) for number in range(1, len(weights) + 1)]
    by_weight = sorted(zip(weights, got, strict=True))
    for (lighter, less), (heavier, more) in itertools.pairwise(by_weight):
        assert lighter == heavier or less <= more
    for weight, part in zip(weights, got, strict=True):
        share = Fraction(quantity) * Fraction(weight) / Fraction(sum(weights))
        assert abs(Fraction(part) - share) < Fraction(lot)


# -- money ---------------------------------------------------------------------------------------------------------


def test_money_is_divided_to_the_cent_or_to_its_own_smallest_place() -> None:
    thirds = [ONE, ONE, ONE]
    assert divide(Decimal(100), thirds) == (Decimal("33.34"), Decimal("33.33"), Decimal("33.33"))
    assert divide(Decimal(-1), thirds) == (Decimal("-0.34"), Decimal("-0.33"), Decimal("-0.33"))
    assert divide(Decimal("0.0001"), thirds) == (Decimal("0.0001"), 0, 0)
    assert divide(Decimal(1), [Decimal(0), ONE]) == (0, 1)
    with pytest.raises(ValueError, match="nothing to divide by"):
        divide(ONE, [Decimal(0)])


@given(
    amount=st.decimals(-(10**15), 10**15, places=6) | st.integers(-(10**30), 10**30).map(Decimal),
    weights=st.lists(st.decimals(0, 10**9, places=4), min_size=1, max_size=20).filter(any),
)
def test_divided_money_adds_up_to_itself(amount: Decimal, weights: list[Decimal]) -> None:
    parts = divide(amount, weights)
    assert sum(map(Fraction, parts), Fraction(0)) == Fraction(amount)
    assert all(part == 0 or (part < 0) == (amount < 0) for part in parts)
    assert all(part == 0 for part, weight in zip(parts, weights, strict=True) if weight == 0)
