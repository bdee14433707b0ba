"""Account groups, pure: accounts and groups under one name, each with a weight, and never a group inside itself."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from oms.domain.allocating import MAX_ACCOUNTS, Branch, WeightTarget
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import Name
from oms.domain.model import Model
from oms.domain.numbers import Quantity

MAX_DEPTH = 20


class Member(Model):
    """An account for a portfolio, or another group. `minimum`: the account gets at least so much or nothing."""

    account_id: Name | None = None
    portfolio_id: Name | None = None
    group_id: Name | None = None
    weight: Quantity = Decimal(1)
    minimum: Quantity | None = None

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        names_account = self.account_id is not None and self.portfolio_id is not None
        names_part = self.account_id is not None or self.portfolio_id is not None
        if names_account == (self.group_id is not None) or names_part != names_account:
            raise ValueError("names an account (account_id and portfolio_id) or a group (group_id)")
        if self.group_id is not None and self.minimum is not None:
            raise ValueError("minimum is for an account; a group has none")
        return self


def _nobody_twice(members: tuple[Member, ...]) -> tuple[Member, ...]:
    counted = Counter((m.group_id, m.account_id, m.portfolio_id) for m in members)
    for (group_id, account_id, portfolio_id), times in counted.most_common(1):
        if times > 1:
            raise ValueError(f"{group_id or f'{account_id} for {portfolio_id}'} is named {times} times")
    return members


Members = Annotated[
    tuple[Member, ...], Field(min_length=1, max_length=MAX_ACCOUNTS), AfterValidator(_nobody_twice)
]


class AccountGroup(Model):
    """Accounts and groups that an order is spread over by weight."""

    group_id: Name
    name: Name
    members: Members

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that are its members."""
        return tuple(m.group_id for m in self.members if m.group_id is not None)

    @property
    def accounts(self) -> tuple[tuple[str, str], ...]:
        """(account_id, portfolio_id) of the accounts that are its members."""
        return tuple(
            (m.account_id, m.portfolio_id)
            for m in self.members
            if m.account_id is not None and m.portfolio_id is not None
        )


def expand(group_id: str, groups: Mapping[str, AccountGroup], weight: Decimal = Decimal(1)) -> Branch:
    """The group as a tree down to its accounts, with `weight` among its siblings.

    Raises Refused: GROUP_NOT_FOUND, CIRCULAR_HIERARCHY, VALIDATION_FAILED for a group that is reached twice, for
    more than 500 accounts or 20 levels.
    """
    return _Walk(groups).branch(group_id, weight, ())


def resolve(
    members: Sequence[Member], groups: Mapping[str, AccountGroup]
) -> tuple[Branch | WeightTarget, ...]:
    """`members` with every group among them expanded. Raises Refused as `expand` does."""
    return _Walk(groups).level(members, ())


def refuse_cycles(group: AccountGroup, known: Mapping[str, AccountGroup]) -> None:
    """Raise Refused: CIRCULAR_HIERARCHY where `group`, put among the known ones, would come to contain itself,
    GROUP_NOT_FOUND where it names a group that nobody knows."""
    groups = {**known, group.group_id: group}
    done: set[str] = set()
    open_paths: list[tuple[str, ...]] = [(group.group_id,)]
    while open_paths:
        path = open_paths.pop()
        for member in _known(groups, path[-1]).groups:
            if member == group.group_id:
                _circular((*path, member))
            if member not in done:
                done.add(member)
                open_paths.append((*path, member))


class _Walk:
    """One walk down from a group: no group twice, no more accounts and levels than an order is spread over."""

    def __init__(self, groups: Mapping[str, AccountGroup]) -> None:
        self._groups = groups
        self._reached: set[str] = set()
        self._accounts = 0

    def branch(self, group_id: str, weight: Decimal, above: tuple[str, ...]) -> Branch:
        path = (*above, group_id)
        if group_id in above:
            _circular(path)
        if group_id in self._reached:
            raise _unfit(f"{group_id} is reached twice, by {' -> '.join(path)} and another way", path)
        if len(path) > MAX_DEPTH:
            raise _unfit(f"groups are {len(path)} levels deep; at most {MAX_DEPTH} are spread over", path)
        self._reached.add(group_id)
        members = self.level(_known(self._groups, group_id).members, path)
        return Branch(group_id=group_id, weight=weight, members=members)

    def level(self, members: Sequence[Member], path: tuple[str, ...]) -> tuple[Branch | WeightTarget, ...]:
        return tuple(self._member(member, path) for member in members)

    def _member(self, member: Member, path: tuple[str, ...]) -> Branch | WeightTarget:
        if member.group_id is not None:
            return self.branch(member.group_id, member.weight, path)
        self._accounts += 1
        if self._accounts > MAX_ACCOUNTS:
            raise _unfit(f"the groups hold more than {MAX_ACCOUNTS} accounts", path)
        return WeightTarget.model_validate(member.model_dump(exclude={"group_id"}))


def _known(groups: Mapping[str, AccountGroup], group_id: str) -> AccountGroup:
    found = groups.get(group_id)
    if found is None:
        raise no_group(group_id)
    return found


def no_group(group_id: str) -> Refused:
    """GROUP_NOT_FOUND, also for a group that the caller may not see."""
    return Refused(Code.GROUP_NOT_FOUND, f"There is no account group {group_id!r}.", group_id=group_id)


def _circular(path: Sequence[str]) -> None:
    raise Refused(
        Code.CIRCULAR_HIERARCHY,
        f"{path[-1]} would contain itself: {' -> '.join(path)}.",
        field="members",
        path=list(path),
    )


def _unfit(sentence: str, path: Sequence[str]) -> Refused:
    return Refused(Code.VALIDATION_FAILED, f"accounts: {sentence}.", field="accounts", path=list(path))
