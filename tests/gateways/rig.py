"""A gateway against the paper IB Gateway over TCP, with a real store: what every test here stands on."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from oms.domain.facts import (
    CancelRefused,
    ChangeInDoubt,
    ChangeRefused,
    Charged,
    Executed,
    Fact,
    PlacementChanged,
    PlacementReported,
    TermsRounded,
    Unreadable,
)
from oms.domain.identifiers import ORDER, PLACEMENT, identifier, uuid7
from oms.domain.reference import Instrument
from oms.domain.terms import Direction, OrderType, PlacementStatus, SecType, TimeInForce
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr import IBKRGateway, IBKRSettings
from oms.paper.ib_gateway import PaperIBGateway
from oms.paper.order_layout import read_place_order
from oms.store import Intent, IntentState, Store, tables

ACCOUNT = "DU123456"
OVER = (PlacementStatus.FILLED, PlacementStatus.CANCELED, PlacementStatus.REJECTED, PlacementStatus.EXPIRED)
FUTURE = Instrument(
    instrument_id="INS-ES",
    symbol="ES",
    sec_type=SecType.FUTURE,
    exchange="CME",
    expiry=date(2027, 3, 19),
    multiplier=Decimal(50),
)
OPTION = Instrument(
    instrument_id="INS-AAPL-C",
    symbol="AAPL",
    sec_type=SecType.OPTION,
    expiry=date(2027, 1, 15),
    strike=Decimal(220),
    right="C",
    multiplier=Decimal(100),
)
EURO = Instrument(instrument_id="INS-EUR", symbol="EUR", sec_type=SecType.CASH)
_minted = iter(range(1, 1_000_000))


def minted() -> UUID:
    """A new identifier, different in every call of this process."""
    return uuid7(time.time_ns() // 1_000_000, next(_minted).to_bytes(10, "big"))


def stock(symbol: str = "AAPL") -> Instrument:
    return Instrument(instrument_id=f"INS-{symbol}", symbol=symbol)


def ticket(symbol: str = "AAPL", quantity: str = "10", **changes: Any) -> PlacementTicket:
    """A Buy Market Day ticket, or what `changes` make of it."""
    terms: dict[str, Any] = {
        "order_id": identifier(ORDER, minted()),
        "placement_id": identifier(PLACEMENT, minted()),
        "venue": "IBKR",
        "account": ACCOUNT,
        "instrument": stock(symbol),
        "direction": Direction.BUY,
        "quantity": Decimal(quantity),
        "order_type": OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
    }
    return PlacementTicket(**{**terms, **changes})


def resting(symbol: str = "AAPL", quantity: str = "10", **changes: Any) -> PlacementTicket:
    """A Buy Limit far below the market: it works until somebody cancels it or the price comes down."""
    terms = {"order_type": OrderType.LIMIT, "limit_price": Decimal(5), **changes}
    return ticket(symbol, quantity, **terms)


async def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true answer of `condition`; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come to this in time"
        await asyncio.sleep(0.01)


async def settled(gateway: IBKRGateway, order: PlacementTicket, seconds: float = 20.0) -> PlacementStatus:
    """Place as the workflow does: again and again, until the answer is not IN_DOUBT."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await asyncio.wait_for(gateway.ready(), seconds)
        try:
            known = status(await gateway.place(order))
        except GatewayNotReady:
            continue
        if known is not PlacementStatus.IN_DOUBT:
            return known
    raise AssertionError("the order stays in doubt")


class Orders:
    """Stands where the order workflows are: takes what is delivered, in order."""

    def __init__(self) -> None:
        self.facts: dict[str, list[Fact]] = defaultdict(list)
        self.batches: dict[str, list[int]] = defaultdict(list)
        self.unknown: set[str] = set()
        self.failures: dict[str, int] = {}
        self.open = asyncio.Event()
        self.open.set()

    async def deliver(self, order_id: str, facts: list[Fact]) -> bool:
        await self.open.wait()
        if self.failures.get(order_id, 0) > 0:
            self.failures[order_id] -= 1
            raise ConnectionError("the order book is away")
        if order_id in self.unknown:
            return False
        self.batches[order_id].append(len(facts))
        self.facts[order_id] += facts
        return True

    def executions(self, order: PlacementTicket) -> list[Executed]:
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, Executed)]

    def charges(self, order: PlacementTicket) -> list[Charged]:
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, Charged)]

    def reports(self, order: PlacementTicket) -> list[PlacementReported]:
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, PlacementReported)]

    def statuses(self, order: PlacementTicket) -> list[PlacementStatus]:
        return [fact.status for fact in self.reports(order)]

    def refusals(self, order: PlacementTicket) -> list[CancelRefused]:
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, CancelRefused)]

    def rounded(self, order: PlacementTicket) -> list[TermsRounded]:
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, TermsRounded)]

    def changes(self, order: PlacementTicket) -> list[PlacementChanged | ChangeRefused | ChangeInDoubt]:
        kinds = PlacementChanged | ChangeRefused | ChangeInDoubt
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, kinds)]

    def unreadable(self, order: PlacementTicket) -> list[Unreadable]:
        return [fact for fact in self.facts[order.order_id] if isinstance(fact, Unreadable)]


