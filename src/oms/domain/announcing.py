"""What compliance officers are told of orders: the ones that failed, were warned of, or were let through by a person."""

from collections.abc import Sequence
from typing import Any

from oms.domain import events as ev
from oms.domain.commands import Violation
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.order import Order


def announcements(order: Order, events: Sequence[ev.Event]) -> list[ControlEvent]:
    """The lines of the control journal that belong to `events` of `order`, one for each event that has any."""
    return [told for event in events if (told := _announcement(order, event)) is not None]


def _announcement(order: Order, event: ev.Event) -> ControlEvent | None:
    happening = event.happening
    reason = None
    match happening:
        case ev.PreTradeComplianceOverridden() | ev.PostTradeComplianceOverridden():
            kind, reason = ControlKind.ORDER_OVERRIDDEN, happening.reason
            data: dict[str, Any] = {
                "override_id": happening.override_id,
                "approver_id": happening.approver_id,
            }
        case ev.PreTradeComplianceFailed() | ev.PostTradeComplianceFailed():
            kind, data = ControlKind.ORDER_FAILED, _violations(happening.violations)
        case ev.PreTradeCompliancePassed() | ev.PostTradeCompliancePassed():
            warnings = [result.violation() for result in happening.results if not result.passed]
            if not warnings:
                return None
            kind, data = ControlKind.ORDER_WARNED, _violations(warnings)
        case _:
            return None
    gate = "pre_trade" if happening.kind.startswith("pre_trade") else "post_trade"
    return ControlEvent(
        kind=kind,
        subject=order.order_id,
        portfolio_id=order.portfolio_id,
        order_id=order.order_id,
        actor=event.actor.key,
        reason=reason,
        ts_ns=event.ts_init_ns,
        data={"gate": gate, "order_version": event.seq, **data},
    )


def _violations(violations: Sequence[Violation]) -> dict[str, Any]:
    return {"violations": [violation.model_dump(mode="json") for violation in violations]}
