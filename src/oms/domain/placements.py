"""Commands at the venues: place, cancel and resolve a placement, cancel or close the order. Changes: changing.py."""

from collections.abc import Mapping
from decimal import Decimal

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.drafting import Draft
from oms.domain.errors import Code, Refused
from oms.domain.handling import check_handling, handling_for
from oms.domain.numbers import add, plain, subtract
from oms.domain.order import Order, Placement
from oms.domain.strategies import strategy_fault
from oms.domain.terms import ExceptionCode, OrderType, PlacementStatus, State, TimeInForce, Venue
from oms.domain.venues import unsupported


def create_placement(draft: Draft, command: cmd.CreatePlacement) -> None:
    order = draft.order
    if order.placement(command.placement_id) is not None:
        return
    _still_trades(order)
    created = _placement_terms(order, command)
    _venue_can(order, created)
    _fits_the_order(order, created)
    _not_in_a_bracket_twice(order, created)
    draft.resolve_exceptions(ExceptionCode.PLACEMENT_REJECTED, f"placed again as {command.placement_id}")
    draft.add(created)


def _venue_can(order: Order, created: ev.PlacementCreated) -> None:
    reason = unsupported(
        created.venue, order.instrument, created.order_type, created.time_in_force, created.handling
    )
    if reason is not None:
        raise Refused(
            Code.UNSUPPORTED_BY_VENUE,
            f"{reason}; nothing was sent.",
            venue=created.venue,
            order_type=created.order_type,
            time_in_force=created.time_in_force,
        )
    fault = strategy_fault(created.strategy, created.params, created.order_type, created.time_in_force)
    if fault is not None:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"{fault}; nothing was sent.",
            field="strategy",
            strategy=created.strategy,
            params=created.params,
        )


def _not_in_a_bracket_twice(order: Order, created: ev.PlacementCreated) -> None:
    """A bracket is sent once, whole: another placement under its name would wait for ever."""
    bracket = created.handling.bracket
    if bracket is None:
        return
    for placement in order.placements:
        sent = placement.handling.bracket
        if sent is not None and sent.bracket_id == bracket.bracket_id:
            raise Refused(
                Code.VALIDATION_FAILED,
                f"Bracket {bracket.bracket_id} had its placement of this order: {placement.placement_id}. Place it "
                "with a handling of its own.",
                field="handling.bracket",
                bracket_id=bracket.bracket_id,
                placement_id=placement.placement_id,
            )


def _still_trades(order: Order) -> None:
    """An order that is being canceled or closed takes no new placement until its venues have spoken."""
    if order.live_placements and (order.cancel_requested or order.close_requested):
        ending = "canceled" if order.cancel_requested else "closed"
        raise Refused(Code.INVALID_STATE, f"The order is being {ending}.", state=order.state, ending=ending)


def _placement_terms(order: Order, command: cmd.CreatePlacement) -> ev.PlacementCreated:
    """The placement's terms: its own, else the order's. Raises Refused: INVALID_VENUE, INVALID_ORDER_TYPE, ..."""
    if command.venue not in set(Venue):
        raise Refused(
            Code.INVALID_VENUE,
            f"{command.venue!r} is not a venue; there are {', '.join(Venue)}.",
            venue=command.venue,
            allowed=list(Venue),
        )
    order_type = command.order_type or order.order_type
    limit_price = command.limit_price or (order.limit_price if order_type.may_have_limit_price else None)
    stop_price = command.stop_price or (order.stop_price if order_type.may_have_stop_price else None)
    handling = command.handling or handling_for(order_type, order.request.handling)
    time_in_force = command.time_in_force or order.time_in_force
    expires_at = order.expires_at if time_in_force is TimeInForce.GTD else None
    try:
        cmd.check_prices(order_type, limit_price, stop_price)
        check_handling(order_type, handling, expires_at)
    except ValueError as error:
        raise Refused(Code.INVALID_ORDER_TYPE, f"{error}.", order_type=order_type) from error
    account = command.account or (order.route.account if order.route else None)
    if account is None:
        raise Refused(
            Code.INVALID_ACCOUNT, f"The placement names no account at {command.venue}.", venue=command.venue
        )
    if time_in_force is TimeInForce.GTD and order.expires_at is None:
        raise Refused(
            Code.VALIDATION_FAILED,
            "Only a GTD order says until when a placement stands.",
            field="time_in_force",
        )
    return ev.PlacementCreated(
        placement_id=command.placement_id,
        venue=command.venue,
        account=account,
        quantity=command.quantity,
        order_type=order_type,
        limit_price=limit_price,
        stop_price=stop_price,
        time_in_force=time_in_force,
        expires_at=expires_at,
        strategy=command.strategy,
        params=command.params,
        handling=handling,
    )


