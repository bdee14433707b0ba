"""Deciding: an order and a command give events, or a refusal. All rules for commands live here and in lifecycle.py."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.apply import fold
from oms.domain.consequences import conclude
from oms.domain.drafting import Draft, nanoseconds
from oms.domain.errors import Code, Refused
from oms.domain.lifecycle import ECONOMICS_OPEN, GATES, may_create
from oms.domain.model import Model
from oms.domain.numbers import add, plain, subtract, total
from oms.domain.order import ComplianceCheck, Order, Placement
from oms.domain.reference import Instrument
from oms.domain.terms import ExceptionCode, OrderType, PlacementStatus, Role, State, TimeInForce, Venue
from oms.domain.venues import unsupported


class Opening(Model):
    """What an order is opened with: the request and what it refers to, as they were at that moment."""

    order_id: str
    request: cmd.CreateOrder
    instrument: Instrument
    default_account_id: str
    actor: cmd.Actor
    ts_event_ns: int
    correlation_id: str | None = None


def open_order(opening: Opening, now: datetime) -> Order:
    """The order after its first event. Raises Refused: NOT_AUTHORIZED, VALIDATION_FAILED."""
    return fold(None, opening_events(opening, now))


def opening_events(opening: Opening, now: datetime) -> list[ev.Event]:
    """The first event of an order. Raises Refused: NOT_AUTHORIZED, VALIDATION_FAILED."""
    role = may_create(opening.actor)
    _in_the_future(opening.request.expires_at, now)
    return [
        ev.Event(
            order_id=opening.order_id,
            seq=1,
            happening=ev.OrderCreated(
                request=opening.request,
                instrument=opening.instrument,
                default_account_id=opening.default_account_id,
            ),
            actor=ev.Stamp(key=opening.actor.key, role=role),
            ts_event_ns=opening.ts_event_ns,
            ts_init_ns=max(nanoseconds(now), opening.ts_event_ns),
            correlation_id=opening.correlation_id,
            state=State.CREATED,
        )
    ]


def decide(order: Order, instruction: cmd.Instruction, now: datetime) -> list[ev.Event]:
    """The events that `instruction` causes; none where it asks for what is already so.

    Raises Refused with the code and the numbers. The order's state is judged first, then the caller's
    role, then the version the caller saw, then the command's own rules.
    """
    command = instruction.command
    role = GATES[command.kind].role_for(instruction.actor, order.state)
    if instruction.expected_version not in (None, order.version):
        raise Refused(
            Code.VERSION_CONFLICT,
            f"The order is at version {order.version}, the caller saw {instruction.expected_version}.",
            version=order.version,
            expected=instruction.expected_version,
        )
    draft = Draft(order, now, ev.Stamp(key=instruction.actor.key, role=role), instruction.correlation_id)
    draft.source_ns = instruction.ts_event_ns
    _RULES[type(command)](draft, command)
    conclude(draft)
    return draft.events


_RULES: dict[type, Callable[[Draft, Any], None]] = {}


def _rule(kind: type) -> Callable[[Callable[[Draft, Any], None]], Callable[[Draft, Any], None]]:
    def register(function: Callable[[Draft, Any], None]) -> Callable[[Draft, Any], None]:
        _RULES[kind] = function
        return function

    return register


def _simple(kind: type, happening: ev.Happening) -> None:
    _RULES[kind] = lambda draft, _command: draft.add(happening)


_simple(cmd.RequestPreTradeCompliance, ev.PreTradeComplianceRequested())
_simple(cmd.SendToTrader, ev.SentToTrader())


def _in_the_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"expires_at {expires_at.isoformat()} is in the past.",
            field="expires_at",
            value=expires_at.isoformat(),
        )


@_rule(cmd.UpdateOrder)
def _update(draft: Draft, command: cmd.UpdateOrder) -> None:
    order, changes = draft.order, command.changes.given()
    economic = sorted(cmd.ECONOMIC & changes.keys())
    state = order.state
    if economic:
        if draft.stamp.role is not Role.PM:
            raise Refused(
                Code.NOT_AUTHORIZED,
                f"{', '.join(economic)} may be changed by pm only; key {draft.stamp.key!r} acts as {draft.stamp.role}.",
                fields=economic,
                roles=[Role.PM],
            )
        if state not in ECONOMICS_OPEN:
            raise Refused(
                Code.FIELD_LOCKED,
                f"{', '.join(economic)} cannot change in {state}; they lock once pre-trade compliance has passed.",
                fields=economic,
                state=state,
                allowed=sorted(ECONOMICS_OPEN),
            )
        _check_terms(order, changes, draft)
        state = State.CREATED if state is State.PENDING_PRE_TRADE_COMPLIANCE else state
    draft.add(
        ev.OrderUpdated(changes=command.changes.model_dump(mode="json", include=set(changes)), state=state)
    )


def _check_terms(order: Order, changes: dict[str, Any], draft: Draft) -> None:
    """The order's terms with `changes` must be terms that could have been created."""
    merged = {name: changes.get(name, getattr(order, name)) for name in cmd.ECONOMIC}
    if merged["ordered_quantity"] is None or merged["time_in_force"] is None:
        missing = "ordered_quantity" if merged["ordered_quantity"] is None else "time_in_force"
        raise Refused(Code.VALIDATION_FAILED, f"{missing} cannot be cleared.", field=missing)
    try:
        cmd.CreateOrder.model_validate({**order.request.model_dump(), **merged})
    except ValueError as error:
        text = str(error).splitlines()[-2].strip() if len(str(error).splitlines()) > 1 else str(error)
        raise Refused(
            Code.INVALID_ORDER_TYPE, text.split(" [type=")[0], order_type=order.order_type
        ) from error
    if "expires_at" in changes and changes["expires_at"] is not None:
        now = draft.now
        _in_the_future(changes["expires_at"], now)


