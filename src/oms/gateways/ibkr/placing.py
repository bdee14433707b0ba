"""Exactly once: the intent before the wire call, evidence before any second send, the same order id on it.

The gateway refuses an order id that it has seen (error 103), so even a send that should not have been is one
order. What a crash at each step leaves:

- before the intent: nothing was sent; the next call starts over;
- after the intent, sent or not: the intent says SENDING; the next call looks for the order at the broker;
- after the send, before the answer: the same; what the broker says meanwhile is in the inbox.

The intent holds what is sent, to the last digit: a second send is the same bytes, whatever was learned about
ticks meanwhile.

After `send_by` nothing leaves, looked at last before each wire call. What never left is then rejected for good; what
may have left stays in doubt, is looked for, and is not sent again. Where the gate closed between intent and wire, the
intent says that nothing was written, so that this is known later.
"""

from contextlib import suppress

import structlog
from ib_async import Contract

from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.books import UNSETTLED, answer
from oms.gateways.ibkr.checking import Checked
from oms.gateways.ibkr.contracts import UnknownContract
from oms.gateways.ibkr.families import Families
from oms.gateways.ibkr.inbound import Watch
from oms.gateways.ibkr.orders import UnsupportedOrder, order_of
from oms.gateways.ibkr.placer import Means, Placer
from oms.gateways.ibkr.records import Record, record_of
from oms.gateways.ibkr.sending import INTERRUPTED, NOT_SENT, NOT_SENT_AGAIN, UNKNOWN
from oms.store import Intent, IntentState, LeaseLost

LOG = structlog.get_logger()
_KNOWN_HERE = (IntentState.DONE, IntentState.WITHDRAWN, IntentState.QUEUED)


