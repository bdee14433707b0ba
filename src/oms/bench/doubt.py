"""Orders through a broker that leaves nearly every second send in doubt, and the count at the broker's own book.

No workflows and no HTTP: the real gateway and a real store against the paper IB Gateway over TCP. `place` is asked for
as a workflow asks: again and again until the order is known. What is counted is what the broker executed and what the
orders were told.
"""

import asyncio
import logging
import os
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from uuid import uuid4

import structlog

from oms.bench.measuring import Row
from oms.domain.facts import Executed, Fact, PlacementReported
from oms.domain.identifiers import ORDER, PLACEMENT, identifier, uuid7
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, PlacementStatus, TimeInForce, Venue
from oms.domain.venues import PlacementTicket
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.paper.faults import FaultKind, FaultPlan
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.market import MarketSettings
from oms.store import InboxStatus, IntentState, Store

LOSSES = (FaultKind.LOST_BEFORE_READ, FaultKind.EXECUTED_REPLIES_LOST, FaultKind.ACCEPTED_INVISIBLE)
SHARE = 0.15
"""Of the sends, each kind of loss: 45 per cent together."""
SESSIONS = 6
"""Client ids that share the orders, each with an account: a broken connection holds up its own session only."""
_ACCOUNTS = tuple(f"DU{number + 1}" for number in range(SESSIONS))
_PATIENCE = 900.0
_PAUSE = 0.02


@dataclass(frozen=True)
class Doubt:
    """What became of the orders of one seed. `faults` counts what the broker did to the sends, `doubts` how often an
    order was told that nobody knows; `in_doubt` what is left of that after reconciliation."""

    seed: int
    orders: int
    executed_once: int
    booked_once: int
    in_doubt: int
    faults: int
    doubts: int
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Every order was executed exactly once and booked exactly once, and none is in doubt."""
        return self.executed_once == self.booked_once == self.orders and self.in_doubt == 0


class _Book:
    """Stands where the order workflows are."""

    def __init__(self) -> None:
        self.facts: dict[str, list[Fact]] = defaultdict(list)

    async def deliver(self, order_id: str, facts: list[Fact]) -> bool:
        self.facts[order_id] += facts
        return True

    def executions(self, order_id: str) -> list[Executed]:
        return [fact for fact in self.facts[order_id] if isinstance(fact, Executed)]

    @property
    def doubts(self) -> int:
        told = [f for facts in self.facts.values() for f in facts if isinstance(f, PlacementReported)]
        return sum(1 for fact in told if fact.status is PlacementStatus.IN_DOUBT)


async def measure_doubt(seed: int, orders: int, folder: Path) -> Doubt:
    """Run `orders` market orders through a plan of losses drawn with `seed`; the folder keeps the books.

    Raises TimeoutError where an order is still unknown after a quarter of an hour.
    """
    plan = FaultPlan(rates=dict.fromkeys(LOSSES, SHARE), seed=seed)
    market = MarketSettings(step_seconds=0.05, moving=False)
    paper = PaperIBGateway(
        accounts=_ACCOUNTS, state_file=folder / f"broker-{seed}.db", market=market, faults=plan
    )
    store, book = Store(f"sqlite:///{folder / f'store-{seed}.db'}"), _Book()
    await asyncio.to_thread(store.migrate)
    await paper.start()
    gateways = [
        IBKRGateway(_settings(paper.port, number + 1), store, book.deliver) for number in range(SESSIONS)
    ]
    tickets = [_ticket(_ACCOUNTS[number % SESSIONS]) for number in range(orders)]
    begun = time.monotonic()
    try:
        for gateway in gateways:
            await gateway.start()
        async with asyncio.timeout(_PATIENCE):
            shares = [tickets[number::SESSIONS] for number in range(SESSIONS)]
            await asyncio.gather(*map(_work, gateways, shares))
            faults = len(paper.committed)
            paper.faults.rates = {}
            await _reconcile(gateways, store, book, tickets)
        return _count(seed, faults, time.monotonic() - begun, paper, store, book, tickets)
    finally:
        for gateway in gateways:
            await gateway.stop()
        await paper.stop()
        store.close()


def measure_seeds(seeds: Sequence[int], orders: int, tell: Callable[[str], None]) -> list[Doubt]:
    """Every seed in a process of its own, as many at a time as there are cores. In the order of `seeds`."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        running = {pool.submit(_one_seed, seed, orders): seed for seed in seeds}
        done = {}
        for future in as_completed(running):
            found = done[running[future]] = future.result()
            tell(f"seed {found.seed}: {found.faults} faults, {found.seconds:.0f} s")
    return [done[seed] for seed in seeds]


