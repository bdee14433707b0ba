"""What a new or changed order must satisfy before the paper broker takes it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from oms.paper.orders import OrderTerms

STOP_TYPES = frozenset({"STP", "STP LMT"})
LIMIT_TYPES = frozenset({"LMT", "STP LMT", "LOC"})
CLOSING_TYPES = frozenset({"MOC", "LOC"})
ORDER_TYPES = frozenset({"MKT"}) | LIMIT_TYPES | STOP_TYPES | CLOSING_TYPES
TIMES_IN_FORCE = frozenset({"", "DAY", "GTC", "IOC", "FOK", "GTD", "OPG"})

_BAD_TICK = "The price does not conform to the minimum price variation for this contract."


def problem(terms: OrderTerms, now: datetime, rejects: Mapping[str, str]) -> tuple[int, str] | None:
    """(TWS error code, text) why the terms cannot be accepted, None if they can.

    ``rejects`` is symbol to reason, in addition to the instrument's own refusal. 110, 387 and 434 come as
    the error alone; 201 leaves an order in status Inactive behind.
    """
    if terms.order_type not in ORDER_TYPES:
        return 387, "Unsupported order type for this exchange and security type."
    if terms.quantity <= 0:
        return 434, "The order size cannot be zero."
    prices = [
        price
        for price, types in ((terms.limit, LIMIT_TYPES), (terms.stop, STOP_TYPES))
        if terms.order_type in types
    ]
    if any(price is not None and not terms.instrument.on_tick(price) for price in prices):
        return 110, _BAD_TICK
    reason = _reason(terms, prices, now, rejects)
    return (201, f"Order rejected - reason:{reason}") if reason else None


def _reason(
    terms: OrderTerms, prices: list[Decimal | None], now: datetime, rejects: Mapping[str, str]
) -> str:
    if terms.tif not in TIMES_IN_FORCE:
        return f"Invalid time in force:{terms.tif}."
    if any(price is None for price in prices):
        return "The order has no price."
    if any(price is not None and price <= 0 for price in prices):
        return "The price must be positive."
    if terms.good_till is not None and terms.good_till <= now:
        return "The good till date is in the past."
    if terms.attributes.rows.get("conditions") or terms.attributes.get("goodAfterTime"):
        # Working such an order at once would be wrong, and nobody would notice.
        return "Conditions and goodAfterTime are not offered by the paper gateway."
    return rejects.get(terms.instrument.symbol, terms.instrument.refusal)
