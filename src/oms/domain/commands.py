"""What people and programs may ask of an order. Each command names the ids it would mint, so asking twice is one."""

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from oms.domain.allocating import Scheme
from oms.domain.handling import PLAIN, Distance, Handling, Percentage, check_handling
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Holding, Price, Quantity
from oms.domain.terms import (
    Automation,
    ComplianceMode,
    Direction,
    ExceptionCode,
    LinkKind,
    OrderType,
    PlacementStatus,
    Role,
    Severity,
    TimeInForce,
)

Reason = Annotated[str, Field(min_length=1, max_length=1000)]
MAX_VIOLATIONS = 200
Metadata = Annotated[dict[Name, JsonValue], Field(max_length=50)]


class Actor(Model):
    """Who asks: the key's name and the roles it holds."""

    key: str
    roles: tuple[Role, ...]


SYSTEM = Actor(key="system", roles=(Role.SYSTEM,))
RULE_ENGINE = Actor(key="rule-engine", roles=(Role.COMPLIANCE,))
"""The built-in compliance engine: it passes the same gate as a compliance plugin's key."""


class Route(Model):
    """Where a straight-through order goes, and the trader's default otherwise."""

    venue: Name
    account: Name | None = None
    strategy: Name | None = None
    params: dict[Name, Name] = {}


class Violation(Model):
    """One rule that said no. The numbers are in the rule's own unit (money, units or a fraction)."""

    rule_id: Name
    rule_name: Name
    severity: Severity = Severity.HARD
    description: Reason
    limit: str | None = None
    used: str | None = None
    proposed: str | None = None


class RuleResult(Model):
    """What one rule said, kept with the verdict whether it passed or not."""

    rule_id: Name
    rule_name: Name
    rule_type: str
    rule_version: int
    severity: Severity
    passed: bool
    description: Reason
    limit: str | None = None
    used: str | None = None
    proposed: str | None = None
    remaining: str | None = None
    inputs: dict[str, str] = {}

    def violation(self) -> Violation:
        return Violation(
            rule_id=self.rule_id,
            rule_name=self.rule_name,
            severity=self.severity,
            description=self.description,
            limit=self.limit,
            used=self.used,
            proposed=self.proposed,
        )


def check_prices(order_type: OrderType, limit_price: Any, stop_price: Any) -> None:
    """Raise ValueError unless `order_type` has the prices it needs, and none that it cannot have."""
    for name, price, needed, allowed in (
        ("limit_price", limit_price, order_type.needs_limit_price, order_type.may_have_limit_price),
        ("stop_price", stop_price, order_type.needs_stop_price, order_type.may_have_stop_price),
    ):
        if needed and price is None:
            raise ValueError(f"{name} is required for a {order_type} order")
        if not allowed and price is not None:
            raise ValueError(f"{name} does not belong on a {order_type} order")


class CreateOrder(Model):
    kind: Literal["create"] = "create"
    portfolio_id: Name
    instrument_id: Name
    direction: Direction
    ordered_quantity: Quantity
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Price | None = None
    stop_price: Price | None = None
    expires_at: AwareDatetime | None = None
    basket_id: Name | None = None
    client_order_id: Name | None = None
    route: Route | None = None
    automation: Automation = Automation.MANUAL
    compliance: ComplianceMode = ComplianceMode.BUILTIN
    counterparty_id: Name | None = None
    metadata: Metadata = {}
    handling: Handling = PLAIN

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        check_prices(self.order_type, self.limit_price, self.stop_price)
        check_handling(self.order_type, self.handling, self.expires_at)
        if self.time_in_force is TimeInForce.GTD and self.expires_at is None:
            raise ValueError("expires_at is required for a GTD order")
        if self.time_in_force is not TimeInForce.GTD and self.expires_at is not None:
            raise ValueError(f"expires_at does not belong on a {self.time_in_force} order")
        return self


BOOKING = frozenset({"counterparty_id", "metadata"})
ECONOMIC = frozenset({"ordered_quantity", "limit_price", "stop_price", "time_in_force", "expires_at"})


