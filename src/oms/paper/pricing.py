"""At which price, and how much, an order can trade in the market as it is."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from oms.paper.algos import aim
from oms.paper.instruments import Instrument
from oms.paper.market import Quote
from oms.paper.orders import ZERO, PaperOrder
from oms.paper.trailing import limit_of


def at_least_as_good(side: str, price: Decimal, limit: Decimal) -> bool:
    """Whether a price keeps to a limit."""
    return price <= limit if side == "BUY" else price >= limit


def midpoint(side: str, quote: Quote, instrument: Instrument) -> Decimal:
    """The middle of the market on the tick, half a tick given to the order: down to buy, up to sell."""
    return instrument.rounded(quote.middle, ROUND_FLOOR if side == "BUY" else ROUND_CEILING)


def offered(order: PaperOrder, quote: Quote) -> tuple[Decimal, Decimal]:
    """(price, size) an order can trade at now; size 0 when it is not marketable."""
    terms = order.terms
    side = terms.side
    price, size = (quote.ask, quote.ask_size) if side == "BUY" else (quote.bid, quote.bid_size)
    aimed = "middle" if terms.order_type == "MIDPRICE" else aim(terms)
    if aimed == "middle":
        price = midpoint(side, quote, terms.instrument)
    elif aimed == "last":
        price = quote.last
    elif aimed == "same side":
        price = quote.bid if side == "BUY" else quote.ask
    limit = terms.limit if terms.order_type == "MIDPRICE" else limit_of(order)
    if limit is None:
        return price, size
    if not at_least_as_good(side, price, limit):
        return price, ZERO
    # A resting order is hit at its own price; an arriving one takes the better price it finds.
    at_limit = order.rested and terms.order_type != "MIDPRICE"
    return (limit if at_limit else price), size
