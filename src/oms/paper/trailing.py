"""Trailing stops: where the stop stands, the limit that hangs on it, and stops that begin to trail.

A stop follows the bid (selling) or the offer (buying) and never goes back. It is rounded away from the
market, so that it is never tighter than asked. An adjustable stop becomes a trailing one, once and for good, when the
bid (selling) or the offer (buying) comes to its trigger. Source: TWS API, "Available Orders", Trailing Stop, and
"Adjustable Stops".
"""

from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from oms.paper.acceptance import LIMIT_TYPES, STOP_TYPES
from oms.paper.instructions import TRAILING_TYPES, Trail, instructions_of
from oms.paper.market import Quote
from oms.paper.order_layout import OrderFields
from oms.paper.orders import OrderTerms, PaperOrder


def stop_of(order: PaperOrder) -> Decimal | None:
    """The stop an order waits for now; None for one without."""
    trails = order.terms.order_type in TRAILING_TYPES
    return order.trail_stop if trails else order.terms.stop


def limit_of(order: PaperOrder) -> Decimal | None:
    """The limit an order trades at now; None for one without."""
    terms = order.terms
    if terms.order_type in LIMIT_TYPES:
        return terms.limit
    trail = terms.instructions.trail
    if terms.order_type != "TRAIL LIMIT" or trail is None or trail.offset is None or order.trail_stop is None:
        return None
    limit = order.trail_stop + (trail.offset if terms.side == "BUY" else -trail.offset)
    return terms.instrument.rounded(limit, ROUND_FLOOR if terms.side == "BUY" else ROUND_CEILING)


def trailed(order: PaperOrder, quote: Quote) -> PaperOrder:
    """The order with its stop where it begins, and then where the market has taken it.

    The same order if it did not move.
    """
    trail = order.terms.instructions.trail
    if trail is None or order.triggered:
        return order
    stop = _behind(order.terms, trail, quote)
    if order.trail_stop is not None:
        stop = min(stop, order.trail_stop) if order.terms.side == "BUY" else max(stop, order.trail_stop)
    elif trail.starts is not None:
        stop = trail.starts
    return order if stop == order.trail_stop else replace(order, trail_stop=stop)


def adjusted(order: PaperOrder, quote: Quote) -> PaperOrder:
    """The order as its adjustment makes it where the market has come to the trigger; else the same order."""
    adjustment = order.terms.instructions.adjustment
    if adjustment is None or adjustment.trigger is None or order.triggered:
        return order
    buys = order.terms.side == "BUY"
    come = quote.ask <= adjustment.trigger if buys else quote.bid >= adjustment.trigger
    if not come:
        return order
    begun = replace(order, terms=adjusted_terms(order.terms), trail_stop=adjustment.trail.starts)
    return trailed(begun, quote)


def adjusted_terms(terms: OrderTerms) -> OrderTerms:
    """An adjustable stop as the trailing stop that it becomes. Its fields still tell what it was adjusted by."""
    adjustment = terms.instructions.adjustment
    if adjustment is None:
        return terms
    trail, texts = adjustment.trail, dict(terms.attributes.texts)
    texts |= {
        "orderType": adjustment.becomes,
        "auxPrice": _text(trail.amount),
        "trailingPercent": _text(trail.percent),
        "trailStopPrice": _text(trail.starts),
    }
    sent = OrderFields(texts, terms.attributes.rows)
    return replace(
        terms,
        order_type=adjustment.becomes,
        stop=None,
        attributes=sent,
        instructions=instructions_of(sent),
    )


def stop_after_modify(order: PaperOrder, terms: OrderTerms) -> Decimal | None:
    """Where the stop of a changed order begins; None lets the market give it anew.

    The same distance goes on from where the stop is, and so does a stop that is named as it was or is.
    """
    old, new = order.terms.instructions.trail, terms.instructions.trail
    if old is None or new is None:
        return None
    if new.starts not in {None, old.starts, order.trail_stop}:
        return new.starts
    same = (old.amount, old.percent) == (new.amount, new.percent)
    return order.trail_stop if same else None


def reached(order: PaperOrder, quote: Quote) -> bool:
    """Whether the market has come to the order's stop."""
    stop = stop_of(order)
    if stop is None or order.terms.order_type not in STOP_TYPES:
        return False
    return quote.ask >= stop if order.terms.side == "BUY" else quote.bid <= stop


def _behind(terms: OrderTerms, trail: Trail, quote: Quote) -> Decimal:
    buying = terms.side == "BUY"
    price = quote.ask if buying else quote.bid
    distance = trail.amount if trail.amount is not None else price * (trail.percent or Decimal(0)) / 100
    stop = price + distance if buying else price - distance
    return terms.instrument.rounded(stop, ROUND_CEILING if buying else ROUND_FLOOR)


def _text(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"
