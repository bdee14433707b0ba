"""Folding what happens at venues: placements, changes of them, cancels, executions and commissions."""

from typing import Any

from oms.domain import events as ev
from oms.domain.executions import Commission, Execution, Ledger
from oms.domain.folding import Changes, Fold, instant
from oms.domain.lifecycle import WORKING
from oms.domain.numbers import subtract
from oms.domain.order import Order
from oms.domain.placement import Change, Placement, RoundedTerms
from oms.domain.terms import PlacementStatus, State


def _place(order: Order, placement_id: str, **update: Any) -> Changes:
    """The placement with `update`; its `since` moves when its status does."""
    at = update.pop("at")
    placements = []
    for placement in order.placements:
        if placement.placement_id == placement_id:
            changed = placement.model_copy(update=update)
            if changed.status is not placement.status:
                changed = changed.model_copy(update={"since": at})
            placements.append(changed)
        else:
            placements.append(placement)
    return {"placements": tuple(placements)}


def _placement_created(order: Order, happening: ev.PlacementCreated, event: ev.Event) -> Changes:
    at = instant(event.ts_init_ns)
    terms = happening.model_dump(exclude={"kind"})
    placement = Placement(**terms, created_at=at, since=at)
    state = order.state if order.state in WORKING else State.ROUTED
    placements = (*order.placements, placement)
    return {"placements": placements, "state": state, "cancel_requested": False, "close_requested": False}


def _terms_rounded(order: Order, happening: ev.PlacementTermsRounded, event: ev.Event) -> Changes:
    placement = order.placement(happening.placement_id)
    kept = placement.rounded if placement else ()
    news = RoundedTerms(revision=happening.revision, roundings=happening.roundings)
    return _place(order, happening.placement_id, rounded=(*kept, news), at=instant(event.ts_init_ns))


def _change_requested(order: Order, happening: ev.PlacementChangeRequested, event: ev.Event) -> Changes:
    asked = Change(revision=happening.revision, terms=happening.terms)
    return _place(order, happening.placement_id, last_change=asked, at=instant(event.ts_init_ns))


def _changed(order: Order, happening: ev.PlacementChangedAtVenue, event: ev.Event) -> Changes:
    """The terms of the change are the placement's from now on."""
    placement = order.placement(happening.placement_id)
    if placement is None or placement.last_change is None:
        return {}
    changed = placement.changed_by(placement.last_change)
    update = {name: getattr(changed, name) for name in _CHANGEABLE}
    return _place(order, happening.placement_id, **update, last_change=None, at=instant(event.ts_init_ns))


_CHANGEABLE = ("quantity", "limit_price", "stop_price", "handling", "revision")


def _change_refused(order: Order, happening: ev.PlacementChangeRefused, event: ev.Event) -> Changes:
    """It works as before. What was asked is kept: should the venue say later that it has changed, that counts."""
    placement = order.placement(happening.placement_id)
    if placement is None or placement.last_change is None:
        return {}
    refused = placement.last_change.model_copy(update={"refused": happening.reason})
    return _place(
        order,
        happening.placement_id,
        last_change=refused,
        reason=happening.reason,
        at=instant(event.ts_init_ns),
    )


def _placement_cancel_requested(
    order: Order, happening: ev.PlacementCancelRequested, event: ev.Event
) -> Changes:
    return _place(order, happening.placement_id, cancel_requested=True, at=instant(event.ts_init_ns))


def _placement_cancel_refused(order: Order, happening: ev.PlacementCancelRefused, event: ev.Event) -> Changes:
    placed = _place(
        order,
        happening.placement_id,
        cancel_requested=False,
        reason=happening.reason,
        at=instant(event.ts_init_ns),
    )
    reason = None if order.cancel_requested else order.reason
    return {**placed, "cancel_requested": False, "close_requested": False, "reason": reason}


def _placement_reported(order: Order, happening: ev.PlacementReportedByVenue, event: ev.Event) -> Changes:
    placement = order.placement(happening.placement_id)
    moves = placement is not None and placement.venue_status is not happening.status
    # Why a member of a group waited is neither why it works nor why it died.
    kept = None if placement is None or (placement.is_grouped and moves) else placement.reason
    by_hand = (
        placement is not None and placement.resolved_by_hand and placement.venue_status is happening.status
    )
    return _place(
        order,
        happening.placement_id,
        venue_status=happening.status,
        venue_filled=happening.filled_quantity,
        venue_filled_as_of_ns=happening.filled_as_of_ns,
        resolved_by_hand=by_hand,
        venue_order_ids=happening.venue_order_ids,
        reason=happening.reason or kept,
        **_evidence(placement, happening.status, event.ts_event_ns),
        at=instant(event.ts_init_ns),
    )


