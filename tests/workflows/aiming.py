"""Targets for tests: a venue that fills or works as the test says, and batches as the API starts them."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from temporalio.client import Client, WithStartWorkflowOperation, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from oms.activities.aiming import AimActivities
from oms.activities.targeting import TargetActivities
from oms.api.aiming import Targets
from oms.api.order_book import OrderBook
from oms.domain.commands import Actor
from oms.domain.drafting import nanoseconds
from oms.domain.facts import Fact
from oms.domain.numbers import plain
from oms.domain.order import Order
from oms.domain.programs.targets import AccountRead, Aim, Aimed, BrokerPosition, TargetBatch, TargetRow
from oms.domain.reference import Instrument, InstrumentTerms
from oms.domain.rules.rule import Rule
from oms.domain.terms import Role
from oms.domain.venues import PlacementTicket
from oms.workers.order_worker import build_desk_worker
from oms.workers.settings import Settings
from oms.workers.target_worker import build_target_worker
from oms.workflows.contract import DESK_QUEUE, DONE_UPDATE
from oms.workflows.programs import (
    TARGET_BATCH_WORKFLOW,
    TARGET_QUEUE,
    TargetBatchInput,
    TargetsDone,
    target_batch_workflow_id,
    target_workflow_id,
)
from oms.workflows.target import TargetWorkflow
from oms.workflows.target_batch import TargetBatchWorkflow
from tests.domain.orders import NOW
from tests.workflows.commanding import all_orders
from tests.workflows.venue import ACCOUNT, WORKS, ScriptedVenue, fills
from tests.workflows.world import World, custodian, new_store, venue_worker

LONG_AGO_NS = 40_000_000_000
"""A reading is too old to plan with when it is older than this."""
PM = Actor(key="program", roles=(Role.PM,))
BEFORE, AFTER = "before", "after"
_numbers = itertools.count(1)


class CountingVenue(ScriptedVenue):
    """Works what it is sent, or fills it where the symbol is in `filled`, and keeps count as a broker would.

    Of symbols in `silent` it does not say whether it has the order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.filled: set[str] = set()
        self.silent: set[str] = set()
        self.refuses_cancels: set[str] = set()
        self.placed: dict[str, PlacementTicket] = {}
        self.readings = 0

    async def read_account(self, account: str) -> AccountRead:
        self.readings += 1
        return await super().read_account(account)

    async def place(self, ticket: PlacementTicket) -> Any:
        fresh = ticket.placement_id not in self.placed
        self.placed.setdefault(ticket.placement_id, ticket)
        if fresh and (ticket.order_id, "place") not in self._scripts:
            filled = ticket.instrument.symbol in self.filled
            silent = ticket.instrument.symbol in self.silent
            says = _says_nothing if silent else fills(plain(ticket.quantity)) if filled else WORKS
            self.will(ticket.order_id, "place", says)
            if ticket.instrument.symbol in self.refuses_cancels:
                self.will(ticket.order_id, "cancel", _says_nothing)
        return await super().place(ticket)


def _says_nothing(_: PlacementTicket) -> Iterable[Fact]:
    return ()