class OrderChanges(Model):
    """The fields that may ever change. A field given as null is cleared."""

    ordered_quantity: Quantity | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    time_in_force: TimeInForce | None = None
    expires_at: AwareDatetime | None = None
    counterparty_id: Name | None = None
    metadata: Metadata | None = None

    @model_serializer(mode="wrap")
    def _only_given(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A field given as null stays apart from one not given, also on its way through Temporal."""
        values: dict[str, Any] = serialize(self)
        return {name: value for name, value in values.items() if name in self.model_fields_set}

    def given(self) -> dict[str, Any]:
        """The fields the caller named, with their values."""
        return {name: getattr(self, name) for name in sorted(self.model_fields_set)}


class UpdateOrder(Model):
    kind: Literal["update"] = "update"
    changes: OrderChanges

    @field_validator("changes")
    @classmethod
    def _something_changes(cls, changes: OrderChanges) -> OrderChanges:
        if not changes.model_fields_set:
            raise ValueError("names no field to change")
        return changes


class RequestPreTradeCompliance(Model):
    kind: Literal["request_pre_trade_compliance"] = "request_pre_trade_compliance"


class PassPreTradeCompliance(Model):
    kind: Literal["pass_pre_trade_compliance"] = "pass_pre_trade_compliance"
    order_version: int | None = None
    results: tuple[RuleResult, ...] = ()


class FailPreTradeCompliance(Model):
    kind: Literal["fail_pre_trade_compliance"] = "fail_pre_trade_compliance"
    violations: Annotated[tuple[Violation, ...], Field(min_length=1, max_length=MAX_VIOLATIONS)]
    order_version: int | None = None
    results: tuple[RuleResult, ...] = ()


class OverridePreTradeCompliance(Model):
    kind: Literal["override_pre_trade_compliance"] = "override_pre_trade_compliance"
    override_id: Name
    reason: Reason
    approver_id: Name


class RequestPostTradeCompliance(Model):
    kind: Literal["request_post_trade_compliance"] = "request_post_trade_compliance"


class PassPostTradeCompliance(Model):
    kind: Literal["pass_post_trade_compliance"] = "pass_post_trade_compliance"
    order_version: int | None = None
    results: tuple[RuleResult, ...] = ()


class FailPostTradeCompliance(Model):
    kind: Literal["fail_post_trade_compliance"] = "fail_post_trade_compliance"
    violations: Annotated[tuple[Violation, ...], Field(min_length=1, max_length=MAX_VIOLATIONS)]
    order_version: int | None = None
    results: tuple[RuleResult, ...] = ()


class OverridePostTradeCompliance(Model):
    kind: Literal["override_post_trade_compliance"] = "override_post_trade_compliance"
    override_id: Name
    reason: Reason
    approver_id: Name


class SendToTrader(Model):
    kind: Literal["send_to_trader"] = "send_to_trader"


class CreatePlacement(Model):
    """Work `quantity` at `venue`; absent terms are the order's own."""

    kind: Literal["create_placement"] = "create_placement"
    placement_id: Name
    venue: Name
    account: Name | None = None
    quantity: Quantity
    order_type: OrderType | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    time_in_force: TimeInForce | None = None
    strategy: Name | None = None
    params: dict[Name, Name] = {}
    handling: Handling | None = None


class ModifyPlacement(Model):
    """Change what works at the venue: less of it, or at another price. An absent term stays as it is."""

    kind: Literal["modify_placement"] = "modify_placement"
    placement_id: Name
    quantity: Quantity | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    trail_amount: Distance | None = None
    trail_percent: Percentage | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.terms():
            raise ValueError("names no term to change")
        return self

    def terms(self) -> dict[str, Decimal]:
        """The terms the caller named, with their values."""
        names = ("quantity", "limit_price", "stop_price", "trail_amount", "trail_percent")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class CancelPlacement(Model):
    kind: Literal["cancel_placement"] = "cancel_placement"
    placement_id: Name


class ResolvePlacement(Model):
    """A named person says what became of a placement in doubt, having looked at the venue."""

    kind: Literal["resolve_placement"] = "resolve_placement"
    placement_id: Name
    status: Literal[
        PlacementStatus.WORKING, PlacementStatus.REJECTED, PlacementStatus.CANCELED, PlacementStatus.EXPIRED
    ]
    reason: Reason


class CancelOrder(Model):
    kind: Literal["cancel"] = "cancel"
    reason: Reason | None = None


class CloseOrder(Model):
    kind: Literal["close"] = "close"


class CreateAllocation(Model):
    kind: Literal["create_allocation"] = "create_allocation"
    allocation_id: Name
    account_id: Name
    portfolio_id: Name
    quantity: Quantity


class UpdateAllocation(Model):
    """A new quantity; zero where busts have left the account nothing."""

    kind: Literal["update_allocation"] = "update_allocation"
    allocation_id: Name
    quantity: Holding


class Allocate(Model):
    """Spread what is not yet allocated over accounts by a scheme; `allocation_ids` has one id for each account."""

    kind: Literal["allocate"] = "allocate"
    scheme: Scheme
    allocation_ids: tuple[Name, ...]


class JoinBasket(Model):
    kind: Literal["join_basket"] = "join_basket"
    basket_id: Name


class CreateRemainder(Model):
    """Carry the unfilled part on in a new order, which gets `order_id`."""

    kind: Literal["create_remainder"] = "create_remainder"
    order_id: Name


class BeginRestructuring(Model):
    """Hold the order for a merge or a split: until that ends nobody else changes it."""

    kind: Literal["begin_restructuring"] = "begin_restructuring"
    restructuring_id: Name
    link: Literal[LinkKind.MERGED, LinkKind.SPLIT]


class CompleteRestructuring(Model):
    """The new orders exist: the source ends, linked to them."""

    kind: Literal["complete_restructuring"] = "complete_restructuring"
    restructuring_id: Name
    order_ids: tuple[Name, ...]


class AbandonRestructuring(Model):
    """The merge or split was refused: the order is free again, as it was."""

    kind: Literal["abandon_restructuring"] = "abandon_restructuring"
    restructuring_id: Name
    reason: Reason


class SendToOperations(Model):
    """`allocation_id` names the allocation made to the default account where there is none."""

    kind: Literal["send_to_operations"] = "send_to_operations"
    allocation_id: Name


class ConfirmOrder(Model):
    kind: Literal["confirm"] = "confirm"


class SettleOrder(Model):
    kind: Literal["settle"] = "settle"
    reason: Reason


class ReconcileOrder(Model):
    kind: Literal["reconcile"] = "reconcile"
    reason: Reason


class RejectOrder(Model):
    kind: Literal["reject"] = "reject"
    reason: Reason


class ResolveException(Model):
    kind: Literal["resolve_exception"] = "resolve_exception"
    code: ExceptionCode
    reason: Reason
    subject: str | None = None


Command = Annotated[
    UpdateOrder
    | RequestPreTradeCompliance
    | PassPreTradeCompliance
    | FailPreTradeCompliance
    | OverridePreTradeCompliance
    | RequestPostTradeCompliance
    | PassPostTradeCompliance
    | FailPostTradeCompliance
    | OverridePostTradeCompliance
    | SendToTrader
    | CreatePlacement
    | ModifyPlacement
    | CancelPlacement
    | ResolvePlacement
    | CancelOrder
    | CloseOrder
    | CreateAllocation
    | UpdateAllocation
    | Allocate
    | JoinBasket
    | CreateRemainder
    | BeginRestructuring
    | CompleteRestructuring
    | AbandonRestructuring
    | SendToOperations
    | ConfirmOrder
    | SettleOrder
    | ReconcileOrder
    | RejectOrder
    | ResolveException,
    Field(discriminator="kind"),
]


class Instruction(Model):
    """A command on its way to one order: who asks, when they asked, under which request and which id of its own."""

    command: Command
    actor: Actor
    ts_event_ns: int
    correlation_id: str | None = None
    expected_version: int | None = None
    command_id: str | None = None
