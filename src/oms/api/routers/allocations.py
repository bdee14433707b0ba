"""Allocations: which account gets which part of what was executed, named one by one or by a scheme."""

from typing import Annotated, Any

import anyio
from fastapi import Body
from pydantic import Field, ValidationError
from starlette.responses import Response

from oms.api.bodies import (
    AllocationAsked,
    AllocationBody,
    AllocationPatch,
    HierarchyBody,
    SchemeBody,
)
from oms.api.desk import AllocationId, AtDesk, OrderId, created
from oms.api.paging import Paging, window_answer
from oms.api.problems import refusals
from oms.api.routers.naming import check_accounts
from oms.api.routers.shared import book_router
from oms.api.validation import of_validation
from oms.api.views import AllocationView, ListView, View, answer, order_answer
from oms.domain import commands as cmd
from oms.domain.allocating import (
    AveragePrice,
    ByPercentage,
    ByQuantity,
    Hierarchy,
    ProRata,
    Scheme,
    StepDown,
    leaves,
)
from oms.domain.allocations import AllocatedMoney, allocation_ids, money_of
from oms.domain.errors import Code, Refused
from oms.domain.groups import resolve
from oms.domain.identifiers import ALLOCATION
from oms.domain.numbers import Exact, Holding, Quantity
from oms.domain.order import Allocation, Order
from oms.domain.reference import Currency

router = book_router("/v1", "allocations")
_USUAL = (
    Code.INVALID_STATE,
    Code.VERSION_CONFLICT,
    Code.IDEMPOTENCY_CONFLICT,
    Code.ALLOCATION_MISMATCH,
)
_ONE = {"account_id": "ACCT-001", "portfolio_id": "PORT-001", "quantity": "100"}
_WEIGHTED = {"account_id": "ACCT-001", "portfolio_id": "PORT-001", "weight": "1"}
_SCHEMES: dict[str, type[SchemeBody]] = {
    "quantity": ByQuantity,
    "pro_rata": ProRata,
    "average_price": AveragePrice,
    "percentage": ByPercentage,
    "step_down": StepDown,
    "hierarchy": HierarchyBody,
}


class AllocatedView(AllocationView):
    """An allocation with its part of the order's money, which is derived and conserves the order's totals.

    `average_price` is the block's. `principal` and `commission` are in `currency`, the instrument's own;
    commissions charged in another stand in `other_commissions` by currency. `residual` is the part of `quantity`
    that was left over and has its home here.
    """

    quantity: Holding
    currency: Currency
    average_price: Exact | None
    principal: Exact
    commission: Exact
    other_commissions: dict[Currency, Exact]

    @classmethod
    def with_money(cls, order: Order, allocation: Allocation, money: AllocatedMoney) -> "AllocatedView":
        return cls.model_construct(
            **dict(allocation), order_id=order.order_id, currency=order.instrument.currency, **vars(money)
        )


class ResidualView(View):
    """What no whole lot was made of, or nobody in line took, and who has it."""

    allocation_id: str
    account_id: str
    portfolio_id: str
    quantity: Quantity
    why: str


class SpreadView(View):
    """What a scheme made of what was left to allocate."""

    items: list[AllocatedView]
    residual: ResidualView | None = Field(description="Null where everything went out in whole lots.")


@router.post(
    "/orders/{order_id}/allocations",
    operation_id="CreateAllocation",
    status_code=201,
    response_model=AllocatedView | SpreadView,
    responses=refusals(
        *_USUAL,
        Code.ORDER_NOT_FOUND,
        Code.INVALID_ACCOUNT,
        Code.INVALID_PORTFOLIO,
        Code.GROUP_NOT_FOUND,
        Code.CIRCULAR_HIERARCHY,
    ),
)
async def create_allocation(
    desk: AtDesk,
    order_id: OrderId,
    body: Annotated[AllocationAsked, Body(examples=[_ONE, {"scheme": "pro_rata", "accounts": [_WEIGHTED]}])],
) -> Response:
    """Give an account a part of what was executed, or spread what is left over accounts by a `scheme`."""
    asked = _asked(body)
    first = desk.asking.mint(ALLOCATION)
    if isinstance(asked, AllocationBody):
        pair = (asked.account_id, asked.portfolio_id)
        await anyio.to_thread.run_sync(_check_names, desk, order_id, [pair])
        command = cmd.CreateAllocation(allocation_id=first, **asked.model_dump())
        _, order = await desk.instruct(order_id, command)
        return created(_shown(order, first), order, f"/v1/allocations/{first}")
    scheme = await anyio.to_thread.run_sync(_scheme, desk, order_id, asked)
    ids = allocation_ids(first, len(list(leaves(scheme))))
    _, order = await desk.instruct(order_id, cmd.Allocate(scheme=scheme, allocation_ids=ids))
    return created(_spread(order, ids), order, f"/v1/orders/{order_id}/allocations")


