"""Changing a placement that works: less of it, or at another price. One change at a time; the venue decides."""

from decimal import Decimal

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.drafting import Draft
from oms.domain.errors import Code, Refused
from oms.domain.numbers import plain
from oms.domain.order import Placement
from oms.domain.placements import named_placement, not_wider_than_ordered, not_worse_than_ordered
from oms.domain.terms import PlacementStatus

_CHANGEABLE = (PlacementStatus.WORKING, PlacementStatus.PARTIALLY_FILLED)
_NOT_ACKNOWLEDGED = frozenset({PlacementStatus.PENDING, PlacementStatus.SENT})


def modify_placement(draft: Draft, command: cmd.ModifyPlacement) -> None:
    order = draft.order
    placement = named_placement(order, command.placement_id)
    _can_be_changed(placement)
    terms = {name: value for name, value in command.terms().items() if value != placement.term(name)}
    if not terms:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"{placement.placement_id} has these terms already: "
            + ", ".join(f"{name} {plain(value)}" for name, value in command.terms().items())
            + ".",
            field=next(iter(command.terms())),
        )
    _belong(placement, terms)
    _quantity_fits(placement, terms.get("quantity"))
    if "limit_price" in terms:
        not_worse_than_ordered(order, terms["limit_price"])
    not_wider_than_ordered(
        order, {name: terms[name] for name in ("trail_amount", "trail_percent") if name in terms}
    )
    draft.add(
        ev.PlacementChangeRequested(
            placement_id=placement.placement_id, revision=placement.next_revision, terms=terms
        )
    )


def _can_be_changed(placement: Placement) -> None:
    why = _why_not(placement)
    if why is not None:
        raise Refused(
            Code.INVALID_STATE,
            f"{placement.placement_id} is {placement.status}: {why}.",
            state=placement.status,
            allowed=list(_CHANGEABLE),
        )


def _why_not(placement: Placement) -> str | None:
    if placement.has_ended or placement.is_over:
        return "nothing of it works any more"
    if placement.cancel_requested:
        return "it is being canceled"
    if placement.venue_status is PlacementStatus.IN_DOUBT:
        return "nobody knows whether the venue has it"
    if placement.venue_status in _NOT_ACKNOWLEDGED:
        return "the venue has not acknowledged it yet"
    if placement.venue_status is PlacementStatus.HELD and placement.handling.bracket is not None:
        return "it waits for its bracket, which is sent as it was asked for; change it when it works"
    if placement.change is not None:
        return f"change {placement.change.revision} is not answered yet, and there is one at a time"
    return None


def _belong(placement: Placement, terms: dict[str, Decimal]) -> None:
    """Each price must be one that an order of this type has; a trail keeps its kind."""
    order_type = placement.order_type
    has = {
        "quantity": True,
        "limit_price": order_type.may_have_limit_price,
        "stop_price": order_type.needs_stop_price,
        "trail_amount": placement.handling.trail_amount is not None,
        "trail_percent": placement.handling.trail_percent is not None,
    }
    for name in terms:
        if not has[name]:
            raise Refused(
                Code.INVALID_ORDER_TYPE,
                f"A {order_type} order that works has no {name} to change.",
                order_type=order_type,
                field=name,
            )


def _quantity_fits(placement: Placement, quantity: Decimal | None) -> None:
    if quantity is None or placement.executed_quantity < quantity < placement.quantity:
        return
    raise Refused(
        Code.VALIDATION_FAILED,
        f"The quantity can become less than {plain(placement.quantity)} and more than the "
        f"{plain(placement.executed_quantity)} executed; {plain(quantity)} was asked. To add, place the rest apart; to "
        "end it, cancel it.",
        field="quantity",
        working=plain(placement.quantity),
        executed=plain(placement.executed_quantity),
        requested=plain(quantity),
    )
