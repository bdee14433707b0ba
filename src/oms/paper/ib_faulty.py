"""How the paper gateway commits the faults of single requests. What each kind means: `oms.paper.faults`."""

from collections.abc import Callable
from dataclasses import dataclass

from oms.paper.error_texts import text_of
from oms.paper.fault_run import Request
from oms.paper.faults import HABITS, REJECTIONS, Fault, FaultKind, FaultPlan
from oms.paper.ib_desk import Desk
from oms.paper.ib_front import LAST_TERM, GatewayFront
from oms.paper.ib_requests import handle
from oms.paper.ib_session import Session
from oms.paper.order_identity import twin_client
from oms.paper.orders import HELD, INACTIVE, OrderKey

_HALF = 0.5
_UNREAD = frozenset({FaultKind.DELAYED, FaultKind.HOLD_BEFORE_READ})


@dataclass(eq=False, slots=True)
class Held:
    """Something that waits to be let go: a message that is unread, or what is not said about an order."""

    kind: FaultKind
    order_ref: str
    go_on: Callable[[], None]


class FaultyFront(GatewayFront):
    """A front that knows how to go wrong."""

    def __init__(self, server_version: int, desk: Desk, faults: FaultPlan) -> None:
        super().__init__(server_version, desk, faults)
        self._holds: list[Held] = []

    def release(self, order_ref: str = "") -> int:
        """Let go what the HOLD kinds hold, of all orders or of one; says how many there were."""
        let_go = [each for each in self._holds if order_ref in {"", each.order_ref}]
        for each in let_go:
            self._let_go(each)
        return len(let_go)

    @property
    def held(self) -> list[str]:
        """orderRef of everything that is held or delayed now."""
        return [each.order_ref for each in self._holds]

    def _forget_unread(self) -> None:
        """Lose what was not read, and stop withholding: the gateway's memory is gone. The broker's is not."""
        self._holds = [each for each in self._holds if each.kind not in _UNREAD]
        for each in [each for each in self._holds if each.kind is FaultKind.HOLD_REPLIES]:
            self._let_go(each)

    def _commit(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        if fault.kind in HABITS:
            self._get_used_to(fault.kind, request, session, texts)
        elif fault.kind in REJECTIONS:
            self._reject(fault.kind, request, session, texts)
        else:
            self._ways()[fault.kind](fault, request, session, texts)

    def _ways(self) -> dict[FaultKind, Callable[[Fault, Request, Session, list[str]], None]]:
        return {
            FaultKind.LOST_BEFORE_READ: self._lose,
            FaultKind.EXECUTED_REPLIES_LOST: self._lose_replies,
            FaultKind.ACCEPTED_INVISIBLE: self._lose_replies,
            FaultKind.UNSEEN: self._hide,
            FaultKind.CUT_REPLIES: self._cut_replies,
            FaultKind.PARTIAL_LIST: self._cut_replies,
            FaultKind.DELAYED: self._delay,
            FaultKind.HOLD_BEFORE_READ: self._delay,
            FaultKind.HOLD_REPLIES: self._hold_replies,
            FaultKind.ERROR_INSTEAD: self._err_instead,
            FaultKind.ERROR_BEFORE: self._err_before,
            FaultKind.ERROR_AFTER: self._err_after,
            FaultKind.HELD_FOR_LOCATE: self._locate,
            FaultKind.SECOND_PERM_ID: self._double,
            FaultKind.CORRECTED: self._correct,
            FaultKind.BUSTED: self._correct,
            FaultKind.UNANSWERED: lambda *_: None,
        }

    # The connection breaks

    def _lose(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        del fault, request, texts
        self._flush()
        self._break(session)

    def _lose_replies(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        self._flush()
        self._handle(session, texts)
        if fault.kind is FaultKind.ACCEPTED_INVISIBLE:
            self._desk.hide(_key(request), fault.seconds or 0)
        self._break(session)

    def _cut_replies(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        """Half of the replies: whole messages of a list, of anything else up to the middle of a frame."""
        del request
        self._flush()
        self._handle(session, texts)
        self._flush(send=False)
        session.flush_part(_HALF, whole=fault.kind is FaultKind.PARTIAL_LIST)
        self._break(session)

    def _hide(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        key = _key(request)
        self._desk.telling.withhold(key)
        self._handle(session, texts)
        self._desk.hide(key, fault.seconds or 0)
        self._desk.telling.forget(key)

    # Time passes

    def _delay(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        self._hold(fault, request, lambda: self._read_late(session, texts))

    def _hold_replies(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        key = self._desk.addressed(_key(request))
        self._desk.telling.withhold(key)
        self._handle(session, texts)

        def say() -> None:
            self._desk.telling.release(key)
            self._settle()

        self._hold(fault, request, say)

    def _hold(self, fault: Fault, request: Request, go_on: Callable[[], None]) -> None:
        held = Held(fault.kind, request.order_ref, go_on)
        self._holds.append(held)
        if fault.seconds is not None:
            self._later(fault.seconds, lambda: self._let_go(held))

    def _let_go(self, held: Held) -> None:
        if held in self._holds:
            self._holds.remove(held)
            held.go_on()

    def _read_late(self, session: Session, texts: list[str]) -> None:
        # Read although its client may have gone: its bytes were in the gateway's buffer.
        self._handle(session, texts)
        self._settle()
        self._wake()

    # Something else is said

    def _get_used_to(self, kind: FaultKind, request: Request, session: Session, texts: list[str]) -> None:
        key = self._desk.addressed(_key(request))
        telling = self._desk.telling
        telling.habits.setdefault(key, set()).add(kind)
        self._handle(session, texts)
        if key in self._desk.engine.live:
            telling.information(key)

    def _err_instead(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        number = request.order_id or _request_number(texts)
        self._say_error(fault, session, number)

    def _err_before(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        self._say_error(fault, session, request.order_id)
        self._handle(session, texts)

    def _err_after(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        self._handle(session, texts)
        self._say_error(fault, session, request.order_id)

    def _say_error(self, fault: Fault, session: Session, number: int) -> None:
        code = fault.code or 0
        self._desk.tell_error(session.client_id, number, code, fault.text or text_of(code, number))

    # The order takes another turn

    def _keep_back(self, session: Session, texts: list[str]) -> None:
        """Enter a new order without letting it work: as one sent with transmit 0."""
        self._handle(session, [*texts[:LAST_TERM], "0", *texts[LAST_TERM + 1 :]])

    def _reject(self, kind: FaultKind, request: Request, session: Session, texts: list[str]) -> None:
        self._keep_back(session, texts)
        order = self._desk.engine.live.get(_key(request))
        if order is None or order.status != HELD:
            return
        text = text_of(201)
        del self._desk.engine.live[order.key]
        order = order.finished(INACTIVE, text, self._desk.clock())
        self._desk.ledger.put_order(order)
        if kind is not FaultKind.ERROR_ALONE:
            self._desk.telling.order(order)
        if kind is not FaultKind.INACTIVE_ALONE:
            self._desk.telling.error(order.key, 201, text)

    def _locate(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        key = _key(request)
        self._keep_back(session, texts)
        order = self._desk.engine.live.get(key)
        if order is None or order.status != HELD:
            return
        self._desk.telling.located.add(key)
        self._desk.telling.order(order)

        def revive() -> None:
            if key in self._desk.telling.located:
                self._read_late(self._stand_in(key[0], session.version), texts)

        self._hold(fault, request, revive)

    def _double(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        del fault
        told = _key(request)
        self._desk.twin(told)
        twin = twin_client(told)
        while self._desk.ledger.order((twin, told[1])) is not None:
            twin = twin_client((twin, told[1]))
        # Past the addressing: this message is for an order that is not there yet.
        handle(self._desk, self._stand_in(twin, session.version), texts)

    def _correct(self, fault: Fault, request: Request, session: Session, texts: list[str]) -> None:
        bust = fault.kind is FaultKind.BUSTED
        self._desk.correct_first(_key(request), fault.after or 0, bust=bust)
        self._handle(session, texts)


def _key(request: Request) -> OrderKey:
    return request.client_id, request.order_id


def _request_number(texts: list[str]) -> int:
    """The request id in a message that carries one (executions 7, contract details 9); -1 in others."""
    return int(texts[2]) if texts[0] in {"7", "9"} and len(texts) > 2 and texts[2].isdigit() else -1
