"""What the interface answers. Decimals are plain strings, times RFC 3339 in UTC."""

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from oms.domain.commands import Violation
from oms.domain.duties import Waiting, waiting_on
from oms.domain.events import Event, Link, Share, Stamp
from oms.domain.facts import Rounding
from oms.domain.handling import Handling
from oms.domain.identifiers import workflow_id
from oms.domain.numbers import Amount, Holding, Price, Quantity
from oms.domain.order import (
    Allocation,
    ComplianceCheck,
    OpenException,
    Order,
    Override,
    Placement,
    Restructuring,
    Settlement,
)
from oms.domain.terms import (
    Automation,
    ComplianceMode,
    ComplianceStatus,
    Direction,
    ExceptionCode,
    OrderType,
    PlacementStatus,
    Role,
    State,
    TimeInForce,
)
from oms.store.orders import Fill, ListedException

Item = TypeVar("Item")


class View(BaseModel):
    """An answer. Nothing is computed here but the shape."""

    model_config = ConfigDict(frozen=True)


class ListView(View, Generic[Item]):
    """A page. `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = None


class RouteView(View):
    venue: str
    account: str | None
    strategy: str | None
    params: dict[str, str]


class CheckView(View):
    """One compliance gate; `version` is the order version that the verdict is about."""

    status: ComplianceStatus
    version: int
    violations: tuple[Violation, ...]
    override: Override | None

    @classmethod
    def of(cls, check: ComplianceCheck) -> "CheckView":
        return cls.model_construct(**{name: getattr(check, name) for name in _CHECKED})


_CHECKED = tuple(CheckView.model_fields)


class ChangeView(View):
    """A change of a placement that the venue has not made: it is on its way, or `refused` says why it is not made."""

    revision: int
    terms: dict[str, Amount]
    refused: str | None

    @classmethod
    def of(cls, placement: Placement) -> "ChangeView | None":
        change = placement.change or placement.last_change
        if change is None or (change.refused is None and placement.change is None):
            return None
        return cls.model_construct(**dict(change))


class PlacementView(View):
    """A part of an order at a venue. The terms are those of `revision`, the last change that the venue confirmed.

    `change`: one that it has not made; `roundings`: where what it works differs from what was asked, by less than
    a tick and on the safe side.
    """

    placement_id: str
    order_id: str
    status: PlacementStatus
    venue: str
    account: str | None
    quantity: Quantity
    order_type: OrderType
    limit_price: Price | None
    stop_price: Price | None
    time_in_force: TimeInForce
    strategy: str | None
    params: dict[str, str]
    handling: Handling
    revision: int
    change: ChangeView | None
    roundings: tuple[Rounding, ...]
    venue_order_ids: tuple[str, ...]
    executed_quantity: Holding
    average_price: Amount | None
    reason: str | None
    since: datetime

    @classmethod
    def of(cls, order_id: str, placement: Placement) -> "PlacementView":
        own = {name: getattr(placement, name) for name in _PLACED}
        return cls.model_construct(**own, order_id=order_id, change=ChangeView.of(placement))


_PLACED = tuple(name for name in PlacementView.model_fields if name not in ("order_id", "change"))


class AllocationView(View):
    allocation_id: str
    order_id: str
    account_id: str
    portfolio_id: str
    quantity: Holding
    scheme: str | None
    residual: Quantity | None
    why: str | None
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, order_id: str, allocation: Allocation) -> "AllocationView":
        return cls.model_construct(**dict(allocation), order_id=order_id)


class OrderView(View):
    """An order at one version. `waiting_on` says who or what moves it next."""

    order_id: str = Field(examples=["ORD-01936d8a-7c1e-7b2a-8f3d-4e5a6b7c8d9e"])
    client_order_id: str | None
    workflow_id: str
    version: int
    state: State
    owner: Role | None
    portfolio_id: str
    instrument_id: str
    direction: Direction
    ordered_quantity: Quantity
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Price | None
    stop_price: Price | None
    expires_at: datetime | None
    basket_id: str | None
    automation: Automation
    compliance_mode: ComplianceMode
    handling: Handling
    route: RouteView | None
    executed_quantity: Holding
    working_quantity: Holding
    unfilled_quantity: Holding
    average_price: Amount | None
    pre_trade: CheckView
    post_trade: CheckView
    placements: list[PlacementView]
    allocations: list[AllocationView]
    settlement: Settlement
    exceptions: tuple[OpenException, ...]
    links: tuple[Link, ...]
    shares: tuple[Share, ...]
    restructuring: Restructuring | None
    counterparty_id: str | None
    metadata: dict[str, Any]
    reason: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    waiting_on: Waiting

    @classmethod
    def of(cls, order: Order) -> "OrderView":
        request = order.request
        own = {name: getattr(order, name) for name in _OWN}
        return cls.model_construct(
            **own,
            client_order_id=request.client_order_id,
            workflow_id=workflow_id(order.order_id),
            compliance_mode=request.compliance,
            handling=request.handling,
            route=RouteView.model_construct(**dict(request.route)) if request.route else None,
            pre_trade=CheckView.of(order.pre_trade),
            post_trade=CheckView.of(order.post_trade),
            placements=[PlacementView.of(order.order_id, placement) for placement in order.placements],
            allocations=[AllocationView.of(order.order_id, allocation) for allocation in order.allocations],
            waiting_on=waiting_on(order),
        )


_OWN = tuple(
    name
    for name in OrderView.model_fields
    if hasattr(Order, name) or name in Order.model_fields
    if name not in ("pre_trade", "post_trade", "placements", "allocations", "route", "handling")
)


class ClosedView(View):
    executed_quantity: Holding
    unfilled_quantity: Holding
    order: OrderView


class OverrideView(View):
    override_id: str
    order: OrderView


class FillView(View):
    exec_id: str
    placement_id: str
    quantity: Holding
    price: Price
    commission: Amount | None
    currency: str
    venue: str
    ts_event_ns: int
    ts_init_ns: int

    @classmethod
    def of(cls, fill: Fill) -> "FillView":
        return cls.model_construct(**{name: getattr(fill, name) for name in cls.model_fields})


class JournalView(View):
    """One journal event. `data` depends on `kind`; `state` is the order's state after it."""

    order_id: str
    seq: int
    kind: str
    data: dict[str, Any]
    actor: Stamp
    ts_event_ns: int
    ts_init_ns: int
    correlation_id: str | None
    state: State

    @classmethod
    def of(cls, event: Event) -> "JournalView":
        return cls.model_construct(
            order_id=event.order_id,
            seq=event.seq,
            kind=event.kind,
            data=event.happening.model_dump(mode="json", exclude={"kind"}),
            actor=event.actor,
            ts_event_ns=event.ts_event_ns,
            ts_init_ns=event.ts_init_ns,
            correlation_id=event.correlation_id,
            state=event.state,
        )


class ExceptionView(View):
    order_id: str
    portfolio_id: str
    instrument_id: str
    code: ExceptionCode
    subject: str
    since: datetime
    detail: str
    owner: Role

    @classmethod
    def of(cls, listed: ListedException) -> "ExceptionView":
        return cls.model_construct(
            order_id=listed.order_id,
            portfolio_id=listed.portfolio_id,
            instrument_id=listed.instrument_id,
            **dict(listed.exception),
        )


def answer(view: BaseModel, status: int = 200, **headers: str) -> Response:
    """`view` as JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(view.model_dump_json(), status, named, "application/json")


def etag(order: Order) -> str:
    """The order's version in quotes."""
    return f'"{order.version}"'


def order_answer(order: Order, status: int = 200, view: BaseModel | None = None, **headers: str) -> Response:
    """An order, or a view that holds it, with its ETag."""
    return answer(view or OrderView.of(order), status, ETag=etag(order), **headers)
