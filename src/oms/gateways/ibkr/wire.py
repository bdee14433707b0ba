"""The calls we make on ib_async, and nothing else of it: one place to look when the library changes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from ib_async import IB, Contract, ContractDetails, Order, StartupFetch

from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.messages import Message, Tap
from oms.gateways.ibkr.pacing import Pacer, Urgency
from oms.gateways.ibkr.settings import IBKRSettings

LOG = structlog.get_logger()
_REQUEST_IDS_FROM = 1_000_000_000
"""ib_async numbers requests and orders from one counter. Requests start here, so an error names one or the other."""
_SYNC_MESSAGES = 12
_SYNC = StartupFetch.ORDERS_OPEN | StartupFetch.ORDERS_COMPLETE | StartupFetch.EXECUTIONS


class Wire:
    """One ib_async session, reused over reconnects. Every message of ours takes its turn at the pacer first."""

    def __init__(
        self,
        settings: IBKRSettings,
        receive: Callable[[Message], None],
        on_lost: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._ib = IB()
        self._client: Any = self._ib.client
        self._ib.TimezoneTWS = settings.timezone
        self._ib.RaiseRequestErrors = True
        self._client.MaxRequests = settings.library_limit
        self.pacer = Pacer(settings.messages_per_second)
        self.next_order_id = 1
        self.refusal: str | None = None
        self._failed = asyncio.Event()
        Tap(self._ib, receive, self._next_valid_id, clock)
        self._ib.disconnectedEvent += on_lost
        self._client.apiError += self._api_error
        self._client.throttleStart += self._throttled

    # The connection

    async def connect(self) -> None:
        """Connect and sync. Raises OSError, ConnectionError or TimeoutError; `refusal` says more where known."""
        self._failed.clear()
        self.refusal = None
        self._client.updateReqId(_REQUEST_IDS_FROM)
        seconds = self._settings.connect_timeout_seconds
        connecting = asyncio.create_task(
            self._ib.connectAsync(
                self._settings.host,
                self._settings.port,
                self._settings.client_id,
                timeout=seconds,
                raiseSyncErrors=True,
                fetchFields=_SYNC,
            )
        )
        failing = asyncio.create_task(self._failed.wait())
        try:
            # The library waits out its whole timeout when the gateway hangs up before it is ready.
            await asyncio.wait({connecting, failing}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise ConnectionError(self.refusal or "the gateway closed the connection")
            await connecting
        finally:
            failing.cancel()
            connecting.cancel()
            await asyncio.gather(connecting, failing, return_exceptions=True)
        self.pacer.spend(min(_SYNC_MESSAGES, self._settings.messages_per_second))

    def disconnect(self) -> None:
        """Drop the connection; doing so twice is doing it once."""
        if self._client.isReady():
            self._ib.disconnect()
        elif self._client.isConnected():
            self._client.disconnect()

    @property
    def is_connected(self) -> bool:
        return bool(self._client.isReady())

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts the login manages; empty without a connection."""
        return tuple(self._client.getAccounts()) if self.is_connected else ()

    @staticmethod
    def is_order_id(number: int) -> bool:
        """Whether an error with this id is about an order; others are about a request or the session."""
        return 0 <= number < _REQUEST_IDS_FROM

    def refuse(self, reason: str) -> None:
        """The gateway told why it will not have us."""
        self.refusal = reason
        self._failed.set()

    # Orders. Callers hold a turn of the pacer, so the bytes leave at once.

    def place(self, order_id: int, contract: Contract, order: Order) -> None:
        """Write a placeOrder. Raises GatewayNotReady where nothing was written."""
        self._require_connection()
        # Below ib_async's IB.placeOrder, whose own order book raises after the bytes have left.
        self._client.placeOrder(order_id, contract, order)

    def cancel(self, order_id: int) -> None:
        """Write a cancelOrder. Raises GatewayNotReady where nothing was written."""
        self._require_connection()
        self._client.cancelOrder(order_id, "")

    def _require_connection(self) -> None:
        if not self.is_connected:
            raise GatewayNotReady("not connected")

    # Questions. Those that share a key in the library must not overlap: callers ask one after another.

    async def open_orders(self) -> None:
        await self._ask(self._ib.reqOpenOrdersAsync)

    async def all_open_orders(self) -> None:
        await self._ask(self._ib.reqAllOpenOrdersAsync)

    async def completed_orders(self) -> None:
        await self._ask(lambda: self._ib.reqCompletedOrdersAsync(False))

    async def executions(self) -> None:
        await self._ask(self._ib.reqExecutionsAsync)

    async def contract_details(self, contract: Contract) -> list[ContractDetails]:
        found: list[ContractDetails] = await self._ask(lambda: self._ib.reqContractDetailsAsync(contract))
        return found

    async def heartbeat(self) -> None:
        """Ask for the time. Raises TimeoutError where the peer is silent, ConnectionError where it is gone."""
        await self.pacer.turn(Urgency.QUERY)
        async with asyncio.timeout(self._settings.heartbeat_seconds):
            await self._ib.reqCurrentTimeAsync()

    async def _ask(self, request: Callable[[], Awaitable[Any]]) -> Any:
        await self.pacer.turn(Urgency.QUERY)
        async with asyncio.timeout(self._settings.request_timeout_seconds):
            return await request()

    # What the library tells

    def _next_valid_id(self, order_id: int) -> None:
        self.next_order_id = order_id

    def _api_error(self, _text: str) -> None:
        if not self.is_connected:
            self._failed.set()

    def _throttled(self) -> None:
        LOG.error("ibkr.alarm.library_throttles", limit=self._settings.library_limit)
