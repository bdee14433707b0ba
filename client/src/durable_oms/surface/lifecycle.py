"""The commands that move an order along its lifecycle, and the two compliance gates."""

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from durable_oms.models import Closed, Order, Violation
from durable_oms.models.record import named
from durable_oms.operation import operation
from durable_oms.requests import Content, OnOrder, commanded


class Lifecycle:
    """From the portfolio manager to the trader, to operations, to the end. Each answers the order after it."""

    @operation("POST /v1/orders/{order_id}/cancel", Order.model_validate)
    def cancel_order(self, order_id: str, reason: str | None = None, **options: Unpack[OnOrder]) -> Content:
        """Cancel the order. At a venue the venue decides: a fill that wins leaves the order filled."""
        return commanded(options, reason=reason)

    @operation("POST /v1/orders/{order_id}/close", Closed.model_validate)
    def close_order(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """End execution: cancel what still works at a venue, then close. What was executed and what was not."""
        return commanded(options)

    @operation("POST /v1/orders/{order_id}/send-to-trader", Order.model_validate)
    def send_to_trader(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """Hand the order to the trading desk."""
        return commanded(options)

    @operation("POST /v1/orders/{order_id}/send-to-operations", Order.model_validate)
    def send_to_operations(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """Hand the order to operations. Without allocations all of it goes to the portfolio's default account."""
        return commanded(options)

    @operation("POST /v1/orders/{order_id}/confirm", Order.model_validate)
    def confirm_order(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """Confirm the trade."""
        return commanded(options)

    @operation("POST /v1/orders/{order_id}/settle", Order.model_validate)
    def settle_order(self, order_id: str, reason: str, **options: Unpack[OnOrder]) -> Content:
        """Settle by hand, with a reason."""
        return commanded(options, reason=reason)

    @operation("POST /v1/orders/{order_id}/reconcile", Order.model_validate)
    def reconcile_order(self, order_id: str, reason: str, **options: Unpack[OnOrder]) -> Content:
        """Reconcile by hand, with a reason; not while a break is open."""
        return commanded(options, reason=reason)


Violations = Iterable[Violation | Mapping[str, Any]]
"""Each a `Violation`, or its fields: rule_id, rule_name, severity, description; limit, used, proposed."""


class Verdicts:
    """The gate before the trade and the gate after it.

    `order_version` of a verdict is the version of the check that was looked at: an older one is STALE_VERDICT.
    """

    @operation("POST /v1/orders/{order_id}/pre-trade-compliance/request", Order.model_validate)
    def request_pre_trade_compliance(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """Ask for the pre-trade verdict."""
        return commanded(options)

    @operation("POST /v1/orders/{order_id}/pre-trade-compliance/pass", Order.model_validate)
    def pass_pre_trade_compliance(
        self, order_id: str, order_version: int | None = None, **options: Unpack[OnOrder]
    ) -> Content:
        """The order may be traded."""
        return commanded(options, order_version=order_version)

    @operation("POST /v1/orders/{order_id}/pre-trade-compliance/fail", Order.model_validate)
    def fail_pre_trade_compliance(
        self,
        order_id: str,
        violations: Violations,
        order_version: int | None = None,
        **options: Unpack[OnOrder],
    ) -> Content:
        """The order may not be traded, and why."""
        return commanded(options, violations=list(violations), order_version=order_version)

    @operation("POST /v1/orders/{order_id}/pre-trade-compliance/override", named("override_id"))
    def override_pre_trade_compliance(
        self, order_id: str, reason: str, approver_id: str, **options: Unpack[OnOrder]
    ) -> Content:
        """Let a failed order pass, with a reason and another person's approval; the override's id."""
        return commanded(options, reason=reason, approver_id=approver_id)

    @operation("POST /v1/orders/{order_id}/post-trade-compliance/request", Order.model_validate)
    def request_post_trade_compliance(self, order_id: str, **options: Unpack[OnOrder]) -> Content:
        """Ask for the post-trade verdict."""
        return commanded(options)

    @operation("POST /v1/orders/{order_id}/post-trade-compliance/pass", Order.model_validate)
    def pass_post_trade_compliance(
        self, order_id: str, order_version: int | None = None, **options: Unpack[OnOrder]
    ) -> Content:
        """The trade stands."""
        return commanded(options, order_version=order_version)

    @operation("POST /v1/orders/{order_id}/post-trade-compliance/fail", Order.model_validate)
    def fail_post_trade_compliance(
        self,
        order_id: str,
        violations: Violations,
        order_version: int | None = None,
        **options: Unpack[OnOrder],
    ) -> Content:
        """The trade broke a rule, and which."""
        return commanded(options, violations=list(violations), order_version=order_version)

    @operation("POST /v1/orders/{order_id}/post-trade-compliance/override", named("override_id"))
    def override_post_trade_compliance(
        self, order_id: str, reason: str, approver_id: str, **options: Unpack[OnOrder]
    ) -> Content:
        """Let a failed trade pass, with a reason and another person's approval; the override's id."""
        return commanded(options, reason=reason, approver_id=approver_id)
