"""Everything an order meets, real but for the venue's mind: Temporal, the order worker, the store, a custodian."""

import asyncio
import contextlib
import logging
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import Client, WorkflowHandle, WorkflowHistory, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker

from oms.activities.venue import VenueActivities
from oms.domain import commands as cmd
from oms.domain.apply import fold
from oms.domain.facts import Fact
from oms.domain.identifiers import ORDER, identifier, uuid7, workflow_id
from oms.domain.order import Order
from oms.domain.reference import Account, Portfolio
from oms.domain.terms import Role, State
from oms.paper.custodian import CustodianBook, create_custodian
from oms.store import Store
from oms.workers.delivery import FactDelivery
from oms.workers.order_worker import build_order_worker
from oms.workers.settings import Settings, SettlementClock
from oms.workflows.contract import (
    CUSTODIAN_FACTS_SIGNAL,
    OPENED_UPDATE,
    ORDER_QUEUE,
    ORDER_WORKFLOW,
    REFUSED,
    STATE_QUERY,
    VENUE_FACTS_SIGNAL,
    OrderInput,
    Patience,
    Recorded,
    Refusal,
    gateway_queue,
)
from oms.workflows.order import OrderWorkflow
from oms.workflows.telling import static_details, summary
from tests.domain import orders
from tests.stack import until
from tests.workflows.venue import ACCOUNT, ScriptedVenue

HURRIED = Patience(verdict=timedelta(seconds=1), again=timedelta(milliseconds=300))


