"""What a recording does at the gateway: connect, place, send again, look, cancel, and leave nothing behind."""

import asyncio
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ib_async import IB, LimitOrder, StartupFetch, Stock, Trade

from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.recording.tape import Frame, Tape

OPEN_ORDER, ORDER_STATUS, ERROR, NEXT_VALID_ID = "5", "3", "4", "9"
DUPLICATE_ID = 103
_OVER = frozenset({"Cancelled", "ApiCancelled", "Filled", "Inactive"})
_FETCH = StartupFetch.ORDERS_OPEN


class Gone(Exception):
    """The gateway does not answer, or hangs up."""


@dataclass(frozen=True)
class Bench:
    """What is placed and how long things may take, in seconds. `port`: of the relay.

    `patience`: for one answer. `outage`, `restart`: for somebody to cut the gateway off its network, or to restart
    it; 0 leaves the point out.
    """

    port: int
    account: str
    client_id: int
    symbol: str
    price: float
    patience: float
    outage: float = 0
    restart: float = 0


@dataclass(frozen=True)
class Placed:
    """One order of ours: its number, and the reference by which it is known."""

    order_id: int
    ref: str


class Walk:
    """One client at the gateway. Every order it places is for one share, and is canceled by `leave`.

    `offered_id`: the order id that the gateway offered at the last connect; `highest_id`: the highest one used.
    """

    def __init__(self, bench: Bench, tape: Tape, say: Callable[[str], None]) -> None:
        """`say` asks a person for something."""
        self.bench = bench
        self.tape = tape
        self.say = say
        self._ib = IB()
        self._client: Any = self._ib.client
        self._placed: list[Placed] = []
        self.offered_id = 0
        self.highest_id = 0

    # The connection

    async def connect(self) -> None:
        """Connect, or connect again, under the recording's client id. Raises Gone."""
        self.disconnect()
        self._ib = IB()
        self._client = self._ib.client
        since = self.tape.here
        await self._join(self._ib, self.bench.client_id)
        offers = (frame for frame in self.tape.frames[since:] if _is_offer(frame))
        self.offered_id = next((int(frame.fields[2]) for frame in offers), 0)

    async def other(self) -> IB:
        """A second client, under the next client id. Raises Gone."""
        ib = IB()
        await self._join(ib, self.bench.client_id + 1)
        return ib

    async def _join(self, ib: IB, client_id: int) -> None:
        seconds = self.bench.patience
        try:
            await ib.connectAsync(
                "127.0.0.1", self.bench.port, client_id, timeout=seconds, fetchFields=_FETCH
            )
        except (OSError, TimeoutError) as error:
            raise Gone(f"no connection: {error or type(error).__name__}") from error

    def disconnect(self) -> None:
        if self._client.isConnected():
            self._ib.disconnect()

    @property
    def is_connected(self) -> bool:
        return bool(self._client.isReady())

    @property
    def accounts(self) -> list[str]:
        return list(self._client.getAccounts())

    @property
    def server_version(self) -> int:
        return int(self._client.serverVersion())

    # Orders

    def next_id(self) -> int:
        """An order id that this recording has not used."""
        self.highest_id = max(self.highest_id + 1, self.offered_id)
        return self.highest_id

    def new(self, ref: str | None = None, order_id: int | None = None) -> Placed:
        """An order that is not sent yet: one share, far from the market."""
        placed = Placed(order_id or self.next_id(), ref or uuid.uuid4().hex)
        self._placed.append(placed)
        return placed

    async def place(self, ref: str | None = None) -> Placed:
        """Send a new order; answers when it works. Raises Gone where it does not."""
        placed = self.new(ref)
        said = await self.send(placed)
        if not await self.working(placed.ref):
            raise Gone(f"the gateway did not take an order to begin with: {said}")
        return placed

    async def send(self, placed: Placed) -> str:
        """Send the order, the first time or again: what the gateway said of it, in words. Raises Gone."""
        since = self.tape.here
        self.write(placed)
        await self.tape.first(lambda frame: _speaks_of(frame, placed.order_id), since, self.bench.patience)
        await self._ask(self._ib.reqOpenOrdersAsync())
        return self.said(placed, since)

    def write(self, placed: Placed) -> None:
        """Send the order and wait for nothing. Raises Gone."""
        if not self.is_connected:
            raise Gone("the connection is lost")
        bench = self.bench
        order = LimitOrder("BUY", 1, bench.price, tif="DAY", account=bench.account, orderRef=placed.ref)
        order.orderId = placed.order_id
        self._client.placeOrder(placed.order_id, Stock(bench.symbol, "SMART", "USD"), order)

    def said(self, placed: Placed, since: int) -> str:
        """`orderStatus Submitted, error 103 ...`: what came of this order after `since`, each thing once."""
        told = [_words(f) for f in self.tape.frames[since:] if _speaks_of(f, placed.order_id)]
        return ", ".join(dict.fromkeys(told)) or "nothing"

    def codes(self, placed: Placed, since: int) -> set[int]:
        """The error codes that named this order after `since`."""
        frames = self.tape.frames[since:]
        return {int(f.fields[3]) for f in frames if f.kind == ERROR and _speaks_of(f, placed.order_id)}

    async def session_code(self, codes: frozenset[int], since: int, seconds: float) -> int | None:
        """The first of these codes about the session, with its time to come; None where none does."""
        frame = await self.tape.first(lambda frame: _code(frame) in codes, since, seconds)
        return None if frame is None else _code(frame)

    async def lost(self, seconds: float) -> bool:
        """Whether the connection breaks within `seconds`."""
        broken = asyncio.Event()
        self._ib.disconnectedEvent += broken.set
        try:
            async with asyncio.timeout(seconds):
                await broken.wait()
        except TimeoutError:
            return False
        return True

    async def cancel(self, placed: Placed) -> bool:
        """Cancel it; whether the gateway says that it is over."""
        since = self.tape.here
        self._client.cancelOrder(placed.order_id, "")
        ended = await self.tape.first(
            lambda frame: _is_end(frame, placed.order_id), since, self.bench.patience
        )
        return ended is not None

    # Looking

    async def working(self, ref: str) -> list[int]:
        """The permanent ids of the open orders with this reference, of all clients."""
        trades = await self._ask(self._ib.reqAllOpenOrdersAsync())
        return sorted({t.order.permId for t in trades if t.order.orderRef == ref})

    async def completed(self, ref: str) -> list[Trade]:
        """The completed orders with this reference."""
        trades = await self._ask(self._ib.reqCompletedOrdersAsync(False))
        return [trade for trade in trades if trade.order.orderRef == ref]

    async def executions(self, ib: IB | None = None) -> list[Any]:
        """The executions that an empty filter shows to this client, or to another one."""
        fills = await self._ask((ib or self._ib).reqExecutionsAsync())
        return [fill.execution for fill in fills]

    async def _ask(self, request: Any) -> Any:
        try:
            async with asyncio.timeout(self.bench.patience):
                return await request
        except (TimeoutError, ConnectionError) as error:
            raise Gone("the gateway does not answer a question") from error

    # The end

    async def leave(self) -> list[Placed]:
        """Cancel everything that was placed and look; answers what still works. Raises Gone."""
        if not self._placed:
            return []
        if not self.is_connected:
            await self.connect()
        for attempt in itertools.count(1):
            left = await self._left()
            if not left or attempt > _ATTEMPTS:
                return left
            for placed in left:
                await self.cancel(placed)
        raise AssertionError("the loop returns")

    async def _left(self) -> list[Placed]:
        """Ours that still work; one with our number and another reference is somebody else's and is left alone."""
        trades = await self._ask(self._ib.reqOpenOrdersAsync())
        ours = {(placed.order_id, placed.ref): placed for placed in self._placed}
        found = [ours.get((t.order.orderId, t.order.orderRef)) for t in trades if not _is_over(t)]
        return [placed for placed in found if placed is not None]


