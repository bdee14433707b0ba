"""What one batch of messages said: gathered first, committed together, then told."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256

import structlog

from oms.domain.facts import Fact, PlacementReported, Unreadable
from oms.domain.programs.events import VenueEvent
from oms.domain.terms import PlacementStatus, Venue
from oms.gateways.ibkr.events import Said, Shown, event_of
from oms.gateways.ibkr.messages import FeeShown
from oms.gateways.ibkr.owners import Owners
from oms.gateways.ibkr.quarantine import Strangers
from oms.gateways.ibkr.reading import OVER
from oms.gateways.ibkr.records import Record, record_of
from oms.store import InboxMessage, Intent, IntentState

LOG = structlog.get_logger()
_FEES_KEPT = 10_000
_EXECUTIONS_KEPT = 200_000


class Next(StrEnum):
    """What the session has to find out after a message."""

    LOOK = "look what the order is"
    SETTLE_REJECTION = "a rejection that may be of a second send"
    SETTLE_CHANGE = "a change that the venue spoke against"
    SETTLE_CANCEL_REFUSED = "the venue did not cancel"
    SETTLE_NOT_FOUND = "the venue knows no such order"
    CANCEL_AGAIN = "an order that was withdrawn is alive"
    CHILD_REJECTED = "a parent must not work without a child that was rejected"


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Work for the session about one placement."""

    what: Next
    placement_id: str
    text: str


@dataclass(slots=True)
class Memory:
    """What makes a replay cheap, and pairs a commission with its execution.

    told: natural keys of the reports that are in the inbox. booked: facts by natural key, None for what is nobody's. executions: the intent behind an execution id.
    early_fees: commissions whose execution has not come yet. fees: of an execution, how many amounts were told and the
    last of them. said: what whoever watches was told.
    """

    told: set[str] = field(default_factory=set)
    booked: dict[str, tuple[str, Fact] | None] = field(default_factory=dict)
    executions: dict[str, Intent | None] = field(default_factory=dict)
    early_fees: dict[str, FeeShown] = field(default_factory=dict)
    fees: dict[str, tuple[int, Decimal | None]] = field(default_factory=dict)
    said: Said = field(default_factory=Said)

    def learn(self, news: "Memory") -> None:
        """Keep what a committed batch brought, within bounds."""
        if len(self.booked) > _EXECUTIONS_KEPT:
            self.booked, self.executions = {}, {}
        if len(self.fees) > _EXECUTIONS_KEPT:
            self.fees = {}
        if len(self.told) > _EXECUTIONS_KEPT:
            self.told = set()
        self.told |= news.told
        self.booked |= news.booked
        self.executions |= news.executions
        self.fees |= news.fees
        self.early_fees |= news.early_fees
        self.said.learn(news.said)
        for exec_id in self.early_fees.keys() & news.executions.keys():
            del self.early_fees[exec_id]
        while len(self.early_fees) > _FEES_KEPT:
            self.early_fees.pop(next(iter(self.early_fees)))


