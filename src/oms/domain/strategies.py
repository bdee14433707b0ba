"""The algorithms that a venue works a placement with: their names, their parameters and the bounds of each.

Source: TWS API, "IB Algorithms" (Adaptive, Vwap, Twap, ArrivalPx, PctVol), in our own words. A parameter is text, as it
travels: a percentage is a decimal above 0 and at most 50, an instant is RFC 3339 with its offset, a flag is `true` or
`false`, a choice is one of its words. What is left out is the broker's default.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from oms.domain.numbers import plain
from oms.domain.terms import OrderType, TimeInForce

MAX_PERCENT = Decimal(50)


@dataclass(frozen=True)
class Parameter:
    """One parameter: `fault` says in words what is wrong with a value, or nothing. `choices` are its words, if it has any."""

    kind: str
    fault: Callable[[str], str | None]
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Strategy:
    """`parameters` by name, for a placement of one of `order_types` that stands for one of `times`."""

    meaning: str
    parameters: Mapping[str, Parameter]
    order_types: frozenset[OrderType] = frozenset({OrderType.MARKET, OrderType.LIMIT})
    times: frozenset[TimeInForce] = frozenset({TimeInForce.DAY})


def _percent_fault(text: str) -> str | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return f"must be a decimal, not {text!r}"
    if not value.is_finite() or not 0 < value <= MAX_PERCENT:
        return f"must be above 0 and at most {plain(MAX_PERCENT)}, not {text}"
    return None


def _instant_fault(text: str) -> str | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return f"must be an RFC 3339 instant, not {text!r}"
    return None if at.tzinfo is not None else f"must say its offset from UTC: {text!r} does not"


def _choice(*words: str, required: bool = False) -> Parameter:
    def fault(text: str) -> str | None:
        return None if text in words else f"must be one of {', '.join(words)}, not {text!r}"

    return Parameter("choice", fault, required, words)


def _percent(*, required: bool = False) -> Parameter:
    return Parameter("percent", _percent_fault, required)


_INSTANT = Parameter("instant", _instant_fault)
_FLAG = Parameter("flag", _choice("true", "false").fault, choices=("true", "false"))
_WINDOW = {"start": _INSTANT, "end": _INSTANT}

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "Adaptive": Strategy(
            "works between the bid and the ask, as urgently as `priority` says",
            {"priority": _choice("Urgent", "Normal", "Patient", required=True)},
        ),
        "VWAP": Strategy(
            "aims at the volume-weighted average price from `start` to `end`",
            {
                "max_percent": _percent(),
                **_WINDOW,
                "allow_past_end": _FLAG,
                "no_take_liquidity": _FLAG,
            },
        ),
        "TWAP": Strategy(
            "aims at the time-weighted average price from `start` to `end`",
            {
                "kind": _choice("Marketable", "Matching Midpoint", "Matching Same Side", "Matching Last"),
                **_WINDOW,
                "allow_past_end": _FLAG,
            },
        ),
        "ArrivalPrice": Strategy(
            "aims at the midpoint at the time of its arrival",
            {
                "max_percent": _percent(),
                "urgency": _choice("Get Done", "Aggressive", "Neutral", "Passive"),
                "force_completion": _FLAG,
                **_WINDOW,
                "allow_past_end": _FLAG,
            },
        ),
        "PercentOfVolume": Strategy(
            "takes `percent` of the volume that trades",
            {"percent": _percent(required=True), **_WINDOW, "no_take_liquidity": _FLAG},
        ),
    }
)


def strategy_fault(
    strategy: str | None, params: Mapping[str, str], order_type: OrderType, time_in_force: TimeInForce
) -> str | None:
    """Why a placement cannot be worked so, in a sentence, or None where it can."""
    if strategy is None:
        return f"params without a strategy: {', '.join(sorted(params))}" if params else None
    known = STRATEGIES.get(strategy)
    if known is None:
        return f"there is no strategy {strategy!r}; there are {', '.join(STRATEGIES)}"
    if order_type not in known.order_types or time_in_force not in known.times:
        return (
            f"{strategy} works {' and '.join(sorted(known.order_types))} orders for the "
            f"{' or '.join(sorted(known.times))}, not {order_type} {time_in_force}"
        )
    return _params_fault(strategy, known, params)


def _params_fault(strategy: str, known: Strategy, params: Mapping[str, str]) -> str | None:
    for name in sorted(params.keys() - known.parameters.keys()):
        return f"{strategy} has no parameter {name!r}; it has {', '.join(known.parameters)}"
    for name, parameter in known.parameters.items():
        if name not in params:
            if parameter.required:
                return f"{strategy} needs {name}"
        elif fault := parameter.fault(params[name]):
            return f"{strategy}: {name} {fault}"
    if "start" in params and "end" in params:
        start, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
        if start >= end:
            return f"{strategy}: start {params['start']} is not before end {params['end']}"
    return None
