"""What happened to an order. The journal keeps these for ever, so a kind may gain optional fields and never lose one."""

from datetime import date, datetime
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import Field

from oms.domain.commands import CreateOrder, RuleResult, Violation
from oms.domain.facts import CustodianStatement, Rounding
from oms.domain.handling import PLAIN, Handling
from oms.domain.instructions import SettlementInstruction
from oms.domain.model import Open
from oms.domain.numbers import Amount, Exact, Holding, Price, Quantity
from oms.domain.reference import Instrument
from oms.domain.terms import ExceptionCode, LinkKind, OrderType, PlacementStatus, Role, State, TimeInForce


class Link(Open):
    """A tie to another order. `source`: the order grew out of that one; else that one grew out of it."""

    kind: LinkKind
    order_id: str
    source: bool = False


class Share(Open):
    """A part of a merged order that is for the portfolio and account of one of its sources."""

    order_id: str
    portfolio_id: str
    account_id: str
    quantity: Quantity


class OrderCreated(Open):
    kind: Literal["order_created"] = "order_created"
    request: CreateOrder
    instrument: Instrument
    default_account_id: str
    links: tuple[Link, ...] = ()
    shares: tuple[Share, ...] = ()


class OrderUpdated(Open):
    kind: Literal["order_updated"] = "order_updated"
    changes: dict[str, Any]
    state: State


class PreTradeComplianceRequested(Open):
    kind: Literal["pre_trade_compliance_requested"] = "pre_trade_compliance_requested"


class PreTradeCompliancePassed(Open):
    kind: Literal["pre_trade_compliance_passed"] = "pre_trade_compliance_passed"
    results: tuple[RuleResult, ...] = ()


class PreTradeComplianceFailed(Open):
    kind: Literal["pre_trade_compliance_failed"] = "pre_trade_compliance_failed"
    violations: tuple[Violation, ...]
    results: tuple[RuleResult, ...] = ()


class PreTradeComplianceOverridden(Open):
    kind: Literal["pre_trade_compliance_overridden"] = "pre_trade_compliance_overridden"
    override_id: str
    reason: str
    approver_id: str


class PostTradeComplianceRequested(Open):
    kind: Literal["post_trade_compliance_requested"] = "post_trade_compliance_requested"


class PostTradeCompliancePassed(Open):
    kind: Literal["post_trade_compliance_passed"] = "post_trade_compliance_passed"
    results: tuple[RuleResult, ...] = ()


class PostTradeComplianceFailed(Open):
    kind: Literal["post_trade_compliance_failed"] = "post_trade_compliance_failed"
    violations: tuple[Violation, ...]
    results: tuple[RuleResult, ...] = ()


class PostTradeComplianceOverridden(Open):
    kind: Literal["post_trade_compliance_overridden"] = "post_trade_compliance_overridden"
    override_id: str
    reason: str
    approver_id: str


class SentToTrader(Open):
    kind: Literal["sent_to_trader"] = "sent_to_trader"


class PlacementCreated(Open):
    kind: Literal["placement_created"] = "placement_created"
    placement_id: str
    venue: str
    account: str | None
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None
    stop_price: Price | None
    time_in_force: TimeInForce
    expires_at: datetime | None = None
    strategy: str | None = None
    params: dict[str, str] = {}
    handling: Handling = PLAIN


class PlacementTermsRounded(Open):
    """What was sent differs from what was asked by less than a tick, on the safe side."""

    kind: Literal["placement_terms_rounded"] = "placement_terms_rounded"
    placement_id: str
    revision: int
    roundings: tuple[Rounding, ...]


class PlacementChangeRequested(Open):
    """A change by the desk, on its way to the venue. `revision` counts from 1; `terms` are those that change."""

    kind: Literal["placement_change_requested"] = "placement_change_requested"
    placement_id: str
    revision: int
    terms: dict[str, Exact]


