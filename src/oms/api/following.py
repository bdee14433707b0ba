"""Following a journal: one reader per process for any number of subscribers.

A follower keeps the latest events in a ring. Positions have no hole, so a subscriber knows from its own
position alone whether the ring holds what it has not seen; one that has fallen behind the ring reads from the
store until it has caught up. Nothing is queued for a slow reader, nothing is skipped or sent twice.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import anyio
import structlog
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse

from oms.api.problems import Unreadable
from oms.api.views import JournalView
from oms.domain.terms import Direction, State
from oms.store import Store, StreamedEvent

_SHORTEST, _LONGEST = 0.02, 0.1
_BATCH = 500
_log = structlog.get_logger("oms.api")


def position_of(last_event_id: str) -> int:
    """The position that a reader has seen last. Raises Unreadable."""
    if not (last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) <= 18):
        raise Unreadable("Last-Event-ID is the id of an event of this stream, a whole number.")
    return int(last_event_id)


@dataclass(frozen=True)
class Wanted:
    """Which events a subscriber sees. `portfolio_ids` are the only ones its key may see."""

    portfolio_ids: tuple[str, ...] | None = None
    portfolio_id: str | None = None
    instrument_id: str | None = None
    state: State | None = None
    direction: Direction | None = None
    basket_id: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def takes(self, streamed: StreamedEvent) -> bool:
        return (
            (self.portfolio_ids is None or streamed.portfolio_id in self.portfolio_ids)
            and self.portfolio_id in (None, streamed.portfolio_id)
            and self.instrument_id in (None, streamed.instrument_id)
            and self.state in (None, streamed.event.state)
            and self.direction in (None, streamed.direction)
            and self.basket_id in (None, streamed.basket_id)
            and (self.created_after is None or streamed.order_created_at > self.created_after)
            and (self.created_before is None or streamed.order_created_at < self.created_before)
        )


class _Positioned(Protocol):
    @property
    def position(self) -> int: ...


class _Filter(Protocol):
    def takes(self, event: Any, /) -> bool: ...


E = TypeVar("E", bound=_Positioned)
W = TypeVar("W", bound=_Filter)


@dataclass(frozen=True)
class _Shown(Generic[E]):
    """An event and what every subscriber is sent of it, made once."""

    event: E
    sent: ServerSentEvent

    @property
    def position(self) -> int:
        return self.event.position


class Tail(ABC, Generic[E, W]):
    """The process's one reader of a journal's head. It reads while somebody subscribes.

    A journal has positions that count from 1 without a hole.
    """

    def __init__(self, store: Store, ring_events: int = 4096) -> None:
        self._store = store
        self._ring: deque[_Shown[E]] = deque(maxlen=ring_events)
        self._head = 0
        self._subscribers = 0
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        # Its own thread: behind the requests of many writers the reader would wait for one of theirs.
        self._thread = anyio.CapacityLimiter(1)

    @abstractmethod
    def head(self) -> int:
        """The position of the last event. Blocks."""

    @abstractmethod
    def read(self, after: int, limit: int, wanted: W | None = None) -> Sequence[E]:
        """At most `limit` events after the position, in their order: all, or those `wanted` takes. Blocks."""

    @abstractmethod
    def show(self, event: E) -> ServerSentEvent:
        """The event as it is sent."""

    async def events(self, wanted: W, after: int | None) -> AsyncIterator[ServerSentEvent]:
        """The events `wanted` takes with a position greater than `after` (None: than the head), without end."""
        head = await anyio.to_thread.run_sync(self.head)
        position = head if after is None else min(after, head)
        self._subscribe(head)
        try:
            while True:
                news = self._news
                batch, position = await self._next(wanted, position)
                for shown in batch:
                    yield shown.sent
                if position >= self._head:
                    await news.wait()
        finally:
            self._unsubscribe()

    async def _next(self, wanted: W, position: int) -> tuple[list[_Shown[E]], int]:
        """What comes after `position`, and the position up to which that is everything."""
        if self._ring and self._ring[0].position <= position + 1:
            skip = position + 1 - self._ring[0].position
            fresh = [self._ring[i] for i in range(skip, min(len(self._ring), skip + _BATCH))]
            seen = fresh[-1].position if fresh else position
            return [shown for shown in fresh if wanted.takes(shown.event)], seen
        if position >= self._head:
            return [], position
        return await anyio.to_thread.run_sync(self._from_store, wanted, position)

    def _from_store(self, wanted: W, position: int) -> tuple[list[_Shown[E]], int]:
        head = self.head()
        found = self.read(position, _BATCH, wanted)
        last = found[-1].position if found else position
        return self._shown(found), last if len(found) == _BATCH else max(head, last)

    def _shown(self, events: Sequence[E]) -> list[_Shown[E]]:
        return [_Shown(event, self.show(event)) for event in events]

    def _subscribe(self, head: int) -> None:
        self._subscribers += 1
        if self._reader is None or self._reader.done():
            self._ring.clear()
            self._head = head
            self._reader = asyncio.create_task(self._read())

    def _unsubscribe(self) -> None:
        self._subscribers -= 1
        if self._subscribers == 0 and self._reader is not None:
            self._reader.cancel()
            self._reader = None

    async def _read(self) -> None:
        """Poll the head: often while things happen, less often while nothing does."""
        pause = _SHORTEST
        while True:
            try:
                fresh = await anyio.to_thread.run_sync(self.read, self._head, _BATCH, limiter=self._thread)
            except Exception as error:  # noqa: BLE001 - the store is away: subscribers wait until it is back
                _log.warning("the journal cannot be read; tried again", error=str(error))
                fresh, pause = [], 1.0
            if fresh:
                self._ring.extend(self._shown(fresh))
                self._head = fresh[-1].position
                news, self._news = self._news, asyncio.Event()
                news.set()
                pause = _SHORTEST
            if len(fresh) < _BATCH:
                await asyncio.sleep(pause)
                pause = min(max(_LONGEST, pause), pause * 1.3)


class Follower(Tail[StreamedEvent, Wanted]):
    """Follows the journal of orders."""

    def head(self) -> int:
        return self._store.journal.head()

    def read(self, after: int, limit: int, wanted: Wanted | None = None) -> Sequence[StreamedEvent]:
        wanted = wanted or Wanted()
        return self._store.journal.stream(
            after,
            limit,
            portfolio_ids=wanted.portfolio_ids,
            portfolio_id=wanted.portfolio_id,
            instrument_id=wanted.instrument_id,
            state=wanted.state,
            direction=wanted.direction,
            basket_id=wanted.basket_id,
            created_after=wanted.created_after,
            created_before=wanted.created_before,
        )

    def show(self, event: StreamedEvent) -> ServerSentEvent:
        data = JournalView.of(event.event).model_dump_json()
        return ServerSentEvent(id=str(event.position), event=event.event.kind, data=data)


async def stream_answer(
    tail: Tail[E, W], wanted: W, after: int | None, keep_alive_seconds: int
) -> EventSourceResponse:
    """The events as an answer without end. Its header `Last-Event-ID` is the position it starts from, so that a
    stream from now on that is lost before its first event goes on where it began."""
    start = await anyio.to_thread.run_sync(tail.head) if after is None else after
    return EventSourceResponse(
        tail.events(wanted, start),
        headers={"Last-Event-ID": str(start)},
        ping=keep_alive_seconds,
        sep="\n",
    )
