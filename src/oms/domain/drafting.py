"""Events in the making: each is stamped, numbered and folded at once, so the next one sees the order as it is."""

from datetime import datetime

from oms.domain.apply import apply
from oms.domain.events import Event, ExceptionRaised, ExceptionResolved, Happening, Stamp
from oms.domain.lifecycle import EXCEPTION_OWNER
from oms.domain.order import Order
from oms.domain.terms import ExceptionCode, Role, State

SYSTEM_STAMP = Stamp(key="system", role=Role.SYSTEM)


def nanoseconds(at: datetime) -> int:
    """`at` in whole nanoseconds since the epoch, exact to its microseconds."""
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000


class Draft:
    """An order and the events that one command or one batch of facts has caused so far."""

    def __init__(self, order: Order, now: datetime, stamp: Stamp, correlation_id: str | None = None) -> None:
        self.order = order
        self.moves_back = True
        self.events: list[Event] = []
        self.stamp = stamp
        self.correlation_id = correlation_id
        self.command_id: str | None = None
        self.now = now
        self.now_ns = nanoseconds(now)
        self.source_ns = self.now_ns

    def add(self, happening: Happening, ts_event_ns: int | None = None, stamp: Stamp | None = None) -> None:
        """Append `happening`. Its receipt time is never before its source time (clocks differ by little)."""
        source_ns = self.source_ns if ts_event_ns is None else ts_event_ns
        event = Event(
            order_id=self.order.order_id,
            seq=self.order.version + 1,
            happening=happening,
            actor=stamp or self.stamp,
            ts_event_ns=source_ns,
            ts_init_ns=max(self.now_ns, source_ns),
            correlation_id=self.correlation_id,
            command_id=self.command_id,
            state=self.order.state,
        )
        self.order = apply(self.order, event)
        self.events.append(event.model_copy(update={"state": self.order.state}))

    def system(self, happening: Happening) -> None:
        """Append what the order book itself concludes, now."""
        self.conclude(happening, SYSTEM_STAMP)

    def conclude(self, happening: Happening, asked_by: Stamp | None) -> None:
        """Append, now, what `asked_by` asked for some time ago and has come true."""
        self.add(happening, self.now_ns, asked_by or SYSTEM_STAMP)

    def raise_exception(self, code: ExceptionCode, subject: str, detail: str) -> None:
        """Open an exception unless the same one is open."""
        if not self.order.has_exception(code, subject):
            self.system(
                ExceptionRaised(code=code, subject=subject, detail=detail, owner=EXCEPTION_OWNER[code])
            )

    def resolve_exceptions(self, code: ExceptionCode, reason: str, subject: str | None = None) -> None:
        """Close the open exceptions of this code (and subject) by evidence."""
        for exception in self.order.exceptions:
            if exception.code is code and subject in (None, exception.subject):
                self.system(ExceptionResolved(code=code, subject=exception.subject, reason=reason))

    @property
    def state(self) -> State:
        return self.order.state
