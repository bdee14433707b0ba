"""Numbers are exact: refused rather than rounded, added without losing a digit, written without exponents."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from oms.domain.numbers import (
    Amount,
    Holding,
    Price,
    Quantity,
    add,
    fits,
    multiply,
    plain,
    ratio,
    subtract,
    total,
)

AMOUNT = TypeAdapter[Decimal](Amount)
BOUNDED = st.builds(
    lambda sign, digits, places: Decimal((sign, tuple(map(int, str(digits))), -places)),
    st.integers(0, 1),
    st.integers(0, 10**38 - 1),
    st.integers(0, 18),
)


@pytest.mark.parametrize(
    "text",
    [
        "0.000000000000000001",
        "99999999999999999999999999999999999999",
        "-12345678901234567890.123456789012345678",
        "1E+37",
        "1.5000000000000000000000000000",
        "0E-50",
    ],
)
def test_eighteen_decimals_and_thirty_eight_digits_are_kept_as_they_are(text: str) -> None:
    assert AMOUNT.validate_python(text) == Decimal(text)
    assert fits(Decimal(text))


@pytest.mark.parametrize(
    "text",
    [
        "0.0000000000000000001",
        "1E-19",
        "100000000000000000000000000000000000000",
        "1E+38",
        "123456789012345678901.123456789012345678",
        "NaN",
        "Infinity",
        "-Infinity",
        "1E+999999",
    ],
)
def test_what_would_have_to_be_rounded_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        AMOUNT.validate_python(text)
    assert not fits(Decimal(text))


@pytest.mark.parametrize("value", [True, False, None, "ten", "", [], "1,5"])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        AMOUNT.validate_python(value)


@pytest.mark.parametrize(
    ("kind", "zero_is_fine", "negative_is_fine"),
    [(Quantity, False, False), (Price, False, False), (Holding, True, False), (Amount, True, True)],
)
def test_the_sign_that_each_kind_takes(kind: object, zero_is_fine: bool, negative_is_fine: bool) -> None:
    adapter = TypeAdapter[Decimal](kind)
    for text, fine in (("1", True), ("0", zero_is_fine), ("-1", negative_is_fine)):
        if fine:
            assert adapter.validate_python(text) == Decimal(text)
        else:
            with pytest.raises(ValidationError):
                adapter.validate_python(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("10.50", "10.5"),
        ("0.00", "0"),
        ("-0.00", "0"),
        ("-1.20", "-1.2"),
        ("100", "100"),
        ("1E-18", "0.000000000000000001"),
    ],
)
def test_numbers_are_written_plainly(value: str, text: str) -> None:
    assert plain(Decimal(value)) == text


@given(BOUNDED)
def test_json_carries_every_number_exactly(value: Decimal) -> None:
    text = AMOUNT.dump_json(value)
    assert text.startswith(b'"')
    assert b"E" not in text
    assert AMOUNT.validate_json(text) == value


def test_sums_and_products_do_not_lose_a_digit_beyond_pythons_default_context() -> None:
    large, small = Decimal(10) ** 37, Decimal("1e-18")
    assert subtract(add(large, small), large) == small
    assert large + small == large, "python's own sum does lose it"
    assert total([small] * 3 + [large, -large]) == Decimal("3e-18")
    assert multiply(large + 1, small) == Decimal("10000000000000000000.000000000000000000")
    assert str(multiply(Decimal(12345678901234567890), Decimal("1.000000000000000001"))) == (
        "12345678901234567902.345678901234567890"
    )


@given(st.lists(BOUNDED, max_size=6), st.randoms(use_true_random=False))
def test_a_sum_does_not_depend_on_its_order(values: list[Decimal], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert total(values) == total(shuffled)


@given(BOUNDED, BOUNDED)
def test_a_difference_undoes_a_sum(left: Decimal, right: Decimal) -> None:
    assert subtract(add(left, right), right) == left


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("1", "3", "0.333333333333"),
        ("2", "3", "0.666666666667"),
        ("0.0000000000005", "1", "0"),
        ("0.0000000000015", "1", "0.000000000002"),
        ("-10", "4", "-2.5"),
        ("1E+37", "1E-18", "1E+55"),
    ],
)
def test_only_a_ratio_rounds_half_even_to_twelve_places(part: str, whole: str, expected: str) -> None:
    assert ratio(Decimal(part), Decimal(whole)) == Decimal(expected)
