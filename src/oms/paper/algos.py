"""IB algorithms: which tags they take, and how they cut an order into slices over the market's steps.

An order is looked at once a market step. VWAP and TWAP follow a schedule over their time, or over ten looks
where no end is given; ArrivalPx and Adaptive over as many looks as their patience says; PctVol trades its share
of what the market turns over. Sizes vary with the market's seed and nothing else.
Source: TWS API, "IB Algorithms".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from random import Random

from oms.paper.hours import moment_of
from oms.paper.instructions import Algo
from oms.paper.orders import ZERO, OrderTerms, PaperOrder

_ORDER_TYPES = frozenset({"MKT", "LMT"})
_TIMES = frozenset({"", "DAY"})
_LARGEST_SHARE = Decimal("0.5")
_UNIT = Decimal(1)
_USUAL_LOOKS = 10
_UNEVEN = (0.7, 1.3)

Check = Callable[[str], bool]


def _one_of(*values: str) -> Check:
    return lambda text: text in values


def _share(text: str) -> bool:
    try:
        return 0 < Decimal(text) <= _LARGEST_SHARE
    except InvalidOperation:
        return False


def _time(text: str) -> bool:
    try:
        moment_of(text)
    except ValueError:
        return False
    return True


_flag = _one_of("0", "1")
_WINDOW: Mapping[str, Check] = {"startTime": _time, "endTime": _time}
_SCHEDULED: Mapping[str, Check] = {**_WINDOW, "allowPastEndTime": _flag}


@dataclass(frozen=True, slots=True)
class Strategy:
    """``tags`` with what their values must satisfy, on which security types, and the shape of its schedule.

    ``progress``: the share that should be done at a share of the time (both 0 to 1). ``looks``: over how many
    looks, by the value of ``patience`` (a tag); the first value is taken where the tag is not sent.
    """

    tags: Mapping[str, Check]
    security_types: frozenset[str]
    progress: Callable[[float], float] = lambda share: share
    patience: str = ""
    looks: Mapping[str, int] | None = None


_STOCKS = frozenset({"STK"})
_PRIORITIES = {"Normal": 6, "Urgent": 3, "Patient": 12}
_URGENCIES = {"Neutral": 8, "Get Done": 3, "Aggressive": 5, "Passive": 12}
_AIMS = {
    "Marketable": "",
    "Matching Midpoint": "middle",
    "Matching Same Side": "same side",
    "Matching Last": "last",
}

STRATEGIES: dict[str, Strategy] = {
    "Adaptive": Strategy(
        {"adaptivePriority": _one_of(*_PRIORITIES)},
        frozenset({"STK", "OPT", "FUT"}),
        patience="adaptivePriority",
        looks=_PRIORITIES,
    ),
    # More at the beginning and at the end of its time, as volume is in a day.
    "Vwap": Strategy(
        {**_SCHEDULED, "maxPctVol": _share, "noTakeLiq": _flag},
        _STOCKS,
        lambda share: share + 0.1 * math.sin(2 * math.pi * share),
    ),
    "Twap": Strategy({**_SCHEDULED, "strategyType": _one_of(*_AIMS)}, _STOCKS),
    "ArrivalPx": Strategy(
        {**_SCHEDULED, "maxPctVol": _share, "riskAversion": _one_of(*_URGENCIES), "forceCompletion": _flag},
        _STOCKS,
        lambda share: 1 - (1 - share) ** 2,
        patience="riskAversion",
        looks=_URGENCIES,
    ),
    "PctVol": Strategy({**_WINDOW, "pctVol": _share, "noTakeLiq": _flag}, _STOCKS),
}


def algo_problem(terms: OrderTerms, now: datetime) -> tuple[int, str] | None:
    """(error code, text) why an algorithm cannot work the order; None if it can, or if there is none."""
    algo = terms.instructions.algo
    if algo is None:
        return None
    strategy = STRATEGIES.get(algo.name)
    if strategy is None:
        return 439, f"The order processing failed. Algorithm definition not found:{algo.name}."
    for tag, value in algo.params:
        if tag not in strategy.tags:
            return 443, f"The order processing failed. Unknown algo attribute:{tag}."
        if not strategy.tags[tag](value):
            return 441, f"Algo attributes validation failed:{tag}={value}."
    start, end = algo.moment("startTime"), algo.moment("endTime")
    if end is not None and end <= max(start or now, now):
        return 441, "Algo attributes validation failed:the end time is not after the start time."
    fits = terms.order_type in _ORDER_TYPES and terms.tif in _TIMES
    if not fits or terms.instrument.security_type not in strategy.security_types:
        return 442, f"Specified algorithm is not allowed for this order:{algo.name}."
    return None


def aim(terms: OrderTerms) -> str:
    """The price an algorithm's slices go for: ``middle``, ``last``, ``same side``, or empty for the other side."""
    algo = terms.instructions.algo
    if algo is None:
        return ""
    return "same side" if algo.flag("noTakeLiq") else _AIMS.get(algo.get("strategyType"), "")


def impatient(algo: Algo) -> bool:
    """Whether the first slice goes out on arrival."""
    return algo.get("adaptivePriority") == "Urgent" or algo.get("riskAversion") == "Get Done"


def over(algo: Algo, now: datetime) -> bool:
    """Whether its time has ended and it may not go on."""
    end = algo.moment("endTime")
    return end is not None and now >= end and not algo.flag("allowPastEndTime")


def slice_size(order: PaperOrder, algo: Algo, turnover: Decimal, now: datetime, chance: Random) -> Decimal:
    """How much the algorithm wants to trade in this look, at most what remains.

    ``turnover`` is what the market trades in one step; ``order.looks`` counts this look already.
    """
    strategy = STRATEGIES[algo.name]
    share = algo.get("pctVol") or ("0.1" if algo.name == "PctVol" else "")
    if share:
        return min(_whole(turnover * Decimal(share), order), order.remaining)
    done = _time_share(order, algo, strategy, now)
    uneven = Decimal(str(chance.uniform(*_UNEVEN))) if done < 1 else _UNIT
    behind = order.terms.quantity * Decimal(str(strategy.progress(done))) - order.filled
    wanted = order.remaining if done >= 1 else _whole(behind * uneven, order) if behind > 0 else ZERO
    if algo.get("maxPctVol"):
        wanted = min(wanted, _whole(turnover * Decimal(algo.get("maxPctVol")), order))
    return min(wanted, order.remaining)


def _time_share(order: PaperOrder, algo: Algo, strategy: Strategy, now: datetime) -> float:
    """How much of its time has gone, 0 to 1."""
    end = algo.moment("endTime")
    if end is not None:
        start = max(algo.moment("startTime") or order.placed_at, order.placed_at)
        return min((now - start) / (end - start), 1.0) if end > start else 1.0
    looks = strategy.looks or {"": _USUAL_LOOKS}
    allowed = looks.get(algo.get(strategy.patience) if strategy.patience else "") or next(
        iter(looks.values())
    )
    return min(order.looks / allowed, 1.0)


def _whole(quantity: Decimal, order: PaperOrder) -> Decimal:
    """A slice in whole units, at least one; what is left where that is less."""
    return min(max(quantity.quantize(_UNIT, ROUND_HALF_UP), _UNIT), order.remaining)
