"""The front of the paper gateway: who is connected, what arrives, and what goes wrong on the way."""

import asyncio
import logging
import sqlite3
from collections import deque

from oms.paper import ib_messages as messages
from oms.paper.faults import FaultKind, FaultPlan
from oms.paper.ib_desk import Desk
from oms.paper.ib_requests import greet, handle
from oms.paper.ib_session import Session
from oms.paper.orders import OrderRefused
from oms.paper.wire import WireError, integer_of, split_fields

_LOG = logging.getLogger(__name__)

_START_API = "71"
_PLACE_ORDER = "3"
_ORDER_REQUESTS = frozenset({"3", "4", "58"})
_BATCH = 64
"""Messages per ledger transaction: enough to pipeline, few enough to answer soon."""


class GatewayFront:
    """Takes messages from sessions to the desk, in batches, through the fault plan."""

    def __init__(self, server_version: int, desk: Desk, faults: FaultPlan) -> None:
        self.server_version = server_version
        self.faults = faults
        self._desk = desk
        self._server: asyncio.Server | None = None
        self._market_task: asyncio.Task[None] | None = None
        self._busy = asyncio.Event()
        self._connections: set[Session] = set()
        self._deferred: list[tuple[Session, list[str]]] = []
        self._silent = False
        self._unread: list[tuple[Session, list[bytes]]] = []

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
            return
        # orderRef stands at the same place in every version.
        fault = self.faults.draw(texts[26]) if texts[0] == _PLACE_ORDER and len(texts) > 26 else None
        if fault is None:
            handle(self._desk, session, texts)
        else:
            self._commit_fault(fault, session, texts)

    def _start_api(self, session: Session, texts: list[str]) -> None:
        if texts[0] != _START_API or len(texts) < 3:
            raise WireError(f"message {texts[0]!r} came before startApi")
        client_id = integer_of(texts[2])
        if client_id < 0:
            raise WireError(f"client id {client_id} is not allowed")
        if client_id in self._desk.sessions:
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            session.send(messages.error(-1, 326, text, session.version))
            _LOG.warning("%s: client id %d is already in use", session, client_id)
            session.close()
            return
        session.client_id = client_id
        self._desk.sessions[client_id] = session
        greet(self._desk, session)
        _LOG.info("%s joined with version %d", session, session.version)

    def _settle(self) -> None:
        try:
            self._desk.settle(send=not self._silent)
        except sqlite3.Error:
            # What cannot be kept may not be told: the gateway stops rather than lie.
            _LOG.critical("the paper gateway stops: its state cannot be kept")
            for session in list(self._connections):
                self._break(session)
            if self._server is not None:
                self._server.close()
            if self._market_task is not None:
                self._market_task.cancel()

    def _wake(self) -> None:
        if self._desk.busy:
            self._busy.set()

    # Faults

    def _commit_fault(self, kind: FaultKind, session: Session, texts: list[str]) -> None:
        key = (session.client_id, integer_of(texts[1], -1))
        _LOG.info("%s: fault %s on order %d", session, kind, key[1])
        if kind is FaultKind.DELAYED:
            loop = asyncio.get_running_loop()
            loop.call_later(self.faults.delay, self._handle_late, session, texts)
        elif kind is FaultKind.LOST_BEFORE_READ:
            self._settle()
            self._break(session)
        elif kind in {FaultKind.EXECUTED_REPLIES_LOST, FaultKind.ACCEPTED_INVISIBLE}:
            self._settle()
            handle(self._desk, session, texts)
            if kind is FaultKind.ACCEPTED_INVISIBLE:
                self._desk.hide(key, self.faults.invisible_seconds())
            session.forget_replies()
            self._break(session)
        elif kind is FaultKind.INFORMATION_10349:
            handle(self._desk, session, texts)
            text = "Order TIF was set to DAY based on order preset."
            self._desk.apply([OrderRefused(*key, 10349, text)])
        else:
            self._desk.faults[key] = kind
            handle(self._desk, session, texts)

    def _handle_late(self, session: Session, texts: list[str]) -> None:
        handle(self._desk, session, texts)
        self._settle()
        self._wake()

    def _break(self, session: Session) -> None:
        session.abort()
        self.left(session)
