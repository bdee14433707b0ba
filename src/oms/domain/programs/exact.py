"""JSON whose numbers keep the digits that were written, and the one way of writing it that is signed."""

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from oms.domain.errors import Code, Refused

_FARTHEST = 400
"""No number has more digits or places: they are written out, and a short exponent could stand for a gigabyte."""


def read_exactly(text: str | bytes) -> Any:
    """The value of a JSON text: whole numbers as int, fractions as Decimal with every digit.

    Raises Refused: MALFORMED where it is no JSON or names a member twice, VALIDATION_FAILED for a number with an
    exponent.
    """
    try:
        return json.loads(
            text,
            parse_float=_fraction_of,
            parse_int=_whole_of,
            parse_constant=_no_constant,
            object_pairs_hook=_members,
        )
    except RecursionError as error:
        raise Refused(Code.MALFORMED, "The JSON cannot be read: it is nested too deeply.") from error
    except ValueError as error:
        raise Refused(Code.MALFORMED, f"The JSON cannot be read: {error}.") from error


def written(value: Any) -> str:
    """`value` in its canonical form: keys sorted by code point, no spaces, no escapes that JSON does not demand.

    Raises Refused: VALIDATION_FAILED for what JSON or the rules of signing do not know.
    """
    try:
        text = _written(value)
        text.encode()
    except RecursionError as error:
        raise unfit("it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise unfit("a text has half of a surrogate pair") from error
    return text


def unfit(sentence: str) -> Refused:
    """Something that is never signed."""
    return Refused(Code.VALIDATION_FAILED, f"The envelope cannot be signed or checked: {sentence}.")


def _written(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(int(value))
        case float() | Decimal():
            return _digits(value)
        case Mapping():
            members = (f"{_text(key)}:{_written(value[key])}" for key in _sorted_keys(value))
            return "{" + ",".join(members) + "}"
        case Sequence() if not isinstance(value, bytes | bytearray):
            return "[" + ",".join(_written(item) for item in value) + "]"
    raise unfit(f"{type(value).__name__} is no JSON value")


def _sorted_keys(value: Mapping[Any, Any]) -> list[str]:
    if not all(isinstance(key, str) for key in value):
        raise unfit("a member's name is no text")
    return sorted(value)


def _text(value: str) -> str:
    return json.dumps(str(value), ensure_ascii=False)


def _digits(value: float | Decimal) -> str:
    """The literal digits of a fraction: a float's are those that Python writes for it."""
    if not math.isfinite(value):
        raise unfit(f"{value} is no number")
    if isinstance(value, float):
        text = repr(value)
        if "e" in text:
            raise unfit(f"{text} has an exponent; write its digits out")
        return text
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not -_FARTHEST <= exponent <= 0:
        raise unfit(f"a number has an exponent or more than {_FARTHEST} places; write its digits out")
    return format(value, "f")


def _fraction_of(digits: str) -> Decimal:
    if "e" in digits.lower():
        raise unfit(f"{digits[:40]} has an exponent; write its digits out")
    return Decimal(digits)


def _whole_of(digits: str) -> int:
    if len(digits) > _FARTHEST:
        raise ValueError(f"a whole number has more than {_FARTHEST} digits")
    return int(digits)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object names one of its members twice")
    return members
