"""Cancels, and what they are answered with. The verdict on a live order arrives as any report does."""

import asyncio
from collections.abc import Callable

import structlog

from oms.domain.facts import CancelRefused, PlacementReported
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.books import UNSETTLED, Books, Change, answer
from oms.gateways.ibkr.families import Families
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.heard import FollowUp, Next
from oms.gateways.ibkr.inbound import Inbound, Watch
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.looking import Looking
from oms.gateways.ibkr.modifying import Modifying
from oms.gateways.ibkr.orphans import Orphans
from oms.gateways.ibkr.pacing import Urgency
from oms.gateways.ibkr.reading import OVER
from oms.gateways.ibkr.records import Record, record_of
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.gateways.ibkr.wire import Wire
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
_WITHDRAWN = Record(status=PlacementStatus.CANCELED, reason="withdrawn before it was sent")
_SETTLED = (IntentState.DONE, IntentState.WITHDRAWN, IntentState.IN_DOUBT)


class Canceling:
    """Cancels placements."""

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        gate: Gate,
        books: Books,
        inbound: Inbound,
        families: Families,
        locks: Locks,
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._gate = gate
        self._books = books
        self._inbound = inbound
        self._families = families
        self._locks = locks

    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        """Cancel the placement; answers what became of it as far as that is known in time.

        Running twice is canceling once. A placement that was never sent is withdrawn and needs no broker; a
        late place finds that and sends nothing, and neither does what waits for it in a bracket. Raises
        GatewayNotReady where the broker must be asked and cannot be.
        """
        placement_id = ticket.placement_id
        async with self._locks.of(placement_id):
            intent, _ = await self._books.open(ticket, IntentState.WITHDRAWN, _WITHDRAWN)
        if ticket.handling.bracket is not None and _is_unsent(intent):
            intent = await self._families.withdraw(ticket) or await self._books.get(placement_id) or intent
        if intent.state is IntentState.WITHDRAWN:
            fact = answer(intent).facts[0]
            await self._inbound.tell(ticket.order_id, placement_id, f"withdrawn/{placement_id}", fact)
        if intent.state in (IntentState.WITHDRAWN, IntentState.DONE):
            return answer(intent)
        if not intent.was_sent:
            # An order that we never sent stands under our reference: it has a number of its own.
            return answer(intent)
        return await self._at_the_broker(intent)

    async def _at_the_broker(self, intent: Intent) -> VenueAnswer:
        self._gate.require_open()
        await self._wire.pacer.turn(Urgency.CANCEL)
        with self._inbound.watch(intent.placement_id) as watch:
            async with self._locks.of(intent.placement_id):
                self._gate.require_open()
                self._wire.cancel(intent.broker_order_id)
            # Long enough for the two looks that follow where the broker does not know the order.
            seconds = self._settings.acknowledge_seconds + self._settings.grace_seconds
            await watch.until(lambda: _is_settled(watch) or not self._wire.is_connected, seconds)
        refused = tuple(fact for fact in watch.facts if isinstance(fact, CancelRefused))
        current = await self._books.get(intent.placement_id) or intent
        known = answer(current).facts if current.state in _SETTLED else ()
        return VenueAnswer(facts=(*known, *refused))


def _is_unsent(intent: Intent) -> bool:
    """Whether its bracket may still wait for it: one that was sent and never arrived ended by another word."""
    withdrawn = intent.state is IntentState.WITHDRAWN and record_of(intent).reason == _WITHDRAWN.reason
    return withdrawn or intent.state is IntentState.QUEUED


def _is_settled(watch: Watch) -> bool:
    return any(
        isinstance(fact, CancelRefused) or (isinstance(fact, PlacementReported) and fact.status in OVER)
        for fact in watch.facts
    )


