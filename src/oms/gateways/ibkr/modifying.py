"""Changing a live order: the same order id with other terms, under the same rules of doubt as a placement.

The change is written into the intent before the wire call. What a crash at each step leaves:

- before it is written: nothing was sent; the next call starts over;
- after that, sent or not: the next call looks at the open orders. New terms there: changed. Old terms there: the
  same bytes are sent again, which is the same change twice;
- the order not listed: looked for twice; then the change is refused with what the order became, or in doubt.

While the broker has two orders behind our reference nothing is sent for either: a person decides.
"""

from collections.abc import Callable

import structlog
from ib_async import Contract

from oms.domain.facts import ChangeInDoubt, ChangeRefused, PlacementChanged, PlacementReported
from oms.domain.numbers import plain
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.ibkr import changes
from oms.gateways.ibkr.books import UNSETTLED, Books, Revised, answer
from oms.gateways.ibkr.checking import Checked, Checking
from oms.gateways.ibkr.contracts import UnknownContract
from oms.gateways.ibkr.flights import Flights
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.inbound import Inbound, Watch
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.looking import Looking
from oms.gateways.ibkr.orders import UnsupportedOrder, order_of
from oms.gateways.ibkr.pacing import Urgency
from oms.gateways.ibkr.placing import Placing
from oms.gateways.ibkr.reading import OVER
from oms.gateways.ibkr.records import ChangeState, Record, Revision, record_of
from oms.gateways.ibkr.sending import INTERRUPTED, Sending
from oms.gateways.ibkr.sweeps import Sweeps
from oms.gateways.ibkr.wire import Wire
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
_TURN = Urgency.QUERY
"""A change goes before new orders and after cancels."""
_OVER = (IntentState.DONE, IntentState.WITHDRAWN)
_TWO_ORDERS = (
    "the broker has a second order under our reference: cancel one of them in TWS; nothing is sent meanwhile"
)


