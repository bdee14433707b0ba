"""`oms bench`: the order book on the real stack, each figure beside bare Temporal in the same run."""

import asyncio
import os
import platform
import sys
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from uuid import uuid4

import httpx
import psutil
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from oms import __version__
from oms.api.app import create_app
from oms.api.context import APIContext
from oms.api.new_order import NewOrder
from oms.api.order_book import OrderBook
from oms.bench.baseline import (
    QUEUE,
    BareLifecycle,
    BareStart,
    BareUpdates,
    bare_activity,
    bare_local_activity,
)
from oms.bench.commanding import measure_acks, measure_flood
from oms.bench.filling import fill_book, instrument_name, portfolio_name
from oms.bench.measuring import Latencies, Row, latencies, rate
from oms.bench.streaming import measure_stream
from oms.bench.targeting import TargetBench
from oms.bench.watching import Load, seen
from oms.domain.commands import Actor
from oms.domain.identifiers import workflow_id
from oms.domain.reference import InstrumentTerms
from oms.domain.terms import Role, State
from oms.store import Store
from oms.workers.serving import serving
from oms.workers.stack import Stack, environment_of
from oms.workers.supervisor import Child

_PATIENCE = 120.0
PARTS = ("lifecycles", "commands", "fills", "stream", "memory", "lists")
TARGETS = "targets"
"""A part of its own stack, which keeps the broker's pace."""
_FILLS, _FILL_PACE = 400, 20
_WARMING, _WORKER_PATIENCE = 200, 10.0
_WRITERS, _PACE = 50, 4.0
_BOOKS = (10_000, 100_000, 1_000_000)
_SECRET = "secret-of-the-benchmark"  # noqa: S105 - of a book that is thrown away
_PAIRS = (
    {"portfolio_id": portfolio_name(0), "state": "RECONCILED"},
    {"portfolio_id": portfolio_name(0), "direction": "BuyToCover"},
    {"portfolio_id": portfolio_name(9), "instrument_id": instrument_name(0)},
    {"instrument_id": instrument_name(0), "direction": "Buy"},
    {"state": "RECONCILED", "direction": "SellShort"},
    {"state": "RECONCILED", "created_after": "2026-01-05T10:00:00Z"},
)


