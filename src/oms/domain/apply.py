"""Folding: an order and one event give the next order. Nothing here refuses; what happened has happened."""

from collections.abc import Callable, Iterable
from typing import Any

from oms.domain import events as ev
from oms.domain.commands import ECONOMIC, OrderChanges
from oms.domain.folding import Changes, Fold
from oms.domain.folding import instant as instant
from oms.domain.instructions import SettlementInstruction
from oms.domain.order import Allocation, ComplianceCheck, OpenException, Order, Override, Restructuring
from oms.domain.terms import ComplianceStatus, LinkKind, SettlementStatus, State
from oms.domain.venue_folds import VENUE_FOLDS


def fold(order: Order | None, events: Iterable[ev.Event]) -> Order:
    """Fold `events` in order. Raises ValueError when there is nothing to fold or a number is missing."""
    for event in events:
        order = apply(order, event)
    if order is None:
        raise ValueError("an order without events does not exist")
    return order


def apply(order: Order | None, event: ev.Event) -> Order:
    """The order after `event`. Raises ValueError when `event` is not the next one."""
    expected = order.version + 1 if order else 1
    if event.seq != expected:
        raise ValueError(f"event {event.seq} of {event.order_id} does not follow event {expected - 1}")
    if order is None:
        return _created(event)
    fold_one = _FOLDS.get(type(event.happening))
    changes = fold_one(order, event.happening, event) if fold_one else {}
    return order.model_copy(update={**changes, "version": event.seq, "updated_at": instant(event.ts_init_ns)})


def _created(event: ev.Event) -> Order:
    created = event.happening
    if not isinstance(created, ev.OrderCreated):
        raise ValueError(f"{event.order_id} begins with {event.kind} in place of order_created")  # noqa: TRY004
    at = instant(event.ts_init_ns)
    request = created.request
    return Order(
        order_id=event.order_id,
        version=event.seq,
        state=State.CREATED,
        request=request,
        instrument=created.instrument,
        default_account_id=created.default_account_id,
        created_by=event.actor.key,
        created_at=at,
        updated_at=at,
        ordered_quantity=request.ordered_quantity,
        time_in_force=request.time_in_force,
        limit_price=request.limit_price,
        stop_price=request.stop_price,
        expires_at=request.expires_at,
        counterparty_id=request.counterparty_id,
        metadata=request.metadata,
        links=created.links,
        shares=created.shares,
        basket_id=request.basket_id,
    )


_FOLDS: dict[type, Fold] = {**VENUE_FOLDS}


def _folds(kind: type) -> Callable[[Fold], Fold]:
    def register(function: Fold) -> Fold:
        _FOLDS[kind] = function
        return function

    return register


def _moves_to(kind: type, state: State) -> None:
    _FOLDS[kind] = lambda _order, _happening, _event: {"state": state}


_moves_to(ev.SentToTrader, State.SENT_TO_TRADER)
_moves_to(ev.SentToOperations, State.SENT_TO_OPERATIONS)
_moves_to(ev.OrderConfirmed, State.CONFIRMED)
_moves_to(ev.OrderSettled, State.SETTLED)
_moves_to(ev.OrderReconciled, State.RECONCILED)


@_folds(ev.OrderUpdated)
def _updated(order: Order, happening: ev.OrderUpdated, event: ev.Event) -> Changes:
    changed: Changes = OrderChanges.model_validate(happening.changes).given()
    if "metadata" in changed:
        changed["metadata"] = changed["metadata"] or {}
    if ECONOMIC & changed.keys():
        changed["terms_version"] = event.seq
    if happening.state is not order.state:
        changed["state"] = happening.state
        changed["pre_trade"] = ComplianceCheck()
    return changed


def _check(order: Order, gate: str, state: State, **update: Any) -> Changes:
    return {"state": state, gate: getattr(order, gate).model_copy(update=update)}


