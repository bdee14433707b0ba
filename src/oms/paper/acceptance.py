"""What a new or changed order must satisfy before the paper broker takes it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from oms.paper.algos import algo_problem
from oms.paper.instructions import AMOUNT, PERCENT, TRAILING_TYPES, Trail
from oms.paper.orders import HELD, OrderTerms, PaperOrder

STOP_TYPES = frozenset({"STP", "STP LMT"}) | TRAILING_TYPES
LIMIT_TYPES = frozenset({"LMT", "STP LMT", "LOC"})
CLOSING_TYPES = frozenset({"MOC", "LOC"})
_EVERYWHERE = frozenset({"MKT", "LMT"}) | STOP_TYPES
ORDER_TYPES: Mapping[str, frozenset[str]] = {
    "STK": _EVERYWHERE | CLOSING_TYPES | {"MIDPRICE"},
    "FUT": _EVERYWHERE | CLOSING_TYPES,
    "OPT": _EVERYWHERE,
    "CASH": _EVERYWHERE,
}
"""By security type. Source: TWS API, "Available Orders"."""
EXTENDED_TYPES = frozenset({"LMT"}) | STOP_TYPES
"""What may trade outside regular hours when outsideRth is set; on other types it is ignored (2109)."""
_TIMES = frozenset({"", "DAY", "GTC", "GTD", "IOC", "FOK", "OPG"})
_RESTING_TIMES = frozenset({"", "DAY", "GTC", "GTD"})
_DAY_ONLY = frozenset({"", "DAY"})
_OPENING_SECURITIES = frozenset({"STK", "OPT"})
_CONTRACTS = frozenset({"FUT", "OPT"})
_SMALLEST_FOREX = Decimal(20_000)

_OUTSIDE_IGNORED = (
    "Order Event Warning:Attribute 'Outside Regular Trading Hours' is ignored based on the order type and"
    " destination. PlaceOrder is now being processed."
)
_BAD_TICK = "The price does not conform to the minimum price variation for this contract."


def problem(terms: OrderTerms, now: datetime) -> tuple[int, str] | None:
    """(TWS error code, text) why the terms cannot be accepted, None if they can.

    201 leaves an order in status Inactive behind; the others come as the error alone.
    """
    if terms.order_type not in ORDER_TYPES[terms.instrument.security_type]:
        return 387, "Unsupported order type for this exchange and security type."
    if terms.quantity <= 0:
        return 434, "The order size cannot be zero."
    prices = _prices(terms)
    if any(price is not None and not terms.instrument.on_tick(price) for price in prices):
        return 110, _BAD_TICK
    if any(distance % terms.instrument.tick for distance in _distances(terms)):
        return 110, _BAD_TICK
    reason = _reason(terms, prices, now)
    if reason:
        return 201, f"Order rejected - reason:{reason}"
    return algo_problem(terms, now)


def change_problem(order: PaperOrder, terms: OrderTerms) -> tuple[int, str] | None:
    """(error code, text) why an order cannot be changed to these terms; it goes on as it is."""
    old = order.terms
    fixed = (old.instrument, old.side, old.account, old.parent_id)
    if fixed != (terms.instrument, terms.side, terms.account, terms.parent_id):
        return 105, "Order being modified does not match original order"
    if old.instructions.algo != terms.instructions.algo and order.status != HELD:
        return 440, "Order modify failed. Algorithm cannot be modified."
    if terms.quantity < order.filled:
        return 201, "Order rejected - reason:The quantity is below the quantity already filled."
    return None


def refusal(terms: OrderTerms, rejects: Mapping[str, str]) -> tuple[int, str] | None:
    """(201, text) if the broker refuses whatever is transmitted in this contract.

    ``rejects`` is symbol to reason, in addition to the instrument's own refusal.
    """
    reason = rejects.get(terms.instrument.symbol, terms.instrument.refusal)
    return (201, f"Order rejected - reason:{reason}") if reason else None


def notices(terms: OrderTerms, *, trades_now: bool) -> list[tuple[int, str]]:
    """(code, text) of what TWS tells about an order that it takes: they change nothing."""
    told = []
    if not trades_now:
        told.append(
            (399, "Order Message:\nWarning: your order will not be placed at the exchange until it opens.")
        )
    if terms.instructions.outside_rth and terms.order_type not in EXTENDED_TYPES:
        told.append((2109, _OUTSIDE_IGNORED))
    if terms.instrument.security_type == "CASH" and terms.quantity < _SMALLEST_FOREX:
        text = (
            f"Order size is below IdealPro minimum of {_SMALLEST_FOREX} and will be routed as odd lot order."
        )
        told.append((399, f"Order Message:\nWarning: {text}"))
    return told


def _prices(terms: OrderTerms) -> list[Decimal | None]:
    """The prices an order must have."""
    prices = []
    if terms.order_type in LIMIT_TYPES or (terms.order_type == "MIDPRICE" and terms.limit is not None):
        prices.append(terms.limit)
    if terms.order_type in STOP_TYPES - TRAILING_TYPES:
        prices.append(terms.stop)
    adjustment = terms.instructions.adjustment
    prices += [] if adjustment is None else [adjustment.trigger]
    return prices + [trail.starts for trail in _trails(terms) if trail.starts is not None]


def _trails(terms: OrderTerms) -> list[Trail]:
    """How the order trails, and how it will."""
    adjustment = terms.instructions.adjustment
    later = None if adjustment is None else adjustment.trail
    return [trail for trail in (terms.instructions.trail, later) if trail is not None]


def _distances(terms: OrderTerms) -> list[Decimal]:
    return [d for trail in _trails(terms) for d in (trail.amount, trail.offset) if d is not None]


def _reason(terms: OrderTerms, prices: list[Decimal | None], now: datetime) -> str:
    if terms.tif not in _times_of(terms):
        return f"Invalid time in force:{terms.tif}."
    if any(price is None for price in prices):
        return "The order has no price."
    if any(price is not None and price <= 0 for price in prices):
        return "The price must be positive."
    if terms.good_till is not None and terms.good_till <= now:
        return "The good till date is in the past."
    if terms.instrument.security_type in _CONTRACTS and terms.quantity % 1:
        return "The order size must be a whole number of contracts."
    if terms.attributes.rows.get("conditions"):
        # Working such an order at once would be wrong, and nobody would notice.
        return "Conditions are not offered by the paper gateway."
    # On other types it means nothing.
    if terms.order_type in STOP_TYPES and terms.attributes.get("adjustedOrderType") not in {"", "None"}:
        return _adjustment_reason(terms)
    return _trail_reason(terms.instructions.trail, terms) if terms.order_type in TRAILING_TYPES else ""


def _adjustment_reason(terms: OrderTerms) -> str:
    adjustment = terms.instructions.adjustment
    if terms.order_type != "STP" or adjustment is None or adjustment.becomes != "TRAIL":
        return "The paper gateway adjusts stop orders to trailing stops, and nothing else."
    if adjustment.unit not in {AMOUNT, PERCENT}:
        return f"Invalid adjustable trailing unit:{adjustment.unit}."
    return _trail_reason(adjustment.trail, terms)


def _times_of(terms: OrderTerms) -> frozenset[str]:
    if terms.order_type in CLOSING_TYPES or terms.order_type == "MIDPRICE":
        return _DAY_ONLY
    if terms.order_type in STOP_TYPES:
        return _RESTING_TIMES
    opens = terms.instrument.security_type in _OPENING_SECURITIES
    return _TIMES if opens else _TIMES - {"OPG"}


def _trail_reason(trail: Trail | None, terms: OrderTerms) -> str:
    if trail is None or (trail.amount is None) == (trail.percent is None):
        return "A trailing order takes either a trailing amount or a trailing percent."
    if any(distance <= 0 for distance in _distances(terms)):
        return "The trailing amount and the limit offset must be positive."
    if trail.percent is not None and not 0 < trail.percent < 100:
        return "The trailing percent must be between 0 and 100."
    if terms.order_type == "TRAIL LIMIT" and trail.offset is None:
        return "A trailing stop limit order takes a limit price offset."
    return ""
