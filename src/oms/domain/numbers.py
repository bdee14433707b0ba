"""Exact decimals: at most 18 decimal places and 38 digits, refused rather than rounded.

Sums, differences and products are computed in a context that traps every inexact result, so a number
that would not fit raises instead of losing a digit. Only an average may round, to 12 places, half even.
"""

import re
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from functools import reduce
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

MAX_DECIMALS = 18
MAX_DIGITS = 38
ZERO = Decimal(0)
_FARTHEST = 1000
_NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII
)
_EXACT = Context(prec=400, traps=[InvalidOperation, DivisionByZero, Overflow, Inexact])
_ROUNDED = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PLACED = Context(prec=400, rounding=ROUND_HALF_EVEN)
_AVERAGE_PLACES = Decimal("1e-12")


def plain(value: Decimal) -> str:
    """`value` in plain notation without exponent or trailing zeros: 1E+3 is `1000`, 10.50 is `10.5`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _within_bounds(value: Decimal) -> Decimal:
    if not value.is_finite():
        raise ValueError("must be a finite number")
    _, digits, exponent = value.as_tuple()
    if not -_FARTHEST < int(exponent) < _FARTHEST:
        raise ValueError(f"has an exponent of {exponent}; at most {MAX_DIGITS} digits are kept")
    _, digits, exponent = value.normalize(Context(prec=max(1, len(digits)))).as_tuple()
    places = max(0, -int(exponent))
    whole = max(0, len(digits) + int(exponent))
    if places > MAX_DECIMALS:
        raise ValueError(
            f"has {places} decimal places; at most {MAX_DECIMALS} are kept, and none is rounded away"
        )
    if whole + places > MAX_DIGITS:
        raise ValueError(f"has {whole + places} digits; at most {MAX_DIGITS} are kept")
    return value


def fits(value: Decimal) -> bool:
    """Whether `value` can be kept: at most 18 decimal places and 38 digits."""
    try:
        _within_bounds(value)
    except ValueError:
        return False
    return True


def _a_number(value: Any) -> Any:
    """No truth values, and no text that Python reads as a number and nobody else does (`1_000`, ` 5 `)."""
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value)):
        raise ValueError("must be a number")
    return value


Exact = Annotated[
    Decimal,
    BeforeValidator(_a_number),
    PlainSerializer(plain, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["150.25"]}),
]
"""A sum, product or average of numbers within bounds: finite, and as long as it has to be."""
_Bounded = Annotated[Exact, AfterValidator(_within_bounds)]
Amount = _Bounded
"""Any exact decimal, signed: money, a difference."""
Quantity = Annotated[_Bounded, Field(gt=0)]
"""A positive quantity in the instrument's own units."""
Holding = Annotated[_Bounded, Field(ge=0)]
"""A quantity that may be zero."""
Price = Annotated[_Bounded, Field(gt=0)]
"""A positive price in the instrument's currency."""


def add(*values: Decimal) -> Decimal:
    """The exact sum."""
    return reduce(_EXACT.add, values, ZERO)


def total(values: Iterable[Decimal]) -> Decimal:
    """The exact sum of `values`."""
    return reduce(_EXACT.add, values, ZERO)


def subtract(left: Decimal, right: Decimal) -> Decimal:
    """The exact difference."""
    return _EXACT.subtract(left, right)


def multiply(left: Decimal, right: Decimal) -> Decimal:
    """The exact product."""
    return _EXACT.multiply(left, right)


def ratio(part: Decimal, whole: Decimal) -> Decimal:
    """part / whole, rounded half even to 12 places. For averages and percentages, never for money."""
    return _ROUNDED.divide(part, whole).quantize(_AVERAGE_PLACES, context=_PLACED).normalize(_PLACED)
