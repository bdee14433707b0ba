"""Exactly once: the intent before the wire call, evidence before any second send, the same order id on it.

The gateway refuses an order id that it has seen (error 103), so even a send that should not have been is one
order. What a crash at each step leaves:

- before the intent: nothing was sent; the next call starts over;
- after the intent, sent or not: the intent says SENDING; the next call looks for the order at the broker;
- after the send, before the answer: the same; what the broker says meanwhile is in the inbox.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.halting import Halting
from oms.gateways.ibkr.books import UNSETTLED, Books, Change, answer
from oms.gateways.ibkr.contracts import Contracts, UnknownContract
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound, Watch
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.orders import UnsupportedOrder, order_of
from oms.gateways.ibkr.pacing import Urgency
from oms.gateways.ibkr.reading import Record
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.gateways.ibkr.translating import record_of
from oms.gateways.ibkr.wire import Wire
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
_SENT = Record(status=PlacementStatus.SENT)
_UNKNOWN = "nothing is known of it at the broker"
_INTERRUPTED = "it was being sent when the gateway stopped"


class Placing:
    """Places tickets and knows which of them are on their way right now."""

    def __init__(
        self,
        settings: IBKRSettings,
        wire: Wire,
        gate: Gate,
        books: Books,
        inbound: Inbound,
        sweeps: Sweeps,
        contracts: Contracts,
        locks: Locks,
        halting: Halting,
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._wire = wire
        self._gate = gate
        self._books = books
        self._inbound = inbound
        self._sweeps = sweeps
        self._contracts = contracts
        self._locks = locks
        self._halting = halting
        self._clock = clock
        self._flights: dict[str, asyncio.Task[VenueAnswer]] = {}

    @property
    def in_flight(self) -> frozenset[str]:
        """The placements whose call is still running here: nobody else judges them."""
        return frozenset(self._flights)

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Work the placement at the broker and answer the first word about it.

        Running twice, at once or after a crash, is one order: callers in this process share one flight, and
        a later one finds the intent and looks for the order before it sends anything. No answer in time or a
        broken connection is IN_DOUBT, never REJECTED. Raises GatewayNotReady: nothing was sent by this call.
        """
        return await self._join(ticket.placement_id, lambda: self._place(ticket))

    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """What the venue knows of the placement; no fact where it was never sent.

        Asking sends nothing and may run any number of times. Raises GatewayNotReady.
        """
        flight = self._flights.get(ticket.placement_id)
        if flight is not None:
            return await asyncio.shield(flight)
        intent = await self._books.get(ticket.placement_id)
        if intent is None:
            return VenueAnswer()
        if intent.state in (IntentState.DONE, IntentState.WITHDRAWN):
            return answer(intent)
        self._gate.require_open()
        intent, known = await self.look_twice(intent)
        return answer(intent if known else await self._books.doubt(intent, _UNKNOWN))

    async def look_twice(self, intent: Intent) -> tuple[Intent, bool]:
        """Look for the order in the broker's lists, twice with a pause; says whether the broker knows it.

        Raises GatewayNotReady where the lists did not come: then nothing follows.
        """
        for pause in (0.0, self._settings.grace_seconds):
            with self._inbound.watch(intent.placement_id) as watch:
                await watch.until(_sighted(watch), pause)
                await self._sweeps.fresh()
            intent = await self._books.get(intent.placement_id) or intent
            if watch.sighted or intent.state in (IntentState.DONE, IntentState.WITHDRAWN):
                return intent, True
        return intent, False

    async def stop(self) -> None:
        """Let what is in the air hear its first word; what hears none is left to the next process, whose
        intents say that it was being sent."""
        flights = list(self._flights.values())
        if flights:
            await asyncio.wait(flights, timeout=self._settings.acknowledge_seconds)
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    # One flight per placement

    async def _join(self, placement_id: str, start: Callable[[], Awaitable[VenueAnswer]]) -> VenueAnswer:
        flight = self._flights.get(placement_id)
        if flight is None:
            flight = asyncio.create_task(_of(start))
            self._flights[placement_id] = flight
            flight.add_done_callback(lambda done: self._landed(placement_id, done))
        try:
            # A caller that gives up does not take the order out of the air.
            return await asyncio.shield(flight)
        except asyncio.CancelledError:
            if flight.cancelled():
                raise GatewayNotReady(
                    "the gateway stopped before the order was known at the broker"
                ) from None
            raise

    def _landed(self, placement_id: str, flight: asyncio.Task[VenueAnswer]) -> None:
        self._flights.pop(placement_id, None)
        if not flight.cancelled() and flight.exception() is not None:
            LOG.info("ibkr.not_placed", placement_id=placement_id, reason=str(flight.exception()))

    async def _place(self, ticket: PlacementTicket) -> VenueAnswer:
        intent = await self._books.get(ticket.placement_id)
        return await (self._again(intent) if intent else self._first(ticket))

    async def _first(self, ticket: PlacementTicket) -> VenueAnswer:
        self._gate.require_open()
        try:
            self._check_account(ticket)
            order_of(ticket, 0)
            await self._contracts.qualified(ticket.instrument)
        except (UnknownContract, UnsupportedOrder) as refusal:
            return await self._refuse(ticket, str(refusal))
        await self._turn()
        # Looked at after the wait for a turn, which may be long, and before there is an intent.
        halted = await self._halting.reason(ticket)
        if halted is not None:
            return await self._refuse(ticket, halted)
        return await self._send(ticket, None)

    async def _again(self, intent: Intent) -> VenueAnswer:
        """A placement that was begun before: by a call that was repeated, or by a process that died."""
        if intent.state not in UNSETTLED:
            return answer(intent)
        self._gate.require_open()
        halted = await self._halting.reason(intent.ticket)
        intent = await self._books.doubt(intent, f"{_INTERRUPTED}; {halted}" if halted else _INTERRUPTED)
        intent, known = await self.look_twice(intent)
        if known or intent.state is not IntentState.IN_DOUBT or record_of(intent).seen:
            return answer(intent)
        if not self._is_listed_today(intent):
            LOG.error("ibkr.alarm.needs_a_person", placement_id=intent.placement_id)
            return answer(intent)
        await self._contracts.qualified(intent.ticket.instrument)
        await self._turn()
        halted = await self._halting.reason(intent.ticket)
        if halted is not None:
            return answer(await self._hold(intent, halted))
        LOG.warning("ibkr.sent_again", placement_id=intent.placement_id, order_id=intent.broker_order_id)
        return await self._send(intent.ticket, intent)

    async def _send(self, ticket: PlacementTicket, before: Intent | None) -> VenueAnswer:
        """Write the order and wait for the first word. `before` is the intent in doubt of a second send."""
        contract = await self._contracts.qualified(ticket.instrument)
        with self._inbound.watch(ticket.placement_id) as watch:
            async with self._locks.of(ticket.placement_id):
                if before is None:
                    high = self._wire.next_order_id
                    intent, mine = await self._books.open(ticket, IntentState.SENDING, _SENT, high)
                else:
                    intent = await self._books.get(ticket.placement_id) or before
                    mine = intent.state is IntentState.IN_DOUBT and not record_of(intent).seen
                if mine:
                    self._gate.require_open()
                    self._wire.place(
                        intent.broker_order_id, contract, order_of(ticket, intent.broker_order_id)
                    )
            return await self._acknowledged(intent, watch) if mine else await self._again(intent)

    async def _acknowledged(self, intent: Intent, watch: Watch) -> VenueAnswer:
        seconds = self._settings.acknowledge_seconds
        await watch.until(lambda: bool(watch.facts) or not self._wire.is_connected, seconds)
        intent = await self._books.get(intent.placement_id) or intent
        if intent.state is IntentState.SENDING:
            lost = not self._wire.is_connected
            reason = "the connection broke before an answer" if lost else f"no answer within {seconds:g} s"
            intent = await self._books.doubt(intent, reason)
        elif intent.state is IntentState.IN_DOUBT and record_of(intent).seen:
            intent, _ = await self.look_twice(intent)
        return answer(intent)

    # What it takes

    def _check_account(self, ticket: PlacementTicket) -> None:
        allowed = self._settings.accounts or self._wire.accounts
        if ticket.account not in allowed:
            raise UnsupportedOrder(f"account {ticket.account} is not traded by gateway {self._settings.name}")

    async def _refuse(self, ticket: PlacementTicket, reason: str) -> VenueAnswer:
        """Rejected without being sent, and kept, so that it stays rejected."""
        record = Record(status=PlacementStatus.REJECTED, reason=reason)
        intent, mine = await self._books.open(ticket, IntentState.DONE, record)
        if mine or record_of(intent) == record:
            fact = answer(intent).facts[0]
            await self._inbound.tell(
                ticket.order_id, ticket.placement_id, f"refused/{ticket.placement_id}", fact
            )
        return answer(intent)

    async def _hold(self, intent: Intent, reason: str) -> Intent:
        """Keep a placement in doubt that would be sent again, and say why it is not."""
        LOG.error("ibkr.alarm.needs_a_person", placement_id=intent.placement_id, reason=reason)

        def held(current: Intent, record: Record) -> Change | None:
            if current.state is not IntentState.IN_DOUBT or record.seen or reason in (record.reason or ""):
                return None
            number = record.doubts + 1
            told = f"{_UNKNOWN}; {reason}"
            update = {"status": PlacementStatus.IN_DOUBT, "reason": told, "doubts": number}
            return Change(f"doubt-{number}", IntentState.IN_DOUBT, record.model_copy(update=update))

        return await self._books.change(intent.placement_id, held) or intent

    async def _turn(self) -> None:
        await self._wire.pacer.turn(Urgency.PLACE)
        self._gate.require_open()

    def _is_listed_today(self, intent: Intent) -> bool:
        """The broker lists completed orders and executions of the current day only."""
        zone = ZoneInfo(self._settings.timezone)
        days = [datetime.fromtimestamp(ns / 1e9, zone).date() for ns in (intent.created_ns, self._clock())]
        return days[0] == days[1]


def _sighted(watch: Watch) -> Callable[[], bool]:
    return lambda: watch.sighted


async def _of(start: Callable[[], Awaitable[VenueAnswer]]) -> VenueAnswer:
    try:
        return await start()
    except UnknownContract as error:
        raise GatewayNotReady(f"IBKR no longer describes the instrument: {error}") from error