def _check_version(check: ComplianceCheck, version: int | None) -> None:
    if version is not None and version != check.version:
        raise Refused(
            Code.STALE_VERDICT,
            f"The verdict checked version {version}; the check that waits is for version {check.version}.",
            order_version=check.version,
            checked_version=version,
        )


def _four_eyes(draft: Draft, approver_id: str) -> None:
    creator = draft.order.created_by
    if creator in (approver_id, draft.stamp.key):
        raise Refused(
            Code.FOUR_EYES,
            f"{creator!r} created the order and cannot approve an override of its own check.",
            created_by=creator,
            approver_id=approver_id,
        )


@_rule(cmd.PassPreTradeCompliance)
def _pass_pre(draft: Draft, command: cmd.PassPreTradeCompliance) -> None:
    _check_version(draft.order.pre_trade, command.order_version)
    draft.add(ev.PreTradeCompliancePassed(results=command.results))


@_rule(cmd.FailPreTradeCompliance)
def _fail_pre(draft: Draft, command: cmd.FailPreTradeCompliance) -> None:
    _check_version(draft.order.pre_trade, command.order_version)
    draft.add(ev.PreTradeComplianceFailed(violations=command.violations, results=command.results))


@_rule(cmd.OverridePreTradeCompliance)
def _override_pre(draft: Draft, command: cmd.OverridePreTradeCompliance) -> None:
    _four_eyes(draft, command.approver_id)
    draft.add(
        ev.PreTradeComplianceOverridden(
            override_id=command.override_id, reason=command.reason, approver_id=command.approver_id
        )
    )


@_rule(cmd.RequestPostTradeCompliance)
def _request_post(draft: Draft, _command: cmd.RequestPostTradeCompliance) -> None:
    _fully_allocated(draft.order)
    draft.add(ev.PostTradeComplianceRequested())


@_rule(cmd.PassPostTradeCompliance)
def _pass_post(draft: Draft, command: cmd.PassPostTradeCompliance) -> None:
    _check_version(draft.order.post_trade, command.order_version)
    draft.add(ev.PostTradeCompliancePassed(results=command.results))


@_rule(cmd.FailPostTradeCompliance)
def _fail_post(draft: Draft, command: cmd.FailPostTradeCompliance) -> None:
    _check_version(draft.order.post_trade, command.order_version)
    draft.add(ev.PostTradeComplianceFailed(violations=command.violations, results=command.results))


@_rule(cmd.OverridePostTradeCompliance)
def _override_post(draft: Draft, command: cmd.OverridePostTradeCompliance) -> None:
    _four_eyes(draft, command.approver_id)
    draft.add(
        ev.PostTradeComplianceOverridden(
            override_id=command.override_id, reason=command.reason, approver_id=command.approver_id
        )
    )