class PlacementChangedAtVenue(Open):
    kind: Literal["placement_changed"] = "placement_changed"
    placement_id: str
    revision: int


class PlacementChangeRefused(Open):
    kind: Literal["placement_change_refused"] = "placement_change_refused"
    placement_id: str
    revision: int
    reason: str


class PlacementCancelRequested(Open):
    kind: Literal["placement_cancel_requested"] = "placement_cancel_requested"
    placement_id: str


class PlacementCancelRefused(Open):
    kind: Literal["placement_cancel_refused"] = "placement_cancel_refused"
    placement_id: str
    reason: str


class PlacementReportedByVenue(Open):
    """The venue's word on a placement changed. `filled_quantity` is its newest claim, made at `filled_as_of_ns`."""

    kind: Literal["placement_reported"] = "placement_reported"
    placement_id: str
    status: PlacementStatus
    filled_quantity: Holding
    venue_order_ids: tuple[str, ...]
    reason: str | None = None
    filled_as_of_ns: int = 0


class PlacementResolved(Open):
    kind: Literal["placement_resolved"] = "placement_resolved"
    placement_id: str
    status: PlacementStatus
    reason: str


class FillBooked(Open):
    kind: Literal["fill_booked"] = "fill_booked"
    placement_id: str
    exec_id: str
    quantity: Holding
    price: Price
    currency: str
    venue: str


class FillCorrected(Open):
    """`exec_id` replaces `replaces`; both are revisions of one execution."""

    kind: Literal["fill_corrected"] = "fill_corrected"
    placement_id: str
    exec_id: str
    replaces: str
    quantity: Holding
    price: Price
    currency: str
    venue: str


class FillBusted(Open):
    kind: Literal["fill_busted"] = "fill_busted"
    placement_id: str
    exec_id: str
    reason: str | None = None


class CommissionBooked(Open):
    kind: Literal["commission_booked"] = "commission_booked"
    exec_id: str
    commission: Amount
    currency: str


class OrderCancelRequested(Open):
    kind: Literal["order_cancel_requested"] = "order_cancel_requested"
    reason: str | None = None


class OrderCanceled(Open):
    kind: Literal["order_canceled"] = "order_canceled"
    reason: str


class OrderCloseRequested(Open):
    kind: Literal["order_close_requested"] = "order_close_requested"


class OrderClosed(Open):
    kind: Literal["order_closed"] = "order_closed"
    executed_quantity: Holding
    unfilled_quantity: Holding


class AllocationCreated(Open):
    kind: Literal["allocation_created"] = "allocation_created"
    allocation_id: str
    account_id: str
    portfolio_id: str
    quantity: Quantity
    scheme: str | None = None
    residual: Quantity | None = None
    why: str | None = None


class AllocationUpdated(Open):
    kind: Literal["allocation_updated"] = "allocation_updated"
    allocation_id: str
    quantity: Holding


class BasketJoined(Open):
    kind: Literal["basket_joined"] = "basket_joined"
    basket_id: str


class RemainderCreated(Open):
    """The unfilled `quantity` goes on in order `order_id`."""

    kind: Literal["remainder_created"] = "remainder_created"
    order_id: str
    quantity: Quantity


class RestructuringBegun(Open):
    kind: Literal["restructuring_begun"] = "restructuring_begun"
    restructuring_id: str
    link: LinkKind


class RestructuringCompleted(Open):
    """The order has become `order_ids` and is over."""

    kind: Literal["restructuring_completed"] = "restructuring_completed"
    restructuring_id: str
    link: LinkKind
    order_ids: tuple[str, ...]


class RestructuringAbandoned(Open):
    kind: Literal["restructuring_abandoned"] = "restructuring_abandoned"
    restructuring_id: str
    reason: str


class SentToOperations(Open):
    kind: Literal["sent_to_operations"] = "sent_to_operations"