def _fits_the_order(order: Order, created: ev.PlacementCreated) -> None:
    committed = add(order.working_quantity, order.executed_quantity)
    if add(committed, created.quantity) > order.ordered_quantity:
        raise Refused(
            Code.PLACEMENT_EXCEEDS_ORDER,
            f"{plain(order.working_quantity)} working and {plain(order.executed_quantity)} executed leave "
            f"{plain(max(Decimal(0), subtract(order.ordered_quantity, committed)))} of {plain(order.ordered_quantity)};"
            f" {plain(created.quantity)} was asked.",
            ordered=plain(order.ordered_quantity),
            working=plain(order.working_quantity),
            executed=plain(order.executed_quantity),
            requested=plain(created.quantity),
        )
    not_worse_than_ordered(order, created.limit_price)
    if created.order_type.trails:
        not_wider_than_ordered(order, created.handling.distances)


def not_worse_than_ordered(order: Order, offered: Decimal | None) -> None:
    """Raise Refused VALIDATION_FAILED where a placement limited to `offered` could trade beyond the order's own limit."""
    limit = order.limit_price
    if limit is None:
        return
    worse = offered is None or (offered > limit if order.direction.sign > 0 else offered < limit)
    if worse:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"The order's limit is {plain(limit)}; a placement may not be worse than that.",
            field="limit_price",
            limit=plain(limit),
            actual=plain(offered) if offered is not None else OrderType.MARKET,
        )


def not_wider_than_ordered(order: Order, distances: Mapping[str, Decimal]) -> None:
    """Raise Refused VALIDATION_FAILED where a stop trails farther behind the market than the order lets it."""
    if not order.order_type.trails:
        return
    ordered = order.request.handling.distances
    for name, distance in distances.items():
        allowed = ordered.get(name)
        if allowed is None or distance > allowed:
            told = f"{name} at most {plain(allowed)}" if allowed else f"by {' and '.join(ordered)}"
            raise Refused(
                Code.VALIDATION_FAILED,
                f"The order trails {told}; {name} {plain(distance)} was asked.",
                field=name,
                allowed={known: plain(value) for known, value in ordered.items()},
                requested=plain(distance),
            )


def named_placement(order: Order, placement_id: str) -> Placement:
    """Raises Refused PLACEMENT_NOT_FOUND."""
    placement = order.placement(placement_id)
    if placement is None:
        raise Refused(
            Code.PLACEMENT_NOT_FOUND, f"The order has no placement {placement_id}.", placement_id=placement_id
        )
    return placement


def cancel_placement(draft: Draft, command: cmd.CancelPlacement) -> None:
    placement = named_placement(draft.order, command.placement_id)
    if placement.status is PlacementStatus.CANCELED:
        raise Refused(
            Code.ALREADY_CANCELED,
            f"{placement.placement_id} is canceled already.",
            placement_id=placement.placement_id,
        )
    if placement.has_ended or placement.is_over:
        raise Refused(
            Code.INVALID_STATE,
            f"{placement.placement_id} is {placement.status}; nothing of it works any more.",
            state=placement.status,
            allowed=[PlacementStatus.WORKING, PlacementStatus.PARTIALLY_FILLED],
        )
    if not placement.cancel_requested:
        draft.add(ev.PlacementCancelRequested(placement_id=placement.placement_id))


def resolve_placement(draft: Draft, command: cmd.ResolvePlacement) -> None:
    placement = named_placement(draft.order, command.placement_id)
    if placement.venue_status is not PlacementStatus.IN_DOUBT:
        raise Refused(
            Code.INVALID_STATE,
            f"{placement.placement_id} is {placement.status}; only a placement in doubt is resolved by hand."
            + (
                " Its change is looked for; cancel the placement if that cannot wait."
                if placement.change
                else ""
            ),
            state=placement.status,
            allowed=[PlacementStatus.IN_DOUBT],
        )
    draft.add(
        ev.PlacementResolved(
            placement_id=placement.placement_id, status=command.status, reason=command.reason
        )
    )


def cancel_what_works(draft: Draft) -> None:
    """Ask each venue to cancel; a placement that has ended and waits for its executions is left to wait."""
    for placement in draft.order.live_placements:
        if not placement.cancel_requested and not placement.has_ended:
            draft.add(ev.PlacementCancelRequested(placement_id=placement.placement_id))


def cancel_order(draft: Draft, command: cmd.CancelOrder) -> None:
    if draft.order.state is not State.ROUTED:
        draft.add(ev.OrderCanceled(reason=command.reason or "canceled on request"))
        return
    if not draft.order.cancel_requested:
        draft.add(ev.OrderCancelRequested(reason=command.reason))
    cancel_what_works(draft)


def close_order(draft: Draft, _command: cmd.CloseOrder) -> None:
    if not draft.order.close_requested:
        draft.add(ev.OrderCloseRequested())
    cancel_what_works(draft)
