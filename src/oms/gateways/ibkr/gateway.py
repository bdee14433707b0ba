"""One IBKR session, put together."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from oms.domain.reference import InstrumentQuestion, InstrumentsFound
from oms.domain.terms import Venue
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.halting import Halting
from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.canceling import Canceling, Settling
from oms.gateways.ibkr.contracts import Contracts
from oms.gateways.ibkr.delivery import Deliver, Delivery
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.messages import ErrorShown, Message
from oms.gateways.ibkr.placing import Placing
from oms.gateways.ibkr.reconciling import Reconciling
from oms.gateways.ibkr.session import Session
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sweeps import Sweeps
from oms.gateways.ibkr.translating import Translator
from oms.gateways.ibkr.wire import Wire
from oms.store import GatewayReport, InboxStatus, IntentState, Store

LOG = structlog.get_logger()
_REPORT_SECONDS = 1.0
_DRAIN_SECONDS = 5.0


class IBKRGateway:
    """The live session with one IB Gateway.

    `deliver` hands facts to an order: True delivered, False where no such order runs, an exception to be asked
    again. It may be called twice with the same facts. Make and start it inside a running event loop.
    """

    def __init__(
        self,
        settings: IBKRSettings,
        store: Store,
        deliver: Deliver,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.settings = settings
        self._store = store
        self._clock = clock
        self._gate = Gate("the session has not started")
        self._delivery = Delivery(store, settings.name, deliver)
        self._inbound = Inbound(store, settings, Translator(store, settings), self._delivery.wake)
        self._wire = Wire(settings, self._receive, self._lost, clock)
        books = Books(store, settings, self._inbound, clock)
        locks = Locks()
        sweeps = Sweeps(self._wire, self._inbound)
        self._contracts = Contracts(self._wire.contract_details)
        self._placing = Placing(
            settings,
            self._wire,
            self._gate,
            books,
            self._inbound,
            sweeps,
            self._contracts,
            locks,
            Halting(store),
            clock,
        )
        self._canceling = Canceling(settings, self._wire, self._gate, books, self._inbound, locks)
        self._settling = Settling(self._wire, books, self._inbound, sweeps, self._placing, locks, clock)
        self._inbound.on_follow_up = self._settling.begin
        reconciling = Reconciling(settings, books, sweeps, self._placing)
        self._session = Session(settings, self._wire, self._gate, self._inbound, reconciling, store)
        self._tasks: list[asyncio.Task[None]] = []

    # Life

    async def start(self) -> None:
        """Begin: take the lease, connect, reconcile, deliver. Returns at once; `ready` waits for the gate."""
        for step in (
            self._inbound.run(),
            self._delivery.run(),
            self._session.hold_lease(),
            self._session.run(),
            self._reports(),
        ):
            self._tasks.append(asyncio.create_task(self._kept_running(step)))

    async def stop(self) -> None:
        """Disconnect, commit what was heard, give the lease back. Stopping twice is stopping once.

        What was not delivered stays in the inbox for the next process.
        """
        if not self._tasks:
            return
        writing, *others = self._tasks
        self._tasks = []
        self._gate.close("stopping", "the gateway is stopping")
        await self._placing.stop()
        await self._settling.stop()
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self._inbound.drained()
        except TimeoutError:
            LOG.error("ibkr.alarm.stopped_with_unwritten_messages", messages=self._inbound.waiting)  # noqa: TRY400 - an alarm is one line
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await self._session.give_back_lease()
        await asyncio.to_thread(self._store.gateways.report, await self.status())

    async def ready(self) -> None:
        """Return when orders can be placed."""
        await self._gate.opened()

    # What workflows ask

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Work the placement, exactly once however often this runs. Raises GatewayNotReady: nothing was sent."""
        return await self._placing.place(ticket)

    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        """Cancel the placement, sent or not; twice is once. Raises GatewayNotReady: nothing was sent."""
        return await self._canceling.cancel(ticket)

    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """What the venue knows of the placement; asking changes nothing. Raises GatewayNotReady."""
        return await self._placing.ask(ticket)

    async def describe(self, question: InstrumentQuestion) -> InstrumentsFound:
        """The instruments IBKR knows under a question. Reads only. Raises GatewayNotReady."""
        return await self._contracts.described(question)

    async def reconcile(self) -> None:
        """Compare with the broker now; returns when that is done."""
        await self._session.reconcile()

    # How it is

    async def status(self) -> GatewayReport:
        """The session as it is now. `queue` counts facts that no order has yet."""
        return await asyncio.to_thread(self._status)

    def _status(self) -> GatewayReport:
        name = self.settings.name
        doubtful = self._store.intents.in_state(self.settings.client_id, IntentState.IN_DOUBT, gateway=name)
        return GatewayReport(
            name=name,
            venue=Venue.IBKR,
            accounts=self.settings.accounts or self._wire.accounts,
            connected=self._wire.is_connected,
            gate_open=self._gate.is_open,
            detail=self._gate.reason,
            in_doubt=len(doubtful),
            queue=self._store.inbox.counts(name)[InboxStatus.NEW],
            oldest_undelivered_ns=self._store.inbox.oldest_undelivered_ns(name),
            updated_ns=self._clock(),
        )

    async def _reports(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._store.gateways.report, await self.status())
            except Exception as error:  # noqa: BLE001 - the store is away; it is tried again
                LOG.error("ibkr.alarm.not_reported", error=repr(error))  # noqa: TRY400 - one line
            await self._gate.changed(_REPORT_SECONDS)

    async def _kept_running(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except Exception as error:
            LOG.exception("ibkr.alarm.gateway_stopped")
            self._gate.close("defect", f"the gateway has stopped: {error!r}")
            raise

    # From the library's callbacks: enqueue and return

    def _receive(self, message: Message) -> None:
        if isinstance(message, ErrorShown) and not self._wire.is_order_id(message.order_id):
            self._session.hear(message)
        else:
            self._inbound.receive(message)

    def _lost(self) -> None:
        self._session.lost()
