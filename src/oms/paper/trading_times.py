"""When an order may trade: from when on, in which hours, until when."""

from datetime import datetime

from oms.paper.acceptance import EXTENDED_TYPES
from oms.paper.hours import TradingHours
from oms.paper.orders import OrderTerms


def sleeps(terms: OrderTerms, now: datetime) -> bool:
    """Whether the time has not come at which an order, or the algorithm that works it, begins."""
    after, algo = terms.instructions.good_after, terms.instructions.algo
    start = algo.moment("startTime") if algo is not None else None
    return (after is not None and now < after) or (start is not None and now < start)


def trades(terms: OrderTerms, hours: TradingHours | None, now: datetime) -> bool:
    """Whether the market is open for an order; without hours it always is."""
    return hours is None or hours.is_open(now, extended=_extended(terms))


def expiry(terms: OrderTerms, hours: TradingHours | None, now: datetime) -> datetime | None:
    """When an order that comes now is cancelled; None for never."""
    if terms.tif == "GTD":
        return terms.good_till
    if hours is None or terms.tif == "GTC":
        return None
    begins = max(now, terms.instructions.good_after or now)
    return hours.close_after(begins, extended=_extended(terms))


def _extended(terms: OrderTerms) -> bool:
    instructions = terms.instructions
    return instructions.outside_rth and instructions.algo is None and terms.order_type in EXTENDED_TYPES