class OrderConfirmed(Open):
    kind: Literal["order_confirmed"] = "order_confirmed"


class SettlementScheduled(Open):
    """`settles_at` is an absolute instant; `reasons` say how the date was found."""

    kind: Literal["settlement_scheduled"] = "settlement_scheduled"
    trade_date: date
    settlement_date: date
    settles_at: datetime
    reasons: tuple[str, ...]


class SettlementInstructed(SettlementInstruction):
    """The custodian has taken this instruction; what it was told does not change when the order does."""

    kind: Literal["settlement_instructed"] = "settlement_instructed"


class SettlementReportedByCustodian(Open):
    kind: Literal["settlement_reported"] = "settlement_reported"
    settled: bool
    reason: str | None = None
    statement: CustodianStatement | None = None


class OrderSettled(Open):
    kind: Literal["order_settled"] = "order_settled"
    reason: str


class StatementCompared(Open):
    """Our book beside the custodian's statement; every difference is a break."""

    kind: Literal["statement_compared"] = "statement_compared"
    differences: tuple[str, ...] = ()


class OrderReconciled(Open):
    kind: Literal["order_reconciled"] = "order_reconciled"
    reason: str


class OrderRejected(Open):
    kind: Literal["order_rejected"] = "order_rejected"
    reason: str


class ExceptionRaised(Open):
    kind: Literal["exception_raised"] = "exception_raised"
    code: ExceptionCode
    subject: str
    detail: str
    owner: Role


class ExceptionResolved(Open):
    kind: Literal["exception_resolved"] = "exception_resolved"
    code: ExceptionCode
    subject: str
    reason: str


class FactParked(Open):
    """A message that nobody could use, kept for a person. It changes nothing else."""

    kind: Literal["fact_parked"] = "fact_parked"
    source: str
    raw: str
    reason: str

    @property
    def digest(self) -> str:
        """What makes two parked messages the same."""
        return sha256(f"{self.source}|{self.raw}".encode(errors="surrogatepass")).hexdigest()[:16]


Happening = Annotated[
    OrderCreated
    | OrderUpdated
    | PreTradeComplianceRequested
    | PreTradeCompliancePassed
    | PreTradeComplianceFailed
    | PreTradeComplianceOverridden
    | PostTradeComplianceRequested
    | PostTradeCompliancePassed
    | PostTradeComplianceFailed
    | PostTradeComplianceOverridden
    | SentToTrader
    | PlacementCreated
    | PlacementTermsRounded
    | PlacementChangeRequested
    | PlacementChangedAtVenue
    | PlacementChangeRefused
    | PlacementCancelRequested
    | PlacementCancelRefused
    | PlacementReportedByVenue
    | PlacementResolved
    | FillBooked
    | FillCorrected
    | FillBusted
    | CommissionBooked
    | OrderCancelRequested
    | OrderCanceled
    | OrderCloseRequested
    | OrderClosed
    | AllocationCreated
    | AllocationUpdated
    | BasketJoined
    | RemainderCreated
    | RestructuringBegun
    | RestructuringCompleted
    | RestructuringAbandoned
    | SentToOperations
    | OrderConfirmed
    | SettlementScheduled
    | SettlementInstructed
    | SettlementReportedByCustodian
    | OrderSettled
    | StatementCompared
    | OrderReconciled
    | OrderRejected
    | ExceptionRaised
    | ExceptionResolved
    | FactParked,
    Field(discriminator="kind"),
]


class Stamp(Open):
    """Who caused an event and in which role."""

    key: str
    role: Role


class Event(Open):
    """One line of the journal: `seq` counts from 1 for each order without a hole; `state` is the state after it."""

    order_id: str
    seq: int
    happening: Happening
    actor: Stamp
    ts_event_ns: int
    ts_init_ns: int
    correlation_id: str | None
    command_id: str | None = None
    state: State

    @property
    def kind(self) -> str:
        return self.happening.kind
