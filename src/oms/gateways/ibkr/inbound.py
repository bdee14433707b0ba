"""From callbacks to the inbox: a callback enqueues, one writer commits in a thread, then whoever waits is told."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeGuard

import structlog

from oms.domain.facts import Executed, Fact
from oms.domain.terms import PlacementStatus
from oms.gateways.ibkr.bookkeeping import Bookkeeping
from oms.gateways.ibkr.error_codes import ends_a_wait_for_text
from oms.gateways.ibkr.messages import ErrorShown, Message, OrderShown, StatusShown
from oms.gateways.ibkr.reading import STATUS, is_held
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.translating import FollowUp, Heard, Translator
from oms.store import InboxMessage, LeaseLost, Store

LOG = structlog.get_logger()
_TEXT_SECONDS = 0.25
"""How long an Inactive or Cancelled waits for the error that says why."""
_RETRY_SECONDS = 0.5
_BATCH = 500
_LIVE = frozenset({PlacementStatus.SENT, PlacementStatus.WORKING})


class Watch:
    """What is heard about one placement while somebody watches, committed facts only."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.sighted = False
        self._news = asyncio.Event()

    def hear(self, fact: Fact | None, *, from_venue: bool) -> None:
        """What we say ourselves is no sign that the venue knows the order."""
        self.sighted = self.sighted or from_venue
        if fact is not None:
            self.facts.append(fact)
        self._news.set()

    def wake(self) -> None:
        self._news.set()

    async def until(self, enough: Callable[[], bool], seconds: float) -> bool:
        """Wait until `enough()` after some news, at most `seconds`. Says whether it came to that."""
        try:
            async with asyncio.timeout(seconds):
                while not enough():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return enough()
        return True


@dataclass
class Sightings:
    """What was heard meanwhile: the placements of which anything was, and how many executions were new here.

    shown: those of which the order itself was shown. An execution is told all day, whatever has become of its order.
    """

    placements: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    executions: int = 0