def rows_of(found: Sequence[Doubt]) -> list[Row]:
    """One line for each seed."""
    return [
        Row(
            f"seed {each.seed}: {each.faults} faults, {each.doubts} doubts in {each.seconds:.0f} s",
            f"{each.executed_once} executed once, {each.booked_once} booked once, {each.in_doubt} in doubt",
            target=f"{each.orders}, {each.orders}, 0",
            met=each.is_whole,
        )
        for each in found
    ]


def _one_seed(seed: int, orders: int) -> Doubt:
    # Each fault is a broken connection, which everybody would tell about.
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="oms-doubt-") as folder:
        return asyncio.run(measure_doubt(seed, orders, Path(folder)))


def _settings(port: int, client_id: int) -> IBKRSettings:
    """As in production, with shorter times and no pace: the faults are to be the only thing that takes time."""
    return IBKRSettings(
        port=port,
        client_id=client_id,
        accounts=(_ACCOUNTS[client_id - 1],),
        name=f"ibkr/{client_id}",
        messages_per_second=2000,
        acknowledge_seconds=1.0,
        grace_seconds=0.25,
        backoff_seconds=0.2,
        lease_seconds=60.0,
        request_timeout_seconds=30.0,
        heartbeat_seconds=30.0,
    )


def _ticket(account: str) -> PlacementTicket:
    now = time.time_ns() // 1_000_000
    return PlacementTicket(
        order_id=identifier(ORDER, uuid7(now, uuid4().bytes)),
        placement_id=identifier(PLACEMENT, uuid7(now, uuid4().bytes)),
        venue=Venue.IBKR,
        account=account,
        instrument=Instrument(instrument_id="INS-AAPL", symbol="AAPL"),
        direction=Direction.BUY,
        quantity=Decimal(1),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
    )


async def _work(gateway: IBKRGateway, tickets: list[PlacementTicket]) -> None:
    """One order after another, each asked for until it is known."""
    for ticket in tickets:
        await _until(partial(_is_known, gateway, ticket))


async def _is_known(gateway: IBKRGateway, ticket: PlacementTicket) -> bool:
    await gateway.ready()
    try:
        answer = await gateway.place(ticket)
    except GatewayNotReady:
        return False
    told = [fact.status for fact in answer.facts if isinstance(fact, PlacementReported)]
    return PlacementStatus.IN_DOUBT not in told


async def _reconcile(
    gateways: list[IBKRGateway], store: Store, book: _Book, tickets: list[PlacementTicket]
) -> None:
    """The faults are over: every session reads every list, and the orders are told what came of it."""
    await asyncio.gather(*(gateway.reconcile() for gateway in gateways))

    async def is_delivered() -> bool:
        waiting = [store.inbox.counts(gateway.settings.name)[InboxStatus.NEW] for gateway in gateways]
        return not any(waiting) and all(book.executions(ticket.order_id) for ticket in tickets)

    await _until(is_delivered)


async def _until(met: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await met():
            return
        await asyncio.sleep(_PAUSE)


def _count(
    seed: int,
    faults: int,
    seconds: float,
    paper: PaperIBGateway,
    store: Store,
    book: _Book,
    tickets: list[PlacementTicket],
) -> Doubt:
    theirs = Counter(line.order_ref for line in paper.executions())
    ours = Counter(t.order_ref for t in tickets for _ in book.executions(t.order_id))
    states = [intent.state for t in tickets if (intent := store.intents.get(t.placement_id)) is not None]
    return Doubt(
        seed=seed,
        orders=len(tickets),
        executed_once=sum(1 for ticket in tickets if theirs[ticket.order_ref] == 1),
        booked_once=sum(1 for ticket in tickets if ours[ticket.order_ref] == 1),
        in_doubt=sum(1 for state in states if state in (IntentState.IN_DOUBT, IntentState.SENDING)),
        faults=faults,
        doubts=book.doubts,
        seconds=seconds,
    )
