"""Times, percentiles and the table they end up in."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latencies:
    """Sorted times in milliseconds."""

    milliseconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        return cls(tuple(sorted(1000 * each for each in seconds)))

    def at(self, percent: float) -> float:
        """The nearest-rank percentile."""
        return self.milliseconds[min(len(self.milliseconds) - 1, int(len(self.milliseconds) * percent / 100))]

    @property
    def text(self) -> str:
        return f"{self.at(50):.1f} / {self.at(95):.1f} / {self.at(99):.1f} ms"


async def rate(count: int, concurrency: int, one: Callable[[int], Awaitable[object]]) -> float:
    """How many of `one` finish a second, `concurrency` at a time."""
    slots = asyncio.Semaphore(concurrency)

    async def limited(number: int) -> None:
        async with slots:
            await one(number)

    started = time.perf_counter()
    await asyncio.gather(*(limited(number) for number in range(count)))
    return count / (time.perf_counter() - started)


async def latencies(count: int, one: Callable[[int], Awaitable[object]]) -> Latencies:
    """How long each of `count` calls takes, one after another."""
    seconds = []
    for number in range(count):
        started = time.perf_counter()
        await one(number)
        seconds.append(time.perf_counter() - started)
    return Latencies.of(seconds)


@dataclass(frozen=True)
class Row:
    """One line of the report. `ratio` is to the baseline of the same run; `target` what the project asks of itself."""

    what: str
    measured: str
    baseline: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None
