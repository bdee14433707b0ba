"""Compliance events as subscribers see them: limits that break and clear, orders that fail, rules
that change, halts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sse_starlette.event import ServerSentEvent

from oms.api.following import Tail
from oms.api.views import View
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.terms import Severity

KINDS = frozenset(
    {
        ControlKind.LIMIT_BREACHED,
        ControlKind.LIMIT_CLEARED,
        ControlKind.ORDER_FAILED,
        ControlKind.ORDER_WARNED,
        ControlKind.ORDER_OVERRIDDEN,
        ControlKind.RULE_CREATED,
        ControlKind.RULE_UPDATED,
        ControlKind.RULE_DELETED,
        ControlKind.HALTED,
        ControlKind.RESUMED,
    }
)
_OF_HALTS = frozenset({ControlKind.HALTED, ControlKind.RESUMED})
_OF_ORDERS = frozenset({ControlKind.ORDER_FAILED, ControlKind.ORDER_WARNED, ControlKind.ORDER_OVERRIDDEN})


@dataclass(frozen=True)
class WantedEvents:
    """Which compliance events a subscriber sees: those of its portfolio, within its reach.

    An event of no portfolio (a rule was changed) is for subscribers to all of them.
    """

    portfolio_ids: tuple[str, ...] | None = None
    portfolio_id: str | None = None

    def takes(self, event: ControlEvent) -> bool:
        wanted = self.portfolios
        return event.kind in KINDS and (wanted is None or event.portfolio_id in wanted)

    @property
    def portfolios(self) -> Collection[str] | None:
        """The only portfolios wanted; None is all, and nothing is what is out of reach."""
        if self.portfolio_id is None:
            return self.portfolio_ids
        in_reach = self.portfolio_ids is None or self.portfolio_id in self.portfolio_ids
        return (self.portfolio_id,) if in_reach else ()


class ComplianceEventView(View):
    """One compliance event. Where an order broke several rules, `rule_id` and `severity` are the gravest one's.

    `data` has the rest: the violations, the numbers of a limit, the rule as it is now.
    """

    rule_id: str | None
    event_type: ControlKind
    severity: Severity | None
    portfolio_id: str | None
    order_id: str | None
    actor: str
    reason: str | None
    ts_event_ns: int
    data: dict[str, Any]

    @classmethod
    def of(cls, event: ControlEvent) -> "ComplianceEventView":
        rule_id, severity = _gravest(event)
        return cls(
            rule_id=rule_id,
            event_type=event.kind,
            severity=severity,
            portfolio_id=event.portfolio_id,
            order_id=event.order_id,
            actor=event.actor,
            reason=event.reason,
            ts_event_ns=event.ts_ns,
            data=event.data,
        )


class ComplianceFollower(Tail[ControlEvent, WantedEvents]):
    """Follows the control journal for compliance events."""

    def head(self) -> int:
        return self._store.control.head()

    def read(self, after: int, limit: int, wanted: WantedEvents | None = None) -> Sequence[ControlEvent]:
        if wanted is None:
            return self._store.control.stream(after, limit)
        return self._store.control.stream(after, limit, kinds=KINDS, portfolio_ids=wanted.portfolios)

    def show(self, event: ControlEvent) -> ServerSentEvent:
        data = ComplianceEventView.of(event).model_dump_json()
        return ServerSentEvent(id=str(event.position), event=event.kind.value, data=data)


def _gravest(event: ControlEvent) -> tuple[str | None, Severity | None]:
    """The rule that an event is about, and its severity."""
    if event.kind in _OF_ORDERS:
        violations = event.data.get("violations") or [{}]
        first = next((v for v in violations if v.get("severity") == Severity.HARD), violations[0])
        return first.get("rule_id"), first.get("severity")
    if event.kind in _OF_HALTS:
        return None, None
    told = event.data.get("rule", event.data)
    return event.subject, told.get("severity")
