"""What the system owes an order now, and who or what the order waits for.

`duties` and `waiting_on` are total: for every reachable order one of them names somebody or some instant,
which is the proof that no order is silently stuck.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from oms.domain import commands as cmd
from oms.domain.identifiers import ALLOCATION, PLACEMENT, identifier
from oms.domain.model import Open
from oms.domain.numbers import subtract
from oms.domain.order import Order, Placement
from oms.domain.strategies import strategy_fault
from oms.domain.terms import ExceptionCode, PlacementStatus, Role, SettlementStatus, State
from oms.domain.venues import unsupported

COMMISSION_PATIENCE = timedelta(minutes=10)
"""How long a confirmation waits for the commission reports of its executions."""
ASK_AGAIN = timedelta(seconds=30)
"""How long a venue or custodian is given before it is asked again."""


class DutyKind(StrEnum):
    TAKE_STEP = "take the next step"
    EVALUATE_PRE_TRADE = "evaluate pre-trade compliance"
    EVALUATE_POST_TRADE = "evaluate post-trade compliance"
    PLACE = "place at the venue"
    CANCEL_AT_VENUE = "cancel at the venue"
    MODIFY_AT_VENUE = "change at the venue"
    SETTLE_DOUBT = "look for it at the venue, and send it again only if it never arrived"
    ASK_VENUE = "ask the venue what became of it"
    SET_SETTLEMENT_DATE = "set the settlement date"
    INSTRUCT_CUSTODIAN = "instruct the custodian"
    ASK_CUSTODIAN = "ask the custodian"


class Duty(Open):
    """One thing owed. `subject` is a command kind, a placement or a version; `due` is None for at once.

    `revision` is the number of the change that is owed to a placement: another change is another duty.
    """

    kind: DutyKind
    subject: str = ""
    due: datetime | None = None
    revision: int = 0

    @property
    def key(self) -> tuple[str, str]:
        return (self.kind, f"{self.subject}/{self.revision}" if self.revision else self.subject)

    def is_due(self, now: datetime) -> bool:
        return self.due is None or self.due <= now


class Waiting(Open):
    """Who or what moves the order next: a role, `system`, `venue`, `custodian`, or `nobody` when it is over."""

    on: str
    what: str
    until: datetime | None = None


_NEXT_STEP: dict[State, str] = {
    State.CREATED: "request_pre_trade_compliance",
    State.PRE_TRADE_COMPLIANCE_PASSED: "send_to_trader",
    State.SENT_TO_TRADER: "create_placement",
    State.PARTIALLY_FILLED: "close",
    State.FILLED: "close",
    State.CLOSED: "send_to_operations",
    State.SENT_TO_OPERATIONS: "request_post_trade_compliance",
    State.POST_TRADE_COMPLIANCE_PASSED: "confirm",
    State.CONFIRMED: "settle",
    State.SETTLED: "reconcile",
}
"""The hand-off that straight-through automation takes in each state, as soon as it is legal."""


def duties(order: Order) -> list[Duty]:
    """What the system owes `order`, some of it at a later instant. Doing a duty twice is doing it once."""
    if order.is_over or order.restructuring is not None:
        return []
    return [*_step(order), *_verdict(order), *_at_venues(order), *_settlement(order)]


def _step(order: Order) -> list[Duty]:
    """The straight-through hand-off, unless something needs a person or has to happen first."""
    kind = _NEXT_STEP.get(order.state)
    if kind is None or not order.is_straight_through or order.exceptions or order.live_placements:
        return []
    if kind == "settle" and order.settlement.status is not SettlementStatus.SETTLED:
        return []
    if kind == "reconcile" and not order.settlement.compared:
        return []
    if _is_misallocated(order):
        return []
    if kind == "create_placement" and _impossible_route(order):
        kind = "reject"
    due = _commissions_due(order) if kind == "confirm" else None
    return [Duty(kind=DutyKind.TAKE_STEP, subject=kind, due=due)]


def _is_misallocated(order: Order) -> bool:
    return bool(order.allocations) and order.allocated_quantity != order.executed_quantity


def _impossible_route(order: Order) -> str | None:
    """Why the order cannot be placed by itself, or None."""
    if order.route is None or order.route.account is None:
        return "the order names no route and its portfolio has none"
    how = (order.order_type, order.time_in_force)
    return unsupported(order.route.venue, order.instrument, *how, order.request.handling) or strategy_fault(
        order.route.strategy, order.route.params, *how
    )


def _commissions_due(order: Order) -> datetime | None:
    """When a confirmation stops waiting for commission reports; None when they are all here."""
    return order.closed_at + COMMISSION_PATIENCE if order.ledger.uncharged and order.closed_at else None


def _verdict(order: Order) -> list[Duty]:
    if not order.has_builtin_compliance:
        return []
    if order.state is State.PENDING_PRE_TRADE_COMPLIANCE:
        return [Duty(kind=DutyKind.EVALUATE_PRE_TRADE, subject=str(order.pre_trade.version))]
    if order.state is State.PENDING_POST_TRADE_COMPLIANCE:
        return [Duty(kind=DutyKind.EVALUATE_POST_TRADE, subject=str(order.post_trade.version))]
    return []


def _at_venues(order: Order) -> list[Duty]:
    return [
        Duty(
            kind=kind,
            subject=placement.placement_id,
            due=_executions_due(placement),
            revision=placement.change.revision
            if kind is DutyKind.MODIFY_AT_VENUE and placement.change
            else 0,
        )
        for placement in order.live_placements
        if (kind := _owed_at_venue(placement)) is not None
    ]


def _owed_at_venue(placement: Placement) -> DutyKind | None:
    if placement.has_ended:
        return DutyKind.ASK_VENUE
    if placement.cancel_requested:
        return DutyKind.CANCEL_AT_VENUE
    if placement.venue_status is PlacementStatus.IN_DOUBT:
        return DutyKind.SETTLE_DOUBT
    if placement.change is not None:
        return DutyKind.MODIFY_AT_VENUE
    return DutyKind.PLACE if placement.venue_status is PlacementStatus.PENDING else None


def _executions_due(placement: Placement) -> datetime | None:
    """When a placement that has ended is asked for the executions it claims and that have not come."""
    return placement.since + ASK_AGAIN if placement.has_ended else None


def _settlement(order: Order) -> list[Duty]:
    """From CONFIRMED on: a date, an instruction, the custodian's word at the date."""
    settlement = order.settlement
    if order.state not in (State.CONFIRMED, State.SETTLED) or settlement.status is SettlementStatus.SETTLED:
        return []
    if settlement.instruction_id is None and order.executed_quantity <= 0:
        return []
    if settlement.status is SettlementStatus.NOT_DUE:
        return [Duty(kind=DutyKind.SET_SETTLEMENT_DATE, due=_commissions_due(order))]
    if settlement.status is SettlementStatus.SCHEDULED:
        return [Duty(kind=DutyKind.INSTRUCT_CUSTODIAN)]
    return [
        Duty(kind=DutyKind.ASK_CUSTODIAN, subject=settlement.instruction_id or "", due=settlement.settles_at)
    ]


