"""A batch of messages into inbox rows and intent states. Runs in a thread, one batch at a time.

The inbox row is committed before the intent moves: a crash between the two is repaired by hearing the same
message again, which is the same row.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from oms.domain.facts import Fact, PlacementReported, Unreadable
from oms.domain.identifiers import placement_of
from oms.domain.terms import PlacementStatus, Venue
from oms.gateways.ibkr import reading
from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.ibkr.messages import (
    ErrorShown,
    ExecutionShown,
    FeeShown,
    Message,
    NotUnderstood,
    OrderShown,
    StatusShown,
)
from oms.gateways.ibkr.reading import OVER, Record
from oms.gateways.ibkr.settings import IBKRSettings
from oms.store import InboxMessage, Intent, IntentState, Store

LOG = structlog.get_logger()
_UNSETTLED = (IntentState.SENDING, IntentState.IN_DOUBT)
_FEES_KEPT = 10_000
_EXECUTIONS_KEPT = 200_000


class Next(StrEnum):
    """What the session has to find out after a message."""

    LOOK = "look what the order is"
    SETTLE_REJECTION = "a rejection that may be of a second send"
    SETTLE_CANCEL_REFUSED = "the venue did not cancel"
    SETTLE_NOT_FOUND = "the venue knows no such order"
    CANCEL_AGAIN = "an order that was withdrawn is alive"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Work for the session about one placement."""

    what: Next
    placement_id: str
    text: str


@dataclass(slots=True)
class Memory:
    """What makes a replay cheap, and pairs a commission with its execution.

    booked: facts by natural key, None for what is nobody's. executions: the intent behind an execution id.
    early_fees: commissions whose execution has not come yet. foreign: keys of orders that are not ours.
    """

    booked: dict[str, tuple[str, Fact] | None] = field(default_factory=dict)
    executions: dict[str, Intent | None] = field(default_factory=dict)
    early_fees: dict[str, FeeShown] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)

    def learn(self, news: "Memory") -> None:
        """Keep what a committed batch brought, within bounds."""
        if len(self.booked) > _EXECUTIONS_KEPT:
            self.booked, self.executions = {}, {}
        self.booked |= news.booked
        self.executions |= news.executions
        self.early_fees |= news.early_fees
        for exec_id in self.early_fees.keys() & news.executions.keys():
            del self.early_fees[exec_id]
        while len(self.early_fees) > _FEES_KEPT:
            self.early_fees.pop(next(iter(self.early_fees)))
        self.foreign |= news.foreign


@dataclass(slots=True)
class Heard:
    """What one batch said: facts by placement in order of arrival, and what follows from them."""

    facts: list[tuple[str, Fact | None]] = field(default_factory=list)
    follow_ups: list[FollowUp] = field(default_factory=list)
    rows: list[InboxMessage] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    news: Memory = field(default_factory=Memory)


