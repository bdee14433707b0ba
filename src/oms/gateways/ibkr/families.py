"""Brackets: a parent and its children reach the broker together or not at all.

Each member comes as a placement of its own and is QUEUED, definitely not sent, until the last one is here. Then
all of them become SENDING in one transaction, and go out one after another: the parent and its children held at
the broker (transmit 0) until the last one comes with transmit 1. What a crash at each step leaves:

- members QUEUED: nothing was sent; the last member's next call, or the next reconciliation, sends a complete family;
- members SENDING, some of them written or none: all are looked for; where none is known the whole family is sent
  again with the same ids in the same order. The broker takes a repeat of an order that it holds as a change to the
  same terms;
- the parent known and a child not: the child alone is sent again, under its own id.

Nothing leaves after the earliest `send_by` of those that go out together: a family that never left is rejected then,
also while it waits for members; what is in doubt stays so.

A member that is refused or canceled before the family was sent withdraws all of it. That is written first, as an
intent in the family's own name, where members that come later find it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress

import structlog
from ib_async import Contract

from oms.domain.facts import Rounding
from oms.domain.terms import PlacementStatus
from oms.domain.venues import PlacementTicket, VenueAnswer
from oms.gateways.errors import GatewayNotReady
from oms.gateways.ibkr.books import UNSETTLED, answer
from oms.gateways.ibkr.contracts import UnknownContract
from oms.gateways.ibkr.family import Sent, bracket_of, completes, family_key, in_order, misfit, to_send_again
from oms.gateways.ibkr.inbound import Watch
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.orders import UnsupportedOrder, order_of
from oms.gateways.ibkr.placer import Means, Placer
from oms.gateways.ibkr.records import Record, record_of
from oms.gateways.ibkr.sending import INTERRUPTED, NOT_SENT, NOT_SENT_AGAIN
from oms.store import Intent, IntentState, LeaseLost

LOG = structlog.get_logger()
_NOT_YET = {"status": PlacementStatus.HELD, "parent_id": 0, "family": (), "sent_ns": 0}
"""What the record of a member says of its family before that was sent."""
_CLOSED = "waits for the gate, which closed before anything of its bracket was sent"


class Families(Placer):
    """The brackets of one session. `flights` are the families on their way right now."""

    def __init__(self, means: Means, clock: Callable[[], int]) -> None:
        super().__init__(means)
        self._clock = clock
        self._holding = Locks()

    async def place(self, ticket: PlacementTicket) -> VenueAnswer:
        """Bring a member to its family, and send the family when it is complete; answers how the member stands.

        HELD: it waits for others. Running twice is one order. Raises GatewayNotReady: nothing was sent.
        """
        intent = await self._books.get(ticket.placement_id) or await self._join(ticket)
        if intent.state is IntentState.QUEUED:
            await self._advance(family_key(intent.ticket))
        elif intent.state in UNSETTLED:
            family = record_of(intent).family
            await self.flights.join(_name(family), lambda: self._again(family), frozenset(family))
        return answer(await self._books.get(ticket.placement_id) or intent)

    def resume(self) -> None:
        """Go on with what a process that died left behind: complete families, and those half withdrawn."""
        self.flights.begin("resume", self._resume, frozenset())

    async def withdraw(self, ticket: PlacementTicket) -> Intent | None:
        """A member is canceled before its family was sent: all of it is. None where it was sent meanwhile.

        Raises GatewayNotReady where this process may not decide that: the gate is closed.
        """
        key = family_key(ticket)
        async with self._holding.of(key):
            waiting = await self._members(key)
            if waiting:
                self._gate.require_open()
            known = await self._books.get(ticket.placement_id)
            if known is not None and known.state not in (IntentState.QUEUED, IntentState.WITHDRAWN):
                return None
            reason = f"{ticket.placement_id} was canceled before it was sent"
            await self._end(ticket, waiting, PlacementStatus.CANCELED, reason)
        return await self._books.get(ticket.placement_id)

    # Joining

    async def _join(self, ticket: PlacementTicket) -> Intent:
        """The member's intent: QUEUED, or refused and the whole family with it."""
        late = self._sending.overdue(ticket)
        if late is not None:
            self._gate.require_lease()
            return await self._refuse(ticket, f"{NOT_SENT}: {late}")
        self._gate.require_open()
        key = family_key(ticket)
        try:
            checked = await self._checking.checked(ticket)
            halted = await self._checking.halted(ticket)
        except (UnknownContract, UnsupportedOrder) as refusal:
            return await self._refuse(ticket, str(refusal))
        if halted is not None:
            return await self._refuse(ticket, halted)
        async with self._holding.of(key):
            members = await self._members(key)
            gone = await self._ended(key)
            wrong = gone or misfit(ticket, members)
            if wrong is None:
                return await self._queue(
                    checked.ticket, checked.roundings, checked.contract, len(members) + 1
                )
        return await self._refuse(ticket, wrong)

    async def _queue(
        self, ticket: PlacementTicket, roundings: tuple[Rounding, ...], contract: Contract, count: int
    ) -> Intent:
        bracket = bracket_of(ticket)
        missing = bracket.size - count
        waits = (
            f"waits for {missing or 'the turn'} {'more ' if missing else ''}of bracket {bracket.bracket_id}"
        )
        record = Record(status=PlacementStatus.HELD, reason=waits, roundings=roundings, conid=contract.conId)
        intent, mine = await self._books.open(ticket, IntentState.QUEUED, record)
        if mine and count < bracket.size:
            fact = answer(intent).facts[0]
            await self._inbound.tell(
                ticket.order_id, ticket.placement_id, f"queued/{ticket.placement_id}", fact
            )
        return intent

    async def _members(self, key: str) -> list[Intent]:
        """Those of the family that wait."""
        return [member for member in await self._books.queued() if family_key(member.ticket) == key]

    # Withdrawing

    async def _refuse(self, ticket: PlacementTicket, reason: str) -> Intent:
        """A parent never goes out without its children, nor they without it: one refused is all refused."""
        key = family_key(ticket)
        async with self._holding.of(key):
            why = f"{ticket.placement_id} was refused: {reason}"
            await self._end(ticket, await self._members(key), PlacementStatus.REJECTED, why)
            return await self._sending.refuse(ticket, reason)

    async def _end(
        self, ticket: PlacementTicket, waiting: Sequence[Intent], status: PlacementStatus, reason: str
    ) -> None:
        """Write that the family is withdrawn, then withdraw who waits. Twice is once."""
        marker = ticket.model_copy(update={"placement_id": _marker(family_key(ticket))})
        ended, _ = await self._books.open(marker, IntentState.WITHDRAWN, Record(status=status, reason=reason))
        await self._withdraw_all(waiting, record_of(ended))

    async def _withdraw_all(self, waiting: Sequence[Intent], ended: Record) -> None:
        if not waiting:
            return
        refused = ended.status is PlacementStatus.REJECTED
        state = IntentState.DONE if refused else IntentState.WITHDRAWN
        moved = [self._withdrawn(member, ended, state) for member in waiting]
        LOG.warning("ibkr.bracket_withdrawn", members=len(moved), reason=ended.reason)
        for member in moved:
            key = f"withdrawn/{member.placement_id}"
            await self._inbound.tell(member.order_id, member.placement_id, key, answer(member).facts[0])
        await self._books.together(lambda _: moved)

    def _withdrawn(self, member: Intent, ended: Record, state: IntentState) -> Intent:
        name = bracket_of(member.ticket).bracket_id
        reason = ended.reason or ""
        told = (
            reason if reason.startswith(NOT_SENT) else f"nothing of bracket {name} was sent: {ended.reason}"
        )
        record = record_of(member).model_copy(update={"status": ended.status, "reason": told})
        return member.model_copy(
            update={"state": state, "detail": record.model_dump_json(), "updated_ns": self._clock()}
        )

    async def _ended(self, key: str) -> str | None:
        """Why the family was withdrawn, in a sentence; None where it was not."""
        marker = await self._books.get(_marker(key))
        if marker is None:
            return None
        name = bracket_of(marker.ticket).bracket_id
        return f"bracket {name} was withdrawn, place it anew under another bracket_id: {record_of(marker).reason}"

    async def _resume(self) -> VenueAnswer:
        for key in dict.fromkeys(family_key(member.ticket) for member in await self._books.queued()):
            async with self._holding.of(key):
                marker = await self._books.get(_marker(key))
                if marker is not None:
                    await self._withdraw_all(await self._members(key), record_of(marker))
            if marker is None:
                await self._advance(key)
        return VenueAnswer()

    # Sending

    async def _advance(self, key: str) -> None:
        """Send the family if it is complete, or end it where its time is over; whoever comes meanwhile joins that flight."""
        members = await self._members(key)
        if self._late(members) is not None:
            async with self._holding.of(key):
                await self._lapsed(await self._members(key))
        elif completes(members):
            ids = [member.placement_id for member in members]
            await self.flights.join(_name(ids), lambda: self._send(key), frozenset(ids))

    async def _send(self, key: str) -> VenueAnswer:
        for _ in await self._members(key):
            await self._sending.turn()
        with ExitStack() as stack:
            async with self._holding.of(key):
                members = in_order(await self._members(key))
                if not completes(members) or await self._ended(key) is not None:
                    return VenueAnswer()
                contracts = await self._prepared(members)
                # Looked at last: what comes before may take long.
                halted = await self._first_halted(members)
                if await self._lapsed(members):
                    return VenueAnswer()
                if halted is None:
                    watches = [stack.enter_context(self._inbound.watch(m.placement_id)) for m in members]
                    sent = await self._released(members, contracts)
            if halted is not None:
                await self._refuse(*halted)
                return VenueAnswer()
            await self._first_words(sent, watches)
        return VenueAnswer()

    async def _lapsed(self, waiting: Sequence[Intent]) -> bool:
        """Whether the time of a family that waits is over; then all of it is rejected. The caller holds its lock."""
        late = self._late(waiting)
        if late is not None:
            self._gate.require_lease()
            await self._end(waiting[0].ticket, waiting, PlacementStatus.REJECTED, late)
        return late is not None

    def _late(self, members: Sequence[Intent]) -> str | None:
        """Why the members, of which nothing ever left, must not leave any more."""
        late = self._sending.overdue(*(member.ticket for member in members))
        return None if late is None else f"{NOT_SENT}: {late}"

    async def _first_halted(self, members: Sequence[Intent]) -> tuple[PlacementTicket, str] | None:
        for member in members:
            halted = await self._checking.halted(member.ticket)
            if halted is not None:
                return member.ticket, halted
        return None

    async def _prepared(self, members: Sequence[Intent]) -> list[Contract]:
        """The contracts of the members, and what was rounded is told."""
        contracts = [await self._checking.contract(member.ticket) for member in members]
        for member in members:
            roundings = record_of(member).roundings
            await self._books.tell_roundings(member, roundings, 0, member.created_ns)
        return contracts

    async def _released(self, members: list[Intent], contracts: Sequence[Contract]) -> list[Intent]:
        """Make all SENDING under new ids, then write them; ids go out in the order in which they are given."""
        self._gate.require_open()
        high = self._wire.next_order_id
        sent = await self._books.together(lambda ids: self._as_sent(members, ids), len(members), high)
        if sent is None:
            return []
        if (late := self._late(sent)) is not None:
            # They wait again, so that whoever goes on after a crash ends them as one.
            update = {**_NOT_YET, "reason": late}
            await self._lapsed(await self._books.take_back(sent, IntentState.QUEUED, update) or ())
            return []
        try:
            self._gate.require_open()
        except GatewayNotReady:
            with suppress(LeaseLost):
                await self._books.take_back(sent, IntentState.QUEUED, {**_NOT_YET, "reason": _CLOSED})
            raise
        self._write([Sent(member, member is sent[-1]) for member in sent], contracts)
        return sent

    def _as_sent(self, members: Sequence[Intent], ids: Sequence[int]) -> list[Intent]:
        family = tuple(member.placement_id for member in members)
        sent, now = [], self._clock()
        for member, number in zip(members, ids, strict=True):
            known = record_of(member)
            parent_id = 0 if number == ids[0] else ids[0]
            kept = {"roundings": known.roundings, "conid": known.conid, "sent_ns": now}
            record = Record.model_validate({**kept, "parent_id": parent_id, "family": family})
            update = {"state": IntentState.SENDING, "broker_order_id": number, "updated_ns": now}
            sent.append(member.model_copy(update={**update, "detail": record.model_dump_json()}))
        return sent

    def _write(self, members: Sequence[Sent], contracts: Sequence[Contract]) -> None:
        for (member, transmit), contract in zip(members, contracts, strict=True):
            number, parent_id = member.broker_order_id, record_of(member).parent_id
            order = order_of(member.ticket, number, parent_id=parent_id, transmit=transmit)
            self._wire.place(number, contract, order)

    async def _first_words(self, sent: Sequence[Intent], watches: Sequence[Watch]) -> None:
        if not sent:
            return
        await asyncio.gather(*(self._sending.first_word(watch) for watch in watches))
        for member in sent:
            await self._sending.doubt_unless_heard(member)

    # Sending again

    async def _again(self, family: tuple[str, ...]) -> VenueAnswer:
        """A family of which something is in doubt: looked for, and what is absent is sent again, or a person asked."""
        self._gate.require_open()
        members = [one for one in [await self._books.get(name) for name in family] if one is not None]
        for member in members:
            if member.state is IntentState.SENDING:
                await self._books.doubt(member, INTERRUPTED)
        members, known = await self._looking.twice_for(members)
        absent = [
            one for one in members if one.state is IntentState.IN_DOUBT and one.placement_id not in known
        ]
        if not absent:
            return VenueAnswer()
        plan = to_send_again(members, absent)
        if not all(self._sending.is_listed_today(member) for member in absent):
            plan = "it is of an earlier day, which the broker lists no more"
        if isinstance(plan, str):
            return await self._hold(absent, plan)
        return await self._send_again(plan)

    async def _hold(self, members: Sequence[Intent], reason: str) -> VenueAnswer:
        for member in members:
            await self._sending.hold(member, reason)
        return VenueAnswer()

    async def _send_again(self, plan: list[Sent]) -> VenueAnswer:
        members = [member for member, _ in plan]
        if (late := self._late_again(members)) is not None:
            return await self._hold(members, late)
        contracts = [await self._checking.contract(member.ticket) for member in members]
        for _ in plan:
            await self._sending.turn()
        halted = await self._first_halted(members)
        if halted is not None:
            return await self._hold(members, halted[1])
        with ExitStack() as stack:
            watches = [stack.enter_context(self._inbound.watch(one.placement_id)) for one in members]
            if await self._written_again(plan, contracts):
                await self._first_words(members, watches)
            elif (late := self._late_again(members)) is not None:
                await self._hold(members, late)
        return VenueAnswer()

    def _late_again(self, members: Sequence[Intent]) -> str | None:
        """Why members that may have left must not leave once more."""
        late = self._sending.overdue(*(member.ticket for member in members))
        return None if late is None else f"{NOT_SENT_AGAIN}: {late}"

    async def _written_again(self, plan: list[Sent], contracts: Sequence[Contract]) -> bool:
        """Write the same bytes once more, unless something was heard of any of them meanwhile or it is too late."""
        async with AsyncExitStack() as stack:
            for name in sorted(member.placement_id for member, _ in plan):
                await stack.enter_async_context(self._locks.of(name))
            current = [await self._books.get(member.placement_id) or member for member, _ in plan]
            if any(
                one.state is not IntentState.IN_DOUBT or not _may_leave(record_of(one)) for one in current
            ):
                return False
            if self._late_again(current) is not None:
                return False
            self._gate.require_open()
            LOG.warning("ibkr.bracket_sent_again", placements=[member.placement_id for member in current])
            self._write(
                [Sent(one, sent.transmit) for one, sent in zip(current, plan, strict=True)], contracts
            )
        return True


def _may_leave(record: Record) -> bool:
    return not record.seen and record.doomed is None


def _marker(key: str) -> str:
    """Where it is written that a family was withdrawn, among the intents."""
    return f"bracket/{key}"


def _name(family: Sequence[str]) -> str:
    return "+".join(sorted(family))
