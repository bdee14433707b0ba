"""Orders and what hangs on them. Quantities are in the instrument's units, prices in its currency."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from durable_oms.models.record import Figure, Record


class Violation(Record):
    """A rule that said no. The numbers are in the rule's own unit: money, units or a fraction."""

    rule_id: str
    rule_name: str
    severity: str = "HARD"
    description: str
    limit: Figure | None = None
    used: Figure | None = None
    proposed: Figure | None = None


class Override(Record):
    override_id: str
    reason: str
    approver_id: str
    by: str


class Check(Record):
    """One compliance gate; `version` is the order version that the verdict is about."""

    status: str
    version: int = 0
    violations: tuple[Violation, ...] = ()
    override: Override | None = None


class Route(Record):
    """Where a straight-through order goes, and the trader's default otherwise."""

    venue: str
    account: str | None = None
    strategy: str | None = None
    params: dict[str, str] = {}


class Bracket(Record):
    """A place in a bracket: `role` is parent or child, `size` how many orders it has."""

    bracket_id: str
    role: str
    size: int


class Adjustment(Record):
    """A stop that begins to trail when the market touches `trigger_price`."""

    trigger_price: Decimal
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None


class Handling(Record):
    """Instructions to the venue beside type, price and time."""

    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    limit_offset: Decimal | None = None
    outside_rth: bool = False
    good_after: datetime | None = None
    send_by: datetime | None = None
    oca_group: str | None = None
    oca_type: str = "cancel"
    bracket: Bracket | None = None
    adjustment: Adjustment | None = None


class Change(Record):
    """A change that the venue has not made: it is on its way, or `refused` says why it is not made."""

    revision: int
    terms: dict[str, Decimal]
    refused: str | None = None


class Rounding(Record):
    """One price as it was asked for and as it was sent, on the contract's `tick`."""

    field: str
    asked: Decimal
    sent: Decimal
    tick: Decimal


class Placement(Record):
    """A part of an order at a venue. Its terms are those of `revision`, the last change that the venue confirmed."""

    placement_id: str
    order_id: str
    status: str
    venue: str
    account: str | None = None
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str
    strategy: str | None = None
    params: dict[str, str] = {}
    handling: Handling = Handling()
    revision: int = 0
    change: Change | None = None
    roundings: tuple[Rounding, ...] = ()
    venue_order_ids: tuple[str, ...] = ()
    executed_quantity: Decimal = Decimal(0)
    average_price: Decimal | None = None
    reason: str | None = None
    since: datetime


class Allocation(Record):
    """What one account gets. `residual`: the part of it that was left over by the scheme, `why` it is here.

    An allocation that is asked for by itself tells its part of the order's money, in `currency`; commissions in
    another currency stand in `other_commissions`.
    """

    allocation_id: str
    order_id: str
    account_id: str
    portfolio_id: str
    quantity: Decimal
    scheme: str | None = None
    residual: Decimal | None = None
    why: str | None = None
    created_at: datetime
    created_by: str
    currency: str | None = None
    average_price: Decimal | None = None
    principal: Decimal | None = None
    commission: Decimal | None = None
    other_commissions: dict[str, Decimal] = {}


class Residual(Record):
    """What no whole lot was made of, or nobody in line took, and who has it."""

    allocation_id: str
    account_id: str
    portfolio_id: str
    quantity: Decimal
    why: str


class Spread(Record):
    """What a scheme made of what was left to allocate. `residual` is None where all went out in whole lots."""

    items: tuple[Allocation, ...]
    residual: Residual | None = None


class SettlementInstruction(Record):
    """What the custodian was told. `net_amount` is signed from our side: negative is paid, positive received."""

    instruction_id: str
    order_id: str
    account_id: str
    instrument_id: str
    symbol: str
    direction: str
    quantity: Decimal
    average_price: Decimal
    principal: Decimal
    commission: Decimal
    net_amount: Decimal
    currency: str
    trade_date: date
    settlement_date: date
    settles_at: datetime


class CustodianStatement(Record):
    """What the custodian's statement says of one settled instruction."""

    quantity: Decimal
    average_price: Decimal
    commission: Decimal
    net_amount: Decimal
    currency: str
    settled_on: date


class Settlement(Record):
    status: str = "NOT_DUE"
    trade_date: date | None = None
    settlement_date: date | None = None
    settles_at: datetime | None = None
    reasons: tuple[str, ...] = ()
    instruction: SettlementInstruction | None = None
    failure: str | None = None
    statement: CustodianStatement | None = None
    compared: bool = False


class OpenException(Record):
    """Something on an order that somebody has to look at."""

    code: str
    subject: str
    since: datetime
    detail: str
    owner: str


class ListedException(OpenException):
    """An open exception in the list over all orders."""

    order_id: str
    portfolio_id: str
    instrument_id: str


class Link(Record):
    """A tie to another order. `source`: the order grew out of that one; else that one grew out of it."""

    kind: str
    order_id: str
    source: bool = False


class Share(Record):
    """A part of a merged order that is for the portfolio and account of one of its sources."""

    order_id: str
    portfolio_id: str
    account_id: str
    quantity: Decimal


class Restructuring(Record):
    """A merge or a split that holds the order."""

    restructuring_id: str
    link: str
    since: datetime


class Waiting(Record):
    """Who or what moves the order next, and until when it waits at most."""

    on: str
    what: str
    until: datetime | None = None


class Order(Record):
    """An order at one version."""

    order_id: str
    client_order_id: str | None = None
    workflow_id: str
    version: int
    state: str
    owner: str | None = None
    portfolio_id: str
    instrument_id: str
    direction: str
    ordered_quantity: Decimal
    order_type: str
    time_in_force: str
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    expires_at: datetime | None = None
    basket_id: str | None = None
    automation: str
    compliance_mode: str
    handling: Handling = Handling()
    route: Route | None = None
    executed_quantity: Decimal
    working_quantity: Decimal
    unfilled_quantity: Decimal
    average_price: Decimal | None = None
    pre_trade: Check
    post_trade: Check
    placements: tuple[Placement, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    settlement: Settlement = Settlement()
    exceptions: tuple[OpenException, ...] = ()
    links: tuple[Link, ...] = ()
    shares: tuple[Share, ...] = ()
    restructuring: Restructuring | None = None
    counterparty_id: str | None = None
    metadata: dict[str, Any] = {}
    reason: str | None = None
    created_by: str
    created_at: datetime
    updated_at: datetime
    waiting_on: Waiting


class Closed(Record):
    """What execution came to, and the order after it."""

    executed_quantity: Decimal
    unfilled_quantity: Decimal
    order: Order


class Fill(Record):
    """An execution that stands."""

    exec_id: str
    placement_id: str
    quantity: Decimal
    price: Decimal
    commission: Decimal | None = None
    currency: str
    venue: str
    ts_event_ns: int
    ts_init_ns: int


class Actor(Record):
    """Whose key caused an event, in which role."""

    key: str
    role: str


class JournalEvent(Record):
    """One event of an order: `data` depends on `kind`, `state` is the order's after it.

    `position` is the place in the stream of all orders, None in the journal of one.
    """

    position: int | None = None
    order_id: str
    seq: int
    kind: str
    data: dict[str, Any]
    actor: Actor
    ts_event_ns: int
    ts_init_ns: int
    correlation_id: str | None = None
    state: str
