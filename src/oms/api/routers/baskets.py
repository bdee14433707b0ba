"""Baskets: orders that are worked together, each answering for itself."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid5

import anyio
from fastapi import Path
from pydantic import Field
from starlette.responses import Response

from oms.api.bodies import CancelBody, Nothing, ReasonBody
from oms.api.desk import AtDesk, Desk
from oms.api.new_order import known_basket
from oms.api.paging import Paging
from oms.api.problems import Problem, problem_body, refusals
from oms.api.routers.shared import book_router
from oms.api.together import BATCH_STEPS
from oms.api.views import ListView, OrderView, View, answer
from oms.domain import commands as cmd
from oms.domain.decide import decide
from oms.domain.errands import Reply, Step
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import ALLOCATION, BASKET, BATCH, Name, identifier
from oms.domain.model import Model
from oms.domain.terms import Role, State
from oms.store.baskets import Basket

router = book_router("/v1/baskets", "baskets")
BasketId = Annotated[Name, Path(description="`BSK-` and a UUID.")]
_COMMAND = refusals(Code.BASKET_NOT_FOUND, Code.IDEMPOTENCY_CONFLICT)
MAX_ORDERS = 500


class BasketBody(Model):
    name: Name = Field(examples=["Tech Rebalance 2026-03-27"])
    order_ids: Annotated[tuple[Name, ...], Field(max_length=MAX_ORDERS)] = ()


class ResultView(View):
    """What one order answered: its `status` as the single command would have had it, and the order or the problem.

    202 is an order that waits for its venue, or has not answered yet and goes on by itself.
    """

    order_id: str
    status: int
    ok: bool
    order: OrderView | None
    problem: Problem | None


class ResultsView(View):
    """One result for each order, and how many of them are refusals."""

    basket_id: str
    refused: int
    results: list[ResultView]


class CreatedBasketView(ResultsView):
    name: str


class BasketView(View):
    """A basket and how many of its orders are in which state."""

    basket_id: str
    name: str
    created_by: str
    created_at: datetime
    counts: dict[State, int]


class MemberView(View):
    order_id: str
    state: State


class WholeBasketView(BasketView):
    orders: list[MemberView]


@router.post(
    "",
    operation_id="CreateBasket",
    status_code=201,
    response_model=CreatedBasketView,
    responses=refusals(
        Code.ORDER_NOT_FOUND, Code.ALREADY_IN_BASKET, Code.INVALID_STATE, Code.IDEMPOTENCY_CONFLICT
    ),
)
async def create_basket(desk: AtDesk, body: BasketBody) -> Response:
    """Group orders. Nothing is made where one of them cannot join; one that is overtaken later says so in its result."""
    asking = desk.asking
    asking.caller.needs("CreateBasket", Role.PM)
    basket = Basket(
        basket_id=asking.mint(BASKET),
        name=body.name,
        created_by=asking.caller.name,
        created_at=datetime.fromtimestamp(asking.ts_event_ns / 1_000_000_000, UTC),
    )
    await anyio.to_thread.run_sync(_put, desk, basket, body.order_ids)
    join = cmd.JoinBasket(basket_id=basket.basket_id)
    results = await _each(desk, [Step(order_id=order_id, command=join) for order_id in body.order_ids])
    view = CreatedBasketView.model_construct(
        basket_id=basket.basket_id, name=basket.name, refused=_refused(results), results=results
    )
    return answer(view, 201, Location=f"/v1/baskets/{basket.basket_id}")


@router.get("", operation_id="ListBaskets", response_model=ListView[BasketView], responses=refusals())
def list_baskets(desk: AtDesk, window: Paging) -> Response:
    """Baskets, newest first."""
    caller = desk.asking.caller
    seen = caller.reach.portfolio_ids
    page = desk.store.baskets.list(
        window.limit, window.offset, window.cursor, portfolio_ids=seen, created_by=caller.name
    )
    counts = desk.store.baskets.counts([basket.basket_id for basket in page.items], seen)
    items = [
        BasketView.model_construct(**dict(basket), counts=counts[basket.basket_id]) for basket in page.items
    ]
    return answer(ListView[Any].model_construct(items=items, next_cursor=page.next_cursor))


@router.get(
    "/{basket_id}",
    operation_id="GetBasket",
    response_model=WholeBasketView,
    responses=refusals(Code.BASKET_NOT_FOUND),
)
def get_basket(desk: AtDesk, basket_id: BasketId) -> Response:
    """The basket, its orders and their states."""
    basket, members = _basket(desk, basket_id)
    states = [state for _, state in members]
    view = WholeBasketView.model_construct(
        **dict(basket),
        counts={state: states.count(state) for state in State if state in states},
        orders=[MemberView.model_construct(order_id=order_id, state=state) for order_id, state in members],
    )
    return answer(view)


def _command(path: str, name: str, does: str, make: Callable[[Desk, str], cmd.Command]) -> None:
    """A route that gives every order of the basket the same command, which takes no body."""

    async def told(desk: AtDesk, basket_id: BasketId, body: Nothing | None = None) -> Response:  # noqa: ARG001
        return await _tell(desk, basket_id, lambda order_id: make(desk, order_id))

    told.__doc__ = f"{does} Each order answers for itself; 202 while one has not answered yet."
    router.post(
        f"/{{basket_id}}/{path}",
        operation_id=name,
        name=f"{path.replace('/', ' ')} basket",
        response_model=ResultsView,
        responses=_RESPONSES,
    )(told)


_RESPONSES: dict[int | str, dict[str, Any]] = {
    202: {"model": ResultsView, "description": "Some orders have not answered yet, or their venue has not."},
    **_COMMAND,
}
_command(
    "pre-trade-compliance/request",
    "RequestBasketPreTradeCompliance",
    "Ask for the pre-trade verdict on every order.",
    lambda _desk, _order_id: cmd.RequestPreTradeCompliance(),
)
_command(
    "send-to-trader",
    "SendBasketToTrader",
    "Hand every order to the trading desk.",
    lambda _desk, _order_id: cmd.SendToTrader(),
)
_command(
    "close", "CloseBasket", "End the execution of every order.", lambda _desk, _order_id: cmd.CloseOrder()
)
_command(
    "send-to-operations",
    "SendBasketToOperations",
    "Hand every order to operations.",
    lambda desk, order_id: cmd.SendToOperations(
        allocation_id=identifier(ALLOCATION, uuid5(desk.asking.resource, order_id))
    ),
)
_command(
    "post-trade-compliance/request",
    "RequestBasketPostTradeCompliance",
    "Ask for the post-trade verdict on every order.",
    lambda _desk, _order_id: cmd.RequestPostTradeCompliance(),
)
_command("confirm", "ConfirmBasket", "Confirm every trade.", lambda _desk, _order_id: cmd.ConfirmOrder())


@router.post(
    "/{basket_id}/cancel", operation_id="CancelBasket", response_model=ResultsView, responses=_RESPONSES
)
async def cancel_basket(desk: AtDesk, basket_id: BasketId, body: CancelBody | None = None) -> Response:
    """Cancel every order. Each answers for itself; 202 while a venue has not spoken yet."""
    command = cmd.CancelOrder(reason=body.reason if body else None)
    return await _tell(desk, basket_id, lambda _: command)


@router.post(
    "/{basket_id}/settle", operation_id="SettleBasket", response_model=ResultsView, responses=_RESPONSES
)
async def settle_basket(desk: AtDesk, basket_id: BasketId, body: ReasonBody) -> Response:
    """Settle every order by hand, with a reason. Each answers for itself."""
    command = cmd.SettleOrder(reason=body.reason)
    return await _tell(desk, basket_id, lambda _: command)


@router.post(
    "/{basket_id}/reconcile", operation_id="ReconcileBasket", response_model=ResultsView, responses=_RESPONSES
)
async def reconcile_basket(desk: AtDesk, basket_id: BasketId, body: ReasonBody) -> Response:
    """Reconcile every order by hand, with a reason. Each answers for itself."""
    command = cmd.ReconcileOrder(reason=body.reason)
    return await _tell(desk, basket_id, lambda _: command)


async def _tell(desk: Desk, basket_id: str, command: Callable[[str], cmd.Command]) -> Response:
    """Give a command to each of the basket's orders that the caller may see. Raises Refused: BASKET_NOT_FOUND."""
    _, members = await anyio.to_thread.run_sync(_basket, desk, basket_id)
    if len(members) > BATCH_STEPS:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"The basket has {len(members)} orders; at most {BATCH_STEPS} are told at once.",
            limit=BATCH_STEPS,
            actual=len(members),
        )
    results = await _each(desk, [Step(order_id=o, command=command(o)) for o, _ in members])
    view = ResultsView.model_construct(basket_id=basket_id, refused=_refused(results), results=results)
    return answer(view, 202 if any(result.status == 202 for result in results) else 200)


