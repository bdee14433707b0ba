"""What follows by itself from what happened: no person and no venue is asked."""

from oms.domain import events as ev
from oms.domain.drafting import Draft
from oms.domain.lifecycle import WORKING
from oms.domain.order import Placement
from oms.domain.settlement import differences
from oms.domain.terms import ExceptionCode, PlacementStatus, SettlementStatus, State

EXPIRED = "EXPIRED"


def conclude(draft: Draft) -> None:
    """Append every event that the order's facts already imply. Concluding twice appends nothing."""
    _doubts(draft)
    _venue_is_done(draft)
    _close(draft)
    _compare_statement(draft)
    _clear_placement_exceptions(draft)


def _doubts(draft: Draft) -> None:
    """A change in doubt (observe.py) stays so until it is answered or the placement is over."""
    for placement in draft.order.placements:
        if placement.venue_status is PlacementStatus.IN_DOUBT and not placement.is_over:
            draft.raise_exception(
                ExceptionCode.PLACEMENT_IN_DOUBT,
                placement.placement_id,
                placement.reason or f"sent to {placement.venue} and not answered",
            )
        elif placement.change is None:
            draft.resolve_exceptions(
                ExceptionCode.PLACEMENT_IN_DOUBT,
                f"the placement is {placement.status}",
                placement.placement_id,
            )


def _venue_is_done(draft: Draft) -> None:
    """Every placement is over without a fill: canceled, expired, rejected, or the trader's to place again."""
    order = draft.order
    if order.state is not State.ROUTED or order.live_placements or not order.placements:
        return
    if order.cancel_requested:
        draft.conclude(ev.OrderCanceled(reason=order.reason or "canceled on request"), order.ended_by)
        return
    if any(placement.venue_filled > 0 for placement in order.placements):
        return  # a venue counts fills that busts took back: a person decides
    last = order.placements[-1]
    if last.status is PlacementStatus.EXPIRED:
        draft.system(ev.OrderCanceled(reason=EXPIRED))
    elif last.is_grouped and last.status is PlacementStatus.CANCELED and not last.cancel_requested:
        draft.system(ev.OrderCanceled(reason=_venue_reason(last)))
    elif order.is_straight_through and not last.cancel_requested:
        draft.system(ev.OrderRejected(reason=_venue_reason(last)))


def _venue_reason(placement: Placement) -> str:
    """What the venue said, or what we know without it."""
    handling = placement.handling
    with_whom = ""
    if handling.bracket is not None:
        with_whom = f" with its bracket {handling.bracket.bracket_id}"
    elif handling.oca_group is not None:
        with_whom = f" with its group {handling.oca_group}"
    return placement.reason or f"{placement.status} by {placement.venue}{with_whom}"


def _close(draft: Draft) -> None:
    order = draft.order
    if order.close_requested and order.state in WORKING - {State.ROUTED} and not order.live_placements:
        closed = ev.OrderClosed(
            executed_quantity=order.executed_quantity, unfilled_quantity=order.unfilled_quantity
        )
        draft.conclude(closed, order.ended_by)


def _compare_statement(draft: Draft) -> None:
    settlement = draft.order.settlement
    if draft.state is not State.SETTLED or settlement.compared or settlement.statement is None:
        return
    found = differences(draft.order, settlement.statement)
    draft.system(ev.StatementCompared(differences=tuple(d.text for d in found)))
    for difference in found:
        draft.raise_exception(ExceptionCode.BREAK_OPEN, difference.field, difference.text)


def _clear_placement_exceptions(draft: Draft) -> None:
    if draft.state not in WORKING:
        draft.resolve_exceptions(ExceptionCode.PLACEMENT_REJECTED, f"the order is {draft.state}")
    if draft.order.settlement.status is SettlementStatus.SETTLED:
        draft.resolve_exceptions(ExceptionCode.SETTLEMENT_FAILED, "the custodian has settled")
