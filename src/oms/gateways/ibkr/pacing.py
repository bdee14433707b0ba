"""Our own pace above ib_async: never more than the rate in any window of one second, cancels first.

ib_async queues silently, in order of arrival, and loses its queue with the connection. Ours is the narrower
of the two, so a message that got its turn is written to the socket at once.
"""

import asyncio
import heapq
from collections import deque
from enum import IntEnum

WINDOW_SECONDS = 1.0


class Urgency(IntEnum):
    """Who goes first when there is a queue. Nothing may keep a sign of life waiting: there is one in seconds."""

    HEARTBEAT = 0
    CANCEL = 1
    QUERY = 2
    PLACE = 3


class Turns:
    """The order of turns, without a clock of its own: every method takes `now` in seconds.

    A turn is named by the number that `ask` gave.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._given: deque[float] = deque(maxlen=rate)
        self._waiting: list[tuple[int, int]] = []
        self._dropped: set[int] = set()
        self._next = 0

    def ask(self, urgency: Urgency) -> int:
        """Join the queue."""
        self._next += 1
        heapq.heappush(self._waiting, (urgency, self._next))
        return self._next

    def drop(self, turn: int) -> None:
        """Leave the queue; nobody is sent in this turn."""
        self._dropped.add(turn)

    def due(self, now: float) -> list[int]:
        """The turns that may be taken at `now`, the most urgent first."""
        turns = []
        while self._waiting and self._has_room(now):
            turn = heapq.heappop(self._waiting)[1]
            if turn in self._dropped:
                self._dropped.discard(turn)
            else:
                self._given.append(now)
                turns.append(turn)
        return turns

    def spend(self, count: int, now: float) -> None:
        """Count messages that were sent without asking (the library's own at connect)."""
        self._given.extend([now] * count)

    def next_at(self) -> float | None:
        """When the next turn is due, or None where nobody waits."""
        if not self._waiting:
            return None
        return self._given[0] + WINDOW_SECONDS if len(self._given) == self._rate else 0.0

    def given_since(self, moment: float) -> int:
        """How many turns were given after `moment`, which is at most a second ago."""
        return sum(1 for at in self._given if at > moment)

    @property
    def waiting(self) -> int:
        return len(self._waiting) - len(self._dropped)

    def _has_room(self, now: float) -> bool:
        return len(self._given) < self._rate or now - self._given[0] >= WINDOW_SECONDS


class Pacer:
    """Turns on the running event loop."""

    def __init__(self, rate: int) -> None:
        self._turns = Turns(rate)
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, urgency: Urgency) -> None:
        """Return when one message may be sent."""
        loop = asyncio.get_running_loop()
        turn = self._turns.ask(urgency)
        future = self._futures[turn] = loop.create_future()
        self._give()
        try:
            await future
        finally:
            if self._futures.pop(turn, None) is not None:
                self._turns.drop(turn)

    def spend(self, count: int) -> None:
        """Count messages that were sent without asking."""
        self._turns.spend(count, asyncio.get_running_loop().time())

    @property
    def waiting(self) -> int:
        """How many messages wait for their turn."""
        return self._turns.waiting

    @property
    def sent_last_second(self) -> int:
        """How many messages were sent in the last second."""
        return self._turns.given_since(asyncio.get_running_loop().time() - WINDOW_SECONDS)

    def _give(self) -> None:
        loop = asyncio.get_running_loop()
        for turn in self._turns.due(loop.time()):
            future = self._futures.pop(turn)
            if not future.done():
                future.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        at = self._turns.next_at()
        self._timer = None if at is None else loop.call_at(at, self._give)
