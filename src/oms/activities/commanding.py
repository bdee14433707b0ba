"""Signed commands, done: verified by whoever acts on them, opened entry by entry, and told of.

What is refused moves nothing: it is kept, written into the control journal, and alarmed.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from oms.activities.alive import alive
from oms.activities.announcing import announce
from oms.activities.desk import Book
from oms.activities.standing import Standing, keep, kept_before, place_of, standing_of
from oms.domain.control import ControlEvent, ControlKind
from oms.domain.decide import Opening
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.numbers import ZERO, total
from oms.domain.programs.carrying import (
    NOT_REACHED,
    EntryAsk,
    EntryLook,
    EntryOpened,
    EntryOpening,
    EntryPlan,
    EntrySeen,
    Judging,
    Settling,
    Verified,
    at_its_place,
    commanded,
    seen,
)
from oms.domain.programs.entries import openings, question
from oms.domain.programs.envelopes import Envelope
from oms.domain.programs.intake import Flatten, SubmitOrders
from oms.domain.programs.judging import judge
from oms.domain.programs.outcomes import Commanded, CommandInput, CommandOutcome, CommandStatus, Prepared
from oms.domain.programs.synthetic import OMS, taken
from oms.store import Store

LOG = structlog.get_logger("oms.commands")
_LOOKS_SECONDS, _LOOK_SECONDS = 10.0, 0.05
"""How long one look at an entry's orders lasts, and how often it is repeated in that time."""


