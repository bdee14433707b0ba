"""How an order is handled at its venue, as callers describe it."""

from datetime import datetime

from pydantic import Field

from oms.api.validation import UtcInstant
from oms.domain.errors import Code, Refused
from oms.domain.handling import Handling, check_handling
from oms.domain.terms import OrderType


class HandlingBody(Handling):
    """Instructions to the venue. Absent ones are none; `good_after` and `send_by` are kept in UTC.

    `trail_amount` or `trail_percent` belongs on TrailingStop and TrailingStopLimit, `limit_offset` on
    TrailingStopLimit. The orders of a bracket name the same `bracket_id` and `size`; one of them is its parent.
    `send_by`: nothing is sent to the venue after it; what works there goes on. `adjustment`: a Stop that begins to
    trail when the market touches its `trigger_price`.
    """

    good_after: UtcInstant | None = Field(None, examples=["2030-01-02T14:30:00Z"])
    send_by: UtcInstant | None = Field(None, examples=["2030-01-02T14:31:00Z"])


PLAIN_BODY = HandlingBody()
_TRAILS = ("trail_amount", "trail_percent")


def check_fit(
    order_type: OrderType, handling: Handling, expires_at: datetime | None = None, within: str = ""
) -> None:
    """Raise Refused, with the field, where an order's handling does not fit the rest of it.

    `within` leads to the order in the body, such as `proposed_orders.0.`.

    INVALID_ORDER_TYPE for a distance that is missing or has no place; VALIDATION_FAILED for a beginning after the end.
    """
    try:
        check_handling(order_type, handling, expires_at)
    except ValueError as error:
        name = _field(str(error), handling)
        code = Code.VALIDATION_FAILED if name == "good_after" else Code.INVALID_ORDER_TYPE
        raise Refused(code, f"{error}.", field=f"{within}handling.{name}", order_type=order_type) from error


def _field(message: str, handling: Handling) -> str:
    """`limit_offset` of a message that begins with its field; one about a trail names the trail that is given."""
    first = message.split(" ", 1)[0]
    given = next((name for name in _TRAILS if getattr(handling, name) is not None), _TRAILS[0])
    return first if first in Handling.model_fields else given
