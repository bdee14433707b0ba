"""The two events of a signed command that no venue tells: that it was taken, and that an order of it is being opened."""

from collections.abc import Mapping
from typing import Any, Final

from oms.domain.decide import Opening
from oms.domain.programs.carrying import ENTRIES
from oms.domain.programs.envelopes import Envelope
from oms.domain.programs.events import RECEIVED, VenueEvent
from oms.domain.programs.tenants import Tenant
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


def received(opening: Opening, now_ns: int) -> VenueEvent | None:
    """An entry's order is about to be opened. Told before that, so it stands before whatever the venue says of it.

    Once for each entry of a command; None for an exit, and for an order of nobody's command.
    """
    request, instrument = opening.request, opening.instrument
    message_id, order_index, part = (request.metadata.get(n) for n in ("message_id", "order_index", "part"))
    if not isinstance(message_id, str) or not isinstance(order_index, int) or part not in ENTRIES:
        return None
    body: dict[str, Any] = {
        "event_type": RECEIVED,
        "order_id": opening.order_id,
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
        order_id=opening.order_id,
        portfolio_id=request.portfolio_id,
        message_id=message_id,
        order_index=order_index,
    )