@dataclass
class Range:
    """A world in which targets are aimed at."""

    world: World
    venue: CountingVenue
    instruments: dict[str, Instrument] = field(default_factory=dict)

    @property
    def store(self) -> Any:
        return self.world.store

    def stock(self, *, filled: bool = False) -> str:
        """A stock that nobody has traded; `filled`: the venue executes at once what is sent."""
        symbol = f"S{next(_numbers)}"
        self.instruments[symbol] = self.store.reference.put_instrument(
            InstrumentTerms(symbol=symbol), f"INS-{symbol}"
        )
        if filled:
            self.venue.filled.add(symbol)
        return symbol

    def forbid(self, symbol: str) -> None:
        """No order in the symbol passes its pre-trade check."""
        rule = Rule(
            rule_id=f"R-{symbol}",
            rule_type="restricted_list",
            name=f"No {symbol}",
            parameters={"instrument_ids": [self.instruments[symbol].instrument_id]},
            created_by="risk",
            created_at=NOW,
        )
        self.store.rules.put(rule)

    # -- batches ------------------------------------------------------------------------------------

    def batch(
        self,
        *rows: tuple[str, int] | dict[str, Any],
        batch_id: str | None = None,
        client: str = "one",
        account: str = ACCOUNT,
        actor: Actor = PM,
        seconds: float = 60,
    ) -> TargetBatch:
        now = datetime.now(UTC)
        given = (row if isinstance(row, dict) else {"symbol": row[0], "quantity": row[1]} for row in rows)
        return TargetBatch(
            batch_id=batch_id or uuid.uuid4().hex[:16],
            account=account,
            account_id="ACCT-001",
            portfolio_id="PORT-001",
            client=client,
            actor=actor,
            submitted_at=now,
            send_by=now + timedelta(seconds=seconds),
            rows=tuple(TargetRow.model_validate(row) for row in given),
        )

    async def post(self, batch: TargetBatch, **patience: timedelta) -> TargetsDone:
        """Start the batch, or find it started, as the API does; what it answers."""
        operation: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            TARGET_BATCH_WORKFLOW,
            TargetBatchInput(batch=batch, **patience),
            id=target_batch_workflow_id(batch.batch_id),
            task_queue=DESK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        )
        done: TargetsDone = await self.world.client.execute_update_with_start_workflow(
            DONE_UPDATE, start_workflow_operation=operation, result_type=TargetsDone
        )
        return done

    def batch_handle(self, batch: TargetBatch) -> WorkflowHandle[Any, TargetsDone]:
        name = target_batch_workflow_id(batch.batch_id)
        return self.world.client.get_workflow_handle(name, result_type=TargetsDone)

    async def target(self, *rows: tuple[str, int] | dict[str, Any], **given: Any) -> list[Aimed]:
        """Post a batch, wait for all of it, and give each row's outcome."""
        batch = self.batch(*rows, **given)
        done = await self.post(batch)
        assert is_complete(done), done
        return self.outcomes(batch)

    def outcomes(self, batch: TargetBatch) -> list[Aimed]:
        aimed = self.store.targets.aimed(batch.batch_id)
        return [aimed[f"{batch.batch_id}/{number}"] for number in range(len(batch.rows))]

    # -- one aim ------------------------------------------------------------------------------------

    def aim(self, symbol: str, target: int, *, aim_id: str | None = None, **given: Any) -> Aim:
        now = datetime.now(UTC)
        terms: dict[str, Any] = {
            "aim_id": aim_id or f"{uuid.uuid4().hex[:16]}/0",
            "account": ACCOUNT,
            "account_id": "ACCT-001",
            "portfolio_id": "PORT-001",
            "instrument": self.instruments[symbol],
            "target": target,
            "unbooked": 0,
            "send_by": now + timedelta(seconds=60),
            "actor": PM,
            "ts_event_ns": nanoseconds(now),
        }
        return Aim.model_validate({**terms, **given})

    async def ask(self, aim: Aim) -> None:
        await Targets(self.world.client).ask(aim)

    def target_handle(self, symbol: str) -> WorkflowHandle[Any, Any]:
        name = target_workflow_id(ACCOUNT, self.instruments[symbol].instrument_id)
        return self.world.client.get_workflow_handle(name)

    # -- what came of it ----------------------------------------------------------------------------

    def orders(self, symbol: str) -> list[Order]:
        """Every order in the book for the symbol, the first one first."""
        found = [order for order in all_orders(self.world) if order.instrument.symbol == symbol]
        return sorted(found, key=lambda order: (order.created_at, order.order_id))

    def at_the_venue(self, symbol: str) -> Decimal:
        """What the venue was ever sent, signed."""
        tickets = [each for each in self.venue.placed.values() if each.instrument.symbol == symbol]
        return sum((t.quantity * t.direction.sign for t in tickets), Decimal(0))

    def held(self, symbol: str) -> Decimal:
        held: dict[str, Decimal] = self.store.targets.held_in(ACCOUNT)
        return held.get(self.instruments[symbol].instrument_id, Decimal(0))

    # -- workers ------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return Settings(custodian_url=self.world.custodian_url, sticky_seconds=0.5, **self.world.settings)

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[None]:
        """The workers of targets, as a worker process makes them."""
        async with (
            build_desk_worker(self.world.client, self.store, self.settings),
            build_target_worker(self.world.client, self.store, self.settings),
        ):
            yield

    @asynccontextmanager
    async def desk_over(self, book: Any = None, targets: Any = None) -> AsyncIterator[None]:
        """The same over another order book, or another way to the targets."""
        client, store = self.world.client, self.store
        acts = TargetActivities(store, book or book_of(self.world))
        rows = AimActivities(store, book or book_of(self.world), targets or Targets(client))
        async with (
            Worker(
                client,
                task_queue=DESK_QUEUE,
                workflows=[TargetWorkflow, TargetBatchWorkflow],
                activities=[acts.keep_batch, acts.batch_is_kept, acts.bring, acts.end_orders],
                workflow_runner=UnsandboxedWorkflowRunner(),
                sticky_queue_schedule_to_start_timeout=timedelta(seconds=0.5),
            ),
            Worker(client, task_queue=TARGET_QUEUE, activities=[rows.aim_rows]),
        ):
            yield


