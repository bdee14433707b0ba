"""Orders for an auction: MOC and LOC trade at the session's end, tif OPG at its beginning."""

from datetime import datetime
from decimal import Decimal

from oms.paper.acceptance import CLOSING_TYPES, LIMIT_TYPES
from oms.paper.hours import TradingHours
from oms.paper.market import Quote
from oms.paper.orders import OrderTerms, PaperOrder
from oms.paper.pricing import at_least_as_good


def for_auction(terms: OrderTerms) -> bool:
    """Whether an order trades in an auction only."""
    return terms.order_type in CLOSING_TYPES or terms.tif == "OPG"


def auction_due(order: PaperOrder, hours: TradingHours | None, now: datetime, *, arriving: bool) -> bool:
    """Whether the auction of an order is now; a market without hours holds one at every step."""
    if hours is None:
        return not arriving
    if order.terms.order_type in CLOSING_TYPES:
        return order.expires is not None and now >= order.expires
    return hours.is_open(now) and not hours.is_open(order.placed_at)


def auction_price(order: PaperOrder, quote: Quote) -> Decimal | None:
    """The price the auction gives an order: the last one; None where its limit does not reach it."""
    limit = order.terms.limit if order.terms.order_type in LIMIT_TYPES else None
    if limit is not None and not at_least_as_good(order.terms.side, quote.last, limit):
        return None
    return quote.last