@_rule(cmd.CreatePlacement)
def _create_placement(draft: Draft, command: cmd.CreatePlacement) -> None:
    order = draft.order
    if order.placement(command.placement_id) is not None:
        return
    created = _placement_terms(order, command)
    reason = unsupported(created.venue, order.instrument, created.order_type, created.time_in_force)
    if reason is not None:
        raise Refused(
            Code.UNSUPPORTED_BY_VENUE,
            f"{reason}; nothing was sent.",
            venue=created.venue,
            order_type=created.order_type,
            time_in_force=created.time_in_force,
        )
    _fits_the_order(order, created)
    draft.resolve_exceptions(ExceptionCode.PLACEMENT_REJECTED, f"placed again as {command.placement_id}")
    draft.add(created)


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
    limit_price = command.limit_price or (order.limit_price if order_type.needs_limit_price else None)
    stop_price = command.stop_price or (order.stop_price if order_type.needs_stop_price else None)
    try:
        cmd.check_prices(order_type, limit_price, stop_price)
    except ValueError as error:
        raise Refused(Code.INVALID_ORDER_TYPE, f"{error}.", order_type=order_type) from error
    account = command.account or (order.route.account if order.route else None)
    if account is None:
        raise Refused(
            Code.INVALID_ACCOUNT, f"The placement names no account at {command.venue}.", venue=command.venue
        )
    time_in_force = command.time_in_force or order.time_in_force
    return ev.PlacementCreated(
        placement_id=command.placement_id,
        venue=command.venue,
        account=account,
        quantity=command.quantity,
        order_type=order_type,
        limit_price=limit_price,
        stop_price=stop_price,
        time_in_force=time_in_force,
        expires_at=order.expires_at if time_in_force is TimeInForce.GTD else None,
        strategy=command.strategy,
        params=command.params,
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
    limit = order.limit_price
    if limit is None:
        return
    offered = created.limit_price
    worse = offered is None or (offered > limit if order.direction.sign > 0 else offered < limit)
    if worse:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"The order's limit is {plain(limit)}; a placement may not be worse than that.",
            field="limit_price",
            limit=plain(limit),
            actual=plain(offered) if offered is not None else OrderType.MARKET,
        )


def _placement(order: Order, placement_id: str) -> Placement:
    placement = order.placement(placement_id)
    if placement is None:
        raise Refused(
            Code.PLACEMENT_NOT_FOUND, f"The order has no placement {placement_id}.", placement_id=placement_id
        )
    return placement


@_rule(cmd.CancelPlacement)
def _cancel_placement(draft: Draft, command: cmd.CancelPlacement) -> None:
    placement = _placement(draft.order, command.placement_id)
    if placement.status is PlacementStatus.CANCELED:
        raise Refused(
            Code.ALREADY_CANCELED,
            f"{placement.placement_id} is canceled already.",
            placement_id=placement.placement_id,
        )
    if placement.is_over:
        raise Refused(
            Code.INVALID_STATE,
            f"{placement.placement_id} is {placement.status}; nothing of it works any more.",
            state=placement.status,
            allowed=[PlacementStatus.WORKING, PlacementStatus.PARTIALLY_FILLED],
        )
    if not placement.cancel_requested:
        draft.add(ev.PlacementCancelRequested(placement_id=placement.placement_id))


@_rule(cmd.ResolvePlacement)
def _resolve_placement(draft: Draft, command: cmd.ResolvePlacement) -> None:
    placement = _placement(draft.order, command.placement_id)
    if placement.venue_status is not PlacementStatus.IN_DOUBT:
        raise Refused(
            Code.INVALID_STATE,
            f"{placement.placement_id} is {placement.status}; only a placement in doubt is resolved by hand.",
            state=placement.status,
            allowed=[PlacementStatus.IN_DOUBT],
        )
    draft.add(
        ev.PlacementResolved(
            placement_id=placement.placement_id, status=command.status, reason=command.reason
        )
    )


def _cancel_live(draft: Draft) -> None:
    for placement in draft.order.live_placements:
        if not placement.cancel_requested:
            draft.add(ev.PlacementCancelRequested(placement_id=placement.placement_id))


@_rule(cmd.CancelOrder)
def _cancel(draft: Draft, command: cmd.CancelOrder) -> None:
    if draft.order.state is not State.ROUTED:
        draft.add(ev.OrderCanceled(reason=command.reason or "canceled on request"))
        return
    if not draft.order.cancel_requested:
        draft.add(ev.OrderCancelRequested(reason=command.reason))
    _cancel_live(draft)


