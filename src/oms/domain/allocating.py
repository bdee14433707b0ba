"""Allocation schemes, pure: how an executed quantity is spread over accounts so that nothing is lost or made up."""

from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Discriminator, Field, Tag, model_validator

from oms.domain.dividing import odd_part
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import ZERO, Quantity, add, plain, subtract, total
from oms.domain.weighing import Node, weigh

MAX_ACCOUNTS = 500
_HUNDRED = Decimal(100)


class Target(Model):
    """An account of a scheme, for one portfolio."""

    account_id: Name
    portfolio_id: Name


Leaf = TypeVar("Leaf", bound=Target)


class QuantityTarget(Target):
    quantity: Quantity


class WeightTarget(Target):
    """`minimum`: the account gets at least so much or nothing."""

    weight: Quantity
    minimum: Quantity | None = None


class PercentageTarget(Target):
    """`percentage`: of a hundred. `minimum`: the account gets at least so much or nothing."""

    percentage: Quantity
    minimum: Quantity | None = None


class PriorityTarget(Target):
    """`quantity`: the most the account takes; the next in line gets what is left."""

    quantity: Quantity
    minimum: Quantity | None = None

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.minimum is not None and self.minimum > self.quantity:
            raise ValueError(f"minimum {plain(self.minimum)} is above quantity {plain(self.quantity)}")
        return self


def _branch_or_account(value: Any) -> str:
    named = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "group" if "group_id" in named else "account"


class Branch(Model):
    """A group of accounts and groups with its weight among its siblings."""

    group_id: Name
    weight: Quantity
    members: "Annotated[tuple[WeightMember, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]"


WeightMember = Annotated[
    Annotated[Branch, Tag("group")] | Annotated[WeightTarget, Tag("account")],
    Discriminator(_branch_or_account),
]


class _WithResidual(Model):
    """`residual_account_id` takes what is left over. One that is none of the accounts needs its portfolio too."""

    residual_account_id: Name | None = None
    residual_portfolio_id: Name | None = None


