"""The order: everything that is known of it, folded from its events.

`decide` (decide.py) turns a command into events, `observe` (observe.py) turns facts into events, `apply`
(apply.py) folds one event, `duties` and `waiting_on` (duties.py) say what is owed and by whom.
"""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from oms.domain.commands import CreateOrder, Route, RuleResult, Violation
from oms.domain.events import Event, Link, Share, Stamp
from oms.domain.executions import Ledger, revision, unfilled
from oms.domain.facts import CustodianStatement
from oms.domain.halts import Dealing, dealing
from oms.domain.instructions import SettlementInstruction
from oms.domain.lifecycle import OWNER, TERMINAL
from oms.domain.model import Open
from oms.domain.numbers import Holding, Price, Quantity, total
from oms.domain.placement import VENUE_FINAL as VENUE_FINAL
from oms.domain.placement import Placement as Placement
from oms.domain.reference import Instrument
from oms.domain.terms import (
    Automation,
    ComplianceMode,
    ComplianceStatus,
    Direction,
    ExceptionCode,
    LinkKind,
    OrderType,
    Role,
    SettlementStatus,
    State,
    TimeInForce,
)


class Override(Open):
    override_id: str
    reason: str
    approver_id: str
    by: str


class ComplianceCheck(Open):
    """One gate: pre-trade or post-trade. `version` is the order version the pending verdict must name."""

    status: ComplianceStatus = ComplianceStatus.NOT_REQUESTED
    version: int = 0
    results: tuple[RuleResult, ...] = ()
    violations: tuple[Violation, ...] = ()
    override: Override | None = None


class Allocation(Open):
    allocation_id: str
    account_id: str
    portfolio_id: str
    quantity: Holding
    scheme: str | None = None
    residual: Quantity | None = None
    why: str | None = None
    created_at: datetime
    created_by: str


class Settlement(Open):
    """From CONFIRMED on. `instruction` is what the custodian was told, whatever happens to the order afterwards."""

    status: SettlementStatus = SettlementStatus.NOT_DUE
    trade_date: date | None = None
    settlement_date: date | None = None
    settles_at: datetime | None = None
    reasons: tuple[str, ...] = ()
    instruction: SettlementInstruction | None = None
    failure: str | None = None
    statement: CustodianStatement | None = None
    compared: bool = False

    @property
    def instruction_id(self) -> str | None:
        return self.instruction.instruction_id if self.instruction else None


class OpenException(Open):
    """Something somebody has to look at. `subject` tells apart two of the same code (a placement, a fill, a field)."""

    code: ExceptionCode
    subject: str
    since: datetime
    detail: str
    owner: Role


class Restructuring(Open):
    """A merge or a split that holds the order."""

    restructuring_id: str
    link: LinkKind
    since: datetime


class Order(Open):
    """One order at one version: the sequence number of its last event.

    `terms_version` is the version at which its economic terms last changed; `parked` are the digests of what
    nobody could read, so that the same message twice is parked once.
    """

    order_id: str
    version: int = 0
    terms_version: int = 1
    state: State
    request: CreateOrder
    instrument: Instrument
    default_account_id: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    ordered_quantity: Quantity
    time_in_force: TimeInForce
    limit_price: Price | None = None
    stop_price: Price | None = None
    expires_at: datetime | None = None
    counterparty_id: str | None = None
    metadata: dict[str, Any] = {}
    pre_trade: ComplianceCheck = ComplianceCheck()
    post_trade: ComplianceCheck = ComplianceCheck()
    ledger: Ledger = Ledger()
    placements: tuple[Placement, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    settlement: Settlement = Settlement()
    exceptions: tuple[OpenException, ...] = ()
    links: tuple[Link, ...] = ()
    shares: tuple[Share, ...] = ()
    basket_id: str | None = None
    restructuring: Restructuring | None = None
    cancel_requested: bool = False
    close_requested: bool = False
    ended_by: Stamp | None = None
    reason: str | None = None
    closed_at: datetime | None = None
    parked: tuple[str, ...] = ()

    @property
    def portfolio_id(self) -> str:
        return self.request.portfolio_id

    @property
    def instrument_id(self) -> str:
        return self.request.instrument_id

    @property
    def direction(self) -> Direction:
        return self.request.direction

    @property
    def order_type(self) -> OrderType:
        return self.request.order_type

    @property
    def route(self) -> Route | None:
        return self.request.route

    @property
    def automation(self) -> Automation:
        return self.request.automation

    @property
    def is_straight_through(self) -> bool:
        return self.request.automation is Automation.STRAIGHT_THROUGH

    @property
    def has_builtin_compliance(self) -> bool:
        return self.request.compliance is ComplianceMode.BUILTIN

    @property
    def owner(self) -> Role | None:
        return OWNER[self.state]

    @property
    def executed_quantity(self) -> Decimal:
        return self.ledger.filled.quantity

    @property
    def average_price(self) -> Decimal | None:
        return self.ledger.filled.average_price

    @property
    def working_quantity(self) -> Decimal:
        return total(placement.working_quantity for placement in self.placements)

    @property
    def unfilled_quantity(self) -> Decimal:
        return unfilled(self.ordered_quantity, self.executed_quantity)

    @property
    def allocated_quantity(self) -> Decimal:
        return total(allocation.quantity for allocation in self.allocations)

    @property
    def live_placements(self) -> tuple[Placement, ...]:
        return tuple(placement for placement in self.placements if not placement.is_over)

    @property
    def dealing(self) -> Dealing:
        return dealing(self.request, self.default_account_id, self.shares)

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def is_over(self) -> bool:
        """Terminal, nothing works at a venue and nobody has to look at anything: the workflow may end."""
        return self.is_terminal and not self.live_placements and not self.exceptions

    @property
    def takes_facts(self) -> bool:
        """A venue's facts are taken in every state but the last: a canceled order can still be filled late."""
        return self.state is not State.RECONCILED

    def placement(self, placement_id: str) -> Placement | None:
        return next((p for p in self.placements if p.placement_id == placement_id), None)

    def allocation(self, allocation_id: str) -> Allocation | None:
        return next((a for a in self.allocations if a.allocation_id == allocation_id), None)

    def has_exception(self, code: ExceptionCode, subject: str | None = None) -> bool:
        return any(e.code is code and subject in (None, e.subject) for e in self.exceptions)


class JournalBatch(Open):
    """Events of one order that are not in the journal yet, and the order after the last of them.

    Of its ledger the order carries the totals and what the events are about: the store has the rest.
    """

    order: Order
    events: tuple[Event, ...]

    @classmethod
    def of(cls, order: Order, events: Sequence[Event]) -> "JournalBatch":
        """What is to be written of `order` for `events`, however many executions it has."""
        ledger = order.ledger.only(executions_of(events))
        return cls(order=order.model_copy(update={"ledger": ledger}), events=tuple(events))


def executions_of(events: Sequence[Event]) -> set[str]:
    """What the execution ids of `events` identify."""
    ids = (getattr(event.happening, "exec_id", None) for event in events)
    return {revision(exec_id)[0] for exec_id in ids if exec_id is not None}


class Recording(Open):
    """What became of a batch: recorded, or `instead` of it the events that the journal holds from there on.

    A worker can die after its events were written and before Temporal knew of the task that decided them. The
    task is then decided anew, perhaps otherwise; what is in the journal has happened, so the journal's events stand.
    """

    instead: tuple[Event, ...] = ()
