"""A fault plan at work: what has arrived, what it brings, and what was committed."""

import random
from collections import Counter
from dataclasses import dataclass

from oms.paper.fault_events import Event, Operation
from oms.paper.faults import ORDER_OPERATIONS, Fault, FaultKind, FaultPlan, Rule

_HOLDS = frozenset({FaultKind.HOLD_BEFORE_READ, FaultKind.HOLD_REPLIES})
_INVISIBLE = frozenset({FaultKind.ACCEPTED_INVISIBLE, FaultKind.UNSEEN})
_ERRORS = frozenset({FaultKind.ERROR_INSTEAD, FaultKind.ERROR_BEFORE, FaultKind.ERROR_AFTER})
_CODES = {Operation.PLACE: 201, Operation.MODIFY: 201, Operation.CANCEL: 10147}
_ANOTHER_CODE = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request as a plan sees it. `order_id`, `order_ref` and `symbol` are of the order, if it is about one."""

    operation: Operation
    client_id: int
    order_id: int = 0
    order_ref: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """One line of the journal of faults. `on`: the operation, or session; `kind`: a FaultKind, or an event's `do`.

    `nth` is the number of the request among its kind (of the event in its plan), from 1.
    """

    on: str
    kind: str
    nth: int
    client_id: int = -1
    order_id: int = 0
    order_ref: str = ""
    seconds: float | None = None
    code: int | None = None


class FaultRun:
    """Draws faults for requests, tells which events are due, and keeps the journal."""

    def __init__(self, plan: FaultPlan, committed: list[Committed] | None = None) -> None:
        self.plan = plan
        self.committed: list[Committed] = [] if committed is None else committed
        self.arrived: Counter[Operation] = Counter()
        self.executions = 0
        self.steps = 0
        self._matched: Counter[int] = Counter()
        self._happened: set[int] = set()

    def draw(self, request: Request) -> Fault | None:
        """The fault for a request that has just arrived, or None; it counts the request."""
        operation = request.operation
        self.arrived[operation] += 1
        nth = self.arrived[operation]
        by_rule = self._by_rule(request)
        found = self._named(request) or by_rule
        if found is None and not self.plan.rates_of(operation):
            return None
        # One source per request: what hits the nth does not depend on what hit the others.
        chance = random.Random(f"{self.plan.seed}/{operation}/{nth}")  # noqa: S311 - a plan, not a secret
        found = found or self._by_chance(request, chance)
        if found is None:
            return None
        fault = self._complete(found, operation, chance)
        self.committed.append(
            Committed(
                operation,
                fault.kind,
                nth,
                request.client_id,
                request.order_id,
                request.order_ref,
                fault.seconds,
                fault.code,
            )
        )
        return fault

    def due(self) -> list[Event]:
        """Events whose moment has come, those by seconds aside; each is given once."""
        reached = []
        for at, event in enumerate(self.plan.events):
            if at not in self._happened and event.after_seconds is None and self._reached(event):
                reached.append(self.happens(at))
        return reached

    def timed(self) -> list[tuple[int, float]]:
        """(number, seconds) of the events that wait for the clock; `happens` when their time has come."""
        return [(at, e.after_seconds) for at, e in enumerate(self.plan.events) if e.after_seconds is not None]

    def happens(self, at: int) -> Event:
        """The event with a number, which happens now."""
        self._happened.add(at)
        event = self.plan.events[at]
        self.committed.append(
            Committed(
                "session",
                event.do,
                at + 1,
                getattr(event, "client_id", -1),
                order_ref=getattr(event, "order_ref", ""),
                seconds=getattr(event, "seconds", None),
                code=getattr(event, "code", None),
            )
        )
        return event

    def _reached(self, event: Event) -> bool:
        limits = (
            (event.after_placements, self.arrived[Operation.PLACE]),
            (event.after_executions, self.executions),
            (event.after_steps, self.steps),
        )
        return all(limit is None or count >= limit for limit, count in limits)

    def _named(self, request: Request) -> Fault | None:
        """What was asked for the next placeOrder by name or in a queue: of a new order or a live one."""
        if request.operation not in {Operation.PLACE, Operation.MODIFY}:
            return None
        if request.order_ref in self.plan.by_order_ref:
            return Fault(kind=self.plan.by_order_ref.pop(request.order_ref))
        return Fault(kind=self.plan.queued.pop(0)) if self.plan.queued else None

    def _by_rule(self, request: Request) -> Fault | None:
        hit = None
        for at, rule in enumerate(self.plan.rules):
            if _describes(rule, request):
                self._matched[at] += 1
                beyond = self._matched[at] - rule.nth
                if hit is None and beyond >= 0 and (rule.times == 0 or beyond < rule.times):
                    hit = rule
        return hit

    def _by_chance(self, request: Request, chance: random.Random) -> Fault | None:
        point = chance.random()
        for kind, rate in self.plan.rates_of(request.operation).items():
            point -= rate
            if point < 0:
                return Fault(kind=kind)
        return None

    def _complete(self, found: Fault, operation: Operation, chance: random.Random) -> Fault:
        """The fault with what it left to the plan."""
        plan, kind, seconds, code = self.plan, found.kind, found.seconds, found.code
        if seconds is None and kind is FaultKind.DELAYED:
            seconds = plan.delay
        elif seconds is None and kind in _INVISIBLE:
            seconds = chance.uniform(*plan.invisible)
        elif seconds is None and kind is FaultKind.HELD_FOR_LOCATE:
            seconds = plan.locate
        elif seconds is None and kind in _HOLDS:
            seconds = plan.hold
        if code is None and kind in _ERRORS:
            code = chance.choice(plan.codes) if plan.codes else _CODES.get(operation, _ANOTHER_CODE)
        after = plan.correction_after if found.after is None else found.after
        return Fault(kind=kind, seconds=seconds, code=code, text=found.text, after=after)


def _describes(rule: Rule, request: Request) -> bool:
    if rule.on is not request.operation:
        return False
    if request.operation not in ORDER_OPERATIONS:
        return True
    return rule.order_ref in {"", request.order_ref} and rule.symbol in {"", request.symbol}
