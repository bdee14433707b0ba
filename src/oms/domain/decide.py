"""Deciding: an order and a command give events, or a refusal.

The gates (who, from which state) are in lifecycle.py; the rules of commands at the venues are in placements.py and
changing.py, those of allocations in allocations.py; everything else is here.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from oms.domain import commands as cmd
from oms.domain import events as ev
from oms.domain.allocations import (
    allocate,
    allocate_the_rest,
    create_allocation,
    require_full_allocation,
    update_allocation,
)
from oms.domain.apply import fold
from oms.domain.changing import modify_placement
from oms.domain.consequences import conclude
from oms.domain.drafting import Draft, nanoseconds
from oms.domain.errors import Code, Refused
from oms.domain.lifecycle import (
    DESK_EXCEPTION,
    ECONOMIC_UPDATE,
    ECONOMICS_OPEN,
    EXCEPTION_OWNER,
    GATES,
    STRAIGHT_THROUGH,
    Gate,
    may_create,
)
from oms.domain.lineage import (
    abandon_restructuring,
    begin_restructuring,
    complete_restructuring,
    create_remainder,
    join_basket,
    require_free,
)
from oms.domain.model import Model
from oms.domain.order import ComplianceCheck, Order
from oms.domain.placements import (
    cancel_order,
    cancel_placement,
    cancel_what_works,
    close_order,
    create_placement,
    resolve_placement,
)
from oms.domain.reference import Instrument
from oms.domain.terms import ExceptionCode, Role, SettlementStatus, State


class Opening(Model):
    """What an order is opened with: the request and what it refers to, as they were at that moment."""

    order_id: str
    request: cmd.CreateOrder
    instrument: Instrument
    default_account_id: str
    actor: cmd.Actor
    ts_event_ns: int
    correlation_id: str | None = None
    links: tuple[ev.Link, ...] = ()
    shares: tuple[ev.Share, ...] = ()


def open_order(opening: Opening, now: datetime) -> Order:
    """The order after its first event. Raises Refused: NOT_AUTHORIZED, VALIDATION_FAILED."""
    return fold(None, opening_events(opening, now))


def opening_events(opening: Opening, now: datetime) -> list[ev.Event]:
    """The first event of an order. Raises Refused: NOT_AUTHORIZED, VALIDATION_FAILED."""
    role = may_create(opening.actor)
    if not opening.links:  # what grows out of other orders was judged before they were held
        in_the_future(opening.request.expires_at, now)
    return [
        ev.Event(
            order_id=opening.order_id,
            seq=1,
            happening=ev.OrderCreated(
                request=opening.request,
                instrument=opening.instrument,
                default_account_id=opening.default_account_id,
                links=opening.links,
                shares=opening.shares,
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
    role = _gate(order, command).role_for(instruction.actor, order.state)
    if instruction.expected_version not in (None, order.version):
        raise Refused(
            Code.VERSION_CONFLICT,
            f"The order is at version {order.version}, the caller saw {instruction.expected_version}.",
            version=order.version,
            expected=instruction.expected_version,
        )
    require_free(order, command)
    draft = Draft(order, now, ev.Stamp(key=instruction.actor.key, role=role), instruction.correlation_id)
    draft.source_ns = instruction.ts_event_ns
    draft.command_id = instruction.command_id
    _RULES[type(command)](draft, command)
    conclude(draft)
    return draft.events


def _gate(order: Order, command: cmd.Command) -> Gate:
    if order.is_straight_through and command.kind in STRAIGHT_THROUGH:
        return STRAIGHT_THROUGH[command.kind]
    if isinstance(command, cmd.UpdateOrder) and cmd.ECONOMIC & command.changes.model_fields_set:
        return ECONOMIC_UPDATE
    if isinstance(command, cmd.ResolveException) and EXCEPTION_OWNER[command.code] is Role.TRADER:
        return DESK_EXCEPTION
    return GATES[command.kind]


def in_the_future(expires_at: datetime | None, now: datetime) -> None:
    if expires_at is not None and expires_at <= now:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"expires_at {expires_at.isoformat()} is in the past.",
            field="expires_at",
            value=expires_at.isoformat(),
        )


def _update(draft: Draft, command: cmd.UpdateOrder) -> None:
    order, changes = draft.order, command.changes.given()
    economic = sorted(cmd.ECONOMIC & changes.keys())
    state = order.state
    if economic and state not in ECONOMICS_OPEN:
        raise Refused(
            Code.FIELD_LOCKED,
            f"{', '.join(economic)} cannot change in {state}; they lock once pre-trade compliance has passed.",
            fields=economic,
            state=state,
            allowed=sorted(ECONOMICS_OPEN),
        )
    if order.shares and changes.get("ordered_quantity", order.ordered_quantity) != order.ordered_quantity:
        raise Refused(
            Code.FIELD_LOCKED,
            f"ordered_quantity cannot change: {order.order_id} was merged for several portfolios and keeps "
            "their shares.",
            fields=["ordered_quantity"],
            state=state,
        )
    if economic:
        _check_terms(order, changes, draft.now)
    news = {name for name, value in changes.items() if (value or None) != (getattr(order, name) or None)}
    if news & cmd.ECONOMIC and state is State.PENDING_PRE_TRADE_COMPLIANCE:
        state = State.CREATED
    if news:
        draft.add(ev.OrderUpdated(changes=command.changes.model_dump(mode="json", include=news), state=state))


def _check_terms(order: Order, changes: dict[str, Any], now: datetime) -> None:
    """The order's terms with `changes` must be terms that could have been created."""
    merged = {name: changes.get(name, getattr(order, name)) for name in cmd.ECONOMIC}
    for name in ("ordered_quantity", "time_in_force"):
        if merged[name] is None:
            raise Refused(Code.VALIDATION_FAILED, f"{name} cannot be cleared.", field=name)
    try:
        cmd.CreateOrder.model_validate({**order.request.model_dump(), **merged})
    except ValidationError as error:
        text = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise Refused(Code.INVALID_ORDER_TYPE, f"{text}.", order_type=order.order_type) from error
    in_the_future(changes.get("expires_at"), now)


