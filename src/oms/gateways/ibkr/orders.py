"""A placement ticket as the order that goes over the wire. Source of types and times: TWS API, "Available Orders"."""

from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, cast

from ib_async import Order

from oms.domain.handling import Adjustment, OcaType
from oms.domain.numbers import multiply, plain
from oms.domain.terms import Direction, OrderType, SecType, TimeInForce
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.algos import UnsupportedStrategy, algorithm, moment

ACTION = {
    Direction.BUY: "BUY",
    Direction.BUY_TO_COVER: "BUY",
    Direction.SELL: "SELL",
    Direction.SELL_SHORT: "SELL",
}
_TYPES = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
    OrderType.TRAILING_STOP: "TRAIL",
    OrderType.TRAILING_STOP_LIMIT: "TRAIL LIMIT",
    OrderType.MID_PRICE: "MIDPRICE",
}
_CLOSING_TYPES = {OrderType.MARKET: "MOC", OrderType.LIMIT: "LOC"}
_TIMES = {
    TimeInForce.DAY: "DAY",
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.GTD: "GTD",
    TimeInForce.AT_THE_OPEN: "OPG",
    TimeInForce.AT_THE_CLOSE: "DAY",
}
_STANDING = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})
_AUCTIONS = frozenset({TimeInForce.AT_THE_OPEN, TimeInForce.AT_THE_CLOSE})
_PLAIN_TYPES = frozenset({OrderType.MARKET, OrderType.LIMIT})
_WHOLE_UNITS = frozenset({SecType.FUTURE, SecType.OPTION, SecType.CASH})
_OCA_TYPES = {OcaType.CANCEL: 1, OcaType.REDUCE: 2}
_IN_PRICE_UNITS, _IN_PERCENT = 0, 1
"""Units of an adjusted trail (TWS API, Order, adjustableTrailingUnit)."""
_A_HUNDREDTH = Decimal("0.01")


class UnsupportedOrder(ValueError):
    """IBKR has no such order; the message is a sentence for a person."""


def order_of(ticket: PlacementTicket, order_id: int, *, parent_id: int = 0, transmit: bool = True) -> Order:
    """A fresh ib_async Order. Quantities and prices are plain decimal text, as they go out on the wire.

    Fresh each time: the library changes the object that it sends. `parent_id` is the broker order id of the
    parent of a bracket; an order with `transmit` False is held at the broker until one of its family comes
    with True. Raises UnsupportedOrder.
    """
    _check_security(ticket)
    order = Order(
        orderId=order_id,
        action=ACTION[ticket.direction],
        orderType=_order_type(ticket),
        tif=_TIMES[ticket.time_in_force],
        account=ticket.account,
        orderRef=ticket.order_ref,
        parentId=parent_id,
        transmit=transmit,
        outsideRth=ticket.handling.outside_rth,
    )
    order.totalQuantity = _number(ticket.quantity)
    _price(order, ticket)
    _adjust(order, ticket)
    _time(order, ticket)
    _group(order, ticket)
    _strategy(order, ticket)
    return order


def _check_security(ticket: PlacementTicket) -> None:
    """What IBKR does not take for some instruments (TWS API, "Available Orders", products of each type)."""
    sec_type = ticket.instrument.sec_type
    if sec_type in _WHOLE_UNITS and ticket.quantity % 1:
        raise UnsupportedOrder(f"IBKR trades {sec_type} in whole units only, not {plain(ticket.quantity)}")
    if sec_type is SecType.CASH and ticket.time_in_force in _AUCTIONS:
        raise UnsupportedOrder("currencies have no auctions: AtTheOpen and AtTheClose do not apply")
    if ticket.order_type is OrderType.MID_PRICE and sec_type is not SecType.STOCK:
        raise UnsupportedOrder(f"IBKR takes MidPrice orders for stocks only, not for {sec_type}")


def _order_type(ticket: PlacementTicket) -> str:
    closes = ticket.time_in_force is TimeInForce.AT_THE_CLOSE
    table = _CLOSING_TYPES if closes else _TYPES
    stands = ticket.time_in_force in _STANDING
    if ticket.order_type not in table or not (stands or ticket.order_type in _PLAIN_TYPES):
        raise UnsupportedOrder(
            f"IBKR has no {ticket.order_type} order with time in force {ticket.time_in_force}"
        )
    return table[ticket.order_type]


