"""A placement ticket as the order that goes over the wire. Source of types and times: TWS API, "Available Orders"."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from ib_async import Order

from oms.domain.numbers import plain
from oms.domain.terms import Direction, OrderType, TimeInForce
from oms.domain.venues import PlacementTicket

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


class UnsupportedOrder(ValueError):
    """IBKR has no such order; the message is a sentence for a person."""


def order_of(ticket: PlacementTicket, order_id: int) -> Order:
    """A fresh ib_async Order. Quantities and prices are plain decimal text, as they go out on the wire.

    Fresh each time: the library changes the object that it sends. Raises UnsupportedOrder.
    """
    order = Order(
        orderId=order_id,
        action=ACTION[ticket.direction],
        orderType=_order_type(ticket),
        tif=_TIMES[ticket.time_in_force],
        account=ticket.account,
        orderRef=ticket.order_ref,
        transmit=True,
    )
    order.totalQuantity = _number(ticket.quantity)
    if ticket.order_type.needs_limit_price:
        order.lmtPrice = _number(_required(ticket.limit_price, "limit price"))
    if ticket.order_type.needs_stop_price:
        order.auxPrice = _number(_required(ticket.stop_price, "stop price"))
    if ticket.time_in_force is TimeInForce.GTD:
        order.goodTillDate = _good_till(ticket.expires_at)
    return order


def _order_type(ticket: PlacementTicket) -> str:
    table = _CLOSING_TYPES if ticket.time_in_force is TimeInForce.AT_THE_CLOSE else _TYPES
    if ticket.order_type not in table:
        raise UnsupportedOrder(
            f"IBKR has no {ticket.order_type} order with time in force {ticket.time_in_force}"
        )
    return table[ticket.order_type]


def _required(price: Decimal | None, name: str) -> Decimal:
    if price is None:
        raise UnsupportedOrder(f"the order has no {name}")
    return price


def _good_till(moment: datetime | None) -> str:
    if moment is None:
        raise UnsupportedOrder("a GTD order needs expires_at")
    return moment.astimezone(UTC).strftime("%Y%m%d-%H:%M:%S")


def _number(value: Decimal) -> Any:
    # The client writes text as it is; a float would go out as 0.30000000000000004, a Decimal as 1E-7.
    return cast("Any", plain(value))
