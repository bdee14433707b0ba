"""What each venue can do, and the ticket that carries one placement to its gateway."""

from datetime import datetime

from oms.domain.facts import Fact
from oms.domain.handling import PLAIN, Handling
from oms.domain.identifiers import order_ref
from oms.domain.model import Open
from oms.domain.numbers import Price, Quantity
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, SecType, TimeInForce, Venue


class PlacementTicket(Open):
    """Everything a gateway needs to work one placement. The same ticket twice is one order at the venue.

    `revision` counts the changes by the desk: the terms are those after that many.
    """

    order_id: str
    placement_id: str
    portfolio_id: str = ""
    venue: str
    account: str
    instrument: Instrument
    direction: Direction
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None = None
    stop_price: Price | None = None
    time_in_force: TimeInForce
    expires_at: datetime | None = None
    strategy: str | None = None
    params: dict[str, str] = {}
    handling: Handling = PLAIN
    revision: int = 0

    @property
    def order_ref(self) -> str:
        """Our reference at the broker."""
        return order_ref(self.placement_id)


class VenueAnswer(Open):
    """What a gateway learned while doing what it was asked; the same facts may arrive by signal as well."""

    facts: tuple[Fact, ...] = ()


_IBKR_TIMES = {
    OrderType.MARKET: frozenset(TimeInForce) - {TimeInForce.FOK},
    OrderType.LIMIT: frozenset(TimeInForce),
    OrderType.STOP: frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD}),
    OrderType.STOP_LIMIT: frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD}),
}
_IBKR_SECURITIES = frozenset({SecType.STOCK, SecType.FUTURE, SecType.OPTION, SecType.CASH})


def unsupported(
    venue: str, instrument: Instrument, order_type: OrderType, time_in_force: TimeInForce
) -> str | None:
    """Why `venue` cannot take such an order, in a sentence, or None where it can."""
    if venue != Venue.IBKR:
        return f"no gateway for {venue} is installed"
    if instrument.sec_type not in _IBKR_SECURITIES:
        return f"IBKR does not take {instrument.sec_type} instruments here"
    if order_type not in _IBKR_TIMES:
        return f"IBKR has no {order_type} order"
    if time_in_force not in _IBKR_TIMES[order_type]:
        return f"IBKR takes no {order_type} order with time in force {time_in_force}"
    return None
