"""A batch of messages into inbox rows and intent states. Runs in a thread, one batch at a time.

What was said is committed first, for whoever watches, then the inbox rows, then the intents move: a crash in between
is repaired by hearing the same messages again, which are the same events and the same rows.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import structlog

from oms.domain.facts import PlacementReported
from oms.domain.identifiers import placement_of
from oms.domain.terms import PlacementStatus
from oms.gateways.ibkr import changes, reading
from oms.gateways.ibkr.error_codes import Meaning, meaning
from oms.gateways.ibkr.events import knows_execution
from oms.gateways.ibkr.heard import FollowUp, Heard, Memory, Next, digest
from oms.gateways.ibkr.messages import (
    ErrorShown,
    ExecutionShown,
    FeeShown,
    Message,
    NotUnderstood,
    OrderShown,
    StatusShown,
)
from oms.gateways.ibkr.owners import Owners
from oms.gateways.ibkr.quarantine import Quarantine
from oms.gateways.ibkr.reading import OVER
from oms.gateways.ibkr.records import Record, record_of
from oms.gateways.ibkr.settings import IBKRSettings
from oms.store import Intent, IntentState, Store

LOG = structlog.get_logger()
__all__ = ["FollowUp", "Heard", "Next", "Translator", "record_of"]
_UNSETTLED = (IntentState.SENDING, IntentState.IN_DOUBT)
_NEVER_SENT = "the broker has an order under our reference that this order book never sent: look at it in TWS"


class Translator:
    """Remembers committed batches only: one that fails is heard again from the start."""

    def __init__(self, store: Store, settings: IBKRSettings) -> None:
        self._store = store
        self._settings = settings
        self._memory = Memory()
        self._quarantine = Quarantine(store, settings)

    def hear(self, messages: list[Message]) -> Heard:
        """Commit what `messages` say. Hearing a message twice changes nothing and is heard all the same."""
        heard = Heard(Owners(self._store, messages), self._memory)
        heard.news.fees |= self._told_before(messages)
        for message in messages:
            try:
                self._read(message, heard)
            except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
                said = repr(replace(message, received_ns=0))
                heard.unreadable(repr(message), str(error), message.received_ns, said)
        self._store.venue_events.add(self._settings.name, heard.events)
        if heard.rows:
            self._store.inbox.add(self._settings.name, heard.rows)
        self._quarantine.keep(heard.foreign)
        self._store.intents.update_all([heard.intents[name] for name in heard.changed], heard.retermed)
        self._memory.learn(heard.news)
        return heard

    # One message

    def _read(self, message: Message, heard: Heard) -> None:
        if isinstance(message, NotUnderstood):
            heard.unreadable(message.raw, message.reason, message.received_ns)
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
        heard.shown.add(intent.placement_id)
        if not intent.was_sent:
            self._never_sent(intent, message, heard)
            return
        if self._is_another(intent, message, heard):
            return
        intent = self._with_perm_id(intent, message, heard)
        if isinstance(message, OrderShown) and not message.completed:
            intent = changes.compared(intent, message, heard)
        record = record_of(intent)
        try:
            fact = reading.report(message, intent.ticket, intent.perm_ids)
        except ValueError as error:
            self._unknown_status(intent, message, str(error), heard)
            return
        key = reading.status_key(message, record)
        if (
            fact is None
            or self._is_stale(intent, record, fact)
            or self._others_live(intent, message, fact, heard)
        ):
            self._watch_the_dead(intent, message, fact, heard)
            heard.facts.append((intent.placement_id, None))
            return
        heard.report(intent, key, fact)

    def _never_sent(self, intent: Intent, message: OrderShown | StatusShown, heard: Heard) -> None:
        """An order that we do not know to have sent is neither adopted nor canceled, nor sent beside it."""
        self._quarantine.meet(message, heard.foreign)
        heard.surface(
            intent, f"never-sent/{message.perm_id}", repr(message), _NEVER_SENT, message.received_ns
        )
        if intent.state is IntentState.QUEUED:
            self._doubt(intent, message, _NEVER_SENT, {"seen": True, "disputed": True}, heard)

    def _unknown_status(
        self, intent: Intent, message: OrderShown | StatusShown, reason: str, heard: Heard
    ) -> None:
        """The broker has the order, whatever its word for it means: it is sighted, and never sent again."""
        said = f"status/{message.perm_id}/{message.status}"
        heard.unreadable(repr(message), reason, message.received_ns, said)
        heard.move(intent, intent.state, record_of(intent).model_copy(update={"seen": True}))
        heard.facts.append((intent.placement_id, None))

    def _watch_the_dead(
        self,
        intent: Intent,
        message: OrderShown | StatusShown,
        fact: PlacementReported | None,
        heard: Heard,
    ) -> None:
        """An order that is over and listed as alive, too long after its end to be late, is shown to a person."""
        if not isinstance(message, OrderShown) or fact is None or fact.status in OVER:
            return
        if intent.state is not IntentState.DONE or intent.placement_id in heard.changed:
            return
        if message.received_ns - intent.updated_ns > self._settings.grace_seconds * 1e9:
            reason = (
                f"the placement is {record_of(intent).status}, and the broker lists it as {message.status}"
            )
            heard.surface(intent, f"alive/{message.perm_id}", repr(message), reason, message.received_ns)

    def _is_another(self, intent: Intent, message: OrderShown | StatusShown, heard: Heard) -> bool:
        """Whether the order under our reference is not the one that we sent; then a person is shown why."""
        record = record_of(intent)
        live = intent.state in (*_UNSETTLED, IntentState.ACKNOWLEDGED)
        if not isinstance(message, OrderShown) or not live or record.disputed:
            return False
        wrong = reading.disagreement(
            message, intent.ticket, quantities=changes.quantities(record), conid=record.conid
        )
        if wrong is not None:
            self._dispute(intent, message, wrong, heard)
        return wrong is not None

    def _others_live(
        self, intent: Intent, message: OrderShown | StatusShown, fact: PlacementReported, heard: Heard
    ) -> bool:
        """Whether this is the end of one of several orders behind our reference, and not of the last."""
        if fact.status not in OVER or len(intent.perm_ids) < 2:
            return False
        record = record_of(intent)
        ended = tuple(dict.fromkeys((*record.ended, message.perm_id)))
        if not set(intent.perm_ids) - set(ended):
            return False
        reason = f"one of the orders behind our reference is {fact.status}; another one works on"
        heard.surface(intent, f"ended/{message.perm_id}", repr(message), reason, message.received_ns)
        heard.move(intent, intent.state, record.model_copy(update={"ended": ended}))
        return True

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
            intent = self._with_perm_id(intent, message, heard)
            fact = reading.execution(message, intent.placement_id)
            heard.add(intent, key, fact)
            heard.news.booked[key] = (intent.placement_id, fact)
            if intent.state in _UNSETTLED:
                found = self._verdict(intent, PlacementStatus.WORKING, None, message)
                heard.report(intent, f"found/{message.exec_id}", found)
        else:
            heard.news.booked[key] = None
        heard.news.executions[message.exec_id] = intent
        early = heard.news.early_fees.pop(message.exec_id, None) or self._memory.early_fees.get(
            message.exec_id
        )
        if early is not None:
            self._fee(early, heard)

    def _fee(self, message: FeeShown, heard: Heard) -> None:
        count, last = heard.news.fees.get(message.exec_id) or self._memory.fees.get(
            message.exec_id, (0, None)
        )
        if message.commission == last:
            return
        of_batch = message.exec_id in heard.news.executions
        executions = heard.news.executions if of_batch else self._memory.executions
        if message.exec_id not in executions:
            # It came before its execution; a report that is lost here comes again with the next list.
            heard.news.early_fees[message.exec_id] = message
            return
        intent = executions[message.exec_id]
        if intent is not None or knows_execution(message.exec_id, heard.news.said, heard.memory.said):
            heard.tell(message, intent)
        if intent is not None:
            # An amount may come back after another: the newest stands, so that it is told again.
            number = f"/{count}" if count else ""
            key = f"{_fee(message.exec_id)}{message.commission}{number}"
            heard.add(intent, key, reading.charge(message))
        heard.news.fees[message.exec_id] = (count + 1, message.commission)

    def _told_before(self, messages: Sequence[Message]) -> dict[str, tuple[int, Decimal | None]]:
        """Of executions whose charges this process has not heard of: how many it was told before, and the last."""
        fees = {message.exec_id for message in messages if isinstance(message, FeeShown)}
        unknown = sorted(fees - self._memory.fees.keys())
        told: dict[str, tuple[int, Decimal | None]] = dict.fromkeys(unknown, (0, None))
        for key in self._store.inbox.keys_under(self._settings.name, [_fee(one) for one in unknown]):
            _, exec_id, commission, *_ = key.split("/")
            told[exec_id] = (told[exec_id][0] + 1, Decimal(commission))
        return told

    def _error(self, message: ErrorShown, heard: Heard) -> None:
        means = meaning(message.code)
        text = f"{message.code}: {message.text}"
        intent = self._by_broker_id(message.order_id)
        heard.tell(message, intent)
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
            key = f"error/{message.order_id}/{message.code}/{digest(message.text)}"
            heard.surface(intent, key, text, reason, message.received_ns)
            heard.follow_ups.append(FollowUp(Next.LOOK, intent.placement_id, text))

    def _rejection(self, intent: Intent, message: ErrorShown, text: str, heard: Heard) -> None:
        """Definitive for the first send of an order that nobody acknowledged; otherwise the lists decide."""
        if intent.state is IntentState.SENDING:
            key = f"rejected/{intent.client_id}:{intent.broker_order_id}"
            heard.report(intent, key, self._verdict(intent, PlacementStatus.REJECTED, text, message))
        elif intent.state is IntentState.IN_DOUBT:
            heard.follow_ups.append(FollowUp(Next.SETTLE_REJECTION, intent.placement_id, text))
        elif intent.state is IntentState.ACKNOWLEDGED:
            LOG.warning("ibkr.alarm.change_rejected", placement_id=intent.placement_id, error=text)
            if not changes.spoken_against(intent, text, heard):
                heard.follow_ups.append(FollowUp(Next.LOOK, intent.placement_id, text))

    def _duplicate(self, intent: Intent, message: ErrorShown, text: str, heard: Heard) -> None:
        """The venue has seen the id: from now on it is looked for and never sent again."""
        if intent.state in _UNSETTLED:
            self._doubt(intent, message, text, {"seen": True}, heard)
        else:
            # Of an order that lives it can only be the change; a finished one is what it is.
            changes.spoken_against(intent, text, heard)

    def _dispute(self, intent: Intent, message: OrderShown, wrong: str, heard: Heard) -> None:
        """The order under our reference is another one: nothing more is sent, and a person is shown why."""
        intent = self._with_perm_id(intent, message, heard)
        heard.surface(intent, f"disagree/{message.perm_id}", repr(message), wrong, message.received_ns)
        self._doubt(intent, message, wrong, {"seen": True, "disputed": True}, heard)

    def _doubt(
        self,
        intent: Intent,
        message: ErrorShown | OrderShown | StatusShown,
        reason: str,
        update: dict[str, bool],
        heard: Heard,
    ) -> None:
        record = record_of(intent)
        number = record.doubts + 1
        told = {"status": PlacementStatus.IN_DOUBT, "reason": reason, "doubts": number}
        fact = self._verdict(intent, PlacementStatus.IN_DOUBT, reason, message)
        heard.add(intent, f"doubt-{number}/{intent.placement_id}", fact)
        heard.move(intent, IntentState.IN_DOUBT, record.model_copy(update={**told, **update}))

    def _canceled(self, intent: Intent, message: ErrorShown, text: str, heard: Heard) -> None:
        if intent.state in (IntentState.DONE, IntentState.WITHDRAWN):
            return
        if len(intent.perm_ids) > 1:
            # The error names the order id, which all of them have: their statuses and the lists say which it was.
            heard.follow_ups.append(FollowUp(Next.LOOK, intent.placement_id, text))
            return
        status = reading.placement_status("Cancelled", "", text, intent.ticket.time_in_force)
        key = f"canceled/{intent.client_id}:{intent.broker_order_id}"
        verdict = self._verdict(intent, status or PlacementStatus.CANCELED, text, message)
        heard.report(intent, key, verdict)

    def _verdict(
        self,
        intent: Intent,
        status: PlacementStatus,
        text: str | None,
        message: ErrorShown | ExecutionShown | OrderShown | StatusShown,
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
        ref = message.order_ref if isinstance(message, OrderShown | ExecutionShown) else ""
        placement_id = placement_of(ref)
        found: Intent | None = None
        if placement_id is not None:
            found = heard.owners.by_placement(placement_id)
        elif not ref:
            found = heard.owners.by_perm_id(message.perm_id)
            if found is None and message.client_id == self._settings.client_id:
                stranger = self._quarantine.knows(message.perm_id, heard.foreign)
                found = None if stranger else self._by_broker_id(message.order_id)
        if found is None:
            self._quarantine.meet(message, heard.foreign)
            heard.tell(message, None)
            return None
        if found.gateway != self._settings.name:
            # Another session's order, seen in a list of all clients: that session reports it.
            return None
        heard.tell(message, found)
        return heard.intents.get(found.placement_id, found)

    def _by_broker_id(self, order_id: int) -> Intent | None:
        """The intent that was sent under this id."""
        if order_id <= 0:
            return None
        found = self._store.intents.by_broker_id(self._settings.client_id, order_id, self._settings.name)
        return found if found is not None and found.was_sent else None

    def _with_perm_id(
        self, intent: Intent, message: OrderShown | StatusShown | ExecutionShown, heard: Heard
    ) -> Intent:
        """The intent with the permanent id of the message. A second one is a second order: shown, never hidden."""
        perm_id = message.perm_id
        if perm_id <= 0 or perm_id in intent.perm_ids:
            return intent
        known = intent.perm_ids
        intent = heard.keep(intent.model_copy(update={"perm_ids": (*known, perm_id)}))
        if known:
            LOG.error(
                "ibkr.alarm.second_order_at_the_broker",
                placement_id=intent.placement_id,
                perm_ids=intent.perm_ids,
            )
            reason = (
                f"the broker has a second order under our reference: permId {perm_id} beside {known[0]}. Both have our "
                "order id, so a cancel cannot be aimed at one of them: cancel one in TWS"
            )
            heard.surface(intent, f"second-order/{perm_id}", repr(message), reason, message.received_ns)
        return intent


def _fee(exec_id: str) -> str:
    """How the natural keys of an execution's charges begin."""
    return f"fee/{exec_id}/"
