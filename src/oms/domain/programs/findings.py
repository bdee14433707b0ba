"""What is wrong with a program's request, by the path of the field, as one refusal."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from oms.domain.errors import Code, Refused

_TOLD = 20
_OBJECT_WANTED = frozenset({"dict_type", "model_type", "model_attributes_type"})
_COUNTED = re.compile(r".* should have (at (?:least|most) \d+ items?) after validation")
Part = TypeVar("Part", bound=BaseModel)


def checked(kind: type[Part], given: Mapping[str, Any]) -> Part:
    """`given` as a `kind`. Raises Refused: VALIDATION_FAILED with `field` and all of `errors`."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise _refusal(error) from error


def invalid(field: str, sentence: str, **facts: Any) -> Refused:
    """VALIDATION_FAILED of one field, in one sentence."""
    told = {"field": field, "message": sentence}
    return Refused(Code.VALIDATION_FAILED, f"{field}: {sentence}.", field=field, errors=[told], **facts)


def _refusal(error: ValidationError) -> Refused:
    """The first finding in a sentence, and all of them (but no value that was given) as `errors`."""
    findings = error.errors(include_url=False, include_context=False, include_input=False)
    told = [
        {
            "field": ".".join(map(str, one["loc"]))[:200] or "body",
            "message": _message(one["type"], one["msg"]),
        }
        for one in findings
        if not any(is_inside(other["loc"], one["loc"]) for other in findings)
    ]
    first, more = told[0], f" ({len(told) - 1} more)" if len(told) > 1 else ""
    return Refused(
        Code.VALIDATION_FAILED,
        f"{first['field']}: {first['message']}{more}.",
        field=first["field"],
        errors=told[:_TOLD],
    )


def _message(kind: str, text: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such field"
    return in_words(kind, text)


def in_words(kind: str, text: str) -> str:
    """Pydantic's finding of this kind in words of JSON, without those of Python."""
    if kind in _OBJECT_WANTED:
        return "must be a JSON object"
    counted = _COUNTED.match(text) if kind in ("too_short", "too_long") else None
    return f"must have {counted[1]}" if counted else text.removeprefix("Value error, ").rstrip(".")


def is_inside(location: tuple[int | str, ...], whole: tuple[int | str, ...]) -> bool:
    """A list whose items are wrong is also told to be too short; the items say it better."""
    return len(location) > len(whole) and location[: len(whole)] == whole
