"""What callers send. Field names are the order book's own; unknown fields are refused."""

from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from oms.api.handling import PLAIN_BODY, HandlingBody
from oms.api.new_order import ExactMetadata
from oms.api.validation import UtcInstant
from oms.domain.allocating import AveragePrice, ByPercentage, ByQuantity, ProRata, StepDown
from oms.domain.commands import MAX_VIOLATIONS, OrderChanges, Reason, Violation
from oms.domain.groups import Members
from oms.domain.handling import Distance, Percentage
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Holding, Price, Quantity
from oms.domain.reference import InstrumentTerms
from oms.domain.terms import Direction, OrderType, PlacementStatus, Severity, TimeInForce

OrderVersion = Annotated[int, Field(ge=1, le=2**53, examples=[2])]


class Nothing(Model):
    """A command without a body; an empty object says the same."""


class Changes(OrderChanges):
    """What UpdateOrder may change. A field given as null is cleared."""

    expires_at: UtcInstant | None = None
    metadata: ExactMetadata | None = None


class _DocumentedAsChanges:
    """Shows `Changes` in the OpenAPI document; the fields are read by hand, because one that never changes has
    an answer of its own."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, show: GetJsonSchemaHandler) -> JsonSchemaValue:
        return show(Changes.__pydantic_core_schema__)


OrderPatch = Annotated[dict[str, Any], _DocumentedAsChanges]


class CancelBody(Model):
    reason: Reason | None = Field(None, examples=["the client changed their mind"])


class ReasonBody(Model):
    reason: Reason = Field(examples=["confirmed by telephone with the custodian"])


class PassBody(Model):
    """`order_version`: the `version` of the check that was looked at; an older one is STALE_VERDICT."""

    order_version: OrderVersion | None = None


class FailBody(Model):
    violations: Annotated[tuple[Violation, ...], Field(min_length=1, max_length=MAX_VIOLATIONS)]
    order_version: OrderVersion | None = None


class OverrideBody(Model):
    reason: Reason = Field(examples=["approved by the risk committee"])
    approver_id: Name = Field(examples=["USER-0042"])


class PlacementBody(Model):
    """Terms that are absent are the order's own. `strategy` and its `params` are in docs/ibkr.md."""

    venue: Name = Field(examples=["IBKR"])
    account: Name | None = Field(None, examples=["DU123456"])
    quantity: Quantity = Field(examples=["100"])
    order_type: OrderType | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    time_in_force: TimeInForce | None = None
    strategy: Name | None = Field(None, examples=["VWAP"])
    params: dict[Name, Name] = Field({}, examples=[{"max_percent": "10"}])
    handling: HandlingBody | None = None


class ModifyPlacementBody(Model):
    """What to change; an absent term stays as it is. `quantity` is the placement's new total, and only smaller."""

    quantity: Quantity | None = Field(None, examples=["50"])
    limit_price: Price | None = Field(None, examples=["150.20"])
    stop_price: Price | None = None
    trail_amount: Distance | None = None
    trail_percent: Percentage | None = None


class ResolvePlacementBody(Model):
    """What became of a placement in doubt, by somebody who looked at the venue."""

    status: Literal[
        PlacementStatus.WORKING, PlacementStatus.REJECTED, PlacementStatus.CANCELED, PlacementStatus.EXPIRED
    ]
    reason: Reason


class ResolveExceptionBody(Model):
    """`subject` picks one of several with the same code; without it all of them are resolved."""

    reason: Reason
    subject: Annotated[str, Field(max_length=1000)] | None = None


class AllocationBody(Model):
    account_id: Name = Field(examples=["ACCT-001"])
    portfolio_id: Name = Field(examples=["PORT-001"])
    quantity: Quantity = Field(examples=["100"])


class HierarchyBody(Model):
    """Accounts, and groups by their id, spread level by level by weight."""

    scheme: Literal["hierarchy"] = "hierarchy"
    accounts: Members
    residual_account_id: Name | None = None
    residual_portfolio_id: Name | None = None


SchemeBody = ByQuantity | ProRata | AveragePrice | ByPercentage | StepDown | HierarchyBody


class _DocumentedAsAllocation:
    """Shows one allocation and every scheme in the OpenAPI document; `scheme` says which of them is read, so a
    finding names the field as the caller wrote it."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, show: GetJsonSchemaHandler) -> JsonSchemaValue:
        return show(TypeAdapter[Any](AllocationBody | SchemeBody).core_schema)


AllocationAsked = Annotated[dict[str, Any], _DocumentedAsAllocation]


class GroupBody(Model):
    """`group_id`: one that is known takes the new description; without it a new group is made."""

    group_id: Name | None = Field(None, examples=["GRP-FAMILY"])
    name: Name = Field(examples=["The family's accounts"])
    members: Members = Field(
        examples=[[{"account_id": "ACCT-001", "portfolio_id": "PORT-001", "weight": "2"}]]
    )


class AllocationPatch(Model):
    """Zero where busts have left the account nothing."""

    quantity: Holding = Field(examples=["60"])


Targets = Annotated[tuple[Name, ...], Field(max_length=1000)]


Why = Annotated[str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
"""A reason that is kept as text of its own; PostgreSQL keeps no NUL."""


class RuleBody(Model):
    """`parameters` depend on `rule_type`; `target_accounts` names portfolios or accounts, empty means all.

    `reason` is kept with the version.
    """

    rule_id: Name | None = None
    rule_type: Name = Field(examples=["max_order_notional"])
    name: Name | None = Field(
        None, description="Its type, if none is given.", examples=["No order above one million"]
    )
    severity: Severity = Severity.HARD
    parameters: dict[str, Any] = Field(examples=[{"max_notional": "1000000"}])
    target_accounts: Targets = ()
    active: bool = True
    reason: Why | None = None


class RulePatch(Model):
    """Only the fields given change; each change is a new version, and `reason` is kept with it.

    `parameters` are replaced as a whole.
    """

    name: Name | None = None
    severity: Severity | None = None
    parameters: dict[str, Any] | None = None
    target_accounts: Targets | None = None
    active: bool | None = None
    reason: Why | None = None


class _DocumentedAsRulePatch:
    """Shows `RulePatch` in the OpenAPI document; the fields are read by hand, because one that never changes has
    an answer of its own."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, show: GetJsonSchemaHandler) -> JsonSchemaValue:
        return show(RulePatch.__pydantic_core_schema__)


RuleChanges = Annotated[dict[str, Any], _DocumentedAsRulePatch]


class ProposedOrder(Model):
    """An order that might be made. Without `order_type` it has the type that its prices make."""

    portfolio_id: Name = Field(examples=["PORT-001"])
    instrument_id: Name
    direction: Direction
    ordered_quantity: Quantity = Field(examples=["5000"])
    order_type: OrderType | None = None
    limit_price: Price | None = None
    stop_price: Price | None = None
    handling: HandlingBody = PLAIN_BODY


class WhatIfBody(Model):
    """Orders that are checked together: each counts the ones before it as if they were in flight."""

    proposed_orders: Annotated[tuple[ProposedOrder, ...], Field(min_length=1, max_length=500)]


class InstrumentBody(InstrumentTerms):
    instrument_id: Name | None = None


class PriceBody(Model):
    instrument_id: Name
    price: Price = Field(examples=["150.25"])
    as_of: UtcInstant | None = None


class PricesBody(Model):
    prices: Annotated[tuple[PriceBody, ...], Field(min_length=1, max_length=5000)]
