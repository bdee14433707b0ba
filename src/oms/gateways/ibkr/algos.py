"""A placement's strategy as an IB algorithm. Source of names, tags and values: TWS API, "IB Algorithms"."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from ib_async import TagValue

from oms.domain.numbers import plain

_FLAGS = {"true": "1", "false": "0"}


class UnsupportedStrategy(ValueError):
    """IBKR has no such algorithm, or not with these parameters; the message is a sentence for a person."""


class _Parameter(NamedTuple):
    """One parameter: our name, IB's tag, and how our text becomes IB's (raises ValueError)."""

    name: str
    tag: str
    write: Callable[[str], str]


class _Algorithm(NamedTuple):
    name: str
    parameters: tuple[_Parameter, ...]


def moment(instant: datetime) -> str:
    """An instant as IB reads it in orders: UTC, in whole seconds, `20261120-14:30:00`."""
    return instant.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")


def _as_it_is(text: str) -> str:
    return text


def _fraction(text: str) -> str:
    """A percentage as the fraction that IB wants: `12.5` is `0.125`."""
    try:
        percent = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a number") from None
    if not percent.is_finite() or not 0 < percent <= 50:
        raise ValueError(f"{text} is not above 0 and at most 50")
    return plain(percent.scaleb(-2))


def _instant(text: str) -> str:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return moment(instant)


def _flag(text: str) -> str:
    if text not in _FLAGS:
        raise ValueError(f"{text!r} is neither true nor false")
    return _FLAGS[text]


_START = _Parameter("start", "startTime", _instant)
_END = _Parameter("end", "endTime", _instant)
_PAST_END = _Parameter("allow_past_end", "allowPastEndTime", _flag)
_NO_TAKE = _Parameter("no_take_liquidity", "noTakeLiq", _flag)
_MAX_PERCENT = _Parameter("max_percent", "maxPctVol", _fraction)
_ALGORITHMS: Mapping[str, _Algorithm] = {
    "Adaptive": _Algorithm("Adaptive", (_Parameter("priority", "adaptivePriority", _as_it_is),)),
    "VWAP": _Algorithm("Vwap", (_MAX_PERCENT, _NO_TAKE, _START, _END, _PAST_END)),
    "TWAP": _Algorithm("Twap", (_Parameter("kind", "strategyType", _as_it_is), _START, _END, _PAST_END)),
    "ArrivalPrice": _Algorithm(
        "ArrivalPx",
        (
            _MAX_PERCENT,
            _Parameter("urgency", "riskAversion", _as_it_is),
            _START,
            _END,
            _Parameter("force_completion", "forceCompletion", _flag),
            _PAST_END,
        ),
    ),
    "PercentOfVolume": _Algorithm(
        "PctVol", (_Parameter("percent", "pctVol", _fraction), _START, _END, _NO_TAKE)
    ),
}


def algorithm(strategy: str, params: Mapping[str, str]) -> tuple[str, list[TagValue]]:
    """IB's name of a strategy and its parameters in IB's order; what is not given is not sent.

    Raises UnsupportedStrategy for a strategy, a parameter or a value that IB does not have.
    """
    found = _ALGORITHMS.get(strategy)
    if found is None:
        raise UnsupportedStrategy(
            f"IBKR has no strategy {strategy!r} here; there are {', '.join(_ALGORITHMS)}"
        )
    known = [parameter.name for parameter in found.parameters]
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise UnsupportedStrategy(
            f"{strategy} has no parameter {', '.join(unknown)}; it has {', '.join(known)}"
        )
    return found.name, [_written(strategy, one, params[one.name]) for one in _given(found, params)]


def _given(found: _Algorithm, params: Mapping[str, str]) -> list[_Parameter]:
    return [parameter for parameter in found.parameters if parameter.name in params]


def _written(strategy: str, parameter: _Parameter, text: str) -> TagValue:
    try:
        return TagValue(parameter.tag, parameter.write(text))
    except ValueError as error:
        raise UnsupportedStrategy(f"{parameter.name} of {strategy}: {error}") from error