class Rig:
    """One broker, one store, and as many lives of the gateway process as a test needs."""

    def __init__(self, paper: PaperIBGateway, store: Store, settings: IBKRSettings) -> None:
        self.paper = paper
        self.store = store
        self.settings = settings
        self.orders = Orders()
        self.gateways: list[IBKRGateway] = []
        self.messages: list[bytes] = []
        self._listen()

    def _listen(self) -> None:
        """Keep every placeOrder that reaches the broker's gateway, before any fault, as the bytes it is."""
        receive = self.paper.receive

        def heard(session: Any, payloads: list[bytes]) -> None:
            self.messages += [payload for payload in payloads if payload.startswith(b"3\0")]
            receive(session, payloads)

        self.paper.receive = heard  # type: ignore[method-assign]

    async def started(self, **changes: Any) -> IBKRGateway:
        """A gateway that runs, ready or not."""
        gateway = IBKRGateway(replace(self.settings, **changes), self.store, self.orders.deliver)
        self.gateways.append(gateway)
        await gateway.start()
        return gateway

    async def gateway(self, **changes: Any) -> IBKRGateway:
        """A gateway that is ready to place."""
        gateway = await self.started(**changes)
        await asyncio.wait_for(gateway.ready(), 10)
        return gateway

    async def reconciled(self, gateway: IBKRGateway) -> None:
        """Compare with the broker, and wait until the orders have all that came of it."""
        await gateway.reconcile()
        await eventually(lambda: not self.store.inbox.undelivered(self.settings.name))

    async def crash(self, gateway: IBKRGateway) -> None:
        """End the process as a kill would: nothing is written, said or given back."""
        tasks, gateway._tasks = gateway._tasks, []
        ordering = gateway._ordering
        calls = (ordering.placing, ordering.families, ordering.modifying)
        flights = [task for call in calls for task in call.flights.tasks]
        flights += ordering.settling._running.values()
        for task in (*tasks, *flights):
            task.cancel()
        await asyncio.gather(*tasks, *flights, return_exceptions=True)
        gateway._wire.disconnect()
        self.gateways.remove(gateway)

    async def died(self, gateway: IBKRGateway) -> None:
        """The process is killed, and its lease has run out."""
        await self.crash(gateway)
        with self.store.database.write() as connection:
            connection.execute(tables.leases.update().values(expires_at=datetime.now(UTC)))

    async def close(self) -> None:
        for gateway in self.gateways:
            await gateway.stop()

    def intent(self, order: PlacementTicket) -> Intent | None:
        return self.store.intents.get(order.placement_id)

    def state(self, order: PlacementTicket) -> IntentState | None:
        found = self.intent(order)
        return found.state if found else None

    def at_the_broker(self, order: PlacementTicket) -> list[Any]:
        """The paper broker's own orders for a ticket."""
        return [line for line in self.paper.orders() if line.order_ref == order.order_ref]

    def wired(self, *orders: PlacementTicket) -> list[bytes]:
        """The placeOrder messages of these orders, in the order in which they came."""
        refs = {order.order_ref.encode() for order in orders}
        return [message for message in self.messages if message.split(b"\0")[26] in refs]

    def sent(self, order: PlacementTicket) -> dict[str, str]:
        """The last placeOrder of an order, field by field, as it came; empty ones left out."""
        return fields_of(self.wired(order)[-1])

    def executed(self, order: PlacementTicket) -> list[Any]:
        """The paper broker's own executions for a ticket."""
        return [line for line in self.paper.executions() if line.order_ref == order.order_ref]

    async def fills(self, order: PlacementTicket, seconds: float = 10.0) -> list[Executed]:
        """The executions of an order that is filled, once it knows."""
        await eventually(lambda: PlacementStatus.FILLED in self.orders.statuses(order), seconds)
        return await eventually(lambda: self.orders.executions(order), seconds)

    def error(self, order_id: int, code: int, text: str) -> None:
        """Let the broker say something about an order of ours."""
        self.paper._desk.tell_error(self.settings.client_id, order_id, code, text)
        self.paper._settle()

    def say(self, *fields: object) -> None:
        """Let the broker send a message of any shape."""
        self.paper._desk.sessions[self.settings.client_id].send(list(fields))
        self.paper._settle()

    def edit(self, order: PlacementTicket, **values: object) -> None:
        """Make an intent what a test needs it to be."""
        with self.store.database.write() as connection:
            here = tables.intents.c.placement_id == order.placement_id
            connection.execute(tables.intents.update().where(here).values(**values))

    def persist(self, order: PlacementTicket, state: IntentState = IntentState.SENDING) -> Intent:
        """The intent of a process that died right after it was committed."""
        key = self.settings.order_ids_key
        now = time.time_ns()
        intent = Intent(
            placement_id=order.placement_id,
            order_id=order.order_id,
            gateway=self.settings.name,
            client_id=self.settings.client_id,
            broker_order_id=self.store.intents.next_broker_order_id(key, 1),
            order_ref=order.order_ref,
            account=order.account,
            state=state,
            ticket=order,
            created_ns=now,
            updated_ns=now,
        )
        return self.store.intents.open(intent)[0]


def status(answer: VenueAnswer) -> PlacementStatus:
    """The one status an answer reports."""
    (report,) = [fact for fact in answer.facts if isinstance(fact, PlacementReported)]
    return report.status


def reason(answer: VenueAnswer) -> str:
    (report,) = [fact for fact in answer.facts if isinstance(fact, PlacementReported)]
    return report.reason or ""


def fields_of(message: bytes) -> dict[str, str]:
    """A placeOrder by the names of its fields, an algorithm's parameters by their tags; empty ones left out."""
    sent = read_place_order(message.decode().split("\0")[1:-1], 178)
    texts = {name: text for name, text in sent.texts.items() if text}
    return {**texts, **dict(map(tuple, sent.rows.get("algoParams", [])))}


class Relay:
    """A TCP connection in between that can fall silent, or hold back what the broker says."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    def silence(self) -> None:
        self._passing.clear()

    def speak(self) -> None:
        self._passing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, target in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._pass(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await self._passing.wait()
                target.write(data)
                await target.drain()
        target.close()
