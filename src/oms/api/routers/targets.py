"""Target positions: "hold 100 AAPL". The paths, keys, words and statuses of an interface that has clients."""

import time
from datetime import UTC, datetime
from typing import Annotated

import anyio
from fastapi import APIRouter, Body, Path, Query, Request
from starlette.responses import Response

from oms.api.asking import Ask, Context, Who
from oms.api.context import APIContext
from oms.api.gateway_views import trouble
from oms.api.refreshing import refreshed
from oms.api.routers.shared import book_router
from oms.api.target_errors import OpenTargetRoute, TargetRoute, any_refusal, surface_refusals
from oms.api.target_views import (
    BatchesView,
    CanceledBatchView,
    FollowedBatchView,
    PlacedBatchView,
    PositionsView,
    TargetsBody,
    TargetsHealthView,
    followed_view,
    held_views,
    listed_view,
    placed_view,
    surface_answer,
)
from oms.api.targeting import (
    LISTED,
    SHOWN_WITHIN_SECONDS,
    account_read,
    batch_in_reach,
    book_for,
    end_batch,
    followed,
    new_batch,
    shown,
    take,
)
from oms.domain.apply import instant
from oms.domain.errors import Code
from oms.domain.identifiers import Name
from oms.domain.terms import Role, Venue
from oms.workflows.account import AccountQuestion

_PREFIX, _TAG = "/api/v1", "targets"
_open = APIRouter(prefix=_PREFIX, tags=[_TAG], route_class=OpenTargetRoute)
_keyed = book_router(_PREFIX, _TAG, TargetRoute)
BatchId = Annotated[Name, Path(description="16 hexadecimal digits.", examples=["a1b2c3d4e5f67890"])]
_EXAMPLE = {
    "orders": [
        {"symbol": "AAPL", "quantity": 100},
        {"symbol": "MSFT", "quantity": 50, "limit_price": 420.00},
    ]
}


@_open.get(
    "/health", operation_id="GetTargetsHealth", response_model=TargetsHealthView, responses=any_refusal()
)
def get_health(request: Request) -> Response:
    """The service answers; `accounts` says of each whether its session with the broker is in sync. Needs no key."""
    context: APIContext = request.app.state.context
    return surface_answer(TargetsHealthView(status="ok", accounts=_connected(context)))


def _connected(context: APIContext) -> dict[str, bool]:
    """Every account that a gateway to IBKR has named, and the default one. Blocks."""
    patience, default = context.settings.gateway_patience_seconds, context.settings.targets_account
    found = {default: False} if default else {}
    for report in context.store.gateways.all():
        if report.venue == Venue.IBKR:
            well = trouble(report, patience) is None
            found |= {account: well or found.get(account, False) for account in report.accounts}
    return dict(sorted(found.items()))


@_keyed.post(
    "/orders",
    operation_id="SubmitTargets",
    status_code=201,
    response_model=PlacedBatchView,
    responses=surface_refusals(Code.INVALID_ACCOUNT, Code.IDEMPOTENCY_CONFLICT),
)
async def submit_targets(
    context: Context, asking: Ask, body: Annotated[TargetsBody, Body(examples=[_EXAMPLE])]
) -> Response:
    """Bring positions to their targets. For pm.

    Each row trades the target less what is held and what works already. The answer comes when the broker has numbered
    every order, or after five seconds: a row that it has not numbered yet is PreSubmitted, and the batch goes on.
    """
    until = time.monotonic() + SHOWN_WITHIN_SECONDS
    asking.caller.needs("Submitting targets", Role.PM)
    store, settings = context.store, context.settings
    named = body.account_id or settings.targets_account
    book = await anyio.to_thread.run_sync(book_for, store, asking.caller.reach, named)
    batch = await take(context, new_batch(asking, body, book, settings.targets_send_seconds))
    rows = await shown(store, batch, until)
    view = PlacedBatchView.model_construct(
        batch_id=batch.batch_id,
        account_id=batch.account,
        submitted_at=batch.submitted_at,
        results=[placed_view(row) for row in rows],
    )
    return surface_answer(view, 201, Location=f"{_PREFIX}/orders/{batch.batch_id}")


@_keyed.get(
    "/orders", operation_id="ListTargetBatches", response_model=BatchesView, responses=surface_refusals()
)
def list_batches(context: Context, caller: Who) -> Response:
    """The last hundred batches within the key's reach, newest first."""
    found = context.store.targets.recent(LISTED, caller.reach.account_ids, caller.reach.portfolio_ids)
    return surface_answer(BatchesView.model_construct(batches=[listed_view(batch) for batch in found]))


@_keyed.get(
    "/orders/{batch_id}",
    operation_id="GetTargetBatch",
    response_model=FollowedBatchView,
    responses=surface_refusals(Code.BATCH_NOT_FOUND),
)
async def get_batch(context: Context, caller: Who, batch_id: BatchId) -> Response:
    """The batch after a look at the broker.

    Where the broker cannot be asked within two seconds, what the order book knows is answered with a `Warning: 110`.
    """
    store = context.store
    batch = await anyio.to_thread.run_sync(batch_in_reach, store, caller.reach, batch_id)
    stale = await refreshed(context, batch.account)
    rows = await followed(context, batch)
    view = FollowedBatchView.model_construct(
        batch_id=batch.batch_id,
        account_id=batch.account,
        submitted_at=batch.submitted_at,
        orders=[followed_view(row) for row in rows],
    )
    return surface_answer(view, 200, **({} if stale is None else {"Warning": _warning(stale)}))


def _warning(why: str) -> str:
    """RFC 7234, 5.5.1: the answer is stale."""
    text = "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in why)
    return f'110 durable-oms "Response is Stale: {text[:300]}"'


@_keyed.delete(
    "/orders/{batch_id}",
    operation_id="CancelTargetBatch",
    response_model=CanceledBatchView,
    responses=surface_refusals(Code.BATCH_NOT_FOUND),
)
async def cancel_batch(context: Context, asking: Ask, batch_id: BatchId) -> Response:
    """Ask every open order of the batch to end. For pm. Nothing is asked where the broker is away."""
    asking.caller.needs("Canceling a batch of targets", Role.PM)
    store = context.store
    batch = await anyio.to_thread.run_sync(batch_in_reach, store, asking.caller.reach, batch_id)
    await account_read(context.temporal, AccountQuestion(account=batch.account))
    results = await end_batch(context, asking, batch)
    return surface_answer(CanceledBatchView.model_construct(batch_id=batch.batch_id, results=results))


@_keyed.get(
    "/positions",
    operation_id="GetTargetPositions",
    response_model=PositionsView,
    responses=surface_refusals(Code.INVALID_ACCOUNT),
)
async def get_positions(
    context: Context,
    caller: Who,
    account_id: Annotated[Name | None, Query(description="Paper account ID", examples=["DU123456"])] = None,
) -> Response:
    """What the broker holds for the account in stocks, and what the account is worth, as it says now."""
    named = account_id or context.settings.targets_account
    book = await anyio.to_thread.run_sync(book_for, context.store, caller.reach, named)
    account = book.account.broker_account
    read = await account_read(context.temporal, AccountQuestion(account=account))
    view = PositionsView.model_construct(
        account_id=account,
        positions=held_views(read),
        net_liquidation=read.net_liquidation,
        updated_at=instant(read.read_ns) if read.read_ns else datetime.now(UTC),
    )
    return surface_answer(view)


router = APIRouter()
for _part in (_open, _keyed):
    router.include_router(_part)