def _evidence(placement: Placement | None, status: PlacementStatus, at_ns: int) -> Changes:
    """When the venue was last heard of the placement, or when it was last in doubt."""
    if placement is None:
        return {}
    if status is PlacementStatus.IN_DOUBT:
        return {"doubted_ns": max(placement.doubted_ns, at_ns)}
    return {"heard_ns": max(placement.heard_ns, at_ns)}


def _placement_resolved(order: Order, happening: ev.PlacementResolved, event: ev.Event) -> Changes:
    return _place(
        order,
        happening.placement_id,
        venue_status=happening.status,
        resolved_by_hand=True,
        reason=happening.reason,
        at=instant(event.ts_init_ns),
    )


def _with_ledger(order: Order, ledger: Ledger, placement_id: str, event: ev.Event) -> Changes:
    """Whatever the venue did with an execution proves that it has the placement."""
    placement = order.placement(placement_id)
    ended = placement is not None and placement.has_ended
    filled = ledger.of(placement_id)
    update: Changes = {"executed_quantity": filled.quantity, "average_price": filled.average_price}
    if not ended:
        update["venue_status"] = PlacementStatus.WORKING
        update |= _evidence(placement, PlacementStatus.WORKING, event.ts_init_ns)
    if not isinstance(event.happening, ev.FillBooked):
        update["amended_ns"] = event.ts_init_ns
    placed = _place(order, placement_id, **update, at=instant(event.ts_init_ns))
    state = working_state(order, ledger) if order.state in WORKING else order.state
    changes: Changes = {**placed, "ledger": ledger, "state": state}
    if order.cancel_requested and order.state in WORKING and state is not State.ROUTED:
        changes["reason"] = None  # the fill won: what was asked for did not happen
    if order.state is State.PENDING_POST_TRADE_COMPLIANCE:
        changes["post_trade"] = order.post_trade.model_copy(update={"version": event.seq})
    return changes


def working_state(order: Order, ledger: Ledger) -> State:
    """The state that the executed quantity stands for, until the order is closed."""
    executed = ledger.filled.quantity
    if executed <= 0:
        return State.ROUTED
    return State.FILLED if subtract(order.ordered_quantity, executed) <= 0 else State.PARTIALLY_FILLED


def _fill_booked(order: Order, happening: ev.FillBooked | ev.FillCorrected, event: ev.Event) -> Changes:
    execution = Execution(
        exec_id=happening.exec_id,
        placement_id=happening.placement_id,
        quantity=happening.quantity,
        price=happening.price,
        currency=happening.currency,
        venue=happening.venue,
        ts_event_ns=event.ts_event_ns,
        ts_init_ns=event.ts_init_ns,
    )
    return _with_ledger(order, order.ledger.book(execution), happening.placement_id, event)


def _fill_busted(order: Order, happening: ev.FillBusted, event: ev.Event) -> Changes:
    return _with_ledger(order, order.ledger.bust(happening.exec_id), happening.placement_id, event)


def _commission_booked(order: Order, happening: ev.CommissionBooked, _: ev.Event) -> Changes:
    commission = Commission(
        exec_id=happening.exec_id, amount=happening.commission, currency=happening.currency
    )
    return {"ledger": order.ledger.charge(commission)}


VENUE_FOLDS: dict[type, Fold] = {
    ev.PlacementCreated: _placement_created,
    ev.PlacementTermsRounded: _terms_rounded,
    ev.PlacementChangeRequested: _change_requested,
    ev.PlacementChangedAtVenue: _changed,
    ev.PlacementChangeRefused: _change_refused,
    ev.PlacementCancelRequested: _placement_cancel_requested,
    ev.PlacementCancelRefused: _placement_cancel_refused,
    ev.PlacementReportedByVenue: _placement_reported,
    ev.PlacementResolved: _placement_resolved,
    ev.FillBooked: _fill_booked,
    ev.FillCorrected: _fill_booked,
    ev.FillBusted: _fill_busted,
    ev.CommissionBooked: _commission_booked,
}
