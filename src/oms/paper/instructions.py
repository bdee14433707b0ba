"""What an order asks for beside its price and its time in force, read from the fields as they were sent.

Source of the attributes: TWS API, Order (auxPrice, trailingPercent, trailStopPrice, lmtPriceOffset, outsideRth,
goodAfterTime, algoStrategy, algoParams, adjustedOrderType, triggerPrice, adjustedStopPrice, adjustedTrailingAmount,
adjustableTrailingUnit).
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from oms.paper.hours import moment_of
from oms.paper.order_layout import OrderFields
from oms.paper.wire import decimal_of

TRAILING_TYPES = frozenset({"TRAIL", "TRAIL LIMIT"})
AMOUNT, PERCENT = "0", "1"
"""The units of an adjusted trail."""


@dataclass(frozen=True, slots=True)
class Trail:
    """How far a stop stays behind the market: ``amount`` in price units, or ``percent`` of the price.

    ``starts`` is the first stop, None for one that the market gives. ``offset``: the distance of a TRAIL
    LIMIT order's limit from its stop.
    """

    amount: Decimal | None = None
    percent: Decimal | None = None
    starts: Decimal | None = None
    offset: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a stop becomes when the market comes to ``trigger``: an order of type ``becomes``, behind ``trail``.

    ``unit`` as it was sent: 0 for a distance in price units, 1 for a percentage.
    """

    becomes: str
    trigger: Decimal | None
    unit: str
    trail: Trail


@dataclass(frozen=True, slots=True)
class Algo:
    """An IB algorithm by its name, with its tags and values as they were sent."""

    name: str
    params: tuple[tuple[str, str], ...] = ()

    def get(self, tag: str) -> str:
        """The value of a tag; empty where it was not sent."""
        return dict(self.params).get(tag, "")

    def flag(self, tag: str) -> bool:
        return self.get(tag) == "1"

    def moment(self, tag: str) -> datetime | None:
        """The time of a tag. Raises ValueError for a text that is none."""
        text = self.get(tag)
        return moment_of(text) if text else None


@dataclass(frozen=True, slots=True)
class Instructions:
    """``good_after`` is aware: the order does nothing before. ``outside_rth``: it may trade in extended hours."""

    trail: Trail | None = None
    adjustment: Adjustment | None = None
    algo: Algo | None = None
    good_after: datetime | None = None
    outside_rth: bool = False


PLAIN = Instructions()
"""Nothing out of the ordinary."""


def instructions_of(sent: OrderFields) -> Instructions:
    """The instructions in an order's fields.

    Raises ValueError for a goodAfterTime, WireError for a number that cannot be read.
    """
    after = sent.get("goodAfterTime")
    name = sent.get("algoStrategy")
    params = sent.rows.get("algoParams", [])
    return Instructions(
        trail=_trail(sent) if sent.get("orderType") in TRAILING_TYPES else None,
        adjustment=adjustment_of(sent) if sent.get("orderType") == "STP" else None,
        algo=Algo(name, tuple((tag, value) for tag, value in params)) if name else None,
        good_after=moment_of(after) if after else None,
        outside_rth=sent.get("outsideRth") == "1",
    )


def adjustment_of(sent: OrderFields) -> Adjustment | None:
    """What a stop is to become, or has become; None for any other order. Raises WireError as above."""
    becomes = sent.get("adjustedOrderType")
    if becomes in {"", "None"}:
        return None
    distance, unit = decimal_of(sent.get("adjustedTrailingAmount")), sent.get("adjustableTrailingUnit")
    percent = unit == PERCENT
    trail = Trail(
        amount=None if percent else distance,
        percent=distance if percent else None,
        starts=decimal_of(sent.get("adjustedStopPrice")),
    )
    return Adjustment(becomes, decimal_of(sent.get("triggerPrice")), unit, trail)


def _trail(sent: OrderFields) -> Trail:
    # An order that was rebuilt from openOrder carries 0.0 where nothing was set.
    starts = decimal_of(sent.get("trailStopPrice")) or None
    offset = decimal_of(sent.get("lmtPriceOffset"))
    limit = decimal_of(sent.get("lmtPrice")) or None
    if offset is None and starts is not None and limit is not None:
        offset = abs(starts - limit)
    return Trail(
        amount=decimal_of(sent.get("auxPrice")) or None,
        percent=decimal_of(sent.get("trailingPercent")) or None,
        starts=starts,
        offset=offset if sent.get("orderType") == "TRAIL LIMIT" else None,
    )
