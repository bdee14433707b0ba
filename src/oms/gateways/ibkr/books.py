"""The intents as the session uses them: asynchronous, changed under one lock with the inbound writer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import structlog

from oms.domain.facts import Fact, PlacementReported, Rounding, TermsRounded
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.records import Record, Revision, record_of
from oms.gateways.ibkr.settings import IBKRSettings
from oms.store import Intent, IntentState, Store

LOG = structlog.get_logger()
UNSETTLED = (IntentState.SENDING, IntentState.IN_DOUBT)


class Change(NamedTuple):
    """What becomes of an intent, and the key under which its order is told."""

    key: str
    state: IntentState
    record: Record


class Revised(NamedTuple):
    """What becomes of the change of an intent: `facts` with the keys under which its order is told."""

    facts: tuple[tuple[str, Fact], ...]
    record: Record
    ticket: PlacementTicket | None = None


Decide = Callable[[Intent, Record], Change | None]


class Books:
    """Each method is one step that a crash may follow; each may be repeated."""

    def __init__(
        self, store: Store, settings: IBKRSettings, inbound: Inbound, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._settings = settings
        self._inbound = inbound
        self._clock = clock

    async def get(self, placement_id: str) -> Intent | None:
        """The intent, with every change that anybody has been told of: orders hear of a change before it is made."""
        async with self._inbound.books:
            return await self._read(placement_id)

    async def _read(self, placement_id: str) -> Intent | None:
        return await asyncio.to_thread(self._store.intents.get, placement_id)

    async def unsettled(self) -> list[Intent]:
        """The intents of which the broker may or may not know: sent, or once acknowledged and not over."""
        states = (IntentState.SENDING, IntentState.ACKNOWLEDGED, IntentState.IN_DOUBT)
        return await asyncio.to_thread(self._in_state, *states)

    def _in_state(self, *states: IntentState) -> list[Intent]:
        return self._store.intents.in_state(self._settings.client_id, *states, gateway=self._settings.name)

    async def queued(self) -> list[Intent]:
        """The intents that wait for others before they are sent, oldest first."""
        return await asyncio.to_thread(self._in_state, IntentState.QUEUED)

    async def open(
        self, ticket: PlacementTicket, state: IntentState, record: Record, at_least: int = 1
    ) -> tuple[Intent, bool]:
        """The placement's intent, and whether this call wrote it. The order id is never given to another.

        Only one that is about to be sent gets a number that the broker may name. What was rounded is told before this returns, and nobody else gets an order id meanwhile: ids go out
        in the order in which they are given.
        """
        async with self._inbound.books:
            intent, mine = await asyncio.to_thread(self._open, ticket, state, record, at_least)
            if mine:
                await self.tell_roundings(intent, record.roundings, 0, intent.created_ns)
            return intent, mine

    async def tell_roundings(
        self, intent: Intent, roundings: tuple[Rounding, ...], revision: int, at_ns: int
    ) -> None:
        """Let the order know which prices are not as they were asked; twice is once."""
        if not roundings:
            return
        placement_id = intent.placement_id
        fact = TermsRounded(
            placement_id=placement_id,
            revision=revision,
            roundings=roundings,
            ts_event_ns=at_ns,
            ts_init_ns=at_ns,
        )
        await self._inbound.tell(intent.order_id, placement_id, f"rounded/{placement_id}/{revision}", fact)

    async def together(
        self, make: Callable[[list[int]], list[Intent]], ids: int = 0, at_least: int = 1
    ) -> list[Intent] | None:
        """Move queued intents to what `make` makes of them, all of them or none: None where one is queued no more.

        `make` gets as many new order ids as `ids`: what is queued was never sent.
        """
        async with self._inbound.books:
            return await asyncio.to_thread(self._together, make, ids, at_least)

    def _together(
        self, make: Callable[[list[int]], list[Intent]], ids: int, at_least: int
    ) -> list[Intent] | None:
        moved = make([self._next_id(at_least) for _ in range(ids)])
        return moved if self._store.intents.move_together(moved, IntentState.QUEUED) else None

    async def take_back(
        self, intents: Sequence[Intent], state: IntentState, update: Mapping[str, object]
    ) -> list[Intent] | None:
        """Let intents that were being sent be in `state`, where it is known that nothing of them was written.

        All of them, or none (None) where one has moved on: then the rules of doubt hold. They get numbers that the
        broker never names. Nobody is told.
        """
        before = intents[0].state
        names = [intent.placement_id for intent in intents]
        async with self._inbound.books:
            current = [one for name in names if (one := await self._read(name)) is not None]
            return await asyncio.to_thread(self._take_back, current, before, state, update)

    def _take_back(
        self,
        intents: list[Intent],
        before: IntentState,
        state: IntentState,
        update: Mapping[str, object],
    ) -> list[Intent] | None:
        moved = []
        for intent in intents:
            detail = record_of(intent).model_copy(update={**update, "unwritten": False}).model_dump_json()
            kept = {"state": state, "broker_order_id": -self._next_id(1), "detail": detail}
            moved.append(intent.model_copy(update={**kept, "updated_ns": self._clock()}))
        return moved if self._store.intents.move_together(moved, before) else None

    async def note(self, placement_id: str, *, unwritten: bool) -> Intent | None:
        """Keep whether it is known that nothing of a placement was written, unless the broker has seen it."""
        async with self._inbound.books:
            intent = await self._read(placement_id)
            record = record_of(intent) if intent else None
            if intent is None or record is None or intent.state not in UNSETTLED or record.seen:
                return intent
            detail = record.model_copy(update={"unwritten": unwritten}).model_dump_json()
            return await asyncio.to_thread(lambda: self._store.intents.update(placement_id, detail=detail))

    def _next_id(self, at_least: int) -> int:
        return self._store.intents.next_broker_order_id(self._settings.order_ids_key, at_least)

    def _open(
        self, ticket: PlacementTicket, state: IntentState, record: Record, at_least: int
    ) -> tuple[Intent, bool]:
        found = self._store.intents.get(ticket.placement_id)
        if found is not None:
            return found, False
        now = self._clock()
        intent = Intent(
            placement_id=ticket.placement_id,
            order_id=ticket.order_id,
            gateway=self._settings.name,
            client_id=self._settings.client_id,
            broker_order_id=self._next_id(at_least) if state is IntentState.SENDING else -self._next_id(1),
            order_ref=ticket.order_ref,
            account=ticket.account,
            state=state,
            ticket=ticket,
            created_ns=now,
            updated_ns=now,
            detail=record.model_dump_json(),
        )
        return self._store.intents.open(intent)

    async def change(self, placement_id: str, decide: Decide) -> Intent | None:
        """Tell the order what `decide` makes of the intent as it is now, and move it, in one piece.

        The order is told first and once per key; a crash before the intent moves tells it again, as nothing new.
        """
        async with self._inbound.books:
            intent = await self._read(placement_id)
            change = decide(intent, record_of(intent)) if intent else None
            if intent is None or change is None:
                return intent
            fact = reported(intent.model_copy(update={"updated_ns": self._clock()}), change.record)
            await self._inbound.tell(intent.order_id, placement_id, f"{change.key}/{placement_id}", fact)
            detail = change.record.model_dump_json()
            return await asyncio.to_thread(
                lambda: self._store.intents.update(placement_id, state=change.state, detail=detail)
            )

    async def begin(
        self, placement_id: str, decide: Callable[[Intent, Record], Revision | None]
    ) -> tuple[Intent | None, bool]:
        """Write a change into the intent before it is sent, and tell what was rounded. Says whether it was written."""
        async with self._inbound.books:
            intent = await self._read(placement_id)
            revision = decide(intent, record_of(intent)) if intent else None
            if intent is None or revision is None:
                return intent, False
            detail = record_of(intent).model_copy(update={"revision": revision}).model_dump_json()
            intent = await asyncio.to_thread(lambda: self._store.intents.update(placement_id, detail=detail))
            await self.tell_roundings(intent, revision.roundings, revision.number, revision.at_ns)
            return intent, True

    async def revise(
        self, placement_id: str, decide: Callable[[Intent, Record], Revised | None]
    ) -> Intent | None:
        """Tell the order what `decide` makes of the intent's change as it is now, and keep it, in one piece."""
        async with self._inbound.books:
            intent = await self._read(placement_id)
            revised = decide(intent, record_of(intent)) if intent else None
            if intent is None or revised is None:
                return intent
            for key, fact in revised.facts:
                await self._inbound.tell(intent.order_id, placement_id, key, fact)
            detail = revised.record.model_dump_json()
            return await asyncio.to_thread(
                lambda: self._store.intents.update(placement_id, detail=detail, ticket=revised.ticket)
            )

    async def doubt(self, intent: Intent, reason: str) -> Intent:
        """Nobody knows whether the broker has the order: IN_DOUBT, and the order is told. News that came
        meanwhile stands."""

        def doubted(current: Intent, record: Record) -> Change | None:
            if current.state is not intent.state or current.state is IntentState.IN_DOUBT:
                return None
            LOG.warning("ibkr.alarm.in_doubt", placement_id=intent.placement_id, reason=reason)
            number = record.doubts + 1
            update = {"status": PlacementStatus.IN_DOUBT, "reason": reason, "doubts": number}
            return Change(f"doubt-{number}", IntentState.IN_DOUBT, record.model_copy(update=update))

        return await self.change(intent.placement_id, doubted) or intent


def reported(intent: Intent, record: Record) -> PlacementReported:
    """What is known of a placement, as a fact."""
    return PlacementReported(
        placement_id=intent.placement_id,
        status=record.status,
        filled_quantity=record.filled,
        venue_order_ids=tuple(str(perm_id) for perm_id in intent.perm_ids),
        reason=record.reason,
        ts_event_ns=intent.updated_ns,
        ts_init_ns=intent.updated_ns,
    )


def answer(intent: Intent) -> VenueAnswer:
    """The answer of a call about a placement: the same for every call until the venue says something new."""
    return VenueAnswer(facts=(reported(intent, record_of(intent)),))