@dataclass(slots=True)
class Heard:
    """Facts by placement in order of arrival, what follows from them, and the intents as they become.

    owners: the intents that the messages may be about. memory: what committed batches brought. retermed: the
    placements whose intent has other terms than before. shown: the placements of which a message about the order itself came, not only one of its executions.
    """

    owners: Owners
    memory: Memory
    facts: list[tuple[str, Fact | None]] = field(default_factory=list)
    follow_ups: list[FollowUp] = field(default_factory=list)
    rows: list[InboxMessage] = field(default_factory=list)
    intents: dict[str, Intent] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    retermed: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)
    foreign: Strangers = field(default_factory=Strangers)
    news: Memory = field(default_factory=Memory)
    events: list[VenueEvent] = field(default_factory=list)

    def tell(self, message: Shown, intent: Intent | None) -> None:
        """Tell whoever watches what was said, of an order of ours or of another. Whatever comes of it, facts go on."""
        try:
            event = event_of(message, intent, self.memory.said, self.news.said)
        except Exception:
            LOG.exception("ibkr.alarm.event_not_told", message=repr(message))
            return
        if event is not None:
            self.events.append(event)

    def report(self, intent: Intent, key: str, fact: PlacementReported) -> None:
        """Tell a status, and move the intent where it leads."""
        record = record_of(intent)
        if record.doomed is not None and fact.status is PlacementStatus.CANCELED:
            fact = fact.model_copy(update={"reason": _because(record.doomed, fact.reason)})
        if key in self.memory.told or key in self.news.told:
            self.facts.append((intent.placement_id, fact))
        else:
            self.news.told.add(key)
            self.add(intent, key, fact)
        if intent.state is IntentState.WITHDRAWN:
            if fact.status not in OVER:
                LOG.error("ibkr.alarm.withdrawn_order_is_alive", placement_id=intent.placement_id)
                self.follow_ups.append(FollowUp(Next.CANCEL_AGAIN, intent.placement_id, str(fact.status)))
            return
        state = IntentState.DONE if fact.status in OVER else IntentState.ACKNOWLEDGED
        ends = state is IntentState.DONE and intent.state is not IntentState.DONE
        if ends and fact.status is PlacementStatus.REJECTED and record.parent_id:
            self.follow_ups.append(FollowUp(Next.CHILD_REJECTED, intent.placement_id, fact.reason or ""))
        if ends and fact.status is PlacementStatus.FILLED and record.doomed is not None:
            reason = (
                f"{record.doomed}; this order was filled before it could be canceled and stands without it"
            )
            self.surface(intent, "alone", record.doomed, reason, fact.ts_init_ns)
        # An openOrder does not say how much is filled: what an orderStatus said before stands.
        filled = record.filled if fact.filled_quantity is None else fact.filled_quantity
        told = {"status": fact.status, "filled": filled, "reason": fact.reason}
        update = {**told, "seen": True, "ends": record.ends + ends}
        self.move(intent, state, record.model_copy(update=update))

    def move(self, intent: Intent, state: IntentState, record: Record) -> Intent:
        """The intent in `state`, with what is known of it now."""
        detail = record.model_dump_json()
        if (intent.state, intent.detail) == (state, detail):
            return intent
        return self.keep(intent.model_copy(update={"state": state, "detail": detail}))

    def keep(self, intent: Intent) -> Intent:
        """Remember what an intent has become."""
        self.intents[intent.placement_id] = intent
        self.changed.add(intent.placement_id)
        self.owners.learn(intent)
        return intent

    def add(self, intent: Intent, key: str, fact: Fact) -> None:
        """Tell the order a fact; the same `key` again is not news."""
        self.rows.append(
            InboxMessage(natural_key=key, order_id=intent.order_id, fact=fact, ts_init_ns=fact.ts_init_ns)
        )
        self.facts.append((intent.placement_id, fact))

    def surface(self, intent: Intent, key: str, raw: str, reason: str, at_ns: int) -> None:
        """Show something to whoever looks at the order, without changing it."""
        LOG.error("ibkr.alarm.surfaced", placement_id=intent.placement_id, reason=reason, raw=raw)
        fact = Unreadable(source=Venue.IBKR, raw=raw, reason=reason, ts_event_ns=at_ns, ts_init_ns=at_ns)
        self.add(intent, f"surfaced/{intent.placement_id}/{key}", fact)

    def unreadable(self, raw: str, reason: str, at_ns: int, said: str | None = None) -> None:
        """Keep a message that nobody could read, once for each thing `said`: the raw text, unless that has a time."""
        LOG.error("ibkr.alarm.unreadable", reason=reason, raw=raw)
        self.rows.append(
            InboxMessage(
                natural_key=f"unreadable/{digest(raw if said is None else said)}",
                order_id=None,
                fact=None,
                raw=raw,
                reason=reason,
                ts_init_ns=at_ns,
            )
        )


def digest(text: str) -> str:
    """A text as a part of a natural key: the same in every process."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _because(why: str, text: str | None) -> str:
    return why if text is None else f"{why} ({text})"
