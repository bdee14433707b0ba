"""The two events of a signed command that no venue tells: that it was taken, and that an order of it was opened."""

from collections.abc import Mapping
from typing import Any, Final

from oms.domain.commands import CreateOrder
from oms.domain.programs.envelopes import Envelope
from oms.domain.programs.events import RECEIVED, VenueEvent
from oms.domain.programs.tenants import Tenant
from oms.domain.reference import Instrument
from oms.domain.terms import OrderType

OMS: Final = "oms"
"""The name under which they are kept, in place of a gateway's."""
_ORDER_TYPES: Mapping[OrderType, str] = {OrderType.MARKET: "MKT", OrderType.LIMIT: "LMT"}


def taken(message_id: str, envelope: Envelope, tenant: Tenant, now_ns: int) -> VenueEvent:
    """The command was found good, and is being carried out. Its type is the command's kind."""
    told = {name: envelope.payload[name] for name in ("echo", "dry_run") if name in envelope.payload}
    orders = envelope.payload.get("orders")
    count = {"orders": len(orders)} if isinstance(orders, list | tuple) else {}
    return VenueEvent(
        natural_key=f"{envelope.kind}/{message_id}",
        event_type=envelope.kind.value,
        body={"event_type": envelope.kind.value, "tenant": tenant.tenant, **count, **told},
        ts_init_ns=now_ns,
        portfolio_id=tenant.portfolio_id,
        message_id=message_id,
    )


def received(
    message_id: str,
    order_index: int,
    order_id: str,
    request: CreateOrder,
    instrument: Instrument,
    now_ns: int,
) -> VenueEvent:
    """An order of the command is in the order book. Once for each entry."""
    body: dict[str, Any] = {
        "event_type": RECEIVED,
        "order_id": order_id,
        "symbol": instrument.symbol,
        "secType": instrument.sec_type.value,
        "action": "BUY" if request.direction.sign > 0 else "SELL",
        "totalQuantity": request.ordered_quantity,
        "orderType": _ORDER_TYPES.get(request.order_type, request.order_type.value),
    }
    priced = {} if request.limit_price is None else {"lmtPrice": request.limit_price}
    routed = {} if request.route is None else {"account": request.route.account}
    return VenueEvent(
        natural_key=f"{RECEIVED}/{message_id}/{order_index}",
        event_type=RECEIVED,
        body={**body, **priced, **routed},
        ts_init_ns=now_ns,
        order_id=order_id,
        portfolio_id=request.portfolio_id,
        message_id=message_id,
        order_index=order_index,
    )