def _check_version(order: Order, check: ComplianceCheck, version: int | None) -> None:
    """A verdict holds for any version since the request: what it checks has not changed since then."""
    if version is not None and not check.version <= version <= order.version:
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


def _request_pre(draft: Draft, _command: cmd.RequestPreTradeCompliance) -> None:
    draft.add(ev.PreTradeComplianceRequested())


def _pass_pre(draft: Draft, command: cmd.PassPreTradeCompliance) -> None:
    _check_version(draft.order, draft.order.pre_trade, command.order_version)
    draft.add(ev.PreTradeCompliancePassed(results=command.results))


def _fail_pre(draft: Draft, command: cmd.FailPreTradeCompliance) -> None:
    _check_version(draft.order, draft.order.pre_trade, command.order_version)
    draft.add(ev.PreTradeComplianceFailed(violations=command.violations, results=command.results))


def _override_pre(draft: Draft, command: cmd.OverridePreTradeCompliance) -> None:
    order = draft.order
    _four_eyes(draft, command.approver_id)
    if order.terms_version > order.pre_trade.version:
        raise Refused(
            Code.STALE_VERDICT,
            f"The check failed at version {order.pre_trade.version}, the terms changed at version "
            f"{order.terms_version}; request compliance again.",
            order_version=order.terms_version,
            checked_version=order.pre_trade.version,
        )
    draft.add(
        ev.PreTradeComplianceOverridden(
            override_id=command.override_id, reason=command.reason, approver_id=command.approver_id
        )
    )


def _send_to_trader(draft: Draft, _command: cmd.SendToTrader) -> None:
    draft.add(ev.SentToTrader())


def _request_post(draft: Draft, _command: cmd.RequestPostTradeCompliance) -> None:
    require_full_allocation(draft.order)
    draft.add(ev.PostTradeComplianceRequested())


def _pass_post(draft: Draft, command: cmd.PassPostTradeCompliance) -> None:
    _check_version(draft.order, draft.order.post_trade, command.order_version)
    draft.add(ev.PostTradeCompliancePassed(results=command.results))


