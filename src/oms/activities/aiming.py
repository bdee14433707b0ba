"""Asking targets, and waiting for what they come to: the rows of a batch, and whoever else aims."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol

from temporalio import activity
from temporalio.exceptions import ApplicationError

from oms.activities.alive import alive
from oms.activities.desk import Book
from oms.activities.targeting import asked_again
from oms.domain.drafting import nanoseconds
from oms.domain.errands import Refusal
from oms.domain.errors import Code, Refused
from oms.domain.numbers import ZERO
from oms.domain.programs.aiming import Rows, RowsAimed, is_settled, is_stale, is_too_late, position_of
from oms.domain.programs.planning import check_lots
from oms.domain.programs.targets import Aim, Aimed, BrokerPosition, TargetBatch
from oms.domain.reference import Instrument, InstrumentQuestion
from oms.store import Store

ROWS_AT_ONCE = 8
"""So many rows of a portion are on their way at a time."""
_LOOK_SECONDS, _LONGEST_PAUSE = 0.05, 1.0
_ASKED_AGAIN = 20.0
"""A target of which nothing is seen for so long is asked once more: somebody may have ended its workflow."""
_SPARE_NS = 2_000_000_000
"""So much longer than a reading holds is waited for a plan: one may be on its way into the store."""


class Targets(Protocol):
    """Whoever aims, one aim at a time for each position of an account; raises Refused."""

    async def ask(self, aim: Aim) -> None: ...


class Aimer:
    """Hands an aim over, and waits until the store has its outcome."""

    def __init__(self, store: Store, targets: Targets) -> None:
        self._store = store
        self._targets = targets

    async def brought(self, aim: Aim) -> Aimed:
        """What became of the aim; stale where nothing was planned for it while its reading held.

        Twice: the same aim. Raises ApplicationError where Temporal is away.
        """
        pause, ask_at = _LOOK_SECONDS, 0.0
        aim = await asyncio.to_thread(self._by_contract, aim)
        while not await self._is_stale(aim):
            if time.monotonic() >= ask_at:
                await asked_again(self._targets.ask(aim))
                ask_at = time.monotonic() + _ASKED_AGAIN
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            aimed = await self.settled(aim.aim_id)
            if aimed is not None:
                return aimed
        return Aimed(stale=True)

    async def _is_stale(self, aim: Aim) -> bool:
        """Whether nothing is kept of the aim and nothing will be. Once it is too late its target refuses it."""
        if not is_stale(aim, time.time_ns(), _SPARE_NS) or is_too_late(aim, datetime.now(UTC)):
            return False
        return await asyncio.to_thread(self._store.targets.aim, aim.aim_id) is None

    def _by_contract(self, aim: Aim) -> Aim:
        oldest = self._store.reference.one_contract(aim.instrument.instrument_id)[0]
        return aim.model_copy(update={"contract_id": oldest})

    async def settled(self, aim_id: str) -> Aimed | None:
        """The aim's outcome, once there is one."""
        return await asyncio.to_thread(self._settled, aim_id)

    def _settled(self, aim_id: str) -> Aimed | None:
        aimed = self._store.targets.aim(aim_id)
        legs = aimed.plan.legs if aimed is not None and aimed.plan is not None else ()
        orders = [self._store.orders.get(leg.order_id) for leg in legs]
        return aimed if is_settled(aimed, orders) else None


