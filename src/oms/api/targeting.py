"""Batches of target positions over the order book: taken as a durable workflow, read from the book, ended order by order."""

import asyncio
import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import anyio
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from oms.api.access import Reach
from oms.api.answering import Gone, asked_once, away, patient
from oms.api.asking import Asking
from oms.api.context import APIContext
from oms.api.new_order import account_of, check_served
from oms.api.sight import Sight
from oms.api.target_views import (
    CanceledView,
    Standing,
    TargetsBody,
    broker_number,
)
from oms.api.together import BATCH_STEPS, Together
from oms.domain.errands import Refusal, Reply, Step
from oms.domain.errors import Code, Refused
from oms.domain.identifiers import BATCH
from oms.domain.order import Order
from oms.domain.programs.aiming import CANCELED_WITH_ITS_BATCH
from oms.domain.programs.targets import AccountRead, Aimed, TargetBatch, ending, is_ending
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Venue
from oms.store import Store
from oms.workflows.account import ACCOUNT_WORKFLOW, AccountQuestion
from oms.workflows.contract import DESK_QUEUE, DONE_UPDATE
from oms.workflows.programs import (
    TARGET_BATCH_WORKFLOW,
    TargetBatchInput,
    TargetsDone,
    target_batch_workflow_id,
)

SHOWN_WITHIN_SECONDS = 5.0
"""So long a new batch is kept waiting for its orders' numbers at the broker."""
LISTED = 100
_SECONDS_A_ROW = 0.1
"""A batch of many rows waits for itself: for the broker's pace, and for the machine's."""
_BEGUN_WITHIN = timedelta(seconds=10)
_TAKEN_WITHIN = 20.0
"""A batch is begun, and its account is read, in this time, or it is not taken at all."""
_ENDED_WITHIN_SECONDS = 12.0
"""So long a venue may take to say that orders have ended; after that they are answered as asked."""
_OPENED_WITHIN_SECONDS = 3.0
"""So long an order that was being opened when its batch was canceled is waited for, to be ended with the others."""
_SEEN_TO_WITHIN = timedelta(seconds=30)
"""So long after nothing of a batch may be sent any more somebody may still be about to say so, row by row."""
_LOOKED_WITHIN = 2.0
_REMEMBERED = 2000
"""Orders, each with the JSON it was read from; some 30 kB each."""
_LOOK_SECONDS = 0.05
_LOOK_SECONDS_A_ROW = 0.001
_ON_TOP = timedelta(seconds=3)
"""For a worker of the workflow itself to be found."""
_UNSURE = (
    "Whether the batch was taken is not known: GET /api/v1/orders shows it, and the same request under the same "
    "Idempotency-Key is the same batch."
)


@dataclass(frozen=True)
class Book:
    """Whose targets an account's are: the account, and the portfolio that its orders are opened in."""

    account: Account
    portfolio: Portfolio


def book_for(store: Store, reach: Reach, named: str) -> Book:
    """The account `named` by the broker's name or ours, and its oldest portfolio in reach. Blocks.

    A target is of everything that the account holds, so a key that sees a part of it may not set one.

    Raises Refused: INVALID_ACCOUNT, VALIDATION_FAILED where none is named.
    """
    if not named:
        raise Refused(
            Code.VALIDATION_FAILED, "account_id: name an account; there is no default.", field="account_id"
        )
    account = account_of(store, named)
    if account is None or account.venue is not Venue.IBKR or not reach.has_account(account.account_id):
        raise _no_account(named, "There is no such account at IBKR within the key's reach")
    portfolio = _oldest_portfolio(store, reach, account)
    if portfolio is None:
        raise _no_account(named, "No portfolio within the key's reach has it as its default account")
    if not Sight(store, reach).has_whole(account.broker_account):
        raise _no_account(
            named, "Portfolios out of the key's reach trade in it too, and a target is of all of it"
        )
    check_served(store, account.venue, account.broker_account)
    return Book(account, portfolio)


def _no_account(named: str, why: str) -> Refused:
    return Refused(
        Code.INVALID_ACCOUNT, f"account_id {named!r}: {why[0].lower()}{why[1:]}.", field="account_id"
    )


def _oldest_portfolio(store: Store, reach: Reach, account: Account) -> Portfolio | None:
    found, cursor = None, None
    while True:
        page = store.reference.portfolios(limit=500, cursor=cursor, portfolio_ids=reach.portfolio_ids)
        fitting = [each for each in page.items if each.default_account_id == account.account_id]
        found, cursor = (fitting[-1] if fitting else found), page.next_cursor
        if cursor is None:
            return found