def _price(order: Order, ticket: PlacementTicket) -> None:
    order_type, handling = ticket.order_type, ticket.handling
    if order_type.needs_limit_price:
        order.lmtPrice = _number(_required(ticket.limit_price, "limit price"))
    elif order_type.may_have_limit_price and ticket.limit_price is not None:
        order.lmtPrice = _number(ticket.limit_price)
    if order_type.needs_stop_price:
        order.auxPrice = _number(_required(ticket.stop_price, "stop price"))
    if not order_type.trails:
        return
    if handling.trail_percent is not None:
        order.trailingPercent = _number(handling.trail_percent)
    else:
        order.auxPrice = _number(_required(handling.trail_amount, "trailing amount or percentage"))
    # Only where the trail begins: later the venue moves it, and a change does not set it back.
    if ticket.stop_price is not None and ticket.revision == 0:
        order.trailStopPrice = _number(ticket.stop_price)
    if order_type is OrderType.TRAILING_STOP_LIMIT:
        order.lmtPriceOffset = _number(_required(handling.limit_offset, "limit offset"))


def begins(adjustment: Adjustment, direction: Direction) -> Decimal:
    """Where an adjusted stop begins to trail: as it is told, else its distance behind the trigger. Raises UnsupportedOrder."""
    if adjustment.stop_price is not None:
        return adjustment.stop_price
    share = multiply(adjustment.trail_percent or Decimal(0), _A_HUNDREDTH)
    distance = adjustment.trail_amount or multiply(adjustment.trigger_price, share)
    stop = adjustment.trigger_price + direction.sign * distance
    if stop <= 0:
        raise UnsupportedOrder(
            f"a stop that trails {plain(distance)} behind {plain(adjustment.trigger_price)} has no price above zero"
        )
    return stop


def _adjust(order: Order, ticket: PlacementTicket) -> None:
    """A stop that becomes a trailing one when the market touches a price (TWS API, "Adjustable Stops")."""
    adjustment = ticket.handling.adjustment
    if adjustment is None:
        return
    stop = begins(adjustment, ticket.direction)
    for price in (_required(ticket.stop_price, "stop price"), stop):
        if (price - adjustment.trigger_price) * ticket.direction.sign <= 0:
            side = "below" if ticket.direction.sign > 0 else "above"
            raise UnsupportedOrder(
                f"a {ticket.direction} stop at {plain(price)} begins to trail at a price {side} it, "
                f"not at {plain(adjustment.trigger_price)}"
            )
    order.adjustedOrderType = _TYPES[OrderType.TRAILING_STOP]
    order.triggerPrice = _number(adjustment.trigger_price)
    order.adjustedStopPrice = _number(stop)
    if adjustment.trail_percent is not None:
        order.adjustedTrailingAmount = _number(adjustment.trail_percent)
        order.adjustableTrailingUnit = _IN_PERCENT
    else:
        order.adjustedTrailingAmount = _number(_required(adjustment.trail_amount, "trailing amount"))
        order.adjustableTrailingUnit = _IN_PRICE_UNITS


def _time(order: Order, ticket: PlacementTicket) -> None:
    if ticket.time_in_force is TimeInForce.GTD:
        order.goodTillDate = _good_till(ticket.expires_at)
    if ticket.handling.good_after is not None:
        order.goodAfterTime = moment(ticket.handling.good_after)


def oca_name(ticket: PlacementTicket) -> str:
    """The group's name at the broker: the client's own, kept apart from the same name of another portfolio or account."""
    name = ticket.handling.oca_group
    owner = f"{ticket.portfolio_id}/{ticket.account}/{name}"
    return f"{name}-{sha256(owner.encode()).hexdigest()[:12]}"


def _group(order: Order, ticket: PlacementTicket) -> None:
    if ticket.handling.oca_group is not None:
        order.ocaGroup = oca_name(ticket)
        order.ocaType = _OCA_TYPES[ticket.handling.oca_type]


def _strategy(order: Order, ticket: PlacementTicket) -> None:
    if ticket.strategy is None:
        return
    if ticket.order_type not in _PLAIN_TYPES or ticket.time_in_force is not TimeInForce.DAY:
        raise UnsupportedOrder(
            f"IBKR works {ticket.strategy} on Market and Limit orders of the day only, "
            f"not on {ticket.order_type} {ticket.time_in_force}"
        )
    try:
        order.algoStrategy, order.algoParams = algorithm(ticket.strategy, ticket.params)
    except UnsupportedStrategy as error:
        raise UnsupportedOrder(str(error)) from error


def _required(price: Decimal | None, name: str) -> Decimal:
    if price is None:
        raise UnsupportedOrder(f"the order has no {name}")
    return price


def _good_till(instant: datetime | None) -> str:
    if instant is None:
        raise UnsupportedOrder("a GTD order needs expires_at")
    return moment(instant)


def _number(value: Decimal) -> Any:
    # The client writes text as it is; a float would go out as 0.30000000000000004, a Decimal as 1E-7.
    return cast("Any", plain(value))
