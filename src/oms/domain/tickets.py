"""What a gateway is told of a placement."""

from oms.domain.order import Order, Placement
from oms.domain.venues import PlacementTicket


def ticket(order: Order, placement: Placement) -> PlacementTicket:
    """What the gateway needs to place, to cancel or to look for `placement`: the terms that the venue confirmed last.

    A change that is not answered is no part of it, so that whoever looks for the placement compares with what is known.
    """
    return PlacementTicket(
        order_id=order.order_id,
        placement_id=placement.placement_id,
        portfolio_id=order.portfolio_id,
        venue=placement.venue,
        account=placement.account or "",
        instrument=order.instrument,
        direction=order.direction,
        quantity=placement.quantity,
        order_type=placement.order_type,
        limit_price=placement.limit_price,
        stop_price=placement.stop_price,
        time_in_force=placement.time_in_force,
        expires_at=placement.expires_at,
        strategy=placement.strategy,
        params=placement.params,
        handling=placement.handling,
        revision=placement.revision,
    )


def change_ticket(order: Order, placement: Placement) -> PlacementTicket:
    """What the gateway needs to change `placement`: the terms as they are to be, under the number of the change."""
    return ticket(order, placement.changed_by(placement.change) if placement.change else placement)