def new_batch(asking: Asking, body: TargetsBody, book: Book, send_seconds: float) -> TargetBatch:
    """The batch of a request. The same request under its Idempotency-Key is the same batch.

    Its orders may be sent for `send_seconds`, and a long batch for `_SECONDS_A_ROW` more for each row.
    """
    now = datetime.now(UTC)
    send_by = now + timedelta(seconds=send_seconds + _SECONDS_A_ROW * len(body.orders))
    return TargetBatch(
        batch_id=hashlib.sha256(asking.resource.bytes).hexdigest()[:16],
        account=book.account.broker_account,
        account_id=book.account.account_id,
        portfolio_id=book.portfolio.portfolio_id,
        client=asking.caller.name,
        actor=asking.caller.actor,
        submitted_at=now,
        send_by=send_by,
        rows=body.rows,
        correlation_id=asking.request_id,
    )


async def take(context: APIContext, batch: TargetBatch) -> TargetBatch:
    """Have the batch carried out; answers the batch as it is kept, once every row is planned or after a while.

    One that was taken before and that nobody carries out any more is gone on with, in the time that it had.

    Raises Refused: UNAVAILABLE where the broker, Temporal or a worker is away; the text says whether anything was taken.
    """
    kept = await anyio.to_thread.run_sync(context.store.targets.batch, batch.batch_id)
    if kept is None:
        done = await _begun(context.temporal, batch)
        kept = await anyio.to_thread.run_sync(context.store.targets.batch, batch.batch_id)
        if done.away is None:
            return kept or batch
        if kept is None:
            raise away(f"Nothing was taken: the broker cannot be asked about {batch.account}: {done.away}.")
    rows = await anyio.to_thread.run_sync(standings, context.store, kept)
    if any(row.is_undecided for row in rows):
        # It is taken, whoever is away now: its rows tell how far it is.
        with suppress(Refused):
            await _begun(context.temporal, kept, kept=True)
    return kept


async def _begun(temporal: Client, batch: TargetBatch, *, kept: bool = False) -> TargetsDone:
    """Start the batch's workflow, or find it started, and wait a while for what it says."""
    name = target_batch_workflow_id(batch.batch_id)
    asked = TargetBatchInput(
        batch=batch, patience=timedelta(seconds=SHOWN_WITHIN_SECONDS), begin_within=_BEGUN_WITHIN, kept=kept
    )
    operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
        TARGET_BATCH_WORKFLOW,
        asked,
        id=name,
        task_queue=DESK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=f"{len(batch.rows)} targets for {batch.account} by {batch.client}"[:200],
    )
    try:
        async with patient(_TAKEN_WITHIN, _UNSURE):
            done: TargetsDone = await temporal.execute_update_with_start_workflow(
                DONE_UPDATE, start_workflow_operation=operation, result_type=TargetsDone
            )
    except Gone:
        raise away(_UNSURE) from None
    return done


def standings(store: Store, batch: TargetBatch) -> list[Standing]:
    """Every row of the batch with what became of it so far. Blocks."""
    kept_of = store.targets.aimed(batch.batch_id)
    aimed = [kept_of.get(f"{batch.batch_id}/{number}") for number in range(len(batch.rows))]
    legs = [became.plan.legs if became is not None and became.plan is not None else () for became in aimed]
    bodies = store.orders.kept([leg.order_id for planned in legs for leg in planned])
    return [
        Standing(
            row, became, tuple(_order(store, bodies[i.order_id]) for i in planned if i.order_id in bodies)
        )
        for row, became, planned in zip(batch.rows, aimed, legs, strict=True)
    ]


@lru_cache(_REMEMBERED)
def _order(store: Store, body: str) -> Order:
    """The order that is kept so, with its commissions: most of a batch has not moved since somebody looked. Blocks."""
    order = Order.model_validate_json(body)
    return (store.orders.get(order.order_id) or order) if order.executed_quantity else order


async def shown(store: Store, batch: TargetBatch, until: float) -> list[Standing]:
    """The rows once the broker has numbered every order, or as they are at the monotonic time `until`."""
    while True:
        rows = await anyio.to_thread.run_sync(standings, store, batch)
        if all(row.is_known for row in rows) or time.monotonic() > until:
            return rows
        await asyncio.sleep(_LOOK_SECONDS + _LOOK_SECONDS_A_ROW * len(rows))


async def followed(context: APIContext, batch: TargetBatch) -> list[Standing]:
    """Every row of the batch; where nobody carries it out any more the undecided ones are refused by their time."""
    rows = await anyio.to_thread.run_sync(standings, context.store, batch)
    over = datetime.now(UTC) > batch.send_by + _SEEN_TO_WITHIN
    if not over or not any(row.is_undecided for row in rows) or await _is_running(context.temporal, batch):
        return rows
    # Read again: who carried it out may have ended between the two looks.
    rows = await anyio.to_thread.run_sync(standings, context.store, batch)
    return [_left(batch, row) if row.is_undecided else row for row in rows]


