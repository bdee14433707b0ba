"""What each venue can do, and the ticket that carries one placement to its gateway."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

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


class Resynced(Open):
    """A gateway's books after it has read the venue's lists anew, `reconciled_ns` being when.

    `unsettled`: placements whose outcome is not known. `foreign_orders`: orders there that are not ours.
    `differences`: positions that are not what our executions make.
    """

    name: str
    reconciled_ns: int
    unsettled: int = 0
    foreign_orders: int = 0
    differences: int = 0


@dataclass(frozen=True)
class Ability:
    """For how long an order of one type may stand, and for which instruments there is one."""

    times: frozenset[TimeInForce]
    securities: frozenset[SecType]


T = TimeInForce
_SECURITIES = frozenset({SecType.STOCK, SecType.FUTURE, SecType.OPTION, SecType.CASH})
_STANDING = frozenset({T.DAY, T.GTC, T.GTD})
_AUCTIONS = frozenset({T.AT_THE_OPEN, T.AT_THE_CLOSE})
IBKR_ABILITIES: Mapping[OrderType, Ability] = MappingProxyType(
    {
        OrderType.MARKET: Ability(frozenset(T) - {T.FOK}, _SECURITIES),
        OrderType.LIMIT: Ability(frozenset(T), _SECURITIES),
        OrderType.STOP: Ability(_STANDING, _SECURITIES),
        OrderType.STOP_LIMIT: Ability(_STANDING, _SECURITIES),
        OrderType.TRAILING_STOP: Ability(_STANDING, _SECURITIES),
        OrderType.TRAILING_STOP_LIMIT: Ability(_STANDING, _SECURITIES),
        OrderType.MID_PRICE: Ability(frozenset({T.DAY}), frozenset({SecType.STOCK})),
    }
)
"""What Interactive Brokers takes (TWS API, "Available Orders"). docs/ibkr.md shows it."""
_AUCTIONED: Mapping[TimeInForce, frozenset[SecType]] = {
    T.AT_THE_OPEN: frozenset({SecType.STOCK, SecType.OPTION}),
    T.AT_THE_CLOSE: frozenset({SecType.STOCK, SecType.FUTURE}),
}
"""What has an auction there (TWS API, "Basic Orders": products of MOO, LOO, MOC and LOC)."""


def unsupported(
    venue: str,
    instrument: Instrument,
    order_type: OrderType,
    time_in_force: TimeInForce,
    handling: Handling = PLAIN,
) -> str | None:
    """Why `venue` cannot take such an order, in a sentence, or None where it can."""
    if venue != Venue.IBKR:
        return f"no gateway for {venue} is installed"
    if instrument.sec_type not in _SECURITIES:
        return f"IBKR does not take {instrument.sec_type} instruments here"
    ability = IBKR_ABILITIES.get(order_type)
    if ability is None:
        return f"IBKR has no {order_type} order"
    if time_in_force not in ability.times:
        return f"IBKR takes no {order_type} order with time in force {time_in_force}"
    if instrument.sec_type not in ability.securities:
        return f"IBKR takes no {order_type} order for {instrument.sec_type} instruments"
    if instrument.sec_type not in _AUCTIONED.get(time_in_force, _SECURITIES):
        return f"{instrument.sec_type} instruments have no such auction: IBKR takes no {time_in_force} order"
    return _cannot_handle(order_type, time_in_force, handling)


def _cannot_handle(order_type: OrderType, time_in_force: TimeInForce, handling: Handling) -> str | None:
    at_once = time_in_force not in _STANDING
    if handling.outside_rth and (time_in_force in _AUCTIONS or (order_type is OrderType.MARKET and at_once)):
        return f"outside_rth does not go with a {order_type} order {time_in_force}"
    if handling.good_after is not None and at_once:
        return f"good_after does not go with time in force {time_in_force}"
    return None
