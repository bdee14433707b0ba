"""How a venue is to handle an order beside its price and time: trailing, hours, and the orders it belongs with."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Price
from oms.domain.terms import OrderType

Distance = Price
"""A distance between two prices, above zero."""
Percentage = Annotated[Price, Field(lt=100)]


class BracketRole(StrEnum):
    """The parent opens the position; its children (take profit, stop loss) wait for its fill and die with it."""

    PARENT = "parent"
    CHILD = "child"


class Bracket(Model):
    """A place in a bracket. Nothing of it is transmitted before all `size` orders of `bracket_id` are there."""

    bracket_id: Annotated[Name, Field(max_length=32)]
    role: BracketRole
    size: Annotated[int, Field(ge=2, le=10)]


class OcaType(StrEnum):
    """What a fill does to the others of its group (TWS API, "OCA"): ends them, or makes them smaller."""

    CANCEL = "cancel"
    REDUCE = "reduce"


class Adjustment(Model):
    """What a stop becomes when the market touches `trigger_price`: a trailing stop, so far behind the market.

    Exactly one of trail_amount (in price units) and trail_percent. stop_price: where it begins; without it as far
    behind trigger_price as it trails. Source: TWS API, "Adjusted Stops".
    """

    trigger_price: Price
    stop_price: Price | None = None
    trail_amount: Distance | None = None
    trail_percent: Percentage | None = None

    @model_validator(mode="after")
    def _trails_one_way(self) -> Self:
        if (self.trail_amount is None) == (self.trail_percent is None):
            raise ValueError("an adjustment needs exactly one of trail_amount and trail_percent")
        return self


class Handling(Model):
    """Instructions to the venue.

    trail_amount (in price units) or trail_percent: how far a trailing stop stays behind the market; limit_offset:
    the limit of a trailing stop limit, as a distance from its stop. outside_rth: may trade outside regular hours.
    good_after: not active before. send_by: nothing is sent to the venue after it; what works there goes on.
    oca_group: one-cancels-all; the name is the client's own, unique for a group. adjustment: a stop that begins to trail.
    """

    trail_amount: Distance | None = None
    trail_percent: Percentage | None = None
    limit_offset: Distance | None = None
    outside_rth: bool = False
    good_after: AwareDatetime | None = None
    send_by: AwareDatetime | None = None
    oca_group: Annotated[Name, Field(max_length=32)] | None = None
    oca_type: OcaType = OcaType.CANCEL
    bracket: Bracket | None = None
    adjustment: Adjustment | None = None

    @property
    def distances(self) -> dict[str, Price]:
        """How far the stop and the limit of a trailing order stay behind, by name; those that are given."""
        names = ("trail_amount", "trail_percent", "limit_offset")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.trail_amount is not None and self.trail_percent is not None:
            raise ValueError("trail_amount and trail_percent exclude each other")
        if (
            self.oca_group is not None
            and self.bracket is not None
            and self.bracket.role is BracketRole.PARENT
        ):
            raise ValueError(
                "oca_group does not belong on the parent of a bracket: only children may end one another"
            )
        return self


PLAIN = Handling()
"""Nothing out of the ordinary."""


def check_handling(order_type: OrderType, handling: Handling, expires_at: datetime | None = None) -> None:
    """Raise ValueError unless `handling` has exactly the distances that `order_type` needs, and begins before it ends."""
    begins = handling.good_after
    if begins is not None and expires_at is not None and begins >= expires_at:
        raise ValueError(f"good_after {begins.isoformat()} is not before expires_at {expires_at.isoformat()}")
    trails = handling.trail_amount is not None or handling.trail_percent is not None
    if order_type.trails and not trails:
        raise ValueError(f"trail_amount or trail_percent is required for a {order_type} order")
    if trails and not order_type.trails:
        raise ValueError(f"a trailing distance does not belong on a {order_type} order")
    needs_offset = order_type is OrderType.TRAILING_STOP_LIMIT
    if needs_offset and handling.limit_offset is None:
        raise ValueError(f"limit_offset is required for a {order_type} order")
    if handling.limit_offset is not None and not needs_offset:
        raise ValueError(f"limit_offset does not belong on a {order_type} order")
    if handling.adjustment is not None and order_type is not OrderType.STOP:
        raise ValueError(f"adjustment does not belong on a {order_type} order: only a Stop begins to trail")


def handling_for(order_type: OrderType, handling: Handling) -> Handling:
    """`handling` without the distances and the adjustment that have no place on `order_type`."""
    trails, has_offset = order_type.trails, order_type is OrderType.TRAILING_STOP_LIMIT
    return handling.model_copy(
        update={
            "trail_amount": handling.trail_amount if trails else None,
            "trail_percent": handling.trail_percent if trails else None,
            "limit_offset": handling.limit_offset if has_offset else None,
            "adjustment": handling.adjustment if order_type is OrderType.STOP else None,
        }
    )


def ungrouped(handling: Handling) -> Handling:
    """`handling` outside any bracket or group: those belong to one set of orders, and end with it."""
    return handling.model_copy(update={"bracket": None, "oca_group": None, "oca_type": OcaType.CANCEL})