def _requested(gate: str, state: State) -> Fold:
    def fold_request(_order: Order, _happening: Any, event: ev.Event) -> Changes:
        return {"state": state, gate: ComplianceCheck(status=ComplianceStatus.PENDING, version=event.seq)}

    return fold_request


def _passed(gate: str, state: State) -> Fold:
    def fold_pass(order: Order, happening: Any, _: ev.Event) -> Changes:
        warnings = tuple(result.violation() for result in happening.results if not result.passed)
        return _check(
            order, gate, state, status=ComplianceStatus.PASSED, results=happening.results, violations=warnings
        )

    return fold_pass


def _failed(gate: str, state: State) -> Fold:
    def fold_fail(order: Order, happening: Any, _: ev.Event) -> Changes:
        return _check(
            order,
            gate,
            state,
            status=ComplianceStatus.FAILED,
            violations=happening.violations,
            results=happening.results,
        )

    return fold_fail


def _overridden(gate: str, state: State) -> Fold:
    def fold_override(order: Order, happening: Any, event: ev.Event) -> Changes:
        override = Override(
            override_id=happening.override_id,
            reason=happening.reason,
            approver_id=happening.approver_id,
            by=event.actor.key,
        )
        return _check(order, gate, state, status=ComplianceStatus.OVERRIDDEN, override=override)

    return fold_override


_FOLDS |= {
    ev.PreTradeComplianceRequested: _requested("pre_trade", State.PENDING_PRE_TRADE_COMPLIANCE),
    ev.PreTradeCompliancePassed: _passed("pre_trade", State.PRE_TRADE_COMPLIANCE_PASSED),
    ev.PreTradeComplianceFailed: _failed("pre_trade", State.PRE_TRADE_COMPLIANCE_FAILED),
    ev.PreTradeComplianceOverridden: _overridden("pre_trade", State.PRE_TRADE_COMPLIANCE_PASSED),
    ev.PostTradeComplianceRequested: _requested("post_trade", State.PENDING_POST_TRADE_COMPLIANCE),
    ev.PostTradeCompliancePassed: _passed("post_trade", State.POST_TRADE_COMPLIANCE_PASSED),
    ev.PostTradeComplianceFailed: _failed("post_trade", State.POST_TRADE_COMPLIANCE_FAILED),
    ev.PostTradeComplianceOverridden: _overridden("post_trade", State.POST_TRADE_COMPLIANCE_PASSED),
}


@_folds(ev.OrderCancelRequested)
def _cancel_requested(_order: Order, happening: ev.OrderCancelRequested, event: ev.Event) -> Changes:
    return {"cancel_requested": True, "reason": happening.reason, "ended_by": event.actor}


@_folds(ev.OrderCanceled)
def _canceled(_order: Order, happening: ev.OrderCanceled, _: ev.Event) -> Changes:
    return {"state": State.CANCELED, "reason": happening.reason}


@_folds(ev.OrderCloseRequested)
def _close_requested(_order: Order, _happening: ev.OrderCloseRequested, event: ev.Event) -> Changes:
    return {"close_requested": True, "ended_by": event.actor}


@_folds(ev.OrderClosed)
def _closed(_order: Order, _happening: ev.OrderClosed, event: ev.Event) -> Changes:
    return {"state": State.CLOSED, "closed_at": instant(event.ts_init_ns)}


@_folds(ev.AllocationCreated)
def _allocation_created(order: Order, happening: ev.AllocationCreated, event: ev.Event) -> Changes:
    terms = happening.model_dump(exclude={"kind"})
    allocation = Allocation(**terms, created_at=instant(event.ts_init_ns), created_by=event.actor.key)
    return {"allocations": (*order.allocations, allocation)}


@_folds(ev.AllocationUpdated)
def _allocation_updated(order: Order, happening: ev.AllocationUpdated, _: ev.Event) -> Changes:
    return {
        "allocations": tuple(
            allocation.model_copy(update={"quantity": happening.quantity, "residual": None, "why": None})
            if allocation.allocation_id == happening.allocation_id
            else allocation
            for allocation in order.allocations
        )
    }