def new_store(folder: Path) -> Store:
    """An order book with PORT-001 and its account."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(f"sqlite:///{folder / 'oms.db'}")
    store.migrate()
    store.reference.put_account(Account(account_id="ACCT-001", name="Account 001", broker_account=ACCOUNT))
    store.reference.put_portfolio(
        Portfolio(
            portfolio_id="PORT-001",
            name="Portfolio 001",
            net_asset_value="10000000",
            default_account_id="ACCT-001",
        )
    )
    return store


@contextmanager
def custodian(file: Path, port: int = 0) -> Iterator[str]:
    """The paper custodian over HTTP on a port of its own; gives its address."""
    book = CustodianBook(file)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()  # whoever calls before the server runs waits for it
        server = uvicorn.Server(uvicorn.Config(create_custodian(book), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            book.close()


@dataclass
class World:
    """Where orders live. `open` gives a `Dealt` for each new one."""

    client: Client
    store: Store
    venue: ScriptedVenue
    custodian_url: str
    queue: str = ORDER_QUEUE
    account: str = ACCOUNT
    settings: dict[str, Any] = field(default_factory=dict)
    bystander: "Dealt | None" = None
    crowding: bool = False

    async def crowd_out(self) -> None:
        """Where the worker remembers one order only, have it remember another one; a burst of messages asks once."""
        if self.bystander is not None and not self.crowding:
            self.crowding = True
            try:
                await self.bystander.handle.query(STATE_QUERY)
            finally:
                self.crowding = False

    @property
    def delivery(self) -> FactDelivery:
        return FactDelivery(self.client, self.store, "IBKR")

    def plan(self, symbol: str, **plan: Any) -> None:
        """What the custodian does with a symbol."""
        httpx.put(f"{self.custodian_url}/plans/{symbol}", json=plan, trust_env=False).raise_for_status()

    def worker(self, store: Store | None = None, **settings: Any) -> Worker:
        """A worker as a worker process makes it."""
        given = Settings(
            custodian_url=self.custodian_url,
            settlement_clock=SettlementClock.FAST,
            fast_settlement_seconds=0.1,
            activity_threads=8,
            sticky_seconds=0.5,
            **{**self.settings, **settings},
        )
        return build_order_worker(self.client, store or self.store, given, queue=self.queue)

    @asynccontextmanager
    async def working(self, **settings: Any) -> AsyncIterator[Worker]:
        async with self.worker(**settings) as worker:
            yield worker

    async def open(
        self,
        *,
        script: dict[str, Sequence[Any]] | None = None,
        events_per_run: int | None = None,
        patience: Patience = HURRIED,
        symbol: str | None = None,
        instrument_terms: dict[str, Any] | None = None,
        **terms: Any,
    ) -> "Dealt":
        """A new order in the journal. `script`: what the venue says, by verb."""
        order_id = identifier(ORDER, uuid7(time.time_ns() // 1_000_000, uuid.uuid4().bytes))
        for verb, said in (script or {}).items():
            self.venue.will(order_id, verb, *said)
        changed = {"symbol": symbol or orders.AAPL.symbol, **(instrument_terms or {})}
        instrument = orders.AAPL.model_copy(update=changed)
        terms.setdefault("route", {"venue": "IBKR", "account": self.account})
        opening = orders.opening(instrument=instrument, **terms).model_copy(update={"order_id": order_id})
        handle = await self.client.start_workflow(
            ORDER_WORKFLOW,
            OrderInput(opening=opening, events_per_run=events_per_run, patience=patience),
            id=workflow_id(order_id),
            task_queue=self.queue,
            static_summary=summary(opening),
            static_details=static_details(opening),
        )
        dealt = Dealt(
            self,
            order_id,
            self.client.get_workflow_handle(workflow_id(order_id)),
            handle.first_execution_run_id or "",
        )
        await dealt.handle.execute_update(OPENED_UPDATE, result_type=Recorded)
        return dealt


@dataclass
class Dealt:
    """One order and everybody around it."""

    world: World
    order_id: str
    handle: WorkflowHandle[Any, Any]
    first_run: str

    @property
    def order(self) -> Order:
        """The order as a reader of the store finds it."""
        found = self.world.store.orders.get(self.order_id)
        assert found is not None
        return found

    @property
    def placement_id(self) -> str:
        return self.order.placements[-1].placement_id

    async def state(self) -> Order:
        await self.world.crowd_out()
        return await self.handle.query(STATE_QUERY, result_type=Order)

    # -- commands ---------------------------------------------------------------------------------

    async def do(
        self, command: cmd.Command, role: Role, *, update_id: str | None = None, key: str | None = None
    ) -> Recorded:
        """Give a command; what is answered must be what the journal says of that version."""
        await self.world.crowd_out()
        answer: Recorded = await self.handle.execute_update(
            command.kind, _payload(self.instruction(command, role, key)), id=update_id, result_type=Recorded
        )
        recorded = self.world.store.journal.of_order(self.order_id)
        assert recorded[answer.version - 1].state == answer.state
        assert self.order.version >= answer.version
        return answer

    async def refused(
        self, command: cmd.Command, role: Role, *, key: str | None = None, version: int | None = None
    ) -> Refusal:
        """The refusal of a command, as a caller gets it."""
        asked = self.instruction(command, role, key).model_copy(update={"expected_version": version})
        await self.world.crowd_out()
        try:
            await self.handle.execute_update(command.kind, _payload(asked), result_type=Recorded)
        except WorkflowUpdateFailedError as failed:
            cause = failed.cause
            assert isinstance(cause, ApplicationError)
            assert (cause.type, cause.non_retryable) == (REFUSED, True)
            return Refusal.model_validate(cause.details[0])
        raise AssertionError(f"{command.kind} was taken")

    def instruction(self, command: cmd.Command, role: Role, key: str | None = None) -> cmd.Instruction:
        actor = orders.ACTORS[role]
        return cmd.Instruction(
            command=command,
            actor=actor.model_copy(update={"key": key}) if key else actor,
            ts_event_ns=time.time_ns(),
        )

    async def place(self, quantity: str = "100", **terms: Any) -> str:
        """One more placement at IBKR by the trader; gives its id."""
        placement_id = identifier("PLC", uuid7(time.time_ns() // 1_000_000, uuid.uuid4().bytes))
        given = {"venue": "IBKR", "quantity": quantity, **terms}
        await self.do(cmd.CreatePlacement(placement_id=placement_id, **given), Role.TRADER)
        return placement_id

    async def sent_to_trader(self) -> "Dealt":
        """Through pre-trade compliance to the desk."""
        await self.do(cmd.RequestPreTradeCompliance(), Role.PM)
        await self.is_in(State.PRE_TRADE_COMPLIANCE_PASSED)
        await self.do(cmd.SendToTrader(), Role.PM)
        return self

    # -- facts ------------------------------------------------------------------------------------

    async def hear(self, *facts: Fact, source: str = "IBKR") -> None:
        await self.world.crowd_out()
        await self.handle.signal(VENUE_FACTS_SIGNAL, args=[source, list(facts)])

    async def hear_custodian(self, *facts: Fact) -> None:
        await self.world.crowd_out()
        await self.handle.signal(CUSTODIAN_FACTS_SIGNAL, args=["custodian", list(facts)])

    # -- waiting ----------------------------------------------------------------------------------

    async def is_in(self, state: State, seconds: float = 30) -> Order:
        return await self.becomes(lambda order: order.state is state, state, seconds)

    async def becomes(self, met: Callable[[Order], Any], what: str, seconds: float = 30) -> Order:
        """Wait until the recorded order is so, and until the task that recorded it is in history."""
        try:
            await until(lambda: met(self.order), f"{self.order_id} {what}", seconds)
        except AssertionError as never:
            raise AssertionError(f"{never}\n{self.order!r}\n{await self.details()}") from None
        with contextlib.suppress(RPCError, TimeoutError):
            await self.metadata()
        return self.order

    async def ends(self, state: State, seconds: float = 30) -> None:
        """Wait until the workflow has ended, and hold the order to its journal."""
        async with asyncio.timeout(seconds):
            assert await self.handle.result() == state
        await self.is_sound()

    # -- looking ----------------------------------------------------------------------------------

    async def details(self) -> str:
        """What a person reads in the Web UI."""
        with contextlib.suppress(RPCError, TimeoutError):
            return str((await self.metadata()).current_details)
        return "no details"

    async def metadata(self) -> WorkflowMetadata:
        return await self.handle.query(
            "__temporal_workflow_metadata", result_type=WorkflowMetadata, rpc_timeout=timedelta(seconds=10)
        )

    async def history(self, run_id: str | None = None) -> WorkflowHistory:
        handle = self.world.client.get_workflow_handle(workflow_id(self.order_id), run_id=run_id)
        return await handle.fetch_history()

    async def length(self) -> int:
        """How many events the current run has."""
        return (await self.handle.describe()).history_length

    async def runs(self) -> list[WorkflowHistory]:
        """The histories of every run, from the first."""
        found, run_id = [], self.first_run
        while run_id:
            found.append(await self.history(run_id))
            run_id = (
                found[-1].events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
            )
        return found

    def stored(self) -> Order:
        """The projection, held to the journal: what is kept is what the events make, and none is missing."""
        events = self.world.store.journal.of_order(self.order_id)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert fold(None, events) == self.order
        return self.order

    async def is_sound(self) -> Order:
        """The workflow, the projection and the journal agree, and every run replays."""
        assert await self.state() == self.stored()
        await replayed(*await self.runs())
        return self.order


def _payload(asked: cmd.Instruction) -> dict[str, Any]:
    """The instruction as callers send it: a field given as null stays apart from one not given."""
    return asked.model_dump(mode="json", exclude_unset=True) | {"command": _given(asked.command)}


def _given(command: cmd.Command) -> dict[str, Any]:
    return {**command.model_dump(mode="json", exclude_unset=True), "kind": command.kind}


async def replayed(*histories: WorkflowHistory, workflow: type = OrderWorkflow) -> None:
    """Raises where the code would now do something else than what is in history."""
    replayer = Replayer(
        workflows=[workflow],
        data_converter=pydantic_data_converter,
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    for history in histories:
        await replayer.replay_workflow(history)


@asynccontextmanager
async def venue_worker(client: Client, venue: ScriptedVenue, account: str = ACCOUNT) -> AsyncIterator[None]:
    """The worker of a gateway process."""
    activities = VenueActivities(venue)
    async with Worker(
        client,
        task_queue=gateway_queue("IBKR", account),
        activities=[
            activities.place,
            activities.modify,
            activities.cancel,
            activities.ask,
            activities.resync,
            activities.read_account,
        ],
    ):
        yield


@asynccontextmanager
async def a_world(
    client: Client, folder: Path, *, queue: str = ORDER_QUEUE, account: str = ACCOUNT, **settings: Any
) -> AsyncIterator[World]:
    """A world without an order worker: `working` gives it one."""
    store, venue = new_store(folder), ScriptedVenue()
    with custodian(folder / "custodian.db") as url:
        async with venue_worker(client, venue, account):
            yield World(client, store, venue, url, queue, account, settings)
    store.close()


def quiet() -> None:
    """Failures that a test causes are not worth pages of log."""
    logging.getLogger("temporalio").setLevel(logging.CRITICAL)