class Inbound:
    """The only writer of inbound facts.

    `books` is held by whoever changes an intent; `failures` counts writes that the store refused. `on_superseded`
    is called where another process has acted as this one: what was heard until then is the other's to tell.
    """

    def __init__(
        self, store: Store, settings: IBKRSettings, translator: Translator, on_inbox: Callable[[], None]
    ) -> None:
        self._store = store
        self._settings = settings
        self._translator = translator
        self._on_inbox = on_inbox
        self._queue: list[Message] = []
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._explained: dict[int, tuple[StatusShown, asyncio.TimerHandle]] = {}
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._sightings: list[Sightings] = []
        self.books = Bookkeeping()
        self.failures = 0
        self.on_follow_up: Callable[[FollowUp], None] = lambda _: None
        self.on_superseded: Callable[[str], None] = lambda _: None

    # From the callbacks: never waits

    def receive(self, message: Message) -> None:
        """Take one message. Called inside the library's read loop, so it only enqueues."""
        if isinstance(message, StatusShown) and self._is_unexplained(message):
            self._explain_later(message)
            return
        if self._is_later_word(message):
            self._explain(message.order_id, None)
        if isinstance(message, ErrorShown) and ends_a_wait_for_text(message.code):
            self._explain(message.order_id, f"{message.code}: {message.text}")
        self._enqueue(message)

    def lost(self) -> None:
        """The connection is gone: nothing explains any more, and nobody need wait for an answer."""
        for order_id in list(self._explained):
            self._explain(order_id, None)
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()

    def _enqueue(self, message: Message) -> None:
        self._queue.append(message)
        self._idle.clear()
        self._news.set()

    def _explain_later(self, message: StatusShown) -> None:
        self._explain(message.order_id, None)
        timer = asyncio.get_running_loop().call_later(_TEXT_SECONDS, self._explain, message.order_id, None)
        self._explained[message.order_id] = (message, timer)
        self._idle.clear()

    def _explain(self, order_id: int, text: str | None) -> None:
        waiting = self._explained.pop(order_id, None)
        if waiting is not None:
            message, timer = waiting
            timer.cancel()
            self._enqueue(replace(message, text=text))

    def _is_later_word(self, message: Message) -> TypeGuard[StatusShown | OrderShown]:
        """Whether it says of one of our orders what it has become since: what waits for its text came before that."""
        if not isinstance(message, StatusShown | OrderShown) or message.client_id != self._settings.client_id:
            return False
        return isinstance(message, StatusShown) or STATUS.get(message.status) in _LIVE

    def _is_unexplained(self, message: StatusShown) -> bool:
        if message.client_id != self._settings.client_id or is_held(message.status, message.why_held):
            return False
        return message.status in ("Cancelled", "Inactive")

    # The writer

    async def run(self) -> None:
        """Write until cancelled. A store that fails is tried again; nothing heard is forgotten meanwhile."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._queue:
                batch, self._queue = self._queue[:_BATCH], self._queue[_BATCH:]
                heard = await self._commit(batch)
                if heard is not None:
                    self._told(heard)
            if not self._explained:
                self._idle.set()

    async def _commit(self, batch: list[Message]) -> Heard | None:
        while True:
            try:
                async with self.books:
                    return await asyncio.to_thread(self._translator.hear, batch)
            except LeaseLost as error:
                self._give_up(batch, str(error))
                return None
            except Exception as error:  # noqa: BLE001 - the store is away; it is tried again
                self.failures += 1
                waiting = len(batch) + len(self._queue)
                LOG.error("ibkr.alarm.inbox_not_written", error=repr(error), waiting=waiting)  # noqa: TRY400
                await asyncio.sleep(_RETRY_SECONDS)

    def _give_up(self, batch: list[Message], reason: str) -> None:
        """Write nothing of it over what another process knows by now. The next connection reads every list anew."""
        self.on_superseded(reason)
        dropped, self._queue = len(batch) + len(self._queue), []
        LOG.error("ibkr.alarm.heard_after_the_lease", messages=dropped, reason=reason)

    def _told(self, heard: Heard) -> None:
        if heard.rows:
            self._on_inbox()
        executions = sum(isinstance(row.fact, Executed) for row in heard.rows)
        for seen in self._sightings:
            seen.placements.update(placement_id for placement_id, _ in heard.facts)
            seen.shown |= heard.shown
            seen.executions += executions
        for placement_id, fact in heard.facts:
            for watch in self._watches.get(placement_id, ()):
                watch.hear(fact, from_venue=True)
        for follow_up in heard.follow_ups:
            self.on_follow_up(follow_up)

    async def tell(self, order_id: str, placement_id: str, natural_key: str, fact: Fact) -> None:
        """Put a fact of our own into the inbox: the same key twice is one fact."""
        row = InboxMessage(natural_key=natural_key, order_id=order_id, fact=fact, ts_init_ns=fact.ts_init_ns)
        await asyncio.to_thread(self._store.inbox.add, self._settings.name, [row])
        self._on_inbox()
        for watch in self._watches.get(placement_id, ()):
            watch.hear(fact, from_venue=False)

    # For those who wait

    async def drained(self) -> None:
        """Return when everything heard so far is committed."""
        await self._idle.wait()

    @property
    def waiting(self) -> int:
        return len(self._queue) + len(self._explained)

    @contextmanager
    def watch(self, placement_id: str) -> Iterator[Watch]:
        """Listen to one placement."""
        watch = Watch()
        self._watches[placement_id].add(watch)
        try:
            yield watch
        finally:
            self._watches[placement_id].discard(watch)
            if not self._watches[placement_id]:
                del self._watches[placement_id]

    @contextmanager
    def sightings(self) -> Iterator[Sightings]:
        """What is heard meanwhile."""
        seen = Sightings()
        self._sightings.append(seen)
        try:
            yield seen
        finally:
            self._sightings = [other for other in self._sightings if other is not seen]