class Dying:
    """A part of a worker whose process dies: its call number `at` never answers, `BEFORE` or `AFTER` it was done."""

    def __init__(self, real: Any, at: int, when: str, *names: str) -> None:
        self._real, self._at, self._when, self._names = real, at, when, names
        self.calls: list[str] = []
        self.hangs = asyncio.Event()
        self._revived = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if name not in self._names:
            return real

        async def call(*args: Any, **given: Any) -> Any:
            if self.hangs.is_set():
                await self._revived.wait()
            self.calls.append(name)
            if len(self.calls) - 1 != self._at:
                return await real(*args, **given)
            answer = await real(*args, **given) if self._when == AFTER else None
            self.hangs.set()
            await self._revived.wait()
            return answer if self._when == AFTER else await real(*args, **given)

        return call

    def revive(self) -> None:
        """It was only slow."""
        self._revived.set()


def book_of(world: World) -> OrderBook:
    return OrderBook(world.client, world.store, 30)


@asynccontextmanager
async def a_range(client: Client, folder: Path, **settings: Any) -> AsyncIterator[Range]:
    """A store, a venue, an order worker. No worker of targets: `desk` gives one."""
    store, venue = new_store(folder), CountingVenue()
    with custodian(folder / "custodian.db") as url:
        world = World(client, store, venue, url, settings=settings)
        made = Range(world, venue)
        async with venue_worker(client, venue, ACCOUNT), world.working():
            yield made
    store.close()


def holds(aims: Range, *positions: BrokerPosition, read_ns: int = 0) -> None:
    """The broker tells these positions from now on; `read_ns`: as they were then, and not when it is asked."""
    aims.venue.accounts[ACCOUNT] = AccountRead(account=ACCOUNT, positions=positions, read_ns=read_ns)


def position(symbol: str, quantity: int, *, sec_type: str = "FUT", steady: bool = True) -> BrokerPosition:
    """A position that no order of ours made."""
    return BrokerPosition(
        conid=sum(map(ord, symbol)),
        symbol=symbol,
        sec_type=sec_type,
        currency="USD",
        quantity=quantity,
        unbooked=quantity,
        steady=steady,
        instrument_id=f"INS-{symbol}",
    )


def is_complete(done: TargetsDone) -> bool:
    """Whether every row of the batch has its outcome."""
    return done.away is None and done.planned == done.rows


def legs(aimed: Sequence[Aimed]) -> list[list[tuple[str, Decimal]]]:
    """The legs of each row: direction and quantity."""
    return [
        [(leg.direction.value, leg.quantity) for leg in each.plan.legs] if each.plan else [] for each in aimed
    ]
