"""What every way of sending an order shares: its turn, its refusal, and what is said where nothing is known."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import structlog

from oms.domain.drafting import nanoseconds
from oms.domain.facts import TermsRounded, Unreadable
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket
from oms.gateways.ibkr.books import Books, Change, answer
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound, Watch
from oms.gateways.ibkr.pacing import Urgency
from oms.gateways.ibkr.records import Record, record_of
from oms.gateways.ibkr.settings import IBKRSettings
from oms.gateways.ibkr.wire import Wire
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
INTERRUPTED = "it was being sent when the gateway stopped"
UNKNOWN = "nothing is known of it at the broker"
NOT_SENT = "not sent"
NOT_SENT_AGAIN = "not sent again"


@dataclass(frozen=True, slots=True)
class Sending:
    """The rules around the wire call, and none about what is sent."""

    _settings: IBKRSettings
    _wire: Wire
    _gate: Gate
    _books: Books
    _inbound: Inbound
    _clock: Callable[[], int]

    async def turn(self, urgency: Urgency = Urgency.PLACE) -> None:
        """Wait for our turn to send one message. Raises GatewayNotReady where the gate closed meanwhile."""
        await self._wire.pacer.turn(urgency)
        self._gate.require_open()

    async def first_word(self, watch: Watch) -> None:
        """Wait for the first word about an order that was just sent, as long as an answer may take."""
        await self.word(watch, lambda: _has_news(watch))

    async def word(self, watch: Watch, enough: Callable[[], bool]) -> None:
        """Wait until `enough()`, the connection is gone, or an answer would have come."""
        seconds = self._settings.acknowledge_seconds
        await watch.until(lambda: enough() or not self._wire.is_connected, seconds)

    async def doubt_unless_heard(self, intent: Intent) -> Intent:
        """The intent after the wait for its first word: still SENDING means that nobody knows."""
        intent = await self._books.get(intent.placement_id) or intent
        if intent.state is not IntentState.SENDING:
            return intent
        return await self._books.doubt(intent, self.no_answer())

    def no_answer(self) -> str:
        """Why nothing is known after that wait, in a sentence."""
        if not self._wire.is_connected:
            return "the connection broke before an answer"
        return f"no answer within {self._settings.acknowledge_seconds:g} s"

    def overdue(self, *tickets: PlacementTicket) -> str | None:
        """Why these, which go out together, must not leave any more; None while they may. Asked last, before the wire."""
        given = [ticket.handling.send_by for ticket in tickets if ticket.handling.send_by is not None]
        if not given or self._clock() <= nanoseconds(min(given)):
            return None
        return f"it was to be sent by {min(given).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}, and not later"

    def is_listed_today(self, intent: Intent) -> bool:
        """The broker lists completed orders and executions of the current day only."""
        zone = ZoneInfo(self._settings.timezone)
        sent_ns = record_of(intent).sent_ns or intent.created_ns
        days = [datetime.fromtimestamp(ns / 1e9, zone).date() for ns in (sent_ns, self._clock())]
        return days[0] == days[1]

    async def refuse(self, ticket: PlacementTicket, reason: str) -> Intent:
        """Rejected without being sent, and kept, so that it stays rejected."""
        record = Record(status=PlacementStatus.REJECTED, reason=reason)
        intent, mine = await self._books.open(ticket, IntentState.DONE, record)
        if mine or record_of(intent) == record:
            fact = answer(intent).facts[0]
            await self._inbound.tell(
                ticket.order_id, ticket.placement_id, f"refused/{ticket.placement_id}", fact
            )
        return intent

    async def take_back(self, intent: Intent, reason: str) -> Intent:
        """The same for an intent that stands, where it is known that nothing of it was written to the wire."""
        update = {"status": PlacementStatus.REJECTED, "reason": reason}
        moved = await self._books.take_back([intent], IntentState.DONE, update)
        if moved is None:
            return await self._books.get(intent.placement_id) or intent
        fact = answer(moved[0]).facts[0]
        await self._inbound.tell(intent.order_id, intent.placement_id, f"refused/{intent.placement_id}", fact)
        return moved[0]

    async def hold(self, intent: Intent, reason: str) -> Intent:
        """Keep a placement in doubt that would be sent again, and say why it is not."""
        LOG.error("ibkr.alarm.needs_a_person", placement_id=intent.placement_id, reason=reason)

        def held(current: Intent, record: Record) -> Change | None:
            if current.state is not IntentState.IN_DOUBT or record.seen or reason in (record.reason or ""):
                return None
            number = record.doubts + 1
            told = f"{UNKNOWN}; {reason}"
            update = {"status": PlacementStatus.IN_DOUBT, "reason": told, "doubts": number}
            return Change(f"doubt-{number}", IntentState.IN_DOUBT, record.model_copy(update=update))

        return await self._books.change(intent.placement_id, held) or intent


def _has_news(watch: Watch) -> bool:
    """Whether anything was said of the order: what was rounded and what nobody could read is none."""
    return any(not isinstance(fact, TermsRounded | Unreadable) for fact in watch.facts)
