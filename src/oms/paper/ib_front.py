"""The front of the paper gateway: who is connected, what arrives, in batches and through the fault plan."""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable

from oms.paper import ib_messages as messages
from oms.paper.error_texts import text_of
from oms.paper.fault_events import Operation
from oms.paper.fault_run import FaultRun, Request
from oms.paper.faults import Fault, FaultPlan
from oms.paper.ib_desk import Desk
from oms.paper.ib_requests import greet, handle
from oms.paper.ib_session import Session
from oms.paper.orders import HELD, OrderKey
from oms.paper.wire import WireError, integer_of, split_fields

_LOG = logging.getLogger(__name__)

_START_API = "71"
_PLACE_ORDER = "3"
_CANCEL_ORDER = "4"
_ORDER_REQUESTS = frozenset({_PLACE_ORDER, _CANCEL_ORDER, "58"})
_OPERATIONS = {
    "5": Operation.OPEN_ORDERS,
    "6": Operation.ACCOUNT_UPDATES,
    "7": Operation.EXECUTIONS,
    "9": Operation.CONTRACT_DETAILS,
    "16": Operation.ALL_OPEN_ORDERS,
    "49": Operation.CURRENT_TIME,
    "61": Operation.POSITIONS,
    "99": Operation.COMPLETED_ORDERS,
}
_BATCH = 64
"""Messages per ledger transaction: enough to pipeline, few enough to answer soon."""
LAST_TERM = 27
"""Where transmit stands in a placeOrder; it, orderRef before it and the symbol stand there in every version."""


