"""Groups of accounts and groups, for allocation by hierarchy. Posting the same thing twice is posting it once."""

from typing import Annotated, Any

from fastapi import Path
from starlette.responses import Response

from oms.api.access import Reach
from oms.api.asking import Ask, Context, Who
from oms.api.bodies import GroupBody
from oms.api.paging import Paging
from oms.api.problems import refusals
from oms.api.routers.naming import check_accounts
from oms.api.routers.shared import book_router
from oms.api.views import ListView, answer
from oms.domain.errors import Code
from oms.domain.groups import AccountGroup, no_group
from oms.domain.identifiers import GROUP, Name
from oms.domain.terms import Role
from oms.store import Store

router = book_router("/v1/account-groups", "account groups")
_KEEPERS = (Role.ADMIN, Role.PM, Role.OPS)
GroupId = Annotated[Name, Path(description="`GRP-` and a UUID, or the name the group was given.")]


@router.post(
    "",
    operation_id="CreateAccountGroup",
    status_code=201,
    response_model=AccountGroup,
    responses={
        200: {"model": AccountGroup, "description": "The group was known; it is as it was sent."},
        **refusals(
            Code.INVALID_ACCOUNT,
            Code.INVALID_PORTFOLIO,
            Code.GROUP_NOT_FOUND,
            Code.CIRCULAR_HIERARCHY,
            Code.IDEMPOTENCY_CONFLICT,
        ),
    },
)
def create_group(context: Context, asking: Ask, body: GroupBody) -> Response:
    """Describe an account group. One that is known takes the new description."""
    asking.caller.needs("Describing an account group", *_KEEPERS)
    store, reach = context.store, asking.caller.reach
    group_id = body.group_id or asking.mint(GROUP)
    known = store.groups.get(group_id)
    if known is not None and not _within(reach, known):
        raise no_group(group_id)
    group = AccountGroup(group_id=group_id, name=body.name, members=body.members)
    check_accounts(store, reach, group.accounts)
    for member_id in group.groups:
        if member_id != group_id:
            visible_group(store, reach, member_id)
    return answer(
        store.groups.put(group), 201 if known is None else 200, Location=f"/v1/account-groups/{group_id}"
    )


@router.get(
    "",
    operation_id="ListAccountGroups",
    response_model=ListView[AccountGroup],
    responses=refusals(),
)
def list_groups(context: Context, caller: Who, window: Paging) -> Response:
    """The account groups whose accounts the key may touch, newest first. A page may hold fewer than `limit`."""
    page = context.store.groups.page(window.limit, window.offset, window.cursor)
    shown = [group for group in page.items if _within(caller.reach, group)]
    return answer(ListView[Any].model_construct(items=shown, next_cursor=page.next_cursor))


@router.get(
    "/{group_id}",
    operation_id="GetAccountGroup",
    response_model=AccountGroup,
    responses=refusals(Code.GROUP_NOT_FOUND),
)
def get_group(context: Context, caller: Who, group_id: GroupId) -> Response:
    """One account group."""
    return answer(visible_group(context.store, caller.reach, group_id))


def visible_group(store: Store, reach: Reach, group_id: str) -> AccountGroup:
    """The group. Blocks. Raises Refused: GROUP_NOT_FOUND, also where it has accounts out of reach."""
    found = store.groups.get(group_id)
    if found is None or not _within(reach, found):
        raise no_group(group_id)
    return found


def _within(reach: Reach, group: AccountGroup) -> bool:
    return all(
        reach.has_account(account_id) and reach.has_portfolio(portfolio_id)
        for account_id, portfolio_id in group.accounts
    )