def _fail_post(draft: Draft, command: cmd.FailPostTradeCompliance) -> None:
    _check_version(draft.order, draft.order.post_trade, command.order_version)
    draft.add(ev.PostTradeComplianceFailed(violations=command.violations, results=command.results))


def _override_post(draft: Draft, command: cmd.OverridePostTradeCompliance) -> None:
    _four_eyes(draft, command.approver_id)
    draft.add(
        ev.PostTradeComplianceOverridden(
            override_id=command.override_id, reason=command.reason, approver_id=command.approver_id
        )
    )


def _send_to_operations(draft: Draft, command: cmd.SendToOperations) -> None:
    if not draft.order.allocations:
        allocate_the_rest(draft, command.allocation_id)
    require_full_allocation(draft.order)
    draft.add(ev.SentToOperations())


def _confirm(draft: Draft, _command: cmd.ConfirmOrder) -> None:
    require_full_allocation(draft.order)
    draft.add(ev.OrderConfirmed())


def _settle(draft: Draft, command: cmd.SettleOrder) -> None:
    status = draft.order.settlement.status
    if draft.stamp.role is Role.SYSTEM and status is not SettlementStatus.SETTLED:
        raise Refused(
            Code.INVALID_STATE,
            f"The settlement is {status}; without the custodian's word only a person settles.",
            state=draft.state,
            settlement=status,
        )
    require_full_allocation(draft.order)
    draft.add(ev.OrderSettled(reason=command.reason))


def _reconcile(draft: Draft, command: cmd.ReconcileOrder) -> None:
    breaks = [e.detail for e in draft.order.exceptions if e.code is ExceptionCode.BREAK_OPEN]
    if breaks:
        raise Refused(
            Code.BREAK_OPEN,
            f"{len(breaks)} break(s) must be resolved first: {'; '.join(breaks)}.",
            breaks=breaks,
        )
    if draft.stamp.role is Role.SYSTEM and not draft.order.settlement.compared:
        raise Refused(
            Code.INVALID_STATE,
            "No statement has been compared; without one only a person reconciles.",
            state=draft.state,
        )
    require_full_allocation(draft.order)
    draft.add(ev.OrderReconciled(reason=command.reason))


def _reject(draft: Draft, command: cmd.RejectOrder) -> None:
    cancel_what_works(draft)
    draft.add(ev.OrderRejected(reason=command.reason))


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


_RULES: dict[type, Callable[[Draft, Any], None]] = {
    cmd.UpdateOrder: _update,
    cmd.RequestPreTradeCompliance: _request_pre,
    cmd.PassPreTradeCompliance: _pass_pre,
    cmd.FailPreTradeCompliance: _fail_pre,
    cmd.OverridePreTradeCompliance: _override_pre,
    cmd.RequestPostTradeCompliance: _request_post,
    cmd.PassPostTradeCompliance: _pass_post,
    cmd.FailPostTradeCompliance: _fail_post,
    cmd.OverridePostTradeCompliance: _override_post,
    cmd.SendToTrader: _send_to_trader,
    cmd.CreatePlacement: create_placement,
    cmd.ModifyPlacement: modify_placement,
    cmd.CancelPlacement: cancel_placement,
    cmd.ResolvePlacement: resolve_placement,
    cmd.CancelOrder: cancel_order,
    cmd.CloseOrder: close_order,
    cmd.CreateAllocation: create_allocation,
    cmd.UpdateAllocation: update_allocation,
    cmd.Allocate: allocate,
    cmd.JoinBasket: join_basket,
    cmd.CreateRemainder: create_remainder,
    cmd.BeginRestructuring: begin_restructuring,
    cmd.CompleteRestructuring: complete_restructuring,
    cmd.AbandonRestructuring: abandon_restructuring,
    cmd.SendToOperations: _send_to_operations,
    cmd.ConfirmOrder: _confirm,
    cmd.SettleOrder: _settle,
    cmd.ReconcileOrder: _reconcile,
    cmd.RejectOrder: _reject,
    cmd.ResolveException: _resolve_exception,
}