@_rule(cmd.CloseOrder)
def _close(draft: Draft, _command: cmd.CloseOrder) -> None:
    if not draft.order.close_requested:
        draft.add(ev.OrderCloseRequested())
    _cancel_live(draft)


def _fully_allocated(order: Order) -> None:
    if order.allocated_quantity != order.executed_quantity:
        _allocation_mismatch(order, order.allocated_quantity)


def _allocation_mismatch(order: Order, allocated: Decimal) -> None:
    raise Refused(
        Code.ALLOCATION_MISMATCH,
        f"{plain(allocated)} allocated, {plain(order.executed_quantity)} executed.",
        allocated=plain(allocated),
        executed=plain(order.executed_quantity),
    )


@_rule(cmd.CreateAllocation)
def _create_allocation(draft: Draft, command: cmd.CreateAllocation) -> None:
    order = draft.order
    if order.allocation(command.allocation_id) is not None:
        return
    allocated = add(order.allocated_quantity, command.quantity)
    if allocated > order.executed_quantity:
        _allocation_mismatch(order, allocated)
    draft.add(
        ev.AllocationCreated(
            allocation_id=command.allocation_id,
            account_id=command.account_id,
            portfolio_id=command.portfolio_id,
            quantity=command.quantity,
        )
    )


@_rule(cmd.UpdateAllocation)
def _update_allocation(draft: Draft, command: cmd.UpdateAllocation) -> None:
    order = draft.order
    if order.allocation(command.allocation_id) is None:
        raise Refused(
            Code.ALLOCATION_NOT_FOUND,
            f"The order has no allocation {command.allocation_id}.",
            allocation_id=command.allocation_id,
        )
    others = total(a.quantity for a in order.allocations if a.allocation_id != command.allocation_id)
    allocated = add(others, command.quantity)
    if allocated > order.executed_quantity:
        _allocation_mismatch(order, allocated)
    draft.add(ev.AllocationUpdated(allocation_id=command.allocation_id, quantity=command.quantity))


@_rule(cmd.SendToOperations)
def _send_to_operations(draft: Draft, command: cmd.SendToOperations) -> None:
    order = draft.order
    if not order.allocations and order.executed_quantity > 0:
        draft.add(
            ev.AllocationCreated(
                allocation_id=command.allocation_id,
                account_id=order.default_account_id,
                portfolio_id=order.portfolio_id,
                quantity=order.executed_quantity,
            )
        )
    _fully_allocated(draft.order)
    draft.add(ev.SentToOperations())


@_rule(cmd.ConfirmOrder)
def _confirm(draft: Draft, _command: cmd.ConfirmOrder) -> None:
    _fully_allocated(draft.order)
    draft.add(ev.OrderConfirmed())


@_rule(cmd.SettleOrder)
def _settle(draft: Draft, command: cmd.SettleOrder) -> None:
    draft.add(ev.OrderSettled(reason=command.reason))


@_rule(cmd.ReconcileOrder)
def _reconcile(draft: Draft, command: cmd.ReconcileOrder) -> None:
    breaks = [e.detail for e in draft.order.exceptions if e.code is ExceptionCode.BREAK_OPEN]
    if breaks:
        raise Refused(
            Code.BREAK_OPEN,
            f"{len(breaks)} break(s) must be resolved first: {'; '.join(breaks)}.",
            breaks=breaks,
        )
    draft.add(ev.OrderReconciled(reason=command.reason))


@_rule(cmd.RejectOrder)
def _reject(draft: Draft, command: cmd.RejectOrder) -> None:
    draft.add(ev.OrderRejected(reason=command.reason))


@_rule(cmd.ResolveException)
def _resolve_exception(draft: Draft, command: cmd.ResolveException) -> None:
    matching = [
        e for e in draft.order.exceptions if e.code is command.code and command.subject in (None, e.subject)
    ]
    if not matching:
        raise Refused(
            Code.EXCEPTION_NOT_FOUND,
            f"The order has no open {command.code}" + (f" on {command.subject}." if command.subject else "."),
            exception=command.code,
            open=[e.code for e in draft.order.exceptions],
        )
    if command.code is ExceptionCode.PLACEMENT_IN_DOUBT:
        raise Refused(
            Code.INVALID_STATE,
            "A placement in doubt is resolved on the placement: say what became of it.",
            state=draft.order.state,
            placements=[e.subject for e in matching],
        )
    for exception in matching:
        draft.add(ev.ExceptionResolved(code=exception.code, subject=exception.subject, reason=command.reason))
