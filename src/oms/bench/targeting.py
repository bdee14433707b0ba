"""Target positions: a thousand in one batch at the broker's pace, and racing posts of one target."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import httpx

from oms.bench.measuring import Row
from oms.paper.ib_book import read_executions
from oms.workers.stack import Stack

TARGETS = 1000
RACERS = 50
_RACED, _SHARES = "SPY", 100
_LOOK_SECONDS = 2.0
_PATIENCE = 300.0
_CLIENT_PATIENCE = 120.0
_ORDERS = "/api/v1/orders"
_OPEN = ("PreSubmitted", "Submitted")


@dataclass
class Progress:
    """What somebody who polls sees of a batch: how many rows the broker has, and when; how long a look takes."""

    counts: list[tuple[float, int]] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    warned: int = 0

    @property
    def steps(self) -> int:
        """How many different counts were seen."""
        return len({count for _, count in self.counts})


class TargetBench:
    """Posts targets to a running stack as its clients do."""

    def __init__(self, stack: Stack, tell: Callable[[str], None]) -> None:
        self._stack = stack
        self._tell = tell

    async def measure(self) -> list[Row]:
        limits = httpx.Limits(max_connections=RACERS)
        async with httpx.AsyncClient(
            base_url=self._stack.api,
            headers={"X-API-Key": self._stack.keys["pm"]},
            timeout=_CLIENT_PATIENCE,
            limits=limits,
            trust_env=False,
        ) as self._http:
            first = await self._batch("symbols that nobody described yet", limit="1")
            second = await self._batch("symbols that are known", limit="1.5")
            return [*first, *second, await self._race()]

    # -- a thousand in one batch ---------------------------------------------------------------------

    async def _batch(self, which: str, limit: str) -> list[Row]:
        """Limits far from the market: each is one order that rests."""
        self._tell(f"{TARGETS} targets in one batch, {which}")
        rows = [
            {"symbol": f"Q{number:04d}", "quantity": 1, "limit_price": float(limit)}
            for number in range(1, TARGETS + 1)
        ]
        pace = asyncio.create_task(self._paces())
        begun = time.monotonic()
        answer = await self._http.post(_ORDERS, json={"orders": rows})
        answer.raise_for_status()
        answered = time.monotonic() - begun
        batch_id = answer.json()["batch_id"]
        progress = await self._watched(batch_id, begun)
        seconds, at_venue = progress.counts[-1]
        pace.cancel()
        with suppress(asyncio.CancelledError):
            await pace
        await self._ended(batch_id)
        messages = self._stack.settings.ibkr_messages_per_second
        sent = sorted(self._sent)
        busiest = sent[-1] if sent else 0
        return [
            Row(
                f"{TARGETS} targets, {which}: all at the venue, {messages} messages/s allowed",
                f"{seconds:.0f} s ({TARGETS / seconds:.1f} orders/s), answered after {answered:.1f} s",
                target="all",
                met=at_venue == TARGETS,
            ),
            Row(
                "messages in a second as the gateway reports them (median, most)",
                f"{sent[len(sent) // 2] if sent else 0}, {busiest}",
                target=f"at most {messages}",
                met=busiest <= messages,
            ),
            Row(
                f"progress seen by a look every {_LOOK_SECONDS:g} s",
                f"{progress.steps} counts, a look {1000 * sum(progress.looks) / len(progress.looks):.0f} ms,"
                f" {progress.warned} without the broker's word",
                target="more than 3 counts",
                met=progress.steps > 3,
            ),
        ]

    async def _watched(self, batch_id: str, begun: float) -> Progress:
        """Look at the batch every two seconds until the broker has every row."""
        progress = Progress()
        while True:
            looked = time.monotonic()
            answer = await self._http.get(f"{_ORDERS}/{batch_id}")
            answer.raise_for_status()
            progress.looks.append(time.monotonic() - looked)
            progress.warned += "warning" in answer.headers
            rows = answer.json()["orders"]
            there = sum(row["ibkr_order_id"] is not None for row in rows)
            progress.counts.append((time.monotonic() - begun, there))
            if not any(row["status"] == "PreSubmitted" for row in rows) or looked - begun > _PATIENCE:
                return progress
            await asyncio.sleep(max(0.0, looked + _LOOK_SECONDS - time.monotonic()))

    async def _paces(self) -> None:
        """Note what the gateway says it sent in each second that it reports."""
        self._sent: list[int] = []
        last = 0
        while True:
            (report, *_) = await asyncio.to_thread(self._stack.store.gateways.all)
            if report.updated_ns != last and report.messages_per_second:
                self._sent.append(report.messages_per_second)
            last = report.updated_ns
            await asyncio.sleep(0.5)

    async def _ended(self, batch_id: str) -> None:
        """Cancel the batch, and wait until none of it works: the next one begins from nothing."""
        (await self._http.delete(f"{_ORDERS}/{batch_id}")).raise_for_status()
        await self._over(batch_id)

    # -- a race --------------------------------------------------------------------------------------

    async def _race(self) -> Row:
        """The same target from many clients at once."""
        self._tell(f"{RACERS} posts of the same target at once")
        body: dict[str, Any] = {"orders": [{"symbol": _RACED, "quantity": _SHARES}]}
        begun = time.monotonic()
        answers = await asyncio.gather(*(self._http.post(_ORDERS, json=body) for _ in range(RACERS)))
        answered = time.monotonic() - begun
        taken = sum(answer.status_code == 201 for answer in answers)
        for batch in (answer.json() for answer in answers if answer.status_code == 201):
            await self._over(batch["batch_id"])
        held = await asyncio.to_thread(self._executed)
        return Row(
            f"{RACERS} racing posts of {_SHARES} {_RACED}: what the broker's own book counts",
            f"{held}, {taken} posts answered in {answered:.1f} s",
            target=f"{_SHARES}",
            met=held == _SHARES and taken == RACERS,
        )

    async def _over(self, batch_id: str) -> None:
        """Return when nothing of the batch can be executed any more."""
        until = time.monotonic() + _PATIENCE
        while True:
            rows = (await self._http.get(f"{_ORDERS}/{batch_id}")).raise_for_status().json()["orders"]
            if not any(row["status"] in _OPEN for row in rows) or time.monotonic() > until:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _executed(self) -> Decimal:
        found = read_executions(self._stack.settings.data_dir / "paper-ib.db")
        signs = {"BUY": 1, "SELL": -1}
        return sum((signs[e.side] * e.quantity for e in found if e.symbol == _RACED), Decimal(0))
