"""From the inbox to the orders: at least once, one order after another in its own line, many orders at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import groupby

import structlog

from oms.domain.facts import Fact
from oms.store import InboxRow, Store

LOG = structlog.get_logger()
_BATCH = 200
_READ = 500
_AT_ONCE = 16
_BACKSTOP_SECONDS = 1.0
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0

Deliver = Callable[[str, list[Fact]], Awaitable[bool]]
"""Hands facts to an order: True when it has them, False when there is no such order; raises to be asked again."""


class Delivery:
    """Whatever piled up for an order goes in one batch. A crash after `deliver` delivers again; orders dedupe."""

    def __init__(self, store: Store, gateway: str, deliver: Deliver) -> None:
        self._store = store
        self._gateway = gateway
        self._deliver = deliver
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, int] = {}
        self._pauses: dict[str, float] = {}
        self._settled: set[int] = set()

    def wake(self) -> None:
        """There is something new in the inbox."""
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._news.clear()
                try:
                    await self._round()
                except Exception as error:  # noqa: BLE001 - the store is away; it is tried again
                    LOG.error("ibkr.alarm.inbox_not_read", error=repr(error))  # noqa: TRY400 - one line
                with suppress(TimeoutError):
                    async with asyncio.timeout(_BACKSTOP_SECONDS):
                        await self._news.wait()
        finally:
            tasks = list(self._busy.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _round(self) -> None:
        """Start a delivery for every order that has something and is not at it. Stuck orders block no other."""
        limit = _READ + sum(self._held.values())
        self._settled.clear()
        rows = await asyncio.to_thread(self._store.inbox.undelivered, self._gateway, limit)
        if len(rows) == limit:
            self._news.set()
        # What was settled while we read may have been read as waiting.
        fresh = (row for row in rows if row.id not in self._settled)
        for order_id, group in groupby(sorted(fresh, key=_order), key=_order):
            waiting = list(group)
            if order_id in self._busy:
                self._held[order_id] = len(waiting)
                continue
            task = self._busy[order_id] = asyncio.create_task(self._to_order(order_id, waiting[:_BATCH]))
            self._held[order_id] = len(waiting)
            task.add_done_callback(partial(self._finished, order_id))

    def _finished(self, order_id: str, _task: asyncio.Task[None]) -> None:
        del self._busy[order_id]
        self._held.pop(order_id, None)
        self._news.set()

    async def _to_order(self, order_id: str, rows: list[InboxRow]) -> None:
        ids = [row.id for row in rows]
        try:
            async with self._slots:
                delivered = await self._deliver(order_id, [row.fact for row in rows])
                if delivered:
                    await asyncio.to_thread(self._store.inbox.delivered, ids)
                else:
                    LOG.error("ibkr.alarm.orphan", order_id=order_id, facts=len(ids))
                    await asyncio.to_thread(self._store.inbox.orphan, ids, "no such order is running")
            self._settled.update(ids)
            self._pauses.pop(order_id, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, the facts stay and are tried again
            pause = self._pauses.get(order_id, _FIRST_PAUSE_SECONDS)
            self._pauses[order_id] = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            LOG.warning("ibkr.not_delivered", order_id=order_id, error=repr(error), again_in_seconds=pause)
            await asyncio.sleep(pause)


def _order(row: InboxRow) -> str:
    return row.order_id or ""