class AimActivities:
    """Activities of batches. Whoever runs them waits for targets, so they have a queue apart from these."""

    def __init__(self, store: Store, book: Book, targets: Targets) -> None:
        self._store = store
        self._book = book
        self._aimer = Aimer(store, targets)

    @activity.defn(name="aim_rows")
    async def aim_rows(self, rows: Rows) -> RowsAimed:
        """Bring rows of a kept batch to their targets, each for itself.

        Twice: a row that has its outcome keeps it, and the others are the same aims.
        """
        batch = await asyncio.to_thread(self._store.targets.batch, rows.batch_id)
        if batch is None:
            raise ApplicationError(f"there is no batch {rows.batch_id}", non_retryable=True)
        portion = _Portion(batch, rows)
        turns = asyncio.Semaphore(ROWS_AT_ONCE)
        async with alive():
            try:
                async with asyncio.TaskGroup() as group:
                    for number in rows.numbers:
                        group.create_task(self._row(portion, number, turns))
            except ExceptionGroup as several:
                raise several.exceptions[0] from several
        return portion.aimed()

    async def _row(self, portion: "_Portion", number: int, turns: asyncio.Semaphore) -> None:
        async with turns:
            aim_id = f"{portion.batch.batch_id}/{number}"
            came_before = portion.rows.again or activity.info().attempt > 1
            aimed = await self._aimer.settled(aim_id) if came_before else None
            if aimed is None:
                try:
                    aim = await self._aim(portion, number)
                except Refused as refused:
                    refusal = Refusal.of(refused)
                    aimed = Aimed(refusal=await asyncio.to_thread(self._store.targets.keep, aim_id, refusal))
                else:
                    aimed = None if aim is None else await self._aimer.brought(aim)
            portion.note(number, aimed)

    async def _aim(self, portion: "_Portion", number: int) -> Aim | None:
        """The row as an aim; None where it has to wait. Raises Refused: what is wrong with the row."""
        batch, row = portion.batch, portion.batch.rows[number]
        question = InstrumentQuestion(symbol=row.symbol, exchange="SMART", currency="USD")
        instrument = await self._book.instrument(question, batch.account, batch.actor)
        check_lots(row.quantity, instrument)
        also = await asyncio.to_thread(self._store.reference.one_contract, instrument.instrument_id)
        position = position_of(portion.rows.read, instrument, also)
        if position is not None and not position.steady:
            if portion.rows.last:
                raise _moving(position)
            return None
        return aim_of(batch, number, instrument, position, portion.rows.read.read_ns)


class _Portion:
    """The rows under way, and what became of those that are done."""

    def __init__(self, batch: TargetBatch, rows: Rows) -> None:
        self.batch = batch
        self.rows = rows
        self._done = 0
        self._refused: list[str] = []
        self._unsteady: list[int] = []
        self._stale: list[int] = []

    def note(self, number: int, aimed: Aimed | None) -> None:
        if aimed is None:
            self._unsteady.append(number)
            return
        if aimed.stale:
            self._stale.append(number)
            return
        self._done += 1
        if aimed.refusal is not None:
            self._refused.append(f"{self.batch.rows[number].symbol}: {aimed.refusal.message[:300]}")

    def aimed(self) -> RowsAimed:
        return RowsAimed(
            planned=self._done,
            refused=tuple(self._refused),
            unsteady=tuple(sorted(self._unsteady)),
            stale=tuple(sorted(self._stale)),
        )


def aim_of(
    batch: TargetBatch,
    number: int,
    instrument: Instrument,
    position: BrokerPosition | None,
    read_ns: int = 0,
) -> Aim:
    """A row of a batch as an aim; position: what the account held at `read_ns`, None for nothing that is not booked."""
    row = batch.rows[number]
    return Aim(
        aim_id=f"{batch.batch_id}/{number}",
        account=batch.account,
        account_id=batch.account_id,
        portfolio_id=batch.portfolio_id,
        instrument=instrument,
        target=row.quantity,
        unbooked=ZERO if position is None else position.unbooked,
        read_ns=read_ns,
        limit_price=row.limit_price,
        expected_price=row.expected_price,
        tolerance_pct=row.tolerance_pct,
        send_by=batch.send_by,
        actor=batch.actor,
        ts_event_ns=nanoseconds(batch.submitted_at),
        correlation_id=batch.correlation_id,
        metadata={"batch": batch.batch_id, "row": number, "client": batch.client},
    )


def _moving(position: BrokerPosition) -> Refused:
    return Refused(
        Code.UNAVAILABLE,
        f"Executions of {position.symbol} are on their way, so what is held is not known; try again.",
    )
