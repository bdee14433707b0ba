"""Messages as facts about a placement: pure, given the intent that the message belongs to."""

from collections.abc import Sequence
from decimal import Decimal

from oms.domain.facts import Busted, Charged, Executed, PlacementReported
from oms.domain.numbers import plain
from oms.domain.terms import OrderType, PlacementStatus, TimeInForce, Venue
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.messages import ExecutionShown, FeeShown, OrderShown, StatusShown
from oms.gateways.ibkr.orders import ACTION
from oms.gateways.ibkr.records import Record

STATUS: dict[str, PlacementStatus | None] = {
    "ApiPending": PlacementStatus.SENT,
    "PendingSubmit": PlacementStatus.SENT,
    "PreSubmitted": PlacementStatus.WORKING,
    "Submitted": PlacementStatus.WORKING,
    "PendingCancel": None,
    "Cancelled": PlacementStatus.CANCELED,
    "ApiCancelled": PlacementStatus.CANCELED,
    "Filled": PlacementStatus.FILLED,
    "Inactive": PlacementStatus.REJECTED,
}
"""IBKR's order statuses (TWS API, "Order Status") as ours; None says nothing that we do not know."""
OVER = frozenset(
    {PlacementStatus.FILLED, PlacementStatus.CANCELED, PlacementStatus.REJECTED, PlacementStatus.EXPIRED}
)
_LOCATE = "locate"
_IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


def is_held(status: str, why_held: str) -> bool:
    """Whether the order waits for shares to be located for a short sale. `Inactive` may be that too."""
    return _LOCATE in why_held and STATUS.get(status) in (PlacementStatus.WORKING, PlacementStatus.REJECTED)


def placement_status(
    status: str, why_held: str, text: str | None, time_in_force: TimeInForce
) -> PlacementStatus | None:
    """Our status for IBKR's. Raises ValueError for a status that nobody has heard of.

    IBKR says Cancelled for every order that ends unfilled. It expired where the text says so, and where it
    was to be filled at once or not at all.
    """
    if status not in STATUS:
        raise ValueError(f"unknown order status {status!r}")
    if is_held(status, why_held):
        return PlacementStatus.HELD
    ours = STATUS[status]
    expired = "expired" in (text or "").lower() or time_in_force in _IMMEDIATE
    return PlacementStatus.EXPIRED if ours is PlacementStatus.CANCELED and expired else ours


def status_key(message: StatusShown | OrderShown, record: Record) -> str:
    """The natural key of a report: the same status told again is not news, unless there was a doubt or an end between."""
    order = str(message.perm_id) if message.perm_id > 0 else f"{message.client_id}:{message.order_id}"
    held = "+locate" if isinstance(message, StatusShown) and is_held(message.status, message.why_held) else ""
    doubt = f"/after-doubt-{record.doubts}" if record.doubts else ""
    end = f"/after-end-{record.ends}" if record.ends else ""
    return f"status/{order}/{message.status}{held}/{plain(message.filled or Decimal(0))}{doubt}{end}"


def report(
    message: StatusShown | OrderShown, ticket: PlacementTicket, perm_ids: tuple[int, ...]
) -> PlacementReported | None:
    """The placement's status as IBKR tells it, or None where it tells nothing.

    An openOrder cannot say whether an Inactive order is held or rejected, so its end is left to the
    orderStatus that comes with it.
    """
    why_held = message.why_held if isinstance(message, StatusShown) else ""
    status = placement_status(message.status, why_held, message.text, ticket.time_in_force)
    if status is None or (isinstance(message, OrderShown) and not message.completed and status in OVER):
        return None
    return PlacementReported(
        placement_id=ticket.placement_id,
        status=status,
        filled_quantity=message.filled,
        venue_order_ids=tuple(str(perm_id) for perm_id in perm_ids),
        reason=message.text if status in OVER - {PlacementStatus.FILLED} else None,
        ts_event_ns=message.received_ns,
        ts_init_ns=message.received_ns,
    )


def execution(message: ExecutionShown, placement_id: str) -> Executed | Busted:
    """One execution; a correction is one with a higher suffix, and the order knows what to do with it.

    A correction to nothing takes the execution back; its price says nothing, and may be none.
    """
    if message.quantity == 0:
        return Busted(
            placement_id=placement_id,
            exec_id=message.exec_id,
            reason="the broker corrected it to quantity 0",
            ts_event_ns=message.event_ns,
            ts_init_ns=message.received_ns,
        )
    return Executed(
        placement_id=placement_id,
        exec_id=message.exec_id,
        quantity=message.quantity,
        price=message.price,
        currency=message.currency,
        venue=Venue.IBKR,
        ts_event_ns=message.event_ns,
        ts_init_ns=message.received_ns,
    )


def charge(message: FeeShown) -> Charged:
    return Charged(
        exec_id=message.exec_id,
        commission=message.commission,
        currency=message.currency,
        ts_event_ns=message.received_ns,
        ts_init_ns=message.received_ns,
    )


def is_grouped(ticket: PlacementTicket) -> bool:
    """Whether the venue may make the order smaller by itself: when another of its group is filled."""
    return ticket.handling.bracket is not None or ticket.handling.oca_group is not None


def disagreement(
    shown: OrderShown,
    ticket: PlacementTicket,
    *,
    quantities: Sequence[PlacementTicket] = (),
    conid: int = 0,
) -> str | None:
    """Why the order at the broker is not the one of the ticket, in a sentence, or None where it is.

    `quantities`: other tickets whose quantity it may have, because a change is under way or was. `conid`: of
    the contract that was sent; 0 where nobody knows.
    """
    pairs = [("account", shown.account, ticket.account), ("side", shown.action, ACTION[ticket.direction])]
    if conid and shown.conid:
        pairs.append(("contract", str(shown.conid), str(conid)))
    # A completed order may be listed without what it was for, only with what was filled.
    fits = shown.completed or any(_has_quantity(shown, one) for one in (ticket, *quantities))
    if not fits:
        pairs.append(("quantity", plain(shown.quantity), plain(ticket.quantity)))
    wrong = [f"{name} {there}, not {here}" for name, there, here in pairs if there not in ("", here)]
    return "the order at the broker is not what was sent: " + "; ".join(wrong) if wrong else None


def shows(shown: OrderShown, ticket: PlacementTicket) -> bool:
    """Whether an open order has the ticket's quantity and each price that its type has.

    The stop of a trailing order moves with the market and says nothing.
    """
    order_type, handling = ticket.order_type, ticket.handling
    pairs: list[tuple[Decimal | None, Decimal | None]] = []
    if order_type.may_have_limit_price:
        pairs.append((shown.limit_price, ticket.limit_price))
    if order_type.needs_stop_price:
        pairs.append((shown.aux_price, ticket.stop_price))
    if order_type.trails:
        percent = handling.trail_percent is not None
        there = shown.trail_percent if percent else shown.aux_price
        pairs.append((there, handling.trail_percent if percent else handling.trail_amount))
    if order_type is OrderType.TRAILING_STOP_LIMIT:
        pairs.append((shown.limit_offset, handling.limit_offset))
    return _has_quantity(shown, ticket) and all(there == here for there, here in pairs)


def _has_quantity(shown: OrderShown, ticket: PlacementTicket) -> bool:
    return shown.quantity == ticket.quantity or (is_grouped(ticket) and shown.quantity < ticket.quantity)