async def _each(desk: Desk, steps: Sequence[Step]) -> list[ResultView]:
    if not steps:
        return []
    asking = desk.asking
    replies = await desk.book.together.each(
        asking.mint(BATCH), steps, asking.caller.actor, asking.ts_event_ns, asking.request_id
    )
    return await anyio.to_thread.run_sync(
        lambda: [_result(desk, order_id, reply) for order_id, reply in replies]
    )


def _result(desk: Desk, order_id: str, reply: Reply | None) -> ResultView:
    if reply is not None and reply.refusal is not None:
        refused = reply.refusal.refused()
        problem = Problem.model_validate(problem_body(refused, desk.asking.request_id))
        return ResultView.model_construct(
            order_id=order_id, status=refused.status, ok=False, order=None, problem=problem
        )
    return ResultView.model_construct(
        order_id=order_id,
        status=200 if reply is not None and reply.settled else 202,
        ok=True,
        order=OrderView.of(desk.order(order_id)),
        problem=None,
    )


def _refused(results: Sequence[ResultView]) -> int:
    return sum(not result.ok for result in results)


def _put(desk: Desk, basket: Basket, order_ids: Sequence[str]) -> None:
    """Keep the basket, where every order could join it now. Raises Refused, and keeps nothing then. Twice is once."""
    if desk.store.baskets.get(basket.basket_id) is not None:
        return
    twice = sorted({order_id for order_id in order_ids if order_ids.count(order_id) > 1})
    if twice:
        raise Refused(
            Code.VALIDATION_FAILED,
            f"order_ids: {', '.join(twice)} is named twice.",
            field="order_ids",
            order_ids=twice,
        )
    asked = cmd.Instruction(
        command=cmd.JoinBasket(basket_id=basket.basket_id),
        actor=desk.asking.caller.actor,
        ts_event_ns=desk.asking.ts_event_ns,
    )
    for order_id in order_ids:
        decide(desk.order(order_id), asked, datetime.now(UTC))
    desk.store.baskets.put(basket)


def _basket(desk: Desk, basket_id: str) -> tuple[Basket, tuple[tuple[str, State], ...]]:
    """The basket and those of its orders that the caller may see. Blocks. Raises Refused: BASKET_NOT_FOUND."""
    caller = desk.asking.caller
    return known_basket(desk.store, basket_id, caller.reach, caller.name)
