"""Allocation schemes, pure: how an executed quantity is spread over accounts so that nothing is lost or made up."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Quantity

MAX_ACCOUNTS = 500


class Target(Model):
    """An account of a scheme. `minimum`: it gets at least so much or nothing."""

    account_id: Name
    portfolio_id: Name
    minimum: Quantity | None = None


class QuantityTarget(Target):
    quantity: Quantity


class WeightTarget(Target):
    weight: Quantity


class PercentageTarget(Target):
    """`percentage`: of a hundred."""

    percentage: Quantity


class PriorityTarget(Target):
    """`quantity`: the most the account takes; the next in line gets what is left."""

    quantity: Quantity


class Branch(Model):
    """A group of accounts and groups with its weight among its siblings."""

    group_id: Name
    weight: Quantity
    members: "tuple[Annotated[Branch | WeightTarget, Field(union_mode='left_to_right')], ...]"


class ByQuantity(Model):
    """Each account gets the quantity it names."""

    scheme: Literal["quantity"] = "quantity"
    accounts: Annotated[tuple[QuantityTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class ProRata(Model):
    """Each account gets a part in proportion to its weight."""

    scheme: Literal["pro_rata"] = "pro_rata"
    accounts: Annotated[tuple[WeightTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]
    residual_account_id: Name | None = None


class ByPercentage(Model):
    """Each account gets its percentage; they add up to 100."""

    scheme: Literal["percentage"] = "percentage"
    accounts: Annotated[tuple[PercentageTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]
    residual_account_id: Name | None = None


class StepDown(Model):
    """Accounts are filled one after another, in the order given."""

    scheme: Literal["step_down"] = "step_down"
    accounts: Annotated[tuple[PriorityTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]
    residual_account_id: Name | None = None


class Hierarchy(Model):
    """Groups of accounts and groups: each level is spread by weight, down to the accounts."""

    scheme: Literal["hierarchy"] = "hierarchy"
    accounts: Annotated[
        tuple[Annotated[Branch | WeightTarget, Field(union_mode="left_to_right")], ...],
        Field(min_length=1, max_length=MAX_ACCOUNTS),
    ]
    residual_account_id: Name | None = None


Scheme = Annotated[ByQuantity | ProRata | ByPercentage | StepDown | Hierarchy, Field(discriminator="scheme")]


class Portion(Model):
    """What one account gets. `residual`: it took what rounding to lots left over, `why` says by which rule."""

    account_id: Name
    portfolio_id: Name
    quantity: Quantity
    residual: Quantity | None = None
    why: str = ""


def spread(scheme: Scheme, quantity: Decimal, lot_size: Decimal) -> tuple[Portion, ...]:
    """`quantity` by `scheme`, in whole lots but for the residual; the portions add up to it exactly.

    Accounts that get nothing are left out. Raises Refused: ALLOCATION_MISMATCH, VALIDATION_FAILED.
    """
    raise NotImplementedError
