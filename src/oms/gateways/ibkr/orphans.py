"""Brackets that the broker broke: it rejected a child after the family had left.

A parent must not fill without that child. What is unfilled of it is canceled, and the broker ends the other children
with it. Where the last child was rejected, which would have released the family, the broker holds the rest and would
hold it for ever: each of them is canceled. Why is written into the intents before anything is canceled, so that a crash
in between is gone on with by the next reconciliation, and nothing of the family is sent again.
"""

from collections.abc import Callable

import structlog

from oms.domain.facts import Unreadable
from oms.domain.terms import PlacementStatus, Venue
from oms.gateways.ibkr.books import UNSETTLED, Books, Revised
from oms.gateways.ibkr.family import bracket_of
from oms.gateways.ibkr.gate import Gate
from oms.gateways.ibkr.locks import Locks
from oms.gateways.ibkr.pacing import Urgency
from oms.gateways.ibkr.records import Record, record_of
from oms.gateways.ibkr.wire import Wire
from oms.store import Intent, IntentState

LOG = structlog.get_logger()
_OVER = (IntentState.DONE, IntentState.WITHDRAWN)


class Orphans:
    """What becomes of a family without one of its children. Running twice is running once."""

    def __init__(self, wire: Wire, gate: Gate, books: Books, locks: Locks, clock: Callable[[], int]) -> None:
        self._wire = wire
        self._gate = gate
        self._books = books
        self._locks = locks
        self._clock = clock

    async def settle(self, child: Intent) -> None:
        """End what is left of the family of a child that was rejected, or show that its parent stands without it.

        Raises GatewayNotReady where it cannot be canceled now: the next reconciliation goes on.
        """
        record = record_of(child)
        if not record.parent_id or not _is_rejected(child):
            return
        why = _why(child, record)
        parent, *siblings = [
            one for name in record.family if (one := await self._books.get(name)) is not None
        ]
        if parent.state in _OVER:
            await self._stands_alone(parent, child, why)
            return
        was_last = record.family[-1] == child.placement_id
        held = [one for one in siblings if was_last and one.state in UNSETTLED]
        LOG.error("ibkr.alarm.bracket_broken", placement_id=parent.placement_id, reason=why)
        for member in (parent, *held):
            await self._doom(member, child, why)
        for member in (parent, *held):
            await self._cancel(member)

    async def resume(self) -> None:
        """Go on with families whose child was rejected and which still work. Raises GatewayNotReady."""
        for intent in await self._books.unsettled():
            record = record_of(intent)
            if record.doomed is not None:
                await self._cancel(intent)
            elif not record.parent_id:
                for name in record.family[1:]:
                    child = await self._books.get(name)
                    if child is not None:
                        await self.settle(child)

    async def _doom(self, member: Intent, child: Intent, why: str) -> None:
        """Write why it is canceled, and show it to whoever looks at the order."""

        def doomed(current: Intent, record: Record) -> Revised | None:
            if current.state in _OVER or record.doomed is not None:
                return None
            told = self._shown(child, f"{why}; what is unfilled of this order is canceled")
            key = f"surfaced/{member.placement_id}/orphan/{child.placement_id}"
            return Revised(((key, told),), record.model_copy(update={"doomed": why}))

        await self._books.revise(member.placement_id, doomed)

    async def _stands_alone(self, parent: Intent, child: Intent, why: str) -> None:
        """A parent that has fills works no more, and nothing can be canceled: a person has to act."""
        record = record_of(parent)
        if record.status is not PlacementStatus.FILLED and not record.filled:
            return
        LOG.error("ibkr.alarm.parent_stands_alone", placement_id=parent.placement_id, reason=why)

        def shown(_current: Intent, known: Record) -> Revised:
            told = self._shown(child, f"{why}; this order is filled and stands without it")
            return Revised(((f"surfaced/{parent.placement_id}/alone/{child.placement_id}", told),), known)

        await self._books.revise(parent.placement_id, shown)

    async def _cancel(self, member: Intent) -> None:
        await self._wire.pacer.turn(Urgency.CANCEL)
        async with self._locks.of(member.placement_id):
            current = await self._books.get(member.placement_id) or member
            if current.state in _OVER or not current.was_sent:
                return
            self._gate.require_open()
            self._wire.cancel(current.broker_order_id)

    def _shown(self, child: Intent, reason: str) -> Unreadable:
        now = self._clock()
        raw = f"{child.placement_id}: {record_of(child).reason or 'rejected'}"
        return Unreadable(source=Venue.IBKR, raw=raw, reason=reason, ts_event_ns=now, ts_init_ns=now)


def _is_rejected(child: Intent) -> bool:
    return child.state is IntentState.DONE and record_of(child).status is PlacementStatus.REJECTED


def _why(child: Intent, record: Record) -> str:
    name = bracket_of(child.ticket).bracket_id
    return f"the broker rejected {child.placement_id}, a child of bracket {name}: {record.reason or 'no reason told'}"