class Translator:
    """Remembers committed batches only: one that fails is heard again from the start."""

    def __init__(self, store: Store, settings: IBKRSettings) -> None:
        self._store = store
        self._settings = settings
        self._memory = Memory()

    def hear(self, messages: list[Message]) -> Heard:
        """Commit what `messages` say. Hearing a message twice changes nothing and is heard all the same."""
        heard = Heard()
        for message in messages:
            try:
                self._read(message, heard)
            except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
                self._unreadable(repr(message), str(error), message.received_ns, heard)
        if heard.rows:
            self._store.inbox.add(self._settings.name, heard.rows)
        for placement_id in heard.changed:
            intent = heard.intents[placement_id]
            self._store.intents.update(
                placement_id, state=intent.state, perm_ids=intent.perm_ids, detail=intent.detail
            )
        self._memory.learn(heard.news)
        return heard

    # One message

    def _read(self, message: Message, heard: Heard) -> None:
        if isinstance(message, NotUnderstood):
            self._unreadable(message.raw, message.reason, message.received_ns, heard)
        elif isinstance(message, ErrorShown):
            self._error(message, heard)
        elif isinstance(message, FeeShown):
            self._fee(message, heard)
        elif isinstance(message, ExecutionShown):
            self._execution(message, heard)
        else:
            self._order(message, heard)

    def _order(self, message: OrderShown | StatusShown, heard: Heard) -> None:
        intent = self._owner(message, heard)
        if intent is None:
            return
        record = record_of(intent)
        if isinstance(message, OrderShown) and intent.state in (*_UNSETTLED, IntentState.ACKNOWLEDGED):
            wrong = None if record.disputed else reading.disagreement(message, intent.ticket)
            if wrong is not None:
                self._dispute(intent, message, wrong, heard)
                return
        intent = self._with_perm_id(intent, message.perm_id, heard)
        fact = reading.report(message, intent.ticket, intent.perm_ids)
        key = reading.status_key(message, record)
        if fact is None or self._is_stale(intent, record, fact):
            heard.facts.append((intent.placement_id, None))
            return
        self._tell(intent, key, fact, heard)

    def _is_stale(self, intent: Intent, record: Record, fact: PlacementReported) -> bool:
        """Whether an order that is over is told again, or late as it was before; a disputed one can only end."""
        if record.disputed:
            return fact.status not in OVER
        if intent.state is not IntentState.DONE:
            return False
        if fact.status == record.status:
            return fact.filled_quantity is None or record.filled is not None
        return fact.status not in OVER and record.status is not PlacementStatus.REJECTED

    def _execution(self, message: ExecutionShown, heard: Heard) -> None:
        key = f"exec/{message.exec_id}"
        booked = heard.news.booked if key in heard.news.booked else self._memory.booked
        if key in booked:
            known = booked[key]
            if known is not None:
                heard.facts.append(known)
            return
        intent = self._owner(message, heard)
        if intent is not None:
            intent = self._with_perm_id(intent, message.perm_id, heard)
            fact = reading.execution(message, intent.placement_id)
            self._add(intent, key, fact, heard)
            heard.news.booked[key] = (intent.placement_id, fact)
            if intent.state in _UNSETTLED:
                found = self._verdict(intent, PlacementStatus.WORKING, None, message)
                self._tell(intent, f"found/{message.exec_id}", found, heard)
        else:
            heard.news.booked[key] = None
        heard.news.executions[message.exec_id] = intent
        early = heard.news.early_fees.pop(message.exec_id, None) or self._memory.early_fees.get(
            message.exec_id
        )
        if early is not None:
            self._fee(early, heard)

    def _fee(self, message: FeeShown, heard: Heard) -> None:
        key = f"fee/{message.exec_id}/{message.commission}"
        if key in heard.news.booked or key in self._memory.booked:
            return
        of_batch = message.exec_id in heard.news.executions
        executions = heard.news.executions if of_batch else self._memory.executions
        if message.exec_id not in executions:
            # It came before its execution; a report that is lost here comes again with the next list.
            heard.news.early_fees[message.exec_id] = message
            return
        intent = executions[message.exec_id]
        if intent is not None:
            self._add(intent, key, reading.charge(message), heard)
        heard.news.booked[key] = None

    def _error(self, message: ErrorShown, heard: Heard) -> None:
        means = meaning(message.code)
        text = f"{message.code}: {message.text}"
        intent = self._by_broker_id(message.order_id)
        if intent is None:
            LOG.warning("ibkr.error_on_unknown_order", order_id=message.order_id, error=text)
            return
        intent = heard.intents.get(intent.placement_id, intent)
        LOG.info("ibkr.error", placement_id=intent.placement_id, meaning=means, error=text)
        if means is Meaning.REJECTED:
            self._rejection(intent, message, text, heard)
        elif means is Meaning.CANCELED:
            self._canceled(intent, message, text, heard)
        elif means is Meaning.DUPLICATE:
            self._duplicate(intent, message, text, heard)
        elif means is Meaning.NOT_CANCELABLE:
            heard.follow_ups.append(FollowUp(Next.SETTLE_CANCEL_REFUSED, intent.placement_id, text))
        elif means is Meaning.NOT_FOUND:
            heard.follow_ups.append(FollowUp(Next.SETTLE_NOT_FOUND, intent.placement_id, text))
        elif means is not Meaning.INFORMATIONAL:
            reason = f"error {message.code} is not in our table; the order is what the broker says next"
            self._surface(
                intent, f"error/{message.order_id}/{message.code}", text, reason, message.received_ns, heard
            )
            heard.follow_ups.append(FollowUp(Next.LOOK, intent.placement_id, text))

    def _rejection(self, intent: Intent, message: ErrorShown, text: str, heard: Heard) -> None:
        """Definitive for the first send of an order that nobody acknowledged; otherwise the lists decide."""
        if intent.state is IntentState.SENDING:
            key = f"rejected/{intent.client_id}:{intent.broker_order_id}"
            self._tell(intent, key, self._verdict(intent, PlacementStatus.REJECTED, text, message), heard)
        elif intent.state is IntentState.IN_DOUBT:
            heard.follow_ups.append(FollowUp(Next.SETTLE_REJECTION, intent.placement_id, text))
        elif intent.state is IntentState.ACKNOWLEDGED:
            LOG.warning("ibkr.alarm.change_rejected", placement_id=intent.placement_id, error=text)
            heard.follow_ups.append(FollowUp(Next.LOOK, intent.placement_id, text))

    def _duplicate(self, intent: Intent, message: ErrorShown, text: str, heard: Heard) -> None:
        """The venue has seen the id: from now on it is looked for and never sent again."""
        if intent.state in _UNSETTLED:
            self._doubt(intent, message, text, {"seen": True}, heard)

    def _dispute(self, intent: Intent, message: OrderShown, wrong: str, heard: Heard) -> None:
        """The order under our reference is another one: nothing more is sent, and a person is shown why."""
        intent = self._with_perm_id(intent, message.perm_id, heard)
        self._surface(intent, f"disagree/{message.perm_id}", repr(message), wrong, message.received_ns, heard)
        self._doubt(intent, message, wrong, {"seen": True, "disputed": True}, heard)

    def _doubt(
        self,
        intent: Intent,
        message: ErrorShown | OrderShown,
        reason: str,
        update: dict[str, bool],
        heard: Heard,
    ) -> None:
        record = record_of(intent)
        number = record.doubts + 1
        told = {"status": PlacementStatus.IN_DOUBT, "reason": reason, "doubts": number}
        fact = self._verdict(intent, PlacementStatus.IN_DOUBT, reason, message)
        self._add(intent, f"doubt-{number}/{intent.placement_id}", fact, heard)
        self._move(intent, IntentState.IN_DOUBT, record.model_copy(update={**told, **update}), heard)

    def _canceled(self, intent: Intent, message: ErrorShown, text: str, heard: Heard) -> None:
        if intent.state in (IntentState.DONE, IntentState.WITHDRAWN):
            return
        status = reading.placement_status("Cancelled", "", text, intent.ticket.time_in_force)
        key = f"canceled/{intent.client_id}:{intent.broker_order_id}"
        self._tell(
            intent, key, self._verdict(intent, status or PlacementStatus.CANCELED, text, message), heard
        )

    def _verdict(
        self,
        intent: Intent,
        status: PlacementStatus,
        text: str | None,
        message: ErrorShown | ExecutionShown | OrderShown,
    ) -> PlacementReported:
        return PlacementReported(
            placement_id=intent.placement_id,
            status=status,
            venue_order_ids=tuple(str(perm_id) for perm_id in intent.perm_ids),
            reason=text,
            ts_event_ns=message.received_ns,
            ts_init_ns=message.received_ns,
        )

    # Whose it is

    def _owner(self, message: OrderShown | StatusShown | ExecutionShown, heard: Heard) -> Intent | None:
        """The intent behind a message: by orderRef, then permId, then our own (clientId, orderId)."""
        intents = self._store.intents
        ref = message.order_ref if isinstance(message, OrderShown | ExecutionShown) else ""
        placement_id = placement_of(ref)
        found: Intent | None = None
        if placement_id is not None:
            found = heard.intents.get(placement_id) or intents.get(placement_id)
        elif not ref:
            found = intents.by_perm_id(message.perm_id) if message.perm_id > 0 else None
            if found is None and message.client_id == self._settings.client_id and message.order_id > 0:
                found = self._by_broker_id(message.order_id)
        if found is None:
            self._keep_foreign(message, heard)
            return None
        # Another session's order, seen in a list of all clients: that session reports it.
        return heard.intents.get(found.placement_id, found) if found.gateway == self._settings.name else None

    def _by_broker_id(self, order_id: int) -> Intent | None:
        return self._store.intents.by_broker_id(self._settings.client_id, order_id, self._settings.name)

    def _keep_foreign(self, message: OrderShown | StatusShown | ExecutionShown, heard: Heard) -> None:
        what = message.exec_id if isinstance(message, ExecutionShown) else message.status
        key = f"foreign/{message.perm_id}/{message.client_id}:{message.order_id}/{what}"
        if key in self._memory.foreign or key in heard.news.foreign:
            return
        heard.news.foreign.add(key)
        reason = "an order that this system did not place"
        LOG.warning("ibkr.foreign_order", perm_id=message.perm_id, client_id=message.client_id, what=what)
        heard.rows.append(
            InboxMessage(
                natural_key=key,
                order_id=None,
                fact=None,
                raw=repr(message),
                reason=reason,
                ts_init_ns=message.received_ns,
            )
        )

    # What is written

    def _with_perm_id(self, intent: Intent, perm_id: int, heard: Heard) -> Intent:
        if perm_id <= 0 or perm_id in intent.perm_ids:
            return intent
        if intent.perm_ids:
            LOG.error(
                "ibkr.alarm.second_order_at_the_broker",
                placement_id=intent.placement_id,
                perm_ids=(*intent.perm_ids, perm_id),
            )
        return self._keep(intent.model_copy(update={"perm_ids": (*intent.perm_ids, perm_id)}), heard)

    def _tell(self, intent: Intent, key: str, fact: PlacementReported, heard: Heard) -> None:
        """Report a status, and move the intent where it leads."""
        self._add(intent, key, fact, heard)
        if intent.state is IntentState.WITHDRAWN:
            if fact.status not in OVER:
                LOG.error("ibkr.alarm.withdrawn_order_is_alive", placement_id=intent.placement_id)
                heard.follow_ups.append(FollowUp(Next.CANCEL_AGAIN, intent.placement_id, str(fact.status)))
            return
        state = IntentState.DONE if fact.status in OVER else IntentState.ACKNOWLEDGED
        update = {"status": fact.status, "filled": fact.filled_quantity, "reason": fact.reason}
        self._move(intent, state, record_of(intent).model_copy(update=update), heard)

    def _move(self, intent: Intent, state: IntentState, record: Record, heard: Heard) -> None:
        self._keep(intent.model_copy(update={"state": state, "detail": record.model_dump_json()}), heard)

    def _keep(self, intent: Intent, heard: Heard) -> Intent:
        heard.intents[intent.placement_id] = intent
        heard.changed.add(intent.placement_id)
        return intent

    def _add(self, intent: Intent, key: str, fact: Fact, heard: Heard) -> None:
        heard.rows.append(
            InboxMessage(natural_key=key, order_id=intent.order_id, fact=fact, ts_init_ns=fact.ts_init_ns)
        )
        heard.facts.append((intent.placement_id, fact))

    def _surface(self, intent: Intent, key: str, raw: str, reason: str, at_ns: int, heard: Heard) -> None:
        """Show something to whoever looks at the order, without changing it."""
        LOG.error("ibkr.alarm.surfaced", placement_id=intent.placement_id, reason=reason, raw=raw)
        fact = Unreadable(source=Venue.IBKR, raw=raw, reason=reason, ts_event_ns=at_ns, ts_init_ns=at_ns)
        self._add(intent, f"surfaced/{intent.placement_id}/{key}", fact, heard)

    def _unreadable(self, raw: str, reason: str, at_ns: int, heard: Heard) -> None:
        LOG.error("ibkr.alarm.unreadable", reason=reason, raw=raw)
        heard.rows.append(
            InboxMessage(
                natural_key=f"unreadable/{at_ns}/{hash(raw) & 0xFFFFFFFF:08x}",
                order_id=None,
                fact=None,
                raw=raw,
                reason=reason,
                ts_init_ns=at_ns,
            )
        )


def record_of(intent: Intent) -> Record:
    """What is known of the placement behind `intent`."""
    return Record.model_validate_json(intent.detail) if intent.detail else Record()