class CommandActivities:
    """Activities of signed commands. `secrets` verify; they are known here and nowhere in Temporal.

    window_seconds: how far an envelope's ts may be from the moment at which Temporal took the command.
    """

    def __init__(
        self,
        store: Store,
        book: Book,
        secrets: Sequence[str],
        window_seconds: float,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._book = book
        self._secrets = tuple(secrets)
        self._window_ms = int(window_seconds * 1000)
        self._clock = clock

    @activity.defn(name="verify_command")
    async def verify_command(self, judging: Judging) -> Verified:
        """Whether the command may be carried out. Twice: its nonce is its own already, and it is announced once."""
        return await asyncio.to_thread(self._verified, judging)

    @activity.defn(name="plan_entry")
    async def plan_entry(self, ask: EntryAsk) -> EntryPlan:
        """An entry as orders that nothing forbids now. Twice: nothing is opened, and what was answered last counts."""
        try:
            async with alive():
                prepared = await self._prepared(ask)
                for _, opening in prepared.openings:
                    await self._book.check(opening)
        except Refused as refused:
            return EntryPlan(refusal=Refusal.of(refused))
        return EntryPlan(prepared=prepared)

    @activity.defn(name="open_entry")
    async def open_entry(self, told: EntryOpening) -> EntryOpened:
        """Open an entry's orders until one is refused. Twice: the order ids are the same, so each is opened once."""
        orders = commanded(told.order_index, told.prepared)
        await asyncio.to_thread(self._announce_orders, told, orders)
        async with alive():
            return EntryOpened(orders=await self._opened(told, orders))

    @activity.defn(name="look_at_entry")
    async def look_at_entry(self, look: EntryLook) -> EntrySeen:
        """Reads only: how far the check of orders that go together is, once it is known or after a while."""
        until = time.monotonic() + _LOOKS_SECONDS
        async with alive():
            while True:
                found = await asyncio.to_thread(self._seen, look)
                if not found.waits or time.monotonic() >= until:
                    return found
                await asyncio.sleep(_LOOK_SECONDS)

    @activity.defn(name="settle_command")
    async def settle_command(self, settling: Settling) -> CommandOutcome:
        """Keep what became of a command; a refusal is alarmed. Twice: kept once, and written down once."""
        return await asyncio.to_thread(self._settled, settling)

    # Verifying

    def _verified(self, judging: Judging) -> Verified:
        asked = judging.asked
        try:
            envelope, given = judge(judging, self._secrets, self._window_ms)
            standing = standing_of(self._store, asked, envelope)
            over = kept_before(self._store, asked, envelope)
            if over is not None:
                return Verified(kind=envelope.kind, tenant=envelope.tenant, over=over)
            self._claim_nonce(asked, envelope)
        except Refused as refused:
            return Verified(refusal=Refusal.of(refused))
        self._announce(asked, envelope, standing)
        return Verified(
            kind=envelope.kind,
            tenant=envelope.tenant,
            submit=given if isinstance(given, SubmitOrders) else None,
            flatten=given if isinstance(given, Flatten) else None,
        )

    def _claim_nonce(self, asked: CommandInput, envelope: Envelope) -> None:
        holder = self._store.nonces.claim(envelope.nonce, asked.idem_key, self._clock())
        if holder != asked.idem_key:
            raise Refused(Code.REPLAYED_NONCE, "The envelope's nonce was used before, by another command.")

    def _announce(self, asked: CommandInput, envelope: Envelope, standing: Standing) -> None:
        now_ns = self._clock()
        keep(self._store, asked, envelope, now_ns)
        working = CommandOutcome(
            message_id=asked.message_id, idem_key=asked.idem_key, status=CommandStatus.WORKING
        )
        self._store.commands.progress(working, now_ns)
        event = taken(asked.message_id, envelope, standing.tenant, now_ns)
        self._store.venue_events.add(OMS, [event])

    # Entries

    async def _prepared(self, ask: EntryAsk) -> Prepared:
        """Raises Refused: what is wrong with the entry; UNAVAILABLE where its instrument cannot be looked up now."""
        place = await asyncio.to_thread(place_of, self._store, ask.tenant)
        account = place.account
        instrument = await self._book.instrument(
            question(ask.order.contract), account.broker_account, ask.asked.actor
        )
        held = await asyncio.to_thread(self._held, place.portfolio.portfolio_id, instrument.instrument_id)
        submit = at_its_place(ask)
        return openings(ask.asked, submit, ask.order_index, place.tenant, account, instrument, held)

    def _held(self, portfolio_id: str, instrument_id: str) -> Decimal:
        """What the portfolio holds of the contract, under whichever of its instruments it was traded."""
        holdings = self._store.holdings(portfolio_id)
        return total(holdings.get(each, ZERO) for each in self._store.reference.one_contract(instrument_id))

    async def _opened(self, told: EntryOpening, orders: Sequence[Commanded]) -> tuple[Commanded, ...]:
        """Raises ApplicationError, to be asked again, where it is not known whether an order was opened."""
        became: list[Commanded] = []
        for order, (_, opening) in zip(orders, told.prepared.openings, strict=True):
            if any(each.refusal is not None for each in became):
                became.append(order.model_copy(update={"order_id": None, "detail": NOT_REACHED}))
                continue
            became.append(await self._admitted(order, opening))
        return tuple(became)

    def _announce_orders(self, told: EntryOpening, orders: Sequence[Commanded]) -> None:
        """Whose orders these are, and that they come: whatever a venue says of one at once stands behind that."""
        self._store.commands.order_links(told.message_id, told.tenant, orders)
        announce(self._store, [opening for _, opening in told.prepared.openings], self._clock())

    async def _admitted(self, order: Commanded, opening: Opening) -> Commanded:
        try:
            await self._book.admit(opening)
        except Refused as refused:
            if refused.code is Code.UNAVAILABLE:
                raise ApplicationError(refused.message, type=refused.code) from refused
            return order.model_copy(update={"order_id": None, "refusal": Refusal.of(refused)})
        return order

    def _seen(self, look: EntryLook) -> EntrySeen:
        found = [self._store.orders.get(order_id) for order_id in look.order_ids]
        return seen([order for order in found if order is not None])

    # Telling

    def _settled(self, settling: Settling) -> CommandOutcome:
        outcome = settling.outcome
        if outcome.status is CommandStatus.REFUSED:
            self._alarm(settling)
        kept = self._store.commands.get(outcome.idem_key) if settling.at_home else None
        if kept is not None and kept.message_id == outcome.message_id:
            self._store.commands.progress(outcome, self._clock())
        return outcome

    def _alarm(self, settling: Settling) -> None:
        """Once for each run: the log, and the control journal, of which the metric counts the refusals."""
        outcome, refusal, info = settling.outcome, settling.outcome.refusal, activity.info()
        code = refusal.code if refusal is not None else ""
        told = self._store.control.last(ControlKind.COMMAND_REFUSED, outcome.message_id)
        if told is not None and told.data.get("run_id") == info.workflow_run_id:
            return
        told_of = {"idem_key": outcome.idem_key, "workflow_id": info.workflow_id}
        LOG.error("command.alarm.refused", code=code, message_id=outcome.message_id, **told_of)
        self._store.control.tell(
            ControlEvent(
                kind=ControlKind.COMMAND_REFUSED,
                subject=outcome.message_id,
                actor=settling.asked.actor.key,
                reason=refusal.message if refusal is not None else None,
                ts_ns=self._clock(),
                data={"code": code, **told_of, "run_id": info.workflow_run_id},
            )
        )