class Modifying:
    """Changes placements. `flights` are the changes on their way right now."""

    def __init__(
        self,
        gate: Gate,
        wire: Wire,
        books: Books,
        inbound: Inbound,
        sweeps: Sweeps,
        looking: Looking,
        checking: Checking,
        sending: Sending,
        placing: Placing,
        locks: Locks,
        clock: Callable[[], int],
    ) -> None:
        self._gate = gate
        self._wire = wire
        self._books = books
        self._inbound = inbound
        self._sweeps = sweeps
        self._looking = looking
        self._checking = checking
        self._sending = sending
        self._placing = placing
        self._locks = locks
        self._clock = clock
        self._turns = Locks()
        self.flights = Flights()

    async def modify(self, ticket: PlacementTicket) -> VenueAnswer:
        """Give the placement the terms of this revision, and answer what the venue said.

        PlacementChanged: the venue shows the new terms. ChangeRefused: it works as before, or is over. ChangeInDoubt:
        sent, and nobody knows; the next call with the same revision looks first. Running twice, at once or after a
        crash, is one change. Raises GatewayNotReady: nothing was sent by this call.
        """
        name = f"{ticket.placement_id}/{ticket.revision}"
        return await self.flights.join(name, lambda: self._one_at_a_time(ticket), frozenset())

    async def settle(self, intent: Intent, text: str) -> None:
        """The venue spoke against a change: refused where a look shows the order alive with its old terms."""
        begun = self._clock()
        await self._sweeps.fresh()

        def refused(current: Intent, record: Record) -> Revised | None:
            revision = record.open_revision
            if revision is None or revision.error is None:
                return None
            if current.state in _OVER:
                return self._refusal(current, record, f"{text}; {_became(record)}")
            stands = current.state is IntentState.ACKNOWLEDGED and revision.standing_ns >= begun
            return self._refusal(current, record, text) if stands and not revision.doubled else None

        await self._books.revise(intent.placement_id, refused)

    # One revision after another

    async def _one_at_a_time(self, ticket: PlacementTicket) -> VenueAnswer:
        async with self._turns.of(ticket.placement_id):
            return await self._modify(ticket)

    async def _modify(self, ticket: PlacementTicket) -> VenueAnswer:
        intent = await self._books.get(ticket.placement_id)
        if intent is None:
            return await self._tell(ticket, ChangeRefused, "it was never sent")
        last = record_of(intent).revision
        if last is not None and last.number >= ticket.revision:
            # A call for an older one comes late: its outcome was told.
            mine = last.number == ticket.revision
            return await self._outcome(intent, last) if mine else VenueAnswer()
        if last is not None and last.is_open:
            await self._again(intent, last)
            intent = await self._books.get(ticket.placement_id) or intent
            if record_of(intent).open_revision is not None:
                reason = f"change {last.number} is in doubt, and there is one at a time"
                return await self._tell(ticket, ChangeInDoubt, reason)
        return await self._first(ticket, intent)

    async def _outcome(self, intent: Intent, revision: Revision) -> VenueAnswer:
        return await (self._again(intent, revision) if revision.is_open else self._answer(intent))

    async def _first(self, ticket: PlacementTicket, intent: Intent) -> VenueAnswer:
        if intent.state in UNSETTLED:
            # An order whose own outcome is open is found out first.
            await self._placing.ask(intent.ticket)
            intent = await self._books.get(intent.placement_id) or intent
        if intent.state in UNSETTLED:
            return await self._tell(ticket, ChangeInDoubt, "the order itself is in doubt; no change was sent")
        if intent.state is IntentState.QUEUED:
            return await self._tell(
                ticket, ChangeRefused, "it waits for its bracket; change it when it works"
            )
        if intent.state in _OVER:
            return await self._over(ticket, intent)
        self._gate.require_open()
        try:
            checked = await self._checked(ticket, intent)
        except (UnknownContract, UnsupportedOrder) as refusal:
            return await self._refuse_unsent(ticket, str(refusal))
        await self._sending.turn(_TURN)
        halted = await self._halted(checked.ticket, intent.ticket)
        if halted is not None:
            return await self._refuse_unsent(ticket, halted)
        return await self._send(intent, checked)

    async def _over(self, ticket: PlacementTicket, intent: Intent) -> VenueAnswer:
        refused = await self._tell(ticket, ChangeRefused, _became(record_of(intent)))
        return VenueAnswer(facts=(*refused.facts, *answer(intent).facts))

    async def _checked(self, ticket: PlacementTicket, intent: Intent) -> Checked:
        """The new terms as they may be sent. Raises UnsupportedOrder, UnknownContract, GatewayNotReady."""
        old, record = intent.ticket, record_of(intent)
        if record.revision is not None and record.revision.doubled:
            raise UnsupportedOrder(_TWO_ORDERS)
        if old.handling.adjustment is not None:
            raise UnsupportedOrder(
                "a stop that begins to trail by itself is not changed: its old terms could undo that. "
                "Cancel it and place another"
            )
        if ticket.quantity > old.quantity:
            raise UnsupportedOrder(
                f"a change may not add to an order: {plain(old.quantity)} is there, {plain(ticket.quantity)} was asked"
            )
        if ticket.order_type.trails and ticket.stop_price != old.stop_price:
            raise UnsupportedOrder("the stop of a trailing order moves with the market; change its distance")
        checked = await self._checking.checked(ticket)
        left = (
            checked.ticket.quantity
            if record.reduced is None
            else min(checked.ticket.quantity, record.reduced)
        )
        terms = checked.ticket.model_copy(update={"quantity": left})
        return Checked(terms, checked.roundings, checked.contract)

    async def _halted(self, ticket: PlacementTicket, before: PlacementTicket) -> str | None:
        """Why the change must not be sent now; working less of an order is never halted, as a cancel is not."""
        same = {"quantity": before.quantity, "revision": before.revision}
        reprices = ticket.model_copy(update=same) != before
        return await self._checking.halted(ticket) if reprices else None

    # The wire

    async def _send(self, intent: Intent, checked: Checked) -> VenueAnswer:
        ticket = checked.ticket

        def begun(current: Intent, record: Record) -> Revision | None:
            last = record.revision
            later = last is not None and last.number >= ticket.revision
            if current.state is not IntentState.ACKNOWLEDGED or later:
                return None
            return Revision(
                number=ticket.revision,
                ticket=ticket,
                before=current.ticket,
                roundings=checked.roundings,
                at_ns=self._clock(),
            )

        with self._inbound.watch(intent.placement_id) as watch:
            async with self._locks.of(intent.placement_id):
                self._gate.require_open()
                current, mine = await self._books.begin(intent.placement_id, begun)
                if current is not None and mine:
                    self._write(current, checked.contract)
            if current is None or not mine:
                return await self._modify(ticket)
            return await self._heard(current, watch)

    async def _again(self, intent: Intent, revision: Revision) -> VenueAnswer:
        """A change that was begun before: the open orders say how it stands, and only then it is sent again."""
        if intent.state in _OVER:
            return await self._after(intent, revision)
        self._gate.require_open()
        await self._doubt(intent, revision, INTERRUPTED)
        begun = self._clock()
        intent, known = await self._looking.twice(intent)
        current = record_of(intent).open_revision
        if current is None or intent.state in _OVER:
            return await self._after(intent, revision)
        if not known:
            intent = await self._books.doubt(intent, "the broker lists no such order")
        listed = known and intent.state is IntentState.ACKNOWLEDGED and current.standing_ns >= begun
        if not listed or current.doubled:
            reason = _TWO_ORDERS if current.doubled else "the broker does not list the order with its terms"
            await self._doubt(intent, revision, reason)
            return await self._answer(intent)
        if current.error is not None:
            await self.settle(intent, current.error)
            return await self._after(intent, revision)
        return await self._send_again(intent, current)

    async def _send_again(self, intent: Intent, revision: Revision) -> VenueAnswer:
        contract = await self._checking.contract(revision.ticket)
        await self._sending.turn(_TURN)
        halted = await self._halted(revision.ticket, revision.before)
        if halted is not None:
            # Looked for, and absent: the old terms stand, and now nothing else is sent.
            await self._refuse(intent, halted)
            return await self._answer(intent)
        with self._inbound.watch(intent.placement_id) as watch:
            async with self._locks.of(intent.placement_id):
                told = (revision.roundings, revision.number, revision.at_ns)
                await self._books.tell_roundings(intent, *told)
                current = await self._books.get(intent.placement_id) or intent
                standing = record_of(current).open_revision
                mine = standing is not None and standing.number == revision.number and not standing.doubled
                if mine and current.state is IntentState.ACKNOWLEDGED:
                    self._gate.require_open()
                    LOG.warning("ibkr.change_sent_again", placement_id=intent.placement_id)
                    self._write(current, contract)
            return await self._heard(current, watch)

    def _write(self, intent: Intent, contract: Contract) -> None:
        record = record_of(intent)
        if record.revision is not None:
            order = order_of(record.revision.ticket, intent.broker_order_id, parent_id=record.parent_id)
            self._wire.place(intent.broker_order_id, contract, order)

    async def _heard(self, intent: Intent, watch: Watch) -> VenueAnswer:
        await self._sending.word(watch, lambda: _is_settled(watch))
        intent = await self._books.get(intent.placement_id) or intent
        revision = record_of(intent).open_revision
        if revision is not None and intent.state not in _OVER:
            await self._doubt(intent, revision, self._sending.no_answer())
            return await self._answer(intent)
        return await self._after(intent, revision)

    # How it ends

    async def _after(self, intent: Intent, revision: Revision | None) -> VenueAnswer:
        """The answer for an order that may be over: then a change that is still open came too late."""
        if intent.state in _OVER and revision is not None:
            text = f"{revision.error}; " if revision.error else ""
            await self._refuse(intent, f"{text}{_became(record_of(intent))}")
        return await self._answer(intent)

    async def _refuse_unsent(self, ticket: PlacementTicket, reason: str) -> VenueAnswer:
        """Refused without being sent, and kept, so that it stays refused."""

        def refused(current: Intent, record: Record) -> Revised | None:
            last = record.revision
            if last is not None and last.number >= ticket.revision:
                return None
            kept = Revision(number=ticket.revision, ticket=ticket, before=current.ticket, sent=False)
            return self._refusal(current, record.model_copy(update={"revision": kept}), reason)

        intent = await self._books.revise(ticket.placement_id, refused)
        return VenueAnswer() if intent is None else await self._answer(intent)

    async def _refuse(self, intent: Intent, reason: str) -> None:
        def refused(current: Intent, record: Record) -> Revised | None:
            return self._refusal(current, record, reason) if record.open_revision else None

        await self._books.revise(intent.placement_id, refused)

    def _refusal(self, intent: Intent, record: Record, reason: str) -> Revised:
        record = record.revised(state=ChangeState.REFUSED, reason=reason, at_ns=self._clock())
        return _told(intent, record)

    async def _doubt(self, intent: Intent, revision: Revision, reason: str) -> None:
        """Nobody knows whether the venue has the change; told once."""

        def doubted(current: Intent, record: Record) -> Revised | None:
            standing = record.open_revision
            if standing is None or standing.number != revision.number:
                return None
            if standing.state is ChangeState.IN_DOUBT:
                return None
            LOG.warning("ibkr.alarm.change_in_doubt", placement_id=intent.placement_id, reason=reason)
            update = {"state": ChangeState.IN_DOUBT, "reason": reason, "at_ns": self._clock()}
            return _told(current, record.revised(**update))

        await self._books.revise(intent.placement_id, doubted)

    async def _answer(self, intent: Intent) -> VenueAnswer:
        """How the last change stands, and what the order became where it is over."""
        intent = await self._books.get(intent.placement_id) or intent
        revision = record_of(intent).revision
        facts = () if revision is None else (changes.fact_of(intent.placement_id, revision),)
        return VenueAnswer(facts=(*facts, *(answer(intent).facts if intent.state in _OVER else ())))

    async def _tell(
        self, ticket: PlacementTicket, kind: type[ChangeRefused] | type[ChangeInDoubt], reason: str
    ) -> VenueAnswer:
        """The word on a change of which nothing was sent."""
        now = self._clock()
        fact = kind(
            placement_id=ticket.placement_id,
            revision=ticket.revision,
            reason=reason,
            ts_event_ns=now,
            ts_init_ns=now,
        )
        key = changes.key(ticket.placement_id, fact)
        await self._inbound.tell(ticket.order_id, ticket.placement_id, key, fact)
        return VenueAnswer(facts=(fact,))


def _told(intent: Intent, record: Record) -> Revised:
    if record.revision is None:
        return Revised((), record)
    fact = changes.fact_of(intent.placement_id, record.revision)
    return Revised(((changes.key(intent.placement_id, fact), fact),), record)


def _became(record: Record) -> str:
    return f"the placement is {record.status}"


def _is_settled(watch: Watch) -> bool:
    return any(
        isinstance(fact, PlacementChanged | ChangeRefused)
        or (isinstance(fact, PlacementReported) and fact.status in OVER)
        for fact in watch.facts
    )
