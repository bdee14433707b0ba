"""One IBKR session, put together."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from oms.domain.commands import SYSTEM
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.programs.targets import AccountRead
from oms.domain.reference import InstrumentQuestion, InstrumentsFound
from oms.domain.venues import PlacementTicket, Resynced, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.halting import Halting
from oms.gateways.ibkr.accounts import Accounts
from oms.gateways.ibkr.books import Books
from oms.gateways.ibkr.contracts import Contracts
from oms.gateways.ibkr.delivery import Deliver, Delivery
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.identity import Identity
from oms.gateways.ibkr.inbound import Inbound
from oms.gateways.ibkr.messages import ErrorShown, Message
from oms.gateways.ibkr.ordering import Ordering
from oms.gateways.ibkr.positions import Positions
from oms.gateways.ibkr.quarantine import close_unlisted
from oms.gateways.ibkr.reconciling import Reconciling
from oms.gateways.ibkr.reporting import Reporting
from oms.gateways.ibkr.rounds import Rounds
from oms.gateways.ibkr.session import Session
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.sides import Sides
from oms.gateways.ibkr.sweeps import Sweeps
from oms.gateways.ibkr.tenure import Tenure
from oms.gateways.ibkr.translating import Translator
from oms.gateways.ibkr.wire import Wire
from oms.store import GatewayReport, Store

LOG = structlog.get_logger()
_DRAIN_SECONDS = 5.0
_RESYNC_SECONDS = 25.0


class IBKRGateway:
    """The live session with one IB Gateway.

    `deliver` hands facts to an order: True delivered, False where no such order runs, an exception to be asked
    again. It may be called twice with the same facts. Make and start it inside a running event loop. `failed` has an
    exception when the gateway has stopped by a defect: the process is of no more use.
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
        self._wire = Wire(settings, self._receive, self._lost, clock, self._gate.require_lease)
        self._tenure = Tenure(settings, store, self._gate, self._wanted, self._lost)
        self._inbound.books.fence = self._tenure.fence
        self._inbound.on_superseded = self._tenure.superseded
        self._identity = Identity(settings, store, self._wire, self._gate)
        books = Books(store, settings, self._inbound, clock)
        sweeps = Sweeps(self._wire, self._inbound, self._swept, clock)
        self._contracts = Contracts(self._wire.contract_details, self._wire.market_rule)
        self._ordering = Ordering(
            settings,
            self._wire,
            self._gate,
            books,
            self._inbound,
            sweeps,
            self._contracts,
            Halting(store),
            clock,
        )
        self._inbound.on_follow_up = self._ordering.settle
        sides = Sides(self._wire, self._inbound, store, self._compared, clock)
        self._positions = Positions(settings, sides, store, self._compared, clock)
        self._accounts = Accounts(settings, self._wire, self._gate, sides, store, self._compared)
        reconciling = Reconciling(
            settings, books, sweeps, lambda: self._ordering.in_flight, self._ordering.resume
        )
        self._rounds = Rounds(settings, self._gate, self._identity, reconciling, self._positions, clock)
        self._session = Session(
            settings, self._wire, self._gate, self._inbound, self._rounds, self._tenure, clock
        )
        self._reporting = Reporting(
            settings,
            store,
            self._gate,
            self._wire,
            self._tenure,
            self._session,
            self._rounds,
            self._positions,
            clock,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # Life

    async def start(self) -> None:
        """Begin: take the lease, connect, reconcile, deliver. Returns at once; `ready` waits for the gate."""
        for step in (
            self._inbound.run(),
            self._deliver_as_leader(),
            self._tenure.hold(),
            self._session.run(),
            self._rounds.keep_time(),
            self._reporting.run(),
        ):
            self._tasks.append(asyncio.create_task(self._kept_running(step)))

    async def stop(self) -> None:
        """Disconnect, commit what was heard, give the lease back. Stopping twice is stopping once.

        What was not delivered stays in the inbox for the next process.
        """
        if self._stopping is None and self._tasks:
            self._stopping = asyncio.create_task(self._stop())
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        try:
            await self._end()
        finally:
            await self._tenure.give_back()

    async def _end(self) -> None:
        writing, *others = self._tasks
        self._tasks = []
        led = self._tenure.held.is_set()
        self._gate.close("stopping", "the gateway is stopping")
        await self._ordering.stop()
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
        if led:
            await self._reporting.report_the_end()

    async def ready(self) -> None:
        """Return when orders can be placed."""
        await self._gate.opened()

    @property
    def served(self) -> frozenset[str]:
        """The accounts whose orders this process takes now: none while it is a standby."""
        return self._tenure.served

    async def served_changed(self) -> None:
        """Return when `served` may have changed since the last call."""
        await self._tenure.changed()

    # What workflows ask

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Work the placement, exactly once however often this runs. Raises GatewayNotReady: nothing was sent."""
        await self._require_ours(ticket)
        return await self._ordering.place(ticket)

    async def modify(self, ticket: PlacementTicket) -> VenueAnswer:
        """Change the placement to the ticket's terms; twice is once. Raises GatewayNotReady: nothing was sent."""
        await self._require_ours(ticket)
        return await self._ordering.modify(ticket)

    async def cancel(self, ticket: PlacementTicket) -> VenueAnswer:
        """Cancel the placement, sent or not; twice is once. Raises GatewayNotReady: nothing was sent."""
        await self._require_ours(ticket)
        return await self._ordering.cancel(ticket)

    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """What the venue knows of the placement; asking changes nothing. Raises GatewayNotReady."""
        await self._require_ours(ticket)
        return await self._ordering.ask(ticket)

    async def describe(self, question: InstrumentQuestion) -> InstrumentsFound:
        """The instruments IBKR knows under a question. Reads only. Raises GatewayNotReady."""
        return await self._contracts.described(question)

    async def read_account(self, account: str) -> AccountRead:
        """What the broker holds in its account and what that is worth. Reads only; many at once are one question.

        Raises GatewayNotReady: then nothing is known, and nothing is zero.
        """
        return await self._accounts.read(account)

    async def reconcile(self) -> None:
        """Compare with the broker now; returns when that is done."""
        await self._rounds.wanted()

    async def resync(self) -> Resynced:
        """Read the broker's lists and positions now. Raises GatewayNotReady where that cannot be done in time."""
        if not self._wire.is_connected:
            raise GatewayNotReady(self._gate.reason or "not connected")
        try:
            async with asyncio.timeout(_RESYNC_SECONDS):
                differences = await self._rounds.compared()
        except TimeoutError as error:
            why = self._gate.reason or self._rounds.trouble or "the broker's lists take long"
            raise GatewayNotReady(f"the resync has not ended after {_RESYNC_SECONDS:g} s: {why}") from error
        status = await self.status()
        done = Resynced(
            name=self.settings.name,
            reconciled_ns=status.reconciled_ns or self._clock(),
            unsettled=status.in_doubt,
            foreign_orders=status.foreign_orders,
            differences=differences,
        )
        await asyncio.to_thread(self._store.control.tell, _resynced(done, self._clock()))
        return done

    async def _require_ours(self, ticket: PlacementTicket) -> None:
        """Order ids are a session's own: another session's placement is neither looked for nor canceled here.

        Raises GatewayNotReady.
        """
        await self._identity.require_ours(ticket.placement_id)

    # How it is

    async def status(self) -> GatewayReport:
        """The session as it is now."""
        return await self._reporting.status()

    def _wanted(self) -> tuple[str, ...]:
        """The accounts that this session would serve."""
        return self.settings.accounts or self._wire.accounts

    def _compared(self) -> frozenset[str]:
        """The accounts whose positions can be compared."""
        return self._tenure.served & frozenset(self._wire.accounts)

    def _swept(self, began_ns: int) -> None:
        """Blocks. The broker has shown every list since then."""
        close_unlisted(self._store, self.settings.name, self._compared(), began_ns)

    async def _deliver_as_leader(self) -> None:
        """The inbox is the leader's to empty; whoever delivers as well does no harm."""
        await self._tenure.held.wait()
        await self._delivery.run()

    async def _kept_running(self, step: Coroutine[Any, Any, None]) -> None:
        """A step that ends by itself is a defect. What is left of us stops, so that a standby can take over."""
        try:
            await step
        except (Exception, asyncio.CancelledError) as error:
            if not self._tasks or _is_told_to_end():
                raise
            LOG.exception("ibkr.alarm.gateway_stopped")
            self._gate.close("defect", f"the gateway has stopped: {error!r}")
            self._fail(error)
            raise

    def _fail(self, error: BaseException) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        if not self.failed.done():
            self.failed.set_exception(RuntimeError(f"the gateway has stopped: {error!r}"))
            # Whoever runs the gateway looks at it; where nobody does, the alarm has told.
            self.failed.exception()

    # From the library's callbacks: enqueue and return

    def _receive(self, message: Message) -> None:
        if isinstance(message, ErrorShown) and not self._wire.is_order_id(message.order_id):
            self._session.hear(message)
        else:
            self._inbound.receive(message)

    def _lost(self) -> None:
        self._session.lost()


def _is_told_to_end() -> bool:
    """Whether the task we are in was cancelled from outside."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _resynced(done: Resynced, now_ns: int) -> ControlEvent:
    return ControlEvent(
        kind=ControlKind.GATEWAY_RESYNCED,
        subject=done.name,
        actor=SYSTEM.key,
        ts_ns=now_ns,
        data=done.model_dump(mode="json"),
    )