class Bench:
    """One running stack, measured. `orders` straight-through orders, `concurrency` at a time; lists of books of up to
    `listed` orders."""

    def __init__(
        self, stack: Stack, orders: int, concurrency: int, listed: int, tell: Callable[[str], None]
    ) -> None:
        self.stack = stack
        self.orders = orders
        self.concurrency = concurrency
        self.listed = listed
        self.tell = tell
        self.book = OrderBook(stack.client, stack.store, _PATIENCE)
        terms = InstrumentTerms(symbol="AAPL", primary_exchange="NASDAQ")
        self.instrument_id = stack.store.reference.put_instrument(terms, f"INS-{uuid4()}").instrument_id

    async def report(self, only: str | None = None) -> list[Row]:
        """Every measurement of PARTS, in order, or the one which `only` names."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=self.concurrency)
        async with (
            self._bare_worker(),
            httpx.AsyncClient(
                base_url=self.stack.api, timeout=_PATIENCE, limits=limits, trust_env=False
            ) as http,
        ):
            self.http = http
            if only is not None:
                await rate(20, self.concurrency, self._straight_through)
            parts = (self.lifecycles, self.commands, self.fills, self.streaming, self.memory, self.listing)
            wanted = [part for name, part in zip(PARTS, parts, strict=True) if only in (None, name)]
            wanted = [self.targets] if only == TARGETS else wanted
            return [row for part in wanted for row in await part()]

    # -- whole lifecycles ----------------------------------------------------------------------------

    async def lifecycles(self) -> list[Row]:
        """Bare, then orders, then bare again: the machine may not have been the same all the while."""
        warm = max(20, self.orders // 10)
        await rate(warm, self.concurrency, self._bare_lifecycle)
        await rate(warm, self.concurrency, self._straight_through)
        self.tell(f"{self.orders} bare workflows, {self.concurrency} at a time")
        before = await rate(self.orders, self.concurrency, self._bare_lifecycle)
        self.tell(f"{self.orders} straight-through orders, {self.concurrency} at a time")
        ours = await rate(self.orders, self.concurrency, self._straight_through)
        self.tell(f"{self.orders} bare workflows again")
        bare = (before + await rate(self.orders, self.concurrency, self._bare_lifecycle)) / 2
        order_id = await self._straight_through(0)
        history = await self.stack.client.get_workflow_handle(workflow_id(order_id)).fetch_history()
        size = sum(event.ByteSize() for event in history.events)
        events = len(history.events)
        return [
            Row(
                f"straight-through lifecycles, {self.concurrency} at a time",
                f"{ours:.1f} orders/s",
                f"{bare:.1f} /s",
                f"{ours / bare:.2f}",
                "at least 0.5",
                ours / bare >= 0.5,
            ),
            Row(
                "history of a straight-through order",
                f"{events} events",
                target="at most 60",
                met=events <= 60,
            ),
            Row("bytes of that history", f"{size / 1000:.1f} kB", target="at most 40 kB", met=size <= 40_000),
        ]

    async def _bare_lifecycle(self, _number: int) -> None:
        handle = await self.stack.client.start_workflow(
            BareLifecycle.run, "x", id=f"bare/{uuid4()}", task_queue=QUEUE, request_eager_start=True
        )
        await handle.signal(BareLifecycle.poke)
        await handle.signal(BareLifecycle.poke)
        await handle.result()

    async def _straight_through(self, _number: int) -> str:
        """Opened through the order book's own service, as the baseline is started through the client."""
        new = NewOrder.model_validate(self._terms("straight_through"))
        order_id = (await self.book.create(new, Actor(key="bench", roles=(Role.PM,)))).order_id
        handle = self.stack.client.get_workflow_handle(workflow_id(order_id), result_type=str)
        state = await asyncio.wait_for(handle.result(), _PATIENCE)
        if state != State.RECONCILED:
            raise RuntimeError(f"{order_id} ended {state}")
        return order_id

    def _terms(self, automation: str) -> dict[str, str]:
        return {
            "portfolio_id": "PORT-001",
            "instrument_id": self.instrument_id,
            "direction": "Buy",
            "ordered_quantity": "10",
            "order_type": "Market",
            "time_in_force": "Day",
            "automation": automation,
        }

    async def _create(self, automation: str) -> str:
        answer = await self.http.post("/v1/orders", json=self._terms(automation), headers=self._key("pm"))
        answer.raise_for_status()
        return str(answer.json()["order_id"])

    def _key(self, role: str) -> dict[str, str]:
        return {"X-API-Key": self.stack.keys[role]}

    # -- commands ------------------------------------------------------------------------------------

    async def commands(self) -> list[Row]:
        """A change over HTTP, recorded, beside a bare update; a signed command, acknowledged, beside a bare start."""
        recorded = await self._recorded_commands()
        self.tell("signed commands with one order each, and bare starts, by turns")
        acknowledged = await measure_acks(self.stack)
        self.tell("a flood of signed commands")
        return [*recorded, *acknowledged, *await measure_flood(self.stack, self.tell)]

    async def targets(self) -> list[Row]:
        """Target positions, at the broker's pace."""
        return await TargetBench(self.stack, self.tell).measure()

    async def _recorded_commands(self) -> list[Row]:
        """A booking change over HTTP, in the journal before it is answered, beside a bare update."""
        count = 200
        order_id = await self._create("manual")
        handle = await self.stack.client.start_workflow(
            BareUpdates.run, id=f"bare/{uuid4()}", task_queue=QUEUE
        )
        self.tell(f"{count} commands over HTTP and {count} bare updates, by turns")

        async def ours(number: int) -> None:
            body = {"metadata": {"n": number}}
            (
                await self.http.patch(f"/v1/orders/{order_id}", json=body, headers=self._key("pm"))
            ).raise_for_status()

        async def bare(_number: int) -> None:
            await handle.execute_update(BareUpdates.touch, "x")

        await latencies(20, ours)
        await latencies(20, bare)
        http: list[float] = []
        update: list[float] = []
        for _ in range(10):
            update += (await latencies(count // 10, bare)).milliseconds
            http += (await latencies(count // 10, ours)).milliseconds
        await handle.signal(BareUpdates.end)
        mine, theirs = Latencies(tuple(sorted(http))), Latencies(tuple(sorted(update)))
        ratio = mine.at(50) / theirs.at(50)
        return [
            Row(
                "command over HTTP, recorded (p50 / p95 / p99)",
                mine.text,
                theirs.text,
                f"{ratio:.2f}",
                "at most 5",
                ratio <= 5,
            )
        ]

    # -- what people see -----------------------------------------------------------------------------

    async def fills(self) -> list[Row]:
        """From the gateway's receipt of a fill to the order showing it over HTTP, with orders coming all the while.

        As in production the worker is a process of its own, and so is who asks.
        """
        self.tell(f"{_FILLS} orders, {_FILL_PACE} a second, every tenth of them watched")
        terms = self._terms("straight_through")
        load = Load(self.stack.api, dict(self.stack.keys), terms, _FILLS, _FILL_PACE, watched=10)
        async with self._another_worker():
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as asking:
                loop = asyncio.get_running_loop()
                times = Latencies.of(await loop.run_in_executor(asking, seen, load))
        row = Row(
            f"fill received to visible over HTTP, {_FILL_PACE} orders/s (p50 / p95 / p99)",
            times.text,
            target="p50 at most 40 ms, p99 at most 150 ms",
            met=times.at(50) <= 40 and times.at(99) <= 150,
        )
        return [row]

    @asynccontextmanager
    async def _another_worker(self) -> AsyncIterator[None]:
        """`oms worker` beside the worker of this process: they share the orders."""
        settings = self.stack.settings
        log = settings.data_dir / "logs" / "another-worker.log"
        command = [sys.executable, "-m", "oms.cli.main", "worker"]
        child = Child("worker", command, {**os.environ, **environment_of(settings)}, log, lambda: None)
        await child.start()
        try:
            # Its first orders cost it its imports and a calendar: they are not what is measured.
            await rate(_WARMING, _WARMING // 4, self._straight_through)
            yield
        finally:
            await child.stop(_WORKER_PATIENCE)

    async def streaming(self) -> list[Row]:
        """Fifty people who each do something every few seconds, and one who watches all of it."""
        orders = [await self._create("manual") for _ in range(_WRITERS)]
        self.tell(f"{_WRITERS} writers, a command each every {_PACE:g} s, and one subscriber")
        keys = dict(self.stack.keys)
        paced = await measure_stream(self.stack.api, keys, orders, 5, _PACE)
        self.tell(f"{_WRITERS} writers as fast as the book answers")
        burst = await measure_stream(self.stack.api, keys, orders, 5, 0.0)
        wrong = sum((paced.lost, paced.disordered, burst.lost, burst.disordered))
        return [
            Row(
                f"command to stream, {_WRITERS} writers, {paced.rate:.0f}/s (p50 / p95 / p99)",
                paced.seen.text,
                target="p95 at most 150 ms",
                met=paced.seen.at(95) <= 150,
            ),
            Row(
                f"event to stream, {_WRITERS} writers, {burst.rate:.0f}/s (p50 / p95 / p99)", burst.told.text
            ),
            Row("events lost or out of order on the stream", f"{wrong}", target="none", met=wrong == 0),
        ]

    async def listing(self) -> list[Row]:
        """ListOrders with two filters over HTTP, on books of copies of this run's orders."""
        samples = self.stack.store.orders.list(limit=50).items
        store = Store(f"sqlite:///{self.stack.settings.data_dir / 'list.db'}")
        store.migrate()
        store.keys.create("bench", [Role.VIEWER], _SECRET)
        application = create_app(APIContext(store=store, temporal=self.stack.client, version=__version__))
        medians: list[float] = []
        rows, written = [], 0
        async with serving(application, "127.0.0.1", 0) as port:
            for size in (size for size in _BOOKS if size <= self.listed):
                self.tell(f"a book of {size:,} orders")
                await asyncio.to_thread(fill_book, store, samples, size, written)
                written = size
                times = await self._listed(f"http://127.0.0.1:{port}")
                medians.append(times.at(50))
                ratio = medians[-1] / medians[1] if len(medians) > 2 else None
                rows.append(
                    Row(
                        f"list, two filters, page of 100 of {size:,} orders (p50 / p95 / p99)",
                        times.text,
                        ratio="" if ratio is None else f"{ratio:.2f} of {_BOOKS[1]:,}",
                        target="p50 at most 15 ms" if ratio is None else "at most 1.5",
                        met=medians[-1] <= 15 if ratio is None else ratio <= 1.5,
                    )
                )
        store.close()
        return rows

    async def _listed(self, api: str) -> Latencies:
        """Six pairs of filters by turns, the first three pages of each."""
        async with httpx.AsyncClient(base_url=api, headers={"X-API-Key": _SECRET}, trust_env=False) as http:

            async def one(number: int) -> None:
                query: dict[str, str] = dict(_PAIRS[number % len(_PAIRS)])
                for _ in range(1 + number // len(_PAIRS) % 3):
                    page = (await http.get("/v1/orders", params=query)).raise_for_status().json()
                    query["cursor"] = page["next_cursor"] or ""
                    if not query["cursor"]:
                        return

            return await latencies(90, one)

    async def memory(self) -> list[Row]:
        """What an open order that waits costs the process of worker and API."""
        process = psutil.Process(os.getpid())
        before = process.memory_info().rss
        count = 200
        await rate(count, self.concurrency, lambda _: self._create("manual"))
        grown = (process.memory_info().rss - before) / count / 1000
        return [Row("worker memory for one open order", f"{grown:.0f} kB")]

    @asynccontextmanager
    async def _bare_worker(self) -> AsyncIterator[None]:
        worker = Worker(
            self.stack.client,
            task_queue=QUEUE,
            workflows=[BareLifecycle, BareUpdates, BareStart],
            activities=[bare_activity, bare_local_activity],
            workflow_runner=UnsandboxedWorkflowRunner(),
            max_concurrent_workflow_tasks=self.stack.settings.max_workflow_tasks,
            graceful_shutdown_timeout=timedelta(seconds=1),
        )
        async with worker:
            yield


def machine() -> str:
    """What the figures were measured on."""
    cores = os.cpu_count()
    return f"{platform.processor() or platform.machine()}, {cores} cores, Python {platform.python_version()}, oms {__version__}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
