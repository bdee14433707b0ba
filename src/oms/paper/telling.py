"""What clients hear about orders as they change, through the faults that stay with an order."""

from collections.abc import Callable
from dataclasses import replace

from oms.paper import ib_messages as messages
from oms.paper.error_texts import text_of
from oms.paper.faults import INFORMATION, FaultKind
from oms.paper.ib_session import Session
from oms.paper.order_identity import told_execution, told_key, told_order
from oms.paper.orders import INACTIVE, ZERO, Execution, OrderKey, OrderRefused, PaperOrder

_NO_COMMISSION = frozenset({FaultKind.COMMISSION_MISSING, FaultKind.EXECUTION_MISSING})


class Telling:
    """Queues messages about orders at the session of the client that placed them.

    habits: the lasting faults of each order. located: orders that are told as Inactive, held for a locate.
    withheld: orders of which nothing is said for now.
    """

    def __init__(self, sessions: dict[int, Session], hidden: Callable[[OrderKey], bool]) -> None:
        self.habits: dict[OrderKey, set[FaultKind]] = {}
        self.located: set[OrderKey] = set()
        self._sessions = sessions
        self._hidden = hidden
        self._withheld: dict[OrderKey, list[tuple[Session, messages.Message]]] = {}
        self._older: dict[OrderKey, messages.Message] = {}
        self._newer: dict[OrderKey, list[messages.Message]] = {}

    # What a client is shown

    def shown(self, order: PaperOrder) -> PaperOrder:
        """The order as any client is shown it."""
        if order.key in self.located and order.live:
            order = replace(order, status=INACTIVE, why_held="locate")
        return told_order(order)

    def listener(self, key: OrderKey) -> Session | None:
        """Who hears about an order: the client that placed it, if it is there and may see the order."""
        return None if self._hidden(key) else self._sessions.get(told_key(key)[0])

    # What has happened

    def order(self, order: PaperOrder) -> None:
        """openOrder and orderStatus."""
        session = self.listener(order.key)
        if session is None or self._before_execution(order):
            return
        self._say(session, order.key, messages.open_order_message(self.shown(order), session.version))
        self._status(session, order)

    def execution(self, order: PaperOrder, execution: Execution) -> None:
        """execDetails, openOrder, orderStatus, openOrder with the commission, commissionReport."""
        key, session = order.key, self.listener(order.key)
        if session is None:
            return
        version, shown = session.version, self.shown(order)
        if self._has(key, FaultKind.COMMISSION_FIRST):
            self._commission(session, key, execution)
        if not self._has(key, FaultKind.EXECUTION_MISSING):
            self._say(session, key, messages.execution_details(-1, told_execution(execution), version))
        charged_before = order.commission - execution.commission
        self._say(session, key, messages.open_order_message(shown, version, fee=charged_before))
        self._status(session, order)
        self._say(session, key, messages.open_order_message(shown, version))
        if not self._has(key, FaultKind.COMMISSION_FIRST):
            self._commission(session, key, execution)
        if not order.live:
            self.information(key)

    def correction(self, key: OrderKey, after: Execution) -> None:
        """execDetails under the bumped id, and its commissionReport."""
        session = self.listener(key)
        if session is not None:
            details = messages.execution_details(-1, told_execution(after), session.version)
            self._say(session, key, details)
            self._commission(session, key, after)

    def refusal(self, fact: OrderRefused) -> None:
        """An error about an order."""
        self.error((fact.client_id, fact.order_id), fact.code, fact.text)

    def error(self, key: OrderKey, code: int, text: str) -> None:
        """An error about an order to the client that placed it, if it may see the order."""
        if not self._hidden(key):
            self.answer(key, code, text)

    def answer(self, key: OrderKey, code: int, text: str) -> None:
        """An error to a client; `key` is its id and the number of its order or request."""
        client_id, number = told_key(key)
        session = self._sessions.get(client_id)
        if session is not None:
            self._say(session, key, messages.error(number, code, text, session.version))

    def information(self, key: OrderKey) -> None:
        """The warnings that belong to an order's habits."""
        for kind in self.habits.get(key, ()):
            if kind in INFORMATION:
                self.error(key, INFORMATION[kind], text_of(INFORMATION[kind]))

    # Withholding

    def withhold(self, key: OrderKey) -> None:
        """Say nothing about an order until `release`."""
        self._withheld.setdefault(key, [])

    def release(self, key: OrderKey) -> None:
        """Say what was withheld, to clients that are still there."""
        for session, message in self._withheld.pop(key, []):
            session.send(message)

    def forget(self, key: OrderKey) -> None:
        """Never say what was withheld."""
        self._withheld.pop(key, None)

    def finish_batch(self) -> None:
        """What is told out of date follows what is new: to be called before the sessions send."""
        for key, statuses in self._newer.items():
            session = self.listener(key)
            stale = [self._older[key]] if key in self._older else []
            if session is not None:
                for message in reversed([*stale, *statuses]):
                    self._say(session, key, message)
            self._older[key] = statuses[-1]
        self._newer.clear()

    # One message

    def _say(self, session: Session, key: OrderKey, message: messages.Message | list[str]) -> None:
        if key in self._withheld:
            self._withheld[key].append((session, list(message)))
        else:
            session.send(message)

    def _commission(self, session: Session, key: OrderKey, execution: Execution) -> None:
        if not self.habits.get(key, set()) & _NO_COMMISSION:
            self._say(session, key, messages.commission_report(execution))

    def _status(self, session: Session, order: PaperOrder) -> None:
        key, message = order.key, messages.order_status(self.shown(order))
        if self._has(key, FaultKind.MISSING_STATUS):
            return
        if self._has(key, FaultKind.REORDERED_STATUS):
            self._newer.setdefault(key, []).append(message)
            return
        for _ in range(2 if self._has(key, FaultKind.DUPLICATE_STATUS) else 1):
            self._say(session, key, message)

    def _before_execution(self, order: PaperOrder) -> bool:
        return order.filled == ZERO and order.live and self._has(order.key, FaultKind.EXECUTION_FIRST)

    def _has(self, key: OrderKey, kind: FaultKind) -> bool:
        return kind in self.habits.get(key, ())
