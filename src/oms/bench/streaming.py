"""How long after a command the stream tells of it, with many writers at once: nothing lost, nothing out of order."""

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import httpx

from oms.bench.measuring import Latencies

Place = tuple[str, int]
"""(order_id, number of the event on its order)."""
_PATIENCE = 60.0


@dataclass
class Heard:
    """What a subscriber saw of the events it waits for."""

    at: dict[Place, float] = field(default_factory=dict)
    positions: list[int] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    recorded: dict[Place, float] = field(default_factory=dict)

    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def everything(self, wanted: set[Place]) -> None:
        """Return when all of `wanted` came."""
        while not wanted <= self.at.keys():
            self.news.clear()
            await self.news.wait()

    def take(self, position: int, event: dict[str, Any]) -> None:
        """An event as it came over the wire."""
        place = (event["order_id"], event["seq"])
        self.at[place] = time.time()
        self.recorded[place] = event["ts_init_ns"] / 1e9
        self.positions.append(position)
        self.numbers[event["order_id"]].append(event["seq"])
        self.news.set()


@dataclass(frozen=True)
class StreamReport:
    """`seen`: from sending a command to seeing its event; `answered`: to its answer; `told`: from the event itself,
    as its order timed it, to seeing it. `lost` counts what never came, `disordered` what came at the wrong place."""

    seen: Latencies
    answered: Latencies
    told: Latencies
    commands: int
    lost: int
    disordered: int
    seconds: float

    @property
    def rate(self) -> float:
        """Commands a second."""
        return self.commands / self.seconds


async def measure_stream(
    api: str, keys: dict[str, str], orders: list[str], commands: int, pause: float
) -> StreamReport:
    """One writer for each order gives `commands` booking changes, `pause` seconds apart, while one subscriber reads.

    Raises httpx.HTTPStatusError for a command that is refused.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=len(orders) + 1)
    sent: dict[Place, float] = {}
    answered: dict[Place, float] = {}
    heard = Heard()
    async with httpx.AsyncClient(base_url=api, timeout=_PATIENCE, limits=limits, trust_env=False) as http:
        listening = asyncio.Event()
        reading = asyncio.create_task(_listen(http, keys["viewer"], heard, set(orders), listening))
        await listening.wait()

        async def write(writer: int, order_id: str) -> None:
            await asyncio.sleep(pause * writer / len(orders))
            for number in range(commands):
                began = time.time()
                body = {"metadata": {"n": number}}
                answer = await http.patch(
                    f"/v1/orders/{order_id}", json=body, headers={"X-API-Key": keys["pm"]}
                )
                answer.raise_for_status()
                place = (order_id, int(answer.json()["version"]))
                sent[place], answered[place] = began, time.time()
                await asyncio.sleep(max(0.0, began + pause - time.time()))

        began = time.time()
        await asyncio.gather(*(write(writer, order_id) for writer, order_id in enumerate(orders)))
        seconds = time.time() - began
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(heard.everything(set(sent)), _PATIENCE)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return _report(sent, answered, heard, seconds)


def _report(
    sent: dict[Place, float], answered: dict[Place, float], heard: Heard, seconds: float
) -> StreamReport:
    there = sorted(sent.keys() & heard.at.keys())
    gaps = sum(b != a + 1 for a, b in pairwise(heard.positions))
    jumps = sum(b != a + 1 for numbers in heard.numbers.values() for a, b in pairwise(numbers))
    return StreamReport(
        seen=Latencies.of([heard.at[place] - sent[place] for place in there]),
        answered=Latencies.of([answered[place] - sent[place] for place in there]),
        told=Latencies.of([heard.at[place] - heard.recorded[place] for place in there]),
        commands=len(sent),
        lost=len(sent) - len(there),
        disordered=gaps + jumps,
        seconds=seconds,
    )


async def _listen(
    http: httpx.AsyncClient, key: str, heard: Heard, orders: set[str], listening: asyncio.Event
) -> None:
    async with http.stream("GET", "/v1/stream", headers={"X-API-Key": key}) as response:
        response.raise_for_status()
        async for position, event in _events(response, listening):
            if event["order_id"] in orders:
                heard.take(position, event)


async def _events(
    response: httpx.Response, listening: asyncio.Event
) -> AsyncIterator[tuple[int, dict[str, Any]]]:
    fields: dict[str, str] = {}
    listening.set()
    async for line in response.aiter_lines():
        name, _, value = line.partition(": ")
        if line == "" and "data" in fields:
            yield int(fields["id"]), json.loads(fields["data"])
            fields = {}
        elif line:
            fields[name] = value