@_folds(ev.BasketJoined)
def _basket_joined(_order: Order, happening: ev.BasketJoined, _: ev.Event) -> Changes:
    return {"basket_id": happening.basket_id}


@_folds(ev.RemainderCreated)
def _remainder_created(order: Order, happening: ev.RemainderCreated, _: ev.Event) -> Changes:
    return {"links": (*order.links, ev.Link(kind=LinkKind.REMAINDER, order_id=happening.order_id))}


@_folds(ev.RestructuringBegun)
def _restructuring_begun(_order: Order, happening: ev.RestructuringBegun, event: ev.Event) -> Changes:
    held = Restructuring(
        restructuring_id=happening.restructuring_id,
        link=happening.link,
        since=instant(event.ts_init_ns),
    )
    return {"restructuring": held}


@_folds(ev.RestructuringCompleted)
def _restructuring_completed(order: Order, happening: ev.RestructuringCompleted, _: ev.Event) -> Changes:
    became = (ev.Link(kind=happening.link, order_id=order_id) for order_id in happening.order_ids)
    return {
        "state": State.CANCELED,
        "reason": happening.link.value,
        "links": (*order.links, *became),
        "restructuring": None,
    }


@_folds(ev.RestructuringAbandoned)
def _restructuring_abandoned(_order: Order, _happening: ev.RestructuringAbandoned, _: ev.Event) -> Changes:
    return {"restructuring": None}


def _terms(happening: ev.Happening) -> Changes:
    return {name: getattr(happening, name) for name in type(happening).model_fields if name != "kind"}


def _settlement(order: Order, **update: Any) -> Changes:
    return {"settlement": order.settlement.model_copy(update=update)}


@_folds(ev.SettlementScheduled)
def _settlement_scheduled(order: Order, happening: ev.SettlementScheduled, _: ev.Event) -> Changes:
    return _settlement(order, status=SettlementStatus.SCHEDULED, **_terms(happening))


@_folds(ev.SettlementInstructed)
def _settlement_instructed(order: Order, happening: ev.SettlementInstructed, _: ev.Event) -> Changes:
    told = SettlementInstruction(**_terms(happening))
    return _settlement(order, status=SettlementStatus.INSTRUCTED, instruction=told)


@_folds(ev.SettlementReportedByCustodian)
def _settlement_reported(order: Order, happening: ev.SettlementReportedByCustodian, _: ev.Event) -> Changes:
    status = SettlementStatus.SETTLED if happening.settled else SettlementStatus.FAILED
    return _settlement(order, status=status, failure=happening.reason, statement=happening.statement)


@_folds(ev.StatementCompared)
def _statement_compared(order: Order, _happening: ev.StatementCompared, _: ev.Event) -> Changes:
    return _settlement(order, compared=True)


@_folds(ev.FactParked)
def _fact_parked(order: Order, happening: ev.FactParked, _: ev.Event) -> Changes:
    return {"parked": (*order.parked, happening.digest)}


@_folds(ev.OrderRejected)
def _rejected(_order: Order, happening: ev.OrderRejected, _: ev.Event) -> Changes:
    return {"state": State.REJECTED, "reason": happening.reason}


@_folds(ev.ExceptionRaised)
def _exception_raised(order: Order, happening: ev.ExceptionRaised, event: ev.Event) -> Changes:
    raised = OpenException(
        code=happening.code,
        subject=happening.subject,
        since=instant(event.ts_init_ns),
        detail=happening.detail,
        owner=happening.owner,
    )
    return {"exceptions": (*order.exceptions, raised)}


@_folds(ev.ExceptionResolved)
def _exception_resolved(order: Order, happening: ev.ExceptionResolved, _: ev.Event) -> Changes:
    key = (happening.code, happening.subject)
    return {"exceptions": tuple(e for e in order.exceptions if (e.code, e.subject) != key)}
