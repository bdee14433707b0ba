"""The calls we make on ib_async, and nothing else of it: one place to look when the library changes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog
from ib_async import IB, Contract, ContractDetails, Order, PriceIncrement, RequestError, StartupFetch
from ib_async import Position as LibraryPosition

from oms.domain.numbers import fits
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.messages import Message, Tap, decimal_of
from oms.gateways.ibkr.pacing import Pacer, Urgency
from oms.gateways.ibkr.settings import IBKRSettings

LOG = structlog.get_logger()
ORDER_IDS_BELOW = 1_000_000_000
"""ib_async numbers requests and orders from one counter. Requests start here, so an error names one or the other."""
_PATIENCE = 10
"""A long list takes its time: so many deadlines are granted while messages keep coming."""
_SYNC_MESSAGES = 4
_SYNC = StartupFetch(0)
"""The lists are asked for by the first reconciliation; at connect they would only be read once more."""
_NET_LIQUIDATION = "NetLiquidation"


@dataclass(frozen=True, slots=True)
class Worth:
    """An account's net liquidation value in its base currency."""

    amount: Decimal
    currency: str


class Wire:
    """One ib_async session, reused over reconnects. Every message of ours takes its turn at the pacer first.

    `fence` raises GatewayNotReady where this process may no longer act; it is asked before each byte about orders.
    """

    def __init__(
        self,
        settings: IBKRSettings,
        receive: Callable[[Message], None],
        on_lost: Callable[[], None],
        clock: Callable[[], int],
        fence: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._fence = fence
        self._ib = IB()
        self._client: Any = self._ib.client
        self._wrapper: Any = self._ib.wrapper
        self._ib.TimezoneTWS = settings.timezone
        self._ib.RaiseRequestErrors = True
        self._client.MaxRequests = settings.library_limit
        self.pacer = Pacer(settings.messages_per_second)
        self.next_order_id = 1
        self.refusal: str | None = None
        self._failed = asyncio.Event()
        self._broken = asyncio.Event()
        self._on_lost = on_lost
        self._positions = asyncio.Lock()
        self._tap = Tap(self._ib, receive, self._next_valid_id, clock)
        self._ib.disconnectedEvent += self._lost
        self._client.apiError += self._api_error
        self._client.throttleStart += self._throttled

    # The connection

    async def connect(self) -> None:
        """Connect and sync. Raises OSError, ConnectionError or TimeoutError; `refusal` says more where known."""
        self._failed.clear()
        self._broken.clear()
        self.refusal = None
        self._leave_behind()
        self._client.updateReqId(ORDER_IDS_BELOW)
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
            if connecting.cancelled():
                raise ConnectionError("the attempt to connect was broken off")
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

    def _leave_behind(self) -> None:
        """End an old connection whose peer does not take our last bytes: the library would wait for it."""
        if self._client.conn.transport is not None:
            self._client.conn.transport.abort()

    def _lost(self) -> None:
        self._broken.set()
        self._on_lost()

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
        return 0 <= number < ORDER_IDS_BELOW

    def refuse(self, reason: str) -> None:
        """The gateway told why it will not have us."""
        self.refusal = reason
        self._failed.set()

    # Orders. Callers hold a turn of the pacer, so the bytes leave at once.

    def place(self, order_id: int, contract: Contract, order: Order) -> None:
        """Write a placeOrder. Raises GatewayNotReady where nothing was written."""
        self._require_leave()
        # Below ib_async's IB.placeOrder, whose own order book raises after the bytes have left.
        self._client.placeOrder(order_id, contract, order)

    def cancel(self, order_id: int) -> None:
        """Write a cancelOrder. Raises GatewayNotReady where nothing was written."""
        self._require_leave()
        self._client.cancelOrder(order_id, "")

    def _require_leave(self) -> None:
        self._fence()
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

    async def positions(self) -> list[LibraryPosition]:
        """Every position of the login, as the library has it; what is not among them is zero.

        Raises GatewayNotReady where the answer did not come or not whole: then nothing is known, and nothing is
        zero.
        """
        async with self._positions:
            try:
                found: list[LibraryPosition] = await self._ask(self._ib.reqPositionsAsync)
            except TimeoutError as error:
                # A late end would complete the next question with half an answer: only a new connection is clean.
                self.disconnect()
                raise GatewayNotReady("IBKR did not answer the question for positions") from error
            except ConnectionError as error:
                raise GatewayNotReady(f"IBKR did not tell the positions: {error}") from error
            except RequestError as error:
                raise GatewayNotReady(
                    f"IBKR did not tell the positions: {error.code}: {error.message}"
                ) from error
        return found

    async def net_liquidation(self) -> dict[str, Worth]:
        """What each account of the login is worth now; one that is not among them was not told, or not as a number.

        Raises TimeoutError, ConnectionError or RequestError where the answer did not come.
        """
        client, told = self._client, self._wrapper.acctSummary
        await self.pacer.turn(Urgency.QUERY)
        told.clear()
        number = client.getReqId()
        try:
            await self._answered(lambda: self._summary(number), self._settings.request_timeout_seconds)
            rows = [one for one in told.values() if one.tag == _NET_LIQUIDATION]
        finally:
            # It is a subscription, of which IB gives a client two.
            if self.is_connected:
                await self.pacer.turn(Urgency.QUERY)
                client.cancelAccountSummary(number)
        found = {one.account: _worth(one.value, one.currency) for one in rows}
        return {account: worth for account, worth in found.items() if worth is not None}

    def _summary(self, number: int) -> Awaitable[Any]:
        answer: Awaitable[Any] = self._wrapper.startReq(number)
        self._client.reqAccountSummary(number, "All", _NET_LIQUIDATION)
        return answer

    async def market_rule(self, rule_id: int) -> list[PriceIncrement] | None:
        """The price bands of a market rule; None where the gateway does not tell."""
        bands: list[PriceIncrement] | None = await self._ask(lambda: self._ib.reqMarketRuleAsync(rule_id))
        return bands

    async def heartbeat(self) -> None:
        """Ask for the time. Raises TimeoutError where the peer is silent, ConnectionError where it is gone.

        A peer that sends a long list is not silent: the answer may stand behind it.
        """
        seconds = self._settings.heartbeat_seconds
        await self.pacer.turn(Urgency.HEARTBEAT)
        await self._answered(self._ib.reqCurrentTimeAsync, seconds)

    async def _ask(self, request: Callable[[], Awaitable[Any]]) -> Any:
        await self.pacer.turn(Urgency.QUERY)
        return await self._answered(request, self._settings.request_timeout_seconds)

    async def _answered(self, request: Callable[[], Awaitable[Any]], seconds: float) -> Any:
        """The answer to a question. Raises TimeoutError where nothing at all has come for `seconds`, or no answer
        in ten times as long, and ConnectionError where the connection breaks.

        The library forgets its questions when we hang up, and never tells who waits.
        """
        asking = asyncio.ensure_future(request())
        breaking = asyncio.ensure_future(self._broken.wait())
        try:
            for _ in range(_PATIENCE):
                heard = self._tap.messages
                await asyncio.wait({asking, breaking}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                if asking.done():
                    return asking.result()
                if breaking.done():
                    raise ConnectionError("the connection broke before the answer")
                if self._tap.messages == heard:
                    break
            raise TimeoutError("no answer in time")
        finally:
            asking.cancel()
            breaking.cancel()

    # What the library tells

    def _next_valid_id(self, order_id: int) -> None:
        self.next_order_id = order_id

    def _api_error(self, _text: str) -> None:
        if not self.is_connected:
            self._failed.set()

    def _throttled(self) -> None:
        LOG.error("ibkr.alarm.library_throttles", limit=self._settings.library_limit)


def _worth(value: str, currency: str) -> Worth | None:
    """None where it is no number that can be kept."""
    try:
        amount = decimal_of(Decimal(value))
    except (ValueError, ArithmeticError):
        return None
    return Worth(amount, currency) if fits(amount) else None