class GatewayFront:
    """Takes messages from sessions to the desk, in batches, through the fault plan."""

    def __init__(self, server_version: int, desk: Desk, faults: FaultPlan) -> None:
        self.server_version = server_version
        self._run = FaultRun(faults)
        self._desk = desk
        self._server: asyncio.Server | None = None
        self._market_task: asyncio.Task[None] | None = None
        self._busy = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._connections: set[Session] = set()
        self._deferred: list[tuple[Session, list[str]]] = []
        self._silent = False
        self._unread: list[tuple[Session, list[bytes]]] = []
        self._ids_in_use: set[int] = set()
        self._unanswered: set[Operation] = set()
        self._greetings: tuple[int, ...] = ()
        self._last_order_id = 0

    # SessionHost

    def greeting_time(self) -> str:
        """Connection time as a gateway writes it: ``20261120 10:00:00 EST``."""
        return messages.eastern(self._desk.clock()).replace("US/Eastern", "EST")

    def joined(self, session: Session) -> None:
        """A connection was made."""
        self._connections.add(session)

    def left(self, session: Session) -> None:
        """A connection ended: its client id is free."""
        self._connections.discard(session)
        if self._desk.sessions.get(session.client_id) is session:
            del self._desk.sessions[session.client_id]
            _LOG.info("%s left", session)

    def receive(self, session: Session, payloads: list[bytes]) -> None:
        """Handle messages in batches; each batch is one ledger transaction."""
        if self._silent:
            self._unread.append((session, payloads))
            return
        queue = deque(payloads)
        while queue and not session.closed:
            for _ in range(min(_BATCH, len(queue))):
                self._take(session, queue.popleft())
                if session.closed:
                    break
            self._settle()
        self._wake()

    def _take(self, session: Session, payload: bytes) -> None:
        try:
            texts = split_fields(payload)
            if session.client_id < 0:
                self._start_api(session, texts)
                return
        except WireError as problem:
            _LOG.warning("%s: %s; closing the connection", session, problem)
            session.close()
            return
        if not self._desk.online and texts[0] in _ORDER_REQUESTS:
            self._deferred.append((session, texts))
        else:
            self._read(session, texts)

    def _read(self, session: Session, texts: list[str]) -> None:
        """One message, as the fault plan lets it through."""
        request = self._request(session, texts)
        fault = self._run.draw(request) if request is not None else None
        if request is not None and request.operation in self._unanswered:
            return
        if fault is None or request is None:
            self._handle(session, texts)
        else:
            _LOG.info("%s: fault %s on %s", session, fault.kind, request)
            self._commit(fault, request, session, texts)

    def _request(self, session: Session, texts: list[str]) -> Request | None:
        """The message as a fault plan sees it; None when no fault can hit it."""
        kind, client_id = texts[0], session.client_id
        if kind == _PLACE_ORDER and len(texts) > LAST_TERM:
            key = (client_id, _order_id(texts[1]))
            self._last_order_id = key[1]
            live = self._desk.engine.live.get(self._desk.addressed(key))
            held = live is None or (live.status == HELD and key not in self._desk.telling.located)
            operation = Operation.PLACE if held else Operation.MODIFY
            return Request(operation, *key, order_ref=texts[26], symbol=texts[3])
        if kind == _CANCEL_ORDER and len(texts) > 2:
            key = (client_id, _order_id(texts[2]))
            order = self._desk.engine.live.get(key) or self._desk.ledger.order(key)
            terms = order.terms if order else None
            reference, symbol = (terms.order_ref, terms.instrument.symbol) if terms else ("", "")
            return Request(Operation.CANCEL, *key, order_ref=reference, symbol=symbol)
        return Request(_OPERATIONS[kind], client_id) if kind in _OPERATIONS else None

    def _handle(self, session: Session, texts: list[str]) -> None:
        """Let the desk have a message; about an order that stands there twice, under the key it means."""
        at = {_PLACE_ORDER: 1, _CANCEL_ORDER: 2}.get(texts[0])
        if at is not None and len(texts) > at:
            told = (session.client_id, _order_id(texts[at]))
            session = self._as_client(session, self._desk.addressed(told)[0])
        handle(self._desk, session, texts)

    def _as_client(self, session: Session, client_id: int) -> Session:
        """The session, or a stand-in for it that acts for another client of the book."""
        if client_id == session.client_id:
            return session
        return self._stand_in(client_id, session.version)

    def _stand_in(self, client_id: int, version: int) -> Session:
        """A session without a connection, for what happens to orders by another hand."""
        session = Session(self)
        session.client_id, session.version = client_id, version
        return session

    def _commit(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        """Let a fault happen to a message."""
        raise NotImplementedError

    def _start_api(self, session: Session, texts: list[str]) -> None:
        if texts[0] != _START_API or len(texts) < 3:
            raise WireError(f"message {texts[0]!r} came before startApi")
        client_id = integer_of(texts[2])
        if client_id < 0:
            raise WireError(f"client id {client_id} is not allowed")
        if client_id in self._desk.sessions or client_id in self._ids_in_use:
            session.send(messages.error(-1, 326, text_of(326), session.version))
            _LOG.warning("%s: client id %d is already in use", session, client_id)
            session.close()
            return
        session.client_id = client_id
        self._desk.sessions[client_id] = session
        greet(self._desk, session)
        for code in self._greetings:
            session.send(messages.error(-1, code, text_of(code), session.version))
        _LOG.info("%s joined with version %d", session, session.version)

    def _settle(self) -> None:
        """Keep and send everything, then let happen what is due."""
        if self._flush():
            self._happen()

    def _flush(self, *, send: bool = True) -> bool:
        """Keep everything, and unless told otherwise send it; False when it cannot be kept."""
        try:
            self._desk.settle(send=send and not self._silent)
        except sqlite3.Error:
            # What cannot be kept may not be told: the gateway stops rather than lie.
            _LOG.critical("the paper gateway stops: its state cannot be kept")
            for session in list(self._connections):
                self._break(session)
            if self._server is not None:
                self._server.close()
            if self._market_task is not None:
                self._market_task.cancel()
            return False
        return True

    def _happen(self) -> None:
        """Let the events of the plan happen whose moment has come."""
        raise NotImplementedError

    def _wake(self) -> None:
        if self._desk.busy:
            self._busy.set()

    def _break(self, session: Session) -> None:
        session.abort()
        self.left(session)

    def _later(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something after a while, unless the gateway stops before."""

        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, run)
        self._timers.add(timer)
        return timer


def order_key(session: Session, texts: list[str]) -> OrderKey:
    """(client id, order id) of a placeOrder or cancelOrder as it was sent."""
    return session.client_id, _order_id(texts[1 if texts[0] == _PLACE_ORDER else 2])


def _order_id(text: str) -> int:
    try:
        return integer_of(text, -1)
    except WireError:
        return -1
