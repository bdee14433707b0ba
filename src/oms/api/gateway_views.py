"""What is answered of gateways: how each is, and how old its word is."""

import time
from datetime import datetime

from oms.api.sight import Sight
from oms.api.views import View
from oms.domain.apply import instant
from oms.store import GatewayReport, GatewayState


class AccountHealthView(View):
    """One account of a session. `differences`: what the last comparison with the broker found; `compared_at` when."""

    account: str
    served: bool
    compared_at: datetime | None
    differences: int
    detail: str | None


class GatewayView(View):
    """A gateway process about itself, as of `updated_at`. `ready`: its word is fresh and it would send an order now;
    where not, `reason` says why.

    `queue` counts messages from the broker that no order has yet, `waiting` requests that wait for their turn to be
    sent; `messages_per_second` were sent in the last full second. What is counted over the whole session is null for a
    limited key, as is the session's own text in `reason`.
    """

    name: str
    venue: str
    state: GatewayState
    ready: bool
    connected: bool
    gate_open: bool
    reason: str | None
    accounts: tuple[str, ...]
    client_id: int | None
    host: str | None
    updated_at: datetime
    age_seconds: float
    connected_at: datetime | None
    reconciled_at: datetime | None
    queue: int | None
    waiting: int | None
    in_doubt: int | None
    oldest_undelivered_seconds: float | None
    messages_per_second: int | None
    foreign_orders: int | None
    open_breaks: int | None
    per_account: tuple[AccountHealthView, ...]


def seconds_since(ns: int) -> float:
    """How long ago, never less than zero."""
    return max(0.0, (time.time_ns() - ns) / 1e9)


def trouble(report: GatewayReport, patience_seconds: float) -> str | None:
    """Why the gateway is not ready, or None where it is."""
    age = seconds_since(report.updated_ns)
    if age > patience_seconds:
        return f"its last report is {age:.0f} s old"
    if not report.gate_open:
        return report.detail or "it would not send an order now"
    return None


def _as_told_to(sight: Sight, report: GatewayReport) -> GatewayReport:
    """The report without the session's own text where that may tell of accounts out of sight."""
    return report.model_copy(update={"detail": None}) if sight.is_limited else report


def gateway_view(report: GatewayReport, sight: Sight, patience_seconds: float) -> GatewayView:
    """The report as a caller may see it: with the accounts in sight alone, and whole only for a key without limits."""
    report = _as_told_to(sight, report)
    reason, oldest = trouble(report, patience_seconds), report.oldest_undelivered_ns
    return GatewayView(
        **report.model_dump(include=_REPORTED),
        **dict.fromkeys(_COUNTED) if sight.is_limited else report.model_dump(include=_COUNTED),
        ready=reason is None,
        reason=reason or report.detail,
        accounts=sight.of(report.accounts),
        updated_at=instant(report.updated_ns),
        age_seconds=round(seconds_since(report.updated_ns), 1),
        connected_at=_instant(report.connected_ns),
        reconciled_at=_instant(report.reconciled_ns),
        oldest_undelivered_seconds=(
            None if oldest is None or sight.is_limited else round(seconds_since(oldest), 1)
        ),
        per_account=tuple(
            AccountHealthView(
                **health.model_dump(include={"account", "served", "differences", "detail"}),
                compared_at=_instant(health.compared_ns),
            )
            for health in report.per_account
            if sight.has_whole(health.account)
        ),
    )


_COUNTED = {"queue", "waiting", "in_doubt", "messages_per_second", "foreign_orders", "open_breaks"}
_REPORTED = (set(GatewayView.model_fields) & set(GatewayReport.model_fields)) - {
    *_COUNTED,
    "accounts",
    "per_account",
}


def _instant(ns: int | None) -> datetime | None:
    return None if ns is None else instant(ns)