_ATTEMPTS = 5


def _is_offer(frame: Frame) -> bool:
    return not frame.sent and frame.kind == NEXT_VALID_ID and len(frame.fields) > 2


def _is_over(trade: Trade) -> bool:
    return trade.orderStatus.status in _OVER


def _speaks_of(frame: Frame, order_id: int) -> bool:
    """Whether the gateway says something of this order: its status, its terms, or an error."""
    fields = frame.fields
    if frame.sent or len(fields) < 4:
        return False
    if frame.kind in (OPEN_ORDER, ORDER_STATUS):
        return fields[1] == str(order_id)
    return frame.kind == ERROR and fields[2] == str(order_id)


def _code(frame: Frame) -> int | None:
    """The code of an error or a notice."""
    is_error = frame.kind == ERROR and not frame.sent and len(frame.fields) > 4
    return int(frame.fields[3]) if is_error else None


def _is_end(frame: Frame, order_id: int) -> bool:
    """Whether the gateway says that the order is over, or that it knows of none to cancel."""
    if not _speaks_of(frame, order_id):
        return False
    if frame.kind == ORDER_STATUS:
        return frame.fields[2] in _OVER
    ends = (Meaning.CANCELED, Meaning.NOT_FOUND, Meaning.NOT_CANCELABLE)
    return frame.kind == ERROR and meaning(int(frame.fields[3])) in ends


def _words(frame: Frame) -> str:
    match frame.kind:
        case "3":
            return f"orderStatus {frame.fields[2]}"
        case "5":
            return "openOrder"
    return f"error {frame.fields[3]} ({frame.fields[4]})"
