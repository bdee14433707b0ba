"""The order book without HTTP: open an order, instruct it, ask it. Every surface goes through here."""

import os
import time
from datetime import UTC, datetime
from typing import Any

import anyio
from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from oms.api.access import EVERYTHING, Reach
from oms.api.admitting import check_opening, known_or_resolved, was_started
from oms.api.answering import Gone, away, patient
from oms.api.halting import check_new, check_order
from oms.api.new_order import NewOrder, resolve
from oms.api.resolving import with_known_instrument
from oms.api.together import Together
from oms.domain.apply import fold
from oms.domain.commands import Actor, Command, Instruction
from oms.domain.decide import Opening, decide, opening_events
from oms.domain.errors import Code, Refused
from oms.domain.halts import Halt, is_halted
from oms.domain.identifiers import ORDER, identifier, uuid7, workflow_id
from oms.domain.order import Order
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.domain.terms import State
from oms.store import Store
from oms.workflows.contract import (
    DIRECTION_ATTRIBUTE,
    INSTRUMENT_ATTRIBUTE,
    OPENED_UPDATE,
    ORDER_QUEUE,
    ORDER_WORKFLOW,
    PORTFOLIO_ATTRIBUTE,
    STATE_ATTRIBUTE,
    STATE_QUERY,
    Carried,
    OrderInput,
    Patience,
    Recorded,
)
from oms.workflows.telling import static_details, summary

MAX_MESSAGE_BYTES = 128_000
"""An order carries its terms in every event and every hand-over; larger ones would outgrow Temporal's 2 MB payload."""