@router.get(
    "/orders/{order_id}/allocations",
    operation_id="ListAllocations",
    response_model=ListView[AllocatedView],
    responses=refusals(Code.ORDER_NOT_FOUND),
)
def list_allocations(desk: AtDesk, order_id: OrderId, window: Paging) -> Response:
    """The order's allocations, first made first."""
    return window_answer(_all(desk.order(order_id)), window, lambda view: view)


@router.get(
    "/allocations/{allocation_id}",
    operation_id="GetAllocation",
    response_model=AllocatedView,
    responses=refusals(Code.ALLOCATION_NOT_FOUND),
)
def get_allocation(desk: AtDesk, allocation_id: AllocationId) -> Response:
    """One allocation."""
    order_id, _ = desk.allocation(allocation_id)
    return answer(_shown(desk.order(order_id), allocation_id))


@router.patch(
    "/allocations/{allocation_id}",
    operation_id="UpdateAllocation",
    response_model=AllocatedView,
    responses=refusals(*_USUAL, Code.ALLOCATION_NOT_FOUND),
)
async def update_allocation(desk: AtDesk, allocation_id: AllocationId, body: AllocationPatch) -> Response:
    """Change the quantity of an allocation."""
    order_id, _ = await anyio.to_thread.run_sync(desk.allocation, allocation_id)
    command = cmd.UpdateAllocation(allocation_id=allocation_id, quantity=body.quantity)
    _, order = await desk.instruct(order_id, command)
    return order_answer(order, view=_shown(order, allocation_id))


def _asked(body: dict[str, Any]) -> AllocationBody | SchemeBody:
    """What the body asks for. Raises Refused: VALIDATION_FAILED."""
    named = body.get("scheme")
    kind = _SCHEMES.get(named) if isinstance(named, str) else None
    if "scheme" in body and kind is None:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"scheme: is one of {', '.join(_SCHEMES)}.",
            field="scheme",
            allowed=list(_SCHEMES),
        )
    try:
        return (kind or AllocationBody).model_validate(body)
    except ValidationError as error:
        raise of_validation(error.errors()) from error


def _scheme(desk: AtDesk, order_id: str, asked: SchemeBody) -> Scheme:
    """The scheme with its groups down to their accounts, every name checked. Blocks.

    Raises Refused: ORDER_NOT_FOUND, GROUP_NOT_FOUND, INVALID_ACCOUNT, INVALID_PORTFOLIO, VALIDATION_FAILED.
    """
    scheme: Scheme
    if isinstance(asked, HierarchyBody):
        desk.order(order_id)
        members = resolve(asked.accounts, desk.store.groups.all())
        scheme = Hierarchy(
            accounts=members,
            residual_account_id=asked.residual_account_id,
            residual_portfolio_id=asked.residual_portfolio_id,
        )
    else:
        scheme = asked
    _check_names(desk, order_id, [(leaf.account_id, leaf.portfolio_id) for leaf in leaves(scheme)])
    return scheme


def _check_names(desk: AtDesk, order_id: str, named: list[tuple[str, str]]) -> None:
    """Raise Refused: ORDER_NOT_FOUND, INVALID_ACCOUNT, INVALID_PORTFOLIO."""
    desk.order(order_id)
    check_accounts(desk.store, desk.asking.caller.reach, named)


def _all(order: Order) -> list[AllocatedView]:
    return [
        AllocatedView.with_money(order, allocation, money)
        for allocation, money in zip(order.allocations, money_of(order), strict=True)
    ]


def _shown(order: Order, allocation_id: str) -> AllocatedView:
    for view in _all(order):
        if view.allocation_id == allocation_id:
            return view
    raise Refused(Code.ALLOCATION_NOT_FOUND, f"There is no allocation {allocation_id!r}.")


def _spread(order: Order, ids: tuple[str, ...]) -> SpreadView:
    wanted = set(ids)
    made = [view for view in _all(order) if view.allocation_id in wanted]
    homes = (
        ResidualView.model_construct(
            allocation_id=view.allocation_id,
            account_id=view.account_id,
            portfolio_id=view.portfolio_id,
            quantity=view.residual,
            why=view.why or "",
        )
        for view in made
        if view.residual is not None
    )
    return SpreadView.model_construct(items=made, residual=next(homes, None))
