"""What Prometheus reads: requests by route and status, and the book as the store has it now."""

from collections import Counter as Tally
from collections.abc import Callable
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from oms.api.gateway_views import seconds_since
from oms.domain.control import ControlKind
from oms.store import GatewayReport, Store
from oms.store.requests import open_requests

_GATES = ("pre_trade", "post_trade")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OF_GATEWAY: dict[str, tuple[str, Callable[[GatewayReport], float]]] = {
    "connected": ("The venue session is up.", lambda report: report.connected),
    "gate_open": ("Orders would be sent now.", lambda report: report.gate_open),
    "in_doubt": ("Placements in doubt.", lambda report: report.in_doubt),
    "queue": ("Messages from the venue that no order has yet.", lambda report: report.queue),
    "waiting": ("Messages that wait for their turn to be sent.", lambda report: report.waiting),
    "oldest_undelivered_seconds": (
        "Age of the oldest message that no order has yet; 0 where there is none.",
        lambda report: _age(report.oldest_undelivered_ns),
    ),
    "messages_per_second": (
        "Messages sent to the venue in the last full second.",
        lambda report: report.messages_per_second,
    ),
    "foreign_orders": (
        "Working orders at the venue that are not ours.",
        lambda report: report.foreign_orders,
    ),
    "open_breaks": ("Open breaks that it has found.", lambda report: report.open_breaks),
    "reported_seconds": ("When it last reported, Unix time.", lambda report: report.updated_ns / 1e9),
}
"""By the end of the metric's name: what it says, and the number in a gateway's report."""


class Metrics:
    """The measurements of one application."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("oms_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Histogram(
            "oms_request_seconds", "Time to answer.", ("method", "route"), buckets=_BUCKETS, registry=registry
        )
        self._envelopes = Counter(
            "oms_envelopes_refused", "Envelopes refused at the door.", ("code",), registry=registry
        )
        self._commands = Gauge(
            "oms_commands_refused",
            "Signed commands and envelopes that were refused, ever.",
            registry=registry,
        )
        self._orders = Gauge("oms_orders", "Orders by state.", ("state",), registry=registry)
        self._exceptions = Gauge(
            "oms_open_exceptions", "Open exceptions by code.", ("code",), registry=registry
        )
        self._gateway = {
            name: Gauge(f"oms_gateway_{name}", told, ("gateway",), registry=registry)
            for name, (told, _) in OF_GATEWAY.items()
        }
        self._breaks = Gauge("oms_open_breaks", "Open breaks, whoever found them.", registry=registry)
        self._broken = Gauge(
            "oms_invariant_broken", "The business invariant does not hold.", ("name",), registry=registry
        )
        self._checked = Gauge(
            "oms_invariant_checked_seconds",
            "When it was last looked at, Unix time.",
            ("name",),
            registry=registry,
        )
        self._requests_open = Gauge(
            "oms_compliance_requests",
            "Orders that wait for an external verdict.",
            ("gate",),
            registry=registry,
        )
        self._oldest_request = Gauge(
            "oms_compliance_oldest_request_seconds",
            "How long the oldest of them has waited.",
            ("gate",),
            registry=registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. `route` is the path template, never the path."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def refused_envelope(self, code: str) -> None:
        """Count one envelope that was refused for its signature, its age or its nonce."""
        self._envelopes.labels(code).inc()

    def text(self, store: Store) -> bytes:
        """Everything in Prometheus' text format. Blocks."""
        for state, count in store.orders.states().items():
            self._orders.labels(state.value).set(count)
        self._exceptions.clear()
        for code, count in _open_exceptions(store).items():
            self._exceptions.labels(code).set(count)
        for report in store.gateways.all():
            for name, (_, measure) in OF_GATEWAY.items():
                self._gateway[name].labels(report.name).set(measure(report))
        self._breaks.set(store.breaks.count_open())
        self._commands.set(store.control.count(ControlKind.COMMAND_REFUSED))
        self._read_compliance(store)
        for finding in store.findings.all():
            self._broken.labels(finding.name.value).set(finding.broken)
            self._checked.labels(finding.name.value).set(finding.checked_at.timestamp())
        return generate_latest(self._registry)

    def _read_compliance(self, store: Store) -> None:
        now, waiting = datetime.now(UTC), open_requests(store.database)
        for gate in _GATES:
            since = [request.since for request in waiting if request.gate == gate]
            self._requests_open.labels(gate).set(len(since))
            age = (now - min(since)).total_seconds() if since else 0.0
            self._oldest_request.labels(gate).set(max(0.0, age))


def _open_exceptions(store: Store) -> Tally[str]:
    found: Tally[str] = Tally()
    cursor = None
    while True:
        page = store.orders.exceptions(limit=500, cursor=cursor)
        found.update(listed.exception.code.value for listed in page.items)
        cursor = page.next_cursor
        if cursor is None:
            return found


def _age(since_ns: int | None) -> float:
    return 0.0 if since_ns is None else seconds_since(since_ns)