async def _is_running(temporal: Client, batch: TargetBatch) -> bool:
    """Whether somebody carries the batch out, or may: where Temporal is away nobody can say."""
    handle = temporal.get_workflow_handle(target_batch_workflow_id(batch.batch_id))
    try:
        async with patient(_LOOKED_WITHIN):
            found = await handle.describe()
    except Gone:
        return False
    except Refused:
        return True
    return found.status is WorkflowExecutionStatus.RUNNING


def _left(batch: TargetBatch, row: Standing) -> Standing:
    refusal = Refusal(
        code=Code.UNAVAILABLE,
        message=f"Not carried out: nobody came to it before {batch.send_by:%Y-%m-%dT%H:%M:%SZ}, after which "
        "nothing is sent.",
    )
    return replace(row, aimed=(row.aimed or Aimed()).model_copy(update={"refusal": refusal}))


def batch_in_reach(store: Store, reach: Reach, batch_id: str) -> TargetBatch:
    """The batch. Blocks. Raises Refused: BATCH_NOT_FOUND, also for one out of the key's reach."""
    batch = store.targets.batch(batch_id)
    if (
        batch is None
        or not reach.has_portfolio(batch.portfolio_id)
        or not reach.has_account(batch.account_id)
    ):
        raise Refused(Code.BATCH_NOT_FOUND, f"There is no batch {batch_id!r}.", batch_id=batch_id)
    return batch


async def account_read(temporal: Client, asked: AccountQuestion) -> AccountRead:
    """The account as the broker tells it now. Raises Refused: UNAVAILABLE where nobody can be asked in time."""
    read = await asked_once(
        temporal,
        ACCOUNT_WORKFLOW,
        asked,
        asked.workflow_id,
        asked.within + _ON_TOP,
        AccountRead,
        f"reading of {asked.account}",
    )
    if read.away is not None:
        raise away(f"The broker cannot be asked about {asked.account}: {read.away}.")
    return read


async def end_batch(context: APIContext, asking: Asking, batch: TargetBatch) -> list[CanceledView]:
    """Ask every order of the batch that is still open to end, and let no row get another one.

    Answers the broker's number of each order that was asked, and whether it took the request.

    Raises Refused: UNAVAILABLE where nobody takes the requests.
    """
    rows = await without_new_orders(context.store, batch)
    steps = [
        (order, Step(order_id=order.order_id, command=command))
        for row in rows
        for order in row.orders
        if (command := ending(order, "canceled with its batch")) is not None
    ]
    together = Together(context.temporal, context.store, _ENDED_WITHIN_SECONDS)
    replies: list[tuple[str, Reply | None]] = []
    for start in range(0, len(steps), BATCH_STEPS):
        replies += await together.each(
            f"{asking.mint(BATCH)}.{start}" if start else asking.mint(BATCH),
            [step for _, step in steps[start : start + BATCH_STEPS]],
            asking.caller.actor,
            asking.ts_event_ns,
            asking.request_id,
        )
    answered = [(order, reply) for (order, _), (_, reply) in zip(steps, replies, strict=True)]
    return await anyio.to_thread.run_sync(_canceled, context.store, answered)


async def without_new_orders(store: Store, batch: TargetBatch) -> list[Standing]:
    """The rows once none of them gets another order, with those that were being opened at that moment.

    One that takes longer to open is taken back by whoever opens it: the refusal that is kept tells him.
    """
    until = time.monotonic() + _OPENED_WITHIN_SECONDS
    stopped = await anyio.to_thread.run_sync(_stopped, store, batch)
    rows = await anyio.to_thread.run_sync(standings, store, batch)
    while any(rows[number].lacks_an_order for number in stopped) and time.monotonic() < until:
        await asyncio.sleep(_LOOK_SECONDS)
        rows = await anyio.to_thread.run_sync(standings, store, batch)
    return rows


def _stopped(store: Store, batch: TargetBatch) -> list[int]:
    """The numbers of the rows whose orders were not all open, after each was given its refusal. Blocks."""
    rows = standings(store, batch)
    stopped = [number for number, row in enumerate(rows) if row.is_undecided]
    for number in stopped:
        store.targets.keep(f"{batch.batch_id}/{number}", CANCELED_WITH_ITS_BATCH)
    return stopped


def _canceled(store: Store, answered: Sequence[tuple[Order, Reply | None]]) -> list[CanceledView]:
    """What became of each request. Blocks.

    An order that has not answered yet is asked all the same, and so is one that somebody else has ended meanwhile.
    """
    views = []
    for order, reply in answered:
        refused = reply is not None and reply.refusal is not None
        now = store.orders.glance(order.order_id) if refused else None
        views.append(CanceledView(ibkr_order_id=broker_number(now or order), cancelled=is_ending(reply, now)))
    return views