class ByQuantity(Model):
    """Each account gets the quantity it names."""

    scheme: Literal["quantity"] = "quantity"
    accounts: Annotated[tuple[QuantityTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class ProRata(_WithResidual):
    """Each account gets a part in proportion to its weight."""

    scheme: Literal["pro_rata"] = "pro_rata"
    accounts: Annotated[tuple[WeightTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class AveragePrice(_WithResidual):
    """In proportion to weights, said to be a block: every account trades at its one average price."""

    scheme: Literal["average_price"] = "average_price"
    accounts: Annotated[tuple[WeightTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class ByPercentage(_WithResidual):
    """Each account gets its percentage; they add up to 100."""

    scheme: Literal["percentage"] = "percentage"
    accounts: Annotated[tuple[PercentageTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class StepDown(_WithResidual):
    """Accounts are filled one after another, in the order given."""

    scheme: Literal["step_down"] = "step_down"
    accounts: Annotated[tuple[PriorityTarget, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


class Hierarchy(_WithResidual):
    """Groups of accounts and groups: each level is spread by weight, down to the accounts."""

    scheme: Literal["hierarchy"] = "hierarchy"
    accounts: Annotated[tuple[WeightMember, ...], Field(min_length=1, max_length=MAX_ACCOUNTS)]


Scheme = Annotated[
    ByQuantity | ProRata | AveragePrice | ByPercentage | StepDown | Hierarchy, Field(discriminator="scheme")
]


_Residual = ProRata | AveragePrice | ByPercentage | StepDown | Hierarchy


class Portion(Target):
    """What one account gets.

    `residual`: the part of it that was left over and has its home here: smaller than a lot, or with step_down
    whatever nobody else takes. `why` is the reckoning in words.
    """

    quantity: Quantity
    residual: Quantity | None = None
    why: str = ""


def spread(scheme: Scheme, quantity: Decimal, lot_size: Decimal) -> tuple[Portion, ...]:
    """`quantity` (above zero) by `scheme`, in whole lots but for the residual.

    The portions add up to `quantity` exactly; by quantity they are as named, and may leave something for later.
    Accounts that get nothing are left out. Raises Refused: VALIDATION_FAILED for a scheme that cannot be meant
    (an account named twice, percentages that are not 100), ALLOCATION_MISMATCH where it does not fit `quantity`.
    """
    _refuse_twice(scheme)
    match scheme:
        case ByQuantity():
            return _as_named(scheme, quantity)
        case StepDown():
            return _in_line(scheme, quantity, lot_size)
        case ByPercentage():
            return _by_weight(scheme, _of_a_hundred(scheme), quantity, lot_size)
    return _by_weight(scheme, scheme.accounts, quantity, lot_size)


def leaves(scheme: Scheme) -> Iterator[Target]:
    """Every account the scheme names, in the order given; the residual's home last where it is none of them."""
    yield from _leaves(scheme.accounts)
    home = None if isinstance(scheme, ByQuantity) else _home(scheme)
    if home is not None and _key(home) not in {_key(leaf) for leaf in _leaves(scheme.accounts)}:
        yield home


def _leaves(members: Sequence[Leaf | Branch]) -> Iterator[Leaf | WeightTarget]:
    for member in members:
        if isinstance(member, Branch):
            yield from _leaves(member.members)
        else:
            yield member


def _key(target: Target) -> tuple[str, str]:
    return target.account_id, target.portfolio_id


def _refuse_twice(scheme: Scheme) -> None:
    counted = Counter(_key(leaf) for leaf in _leaves(scheme.accounts))
    if counted.total() > MAX_ACCOUNTS:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"accounts: {counted.total()} accounts are named; at most {MAX_ACCOUNTS} share an order.",
            field="accounts",
            limit=MAX_ACCOUNTS,
            actual=counted.total(),
        )
    (account_id, portfolio_id), times = counted.most_common(1)[0]
    if times > 1:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"accounts: {account_id} for {portfolio_id} is named {times} times.",
            field="accounts",
            account_id=account_id,
            portfolio_id=portfolio_id,
        )


def _home(scheme: _Residual) -> Target | None:
    """Who takes what is left over, where somebody is named. Raises Refused: VALIDATION_FAILED."""
    account_id, portfolio_id = scheme.residual_account_id, scheme.residual_portfolio_id
    if account_id is None:
        if portfolio_id is not None:
            raise Refused(
                Code.VALIDATION_FAILED,
                "residual_portfolio_id: goes with a residual_account_id.",
                field="residual_portfolio_id",
            )
        return None
    if portfolio_id is not None:
        return Target(account_id=account_id, portfolio_id=portfolio_id)
    for leaf in _leaves(scheme.accounts):
        if leaf.account_id == account_id:
            return Target(account_id=account_id, portfolio_id=leaf.portfolio_id)
    raise Refused(
        Code.VALIDATION_FAILED,
        f"residual_account_id: {account_id} is none of the accounts; name its residual_portfolio_id too.",
        field="residual_account_id",
        account_id=account_id,
    )


def _as_named(scheme: ByQuantity, quantity: Decimal) -> tuple[Portion, ...]:
    asked = total(target.quantity for target in scheme.accounts)
    if asked > quantity:
        raise Refused(
            Code.ALLOCATION_MISMATCH,
            f"{plain(asked)} asked for, {plain(quantity)} left to allocate.",
            asked=plain(asked),
            quantity=plain(quantity),
        )
    return tuple(
        Portion(**_names(target), quantity=target.quantity, why="as named") for target in scheme.accounts
    )


def _of_a_hundred(scheme: ByPercentage) -> tuple[WeightTarget, ...]:
    """The percentages as weights. Raises Refused: VALIDATION_FAILED unless they add up to 100."""
    percentages = total(target.percentage for target in scheme.accounts)
    if percentages != _HUNDRED:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"accounts: the percentages add up to {plain(percentages)}, not to 100.",
            field="accounts",
            sum=plain(percentages),
            expected="100",
        )
    return tuple(
        WeightTarget(**_names(target), weight=target.percentage, minimum=target.minimum)
        for target in scheme.accounts
    )


def _by_weight(
    scheme: _Residual, members: Sequence[Branch | WeightTarget], quantity: Decimal, lot: Decimal
) -> tuple[Portion, ...]:
    accounts, home = tuple(_leaves(members)), _home(scheme)
    spare = odd_part(quantity, lot) if home is not None else ZERO
    noun = "percentage" if isinstance(scheme, ByPercentage) else "weight"
    at_average = "; at the block's average price" if isinstance(scheme, AveragePrice) else ""
    amount = subtract(quantity, spare)
    weighed = weigh(_nodes(members), amount, lot, noun) if amount else ()
    if amount and not weighed:
        raise Refused(
            Code.ALLOCATION_MISMATCH,
            f"{plain(amount)} is below the minimum of every account that is left; nobody takes it.",
            quantity=plain(amount),
            minimums=[plain(account.minimum) for account in accounts if account.minimum][:20],
        )
    portions = [
        Portion(
            **_names(accounts[one.position]),
            quantity=one.quantity,
            residual=odd_part(one.quantity, lot) or None,
            why=one.why + at_average,
        )
        for one in weighed
    ]
    return _with_residual(portions, home, spare)


def _nodes(members: Sequence[Branch | WeightTarget]) -> tuple[Node, ...]:
    return tuple(
        Node(member.group_id, member.weight, members=_nodes(member.members))
        if isinstance(member, Branch)
        else Node(member.account_id, member.weight, member.minimum or ZERO)
        for member in members
    )


def _in_line(scheme: StepDown, quantity: Decimal, lot: Decimal) -> tuple[Portion, ...]:
    home, left = _home(scheme), quantity
    portions: list[Portion] = []
    for number, target in enumerate(scheme.accounts, start=1):
        most = min(target.quantity, left)
        got = subtract(most, odd_part(most, lot))
        if got and got >= (target.minimum or ZERO):
            why = f"number {number} in line, up to {plain(target.quantity)}"
            portions.append(Portion(**_names(target), quantity=got, why=why))
            left = subtract(left, got)
    if home is None and ZERO < left < lot:
        home = _with_room(scheme, portions, left)
    if home is None and left:
        taken = subtract(quantity, left)
        raise Refused(
            Code.ALLOCATION_MISMATCH,
            f"The accounts take {plain(taken)} of {plain(quantity)} in lots of {plain(lot)}; {plain(left)} is left "
            "over, and no residual_account_id takes it.",
            quantity=plain(quantity),
            taken=plain(taken),
            left_over=plain(left),
        )
    return _with_residual(portions, home, left)


def _with_room(scheme: StepDown, portions: Sequence[Portion], odd: Decimal) -> Target | None:
    """The first in line that takes `odd`, a piece smaller than a lot, beside what it has."""
    taken = {_key(portion): portion.quantity for portion in portions}
    for target in scheme.accounts:
        would_have = add(taken.get(_key(target), ZERO), odd)
        if (target.minimum or ZERO) <= would_have <= target.quantity:
            return target
    return None


def _with_residual(
    portions: Sequence[Portion], home: Target | None, residual: Decimal
) -> tuple[Portion, ...]:
    """`residual` beside what its home has already, or on its own at the end."""
    if home is None or not residual:
        return tuple(portions)
    told = f"{plain(residual)} left over has its home here"
    for index, portion in enumerate(portions):
        if _key(portion) == _key(home):
            grown = Portion(
                **_names(home),
                quantity=add(portion.quantity, residual),
                residual=residual,
                why=f"{portion.why}; {told}",
            )
            return (*portions[:index], grown, *portions[index + 1 :])
    return (*portions, Portion(**_names(home), quantity=residual, residual=residual, why=told))


def _names(target: Target) -> dict[str, str]:
    return {"account_id": target.account_id, "portfolio_id": target.portfolio_id}
