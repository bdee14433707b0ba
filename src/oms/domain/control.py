"""What happens beside the orders: halts, changes of rules, limits that are over, findings about the book itself."""

from enum import StrEnum
from typing import Any

from oms.domain.model import Open


class ControlKind(StrEnum):
    HALTED = "halted"
    RESUMED = "resumed"
    RULE_CREATED = "rule_created"
    RULE_UPDATED = "rule_updated"
    RULE_DELETED = "rule_deleted"
    BASKET_CREATED = "basket_created"
    LIMIT_BREACHED = "limit_breached"
    LIMIT_CLEARED = "limit_cleared"
    ORDER_FAILED = "order_failed"
    ORDER_WARNED = "order_warned"
    ORDER_OVERRIDDEN = "order_overridden"
    INVARIANT_BROKEN = "invariant_broken"
    INVARIANT_RESTORED = "invariant_restored"
    BREAK_OPENED = "break_opened"
    BREAK_CLEARED = "break_cleared"
    BREAK_RESOLVED = "break_resolved"
    COMMAND_REFUSED = "command_refused"
    FOREIGN_ORDER_SEEN = "foreign_order_seen"
    GATEWAY_RESYNCED = "gateway_resynced"


class ControlEvent(Open):
    """One line of the control journal. `position` counts from 1 without a hole; 0 before it is written.

    `subject` is what it happened to: a rule, a basket, a halt's `scope/subject`, an invariant, a break, an order
    of somebody else at the broker, a gateway.
    """

    position: int = 0
    kind: ControlKind
    subject: str
    portfolio_id: str | None = None
    order_id: str | None = None
    actor: str
    reason: str | None = None
    ts_ns: int
    data: dict[str, Any] = {}