class OrderBook:
    """Orders as durable workflows. Methods raise `Refused`, with UNAVAILABLE where a part is away."""

    def __init__(
        self,
        temporal: Client,
        store: Store,
        answer_within_seconds: float = 30.0,
        patience: Patience = Patience(),
    ) -> None:
        """`patience` goes with every order opened here."""
        self._temporal = temporal
        self._store = store
        self._answer_within = answer_within_seconds
        self._patience = patience
        self.together = Together(temporal, store, answer_within_seconds)

    async def create(
        self,
        new: NewOrder,
        actor: Actor,
        *,
        order_id: str | None = None,
        ts_event_ns: int | None = None,
        correlation_id: str | None = None,
        reach: Reach = EVERYTHING,
    ) -> Recorded:
        """Open an order; answers once it is in the journal. The same `order_id` again is the same order.

        To repeat a request that names a client_order_id, give the same `ts_event_ns` too: it tells the repetition
        from another request for the same client_order_id.

        Raises Refused: INVALID_PORTFOLIO, INVALID_INSTRUMENT, INVALID_ACCOUNT, INVALID_VENUE, INVALID_ORDER_TYPE,
        BASKET_NOT_FOUND, VALIDATION_FAILED, NOT_AUTHORIZED, HALTED, DUPLICATE_ORDER with the `order_id` that holds
        the client_order_id.
        """
        new = await with_known_instrument(self._temporal, self._store, new, actor, reach)
        minted = order_id or identifier(ORDER, uuid7(time.time_ns() // 1_000_000, os.urandom(10)))
        asked_ns = time.time_ns() if ts_event_ns is None else ts_event_ns
        opening = await anyio.to_thread.run_sync(
            self._opening, new, actor, minted, asked_ns, correlation_id, reach
        )
        recorded = await self.open(opening)
        if opening.request.client_order_id is not None:
            await anyio.to_thread.run_sync(self._check_it_is_ours, opening)
        return recorded

    async def instruct(
        self,
        order_id: str,
        command: Command,
        actor: Actor,
        *,
        ts_event_ns: int | None = None,
        correlation_id: str | None = None,
        expected_version: int | None = None,
        update_id: str | None = None,
    ) -> Recorded:
        """Give one command; answers once its events are in the journal. The same `update_id` again is one command.

        Raises Refused: whatever the domain refuses, ORDER_NOT_FOUND, VERSION_CONFLICT, HALTED, UNAVAILABLE.
        """
        if is_halted(command):
            await anyio.to_thread.run_sync(check_order, self._store, order_id, command, update_id)
        asked = Instruction(
            command=command,
            actor=actor,
            ts_event_ns=time.time_ns() if ts_event_ns is None else ts_event_ns,
            correlation_id=correlation_id,
            expected_version=expected_version,
        )
        _check_size(len(asked.model_dump_json()))
        handle = self._temporal.get_workflow_handle(workflow_id(order_id))
        try:
            async with patient(self._answer_within):
                recorded: Recorded = await handle.execute_update(
                    command.kind, asked, id=update_id, result_type=Recorded
                )
        except Gone:
            ended = await anyio.to_thread.run_sync(self._afterwards, order_id, asked, update_id)
            return await self._reopen(ended, asked, update_id) if isinstance(ended, Order) else ended
        return recorded

    async def state(self, order_id: str) -> Order:
        """The order as its workflow knows it, at or ahead of the projection. Raises Refused: ORDER_NOT_FOUND."""
        handle = self._temporal.get_workflow_handle(workflow_id(order_id))
        try:
            async with patient(self._answer_within):
                order: Order = await handle.query(STATE_QUERY, result_type=Order)
        except Gone:
            return await anyio.to_thread.run_sync(self._recorded_order, order_id)
        return order

    async def open(self, opening: Opening) -> Recorded:
        """Start the workflow, or find it started, and wait until the order is in the journal. Raises Refused."""
        operation: WithStartWorkflowOperation[Any, str] = WithStartWorkflowOperation(
            ORDER_WORKFLOW,
            OrderInput(opening=opening, patience=self._patience),
            id=workflow_id(opening.order_id),
            task_queue=ORDER_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=_attributes(opening),
            static_summary=summary(opening)[:200],
            static_details=static_details(opening),
        )
        try:
            async with patient(self._answer_within):
                recorded: Recorded = await self._temporal.execute_update_with_start_workflow(
                    OPENED_UPDATE, start_workflow_operation=operation, result_type=Recorded
                )
        except Gone:
            order = await anyio.to_thread.run_sync(self._store.orders.get, opening.order_id)
            if order is None:
                opening_events(opening, datetime.now(UTC))
                raise away("The order was not opened; try again.") from None
            return _recorded(order)
        return recorded

    async def check(self, opening: Opening) -> None:
        """Do nothing. Raise Refused where `admit` would refuse this order as a new one.

        NOT_AUTHORIZED, VALIDATION_FAILED, HALTED, INVALID_ACCOUNT, PAYLOAD_TOO_LARGE.
        """
        _check_size(len(opening.model_dump_json()))
        await anyio.to_thread.run_sync(check_opening, self._store, opening)

    async def admit(self, opening: Opening) -> Recorded:
        """Open an order unless something forbids it; what was opened before is answered, whatever forbids it now.

        Raises Refused as `check`, and UNAVAILABLE: then it is not known whether the order was opened.
        """
        order = await anyio.to_thread.run_sync(self._store.orders.get, opening.order_id)
        if order is not None:
            return _recorded(order)
        try:
            await self.check(opening)
        except Refused:
            if not await was_started(self._temporal, opening.order_id, self._answer_within):
                raise
        return await self.open(opening)

    async def instrument(self, question: InstrumentQuestion, account: str, actor: Actor) -> Instrument:
        """The instrument that fits, looked up at the broker where nobody described it; `account` is the broker's name.

        Raises Refused: INVALID_INSTRUMENT, UNAVAILABLE.
        """
        return await known_or_resolved(self._temporal, self._store, question, account, actor)

    async def left_by(self, order_id: str, update_id: str) -> Order:
        """The order as the command with this update id left it, whatever came after. Raises Refused: ORDER_NOT_FOUND."""
        return await anyio.to_thread.run_sync(self._left_by, order_id, update_id)

    async def cancel_all(
        self,
        halt: Halt,
        actor: Actor,
        *,
        batch_id: str | None = None,
        ts_event_ns: int | None = None,
        correlation_id: str | None = None,
    ) -> str:
        """Cancel every placement that works within `halt`. Answers the id of the batch that goes on doing it.

        The same `batch_id` again is the same batch. Raises Refused: UNAVAILABLE.
        """
        return await self.together.cancel_all(
            halt, actor, batch_id=batch_id, ts_event_ns=ts_event_ns, correlation_id=correlation_id
        )

    def _left_by(self, order_id: str, update_id: str) -> Order:
        events = self._store.journal.of_order(order_id)
        last = max((event.seq for event in events if event.command_id == update_id), default=len(events))
        if not events:
            raise no_order(order_id)
        return fold(None, events[:last])

    def _opening(
        self,
        new: NewOrder,
        actor: Actor,
        order_id: str,
        ts_event_ns: int,
        correlation_id: str | None,
        reach: Reach,
    ) -> Opening:
        """The opening, checked as the workflow will check it, under the id that holds the client_order_id."""
        request, instrument, account_id = resolve(self._store, new, reach, actor.key)
        opening = Opening(
            order_id=order_id,
            request=request,
            instrument=instrument,
            default_account_id=account_id,
            actor=actor,
            ts_event_ns=ts_event_ns,
            correlation_id=correlation_id,
        )
        opening_events(opening, datetime.now(UTC))
        check_new(self._store, opening)
        _check_size(len(opening.model_dump_json()))
        if request.client_order_id is None:
            return opening
        holder = self._store.orders.claim(request.portfolio_id, request.client_order_id, order_id)
        if holder != order_id and self._store.orders.get(holder) is not None:
            raise _duplicate(opening, holder)
        return opening.model_copy(update={"order_id": holder})

    def _check_it_is_ours(self, opening: Opening) -> None:
        """Many may finish one claim; the order is the one's who opened it. Raises Refused: DUPLICATE_ORDER."""
        first = self._store.journal.of_order(opening.order_id)[0]
        if (first.ts_event_ns, first.actor.key) != (opening.ts_event_ns, opening.actor.key):
            raise _duplicate(opening, opening.order_id)

    def _afterwards(self, order_id: str, asked: Instruction, update_id: str | None) -> Recorded | Order:
        """What a command does to an order whose workflow has ended: nothing, or the order that has to go on for it."""
        order = self._recorded_order(order_id)
        events = self._store.journal.of_order(order_id) if update_id is not None else []
        if any(event.command_id == update_id for event in events):
            return _recorded(order)
        return order if decide(order, asked, datetime.now(UTC)) else _recorded(order)

    async def _reopen(self, order: Order, asked: Instruction, update_id: str | None) -> Recorded:
        """Carry an order that has ended on from its projection, with the command. Many at once meet in one run."""
        operation: WithStartWorkflowOperation[Any, str] = WithStartWorkflowOperation(
            ORDER_WORKFLOW,
            OrderInput(carried=Carried(order=order), patience=self._patience),
            id=workflow_id(order.order_id),
            task_queue=ORDER_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"{order.order_id} reopened for {asked.command.kind}",
        )
        try:
            async with patient(self._answer_within):
                recorded: Recorded = await self._temporal.execute_update_with_start_workflow(
                    asked.command.kind,
                    asked,
                    id=update_id,
                    start_workflow_operation=operation,
                    result_type=Recorded,
                )
        except Gone:
            raise away(f"The workflow of {order.order_id} has just ended; try again.") from None
        return recorded

    def _recorded_order(self, order_id: str) -> Order:
        order = self._store.orders.get(order_id)
        if order is None:
            raise no_order(order_id)
        return order


def no_order(order_id: str) -> Refused:
    """ORDER_NOT_FOUND, also for an order that the caller may not see."""
    return Refused(Code.ORDER_NOT_FOUND, f"There is no order {order_id!r}.", order_id=order_id)


def _duplicate(opening: Opening, holder: str) -> Refused:
    request = opening.request
    return Refused(
        Code.DUPLICATE_ORDER,
        f"{request.portfolio_id} has an order with client_order_id {request.client_order_id!r}: {holder}.",
        order_id=holder,
        client_order_id=request.client_order_id,
    )


def _recorded(order: Order) -> Recorded:
    return Recorded(order_id=order.order_id, version=order.version, state=order.state)


def _check_size(size: int) -> None:
    if size > MAX_MESSAGE_BYTES:
        raise Refused(
            Code.PAYLOAD_TOO_LARGE,
            f"The request is {size} bytes as an order keeps it; at most {MAX_MESSAGE_BYTES} are kept.",
            limit=MAX_MESSAGE_BYTES,
            actual=size,
        )


def _attributes(opening: Opening) -> TypedSearchAttributes:
    request = opening.request
    return TypedSearchAttributes(
        [
            SearchAttributePair(STATE_ATTRIBUTE, State.CREATED.value),
            SearchAttributePair(PORTFOLIO_ATTRIBUTE, request.portfolio_id),
            SearchAttributePair(INSTRUMENT_ATTRIBUTE, request.instrument_id),
            SearchAttributePair(DIRECTION_ATTRIBUTE, request.direction.value),
        ]
    )