class Placing(Placer):
    """Places tickets one by one. `flights` are those on their way right now."""

    def __init__(self, means: Means, families: Families) -> None:
        super().__init__(means)
        self._families = families

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Work the placement at the broker and answer the first word about it.

        Running twice, at once or after a crash, is one order: callers in this process share one flight, and
        a later one finds the intent and looks for the order before it sends anything. No answer in time or a
        broken connection is IN_DOUBT, never REJECTED. Raises GatewayNotReady: nothing was sent by this call.
        """
        return await self.flights.join(ticket.placement_id, lambda: self._place(ticket))

    async def ask(self, ticket: PlacementTicket) -> VenueAnswer:
        """What the venue knows of the placement; no fact where it was never sent.

        Asking sends nothing and may run any number of times. Raises GatewayNotReady.
        """
        if self.flights.of(ticket.placement_id) is not None:
            return await self.place(ticket)
        intent = await self._books.get(ticket.placement_id)
        if intent is None:
            return VenueAnswer()
        if intent.state in _KNOWN_HERE:
            return answer(intent)
        self._gate.require_open()
        intent, known = await self._looking.twice(intent)
        return answer(intent if known else await self._books.doubt(intent, UNKNOWN))

    # The first send and the next

    async def _place(self, ticket: PlacementTicket) -> VenueAnswer:
        if ticket.handling.bracket is not None:
            return await self._families.place(ticket)
        intent = await self._books.get(ticket.placement_id)
        return await (self._again(intent) if intent else self._first(ticket))

    async def _first(self, ticket: PlacementTicket) -> VenueAnswer:
        late = self._sending.overdue(ticket)
        if late is not None:
            # Nothing of it ever left: that is known without the broker.
            self._gate.require_lease()
            return answer(await self._sending.refuse(ticket, f"{NOT_SENT}: {late}"))
        self._gate.require_open()
        try:
            checked = await self._checking.checked(ticket)
        except (UnknownContract, UnsupportedOrder) as refusal:
            return answer(await self._sending.refuse(ticket, str(refusal)))
        await self._sending.turn()
        # Looked at after the wait for a turn, which may be long, and before there is an intent.
        halted = await self._checking.halted(ticket)
        if halted is not None:
            return answer(await self._sending.refuse(ticket, halted))
        return await self._send(checked)

    async def _again(self, intent: Intent) -> VenueAnswer:
        """A placement that was begun before: by a call that was repeated, or by a process that died."""
        if intent.state not in UNSETTLED:
            return answer(intent)
        late = self._sending.overdue(intent.ticket)
        if late is not None and record_of(intent).is_unwritten:
            self._gate.require_lease()
            return await self._too_late(intent, late)
        self._gate.require_open()
        halted = await self._checking.halted(intent.ticket)
        intent = await self._books.doubt(intent, f"{INTERRUPTED}; {halted}" if halted else INTERRUPTED)
        intent, known = await self._looking.twice(intent)
        if known or intent.state is not IntentState.IN_DOUBT or record_of(intent).seen:
            return answer(intent)
        if not self._sending.is_listed_today(intent):
            LOG.error("ibkr.alarm.needs_a_person", placement_id=intent.placement_id)
            return answer(intent)
        late = self._sending.overdue(intent.ticket)
        if late is not None:
            return await self._too_late(intent, late)
        await self._checking.contract(intent.ticket)
        await self._sending.turn()
        halted = await self._checking.halted(intent.ticket)
        if halted is not None:
            return answer(await self._sending.hold(intent, halted))
        return await self._send_again(intent)

    async def _send(self, checked: Checked) -> VenueAnswer:
        """Write the intent, then the order, and wait for the first word."""
        ticket = checked.ticket
        record = Record(roundings=checked.roundings, conid=checked.contract.conId)
        with self._inbound.watch(ticket.placement_id) as watch:
            async with self._locks.of(ticket.placement_id):
                high = self._wire.next_order_id
                intent, mine = await self._books.open(ticket, IntentState.SENDING, record, high)
                late = self._sending.overdue(ticket) if mine else None
                if late is not None:
                    return answer(await self._sending.take_back(intent, f"{NOT_SENT}: {late}"))
                if mine:
                    await self._write(intent, checked.contract, is_first=True)
            return await self._acknowledged(intent, watch) if mine else await self._again(intent)

    async def _send_again(self, before: Intent) -> VenueAnswer:
        """The same order under the same id, of an intent in doubt that is absent at the broker."""
        contract = await self._checking.contract(before.ticket)
        with self._inbound.watch(before.placement_id) as watch:
            async with self._locks.of(before.placement_id):
                roundings = record_of(before).roundings
                await self._books.tell_roundings(before, roundings, 0, before.created_ns)
                intent = await self._books.get(before.placement_id) or before
                is_first = record_of(intent).is_unwritten
                if is_first:
                    intent = await self._books.note(intent.placement_id, unwritten=False) or intent
                mine = intent.state is IntentState.IN_DOUBT and not record_of(intent).seen
                late = self._sending.overdue(intent.ticket) if mine else None
                if mine and late is None:
                    name, number = intent.placement_id, intent.broker_order_id
                    LOG.warning("ibkr.sent_again", placement_id=name, order_id=number)
                    await self._write(intent, contract, is_first=is_first)
            if late is not None:
                return await self._too_late(intent, late, is_unwritten=is_first)
            return await self._acknowledged(intent, watch) if mine else await self._again(intent)

    async def _write(self, intent: Intent, contract: Contract, *, is_first: bool) -> None:
        """The wire call. Raises GatewayNotReady where nothing was written, which the intent of a first one then says."""
        try:
            self._gate.require_open()
            order = order_of(intent.ticket, intent.broker_order_id)
            self._wire.place(intent.broker_order_id, contract, order)
        except GatewayNotReady:
            if is_first:
                with suppress(LeaseLost):
                    await self._books.note(intent.placement_id, unwritten=True)
            raise

    async def _too_late(self, intent: Intent, late: str, *, is_unwritten: bool = False) -> VenueAnswer:
        """What never left is rejected for good; what may have left stays in doubt."""
        if is_unwritten or record_of(intent).is_unwritten:
            return answer(await self._sending.take_back(intent, f"{NOT_SENT}: {late}"))
        return answer(await self._sending.hold(intent, f"{NOT_SENT_AGAIN}: {late}"))

    async def _acknowledged(self, intent: Intent, watch: Watch) -> VenueAnswer:
        await self._sending.first_word(watch)
        intent = await self._sending.doubt_unless_heard(intent)
        if intent.state is IntentState.IN_DOUBT and record_of(intent).seen:
            intent, _ = await self._looking.twice(intent)
        return answer(intent)