class Settling:
    """What a message left open, found out at the broker. Losing one of these to a crash loses nothing: the
    next reconciliation, or the caller's next call, asks again."""

    def __init__(
        self,
        wire: Wire,
        books: Books,
        inbound: Inbound,
        sweeps: Sweeps,
        looking: Looking,
        modifying: Modifying,
        orphans: Orphans,
        locks: Locks,
        clock: Callable[[], int],
    ) -> None:
        self._wire = wire
        self._books = books
        self._inbound = inbound
        self._sweeps = sweeps
        self._looking = looking
        self._modifying = modifying
        self._orphans = orphans
        self._locks = locks
        self._clock = clock
        self._running: dict[tuple[Next, str], asyncio.Task[None]] = {}

    def begin(self, follow_up: FollowUp) -> None:
        """Start finding out, unless the same is being found out already."""
        key = (follow_up.what, follow_up.placement_id)
        if key not in self._running:
            task = self._running[key] = asyncio.create_task(self._settle(follow_up))
            task.add_done_callback(lambda _: self._running.pop(key, None))

    def resume(self) -> None:
        """Go on with broken brackets that a process which died has left, unless that is being done already."""
        self.begin(FollowUp(Next.CHILD_REJECTED, "", ""))

    async def stop(self) -> None:
        """Leave what is unfinished to the next process."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, follow_up: FollowUp) -> None:
        steps = {
            Next.LOOK: self._look,
            Next.SETTLE_REJECTION: self._settle_rejection,
            Next.SETTLE_CHANGE: self._modifying.settle,
            Next.SETTLE_CANCEL_REFUSED: self._settle_cancel_refused,
            Next.SETTLE_NOT_FOUND: self._settle_not_found,
            Next.CANCEL_AGAIN: self._cancel_again,
            Next.CHILD_REJECTED: self._child_rejected,
        }
        try:
            if not follow_up.placement_id:
                await self._orphans.resume()
                return
            intent = await self._books.get(follow_up.placement_id)
            if intent is not None:
                await steps[follow_up.what](intent, follow_up.text)
        except GatewayNotReady as error:
            LOG.warning("ibkr.not_settled", placement_id=follow_up.placement_id, reason=error.reason)
        except Exception:
            LOG.exception("ibkr.alarm.not_settled", placement_id=follow_up.placement_id, what=follow_up.what)

    async def _look(self, intent: Intent, text: str) -> None:
        """What nobody foresaw was said. A new order that the lists do not show is in doubt now, not at a deadline."""
        await self._sweeps.fresh()
        current = await self._books.get(intent.placement_id) or intent
        if current.state is IntentState.SENDING:
            await self._books.doubt(current, text)

    async def _settle_rejection(self, intent: Intent, text: str) -> None:
        """A rejection of a second send: final only where the broker has no such order."""
        intent, known = await self._looking.twice(intent)
        if known:
            return

        def rejected(current: Intent, record: Record) -> Change | None:
            if current.state is not IntentState.IN_DOUBT or record.seen:
                return None
            update = {"status": PlacementStatus.REJECTED, "reason": text}
            return Change("rejected", IntentState.DONE, record.model_copy(update=update))

        intent = await self._books.change(intent.placement_id, rejected) or intent
        await self._orphans.settle(intent)

    async def _settle_cancel_refused(self, intent: Intent, text: str) -> None:
        await self._sweeps.fresh()
        intent = await self._books.get(intent.placement_id) or intent
        if intent.state in (IntentState.DONE, IntentState.WITHDRAWN) or "PendingCancel" in text:
            return
        now = self._clock()
        fact = CancelRefused(placement_id=intent.placement_id, reason=text, ts_event_ns=now, ts_init_ns=now)
        key = f"cancel-refused/{intent.placement_id}/{now}"
        await self._inbound.tell(intent.order_id, intent.placement_id, key, fact)

    async def _settle_not_found(self, intent: Intent, text: str) -> None:
        """The broker knows no such id. One that it never acknowledged was never there: withdrawn for good."""
        intent, known = await self._looking.twice(intent)
        if known:
            return
        if intent.state is IntentState.ACKNOWLEDGED:
            await self._books.doubt(intent, text)
            return

        def withdrawn(current: Intent, record: Record) -> Change | None:
            if current.state not in UNSETTLED or record.seen:
                return None
            reason = f"{record.doomed or 'it never reached the broker'} ({text})"
            update = {"status": PlacementStatus.CANCELED, "reason": reason}
            return Change("not-found", IntentState.WITHDRAWN, record.model_copy(update=update))

        async with self._locks.of(intent.placement_id):
            await self._books.change(intent.placement_id, withdrawn)

    async def _child_rejected(self, intent: Intent, _text: str) -> None:
        await self._orphans.settle(intent)

    async def _cancel_again(self, intent: Intent, _text: str) -> None:
        if not intent.was_sent:
            return
        await self._wire.pacer.turn(Urgency.CANCEL)
        self._wire.cancel(intent.broker_order_id)
