"""Messages as facts about a placement: pure, given the intent that the message belongs to."""

from decimal import Decimal

from oms.domain.facts import Charged, Executed, PlacementReported
from oms.domain.model import Open
from oms.domain.numbers import Holding, plain
from oms.domain.terms import PlacementStatus, TimeInForce, Venue
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.messages import ExecutionShown, FeeShown, OrderShown, StatusShown
from oms.gateways.ibkr.orders import ACTION

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


class Record(Open):
    """What is known of a placement, kept beside its intent so that a repeated call gets the same answer.

    doubts: how often nobody knew; it makes a report after a doubt news, even of a status told before.
    seen: the venue said that it knows the order id, so it is never sent again. disputed: the order at the
    venue is not the one of the ticket; a person decides.
    """

    status: PlacementStatus = PlacementStatus.SENT
    filled: Holding | None = None
    reason: str | None = None
    doubts: int = 0
    seen: bool = False
    disputed: bool = False


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
    """The natural key of a report: the same status told again is not news."""
    order = str(message.perm_id) if message.perm_id > 0 else f"{message.client_id}:{message.order_id}"
    held = "+locate" if isinstance(message, StatusShown) and is_held(message.status, message.why_held) else ""
    doubt = f"/after-doubt-{record.doubts}" if record.doubts else ""
    return f"status/{order}/{message.status}{held}/{plain(message.filled or Decimal(0))}{doubt}"


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


def execution(message: ExecutionShown, placement_id: str) -> Executed:
    """One execution; a correction is one with a higher suffix, and the order knows what to do with it."""
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


def disagreement(shown: OrderShown, ticket: PlacementTicket) -> str | None:
    """Why the order at the broker is not the one of the ticket, in a sentence, or None where it is."""
    pairs = [("account", shown.account, ticket.account), ("side", shown.action, ACTION[ticket.direction])]
    if not shown.completed:
        # A completed order may be listed without what it was for, only with what was filled.
        pairs.append(("quantity", plain(shown.quantity), plain(ticket.quantity)))
    wrong = [f"{name} {there}, not {here}" for name, there, here in pairs if there not in ("", here)]
    return "the order at the broker is not what was sent: " + "; ".join(wrong) if wrong else None