def system_command(order: Order, kind: str, uuid: UUID) -> cmd.Command:
    """The command behind a straight-through step; `uuid` becomes the id of whatever it creates."""
    match kind:
        case "create_placement" if order.route is not None:
            return cmd.CreatePlacement(
                placement_id=identifier(PLACEMENT, uuid),
                venue=order.route.venue,
                account=order.route.account,
                quantity=subtract(order.unfilled_quantity, order.working_quantity),
                strategy=order.route.strategy,
                params=order.route.params,
            )
        case "send_to_operations":
            return cmd.SendToOperations(allocation_id=identifier(ALLOCATION, uuid))
        case "settle":
            return cmd.SettleOrder(reason=f"the custodian settled {order.settlement.instruction_id}")
        case "reconcile":
            return cmd.ReconcileOrder(
                reason="our book and the custodian's statement agree, or every break is resolved"
            )
        case "reject":
            return cmd.RejectOrder(reason=_impossible_route(order) or "the order cannot be routed")
        case _:
            return _PLAIN_STEPS[kind]


_PLAIN_STEPS: dict[str, cmd.Command] = {
    "request_pre_trade_compliance": cmd.RequestPreTradeCompliance(),
    "send_to_trader": cmd.SendToTrader(),
    "close": cmd.CloseOrder(),
    "request_post_trade_compliance": cmd.RequestPostTradeCompliance(),
    "confirm": cmd.ConfirmOrder(),
}


def waiting_on(order: Order) -> Waiting:
    """Who or what moves the order next."""
    if order.is_over:
        return Waiting(on="nobody", what=f"the order is {order.state}")
    if order.exceptions:
        oldest = min(order.exceptions, key=lambda e: e.since)
        venue = oldest.code is ExceptionCode.PLACEMENT_IN_DOUBT
        return Waiting(
            on=oldest.owner,
            what=f"{oldest.code}: {oldest.detail}" + (" (the venue is asked)" if venue else ""),
        )
    owed = duties(order)
    if owed:
        return _waiting_on_duty(order, min(owed, key=lambda d: (d.due is not None, d.due)))
    return _waiting_on_others(order)


AT_VENUE = frozenset(
    {
        DutyKind.PLACE,
        DutyKind.CANCEL_AT_VENUE,
        DutyKind.MODIFY_AT_VENUE,
        DutyKind.SETTLE_DOUBT,
        DutyKind.ASK_VENUE,
    }
)


def _waiting_on_duty(order: Order, duty: Duty) -> Waiting:
    if duty.kind is DutyKind.ASK_CUSTODIAN:
        return Waiting(on="custodian", what=f"settlement of {duty.subject}", until=duty.due)
    if duty.kind in AT_VENUE:
        placement = order.placement(duty.subject)
        venue = placement.venue if placement else "the venue"
        what = "executions that it claims" if duty.due is not None else duty.kind
        return Waiting(on="venue", what=f"{venue}: {what}", until=duty.due)
    if duty.due is not None:
        return Waiting(on="venue", what="commission reports", until=duty.due)
    step = duty.subject if duty.kind is DutyKind.TAKE_STEP else duty.kind
    return Waiting(on=Role.SYSTEM, what=step.replace("_", " "))


def _waiting_on_others(order: Order) -> Waiting:
    if order.restructuring is not None:
        held = order.restructuring
        return Waiting(on=Role.SYSTEM, what=f"{held.restructuring_id} to end ({held.link})")
    if order.live_placements:
        first = order.live_placements[0]
        why = f", {first.reason}" if first.status is PlacementStatus.HELD and first.reason else ""
        what = f"{first.venue}: {first.status}{why}"
        return Waiting(on="venue", what=what, until=first.expires_at)
    if order.state in (State.PENDING_PRE_TRADE_COMPLIANCE, State.PENDING_POST_TRADE_COMPLIANCE):
        return Waiting(on=Role.COMPLIANCE, what="a verdict from the compliance plugin")
    owner = order.owner
    if owner is None:
        return Waiting(on="nobody", what=f"the order is {order.state}")
    return Waiting(on=owner, what=f"the next step from {order.state}")
